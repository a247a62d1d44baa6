"""A clock for tests: it stands still until somebody sleeps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

__all__ = ["FakeClock"]


class FakeClock:
    """Port ``Clock`` without waiting.

    Args:
        start: the time to begin with, aware.
    """

    def __init__(self, start: datetime = datetime(2026, 11, 24, tzinfo=UTC)) -> None:
        self._start = start
        self._slept = timedelta()

    def now(self) -> datetime:
        """Return the start and all that was slept since."""
        return self._start + self._slept

    def monotonic(self) -> float:
        """Return the seconds slept."""
        return self._slept.total_seconds()

    def sleep(self, duration: timedelta) -> None:
        """Move time on at once."""
        self._slept += max(timedelta(), duration)
