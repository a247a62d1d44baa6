"""A lock in memory: the same rules as the Lease in a cluster, on the virtual clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pytest_deploy.domain.lock import Holder, blocks, deadline
from pytest_deploy.errors import DeployError, LockHeld, LockLost
from pytest_deploy.ports import Clock

__all__ = ["RehearsedLock", "StoredLease"]

LEASE, RENEW = timedelta(seconds=60), timedelta(seconds=5)


@dataclass(kw_only=True)
class StoredLease:
    """What the API server would keep; all that lock one workload share it.

    Args:
        after: lets something happen later: ``VirtualClock.after``.
        fence: reads the number on the Rollout, and ``set_fence`` writes it; where there is no Rollout 0, and nothing.
        is_open: whether the journal holds a deploy of this id open.
    """

    clock: Clock
    after: Callable[[timedelta, Callable[[], None]], None]
    fence: Callable[[], int]
    set_fence: Callable[[int], None]
    is_open: Callable[[str], bool]
    lease: timedelta = LEASE
    renew: timedelta = RENEW
    owner: RehearsedLock | None = None
    transitions: int = 0
    since: datetime = field(init=False)
    renewed: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.since = self.renewed = self.clock.now()

    @property
    def holder(self) -> Holder | None:
        """Who holds it now."""
        if self.owner is None:
            return None
        return Holder(
            deploy_id=self.owner.deploy_id,
            by=self.owner.by,
            since=self.since,
            renewed=self.renewed,
            fence=self.transitions,
            expired=self.clock.now() - self.renewed > self.lease,
        )


class RehearsedLock:
    """Port ``Lock`` of one process.

    ``beats`` is whether the process runs: a dead or a stopped one renews nothing.

    Args:
        call: is called before each request of this process; raises DeployError where the server can't be reached.
    """

    def __init__(
        self,
        stored: StoredLease,
        deploy_id: str,
        *,
        by: str = "the rehearsal",
        call: Callable[[], None] = lambda: None,
    ) -> None:
        self.deploy_id, self.by = deploy_id, by
        self._call = call
        self.beats = True
        self._stored = stored
        self._fence: int | None = None
        self._renewed_s = 0.0
        self._lost = ""

    @property
    def fence(self) -> int:
        """The number of our acquisition; raises LockLost where there was none."""
        if self._fence is None:
            raise LockLost("the lock is not held")
        return self._fence

    def look(self) -> Holder | None:
        """Return who holds it now; None: it is free."""
        self._call()
        return self._stored.holder

    def acquire(self, *, takeover: bool = False) -> int:
        """Take it, put its fence on the Rollout, and return the fence."""
        stored = self._stored
        self._call()
        if stored.owner is self and not self._lost:
            return self.fence
        holder = stored.holder
        if blocks(holder, deploy_id=self.deploy_id, takeover=takeover, is_open=stored.is_open) and holder is not None:
            raise LockHeld(holder.refusal, holder=holder.deploy_id, hint=holder.hint)
        stored.transitions = self._fence = max(stored.transitions, stored.fence()) + 1
        stored.owner, stored.since, self._lost = self, stored.clock.now(), ""
        self._renewed()
        stored.set_fence(self._fence)
        stored.after(stored.renew, self._beat)
        return self._fence

    def check(self) -> None:
        """Raise LockLost unless it is ours still; renewed where the last renewal is too long ago."""
        stored, age_s = self._stored, self._stored.clock.monotonic() - self._renewed_s
        if not self._lost and age_s > (deadline(stored.lease) - stored.renew).total_seconds():
            self._try_to_renew(age_s)
        if self._lost or self._fence is None:
            raise LockLost(self._lost or "the lock is not held")

    def refence(self) -> int:
        """Take the next fence while we hold it."""
        self.check()
        self._call()
        if not self._ours:
            self._try_to_renew(0)
            self.check()
        self._stored.transitions = self._fence = self._stored.transitions + 1
        self._renewed()
        self._stored.set_fence(self._fence)
        return self._fence

    def release(self) -> None:
        """Give it back where it is ours, else do nothing."""
        self._call()
        if self._ours:
            self._stored.owner = None
        self._fence = None

    def leave(self) -> None:
        """Stop renewing it, where it is ours, and let it expire at once."""
        self._call()
        if self._ours:
            self._stored.renewed = self._stored.clock.now() - 2 * self._stored.lease
        self._fence = None

    @property
    def _ours(self) -> bool:
        return self._stored.owner is self and self._fence == self._stored.transitions

    def _renewed(self) -> None:
        self._stored.renewed = self._stored.clock.now()
        self._renewed_s = self._stored.clock.monotonic()

    def _try_to_renew(self, age_s: float) -> None:
        try:
            self._call()
        except DeployError as error:
            if age_s > deadline(self._stored.lease).total_seconds():
                self._lost = f"the lock could not be renewed for {age_s:.0f} s: {error.args[0]}"
            return
        if self._ours:
            self._renewed()
        else:
            holder = self._stored.holder
            self._lost = f"the lock was lost to {holder.words if holder else 'somebody who has released it since'}"

    def _beat(self) -> None:
        """Renew it in the background for as long as it is held and its process runs."""
        if self.beats and self._fence is not None and not self._lost:
            self._try_to_renew(self._stored.clock.monotonic() - self._renewed_s)
        if self._fence is not None and not self._lost:
            self._stored.after(self._stored.renew, self._beat)
