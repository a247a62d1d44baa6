"""From the path of deploy.yaml to its model; all problems at once, each with its place."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pydantic import JsonValue, ValidationError

from pytest_deploy.config.model import SECTIONS_WITHOUT_ADAPTER, DeployConfig
from pytest_deploy.config.overrides import apply, parse
from pytest_deploy.config.paths import Folders
from pytest_deploy.config.places import Places
from pytest_deploy.config.secrets import literal_secrets
from pytest_deploy.config.source import Problem, read
from pytest_deploy.config.wording import problems as in_words
from pytest_deploy.errors import ConfigError

__all__ = ["SANDBOX_CONFIG_NAME", "find", "load"]

SANDBOX_CONFIG_NAME = "deploy.sandbox.yaml"
"""What stands in the place of deploy.yaml on the sandbox."""


def find(start: Path, name: str = "deploy.yaml") -> Path:
    """Return the file of this name in the folder of ``start``, or in the nearest folder above.

    Args:
        start: the feature's folder, or the feature itself.
        name: the value of ``--deploy-config``; an absolute path is taken as it is.

    Raises:
        ConfigError: no folder has one.
    """
    folder = start.absolute() if start.is_dir() else start.absolute().parent
    for candidate in (above / name for above in (folder, *folder.parents)):
        if candidate.is_file():
            return candidate
    where = name if Path(name).is_absolute() else f"{name} in {start} or in a folder above"
    raise ConfigError([f"there is no {where}"], hint="write one: README, section deploy.yaml")


def load(path: Path, *, overrides: Sequence[str] = (), root: Path | None = None) -> DeployConfig:
    """Return what deploy.yaml says, once everything in it is right.

    Args:
        path: relative paths in the file are taken from its folder.
        overrides: ``KEY=VALUE`` texts of ``--deploy-set``; the later one wins.
        root: messages name the file relative to this folder; None: by its name alone.

    Raises:
        ConfigError: every problem found, as ``deploy.yaml:9:3: slo.window_minutes: what, and what would be right``.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror or type(error).__name__}"]) from error
    document = read(raw)
    places = Places(file=_shown(path, root), keys=document.places)
    found = list(document.problems)
    data = document.value
    if not isinstance(data, dict):
        raise ConfigError(_lines(found, places))

    lines: list[str] = []
    for text in overrides:
        option = f"--deploy-set {text.encode(errors='replace').decode()}"
        try:
            override = parse(text)
            if any(literal_secrets({str(override.key[-1]): override.value})):
                option = f"{option.partition('=')[0]}=(not shown)"
            apply(override, data)
        except ValueError as error:
            lines.append(f"{option}: {error}")
        else:
            found = [problem for problem in found if problem.key[: len(override.key)] != override.key]
            places.override(override.key, option)

    config, wrong = _validated(data, path)
    known = {problem.key for problem in found if problem.key}
    found.extend(problem for problem in wrong if not _is_covered(problem, known))
    found.extend(_secrets(data))
    lines = [*_lines(found, places), *lines]
    if config is None or lines:
        raise ConfigError(lines)
    config._places = places  # noqa: SLF001 - a private attribute of the model that this module builds
    config._folder = path.parent.resolve()  # noqa: SLF001 - as above
    return config


def _validated(data: dict[str, JsonValue], path: Path) -> tuple[DeployConfig | None, list[Problem]]:
    base = path.parent.resolve()
    chart = data.get("chart_path")
    context = Folders(base=base, chart=base / chart if isinstance(chart, str) and chart else None)
    try:
        # JSON's strictness is the one wanted: no text becomes a number, but lists become tuples.
        return DeployConfig.model_validate_json(json.dumps(data), strict=True, context=context), []
    except ValidationError as error:
        return None, list(in_words(error.errors(include_url=False)))


def _secrets(data: dict[str, JsonValue]) -> Iterator[Problem]:
    for section in SECTIONS_WITHOUT_ADAPTER:
        for key in literal_secrets(data.get(section), (section,)):
            yield Problem(key=key, text="a secret is only ever named: write ${env:NAME} or ${file:path}")


def _is_covered(problem: Problem, known: Iterable[tuple[str | int, ...]]) -> bool:
    """Return whether the text itself is already known to be wrong there, or above."""
    return any(problem.key[: len(key)] == key for key in known)


def _lines(found: Iterable[Problem], places: Places) -> list[str]:
    """Return one line for each problem, the file's in the order of their places, then the options'."""
    lines: list[tuple[str, tuple[int, int], str]] = []
    for problem in found:
        option, place = places.find(problem.key)
        if problem.line is not None:
            option, place = "", (problem.line, problem.column)
        where = option or f"{places.file}:{place[0]}:{place[1]}"
        key = ".".join(f'"{part}"' if "." in str(part) else str(part) for part in problem.key)
        lines.append((option, place, f"{where}: {key}: {problem.text}" if key else f"{where}: {problem.text}"))
    return [line for _, _, line in sorted(lines)]


def _shown(path: Path, root: Path | None) -> str:
    if root is not None and path.absolute().is_relative_to(root.absolute()):
        return path.absolute().relative_to(root.absolute()).as_posix()
    return path.name
