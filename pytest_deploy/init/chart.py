"""What a Helm chart tells without being rendered."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from pytest_deploy.adapters.repository import files_below, read_text
from pytest_deploy.errors import Refused

__all__ = ["Chart"]

_SUFFIXES = (".yaml", ".yml", ".tpl")


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A chart, read as text.

    Args:
        name: of Chart.yaml.
        workload: ``Rollout`` or ``Deployment``.
        workload_file: the template that has it.
    """

    path: Path
    name: str
    workload: str
    workload_file: Path

    @classmethod
    def find(cls, folder: Path) -> Chart:
        """Return the one application chart below the folder.

        Raises:
            Refused: there is none, there are several, or what it renders can't be deployed yet.
        """
        charts = [path.parent for path in files_below(folder) if path.name == "Chart.yaml" and _is_application(path)]
        apps = [
            chart for chart in charts if not any(chart != other and chart.is_relative_to(other) for other in charts)
        ]
        if not apps:
            raise Refused(
                f"there is no Helm chart in {folder.name}/ or four levels below",
                hint="helm create charts/NAME, or call this where the chart is",
            )
        named = [chart for chart in apps if chart.name == folder.resolve().name]
        if len(apps) > 1 and len(named) != 1:
            listed = ", ".join(chart.relative_to(folder).as_posix() for chart in apps)
            raise Refused(
                f"there are {len(apps)} charts, and one deploy is of one service: {listed}",
                hint="call this in the folder of one of them: pytest-deploy init FOLDER",
            )
        chart = named[0] if named else apps[0]
        name = str(_mapping(chart / "Chart.yaml").get("name") or chart.name)
        workload, file = _workload(chart)
        return cls(path=chart, name=name, workload=workload, workload_file=file)

    @property
    def steps(self) -> tuple[tuple[int, ...], str]:
        """The canary's weights and where they stand; () where they can't be seen."""
        found = [int(text) for text in re.findall(r"setWeight:\s*(\d+)\s*$", self._template, re.MULTILINE)]
        if _rise(found):
            return (*found, *(() if found[-1] == 100 else (100,))), self.workload_file.name
        listed: list[int] = next(_lists(self._values), [])
        return (tuple(listed), "values.yaml") if listed else ((), "")

    @property
    def image(self) -> str | None:
        """Repository of the image; None where it can't be seen."""
        image = self._values.get("image")
        text = image.get("repository") if isinstance(image, dict) else image
        if isinstance(image, dict) and image.get("registry") and text:
            text = f"{image['registry']}/{text}"
        if not isinstance(text, str):
            literal = re.search(r"\bimage:\s*[\"']?([a-z0-9][\w./:@-]*)[\"']?\s*$", self._template, re.MULTILINE)
            text = literal[1] if literal else None
        if text is None:
            return None
        name = text.partition("@")[0]
        head, colon, tag = name.rpartition(":")
        return (head if colon and "/" not in tag else name) or None

    @property
    def container(self) -> str | None:
        """Name of the first container; None where it can't be seen."""
        found = re.search(r"\bcontainers:\s*(?:#.*)?\n\s*-\s*name:\s*(.+?)\s*$", self._template, re.MULTILINE)
        name = found[1].strip("\"'") if found else ""
        if re.fullmatch(r"\{\{-?\s*\.Chart\.Name\s*-?\}\}", name):
            return self.name
        return name if re.fullmatch(r"[a-z0-9-]+", name) else None

    @property
    def pins_by_digest(self) -> bool:
        """Whether the workload's template takes a digest from the values."""
        return "image.digest" in self._template

    def values_file(self, environment: str) -> str | None:
        """Return the values file of an environment, as deploy.yaml names it; None where there is none."""
        names = [f"values{sep}{environment}{end}" for sep in "-._" for end in (".yaml", ".yml")]
        names += [f"{below}/{environment}.yaml" for below in ("values", "environments", "envs", "env")]
        names += [f"{below}/{environment}/values.yaml" for below in ("environments", "envs", "env")]
        return next((name for name in names if (self.path / name).is_file()), None)

    @cached_property
    def _values(self) -> dict[str, Any]:
        return _mapping(self.path / "values.yaml")

    @cached_property
    def _template(self) -> str:
        return read_text(self.workload_file)


def _is_application(path: Path) -> bool:
    return _mapping(path).get("type", "application") == "application" and (path.parent / "templates").is_dir()


def _workload(chart: Path) -> tuple[str, Path]:
    templates = sorted(path for path in (chart / "templates").rglob("*") if path.suffix in _SUFFIXES)
    kinds: dict[str, Path] = {}
    for path in templates:
        for kind in re.findall(r"^kind:\s*(\w+)\s*$", read_text(path), re.MULTILINE):
            kinds.setdefault(kind, path)
    rollout = kinds.get("Rollout")
    if rollout is not None and re.search(r"^\s+blueGreen:", read_text(rollout), re.MULTILINE):
        raise Refused(
            f"the Rollout of {chart.name} is of strategy blueGreen, which this version can't drive yet",
            hint="use a canary strategy, or keep the way that it is deployed now",
        )
    for kind in ("Rollout", "Deployment"):
        if kind in kinds:
            return kind, kinds[kind]
    others = ", ".join(sorted(kinds)) or "no kind at all"
    raise Refused(
        f"the chart {chart.name} renders neither a Rollout nor a Deployment, but {others}",
        hint="a canary needs a Rollout in the chart",
    )


def _rise(weights: list[int]) -> bool:
    return bool(weights) and weights == sorted(set(weights)) and weights[0] >= 1 and weights[-1] <= 100


def _lists(node: object) -> Iterator[list[int]]:
    """Yield each list of rising percents up to 100 below a key that says so."""
    if isinstance(node, dict):
        for key, value in node.items():
            numbers = [each for each in value if isinstance(each, int)] if isinstance(value, list) else []
            named = str(key).lower() in {"steps", "weights", "canarysteps"}
            if named and numbers and len(numbers) == len(value) and _rise(numbers) and numbers[-1] == 100:
                yield numbers
            yield from _lists(value)


def _mapping(path: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(read_text(path))
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, dict) else {}
