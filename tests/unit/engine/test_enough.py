"""The power check: a canary that could never be judged is refused before it begins, a weak one is warned of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from pytest_deploy.domain.event import Warned
from pytest_deploy.domain.evidence_judge import EvidenceJudge
from pytest_deploy.domain.judge import Contract
from pytest_deploy.domain.measurement import Kind, Objective, Reading, Subject
from pytest_deploy.domain.policy import Policy, Response
from pytest_deploy.domain.verdict import VerdictKind
from pytest_deploy.engine import enough
from pytest_deploy.errors import Refused, Unreachable
from tests.unit.engine.conftest import Bench

Benches = Callable[..., Bench]


def at_rate(made: Bench, *per_s: float | None) -> list[timedelta]:
    """Let the service have this rate, the next one at each further reading; return the windows that were read."""
    rates, spans = list(per_s), []

    def read(original: Any, objective: Objective, subject: Subject, since: datetime) -> Reading:
        at = made.world.clock.now()
        spans.append(at - since)
        rate = rates.pop(0) if len(rates) > 1 else rates[0]
        total = None if rate is None else rate * (at - since).total_seconds()
        return Reading(since=since, at=at, newest=at, total=total, bad=0, value=0.0, queries=())

    made.alter("metrics", read=read)
    return spans


def evidence(made: Bench) -> Bench:
    """Let the judge be the one that wants counts."""
    made.deploy.judge = EvidenceJudge()
    return made


def warnings(made: Bench) -> list[str]:
    """What was warned of."""
    return [event.text for event in made.told(Warned)]


def test_a_busy_service_needs_one_look(bench: Benches) -> None:
    """Five minutes back, no time lost, nothing to say."""
    made = evidence(bench())
    spans = at_rate(made, 200.0)
    began = made.world.clock.monotonic()
    enough.check(made.deploy)
    assert spans == [timedelta(minutes=5)]
    assert made.world.clock.monotonic() == began
    assert warnings(made) == []
    assert "200 requests/s" in made.deploy.step_detail


def test_a_service_that_is_too_quiet_is_refused(bench: Benches) -> None:
    """Not even zero errors could pass: said for each step, with the window that would do, and nothing is changed."""
    made = evidence(bench())
    at_rate(made, 0.01)
    with pytest.raises(Refused, match="not even zero errors could pass") as refused:
        enough.check(made.deploy)
    assert "x.feature:9: error rate at 5 %: needs" in str(refused.value)
    assert refused.value.cause == "too few requests"


def test_a_weak_step_is_warned_of(bench: Benches) -> None:
    """It could pass without an error, but a version at half its limit may not: a person should know before."""
    made = evidence(bench())
    at_rate(made, 1.0)
    enough.check(made.deploy)
    assert any("error rate at 100 %: needs 1,200 requests" in text or "at 100 %" in text for text in warnings(made))


def test_a_low_rate_is_measured_anew_first(bench: Benches) -> None:
    """A service that was installed a minute ago has no five minutes to look back on."""
    made = evidence(bench())
    spans = at_rate(made, 0.01, 200.0)
    enough.check(made.deploy)
    assert spans == [timedelta(minutes=5), timedelta(minutes=1)]
    assert warnings(made) == []


def test_the_second_window_of_the_policy_counts(bench: Benches) -> None:
    """What could pass once its window is extended is not refused; where nothing is extended it is."""
    made = evidence(bench())
    at_rate(made, 0.65)
    enough.check(made.deploy)
    made.deploy.policy = Policy(responses={VerdictKind.INCONCLUSIVE: Response.ROLL_BACK})
    with pytest.raises(Refused):
        enough.check(made.deploy)


def test_a_rate_that_nobody_knows(bench: Benches) -> None:
    """It is told, and stops nothing: the gates themselves never pass without requests."""
    for broken in (None, 0.0):
        made = evidence(bench())
        at_rate(made, broken)
        enough.check(made.deploy)
        assert any("is not known" in text for text in warnings(made))
    made = evidence(bench())

    def down(original: Any) -> datetime:
        raise Unreachable("no route")

    made.alter("metrics", now=down)
    enough.check(made.deploy)
    assert any("is not known" in text for text in warnings(made))


def test_a_load_brings_requests_that_are_not_counted_here(bench: Benches) -> None:
    """With a section load nothing is refused; the warning stays."""
    made = evidence(bench(load=True))
    at_rate(made, 0.01)
    enough.check(made.deploy)
    assert warnings(made)


def test_a_window_in_requests_has_no_more_than_these(bench: Benches) -> None:
    """Until five requests, and nothing can pass, however busy the service is."""
    made = evidence(bench())
    made.deploy.stages = tuple(
        replace(stage, gates=tuple(replace(gate, requests=5) for gate in stage.gates)) for stage in made.deploy.stages
    )
    at_rate(made, 1000.0)
    with pytest.raises(Refused):
        enough.check(made.deploy)


def test_the_plain_rule_wants_its_minimum(bench: Benches) -> None:
    """`contract` pools nothing: each step needs its own hundred."""
    made = bench()
    made.deploy.judge = Contract(min_requests=100)
    made.deploy.policy = Policy(responses={})
    at_rate(made, 1.0)
    with pytest.raises(Refused, match="at 5 %: needs 100 requests, will have about 15"):
        enough.check(made.deploy)


def test_comparisons_are_not_pooled(bench: Benches) -> None:
    """Each step is compared on its own counts; quantiles by the plain rule, which wants a hundred on each side."""
    made = evidence(bench())
    over = Objective(kind=Kind.LATENCY, limit=0.05, quantile=0.95, relative=True)
    made.deploy.stages = tuple(
        replace(stage, gates=(replace(stage.gates[1], objective=over),)) for stage in made.deploy.stages
    )
    at_rate(made, 4.0)
    enough.check(made.deploy)
    assert any("p95 latency over stable at 5 %: needs 100 requests, will have about 60" in t for t in warnings(made))
    assert not any("at 25 %" in text for text in warnings(made))


def test_a_service_wide_gate_has_all_requests(bench: Benches) -> None:
    """Where versions can't be told apart, the stable pods' requests count, too."""
    made = evidence(bench(version_label=False))
    at_rate(made, 2.0)
    enough.check(made.deploy)
    assert not any("at 5 %" in text for text in warnings(made))


def test_where_nothing_is_counted_nothing_is_asked(bench: Benches) -> None:
    """Queries and steps have no requests, and no number of them proves a limit of zero."""
    made = evidence(bench())
    zero = Objective(kind=Kind.ERROR_RATE, limit=0.0)
    made.deploy.stages = tuple(
        replace(stage, gates=(replace(stage.gates[0], objective=zero),)) for stage in made.deploy.stages
    )
    made.alter("metrics", read=lambda *_: pytest.fail("asked"))
    enough.check(made.deploy)


def test_only_the_steps_that_have_the_gate_count(bench: Benches) -> None:
    """A latency that is judged at 100 % alone has only that step's requests."""
    made = evidence(bench())
    *early, last = made.deploy.stages
    made.deploy.stages = (*(replace(stage, gates=stage.gates[:1]) for stage in early), last)
    at_rate(made, 200.0)
    enough.check(made.deploy)
    assert warnings(made) == []
