"""How a deploy ends, in words and as an exit status."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, StrEnum

__all__ = ["Mode", "Outcome", "exit_status"]


class Mode(StrEnum):
    """Which world a deploy acts on."""

    REAL = "real"
    REHEARSAL = "rehearsal"
    SANDBOX = "sandbox"


class Outcome(Enum):
    """Each end of a deploy: its last line in words, and its exit status."""

    COMMITTED = ("COMMITTED", 0)
    PASSED = ("PASSED, no traffic was to be moved", 0)
    DRILL_PASSED = ("DRILL PASSED, its fault was caught and undone, verified", 0)
    DRILL_CALLED_HUMAN = ("DRILL PASSED, the rollback failed as expected and a human was called", 0)
    ROLLED_BACK = ("ROLLED BACK, verified", 1)
    STOPPED = ("STOPPED, nothing had been changed", 1)
    DRILL_FAILED = ("DRILL FAILED, its expected end was not observed; undone, verified", 1)
    INTERRUPTED = ("INTERRUPTED, rolled back, verified", 2)
    INTERRUPTED_EARLY = ("INTERRUPTED, nothing had been changed", 2)
    CRASHED = ("INTERNAL ERROR, rolled back, verified", 3)
    CRASHED_EARLY = ("INTERNAL ERROR, nothing had been changed", 3)
    REFUSED = ("REFUSED, nothing changed", 4)
    NEEDS_HUMAN = ("NEEDS A HUMAN", 7)

    def __init__(self, words: str, status: int) -> None:
        self.words = words
        self.status = status


_PRECEDENCE = (7, 2, 3, 1, 4)
"""Where several apply, the first of these wins: what needs a human now comes before all."""


def exit_status(statuses: Iterable[int]) -> int:
    """Return the one exit status of a session that saw these; 0 when there are none."""
    seen = set(statuses)
    return next((status for status in _PRECEDENCE if status in seen), 0)
