"""``smoke``: what must answer in an environment before it counts as installed well."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Self

from pydantic import AfterValidator, Field, JsonValue, model_validator

from pytest_deploy.config.fields import PositiveNumber, Text, variables
from pytest_deploy.config.section import Section
from pytest_deploy.domain.smoke import HttpCheck

__all__ = ["SmokeHttpSection", "SmokeSection"]

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_LONGEST_S = 3600


def _path(value: str) -> str:
    if not value.startswith("/") or any(c.isspace() for c in value):
        raise ValueError(f"{value!r} is no path: it begins with / and holds no space")
    return value


def _status(value: int) -> int:
    if not 200 <= value <= 599:
        raise ValueError(f"{value} is no status of a final answer: 200 to 599")
    return value


def _headers(value: Mapping[str, str]) -> Mapping[str, str]:
    if wrong := [name for name in value if _HEADER.fullmatch(name) is None]:
        raise ValueError(f"{wrong[0]!r} is no name of a header")
    return value


def _seconds(value: float) -> float:
    if not 1 <= value <= _LONGEST_S:
        raise ValueError(f"{value:g} s: at least 1, at most {_LONGEST_S}")
    return value


class SmokeHttpSection(Section):
    """``smoke.http``: one GET and what its answer must be."""

    path: Annotated[Text, AfterValidator(_path)] = Field(default="/", examples=["/healthz"])
    """From the environment's base_url; a redirect is not followed. /: every service has it."""
    status: Annotated[int, AfterValidator(_status)] = Field(default=200, examples=[200])
    """The status of the answer. 200: what a health check answers with."""
    json_fields: Mapping[Text, JsonValue] = Field(default_factory=dict, alias="json", examples=[{"status": "ok"}])
    """Values by the dotted path of a field; {digest} stands for the image's digest. None by default."""
    headers: Annotated[Mapping[Text, Text], AfterValidator(_headers)] = Field(
        default_factory=dict, examples=[{"X-Version": "{digest}"}]
    )
    """Values by the name of a header, such as the version; {digest} stands for the image's. None by default."""
    max_ms: PositiveNumber | None = Field(default=None, examples=[500])
    """Milliseconds for the whole answer. None: the gates judge latency, one request says little."""

    @property
    def check(self) -> HttpCheck:
        """As the adapter takes it."""
        return HttpCheck(
            path=self.path,
            status=self.status,
            json_fields=self.json_fields,
            headers=self.headers,
            max_latency=None if self.max_ms is None else timedelta(milliseconds=self.max_ms),
        )


class SmokeSection(Section):
    """``smoke``: a script of the team's, checks over HTTP, or both."""

    script: Text | None = Field(default=None, examples=["./scripts/smoke.sh"])
    """Program below deploy.yaml's folder, run as `SCRIPT BASE_URL`; 0 says healthy. None: `http` alone."""
    http: tuple[SmokeHttpSection, ...] = Field(default=(), examples=[[{"path": "/healthz"}]])
    """GETs and what their answers must be. None by default: `script` alone."""
    within_s: Annotated[float, AfterValidator(_seconds)] = Field(default=120, examples=[120])
    """Seconds until everything has passed once; what fails is tried again until then. 120: caches warm up."""
    timeout_s: Annotated[float, AfterValidator(_seconds)] = Field(default=30, examples=[30])
    """Seconds for one request, and for one run of the script. 30: more is no healthy service."""
    env: tuple[Text, ...] = Field(default=(), examples=[["SMOKE_TOKEN"]])
    """Names of the variables that the script sees beside PATH, HOME, LANG and the like. None by default."""

    @model_validator(mode="after")
    def _something(self) -> Self:
        variables(self.env)
        if self.script is None and not self.http:
            raise ValueError("a smoke test with nothing to check: give script, http or both")
        return self

    @property
    def within(self) -> timedelta:
        """Until everything has passed once."""
        return timedelta(seconds=self.within_s)

    @property
    def timeout(self) -> timedelta:
        """For one request or run."""
        return timedelta(seconds=self.timeout_s)
