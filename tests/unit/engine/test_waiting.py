"""Waiting: bounded, narrated, and with the last look in the error."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain, pairwise, repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.domain.event import Event, Waited
from pytest_deploy.engine.waiting import FIRST_LOOKS, POLL, until
from pytest_deploy.errors import WaitTimedOut
from pytest_deploy.rehearsal.clock import VirtualClock

START = datetime(2026, 1, 5, tzinfo=UTC)


def wait(clock: VirtualClock, looks: Iterator[int], wanted: int, timeout: timedelta, events: list[Event]) -> int:
    """Wait for so many, each look taking the next of the looks."""
    return until(
        lambda: next(looks),
        done=lambda seen: seen >= wanted,
        words=lambda seen: f"{seen} ready",
        what="3 pods",
        timeout=timeout,
        clock=clock,
        emit=events.append,
        hint="see events",
        cause="pods never ready",
    )


def test_it_looks_before_it_waits() -> None:
    """What is there already costs no time and tells nothing."""
    clock, events = VirtualClock(START), list[Event]()
    assert wait(clock, iter([3]), 3, timedelta(), events) == 3
    assert (clock.monotonic(), events) == (0, [])


def test_it_tells_what_it_waits_for() -> None:
    """Each look that is not the one says what was seen and how much time is left."""
    clock, events = VirtualClock(START), list[Event]()
    assert wait(clock, iter([0, 2, 3]), 3, timedelta(seconds=5), events) == 3
    told = [event for event in events if isinstance(event, Waited)]
    assert [(event.what, event.seen) for event in told] == [("3 pods", "0 ready"), ("3 pods", "2 ready")]
    assert [event.left for event in told] == [timedelta(seconds=5), timedelta(seconds=5) - POLL / 3]


def test_the_first_looks_come_faster() -> None:
    """What a controller answers at once is seen at once; after that the API server is spared."""
    clock, times = VirtualClock(START), list[float]()

    def look() -> float:
        times.append(clock.monotonic())
        return times[-1]

    until(
        look,
        done=lambda seen: seen > 1.5,
        words=str,
        what="it",
        timeout=timedelta(minutes=1),
        clock=clock,
        emit=lambda _: None,
    )
    gaps = [round(later - earlier, 6) for earlier, later in pairwise(times)]
    quick, slow = round(POLL.total_seconds() / 3, 6), POLL.total_seconds()
    assert gaps == [quick] * FIRST_LOOKS + [slow] * (len(gaps) - FIRST_LOOKS)
    assert len(gaps) > FIRST_LOOKS + 1


def test_the_error_holds_the_last_look() -> None:
    """What was waited for, the limit, the last observation, the next move and the cause."""
    clock = VirtualClock(START)
    with pytest.raises(WaitTimedOut) as raised:
        wait(clock, chain([0, 1], repeat(2)), 3, timedelta(seconds=0.7), [])
    assert str(raised.value) == "3 pods: not within 1 s; last seen: 2 ready\n  next: see events"
    assert (raised.value.last_seen, raised.value.cause) == ("2 ready", "pods never ready")


@given(after_ms=st.integers(0, 20_000), timeout_ms=st.integers(0, 10_000))
def test_it_comes_in_time_or_not_at_all(after_ms: int, timeout_ms: int) -> None:
    """What comes within the limit is always seen, and no wait lasts longer than its limit."""
    clock = VirtualClock(START)
    there, timeout = after_ms / 1000, timedelta(milliseconds=timeout_ms)

    def look() -> bool:
        return clock.monotonic() >= there

    def go() -> bool:
        return until(look, done=bool, words=str, what="it", timeout=timeout, clock=clock, emit=lambda _: None)

    if after_ms <= timeout_ms:
        assert go()
    else:
        with pytest.raises(WaitTimedOut):
            go()
    assert clock.monotonic() <= timeout.total_seconds() + 1e-6
