"""Virtual time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pytest_deploy.rehearsal import VirtualClock

START = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)


def s(seconds: float) -> timedelta:
    """Return that many seconds."""
    return timedelta(seconds=seconds)


def test_only_sleep_moves_time() -> None:
    """Looking at the clock takes no time; a sleep takes exactly its own."""
    clock = VirtualClock(START)
    assert (clock.now(), clock.monotonic()) == (START, 0)
    clock.sleep(s(90.5))
    assert (clock.now(), clock.monotonic()) == (START + s(90.5), 90.5)


def test_events_happen_at_their_own_time_in_order() -> None:
    """A sleep runs what falls due meanwhile, the earliest first, equal times in the order they were asked for."""
    clock, seen = VirtualClock(START), []
    for delay, name in ((3, "c"), (1, "a"), (3, "d"), (2, "b"), (11, "later")):
        clock.after(s(delay), lambda name=name: seen.append((name, clock.monotonic())))
    clock.sleep(s(10))
    assert seen == [("a", 1), ("b", 2), ("c", 3), ("d", 3)]
    clock.sleep(s(1))
    assert seen[-1] == ("later", 11)


def test_an_event_may_ask_for_another_within_the_same_sleep() -> None:
    """A chain of events runs as far as the sleep goes."""
    clock, seen = VirtualClock(START), []

    def tick() -> None:
        seen.append(clock.monotonic())
        clock.after(s(2), tick)

    clock.after(s(2), tick)
    clock.sleep(s(7))
    assert seen == [2, 4, 6]


def test_an_error_of_an_event_ends_the_sleep_at_its_time() -> None:
    """As a signal's exception ends a real sleep."""
    clock = VirtualClock(START)

    def stop() -> None:
        raise KeyboardInterrupt

    clock.after(s(4), stop)
    with pytest.raises(KeyboardInterrupt):
        clock.sleep(s(10))
    assert clock.monotonic() == 4


def test_time_never_goes_back() -> None:
    """A negative sleep is an error; an event that sleeps itself does not make the outer sleep go back."""
    clock = VirtualClock(START)
    with pytest.raises(ValueError, match="can't go back: sleep of -1 s"):
        clock.sleep(s(-1))
    clock.after(s(1), lambda: clock.sleep(s(20)))
    clock.sleep(s(5))
    assert clock.monotonic() == 21
