"""What the metrics server has stored: one entry for each scrape; between two scrapes nothing is known."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pytest_deploy.rehearsal.counters import NOTHING, Sample

__all__ = ["Scrape", "Series", "increase", "newest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrape:
    """All series at one time, by version.

    Args:
        requests: of the versions that get any.
        restarts: of containers, of the versions that have pods.
    """

    at: datetime
    requests: Mapping[str, Sample]
    restarts: Mapping[str, int]


class Series:
    """The scrapes so far; before the start all was at rest for as long as anyone asks.

    Args:
        before: gives what a scrape at a time before the start, or at the start, has seen.
    """

    def __init__(self, start: datetime, interval: timedelta, before: Callable[[datetime], Scrape]) -> None:
        self._start = start
        self._interval = interval
        self._before = before
        self._times: list[datetime] = []
        self._scrapes: list[Scrape] = []

    @property
    def last(self) -> Scrape | None:
        """The newest scrape since the start; None before the first."""
        return self._scrapes[-1] if self._scrapes else None

    def append(self, scrape: Scrape) -> None:
        """Store a scrape, later than all others."""
        self._times.append(scrape.at)
        self._scrapes.append(scrape)

    def until(self, since: datetime) -> Scrape:
        """Return the last scrape up to ``since``, or at it."""
        stored = bisect_right(self._times, since)
        return self._scrapes[stored - 1] if stored else self._before(min(since, self._start))

    def after(self, since: datetime) -> Sequence[Scrape]:
        """Return the scrapes after ``since``; of those before the start the first and the last alone."""
        stored = self._scrapes[bisect_right(self._times, since) :]
        if since >= self._start:
            return stored
        intervals = math.ceil((self._start - since) / self._interval) - 1
        first = self._start - intervals * self._interval
        return [*(self._before(at) for at in dict.fromkeys((first, self._start))), *stored]


def increase(scrapes: Sequence[Scrape], version: str | None) -> Sample | None:
    """Return the requests over these scrapes; None where no series has two samples.

    Args:
        version: None: all versions together.
    """
    names = {name for scrape in scrapes for name in scrape.requests} if version is None else {version}
    found: Sample | None = None
    for name in sorted(names):
        samples = [scrape.requests[name] for scrape in scrapes if name in scrape.requests]
        if len(samples) > 1:
            found = (found or NOTHING) + samples[-1].since(samples[0])
    return found


def newest(scrapes: Sequence[Scrape], version: str | None) -> datetime | None:
    """Return the time of the newest sample of requests; None when there is none."""
    held = (each.at for each in reversed(scrapes) if (each.requests if version is None else version in each.requests))
    return next(held, None)
