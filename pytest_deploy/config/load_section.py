"""``load``: who makes requests where a service has too few of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Annotated, Self

from pydantic import AfterValidator, Field, TypeAdapter, model_validator

from pytest_deploy.config.fields import HttpUrl, NotNull, PositiveNumber, Text, variables
from pytest_deploy.config.section import Section

__all__ = ["HttpLoadSection", "LoadSection"]

_ADDRESS = TypeAdapter[str](HttpUrl)
_FASTEST_PER_S = 1000
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""token of RFC 9110, 5.6.2"""
_OURS = frozenset({"x-deploy-load", "connection", "content-length", "transfer-encoding"})
_CREDENTIALS = frozenset({"authorization", "proxy-authorization", "cookie"})


def _load_url(value: str) -> str:
    address, mark, query = value.partition("?")
    if mark and (not query or "#" in query or " " in query or not query.isascii() or not query.isprintable()):
        msg = f"what follows the '?' of {address} is no query: escape what is neither a letter nor a digit"
        raise ValueError(msg)
    _ADDRESS.validate_python(address)
    return value


def _rate(value: float) -> float:
    if value > _FASTEST_PER_S:
        msg = f"{value:g} requests a second are too many for this process: at most {_FASTEST_PER_S}, else a command"
        raise ValueError(msg)
    return value


def _headers(value: Mapping[str, str]) -> Mapping[str, str]:
    for name, text in value.items():
        if not _HEADER.fullmatch(name) or not text.isprintable() or not text.isascii():
            msg = f"{name!r} is no header: a name, and a line of ASCII text"
            raise ValueError(msg)
        if name.lower() in _OURS:
            msg = f"{name} is set by the load itself: take it out"
            raise ValueError(msg)
        if name.lower() in _CREDENTIALS and not _is_named(text):
            msg = f"{name} is a secret: name its whole value as ${{env:NAME}} or ${{file:path}}"
            raise ValueError(msg)
    return value


def _is_named(text: str) -> bool:
    return text.startswith("${") and text.endswith("}")


class HttpLoadSection(Section):
    """``load.http``: GETs at a fixed rate, which does not fall when the service gets slow."""

    url: Annotated[str, AfterValidator(_load_url)] = Field(examples=["https://checkout-api.example.com/health"])
    """What is asked for, through the same door as the users: the canary must get its share. No default."""
    rate_per_s: Annotated[PositiveNumber, AfterValidator(_rate)] = Field(examples=[20])
    """Requests in a second, on top of the users'. No default: the plan of a rehearsal prints how many a gate needs."""
    headers: Annotated[Mapping[Text, str], AfterValidator(_headers)] = Field(
        default_factory=dict, examples=[{"Accept": "application/json"}]
    )
    """Headers of each request; credentials only as ${env:NAME} or ${file:path}. None by default."""
    timeout_s: PositiveNumber = Field(default=10, examples=[10])
    """Seconds until a request counts as unanswered. 10: far above what a gate lets pass, so that slow answers count."""

    @property
    def timeout(self) -> timedelta:
        """Until a request counts as unanswered."""
        return timedelta(seconds=self.timeout_s)

    def resolved_headers(self, resolve: Callable[[str], str]) -> dict[str, str]:
        """Return the headers with what is named in the place of its name.

        Args:
            resolve: returns the secret that a text such as ``${env:NAME}`` names.
        """
        return {name: resolve(text) if _is_named(text) else text for name, text in self.headers.items()}


class LoadSection(Section):
    """``load``: requests made while a gate watches, labelled; either by a command or by HTTP."""

    command: Annotated[tuple[Text, ...] | None, NotNull] = Field(
        default=None, min_length=1, examples=[["k6", "run", "load.js"]]
    )
    """Program and arguments, run in deploy.yaml's folder for each window; no shell. None: ``http`` does it."""
    env: Annotated[tuple[Text, ...], AfterValidator(variables)] = Field(default=(), examples=[["K6_CLOUD_TOKEN"]])
    """Names of the variables that the command sees beside PATH, HOME, LANG and the like. None by default."""
    http: Annotated[HttpLoadSection | None, NotNull] = None
    """GETs at a fixed rate. None: ``command`` does it."""

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.command is None) == (self.http is None):
            found = "both are there" if self.http is not None else "neither is there"
            msg = f"{found}: write either command (a program that makes requests) or http (GETs at a fixed rate)"
            raise ValueError(msg)
        if self.env and self.command is None:
            msg = "env is for the command, and http needs none: take it out"
            raise ValueError(msg)
        return self
