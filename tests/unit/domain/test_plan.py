"""Which Rollouts a feature can drive."""

from __future__ import annotations

import pytest

from pytest_deploy.domain.plan import Stage, mending_yaml, rollout_problems
from pytest_deploy.domain.rollout import Step

STAGES = tuple(Stage(weight=w, gates=(), scenario=f"Canary at {w}%", place=f"x.feature:{w}") for w in (5, 50, 100))


def steps(*parts: int | str) -> tuple[Step, ...]:
    """Return a Rollout's steps: a number sets a weight, ``hold`` pauses."""
    made = []
    for part in parts:
        if isinstance(part, int):
            made.append(Step(kind="setWeight", weight=part))
        elif part == "hold":
            made.append(Step(kind="pause"))
        elif part.startswith("pause"):
            made.append(Step(kind="pause", pause_s=float(part.split()[1])))
        else:
            made.append(Step(kind=part))
    return tuple(made)


def test_a_pause_without_end_after_each_weight_is_right() -> None:
    """The controller holds at each of our weights and nowhere else."""
    assert rollout_problems(STAGES, steps(5, "hold", 50, "hold", 100, "hold")) == ()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (steps(), "no canary steps"),
        (steps(5, "hold", 50, "pause 60", 100, "hold"), "would advance without a verdict"),
        (steps(5, "hold", 50, 100, "hold"), "goes on with setWeight 100"),
        (steps(5, "hold", 50, "hold", 100), "ends"),
        (steps(5, "hold", 50, "hold"), "pauses at 5 %, 50 %, and the feature promotes through 5 %, 50 %, 100 %"),
        (steps(5, "hold", 20, "hold", 50, "hold", 100, "hold"), "pauses at 5 %, 20 %, 50 %, 100 %"),
        (steps("pause 5", 5, "hold", 50, "hold", 100, "hold"), "step 0 is a pause of 5 s"),
        (steps(5, "analysis", 50, "hold", 100, "hold"), "goes on with analysis"),
        (steps(5, "hold", "hold", 50, "hold", 100, "hold"), "step 2 holds where no weight was set"),
        (steps("hold", 5, "hold", 50, "hold", 100, "hold"), "step 0 holds where no weight was set"),
    ],
)
def test_each_way_to_be_wrong_is_named(given: tuple[Step, ...], says: str) -> None:
    """A Rollout that would advance by itself, or that holds elsewhere, is refused with the step."""
    problems = "; ".join(rollout_problems(STAGES, given))
    assert says in problems


def test_the_yaml_that_mends_it() -> None:
    """What is offered is what would be accepted."""
    assert mending_yaml(STAGES).splitlines()[-2:] == ["      - setWeight: 100", "      - pause: {}"]
