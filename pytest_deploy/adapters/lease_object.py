"""The Lease beside a workload: read with the server's own time, written by compare-and-swap, never deleted."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pytest_deploy.domain.lock import Holder
from pytest_deploy.domain.rollout import Permission
from pytest_deploy.errors import DeployError

if TYPE_CHECKING:
    from pytest_deploy.domain.action import Json
    from pytest_deploy.io.kube import Connection, Reply

__all__ = ["LeaseObject", "Seen", "permissions"]

_LABELS = {"app.kubernetes.io/managed-by": "pytest-deploy", "app.kubernetes.io/component": "deploy-lock"}
_BY, _PROCESS = "pytest-deploy.dev/by", "pytest-deploy.dev/process"
_UNLOCKED = "pytest-deploy.dev/unlocked"
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


def permissions(namespace: str) -> tuple[Permission, ...]:
    """Return what an account needs in the namespace to hold the lock; its fence is a patch of the Rollout."""
    group = "coordination.k8s.io"
    return tuple(
        Permission(verb=verb, group=group, resource="leases", namespace=namespace)
        for verb in ("get", "create", "update")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The Lease as the server gave it.

    Args:
        item: the API's object; None where there is none yet.
        at: the server's time as it answered, in whole seconds.
    """

    item: Mapping[str, Any] | None
    at: datetime

    @property
    def holder(self) -> Holder | None:
        """Who holds it; None: it is free."""
        spec, notes = self._spec, self._annotations
        if not spec.get("holderIdentity"):
            return None
        renewed = _parsed(spec.get("renewTime"))
        lasts = timedelta(seconds=spec.get("leaseDurationSeconds") or 0)
        return Holder(
            deploy_id=spec["holderIdentity"],
            by=notes.get(_BY, ""),
            since=_parsed(spec.get("acquireTime")),
            renewed=renewed,
            fence=self.transitions,
            expired=self.at - renewed > lasts,
        )

    @property
    def transitions(self) -> int:
        """How often it was acquired."""
        return int(self._spec.get("leaseTransitions") or 0)

    @property
    def process(self) -> str:
        """Which process acquired it, since two may recover the same deploy."""
        return self._annotations.get(_PROCESS, "")

    @property
    def _spec(self) -> Mapping[str, Any]:
        return (self.item or {}).get("spec") or {}

    @property
    def _annotations(self) -> Mapping[str, str]:
        return ((self.item or {}).get("metadata") or {}).get("annotations") or {}


class LeaseObject:
    """The Lease ``deploy-<workload>``.

    Args:
        workload: the Helm release; where none owns it, the rollout.
    """

    def __init__(self, connection: Connection, namespace: str, workload: str) -> None:
        self.connection = connection
        self.name = f"deploy-{workload}"
        self._namespace = namespace
        self._all = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"

    def __str__(self) -> str:
        return f"Lease {self.name} in {self.connection.context}/{self._namespace}"

    def over(self, connection: Connection) -> LeaseObject:
        """Return the same Lease, reached over another connection."""
        other = copy(self)
        other.connection = connection
        return other

    def read(self) -> Seen:
        """Return it as it is now.

        Raises:
            RemoteError: as the connection.
            DeployError: it is somebody else's.
        """
        reply = self.connection.read(f"{self._all}/{self.name}", accept=(404,))
        return self._seen(reply, None if reply.status == 404 else reply.body)

    def take(self, seen: Seen, *, deploy_id: str, by: str, process: str, fence: int, lease: timedelta) -> Seen | None:
        """Write us in as the holder; None: it has changed since it was seen.

        Raises:
            Rejected: nothing was written.
            Unreachable, Throttled, Faulted: it may have been written.
        """
        spec: dict[str, Json] = {
            "holderIdentity": deploy_id,
            "leaseDurationSeconds": int(lease.total_seconds()),
            "acquireTime": _text(seen.at),
            "renewTime": _text(seen.at),
            "leaseTransitions": fence,
        }
        return self._write(seen, spec, {_BY: by, _PROCESS: process})

    def renew(self, seen: Seen, at: datetime, *, fence: int | None = None) -> Seen | None:
        """Write a new ``renewTime``; None and raises as ``take``.

        Args:
            at: the server's time now, as far as we know it.
            fence: the new number of the acquisition; None: it stays.
        """
        number: dict[str, Json] = {} if fence is None else {"leaseTransitions": fence}
        return self._write(seen, {"renewTime": _text(at), **number}, {})

    def expire(self, seen: Seen) -> Seen | None:
        """Let it end as soon as the API allows, a second after its last renewal. None and raises as ``take``."""
        return self._write(seen, {"leaseDurationSeconds": 1}, {_PROCESS: ""})

    def free(self, seen: Seen, *, why: str = "") -> Seen | None:
        """Take the holder out; the number of acquisitions stays. None and raises as ``take``.

        Args:
            why: who took it from its holder and for what reason; "": the holder gives it back itself.
        """
        # An empty holderIdentity is none in the API's own words: absent.
        return self._write(seen, {"holderIdentity": None}, {_PROCESS: "", **({_UNLOCKED: why} if why else {})})

    def _write(self, seen: Seen, spec: Mapping[str, Json], notes: Mapping[str, str]) -> Seen | None:
        item = seen.item
        if item is None:
            metadata: dict[str, Json] = {
                "name": self.name,
                "namespace": self._namespace,
                "labels": {**_LABELS},
                "annotations": {**notes},
            }
            made: dict[str, Json] = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata}
            reply = self.connection.create(self._all, {**made, "spec": {**spec}}, accept=(409,))
        else:
            annotations = {**(item["metadata"].get("annotations") or {}), **notes}
            changed = {
                **item,
                "metadata": {**item["metadata"], "annotations": annotations},
                "spec": {**(item.get("spec") or {}), **spec},
            }
            reply = self.connection.replace(f"{self._all}/{self.name}", changed, accept=(404, 409))
        return None if reply.status in {404, 409} else self._seen(reply, reply.body)

    def _seen(self, reply: Reply, item: Mapping[str, Any] | None) -> Seen:
        labels = ((item or {}).get("metadata") or {}).get("labels") or {}
        if item is not None and {**labels, **_LABELS} != labels:
            raise DeployError(
                f"{self} is not ours: it has not the labels {', '.join(f'{k}={v}' for k, v in _LABELS.items())}",
                hint="rename it: pytest-deploy keeps its lock under this name",
                cause="lock",
            )
        return Seen(item=item, at=reply.date or self.connection.clock.now())


def _text(moment: datetime) -> str:
    """As a MicroTime, which has all six places."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


def _parsed(text: str | None) -> datetime:
    return datetime.fromisoformat(text) if text else _NEVER
