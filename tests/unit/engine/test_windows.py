"""The team's calendar in a deploy: freezes refuse it, and in business hours nobody lets a failing one go forward."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta

import pytest

from pytest_deploy.domain.event import Held, Warned
from pytest_deploy.domain.outcome import Mode
from pytest_deploy.domain.policy import Answer, Decision, Policy, Response
from pytest_deploy.domain.verdict import VerdictKind
from pytest_deploy.domain.windows import Dated, Weekly, Windows
from pytest_deploy.engine import finish, windows
from pytest_deploy.errors import GateBreach, Refused
from tests.unit.engine.conftest import Bench

Benches = Callable[..., Bench]

EVERY_DAY = tuple(range(7))
ALWAYS = Windows(business=Weekly(days=EVERY_DAY, begin=time(0), end=time(0)))
HOLDS = Policy(responses=dict.fromkeys(VerdictKind, Response.HOLD), hold=timedelta(minutes=30))


def frozen(made: Bench, begins_in: timedelta, lasts: timedelta) -> Windows:
    """Return a calendar with one freeze."""
    begin = (made.deploy.ports.clock.now() + begins_in).replace(tzinfo=None)
    return Windows(freeze=(Dated(begin=begin, end=begin + lasts, reason="peak season"),))


def promoted(made: Bench) -> list[int]:
    """Let a person promote whatever is held, at once; return the holds that were asked about."""
    asked: list[int] = []

    def decision(original: object, hold: int) -> Decision:
        asked.append(hold)
        at = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
        return Decision(hold=hold, answer=Answer.PROMOTE, by="ada", reason="one more fix", at=at)

    made.alter("journal", decision=decision)
    return asked


@pytest.mark.parametrize(
    ("begins_in", "told"),
    [
        (timedelta(hours=-1), "a freeze is in force"),
        (timedelta(minutes=15), "begins within the 20 min this deploy takes"),
    ],
)
def test_a_freeze_refuses(bench: Benches, begins_in: timedelta, told: str) -> None:
    """One that is in force, or begins while four windows of five minutes are watched: with reason, end and way out."""
    made = bench()
    made.deploy.mode = Mode.REAL
    made.deploy.windows = frozen(made, begins_in, timedelta(days=2))
    with pytest.raises(Refused) as caught:
        windows.not_frozen(made.deploy)
    assert told in str(caught.value)
    end = made.deploy.ports.clock.now() + begins_in + timedelta(days=2)
    for text in ("(peak season)", f"The next time that is free: {end:%a %Y-%m-%d %H:%M} UTC", "windows.freeze=[]"):
        assert text in str(caught.value)
    assert caught.value.cause == "freeze"
    assert not made.deploy.tx.undos


def test_a_freeze_after_the_deploy_is_no_matter(bench: Benches) -> None:
    """Twenty minutes are watched, and it begins in an hour."""
    made = bench()
    made.deploy.mode = Mode.REAL
    made.deploy.windows = frozen(made, timedelta(hours=1), timedelta(days=2))
    windows.not_frozen(made.deploy)
    assert made.deploy.step_detail == "no freeze is in force"


def test_a_rehearsal_is_only_told(bench: Benches) -> None:
    """It changes nothing, and must stay green in December."""
    made = bench()
    made.deploy.windows = frozen(made, timedelta(), timedelta(days=2))
    windows.not_frozen(made.deploy)
    (warned,) = made.told(Warned)
    assert "a real deploy would be refused" in warned.text


def test_outside_of_business_hours_a_breach_may_be_held(bench: Benches) -> None:
    """As gate.fail says: a person is asked, and their answer counts."""
    made = bench()
    made.deploy.policy = HOLDS
    made.fault("error rate 50% at 5%")
    made.raise_to(5)
    asked = promoted(made)
    made.judge(5)
    assert asked
    assert {each.by for each in made.deploy.overrides.values()} == {"ada"}


def test_in_business_hours_a_breach_goes_back_unasked(bench: Benches) -> None:
    """Whatever gate.fail says: nobody is asked, and the message says by which rule."""
    made = bench()
    made.deploy.policy = HOLDS
    made.deploy.windows = ALWAYS
    made.fault("error rate 50% at 5%")
    made.raise_to(5)
    asked = promoted(made)
    with pytest.raises(GateBreach, match=r"(?s)error rate.*in business hours .* never let forward"):
        made.judge(5)
    assert not asked
    assert not made.told(Held)
    finish.roll_back(made.deploy)
    assert made.state().image == made.old


def test_in_business_hours_no_data_may_still_be_held(bench: Benches) -> None:
    """What is not known to fail is still a person's to decide."""
    made = bench()
    made.deploy.policy = HOLDS
    made.deploy.windows = ALWAYS
    made.fault("no data at 5%")
    made.raise_to(5)
    asked = promoted(made)
    made.judge(5)
    assert asked


def test_a_decision_that_comes_after_nine_is_too_late(bench: Benches) -> None:
    """Held before the hours of business, promoted in them: a breach goes back all the same."""
    made = bench()
    made.deploy.policy = HOLDS
    made.fault("error rate 50% at 5%")
    made.raise_to(5)

    def decision(original: object, hold: int) -> Decision:
        made.deploy.windows = ALWAYS  # nine o'clock strikes
        at = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
        return Decision(hold=hold, answer=Answer.PROMOTE, by="ada", reason="one more fix", at=at)

    made.alter("journal", decision=decision)
    with pytest.raises(GateBreach, match=r"(?s)promote decided by ada.*but meanwhile it is so: in business hours"):
        made.judge(5)
    assert not made.deploy.overrides


def test_one_that_holds_does_not_speak_for_one_that_fails(bench: Benches) -> None:
    """Beside a breach in business hours nobody is asked about the other gate: a promotion would count for both."""
    made = bench()
    made.deploy.policy = HOLDS
    made.deploy.windows = ALWAYS
    made.fault("error rate 50% at 5%")
    made.raise_to(5)
    asked = promoted(made)
    with pytest.raises(GateBreach):
        made.judge(5)
    assert not asked
