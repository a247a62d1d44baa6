"""A feature's gates without a deploy: a series, a service that runs, and past deploys."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pytest_deploy.adapters.series import Measurement, Series
from pytest_deploy.domain.evidence_judge import EvidenceJudge
from pytest_deploy.domain.judge import Contract, Judge
from pytest_deploy.domain.measurement import Kind, Objective, Reading, Role
from pytest_deploy.domain.plan import Gate, Stage, multiple_before_next
from pytest_deploy.domain.policy import Policy, Response
from pytest_deploy.domain.verdict import VerdictKind
from pytest_deploy.errors import ConfigError
from pytest_deploy.gate.check import check
from pytest_deploy.gate.show import Shown
from pytest_deploy.replay import Judged, Plan, Window

ERRORS = Objective(kind=Kind.ERROR_RATE, limit=0.005)
SLOW = Objective(kind=Kind.LATENCY, limit=0.3, quantile=0.95)
SCRAPE = timedelta(seconds=15)
MINUTE = timedelta(minutes=1)
EPOCH = datetime(2026, 11, 24, tzinfo=UTC)


def gate(objective: Objective = ERRORS, *, weight: int = 5, dry_run: bool = False) -> Gate:
    """Return a gate of one minute."""
    return Gate(
        objective=objective, window=MINUTE, scenario=f"at {weight}", place=f"x.feature:{weight}", dry_run=dry_run
    )


def plan(
    *weights: int, objectives: Sequence[Objective] = (ERRORS,), judge: Judge | None = None, policy: Policy | None = None
) -> Plan:
    """Return a plan whose weights have the same gates."""
    stages = tuple(
        Stage(
            weight=weight,
            gates=tuple(gate(each, weight=weight) for each in objectives),
            scenario=f"at {weight}",
            place=f"x.feature:{weight}",
        )
        for weight in weights
    )
    return Plan(stages=stages, afterwards=(), judge=judge or EvidenceJudge(), policy=policy or Policy(), window=MINUTE)


def lines(
    weight: int | None,
    *,
    bad: Callable[[float], float] = lambda _: 0.0,
    per_s: float = 100,
    until: int = 60,
    gate: str = "error rate",
    role: Role = Role.CANARY,
) -> list[Measurement]:
    """Return a reading each 15 seconds of one window."""
    found = []
    for second in range(15, until + 1, 15):
        at = EPOCH + timedelta(seconds=second)
        total = per_s * second
        reading = Reading(
            since=EPOCH, at=at, newest=at, total=total, bad=bad(total), value=bad(total) / total, queries=("q",)
        )
        found.append(
            Measurement(
                gate=gate,
                weight=weight,
                scenario="",
                role=role,
                offset=timedelta(seconds=second),
                reading=reading,
                place=f"s.csv:{len(found) + 2}",
            )
        )
    return found


def replayed(of: Plan, *measurements: Measurement) -> tuple[list[Judged], list[str]]:
    """Return what was said of a series, and what was printed."""
    said: list[str] = []
    series = Series(name="s.csv", measurements=measurements)
    return list(check(of, series, "checkout-api", SCRAPE, Shown(said.append))), said


def test_a_clean_series_passes_weight_after_weight() -> None:
    """Each weight is judged over its own window; the counts of all are pooled as a deploy pools them."""
    judged, said = replayed(plan(5, 100), *lines(5), *lines(100))
    assert [each.passed for each in judged] == [True, True]
    (first,), (second,) = (each.verdicts.values() for each in judged)
    assert first is not None
    assert second is not None
    assert first.sentence.startswith("error rate at 5 %: PASS, 0.00 % <= 0.50 %; 0 bad of 6000 in 60 s of 60 s")
    assert "0 of 12,000 over 2 steps" in second.ruling.rule
    assert "    15 s  error rate 0.00 % (limit 0.50 %): 0 bad of 1500" in said
    assert f"    60 s  {second.sentence}" in said


def test_the_first_breach_ends_it_when_it_is_clear() -> None:
    """It stops at the look and the weight where a deploy would, and later weights are not judged."""
    judged, said = replayed(plan(5, 25, 100), *lines(5), *lines(25, bad=lambda total: total * 0.1), *lines(100))
    assert [(each.window.weight, each.response) for each in judged] == [(5, None), (25, Response.ROLL_BACK)]
    breaker = judged[-1].breaker
    assert breaker is not None
    assert breaker.kind is VerdictKind.FAIL
    assert breaker.watched < MINUTE
    assert said[-1].endswith(breaker.sentence)


def test_a_weight_without_a_line_is_no_data() -> None:
    """Nothing is passed because nothing was written about it."""
    judged, _ = replayed(plan(5, 25), *lines(5))
    assert judged[-1].breaker is not None
    assert judged[-1].breaker.kind is VerdictKind.NO_DATA
    assert not judged[-1].passed


def test_a_gate_without_a_line_is_no_data() -> None:
    """The other gate's lines do not stand in for it."""
    judged, _ = replayed(plan(5, objectives=(ERRORS, SLOW)), *lines(5))
    assert [v.kind for v in judged[0].verdicts.values() if v] == [VerdictKind.PASS, VerdictKind.NO_DATA]
    assert not judged[0].passed


def test_a_series_that_ends_early_does_not_pass() -> None:
    """Half a window is not the window."""
    judged, _ = replayed(plan(5), *lines(5, until=30))
    assert judged[0].breaker is not None
    assert judged[0].breaker.kind is VerdictKind.ERROR
    assert "no reading of the error rate from 30 s to 60 s" in judged[0].breaker.ruling.rule


def test_lines_that_the_feature_lacks_are_refused() -> None:
    """A weight or a gate that is misspelt is told with its place and what is known, all at once."""
    with pytest.raises(ConfigError) as raised:
        replayed(plan(5, 25), *lines(10), *lines(25, gate="eror rate"))
    assert raised.value.problems == (
        "s.csv:2: weight: the feature has no weight 10 %, only: 5 %, 25 %",
        "s.csv:2: gate: the feature has no gate 'eror rate' at 25 %, only: error rate",
    )


def test_lines_that_nothing_judges_are_said_to_be_left_out() -> None:
    """A recorded deploy also measured outside of its weights; a feature that judges nothing there says so."""
    judged, said = replayed(plan(5), *lines(5), *lines(None))
    assert judged[0].passed
    assert said[0] == "4 readings outside of the weights are left out, no gate here judges them: error rate"
    after = Window(weight=None, gates=(gate(weight=0),), scenario="Afterwards", place="x.feature:9")
    of = replace(plan(5), afterwards=(after,))
    budget = [replace(each, scenario="Pre-flight", recorded=True) for each in lines(None, gate="burn")]
    judged, said = replayed(of, *lines(5), *lines(None), *budget)
    assert [each.passed for each in judged] == [True, True]
    assert said[0].endswith("no gate here judges them: burn")
    with pytest.raises(ConfigError, match="the feature has no gate 'burn' after promotion, only: error rate"):
        replayed(of, *lines(5), *lines(None), *lines(None, gate="burn"))


def test_a_window_goes_on_only_where_the_series_does() -> None:
    """The policy's second window is judged where it was recorded; where not, the first one's verdict stands."""
    few = plan(5, judge=Contract(min_requests=100))
    (short,), _ = replayed(few, *lines(5, per_s=1))
    (whole,), _ = replayed(few, *lines(5, per_s=1, until=120))
    assert short.breaker is not None
    assert (short.breaker.kind, short.breaker.extended) == (VerdictKind.INCONCLUSIVE, timedelta())
    assert short.response is Response.EXTEND_THEN_HOLD
    assert whole.passed
    assert [v.extended for v in whole.verdicts.values() if v] == [MINUTE]


def test_the_stable_versions_lines_are_the_control() -> None:
    """Where both break, the ruling says that the canary need not be the reason."""
    broken: Callable[[float], float] = lambda total: total * 0.1  # noqa: E731
    judged, said = replayed(plan(5), *lines(5, bad=broken), *lines(5, bad=broken, role=Role.STABLE))
    assert judged[0].breaker is not None
    assert judged[0].breaker.ruling.cause == "environment"
    assert any("; stable: 10.00 %" in line for line in said)


def test_a_dry_run_blocks_nothing_and_passes_nothing() -> None:
    """Its verdict is printed; a weight that nothing else judges is not passed."""
    both = Stage(weight=5, gates=(gate(), gate(SLOW, dry_run=True)), scenario="at 5", place="x.feature:5")
    alone = Stage(weight=5, gates=(gate(dry_run=True),), scenario="at 5", place="x.feature:5")
    shell = plan(5)
    made = [replace(shell, stages=(stage,)) for stage in (both, alone)]
    judged, said = replayed(made[0], *lines(5))
    assert judged[0].passed
    assert any("NO_DATA" in line and line.endswith("(dry run: it blocks nothing)") for line in said)
    judged, _ = replayed(made[1], *lines(5))
    assert not judged[0].passed


def test_what_rests_on_no_series_is_not_judged() -> None:
    """A program's gate is named and not passed; a weight that has nothing else is not passed either."""
    script = Objective(kind=Kind.SCRIPT, limit=0, subject="./check.sh")
    judged, said = replayed(plan(5, objectives=(script,)), *lines(None))
    assert judged[0].verdicts == {}
    assert not judged[0].passed
    assert any("./check.sh: not judged here" in line for line in said)


def test_after_the_promotion_no_weight_follows() -> None:
    """The window of the SLO afterwards is judged like the last weight: its risk is not bounded by a weight."""
    of = plan(5, 100)
    after = Window(weight=None, gates=(gate(weight=0),), scenario="Afterwards", place="x.feature:9")
    of = replace(of, afterwards=(after,))
    multiples = [multiple_before_next(of.stages, window.weight, of.window) for window in of.windows]
    assert [multiple is None for multiple in multiples] == [False, True, True]
    judged, _ = replayed(of, *lines(5), *lines(100), *lines(None))
    assert [each.window.where for each in judged] == ["5 %", "100 %", "after promotion"]
    assert judged[-1].passed


def test_a_shown_run_is_kept_for_machines() -> None:
    """JSON holds each look and each verdict with the numbers that were printed."""
    shown = Shown(lambda _: None)
    list(check(plan(5), Series(name="s", measurements=tuple(lines(5))), "s", SCRAPE, shown))
    body: Any = json.loads(json.dumps(shown.windows))
    assert [(look["t_s"], look["total"]) for look in body[0]["looks"]] == [
        (15, 1500),
        (30, 3000),
        (45, 4500),
        (60, 6000),
    ]
    assert [(v["gate"], v["verdict"], v["total"]) for v in body[0]["verdicts"]] == [("error rate", "PASS", 6000)]
