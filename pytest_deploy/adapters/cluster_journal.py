"""The journal in the cluster, beside the workload: it survives the runner, and stands where everybody has access."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_deploy.adapters.journal_map import LIMIT_BYTES, Page, Record
from pytest_deploy.domain.hold import check_decision
from pytest_deploy.domain.journal import Entry, EntryState
from pytest_deploy.errors import DeployError, Faulted, Refused, Rejected, RemoteError, Throttled, Unreachable
from pytest_deploy.io.retry import TryAgain, patiently

if TYPE_CHECKING:
    from pytest_deploy.adapters.journal_map import JournalMap
    from pytest_deploy.domain.policy import Decision

__all__ = ["ClusterJournal"]

_OBSERVED_LIMIT = 2000
"""Characters; what a tool said in full is in the local journal."""


class ClusterJournal:
    """Port ``Journal`` as one deploy's part of its workload's ConfigMap.

    Each append is a compare-and-swap of the ConfigMap. Where the answer is lost the ConfigMap is read again before
    anything is sent twice. An entry whose number is that of the last one replaces it: whoever gives a number again
    has not acted on the one before.

    Other deploys may stand in the same ConfigMap: one that died, or one that is refused by its pre-flight. As soon
    as another one begins to change something, no intent is taken from this one any more.

    Args:
        by: who deploys, for those who look later.
    """

    def __init__(self, journal_map: JournalMap, deploy_id: str, *, by: str = "") -> None:
        self._map = journal_map
        self._deploy_id = deploy_id
        self._by = by
        self._page: Page | None = None
        self._mine: tuple[Entry, ...] | None = None
        self._unsure: Entry | None = None
        self._others: dict[str, int] = {}

    def append(self, entry: Entry) -> None:
        """Store one entry; when this returns the API server has accepted it.

        Raises:
            DeployError: it can't be stored; nothing may be mutated then. Cause "foreign change": another deploy of
                this workload has begun to change something, or somebody edited our entries.
        """
        if len(entry.observed) > _OBSERVED_LIMIT:
            more = len(entry.observed) - _OBSERVED_LIMIT
            entry = replace(entry, observed=f"{entry.observed[:_OBSERVED_LIMIT]} ... ({more} more characters)")
        try:
            self._patiently(lambda: self._append(entry))
        except RemoteError as error:
            raise self._unwritten(error) from error

    def entries(self) -> Sequence[Entry]:
        """Return all entries of this deploy, in order, as they stand in the cluster now.

        Raises:
            DeployError: they can't be read, are damaged, or were changed by somebody else.
        """
        return self._look().entries

    def decide(self, decision: Decision) -> None:
        """Store a person's answer to the hold that waits.

        Raises:
            Refused: it answers none.
            DeployError: it can't be stored.
        """
        try:
            self._patiently(lambda: self._decide(decision))
        except RemoteError as error:
            raise self._unwritten(error) from error

    def decision(self, hold: int) -> Decision | None:
        """Return the answer to a hold; None: there is none yet.

        Raises:
            DeployError: the ConfigMap can't be read, or is damaged.
        """
        return self._look().decision(hold)

    def _patiently(self, attempt: Callable[[], None]) -> None:
        connection = self._map.connection
        patiently(lambda _left: attempt(), clock=connection.clock, patience=connection.patience)

    def _append(self, entry: Entry) -> None:
        if self._page is None:
            self._look()
        page, mine = self._page, self._mine
        if page is None or mine is None:
            raise AssertionError  # _look has set both
        if entry.seq not in {max(1, len(mine)), len(mine) + 1}:
            raise DeployError(f"entry {entry.seq} is given to {self._map}, but entry {len(mine) + 1} is due")
        wanted = (*mine[: entry.seq - 1], entry)
        record = page.records.get(self._deploy_id, Record(deploy_id=self._deploy_id, by=self._by))
        if self._unsure == entry and record.entries == wanted:
            self._mine, self._unsure = wanted, None
            return
        if entry.state is EntryState.INTENT:
            self._refuse_strangers(page)
        changed = (page if mine else page.compacted(entry.at)).with_record(record.with_entries(wanted))
        if entry.state is EntryState.INTENT and changed.size_bytes > LIMIT_BYTES:
            raise DeployError(
                f"the journal can't be written: {self._map} would hold {changed.size_bytes} bytes, the limit is "
                f"{LIMIT_BYTES}: nothing is mutated",
                hint="it is full of deploys that died: take them back, then remove it (kubectl delete configmap)",
                cause="journal",
            )
        self._unsure = entry
        self._write(changed)
        self._mine, self._unsure = wanted, None

    def _decide(self, decision: Decision) -> None:
        page = self._map.read()
        record = page.records.get(self._deploy_id)
        if record is None or not record.open:
            raise Refused(f"no deploy {self._deploy_id} is open in {self._map}")
        decided = record.decision(decision.hold)
        if decided == decision:
            return
        try:
            check_decision(record.entries, decided, decision)
        except ValueError as error:
            raise Refused(str(error)) from error
        self._write(page.with_record(record.with_decision(decision)))

    def _write(self, page: Page) -> None:
        """Write once; TryAgain where the ConfigMap must be read again first."""
        self._page = None
        try:
            written = self._map.write(page)
        except (Unreachable, Throttled, Faulted) as error:
            raise TryAgain(error) from error
        if written is None:
            raise TryAgain(Rejected(f"{self._map} is changed by others again and again"))
        self._page = written

    def _look(self) -> Record:
        """Read the ConfigMap and check that our part of it is as we left it."""
        page = self._map.read()
        record = page.records.get(self._deploy_id, Record(deploy_id=self._deploy_id, by=self._by))
        if self._mine is None:
            self._mine = record.entries
            self._others = {key: other.intents for key, other in page.records.items()}
        possible = [self._mine]
        if self._unsure is not None:
            possible.append((*self._mine[: self._unsure.seq - 1], self._unsure))
        if record.entries not in possible:
            raise DeployError(
                f"the entries of deploy {self._deploy_id} in {self._map} were changed by somebody else: "
                f"{len(record.entries)} stand there, {len(self._mine)} were written",
                hint="nothing is mutated any more: look at the rollout and at helm history",
                cause="foreign change",
            )
        self._page = page
        return record

    def _refuse_strangers(self, page: Page) -> None:
        for key, other in page.records.items():
            if key != self._deploy_id and other.intents > self._others.get(key, 0):
                raise DeployError(
                    f"another deploy, {key} (by {other.by or 'nobody known'}), has begun to change this workload "
                    f"since this one was opened",
                    hint="let that one end, then deploy again: pytest-deploy status",
                    cause="foreign change",
                )

    def _unwritten(self, error: RemoteError) -> DeployError:
        return DeployError(
            f"the journal can't be written: {self._map}: {error.args[0]}: nothing is mutated",
            hint=error.hint or "the account needs get, create and update of configmaps in that namespace",
            cause=error.cause or "journal",
        )
