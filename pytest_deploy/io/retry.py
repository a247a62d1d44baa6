"""Retries of reads: until a deadline, with jitter, and as the server asked. Writes never come here."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from pytest_deploy.errors import RemoteError

if TYPE_CHECKING:
    from pytest_deploy.ports import Clock

__all__ = ["TryAgain", "patiently"]

T = TypeVar("T")

_FIRST_S = 0.2
_LONGEST_S = 5.0
"""Waits double from the first to the longest. Both are arbitrary: a restarting server is back in seconds."""


class TryAgain(Exception):
    """An attempt failed in a way that may pass; the error is inside.

    Args:
        error: what is raised when no time is left.
        wait: how long the server asked to wait (Retry-After); None: it did not ask.
    """

    def __init__(self, error: RemoteError, *, wait: timedelta | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.wait = wait


def patiently(
    attempt: Callable[[timedelta], T],
    *,
    clock: Clock,
    patience: timedelta,
    jitter: Callable[[], float] = random.random,
) -> T:
    """Return what the first attempt that succeeds returns.

    Args:
        attempt: is given the time that is left; raises TryAgain to be called once more.
        patience: for all attempts and waits together. An attempt that would begin after it is not made.
        jitter: from 0 to 1; many clients must not come back at the same moment.

    Raises:
        RemoteError: of the last attempt.
    """
    end = clock.monotonic() + patience.total_seconds()
    wait_s = _FIRST_S
    while True:
        try:
            return attempt(timedelta(seconds=max(0.0, end - clock.monotonic())))
        except TryAgain as again:
            asked_s = again.wait.total_seconds() if again.wait is not None else 0.0
            pause_s = max(asked_s, wait_s * (0.5 + jitter() / 2))
            if clock.monotonic() + pause_s >= end:
                raise again.error from again.__cause__
            clock.sleep(timedelta(seconds=pause_s))
            wait_s = min(2 * wait_s, _LONGEST_S)
