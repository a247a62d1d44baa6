"""A journal that lasts as long as the process."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_deploy.domain.journal import Entry

__all__ = ["MemoryJournal"]


class MemoryJournal:
    """All entries in a list; in a rehearsal nothing outlives the process that would have to be undone."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []

    def append(self, entry: Entry) -> None:
        """Keep the entry."""
        self._entries.append(entry)

    def entries(self) -> Sequence[Entry]:
        """Return all entries, in order."""
        return tuple(self._entries)
