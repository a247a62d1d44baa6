"""Points that each stand for an interval, as hosted metric stores answer with, and the counts that they make.

Only a point whose whole interval lies in the window counts: what the first one holds may be from before the window, and
the last one is still being filled.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from pytest_deploy.domain.measurement import Bucket, Objective

__all__ = ["Counts", "Series", "Window", "error_rate", "latency", "named", "of_number"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One series.

    Args:
        points: finite values by the time at which their interval begins; what was null or not finite is not in it.
        interval: what each point stands for.
    """

    points: Mapping[datetime, float]
    interval: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """From ``since`` to ``at``: the whole intervals in it count."""

    since: datetime
    at: datetime

    def cut(self, series: Series | None) -> dict[datetime, float]:
        """Return the points of the whole intervals, oldest first."""
        if series is None:
            return {}
        inside = (t for t in series.points if self.since <= t and t + series.interval <= self.at)
        return {t: series.points[t] for t in sorted(inside)}

    def newest(self, series: Series | None) -> datetime | None:
        """Return the end of the newest whole interval that has a point; None where none has.

        When in it the raw sample was is not told, so its age may be up to an interval more.
        """
        points = self.cut(series)
        return max(points) + series.interval if series is not None and points else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What a reading is made of; fields as ``Reading`` has them."""

    total: float | None = None
    bad: float | None = None
    value: float | None = None
    problem: str = ""
    neighbours: tuple[Bucket, Bucket] | None = None


def of_number(values: Mapping[float, T], number: float | None) -> T | None:
    """Return what stands at the number; 99.9 / 100 and 0.999 are the same one, though not the same float."""
    return next((value for at, value in values.items() if number is not None and math.isclose(at, number)), None)


def error_rate(window: Window, requests: Series | None, errors: Series | None) -> Counts:
    """Return the counts; no point of errors beside requests is 0 errors, no point of requests is no data."""
    totals, bads = window.cut(requests), window.cut(errors)
    if not totals:
        return Counts()
    total, bad = sum(totals.values()), sum(bads.values())
    return Counts(
        total=total,
        bad=bad,
        value=bad / total if total > 0 else None,
        problem=_misfit(requests, errors, totals, bads),
    )


def latency(
    window: Window,
    requests: Series | None,
    percentile: Series | None,
    slow: Mapping[float, Series | None],
    objective: Objective,
) -> Counts:
    """Return the counts and the quantile, in seconds.

    Percentiles of intervals can't be pooled; the window's own is at most the worst of them, which therefore is the
    value. Where the slow requests are counted and are few enough, it is at most the limit, too.

    Args:
        slow: requests slower than a bound in seconds; a series without a point in the window is not known.
    """
    totals = window.cut(requests)
    if not totals:
        return Counts()
    total = sum(totals.values())
    value = max(window.cut(percentile).values(), default=None)
    counted = {bound: sum(points.values()) for bound, series in slow.items() if (points := window.cut(series))}
    bad = of_number(counted, objective.limit)
    if bad is None:
        return Counts(total=total, value=value, neighbours=_neighbours(counted, objective.limit))
    if value is not None and total > 0 and bad / total <= objective.bad_limit_ratio:
        value = min(value, objective.limit)
    slower = of_number(slow, objective.limit)
    problem = _misfit(requests, slower, totals, window.cut(slower))
    return Counts(total=total, bad=bad, value=value, problem=problem)


def named(window: Window, series: Series | None) -> Counts:
    """Return the value of the newest whole interval, and how many points the window has."""
    points = window.cut(series)
    return Counts(total=float(len(points)), value=points[max(points)]) if points else Counts()


def _neighbours(counted: Mapping[float, float], limit: float) -> tuple[Bucket, Bucket] | None:
    below = max((bound for bound in counted if bound < limit), default=None)
    above = min((bound for bound in counted if bound > limit), default=None)
    if below is None or above is None:
        return None
    return Bucket(bound_s=below, slower=counted[below]), Bucket(bound_s=above, slower=counted[above])


def _misfit(
    requests: Series | None, others: Series | None, totals: Mapping[datetime, float], bads: Mapping[datetime, float]
) -> str:
    """Return why the two can't be counts of the same requests; "" where they can."""
    if min([*totals.values(), *bads.values()]) < 0:
        return "a count is below 0: the query yields no counts"
    if bads and requests is not None and others is not None and requests.interval != others.interval:
        return f"the requests came by {_s(requests.interval)}, the bad ones by {_s(others.interval)}"
    total, bad = sum(totals.values()), sum(bads.values())
    if bad > total * (1 + 1e-9):
        return f"{bad:g} bad of {total:g} requests: the queries do not count the same requests"
    return ""


def _s(duration: timedelta) -> str:
    return f"{duration.total_seconds():g} s"
