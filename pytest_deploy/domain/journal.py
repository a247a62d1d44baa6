"""The journal: each mutation as intent, with its undo, before it is done, and as observed after it.

It is the truth for undo: ``open_undos`` computes from the entries alone what has to be taken back.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pytest_deploy.domain.action import Action, Undo

__all__ = ["Entry", "EntryState", "Milestone", "is_open", "open_undos"]


class EntryState(StrEnum):
    """What an entry says of its mutation."""

    INTENT = "intent"
    """It is about to be done; from here on it may have happened."""
    DONE = "done"
    """It was done, and its effect was observed."""
    FAILED = "failed"
    """It was tried and ended in an error: it may have happened, wholly or in part."""
    MILESTONE = "milestone"


class Milestone(StrEnum):
    """The states of a deploy that end or turn it."""

    OPENED = "opened"
    JUDGED = "judged"
    HOLDING = "holding"
    DECIDED = "decided"
    COMMITTED = "committed"
    ROLLING_BACK = "rolling back"
    ROLLED_BACK = "rolled back"
    NEEDS_HUMAN = "needs a human"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the journal; only ever appended.

    Args:
        seq: 1, 2, 3 ... within the deploy.
        intent: for DONE and FAILED: the ``seq`` of the intent that it answers.
        undo: for an INTENT: how to take it back; None where nothing has to be.
        observed: what was seen, in words; for FAILED the error.
        milestone: for MILESTONE only.
    """

    seq: int
    at: datetime
    deploy_id: str
    state: EntryState
    action: Action | None = None
    undo: Undo | None = None
    intent: int | None = None
    observed: str = ""
    milestone: Milestone | None = None


def open_undos(entries: Iterable[Entry]) -> tuple[Undo, ...]:
    """Return what has to be taken back, the latest first, each once.

    An intent without a DONE counts: the mutation may have happened. Undo is idempotent, so that taking back
    what never was does no harm. After ROLLED_BACK nothing of what stands before it is open.
    """
    undos: list[Undo] = []
    for entry in entries:
        if entry.state is EntryState.INTENT and entry.undo is not None:
            if entry.undo in undos:
                undos.remove(entry.undo)
            undos.append(entry.undo)
        elif entry.milestone is Milestone.ROLLED_BACK:
            undos.clear()
    return tuple(reversed(undos))


def is_open(entries: Iterable[Entry]) -> bool:
    """Whether a deploy was begun and has not reached an end that leaves nothing to do."""
    last: Milestone | None = None
    for entry in entries:
        last = entry.milestone or last
    return last not in {None, Milestone.CLOSED}
