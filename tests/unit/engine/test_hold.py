"""Holds: a verdict that is not PASS waits for a person, is watched on meanwhile, and always ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pytest_deploy.domain.event import Decided, DeployEnded, Held, Waited
from pytest_deploy.domain.hold import open_hold
from pytest_deploy.domain.journal import Milestone
from pytest_deploy.domain.measurement import Kind, Objective
from pytest_deploy.domain.policy import Answer, Decision, Policy, Response
from pytest_deploy.domain.verdict import VerdictKind
from pytest_deploy.engine import canary, finish, gates
from pytest_deploy.errors import DeployError, GateBreach
from tests.unit.engine.conftest import Bench

Benches = Callable[..., Bench]

HOLDS = Policy(responses=dict.fromkeys(VerdictKind, Response.HOLD), hold=timedelta(minutes=30))


def answered(made: Bench, answer: Answer, *, after: int = 3) -> list[int]:
    """Let a person answer at the third look; return which holds were asked about."""
    asked: list[int] = []

    def decision(original: object, hold: int) -> Decision | None:
        asked.append(hold)
        if len(asked) < after:
            return None
        at = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
        return Decision(hold=hold, answer=answer, by="ada", reason="the alert is known", at=at)

    made.alter("journal", decision=decision)
    return asked


def held(made: Bench, fault: str = "no data at 5%") -> None:
    """Bring the canary to 5 %, where its gates find no answer."""
    made.deploy.policy = HOLDS
    made.fault(fault)
    made.raise_to(5)


def test_a_person_may_promote(bench: Benches) -> None:
    """Both gates of the step count as passed with one answer; who and why stand in journal, events and the step."""
    made = bench()
    held(made)
    asked = answered(made, Answer.PROMOTE)
    made.judge(5)
    assert made.deploy.passed_weights == {5}
    (told,), (decided,) = made.told(Held), made.told(Decided)
    assert set(asked) == {told.hold}
    assert told.deadline - told.at == timedelta(minutes=30)
    assert f"--deploy {made.deploy.id}" in told.command
    assert decided.decision.by == "ada"
    entries = made.world.ports().journal.entries()
    assert [e.milestone for e in entries if e.milestone in {Milestone.HOLDING, Milestone.DECIDED}] == [
        Milestone.HOLDING,
        Milestone.DECIDED,
    ]
    made.mend()
    made.raise_to(25)
    assert made.deploy.reached == 25
    finish.roll_back(made.deploy)
    finish.close(made.deploy)
    assert "(2 gates by decision of ada)" in made.told(DeployEnded)[-1].words


def test_what_waits_can_be_read_from_the_journal(bench: Benches) -> None:
    """While it is held, the journal alone says what waits and until when."""
    made = bench()
    held(made)
    seen = []

    def decision(original: object, hold: int) -> Decision | None:
        seen.append(open_hold(made.world.ports().journal.entries()))
        return None

    made.alter("journal", decision=decision)
    with pytest.raises(GateBreach):
        made.judge(5)
    assert seen[0] is not None
    assert seen[0].seq == made.told(Held)[0].hold
    assert seen[0].sentence.startswith("error rate at 5 %: NO_DATA")
    assert abs(seen[0].deadline - seen[0].since - timedelta(minutes=30)) < timedelta(seconds=1)


def test_a_person_may_abort(bench: Benches) -> None:
    """Then it is a breach with its own cause, and the weight has not passed."""
    made = bench()
    held(made)
    answered(made, Answer.ABORT)
    with pytest.raises(GateBreach, match="abort decided by ada") as breach:
        made.judge(5)
    assert breach.value.cause == "no data"
    assert made.deploy.passed_weights == set()


def test_nobody_answers(bench: Benches) -> None:
    """At its deadline, not before and not long after, it is taken back."""
    made = bench()
    held(made)
    with pytest.raises(GateBreach, match="nobody decided in time"):
        made.judge(5)
    (told,) = made.told(Held)
    assert timedelta() <= made.world.clock.now() - told.deadline < timedelta(seconds=5)
    waits = [event for event in made.told(Waited) if event.what == "a decision"]
    assert waits
    assert "pytest-deploy decide" in waits[0].seen


def test_a_journal_that_cant_be_read_is_told(bench: Benches) -> None:
    """A decision could not arrive then: the wait says so, and goes on to its deadline."""
    made = bench()
    held(made)

    def broken(original: object, hold: int) -> Decision | None:
        raise DeployError("the API server does not answer")

    made.alter("journal", decision=broken)
    with pytest.raises(GateBreach, match="nobody decided in time"):
        made.judge(5)
    assert any("the API server does not answer" in event.seen for event in made.told(Waited))


def test_a_breach_meanwhile_ends_the_hold(bench: Benches) -> None:
    """The numbers are read on: once the breach is beyond doubt nobody is waited for."""
    made = bench()
    held(made, "no data at 5%")

    def decision(original: object, hold: int) -> Decision | None:
        made.world.faults.end()
        made.fault("error rate 30%")
        return None

    made.alter("journal", decision=decision)
    with pytest.raises(GateBreach, match="while a person was waited for the breach became clear") as breach:
        made.judge(5)
    assert breach.value.at == "5%"
    assert made.world.clock.now() < made.told(Held)[0].deadline - timedelta(minutes=10)


def test_metrics_that_are_away_end_no_hold(bench: Benches) -> None:
    """What can't be read now is no breach: a person still may decide."""
    made = bench()
    held(made, "prometheus down at 5%")
    answered(made, Answer.PROMOTE)
    made.judge(5)
    assert made.deploy.passed_weights == {5}


def test_a_stranger_ends_the_hold(bench: Benches) -> None:
    """Somebody else who promotes meanwhile is seen at once, not at the deadline."""
    made = bench()
    held(made)

    def decision(original: object, hold: int) -> Decision | None:
        made.alter("traffic", state=lambda original, target: replace(original(target), held_by_spec=True))
        return None

    made.alter("journal", decision=decision)
    with pytest.raises(DeployError, match="by hand"):
        made.judge(5)


def test_nobody_is_asked_where_another_gate_says_roll_back(bench: Benches) -> None:
    """A question whose answer changes nothing is not put: the breach beside it is what fails the deploy."""
    made = bench()
    made.deploy.policy = Policy(responses={VerdictKind.INCONCLUSIVE: Response.HOLD})
    made.fault("p95 latency 310ms at 5%")
    made.raise_to(5)
    errors, latency = canary.stage_of(made.deploy, 5).gates
    gates.watch(made.deploy, (errors, latency))
    passed = made.deploy.verdicts[errors]
    assert passed is not None
    unclear = replace(passed.ruling, kind=VerdictKind.INCONCLUSIVE, cause="too few requests")
    made.deploy.verdicts[errors] = replace(passed, ruling=unclear)
    gates.check(made.deploy, errors, (errors, latency))
    assert "nobody is asked" in made.deploy.step_detail
    assert made.told(Held) == []
    with pytest.raises(GateBreach, match="p95 latency at 5 %: FAIL"):
        gates.check(made.deploy, latency, (errors, latency))
    assert made.deploy.passed_weights == set()


def test_a_script_that_could_not_tell_is_held(bench: Benches) -> None:
    """There is nothing to read on meanwhile: a person decides."""
    made = bench()
    made.deploy.policy = HOLDS
    first, *rest = made.deploy.stages
    check = replace(first.gates[0], objective=Objective(kind=Kind.SCRIPT, limit=0, subject="./check-slo.sh"))
    made.deploy.stages = (replace(first, gates=(check,)), *rest)
    made.raise_to(5)
    answered(made, Answer.PROMOTE)
    made.alter("metrics", read=lambda *_: pytest.fail("read"))
    made.judge(5)
    assert made.deploy.passed_weights == {5}


def test_what_passed_needs_nobodys_word(bench: Benches) -> None:
    """A decision overrides the gates that are not PASS, and no others: the record must not say that one was needed."""
    made = bench()
    made.deploy.policy = HOLDS
    first, *rest = made.deploy.stages
    check = replace(first.gates[1], objective=Objective(kind=Kind.SCRIPT, limit=0, subject="./check-slo.sh"))
    made.deploy.stages = (replace(first, gates=(first.gates[0], check)), *rest)
    made.raise_to(5)
    answered(made, Answer.PROMOTE)
    made.judge(5)
    assert set(made.deploy.overrides) == {check}
    assert made.deploy.passed_weights == {5}
