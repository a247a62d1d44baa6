"""A journal that lasts as long as the process."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_deploy.domain.hold import check_decision
from pytest_deploy.domain.journal import Entry
from pytest_deploy.domain.policy import Decision
from pytest_deploy.errors import Refused

__all__ = ["MemoryJournal"]


class MemoryJournal:
    """All entries in a list; in a rehearsal nothing outlives the process that would have to be undone.

    No other process can reach it, so nobody decides there but a test.
    """

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._decisions: dict[int, Decision] = {}

    def append(self, entry: Entry) -> None:
        """Keep the entry, in place of the last one where it has its number."""
        self._entries[entry.seq - 1 :] = [entry]

    def entries(self) -> Sequence[Entry]:
        """Return all entries, in order."""
        return tuple(self._entries)

    def decide(self, decision: Decision) -> None:
        """Keep a person's answer to the hold that waits; raises Refused where it answers none."""
        try:
            check_decision(self._entries, self._decisions.get(decision.hold), decision)
        except ValueError as error:
            raise Refused(str(error)) from error
        self._decisions[decision.hold] = decision

    def decision(self, hold: int) -> Decision | None:
        """Return the answer to a hold; None: nobody has given one."""
        return self._decisions.get(hold)
