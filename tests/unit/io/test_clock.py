"""The machine's clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pytest_deploy.io.clock import SystemClock


def test_now_is_aware_and_in_utc() -> None:
    """The time has the zone UTC and is the machine's."""
    now = SystemClock().now()
    assert now.tzinfo is UTC
    assert abs(now - datetime.now(UTC)) < timedelta(seconds=5)


def test_no_sleep_is_no_error() -> None:
    """A duration that is used up already does not wait and does not fail."""
    clock = SystemClock()
    before = clock.monotonic()
    clock.sleep(timedelta(seconds=-3))
    clock.sleep(timedelta())
    assert 0 <= clock.monotonic() - before < 1
