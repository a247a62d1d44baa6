"""The kinds of values that deploy.yaml holds, each with its own message for what is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, JsonValue, ValidationInfo

from pytest_deploy.domain.quantity import format_ratio, parse_ratio
from pytest_deploy.domain.release import ImageRef

__all__ = [
    "ChartFolder",
    "DnsLabel",
    "ExistingFile",
    "Folders",
    "HttpUrl",
    "Image",
    "MetricName",
    "Minutes",
    "NotNull",
    "PlainPath",
    "PositiveNumber",
    "Program",
    "Ratio",
    "Steps",
    "Text",
    "Unbuilt",
    "ValuesFile",
]

_DAY_MINUTES = 24 * 60
_SECOND_MINUTES = 1 / 60
_LARGEST = 86_400_000  # arbitrary: a day in milliseconds; far above any latency or interval
_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?")
_METRIC = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_HELM_NAME_MAX = 53
"""Helm's limit for a release name, which is the service's where nothing else is said:
https://helm.sh/docs/chart_template_guide/getting_started/"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """Where relative paths are looked up, handed to the validators as their context.

    Args:
        base: the folder of deploy.yaml, links resolved.
        chart: the chart's folder; None where it is not known.
    """

    base: Path
    chart: Path | None


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
        msg = "found nothing: write what it is to do ({} takes all defaults), or take the key out to turn it off"
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


def folders(info: ValidationInfo) -> Folders:
    """Return the folders that ``load`` gave to the validation."""
    if not isinstance(info.context, Folders):
        msg = "the model is validated by load() alone, which knows the folders"
        raise TypeError(msg)
    return info.context


def located(base: Path, value: Path, root: Path) -> Path:
    """Return the path below ``base``.

    Raises:
        ValueError: a symbolic link in it leads out of ``root``, so what is deployed is not what was reviewed.
    """
    try:
        path = base / value
        real, said = path.resolve(), _without_dots(path)
    except (OSError, RuntimeError) as error:
        msg = f"{str(value)!r} can't be followed: {type(error).__name__}"
        raise ValueError(msg) from error
    if said.is_relative_to(root) and not real.is_relative_to(root):
        msg = f"{str(value)!r} is, or goes through, a symbolic link that leads out of {root.name}/: name the real place"
        raise ValueError(msg)
    return said


def _without_dots(path: Path) -> Path:
    parts: list[str] = []
    for part in path.parts:
        if part != "..":
            parts.append(part)
        elif len(parts) > 1:
            parts.pop()
    return Path(*parts)


def _is(check: Callable[[], bool]) -> bool:
    """Return False also where the system can't even look (too long, not permitted, a NUL)."""
    try:
        return check()
    except (OSError, ValueError):
        return False


def _chart_folder(value: Path, info: ValidationInfo) -> Path:
    base = folders(info).base
    path = located(base, value, base)
    if not _is(path.is_dir):
        msg = f"there is no folder {str(value)!r} beside deploy.yaml"
        raise ValueError(msg)
    if not _is((path / "Chart.yaml").is_file):
        msg = f"{str(value)!r} is no Helm chart: it holds no Chart.yaml"
        raise ValueError(msg)
    return path


def _values_file(value: Path, info: ValidationInfo) -> Path:
    """Look beside deploy.yaml and in the chart: charts usually carry their environments' values."""
    where = folders(info)
    beside = located(where.base, value, where.base)
    in_chart = located(where.chart, value, where.base) if where.chart else beside
    found = [path for path in dict.fromkeys((beside, in_chart)) if _is(path.is_file)]
    if len(found) == 1:
        return found[0]
    if found:
        msg = f"{str(value)!r} is there twice, beside deploy.yaml and in the chart: remove or rename one"
        raise ValueError(msg)
    msg = f"there is no file {str(value)!r}, neither beside deploy.yaml nor in the chart"
    raise ValueError(msg)


def _existing_file(value: Path, info: ValidationInfo) -> Path:
    base = folders(info).base
    path = located(base, value, base)
    if not _is(path.is_file):
        msg = f"there is no file {str(value)!r} beside deploy.yaml"
        raise ValueError(msg)
    return path


def _plain_path(value: Path, info: ValidationInfo) -> Path:
    try:
        return folders(info).base / value.expanduser()
    except RuntimeError as error:
        msg = f"{str(value)!r}: the home folder is not known; write the whole path"
        raise ValueError(msg) from error


def _program(value: str, info: ValidationInfo) -> str:
    _text(value)
    return str(folders(info).base / value) if "/" in value else value


NotNull = BeforeValidator(_not_null)
"""For what is off where it is absent: an empty line is then a question, not an answer."""
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
ChartFolder = Annotated[Path, AfterValidator(_chart_folder)]
"""A folder with a Chart.yaml."""
ValuesFile = Annotated[Path, AfterValidator(_values_file)]
"""A file beside deploy.yaml or in the chart."""
ExistingFile = Annotated[Path, AfterValidator(_existing_file)]
"""A file below deploy.yaml's folder."""
PlainPath = Annotated[Path, AfterValidator(_plain_path)]
"""A path that need not exist yet."""
Program = Annotated[str, AfterValidator(_program)]
"""A name on PATH, or a path."""
