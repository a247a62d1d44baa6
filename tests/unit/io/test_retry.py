"""Retries of reads."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from pytest_deploy.errors import Faulted, Throttled
from pytest_deploy.io.retry import TryAgain, patiently
from pytest_deploy.testing.clock import FakeClock


def failing(times: int, again: TryAgain) -> Callable[[timedelta], str]:
    """Make an attempt that fails so often, then succeeds."""
    left = [times]

    def attempt(_: timedelta) -> str:
        left[0] -= 1
        if left[0] >= 0:
            raise again
        return "done"

    return attempt


def test_waits_double_and_jitter() -> None:
    """The waits are 0.2 s, 0.4 s, 0.8 s ... at full jitter, and half of it without."""
    clock = FakeClock()
    attempt = failing(3, TryAgain(Faulted("no")))
    assert patiently(attempt, clock=clock, patience=timedelta(seconds=9), jitter=lambda: 1.0) == "done"
    assert clock.monotonic() == pytest.approx(0.2 + 0.4 + 0.8)
    attempt = failing(3, TryAgain(Faulted("no")))
    patiently(attempt, clock=clock, patience=timedelta(seconds=9), jitter=lambda: 0.0)
    assert clock.monotonic() == pytest.approx(1.4 + 0.7)


def test_the_last_error_is_raised_when_patience_ends() -> None:
    """No attempt begins after the deadline; what is raised is the error, with its own cause."""
    clock = FakeClock()
    again = TryAgain(Faulted("still no"))
    again.__cause__ = OSError("broken pipe")
    with pytest.raises(Faulted, match="still no") as caught:
        patiently(failing(99, again), clock=clock, patience=timedelta(seconds=10), jitter=lambda: 1.0)
    assert isinstance(caught.value.__cause__, OSError)
    assert clock.monotonic() < 10


def test_what_the_server_asks_is_waited() -> None:
    """A server that says when to come back is not asked before."""
    clock = FakeClock()
    again = TryAgain(Throttled("slow down"), wait=timedelta(seconds=7))
    patiently(failing(1, again), clock=clock, patience=timedelta(seconds=9), jitter=lambda: 1.0)
    assert clock.monotonic() == 7


def test_a_wait_beyond_patience_is_not_begun() -> None:
    """Where the server asks for more time than there is, the error comes at once."""
    clock = FakeClock()
    again = TryAgain(Throttled("slow down"), wait=timedelta(seconds=60))
    with pytest.raises(Throttled):
        patiently(failing(1, again), clock=clock, patience=timedelta(seconds=9))
    assert clock.monotonic() == 0


def test_an_attempt_knows_what_time_is_left() -> None:
    """Each attempt is given the time until the deadline."""
    clock = FakeClock()
    seen = []

    def attempt(left: timedelta) -> None:
        seen.append(left.total_seconds())
        if len(seen) == 1:
            raise TryAgain(Faulted("no"), wait=timedelta(seconds=4))

    patiently(attempt, clock=clock, patience=timedelta(seconds=9), jitter=lambda: 1.0)
    assert seen == [9, 5]
