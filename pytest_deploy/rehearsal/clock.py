"""Virtual time: sleeping costs nothing, and what is due meanwhile happens in order."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count

__all__ = ["VirtualClock"]


class VirtualClock:
    """A clock that only ``sleep`` moves; events that fall due are run at their own time, in order.

    Args:
        start: the time to begin with, aware.
    """

    def __init__(self, start: datetime) -> None:
        self._start = start
        self._now = start
        self._events: list[tuple[datetime, int, Callable[[], None]]] = []
        self._order = count()

    def now(self) -> datetime:
        """Return the virtual time."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds since the start."""
        return (self._now - self._start).total_seconds()

    def after(self, delay: timedelta, event: Callable[[], None]) -> None:
        """Let the event happen once time has moved on by ``delay``; events of one moment keep their order."""
        heapq.heappush(self._events, (self._now + delay, next(self._order), event))

    def sleep(self, duration: timedelta) -> None:
        """Move time on, through all events that fall due; an event's error ends the sleep at its time.

        Raises:
            ValueError: the duration is negative, as ``time.sleep`` says too.
        """
        if duration < timedelta():
            msg = f"time can't go back: sleep of {duration.total_seconds():g} s"
            raise ValueError(msg)
        end = self._now + duration
        while self._events and self._events[0][0] <= end:
            due, _, event = heapq.heappop(self._events)
            self._now = max(self._now, due)
            event()
        self._now = max(self._now, end)
