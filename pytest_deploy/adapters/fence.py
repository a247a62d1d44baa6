"""The fence on the Rollout: a number that only grows, which each patch of a deploy tests."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pytest_deploy.domain.lock import FENCE
from pytest_deploy.errors import DeployError, Faulted, LockLost, Rejected, Throttled, Unreachable
from pytest_deploy.io.retry import TryAgain, patiently

if TYPE_CHECKING:
    from pytest_deploy.domain.action import Json
    from pytest_deploy.io.kube import Connection

__all__ = ["Fence"]

_FIELD = "/metadata/annotations"
_FENCE_FIELD = f"{_FIELD}/{FENCE.replace('/', '~1')}"


class Fence:
    """The annotation of one Rollout."""

    def __init__(self, connection: Connection, namespace: str, rollout: str) -> None:
        self._connection = connection
        self._name = f"the fence of Rollout {rollout} in {connection.context}/{namespace}"
        self._path = f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/rollouts/{rollout}"

    def read(self) -> int:
        """Return the number that stands there; 0: none, or no Rollout.

        Raises:
            DeployError: the Rollout can't be read, or what stands there is no number.
        """
        found = self._rollout()
        return 0 if found is None else self._number(found)

    def raise_to(self, number: int) -> None:
        """Let the number stand there; where there is no Rollout there is nothing to keep anybody from.

        Raises:
            LockLost: a higher one stands there: somebody else has acquired the lock since.
            DeployError: it can't be written.
        """
        patiently(
            lambda left: self._raise_to(number, left), clock=self._connection.clock, patience=self._connection.patience
        )

    def _raise_to(self, number: int, left: timedelta) -> None:
        del left
        found = self._rollout()
        if found is None:
            return
        there = self._number(found)
        if there > number:
            raise LockLost(f"{self._name} is {there}, ours is {number}: somebody else has acquired the lock since")
        if there == number:
            return
        try:
            reply = self._connection.patch(self._path, self._document(found, number), accept=(404, 409, 422))
        except (Unreachable, Throttled, Faulted) as error:
            raise TryAgain(error) from error
        if reply.status >= 400:
            raise TryAgain(Rejected(f"{self._name} can't be written ({reply.status}): {reply.words}"))

    def _document(self, rollout: Any, number: int) -> list[Json]:
        annotations = rollout["metadata"].get("annotations") or {}
        if FENCE in annotations:
            test: Json = {"op": "test", "path": _FENCE_FIELD, "value": annotations[FENCE]}
        else:
            # That a field is absent can't be tested by a JSON Patch, only that nothing at all has changed.
            test = {"op": "test", "path": "/metadata/resourceVersion", "value": rollout["metadata"]["resourceVersion"]}
        if annotations:
            return [test, {"op": "add", "path": _FENCE_FIELD, "value": str(number)}]
        return [test, {"op": "add", "path": _FIELD, "value": {FENCE: str(number)}}]

    def _rollout(self) -> Any:
        reply = self._connection.read(self._path, accept=(404,))
        return None if reply.status == 404 else reply.body

    def _number(self, rollout: Any) -> int:
        text = str((rollout["metadata"].get("annotations") or {}).get(FENCE, "0"))
        if not text.isdigit():
            raise DeployError(
                f"{self._name} is {text!r}, no number: somebody has edited the annotation {FENCE}",
                hint="take the annotation away: the next deploy writes it anew",
                cause="lock",
            )
        return int(text)
