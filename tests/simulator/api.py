"""The simulated API server as HTTP clients see it: Leases, ConfigMaps, and the Rollout's metadata, by path.

``SimConnection`` is the project's own ``Connection``, its retries included; only what goes over the wire is played.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pytest_deploy.errors import Faulted, Rejected, Unreachable
from pytest_deploy.io.kube import Connection, Reply
from pytest_deploy.io.retry import TryAgain
from pytest_deploy.rehearsal.jsonpatch import patched
from tests.simulator.process import Process

if TYPE_CHECKING:
    from pytest_deploy.ports import Clock
    from tests.simulator.server import SimRollout

__all__ = ["ObjectStore", "SimConnection", "connect"]

_ROLLOUT = "/rollouts/api"
PATIENCE = timedelta(seconds=30)


class ObjectStore:
    """Objects by path, each with a resourceVersion that every write moves.

    Args:
        written: told path, object before and after, and writer of each write that was accepted, right after it.
    """

    def __init__(
        self, rollout: SimRollout, written: Callable[[str, Mapping[str, Any] | None, Mapping[str, Any], Process], None]
    ) -> None:
        self.objects: dict[str, Mapping[str, Any]] = {}
        self._rollout = rollout
        self._written = written
        self._version = 0

    def answer(self, method: str, path: str, body: Any, process: Process) -> Reply:
        """Do what a request asks for."""
        now = process.scheduler.clock.now().replace(microsecond=0)
        if path.endswith(_ROLLOUT):
            return Reply(status=200, body=self._of_rollout(), date=now) if method == "GET" else self._fence(body)
        if method == "POST":
            path = f"{path}/{body['metadata']['name']}"
        there = self.objects.get(path)
        if method == "GET":
            return Reply(status=404 if there is None else 200, body=there or {}, date=now)
        if method == "POST" and there is not None:
            return Reply(status=409, body={"message": "already exists"}, date=now)
        if method == "PUT" and there is None:
            return Reply(status=404, body={"message": "not found"}, date=now)
        if there is not None and there["metadata"]["resourceVersion"] != body["metadata"].get("resourceVersion"):
            return Reply(status=409, body={"message": "the object has been modified"}, date=now)
        self._version += 1
        stored = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self._version)}}
        self.objects[path] = stored
        self._written(path, there, stored, process)
        return Reply(status=200, body=stored, date=now)

    def _of_rollout(self) -> dict[str, Any]:
        rollout = self._rollout
        version = zlib.crc32(repr((rollout.state, sorted(rollout.annotations.items()))).encode())
        return {"metadata": {"annotations": {**rollout.annotations}, "resourceVersion": str(version)}}

    def _fence(self, document: Any) -> Reply:
        try:
            changed: Any = patched(self._of_rollout(), document, what="the Rollout")
        except Rejected as error:
            return Reply(status=422, body={"message": str(error)})
        self._rollout.annotations = dict(changed["metadata"]["annotations"])
        return Reply(status=200, body=self._of_rollout())


@dataclass(kw_only=True)
class SimConnection(Connection):
    """A process's connection to the simulated API server."""

    process: Process
    store: ObjectStore

    def _exchange(self, request: Any, timeout_s: float) -> Reply:
        """Play one exchange."""
        del timeout_s
        store, process, name = self.store, self.process, request.path.rpartition("/")[2]

        def effect() -> Reply:
            return store.answer(request.method, request.path, request.body, process)

        late = effect if request.write else None
        try:
            return process.call(f"{request.method} {name}", effect, write=request.write, late=late)
        except (Unreachable, Faulted) as error:
            raise TryAgain(error) from error


def connect(process: Process, store: ObjectStore, clock: Clock) -> SimConnection:
    """Return a connection; nothing is sent yet."""
    return SimConnection(_no_wire, context="sim", clock=clock, patience=PATIENCE, process=process, store=store)


def _no_wire() -> Any:
    raise AssertionError
