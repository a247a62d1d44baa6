"""Two journals as one: what holds when one of them can't be written or read."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pytest_deploy.adapters.mirrored_journal import MirroredJournal
from pytest_deploy.domain.journal import Entry, EntryState, Milestone
from pytest_deploy.domain.policy import Answer, Decision
from pytest_deploy.errors import DeployError
from pytest_deploy.rehearsal import MemoryJournal


class Breakable(MemoryJournal):
    """Fails while ``broken``."""

    broken = False
    cause: str | None = None

    def append(self, entry: Entry) -> None:
        """Keep it, or fail."""
        self._fail()
        super().append(entry)

    def entries(self) -> tuple[Entry, ...]:
        """Give them, or fail."""
        self._fail()
        return tuple(super().entries())

    def _fail(self) -> None:
        if self.broken:
            raise DeployError("broken", cause=self.cause)


def entry(seq: int, state: EntryState = EntryState.INTENT) -> Entry:
    """Make one."""
    return Entry(seq=seq, at=datetime(2026, 11, 24, tzinfo=UTC), deploy_id="d", state=state)


@pytest.fixture
def pair() -> tuple[Breakable, Breakable, MirroredJournal]:
    """Truth, mirror and both."""
    truth, mirror = Breakable(), Breakable()
    return truth, mirror, MirroredJournal(truth, mirror)


Pair = tuple[Breakable, Breakable, MirroredJournal]


def test_an_intent_stands_in_both_or_is_refused(pair: Pair) -> None:
    """Whichever can't be written, the append fails; in the mirror stands nothing that was not let through."""
    truth, mirror, both = pair
    truth.broken = True
    with pytest.raises(DeployError):
        both.append(entry(1))
    assert mirror.entries() == ()
    truth.broken, mirror.broken = False, True
    with pytest.raises(DeployError):
        both.append(entry(1))
    mirror.broken = False
    both.append(entry(1, EntryState.MILESTONE))
    assert truth.entries() == mirror.entries() == (entry(1, EntryState.MILESTONE),)


def test_what_happened_is_evidence_even_where_the_truth_is_away(pair: Pair) -> None:
    """A rollback with the API server down leaves its story on the disk; a full disk changes nothing about the error."""
    truth, mirror, both = pair
    truth.broken = True
    with pytest.raises(DeployError):
        both.append(entry(1, EntryState.FAILED))
    assert mirror.entries() == (entry(1, EntryState.FAILED),)
    mirror.broken = True
    with pytest.raises(DeployError):
        both.append(entry(2, EntryState.FAILED))


def test_undo_can_be_computed_while_the_truth_is_away(pair: Pair) -> None:
    """All that this process was let do is in the mirror, too."""
    truth, mirror, both = pair
    both.append(entry(1))
    truth.broken = True
    assert both.entries() == (entry(1),)
    mirror.broken = True
    with pytest.raises(DeployError):
        both.entries()


@pytest.mark.parametrize("where", [0, 1])
def test_a_decision_counts_wherever_it_was_given(pair: Pair, where: int) -> None:
    """A person reaches the run through the cluster, or through the reports of its own machine."""
    *journals, both = pair
    words = "x | decide until 2026-11-24T00:30:00Z"
    held = Entry(
        seq=1,
        at=datetime(2026, 11, 24, tzinfo=UTC),
        deploy_id="d",
        state=EntryState.MILESTONE,
        milestone=Milestone.HOLDING,
        observed=words,
    )
    both.append(held)
    assert both.decision(1) is None
    decision = Decision(hold=1, answer=Answer.ABORT, by="ann", reason="r", at=held.at)
    journals[where].decide(decision)
    assert both.decision(1) == decision


def test_a_truth_that_somebody_else_writes_in_is_not_replaced_by_the_mirror(pair: Pair) -> None:
    """The mirror of one that was taken for dead says what is over: nothing may be undone by it."""
    truth, _, both = pair
    both.append(entry(1))
    truth.broken, truth.cause = True, "foreign change"
    with pytest.raises(DeployError, match="broken"):
        both.entries()


def test_an_empty_mirror_is_no_answer(pair: Pair) -> None:
    """In a new process it knows nothing: that nothing is open would be a guess."""
    truth, _, both = pair
    truth.append(entry(1))
    truth.broken = True
    with pytest.raises(DeployError, match="broken"):
        both.entries()
