"""Real time: the only file that imports time."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

__all__ = ["SystemClock"]


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the time in UTC, aware."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()

    def sleep(self, duration: timedelta) -> None:
        """Wait; an exception that a signal handler raises ends the wait at once. Zero and less do not wait."""
        time.sleep(max(0.0, duration.total_seconds()))
