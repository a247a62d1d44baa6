"""Which hold waits, and what answers it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pytest_deploy.domain.hold import Hold, check_decision, open_hold
from pytest_deploy.domain.journal import Entry, EntryState, Milestone
from pytest_deploy.domain.policy import Answer, Decision

AT = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)


def entries(*milestones: Milestone, observed: str = "a | b | decide until 2026-11-24T10:30:00Z") -> list[Entry]:
    """Make a journal of milestones."""
    return [
        Entry(seq=seq, at=AT, deploy_id="d", state=EntryState.MILESTONE, milestone=milestone, observed=observed)
        for seq, milestone in enumerate(milestones, start=1)
    ]


def test_the_hold_that_waits_is_the_last_milestone() -> None:
    """Number, sentence and deadline are the entry's; an entry that is no milestone does not end it."""
    found = entries(Milestone.OPENED, Milestone.HOLDING)
    found.append(Entry(seq=3, at=AT, deploy_id="d", state=EntryState.FAILED, observed="x"))
    until = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)
    assert open_hold(found) == Hold(seq=2, deploy_id="d", since=AT, sentence="a | b", deadline=until)


@pytest.mark.parametrize("after", [m for m in Milestone if m is not Milestone.HOLDING])
def test_any_other_milestone_ends_it(after: Milestone) -> None:
    """Decided, rolled back, closed: whatever comes after a hold, it waits no longer."""
    assert open_hold(entries(Milestone.HOLDING, after)) is None
    assert open_hold([]) is None


@pytest.mark.parametrize(
    "observed", ["", "x", "x | decide until soon", "2026-11-24T10:30:00Z", "x | decide until 2026-11-24T10:30"]
)
def test_a_hold_without_a_deadline_is_damage(observed: str) -> None:
    """Every hold says until when, with its time zone."""
    with pytest.raises(ValueError, match="entry 1 holds without a deadline"):
        open_hold(entries(Milestone.HOLDING, observed=observed))


def test_a_decision_answers_its_own_hold_in_time() -> None:
    """Nothing is said about one that fits; each that does not is told why."""
    decision = Decision(hold=1, answer=Answer.PROMOTE, by="ann", reason="r", at=AT)
    held = entries(Milestone.HOLDING)
    check_decision(held, None, decision)
    with pytest.raises(ValueError, match="it is decided already: promote decided by ann"):
        check_decision(held, decision, decision)
    with pytest.raises(ValueError, match="no gate is held"):
        check_decision(entries(Milestone.OPENED), None, decision)
    with pytest.raises(ValueError, match="is for hold 1, but hold 2 waits: a"):
        check_decision(entries(Milestone.OPENED, Milestone.HOLDING), None, decision)
    late = Decision(hold=1, answer=Answer.PROMOTE, by="ann", reason="r", at=datetime(2026, 11, 24, 10, 30, tzinfo=UTC))
    with pytest.raises(ValueError, match="the deadline was 2026-11-24 10:30:00 UTC"):
        check_decision(held, None, late)
