"""The kinds of values that deploy.yaml holds, each with its own message for what is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, JsonValue, ValidationInfo

from pytest_deploy.domain.quantity import format_ratio, parse_ratio
from pytest_deploy.domain.release import ImageRef

__all__ = [
    "DnsLabel",
    "HttpUrl",
    "Image",
    "MetricName",
    "Minutes",
    "NotNull",
    "PositiveNumber",
    "Ratio",
    "Steps",
    "Text",
    "Unbuilt",
    "variables",
]

_DAY_MINUTES = 24 * 60
_SECOND_MINUTES = 1 / 60
_LARGEST = 86_400_000  # arbitrary: a day in milliseconds; far above any latency or interval
_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?")
_METRIC = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HELM_NAME_MAX = 53
"""Helm's limit for a release name, which is the service's where nothing else is said:
https://helm.sh/docs/chart_template_guide/getting_started/"""


def _text(value: str) -> str:
    if not value.strip():
        msg = "it is empty"
        raise ValueError(msg)
    if not value.isprintable() or value != value.strip():
        msg = f"{value!r} holds control characters, or blanks at an end"
        raise ValueError(msg)
    return value


def _dns_label(value: str) -> str:
    if len(value) > _HELM_NAME_MAX:
        msg = f"{value!r} has {len(value)} characters: at most {_HELM_NAME_MAX}"
        raise ValueError(msg)
    if not _LABEL.fullmatch(value):
        msg = f"{value!r} is no Kubernetes name: lower-case letters, digits and '-', a letter or digit at both ends"
        raise ValueError(msg)
    return value


def _metric_name(value: str) -> str:
    if not _METRIC.fullmatch(value):
        msg = f"{value!r} is no Prometheus name: letters, digits and '_', no digit first"
        raise ValueError(msg)
    return value


def _http_url(value: str) -> str:
    try:
        url = urlsplit(value)
        host, _ = url.hostname, url.port
    except ValueError:
        host = None
    if not host or url.scheme not in {"http", "https"} or not value.isprintable() or " " in value:
        msg = f"{value!r} is no address: https://host, https://host:port or https://host/path"
        raise ValueError(msg)
    if "@" in url.netloc:
        msg = f"the address of {host} holds a user name or a password: take it out"
        raise ValueError(msg)
    if url.query or url.fragment:
        msg = f"the address of {host} holds a query (?) or a fragment (#): take it out"
        raise ValueError(msg)
    return value.rstrip("/")


def _not_null(value: object) -> object:
    if value is None:
        msg = "found nothing: fill it in, or take the key out to turn it off"
        raise ValueError(msg)
    return value


def _image(value: str) -> str:
    ImageRef.parse(value)
    return value


def _ratio(value: object) -> object:
    return parse_ratio(value) if isinstance(value, str) and "%" in value else value


def _inside_ratio(value: float) -> float:
    if not 0 < value < 1:
        msg = f"{value:g} is no ratio: between 0 and 1 (0.005 is {format_ratio(0.005)})"
        raise ValueError(msg)
    return value


def _positive(value: float) -> float:
    if value <= 0:
        msg = f"{value:g} is too little: more than 0"
        raise ValueError(msg)
    if value > _LARGEST:
        msg = f"{value:g} is too much: at most {_LARGEST}"
        raise ValueError(msg)
    return value


def _minutes(value: float) -> float:
    if not _SECOND_MINUTES <= value <= _DAY_MINUTES:
        msg = f"{value:g} minutes: at least {_SECOND_MINUTES:.2g} (a second), at most {_DAY_MINUTES} (a day)"
        raise ValueError(msg)
    return value


def variables(value: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of environment variables; raises ValueError for what is none."""
    for name in value:
        if not _VARIABLE.fullmatch(name):
            msg = f"{name!r} is no name of an environment variable: letters, digits and '_', no digit first"
            raise ValueError(msg)
    return value


def _steps(value: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
    shown = list(value)
    if not value:
        if info.data.get("strategy") != "canary":
            return value
        msg = "the canary strategy needs its steps in percent, such as [5, 25, 50, 100]"
        raise ValueError(msg)
    if not all(1 <= step <= 100 for step in value):
        msg = f"{shown}: each step is a whole percentage from 1 to 100"
        raise ValueError(msg)
    if shown != sorted(set(shown)):
        msg = f"{shown}: the steps must rise, each above the one before"
        raise ValueError(msg)
    if value[-1] != 100:
        msg = f"{shown}: the last step must be 100, or the deploy never gets all of the traffic"
        raise ValueError(msg)
    return value


NotNull = AfterValidator(_not_null)
"""For what is off where it is absent: an empty line is then a question, not an answer.

Not a BeforeValidator: behind one, pydantic forgets that its input is JSON, and lists are no tuples any more.
"""
Unbuilt = Annotated[Mapping[str, JsonValue] | None, NotNull]
"""A section whose adapter does not exist yet; None where the file has no such section."""
Text = Annotated[str, AfterValidator(_text)]
"""One line of text that is not empty."""
DnsLabel = Annotated[str, AfterValidator(_dns_label)]
"""A Kubernetes name (DNS-1123 label) that Helm takes, too."""
MetricName = Annotated[str, AfterValidator(_metric_name)]
"""A Prometheus metric or label; anything else could change the query around it."""
HttpUrl = Annotated[str, AfterValidator(_http_url)]
"""An address without credentials, query or closing slash."""
Image = Annotated[str, AfterValidator(_text), AfterValidator(_image)]
"""repository, repository:tag or repository@sha256:..."""
Ratio = Annotated[float, BeforeValidator(_ratio), AfterValidator(_inside_ratio)]
"""Between 0 and 1, or text with a percent sign."""
PositiveNumber = Annotated[float, AfterValidator(_positive)]
"""More than 0."""
Minutes = Annotated[float, AfterValidator(_minutes)]
"""At least a second, at most a day."""
Steps = Annotated[tuple[int, ...], AfterValidator(_steps)]
"""Rising percents that end at 100."""
