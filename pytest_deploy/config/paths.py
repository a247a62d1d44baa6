"""The paths of deploy.yaml, found and checked while the model is built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo

__all__ = ["ChartFolder", "ExistingFile", "Folders", "PlainPath", "Program", "ValuesFile"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """Where relative paths are looked up, handed to the validators as their context.

    Args:
        base: the folder of deploy.yaml, links resolved.
        chart: the chart's folder; None where it is not known.
    """

    base: Path
    chart: Path | None


def _folders(info: ValidationInfo) -> Folders:
    """Return the folders that ``load`` gave to the validation."""
    if not isinstance(info.context, Folders):
        msg = "the model is validated by load() alone, which knows the folders"
        raise TypeError(msg)
    return info.context


def _located(base: Path, value: Path, root: Path) -> Path:
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
    base = _folders(info).base
    path = _located(base, value, base)
    if not _is(path.is_dir):
        msg = f"there is no folder {str(value)!r} beside deploy.yaml"
        raise ValueError(msg)
    if not _is((path / "Chart.yaml").is_file):
        msg = f"{str(value)!r} is no Helm chart: it holds no Chart.yaml"
        raise ValueError(msg)
    return path


def _values_file(value: Path, info: ValidationInfo) -> Path:
    """Look beside deploy.yaml and in the chart: charts usually carry their environments' values."""
    where = _folders(info)
    beside = _located(where.base, value, where.base)
    in_chart = _located(where.chart, value, where.base) if where.chart else beside
    found = [path for path in dict.fromkeys((beside, in_chart)) if _is(path.is_file)]
    if len(found) == 1:
        return found[0]
    if found:
        msg = f"{str(value)!r} is there twice, beside deploy.yaml and in the chart: remove or rename one"
        raise ValueError(msg)
    msg = f"there is no file {str(value)!r}, neither beside deploy.yaml nor in the chart"
    raise ValueError(msg)


def _existing_file(value: Path, info: ValidationInfo) -> Path:
    base = _folders(info).base
    path = _located(base, value, base)
    if not _is(path.is_file):
        msg = f"there is no file {str(value)!r} beside deploy.yaml"
        raise ValueError(msg)
    return path


def _plain_path(value: Path, info: ValidationInfo) -> Path:
    try:
        return _folders(info).base / value.expanduser()
    except RuntimeError as error:
        msg = f"{str(value)!r}: the home folder is not known; write the whole path"
        raise ValueError(msg) from error


def _program(value: str, info: ValidationInfo) -> str:
    if not value.strip() or not value.isprintable():
        msg = f"{value!r} is no program: a name on PATH, or a path"
        raise ValueError(msg)
    return str(_folders(info).base / value) if "/" in value else value


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
