"""Before anything is changed: gates that could never be judged, and a budget that burns already, are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from pytest_deploy.domain.event import Warned
from pytest_deploy.domain.measurement import Kind, Objective, Reading, Role, Subject
from pytest_deploy.engine import measurable, preflight
from pytest_deploy.errors import GateBreach, MeasurementError, Refused, Unreachable
from tests.unit.engine.conftest import Bench

Benches = Callable[..., Bench]


def test_all_gates_that_cant_be_judged_are_named(bench: Benches) -> None:
    """Each with its place, once, and nothing is changed."""
    made = bench()
    made.alter("metrics", problems=lambda original, objective, subject: (f"no series of {objective.name}",))
    with pytest.raises(Refused) as refused:
        preflight.metrics(made.deploy)
    text = str(refused.value)
    assert text.count("x.feature:10: error rate: no series of error rate") == 1
    assert text.count("x.feature:11: p95 latency: no series of p95 latency") == 1
    assert made.done() == []


def test_the_version_that_runs_is_asked_about(bench: Benches) -> None:
    """Its series are the control, and prove that the canary's could be told apart; else it is the whole service."""
    for apart, role in ((True, Role.STABLE), (False, Role.SERVICE)):
        made = bench(version_label=apart)
        asked: list[Subject] = []

        def keep(
            original: Any, objective: Objective, subject: Subject, asked: list[Subject] = asked
        ) -> tuple[str, ...]:
            asked.append(subject)
            return ()

        made.alter("metrics", problems=keep)
        preflight.metrics(made.deploy)
        assert {subject.role for subject in asked} == {role}
        assert {subject.workload for subject in asked} == {made.deploy.environment.rollout}


def test_a_note_stops_nothing(bench: Benches) -> None:
    """A bucket that is missing beside two that judge is told as a warning."""
    made = bench()
    made.alter("metrics", problems=lambda original, objective, subject: ("note: add a bucket",))
    preflight.metrics(made.deploy)
    assert any("add a bucket" in event.text and "note:" not in event.text for event in made.told(Warned))


def test_a_series_that_comes_late_is_waited_for(bench: Benches) -> None:
    """A release that was installed just now has no sample yet: some scrapes are waited for, and no longer."""
    made = bench()
    began = made.world.clock.monotonic()
    made.alter(
        "metrics",
        problems=lambda original, objective, subject: (
            () if made.world.clock.monotonic() - began > 20 else ("none yet",)
        ),
    )
    preflight.metrics(made.deploy)
    assert 20 < made.world.clock.monotonic() - began < 60


@pytest.mark.parametrize("error", [Unreachable("no route"), MeasurementError("no such function")])
def test_a_server_that_gives_no_answer(bench: Benches, error: Exception) -> None:
    """It is refused with its own words: no step could ever be judged."""
    made = bench()

    def broken(original: Any, objective: Objective, subject: Subject) -> tuple[str, ...]:
        raise error

    made.alter("metrics", problems=broken)
    with pytest.raises(Refused, match=str(error)):
        preflight.metrics(made.deploy)


@pytest.mark.parametrize("skew_s", [-40, 40])
def test_clocks_that_differ_are_refused(bench: Benches, skew_s: int) -> None:
    """More than half a minute, either way: the record's times would fit nobody's dashboard."""
    made = bench()
    made.alter("metrics", now=lambda original: original() + timedelta(seconds=skew_s))
    with pytest.raises(Refused, match="differ by 40 s, at most 30 s"):
        preflight.metrics(made.deploy)


def test_it_is_asked_once(bench: Benches) -> None:
    """The step and the last check before the first write are one."""
    made = bench()
    preflight.metrics(made.deploy)
    made.alter("metrics", problems=lambda *_: pytest.fail("asked again"))
    preflight.metrics(made.deploy)


def counts(bad: float, total: float | None) -> Callable[..., Reading]:
    """Return a server that shows the same share in every window."""

    def read(original: Any, objective: Objective, subject: Subject, since: datetime) -> Reading:
        at = since + timedelta(days=3)
        value = None if not total else bad / total
        return Reading(since=since, at=at, newest=at, total=total, bad=bad, value=value, queries=())

    return read


def test_a_calm_budget(bench: Benches) -> None:
    """Half of what is allowed burns nothing down."""
    made = bench()
    made.alter("metrics", read=counts(25, 10_000))
    measurable.budget_not_burning(made.deploy)
    assert made.deploy.step_detail


def test_a_burning_budget_is_refused(bench: Benches) -> None:
    """Twenty times the budget over an hour and five minutes: this is an incident, and no time to deploy."""
    made = bench()
    made.alter("metrics", read=counts(1000, 10_000))
    with pytest.raises(Refused, match="1 h and 5 min") as refused:
        measurable.budget_not_burning(made.deploy)
    assert refused.value.cause == "error budget"


def test_a_slowly_burning_budget_is_told(bench: Benches) -> None:
    """Twice the budget for days is a warning."""
    made = bench()
    made.alter("metrics", read=counts(100, 10_000))
    measurable.budget_not_burning(made.deploy)
    assert any("error budget" in event.text for event in made.told(Warned))


def test_a_budget_that_nobody_knows_is_refused(bench: Benches) -> None:
    """No series is no calm budget, nor is a server that does not answer."""
    made = bench()
    made.alter("metrics", read=counts(0, None))
    with pytest.raises(Refused, match="can't be told"):
        measurable.budget_not_burning(made.deploy)

    def down(original: Any) -> datetime:
        raise Unreachable("no route")

    made.alter("metrics", now=down)
    with pytest.raises(Refused, match="no route"):
        measurable.budget_not_burning(made.deploy)


def test_a_budget_that_burns_afterwards_is_a_breach(bench: Benches) -> None:
    """Once something was changed it is taken back."""
    made = bench()
    made.pass_through(5)
    made.alter("metrics", read=counts(1000, 10_000))
    with pytest.raises(GateBreach) as breach:
        measurable.budget_not_burning(made.deploy)
    assert breach.value.cause == "error budget"


def test_without_gates_the_slo_is_asked_about(bench: Benches) -> None:
    """A feature that only walks reads its limits from deploy.yaml."""
    made = bench()
    made.deploy.stages = tuple(replace(stage, gates=()) for stage in made.deploy.stages)
    made.alter("metrics", problems=lambda original, objective, subject: ("nothing there",))
    with pytest.raises(Refused, match=r"slo of deploy\.yaml: error rate"):
        preflight.metrics(made.deploy)


def test_scripts_and_steps_have_no_metrics(bench: Benches) -> None:
    """Nothing is asked about what a program or a team's step says."""
    made = bench()
    own = Objective(kind=Kind.STEP, limit=0, subject="two pods are ready")
    made.deploy.stages = tuple(
        replace(stage, gates=(stage.gates[0], replace(stage.gates[1], objective=own))) for stage in made.deploy.stages
    )
    asked: list[Objective] = []

    def keep(original: Any, objective: Objective, subject: Subject) -> tuple[str, ...]:
        asked.append(objective)
        return ()

    made.alter("metrics", problems=keep)
    preflight.metrics(made.deploy)
    assert asked == [made.deploy.stages[0].gates[0].objective]
