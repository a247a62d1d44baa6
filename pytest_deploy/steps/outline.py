"""Reads what a feature asks for from its steps, before any of them runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Protocol, cast

from pytest_deploy.domain.measurement import Kind, Objective
from pytest_deploy.domain.plan import Gate, Stage, gates_of
from pytest_deploy.domain.slo import Slo
from pytest_deploy.steps import canary, drill, gates, record, release, staging

__all__ = [
    "StepAsked",
    "bound_for",
    "installs",
    "is_deploy",
    "is_drill",
    "needs_candidate",
    "place_of",
    "stages",
    "uses_faults",
    "weighs",
]


class StepAsked(Protocol):
    """One step of a collected feature, with its arguments parsed."""

    @property
    def title(self) -> str:
        """The scenario's title, Examples filled in."""
        ...

    @property
    def path(self) -> Path:
        """The feature file."""
        ...

    @property
    def line(self) -> int:
        """Its line there."""
        ...

    @property
    def function(self) -> Callable[..., object]:
        """The step function that will run."""
        ...

    @property
    def args(self) -> Mapping[str, object]:
        """Its arguments, converted."""
        ...

    @property
    def type(self) -> str:
        """``given``, ``when`` or ``then``, whatever its keyword is."""
        ...

    @property
    def text(self) -> str:
        """The step without its keyword, Examples filled in."""
        ...


def bound_for(steps: Iterable[StepAsked]) -> tuple[str, str] | None:
    """Return service and environment that the feature names; None when it names none."""
    for step in steps:
        if step.function is release.bound_for:
            return str(step.args["service"]), str(step.args["environment"])
    return None


def is_drill(steps: Iterable[StepAsked]) -> bool:
    """Whether the feature expects an end of its own."""
    return any(step.function in drill.ENDINGS for step in steps)


def installs(steps: Iterable[StepAsked]) -> tuple[str, ...]:
    """Return the environments where the release is installed before it goes to its own, in order."""
    return tuple(str(step.args["environment"]) for step in steps if step.function is staging.installed)


def weighs(steps: Iterable[StepAsked]) -> bool:
    """Whether the feature gives traffic to a canary."""
    return any(step.function in (canary.traffic, canary.promoted_through) for step in steps)


def needs_candidate(steps: Iterable[StepAsked]) -> bool:
    """Whether the feature asks for a release candidate's record."""
    return any(step.function is record.verified for step in steps)


def uses_faults(steps: Iterable[StepAsked]) -> tuple[StepAsked, ...]:
    """Return the steps that exist in rehearsal and sandbox only."""
    return tuple(step for step in steps if step.function in (*drill.FAULTS, *drill.ENDINGS))


def is_deploy(steps: Iterable[StepAsked]) -> bool:
    """Whether the feature uses a step of this vocabulary: any other feature is a test like every test."""
    return any(step.function.__module__.startswith(__package__ + ".") for step in steps)


def place_of(path: Path, line: int, root: Path) -> str:
    """Return ``features/x.feature:12``: where a step stands, as every report names it."""
    return f"{os.path.relpath(path, root)}:{line}"


def stages(steps: Iterable[StepAsked], slo: Slo, root: Path) -> tuple[Stage, ...]:
    """Return the canary's weights in order, each with the gates that stand after it in its scenario.

    Args:
        slo: the gates of the short form.
        root: places are told relative to this folder.
    """
    found: list[Stage] = []
    for step in steps:
        place = place_of(step.path, step.line, root)
        if step.function is canary.traffic:
            weight = cast("int", step.args["weight"])
            found.append(Stage(weight=weight, gates=(), scenario=step.title, place=place))
        elif step.function is canary.promoted_through:
            for weight in cast("tuple[int, ...]", step.args["weights"]):
                of_slo = gates_of(slo, slo.window, scenario=step.title, place=f"{place} {weight}%")
                found.append(Stage(weight=weight, gates=of_slo, scenario=step.title, place=place))
        elif (gate := _gate(step, place)) is not None and found and found[-1].scenario == step.title:
            last = found[-1]
            found[-1] = Stage(weight=last.weight, gates=(*last.gates, gate), scenario=last.scenario, place=last.place)
    return tuple(found)


def _gate(step: StepAsked, place: str) -> Gate | None:
    """Return the gate that a step is; a team's own Then is one too. None: it judges nothing."""
    objective_of = gates.OBJECTIVES.get(step.function)
    if objective_of is not None:
        watch = cast("gates.Watch", step.args["watch"])
        return Gate(
            objective=objective_of(step.args),
            window=watch.window,
            scenario=step.title,
            place=place,
            requests=watch.requests,
            dry_run=watch.dry_run,
        )
    if step.type != "then" or step.function.__module__.startswith(__package__ + "."):
        return None
    objective = Objective(kind=Kind.STEP, limit=0, subject=step.text)
    return Gate(objective=objective, window=timedelta(), scenario=step.title, place=place)
