"""Watches a Job until it has ended; a connection that is lost is taken up again where it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from pytest_deploy.errors import DeployError, RemoteError, Unreachable, WaitTimedOut

if TYPE_CHECKING:
    from pytest_deploy.io.kube import Connection
    from pytest_deploy.ports import Clock

__all__ = ["JobInCluster", "Pod", "Watched", "follow"]

_POLL = timedelta(seconds=1)
_IDLE_S = 20.0
"""Without a line for so long the state is looked at, and the log taken up again: silence may be a dead connection."""
_AWAY = timedelta(minutes=10)
"""So long an API server may be away; the Job does not need us, and can be attached to again."""
_CANNOT_START = timedelta(minutes=2)
_NO_IMAGE = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A Job's pod as it was seen.

    Args:
        started: its container runs, or has run.
        status: the container's exit status; None: it has not ended.
        waits: why it does not run yet; "" where it does.
    """

    name: str
    started: bool
    status: int | None
    waits: str


class Watched(Protocol):
    """What ``follow`` needs of the cluster."""

    def pod(self) -> Pod | None:
        """Return the Job's pod; None: there is none (yet, or any more). Raises RemoteError."""
        ...

    def over(self) -> str:
        """Return why the Job has ended or is gone; "" while it has not. Raises RemoteError."""
        ...

    def lines(self, pod: str, since: str | None) -> Iterator[tuple[str, str]]:
        """Yield the log with time stamps, from ``since`` on. Raises RemoteError."""
        ...


def follow(watched: Watched, *, clock: Clock, out: Callable[[str], None], say: Callable[[str], None]) -> int | None:
    """Print the deploy's log until it has ended, and return its exit status; None: its pod is gone.

    Args:
        out: is given the deploy's own lines; ``say``: what happens around it.

    Raises:
        WaitTimedOut: the pod could not start; nothing was changed.
        Unreachable: the API server was away for ten minutes.
    """
    log, began = _Log(watched, out), clock.monotonic()
    away_since: float | None = None
    told = ""
    while True:
        try:
            pod = watched.pod()
            if pod is not None and pod.started:
                log.take(pod.name)
            if why := watched.over():
                return _end(watched, log, why, say)
            away_since = None
        except RemoteError as error:
            if away_since is None:
                say(f"connection lost, the deploy goes on by itself: {_first_line(error)}")
                away_since = clock.monotonic()
            if clock.monotonic() - away_since > _AWAY.total_seconds():
                raise Unreachable(
                    f"the cluster could not be read for {_AWAY.total_seconds() / 60:.0f} min: {_first_line(error)}",
                    hint="the deploy goes on by itself; attach to it later",
                ) from error
        else:
            waits = "no pod yet" if pod is None else pod.waits
            if waits not in {told, ""}:
                say(f"the Job's pod waits: {waits}")
            told = waits
            _check_starts(waits, clock.monotonic() - began)
        clock.sleep(_POLL)


def _end(watched: Watched, log: _Log, why: str, say: Callable[[str], None]) -> int | None:
    """Print what came between the last line and the end."""
    pod = watched.pod()
    if pod is not None and pod.started:
        log.take(pod.name)
    if pod is None or pod.status is None:
        say(f"the Job has ended, and its pod does not tell how: {why}")
        return None
    return pod.status


def _check_starts(waits: str, waited_s: float) -> None:
    reason = waits.partition(":")[0]
    if reason in _NO_IMAGE and waited_s > _CANNOT_START.total_seconds():
        raise WaitTimedOut(
            f"the Job's pod did not start within {_CANNOT_START.total_seconds():.0f} s",
            last_seen=waits,
            hint="nothing was changed; give an image that the cluster can pull: --image",
        )


def _first_line(error: DeployError) -> str:
    return DeployError.__str__(error).splitlines()[0]


class _Log:
    """The log as far as it was printed."""

    def __init__(self, watched: Watched, out: Callable[[str], None]) -> None:
        self._watched, self._out = watched, out
        self._last, self._at_last = "", 0

    def take(self, pod: str) -> None:
        """Print what is new, until the stream ends; lines of the last one's second come again and are left out."""
        known, known_count = self._last, self._at_last
        repeated = 0
        for stamp, text in self._watched.lines(pod, known or None):
            if stamp < known:
                continue
            if stamp == known:
                repeated += 1
                if repeated <= known_count:
                    continue
            self._at_last = self._at_last + 1 if stamp == self._last else 1
            self._last = stamp
            self._out(text)


class JobInCluster:
    """``Watched`` on a real API server."""

    def __init__(self, connection: Connection, namespace: str, name: str) -> None:
        self._connection, self._namespace, self._name = connection, namespace, name

    def pod(self) -> Pod | None:
        """See Watched."""
        query = {"labelSelector": f"batch.kubernetes.io/job-name={self._name}"}
        found: Any = self._connection.read(f"/api/v1/namespaces/{self._namespace}/pods", query).body.get("items")
        return _pod(found[-1]) if found else None

    def over(self) -> str:
        """See Watched."""
        reply = self._connection.read(f"/apis/batch/v1/namespaces/{self._namespace}/jobs/{self._name}", accept=(404,))
        if reply.status == 404:
            return "it was deleted"
        status: Any = reply.body.get("status") or {}
        for condition in status.get("conditions") or ():
            if condition["type"] in {"Complete", "Failed"} and condition["status"] == "True":
                return f"{condition['type']} ({condition.get('message') or condition.get('reason') or 'no words'})"
        return ""

    def lines(self, pod: str, since: str | None) -> Iterator[tuple[str, str]]:
        """See Watched."""
        from pytest_deploy.io.pod_log import log_lines

        return log_lines(self._connection, self._namespace, pod, since=since, idle_s=_IDLE_S)


def _pod(body: Mapping[str, Any]) -> Pod:
    status = body.get("status") or {}
    containers = status.get("containerStatuses") or ()
    state = containers[0].get("state") or {} if containers else {}
    ended, waiting = state.get("terminated"), state.get("waiting")
    code = ended["exitCode"] if ended else None
    conditions = {it["type"]: it for it in status.get("conditions") or ()}
    scheduled = conditions.get("PodScheduled", {})
    waits = ""
    if waiting:
        waits = f"{waiting.get('reason')}: {waiting.get('message') or ''}".rstrip(": ")
    elif scheduled.get("status") == "False":
        waits = f"{scheduled.get('reason')}: {scheduled.get('message')}"
    elif not state:
        waits = "it is being scheduled"
    return Pod(name=body["metadata"]["name"], started=bool(ended or state.get("running")), status=code, waits=waits)
