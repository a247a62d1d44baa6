"""The lock as a Lease in the cluster, renewed by a thread for as long as this process runs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from threading import Event, RLock, Thread
from typing import TYPE_CHECKING
from uuid import uuid4

from pytest_deploy.adapters.lease_object import Seen
from pytest_deploy.domain.lock import blocks, deadline
from pytest_deploy.errors import DeployError, Faulted, LockHeld, LockLost, Rejected, Throttled, Unreachable
from pytest_deploy.io.retry import TryAgain, patiently

if TYPE_CHECKING:
    from pytest_deploy.adapters.fence import Fence
    from pytest_deploy.adapters.lease_object import LeaseObject
    from pytest_deploy.domain.lock import Holder

__all__ = ["Lease"]

_LONGEST = timedelta(seconds=5)
_SHORTEST = timedelta(seconds=1)
"""How long one renewal waits for its answer: a sixth of the lease, at least and at most this."""
_SOON_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moment:
    """A moment by both of our clocks: one stands still while the machine is suspended, the other may be set."""

    monotonic_s: float
    wall: datetime


class Lease:
    """Port ``Lock`` as a Lease.

    Expiry is told by the API server's clock, and what is seen is what is taken: a Lease that was renewed since it
    was looked at is not. We ourselves trust our last renewal for a shorter time, by our own clocks, from when it was
    sent; past that only a renewal that the server accepts shows that nobody else has had it since.

    Args:
        is_open: whether the workload's journal holds a deploy of this id open; raises DeployError where that can't
            be told.
        lease: how long it lasts without a renewal; ``renew``: time between two.
        still_runs: says by whose words (``by``) a CI run is still in progress, "" where none is known to be: an
            expired holder may then only be cut off, and is not recovered under.
    """

    def __init__(
        self,
        there: LeaseObject,
        fence: Fence,
        deploy_id: str,
        *,
        by: str,
        is_open: Callable[[str], bool],
        lease: timedelta,
        renew: timedelta,
        still_runs: Callable[[str], str] = lambda _by: "",
    ) -> None:
        self.lost = Event()
        """Set as soon as it is known that the lock is no longer ours; what acts for us must end at once."""
        patience = max(_SHORTEST, min(_LONGEST, lease / 6))
        self._there, self._fence_there = there, fence
        # A connection of its own: renewals never wait behind other requests, and give up sooner.
        self._hurried = there.over(replace(there.connection, patience=patience))
        self._deploy_id, self._by, self._process = deploy_id, by, uuid4().hex
        self._is_open, self._still_runs = is_open, still_runs
        self._lease, self._renew_s = lease, renew.total_seconds()
        self._deadline_s = deadline(lease).total_seconds()
        self._clock = there.connection.clock
        self._mutex = RLock()
        self._stop = Event()
        self._tried = False
        self._fence: int | None = None
        self._seen = Seen(item=None, at=there.connection.clock.now())
        self._ahead = timedelta()
        self._alive = self._now()
        self._lost = ""

    @property
    def fence(self) -> int:
        """The number of our acquisition; raises LockLost where there was none."""
        if self._fence is None:
            raise LockLost(f"{self._there} is not held by this process")
        return self._fence

    def look(self) -> Holder | None:
        """Return who holds it now; None: it is free. Raises DeployError where that can't be read."""
        return self._there.read().holder

    def acquire(self, *, takeover: bool = False) -> int:
        """Take it, put its fence on the Rollout, and return the fence; held already, nothing is done.

        Args:
            takeover: an expired one is taken from its holder, whatever the journal holds open.

        Raises:
            LockHeld: it is held by another that lives, or that has expired and left its deploy open.
            DeployError: it can't be written.
        """
        with self._mutex:
            if self._fence is not None:
                self.check()
                return self._fence
            self._tried = True
            self._patiently(lambda: self._take(takeover=takeover))
            self._stop = Event()
            Thread(target=self._beat, args=(self._stop,), name=f"renewal of {self._there.name}", daemon=True).start()
        try:
            self._fence_there.raise_to(self.fence)
        except DeployError:
            self._stop.set()
            if not takeover:  # what a deploy that died has left open stays locked
                with suppress(DeployError):
                    self.release()
            raise
        return self.fence

    def refence(self) -> int:
        """Give ourselves the next number, on the Lease and on the Rollout, so that what we sent before is refused.

        Raises:
            LockLost: it is not ours any more.
            DeployError: it can't be written.
        """
        self.check()
        with self._mutex:
            self._patiently(self._count_up)
        self._fence_there.raise_to(self.fence)
        return self.fence

    def check(self) -> None:
        """Make sure that it is ours still; where the last renewal is too long ago it is renewed now.

        Raises:
            LockLost: it is not, or nobody knows; from then on always.
        """
        if self._is_late and not self.lost.is_set():
            with self._mutex:
                if self._is_late and not self.lost.is_set():
                    self._renew()
        if self.lost.is_set():
            raise LockLost(self._lost)
        _ = self.fence

    def release(self) -> None:
        """Give it back where it is ours, else do nothing; raises DeployError where that can't be written."""
        self._stop.set()
        with self._mutex:
            if self._tried:
                self._patiently(self._free)
                self._tried, self._fence = False, None

    def leave(self) -> None:
        """Stop renewing it, where it is ours, and let it expire within seconds; raises DeployError as ``release``."""
        self._stop.set()
        with self._mutex:
            if self._fence is not None and not self.lost.is_set():
                self._expire()
            self._tried, self._fence = False, None

    def _take(self, *, takeover: bool) -> None:
        began = self._now()
        seen = self._there.read()
        if seen.process == self._process:  # the answer to an earlier try was lost
            written = self._there.renew(seen, seen.at)
        else:
            holder = seen.holder
            if holder is not None and blocks(
                holder, deploy_id=self._deploy_id, takeover=takeover, is_open=self._is_open
            ):
                raise LockHeld(f"{self._there}: {holder.refusal}", holder=holder.deploy_id, hint=holder.hint)
            if takeover and holder is not None and (run := self._still_runs(holder.by)):
                raise LockHeld(
                    f"{self._there}: {holder.refusal}, but {run}: its process may only be cut off",
                    holder=holder.deploy_id,
                    hint="wait until that run has ended, or cancel it (gh run cancel), then: pytest-deploy recover",
                )
            written = self._there.take(
                seen,
                deploy_id=self._deploy_id,
                by=self._by,
                process=self._process,
                fence=max(seen.transitions, self._fence_there.read()) + 1,
                lease=self._lease,
            )
        self._renewed(self._or_again(written), began)
        self._fence = self._seen.transitions

    def _count_up(self) -> None:
        began = self._now()
        seen = self._there.read()
        if seen.process != self._process:
            self._lose_to(seen)
            raise LockLost(self._lost)
        self._renewed(self._or_again(self._there.renew(seen, seen.at, fence=seen.transitions + 1)), began)
        self._fence = self._seen.transitions

    def _free(self) -> None:
        seen = self._there.read()
        if seen.process == self._process:
            self._or_again(self._there.free(seen))

    def _expire(self) -> None:
        # Tried once: it saves whoever comes next a wait, and expires by itself.
        seen = self._hurried.read()
        if seen.process == self._process:
            self._hurried.expire(seen)

    def _renew(self) -> None:
        """Renew it once; lost where somebody else has it, or where nobody answers for too long."""
        began = self._now()
        try:
            self._renew_from(began)
        except DeployError as error:
            age_s = self._age_s
            if age_s > self._deadline_s:
                self._lose(f"{self._there} was not renewed for {age_s:.0f} s: {error.args[0]}")

    def _renew_from(self, began: _Moment) -> None:
        written = self._hurried.renew(self._seen, self._clock.now() + self._ahead)
        if written is None:
            seen = self._hurried.read()
            if (seen.process, seen.transitions) != (self._process, self._fence):
                self._lose_to(seen)
                return
            written = self._hurried.renew(seen, seen.at)
            if written is None:
                raise self._contended()
        self._renewed(written, began)

    def _renewed(self, written: Seen, began: _Moment) -> None:
        self._seen, self._alive, self._ahead = written, began, written.at - self._clock.now()

    def _lose_to(self, seen: Seen) -> None:
        holder = seen.holder
        self._lose(f"{self._there} was lost to {holder.words if holder else 'somebody who has freed it since'}")

    def _lose(self, why: str) -> None:
        self._lost = why
        self.lost.set()

    def _beat(self, stop: Event) -> None:
        while not stop.wait(max(_SOON_S, min(self._renew_s, self._deadline_s - self._age_s))):
            with self._mutex:
                if stop.is_set() or self.lost.is_set():
                    return
                self._renew()

    def _patiently(self, attempt: Callable[[], None]) -> None:
        def once(left: timedelta) -> None:
            del left
            try:
                attempt()
            except (Unreachable, Throttled, Faulted) as error:
                raise TryAgain(error) from error

        connection = self._there.connection
        patiently(once, clock=connection.clock, patience=connection.patience)

    def _or_again(self, written: Seen | None) -> Seen:
        if written is None:
            raise TryAgain(self._contended())
        return written

    def _contended(self) -> Rejected:
        return Rejected(f"{self._there} is changed by others again and again")

    @property
    def _is_late(self) -> bool:
        return self._fence is not None and self._age_s > self._deadline_s - self._renew_s

    @property
    def _age_s(self) -> float:
        """Seconds since our last renewal was sent, by the clock that says more."""
        now = self._now()
        return max(now.monotonic_s - self._alive.monotonic_s, (now.wall - self._alive.wall).total_seconds())

    def _now(self) -> _Moment:
        return _Moment(monotonic_s=self._clock.monotonic(), wall=self._clock.now())
