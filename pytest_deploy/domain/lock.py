"""Who holds a workload's lock, and the number that keeps an earlier holder out.

A lock with a time limit excludes nobody who sleeps through the limit and wakes: so each acquisition has a number,
the fence, which stands on the Rollout and is tested by every patch in the same request.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

__all__ = ["FENCE", "Holder", "blocks", "deadline"]

FENCE = "pytest-deploy.dev/fence"
"""The annotation of the Rollout that holds the number of the last acquisition, as text."""


def deadline(lease: timedelta) -> timedelta:
    """Return how long after its last renewal a holder takes the lock for its own; the rest of the lease is slack.

    Two thirds, as 40 s of 60 s: the API server tells its time in whole seconds, and an answer takes its time.
    """
    return lease * 2 / 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds the lock.

    Args:
        by: the person and the CI run's address, or the machine.
        since, renewed: by the clock of whoever keeps the lock (the API server), not by ours.
        expired: it was not renewed for as long as its lease lasts: nobody is there any more, or it sleeps.
    """

    deploy_id: str
    by: str
    since: datetime
    renewed: datetime
    fence: int
    expired: bool

    @property
    def words(self) -> str:
        """In a line."""
        state = "expired" if self.expired else "alive"
        return (
            f"deploy {self.deploy_id} (by {self.by or 'nobody known'}) since {_time(self.since)}, "
            f"renewed {_time(self.renewed)}, fence {self.fence}, {state}"
        )

    @property
    def refusal(self) -> str:
        """What whoever comes second is told."""
        return f"the lock is held by {self.words}"

    @property
    def hint(self) -> str:
        """What whoever comes second does next."""
        if self.expired:
            return "nobody runs it any more: pytest-deploy recover ends what it began"
        return "wait until it has ended (deploy.yaml, lock.wait_minutes: wait in line), or talk to who runs it"


def blocks(holder: Holder | None, *, deploy_id: str, takeover: bool, is_open: Callable[[str], bool]) -> bool:
    """Whether the lock may not be taken: a deploy that died is ended by ``recover`` before another one begins.

    Args:
        holder: None: it is free.
        deploy_id: of the deploy that asks; ``recover`` asks as the one that it ends, and takes no other one's lock.
        takeover: it is ``recover`` that asks.
        is_open: whether the journal holds the deploy of this id open.
    """
    if holder is None:
        return False
    own = takeover and holder.deploy_id == deploy_id
    return not holder.expired or (not own and is_open(holder.deploy_id))


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
