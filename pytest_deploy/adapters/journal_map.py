"""The ConfigMap that holds a workload's deploys: read as a whole, written by compare-and-swap."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_deploy.domain.codec import from_json, to_json
from pytest_deploy.domain.hold import Hold, open_hold
from pytest_deploy.domain.journal import Entry, EntryState, is_open, open_undos
from pytest_deploy.domain.policy import Decision
from pytest_deploy.domain.rollout import Permission
from pytest_deploy.errors import DeployError

if TYPE_CHECKING:
    from pytest_deploy.domain.action import Json
    from pytest_deploy.io.kube import Connection

__all__ = ["JournalMap", "Page", "Record", "permissions"]

T = TypeVar("T")

LIMIT_BYTES = 512 * 1024
"""For a new intent; half of what the API server takes (1 MiB, https://kubernetes.io/docs/concepts/configuration/
configmap/): the way back of what is begun still finds room."""

_LABELS = {"app.kubernetes.io/managed-by": "pytest-deploy", "app.kubernetes.io/component": "deploy-journal"}
_ENTRIES, _DECISIONS, _BY, _LAST = ".entries", ".decisions", ".by", "last"
_INTENT = f'"state":"{EntryState.INTENT}"'
_FORGOTTEN_AFTER = timedelta(days=1)
"""An open deploy that has nothing to take back and wrote nothing for so long is gone; arbitrary, its cost is a line."""


def permissions(namespace: str) -> tuple[Permission, ...]:
    """Return what an account needs in the workload's namespace to keep the journal, and to decide."""
    return tuple(
        Permission(verb=verb, group="", resource="configmaps", namespace=namespace)
        for verb in ("get", "create", "update")
    )


@dataclass(frozen=True, kw_only=True)
class Record:
    """What stands there of one deploy; it is parsed when it is looked at, so that a damaged one harms no other.

    Args:
        by: who deploys: a person at a machine, or a CI run's address.
        entries_text, decisions_text: one JSON object in each line.
    """

    deploy_id: str
    by: str
    entries_text: str = ""
    decisions_text: str = ""

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """All entries in order; raises DeployError where they are damaged."""
        found = self._parsed(Entry, self.entries_text)
        for number, entry in enumerate(found, start=1):
            if (entry.seq, entry.deploy_id) != (number, self.deploy_id):
                raise self._damaged(f"entry {entry.seq} of {entry.deploy_id} stands where entry {number} is due")
        return found

    @property
    def intents(self) -> int:
        """How many mutations it has begun; told without parsing, so that it is known of a damaged one, too."""
        return self.entries_text.count(_INTENT)

    @property
    def open(self) -> bool:
        """Whether it has not ended; raises DeployError where its entries are damaged."""
        return is_open(self.entries)

    @property
    def hold(self) -> Hold | None:
        """The gate that waits for a person; raises DeployError where the entries are damaged."""
        try:
            return open_hold(self.entries) if self.open else None
        except ValueError as error:
            raise self._damaged(str(error)) from error

    def decision(self, hold: int) -> Decision | None:
        """Return the answer to a hold; None: there is none. Raises DeployError where the answers are damaged."""
        return next((each for each in self._parsed(Decision, self.decisions_text) if each.hold == hold), None)

    def with_entries(self, entries: Iterable[Entry]) -> Record:
        """Return it with these entries."""
        return replace(self, entries_text="".join(map(_line, entries)))

    def with_decision(self, decision: Decision) -> Record:
        """Return it with one more answer."""
        return replace(self, decisions_text=self.decisions_text + _line(decision))

    def _parsed(self, kind: type[T], text: str) -> tuple[T, ...]:
        try:
            return tuple(from_json(kind, json.loads(line)) for line in text.splitlines())
        except ValueError as error:
            raise self._damaged(str(error)) from error

    def _damaged(self, what: str) -> DeployError:
        return DeployError(
            f"the journal of deploy {self.deploy_id} in the cluster is damaged: {what}",
            hint="what has to be undone can't be told from it: look at the rollout, at helm history and at the "
            "journal.jsonl of its reports",
            cause="journal",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The ConfigMap as it was seen at one moment.

    Args:
        seen: the API's object; None where there is none yet.
        records: by deploy id.
        dropped: what is left of the deploy that ended last of those that are gone: its id, who, when it began and
            ended, and how; {} where none is gone.
    """

    seen: Mapping[str, Any] | None
    records: Mapping[str, Record]
    dropped: Mapping[str, str]

    @property
    def last(self) -> Mapping[str, str]:
        """The deploy that ended last, as ``dropped`` says it; {} where none has."""
        newest = max(self._ended(), key=lambda record: record.entries[-1].at, default=None)
        return self.dropped if newest is None else _summary(newest)

    def with_record(self, record: Record) -> Page:
        """Return it with this deploy's record in place of the one it had."""
        return replace(self, records={**self.records, record.deploy_id: record})

    def compacted(self, now: datetime) -> Page:
        """Return it without what needs no more attention: deploys that ended (the last one stays as a summary).

        A deploy that died stays as long as it has something to take back, until a later one that changed something
        has ended: its pre-flight found the workload at rest.
        """
        ended = self._ended()
        settled = max((record.entries[-1].at for record in ended if record.intents), default=None)
        gone = {record.deploy_id for record in ended}
        for record in self._readable():
            last, undos = record.entries[-1].at, open_undos(record.entries)
            if (undos and settled is not None and last < settled) or (not undos and last < now - _FORGOTTEN_AFTER):
                gone.add(record.deploy_id)
        return replace(
            self,
            records={key: record for key, record in self.records.items() if key not in gone},
            dropped=self.last,
        )

    @property
    def data(self) -> dict[str, Json]:
        """What the ConfigMap holds."""
        found: dict[str, Json] = {_LAST: json.dumps(dict(self.dropped))} if self.dropped else {}
        for key, record in self.records.items():
            texts = {_BY: record.by, _ENTRIES: record.entries_text, _DECISIONS: record.decisions_text}
            found |= {key + suffix: text for suffix, text in texts.items() if text or suffix == _ENTRIES}
        return found

    @property
    def size_bytes(self) -> int:
        """How much of the API server's limit it takes."""
        return sum(len(key) + len(str(text).encode()) for key, text in self.data.items())

    def _readable(self) -> Iterator[Record]:
        """Those that have entries, all of them sound."""
        for record in self.records.values():
            with suppress(DeployError):
                if record.entries:
                    yield record

    def _ended(self) -> tuple[Record, ...]:
        return tuple(record for record in self._readable() if not record.open)


class JournalMap:
    """The ConfigMap ``deploy-journal-<workload>`` beside a workload.

    Args:
        workload: the Helm release; where none owns it, the rollout.
    """

    def __init__(self, connection: Connection, namespace: str, workload: str) -> None:
        self.connection = connection
        self.name = f"deploy-journal-{workload}"
        self._namespace = namespace
        self._all = f"/api/v1/namespaces/{namespace}/configmaps"

    def __str__(self) -> str:
        return f"ConfigMap {self.name} in {self.connection.context}/{self._namespace}"

    def read(self) -> Page:
        """Return it as it is now; an empty page where there is none.

        Raises:
            RemoteError: as the connection.
            DeployError: it is somebody else's.
        """
        reply = self.connection.read(f"{self._all}/{self.name}", accept=(404,))
        return Page(seen=None, records={}, dropped={}) if reply.status == 404 else self._page(reply.body)

    def write(self, page: Page) -> Page | None:
        """Store a page made from one that was read, and return it as it stands then; None: it has changed since.

        Raises:
            Rejected: nothing was written.
            Unreachable, Throttled, Faulted: it may have been written.
        """
        if page.seen is None:
            metadata: dict[str, Json] = {"name": self.name, "namespace": self._namespace, "labels": {**_LABELS}}
            made: dict[str, Json] = {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": metadata,
                "data": dict(page.data),
            }
            reply = self.connection.create(self._all, made, accept=(409,))
            return None if reply.status == 409 else self._page(reply.body)
        reply = self.connection.replace(
            f"{self._all}/{self.name}", {**page.seen, "data": page.data}, accept=(404, 409)
        )  # where it was deleted since: 404
        return None if reply.status in {404, 409} else self._page(reply.body)

    def _page(self, seen: Mapping[str, Any]) -> Page:
        labels = (seen.get("metadata") or {}).get("labels") or {}
        if {**labels, **_LABELS} != labels:
            raise DeployError(
                f"{self} is not ours: it has not the labels {', '.join(f'{k}={v}' for k, v in _LABELS.items())}",
                hint="rename it: pytest-deploy keeps its journal under this name",
                cause="journal",
            )
        data: Mapping[str, str] = seen.get("data") or {}
        ids = [key.removesuffix(_ENTRIES) for key in data if key.endswith(_ENTRIES)]
        return Page(
            seen=seen,
            records={
                each: Record(
                    deploy_id=each,
                    by=data.get(each + _BY, ""),
                    entries_text=data[each + _ENTRIES],
                    decisions_text=data.get(each + _DECISIONS, ""),
                )
                for each in ids
            },
            dropped=_parsed_summary(data.get(_LAST, "")),
        )


def _line(value: Entry | Decision) -> str:
    """One line of ASCII: what the API server stores is then, to the byte, what was sent."""
    return json.dumps(to_json(value), separators=(",", ":")) + "\n"


def _summary(record: Record) -> dict[str, str]:
    first, last = record.entries[0], record.entries[-1]
    return {
        "deploy_id": record.deploy_id,
        "by": record.by,
        "began": first.at.isoformat(),
        "ended": last.at.isoformat(),
        "words": last.observed,
    }


def _parsed_summary(text: str) -> Mapping[str, str]:
    """Return the summary; {} where it can't be read: it is for people, and nothing is decided by it."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}
