"""A short model of the journal beside the workload: the rules of ``ClusterJournal``, without its text."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_deploy.domain.journal import Entry, EntryState
from pytest_deploy.domain.policy import Decision
from pytest_deploy.errors import DeployError, RemoteError
from tests.simulator.process import Process
from tests.simulator.server import Server

__all__ = ["SimJournal"]


class SimJournal:
    """Port ``Journal``, by compare-and-swap, as ``ClusterJournal`` does it; over a server that keeps tuples.

    What this process believes to stand there is held against what does: another one that wrote for the same deploy,
    and a deploy that began meanwhile, are seen. A quarter of the schedules use the real one.
    """

    def __init__(self, process: Process, server: Server, deploy_id: str) -> None:
        self._process = process
        self._server = server
        self._id = deploy_id
        self._mine: tuple[Entry, ...] | None = None
        self._unsure: Entry | None = None
        self._others: dict[str, int] = {}

    def append(self, entry: Entry) -> None:
        """Store it."""
        if self._mine is None:
            self._look()
        mine, version = self._mine or (), self._server.version
        if entry.seq not in {max(1, len(mine)), len(mine) + 1}:
            raise DeployError(f"entry {entry.seq} is given, but entry {len(mine) + 1} is due")
        wanted = (*mine[: entry.seq - 1], entry)

        def late() -> None:
            if self._server.version == version:
                self._store(wanted)

        what = entry.milestone or f"{entry.state} {_words(entry)}"
        try:
            self._process.call(f"journal {entry.seq} {what}", lambda: self._swap(wanted), write=True, late=late)
        except RemoteError:
            self._unsure = entry
            raise
        self._mine, self._unsure = wanted, None

    def entries(self) -> Sequence[Entry]:
        """Return what stands there."""
        return self._process.call("journal entries", self._look)

    def decision(self, hold: int) -> Decision | None:
        """Return nothing: nobody decides here."""
        del hold
        return None

    def _swap(self, wanted: tuple[Entry, ...]) -> None:
        record, entry = self._look(), wanted[-1]
        if self._unsure == entry and record == wanted:
            return
        if entry.state is EntryState.INTENT:
            for key, entries in self._server.journals.items():
                if key != self._id and _intents(entries) > self._others.get(key, 0):
                    raise DeployError(f"another deploy, {key}, has begun", cause="foreign change")
        self._store(wanted)

    def _store(self, entries: tuple[Entry, ...]) -> None:
        self._server.version += 1
        self._server.journal(self._process, self._id, entries)

    def _look(self) -> tuple[Entry, ...]:
        record = self._server.journals.get(self._id, ())
        if self._mine is None:
            self._mine = record
            self._others = {key: _intents(entries) for key, entries in self._server.journals.items()}
        possible = [self._mine]
        if self._unsure is not None:
            possible.append((*self._mine[: self._unsure.seq - 1], self._unsure))
        if record not in possible:
            raise DeployError(
                f"the entries of deploy {self._id} were changed by somebody else: {len(record)} stand there, "
                f"{len(self._mine)} were written",
                cause="foreign change",
            )
        return record


def _intents(entries: Sequence[Entry]) -> int:
    return sum(entry.state is EntryState.INTENT for entry in entries)


def _words(entry: Entry) -> str:
    action = entry.action
    return str(getattr(action, "purpose", "")) or type(action).__name__
