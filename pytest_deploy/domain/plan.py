"""What a feature asks for: the canary's steps with their gates, read before anything is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

from pytest_deploy.domain.measurement import Objective
from pytest_deploy.domain.power import allowed_multiple
from pytest_deploy.domain.rollout import Step
from pytest_deploy.domain.slo import Slo

__all__ = ["Gate", "Stage", "gates_of", "mending_yaml", "multiple_before_next", "rollout_problems"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One ``Then`` gate: an objective over a window.

    Args:
        window: how long it is watched; with ``requests`` at most.
        scenario: its title with the Examples filled in: rows share their lines, and are other gates all the same.
        place: ``file:line`` in the feature.
        requests: with so many the window ends before its time; None: time alone ends it.
        dry_run: it is judged and told, and never blocks.
    """

    objective: Objective
    window: timedelta
    scenario: str
    place: str
    requests: int | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One weight of the canary with the gates that judge it, together, over one shared window.

    Args:
        weight: percent.
        scenario: the title of the scenario that asks for it.
        place: ``file:line`` in the feature.
    """

    weight: int
    gates: tuple[Gate, ...]
    scenario: str
    place: str

    @property
    def window(self) -> timedelta:
        """The longest window of its gates."""
        return max((gate.window for gate in self.gates), default=timedelta())


def gates_of(slo: Slo, window: timedelta, *, scenario: str, place: str) -> tuple[Gate, ...]:
    """Return the gates that the SLO of deploy.yaml is, where a step names no limit of its own."""
    return tuple(
        Gate(objective=objective, window=window, scenario=scenario, place=f"{place} {objective.name}")
        for objective in slo.objectives
    )


def multiple_before_next(stages: Sequence[Stage], weight: int | None, window: timedelta) -> float | None:
    """Return how many times the limit the weight after this one may risk; None where none follows.

    Args:
        weight: None after the commitment.
        window: of a weight whose gates have none.
    """
    weights = [stage.weight for stage in stages]
    if weight not in weights[:-1]:
        return None
    following = stages[weights.index(weight) + 1]
    return allowed_multiple(following.weight, following.window or window)


def rollout_problems(stages: Sequence[Stage], steps: Sequence[Step]) -> tuple[str, ...]:
    """Return why a Rollout with these steps can't be driven through these stages; () when it can.

    The controller must hold, without a time limit, right after each of our weights, and must not hold or
    change the weight anywhere else: it would advance without a verdict, or wait where no step promotes.
    """
    weights = [stage.weight for stage in stages]
    problems: list[str] = []
    if not steps:
        problems.append("it has no canary steps: a new version would get all traffic at once")
    for index, step in enumerate(steps):
        following = steps[index + 1] if index + 1 < len(steps) else None
        if step.kind == "setWeight" and (following is None or not following.holds):
            what = "ends" if following is None else f"goes on with {_words(following)}"
            problems.append(f"step {index} sets {step.weight} % and then {what}: it would advance without a verdict")
        elif step.kind == "pause" and (index == 0 or steps[index - 1].kind != "setWeight"):
            what = "holds where no weight was set: no step of the feature promotes there"
            problems.append(
                f"step {index} {what}" if step.holds else f"step {index} is {_words(step)}, not after a weight"
            )
    held = [step.weight for step, following in pairwise(steps) if step.kind == "setWeight" and following.holds]
    if not problems and held != weights:
        asked, has = _list(weights), _list([w for w in held if w is not None])
        problems.append(f"it pauses at {has}, and the feature promotes through {asked}")
    return tuple(problems)


def mending_yaml(stages: Sequence[Stage]) -> str:
    """Return the ``strategy`` of a Rollout that these stages can drive."""
    lines = ["strategy:", "  canary:", "    steps:"]
    for stage in stages:
        lines += [f"      - setWeight: {stage.weight}", "      - pause: {}"]
    return "\n".join(lines)


def _words(step: Step) -> str:
    if step.kind == "pause":
        return "a pause without end" if step.pause_s is None else f"a pause of {step.pause_s:g} s"
    return f"setWeight {step.weight}" if step.kind == "setWeight" else step.kind


def _list(weights: Sequence[int]) -> str:
    return ", ".join(f"{weight} %" for weight in weights) or "no weight"
