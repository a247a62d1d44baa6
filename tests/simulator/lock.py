"""The real lock (``adapters.lease``) on simulated threads: its renewals are an actor of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from unittest.mock import patch

from pytest_deploy.adapters import lease as adapter
from pytest_deploy.adapters.fence import Fence
from pytest_deploy.adapters.lease_object import LeaseObject
from tests.simulator.api import SimConnection
from tests.simulator.process import Process, running
from tests.simulator.scheduler import Actor, Scheduler

__all__ = ["lock_of", "simulated_threads"]

LEASE, RENEW = timedelta(seconds=60), timedelta(seconds=5)
_MOMENT = timedelta(milliseconds=10)


def lock_of(connection: SimConnection, deploy_id: str, *, is_open: Callable[[str], bool]) -> adapter.Lease:
    """Return the lock of the workload as a process has it."""
    return adapter.Lease(
        LeaseObject(connection, "prod", "api"),
        Fence(connection, "prod", "api"),
        deploy_id,
        by=f"ci run of {deploy_id}",
        is_open=is_open,
        lease=LEASE,
        renew=RENEW,
    )


@contextmanager
def simulated_threads(scheduler: Scheduler) -> Iterator[None]:
    """Let the lock's thread, its event and its mutex be those of the schedule."""
    with patch.multiple(
        adapter,
        Event=partial(_Event, scheduler),
        RLock=partial(_RLock, scheduler),
        Thread=partial(_Thread, scheduler),
    ):
        yield


class _Event:
    """``threading.Event``; a waiter sees a set event at the end of its wait."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._set = False

    def set(self) -> None:
        self._set = True

    def is_set(self) -> bool:
        return self._set

    def wait(self, timeout: float) -> bool:
        if not self._set:
            _process(self._scheduler).sleep(timedelta(seconds=timeout))
        return self._set


class _RLock:
    """``threading.RLock``; who has to wait looks again and again."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._owner: Actor | None = None
        self._depth = 0

    def __enter__(self) -> None:
        me = self._scheduler.current
        while self._owner is not None and self._owner is not me:
            _process(self._scheduler).sleep(_MOMENT)
        self._owner = me
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if not self._depth:
            self._owner = None


class _Thread:
    """``threading.Thread``: an actor of the process that starts it."""

    def __init__(
        self,
        scheduler: Scheduler,
        *,
        target: Callable[..., object],
        args: tuple[object, ...],
        name: str,
        daemon: bool,
    ) -> None:
        del name
        if not daemon:
            msg = "a renewal that outlives its process would keep a dead deploy's lock"
            raise AssertionError(msg)
        self._scheduler = scheduler
        self._work = partial(target, *args)

    def start(self) -> None:
        _process(self._scheduler).spawn(self._work)


def _process(scheduler: Scheduler) -> Process:
    process = running(scheduler)
    if process is None:
        raise AssertionError
    return process
