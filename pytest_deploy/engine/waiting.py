"""The only place that waits: with a limit, and saying what is waited for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from pytest_deploy.domain.event import Reporter, Waited
from pytest_deploy.errors import WaitTimedOut
from pytest_deploy.ports import Clock

__all__ = ["POLL", "until"]

T = TypeVar("T")

POLL = timedelta(milliseconds=300)
"""Time between two looks. 300 ms: three small reads a second are no load for an API server."""

FIRST_LOOKS = 5
"""How many looks come three times as fast: the rollout controller answers a patch in 100 to 300 ms, and a
rollback is measured in such times."""


def until(
    look: Callable[[], T],
    *,
    done: Callable[[T], bool],
    words: Callable[[T], str],
    what: str,
    timeout: timedelta,
    clock: Clock,
    emit: Reporter,
    hint: str = "",
    cause: str | None = None,
    poll: timedelta = POLL,
) -> T:
    """Look until it is done, and return the last look.

    Args:
        look: one observation; an error that it raises ends the wait.
        done: whether the observation is the one waited for.
        words: the observation in a line.
        what: what is waited for, for progress and for the error.
        timeout: after this time the wait is given up; one last look is always taken.

    Raises:
        WaitTimedOut: it did not come; the message holds the last observation.
    """
    end = clock.monotonic() + timeout.total_seconds()
    looks = 0
    while True:
        seen = look()
        if done(seen):
            return seen
        left = timedelta(seconds=end - clock.monotonic())
        if left <= timedelta():
            limit = f"{timeout.total_seconds():.0f} s"
            raise WaitTimedOut(f"{what}: not within {limit}", last_seen=words(seen), hint=hint, cause=cause)
        emit(Waited(at=clock.now(), what=what, seen=words(seen), left=left))
        looks += 1
        clock.sleep(min(poll / 3 if looks <= FIRST_LOOKS else poll, left))
