"""Whether evidence is whole: what every judge asks of it before it looks at a value."""

from __future__ import annotations

import math
from datetime import timedelta
from itertools import pairwise

from pytest_deploy.domain.counts import Counts, counts_of, wanted
from pytest_deploy.domain.measurement import Evidence, Reading
from pytest_deploy.domain.verdict import Ruling, VerdictKind

__all__ = ["COVERAGE_RATIO", "SCRAPES_OLD", "last_third", "unclear", "unfit", "unsteady", "whole"]

SCRAPES_OLD = 2.0
"""How many scrape intervals the newest sample may be old; one may fail, two in a row are an outage."""

COVERAGE_RATIO = 0.8
"""The share of the window that the readings must span; less is a verdict on another window."""

_STANDS_STILL = 0.9
"""A count that is at least this share of what it was, and no more, stands still."""

_WOBBLE_RATIO = 0.2
_WOBBLE = 2.0
"""By how much a count may fall from look to look: what extrapolation to the window's edges adds comes and goes
(https://prometheus.io/docs/prometheus/latest/querying/functions/#increase); a restart is no fall, as rates mend it."""


def whole(reading: Reading, scrape_interval: timedelta) -> bool:
    """Whether the reading is a whole, fresh answer with requests (a query: samples) in it."""
    return (
        not reading.problem
        and reading.age is not None
        and reading.age <= scrape_interval * SCRAPES_OLD
        and bool(reading.total)
        and math.isfinite(reading.total or 0.0)
    )


def unfit(evidence: Evidence, *, requests: int | None) -> Ruling | None:
    """Return why what was read over the window is no evidence; None when it is.

    Args:
        requests: how many there must be; None for a query, whose value rests on samples.
    """
    if evidence.unreadable:
        rule = f"the metrics could not be read: {evidence.unreadable}"
        return Ruling(kind=VerdictKind.ERROR, rule=rule, cause="metrics unreadable", needed="an answer")
    reading = evidence.last
    if reading is None:
        return Ruling(kind=VerdictKind.NO_DATA, rule="nothing was ever read", cause="no data", needed="a reading")
    checks = (*_no_answer(evidence, reading, requests), *_too_little(evidence, reading, requests))
    for bad, kind, cause, rule, needed in checks:
        if bad:
            return Ruling(kind=kind, rule=rule, cause=cause, needed=needed)
    return None if requests is None else unsteady(evidence)


_Check = tuple[bool, VerdictKind, str, str, str]


def _no_answer(evidence: Evidence, reading: Reading, requests: int | None) -> tuple[_Check, ...]:
    oldest = evidence.scrape_interval * SCRAPES_OLD
    what, one = ("samples", "sample") if requests is None else ("requests", "request")
    age = "missing" if reading.age is None else f"{_s(reading.age)} old"
    fresh = f"a sample at most {_s(oldest)} old"
    no_data = VerdictKind.NO_DATA
    return (
        (
            bool(reading.problem),
            VerdictKind.INCONCLUSIVE,
            "partial answer",
            f"the answer is not whole: {reading.problem}",
            "a whole answer of the metrics server",
        ),
        (
            reading.age is not None and reading.age > oldest,
            no_data,
            "stale data",
            f"the newest sample is {age}, at most {_s(oldest)} is evidence",
            fresh,
        ),
        (reading.total is None, no_data, "no data", f"there is no series of {what} to judge", f"a series of {what}"),
        (
            not math.isfinite(reading.total or 0.0),
            no_data,
            "no data",
            f"{reading.total} {what} are no count",
            f"a count of {what}",
        ),
        (reading.total == 0, no_data, "no data", f"not one {one} reached it", what),
    )


def _too_little(evidence: Evidence, reading: Reading, requests: int | None) -> tuple[_Check, ...]:
    covered = (reading.at - evidence.started) / evidence.window
    stalled = None if requests is None else _stalled_for(evidence, reading)
    no_data, inconclusive = VerdictKind.NO_DATA, VerdictKind.INCONCLUSIVE
    total, least = reading.total or 0.0, requests or 0
    of_what = "samples are there" if requests is None else "requests are there"
    return (
        (
            stalled is not None,
            inconclusive,
            "traffic stopped",
            f"no request in the last {_s(stalled or timedelta())} of the window",
            "requests in the window's last third",
        ),
        (reading.age is None, no_data, "stale data", "no time of any sample is known", "the time of the newest sample"),
        (
            covered < COVERAGE_RATIO,
            inconclusive,
            "window not covered",
            f"only {covered:.0%} of the window was read, {COVERAGE_RATIO:.0%} is needed",
            f"readings over {COVERAGE_RATIO:.0%} of the window",
        ),
        (
            total < least,
            inconclusive,
            "too few requests",
            f"{total:.0f} requests, a verdict needs {least}",
            wanted(evidence, math.ceil(least - total)) if math.isfinite(total) else "",
        ),
        (
            reading.value is None or not math.isfinite(reading.value),
            no_data,
            "no data",
            f"the {of_what}, but no value can be computed from them",
            "a finite value",
        ),
    )


def unsteady(evidence: Evidence) -> Ruling | None:
    """Return INCONCLUSIVE where a count, which can only grow, fell: series went missing, or others were read."""
    for earlier, later in pairwise(each for each in evidence.readings if not each.problem):
        for what, before, after in (("requests", earlier.total, later.total), ("bad ones", earlier.bad, later.bad)):
            now = after or 0.0
            if before is not None and before - now > max(_WOBBLE, _WOBBLE_RATIO * before):
                rule = f"the {what} fell from {before:.0f} to {now:.0f} within the window; counts only grow"
                return unclear("counts fell", rule, "a window in which the same series are read throughout")
    return None


def last_third(evidence: Evidence) -> Counts | Ruling:
    """Return the counts of the window's last third, as near as it was read; a ruling where they are no evidence."""
    *before, last = (each for each in evidence.readings if not each.problem)
    mark = evidence.started + (last.at - evidence.started) * 2 / 3
    base = min(before, key=lambda each: abs(each.at - mark), default=None)
    if base is None or abs(base.at - mark) > (last.at - evidence.started) / 3 + timedelta(seconds=1):
        rule = "no reading near two thirds of the window: its end can't be told"
        return unclear("window not covered", rule, "readings throughout the window")
    end, start = counts_of(last), counts_of(base) or Counts(0, 0)
    requests = end.total - start.total if end else 0
    if end is None or requests <= 0:
        rule = f"no request in the last {_s(last.at - base.at)} of the window"
        return unclear("traffic stopped", rule, "requests in the window's last third")
    return Counts(bad=min(max(end.bad - start.bad, 0), requests), total=requests)


def unclear(cause: str, rule: str, needed: str = "") -> Ruling:
    """Return INCONCLUSIVE."""
    return Ruling(kind=VerdictKind.INCONCLUSIVE, rule=rule, cause=cause, needed=needed)


def _stalled_for(evidence: Evidence, reading: Reading) -> timedelta | None:
    """Return for how long not one request had come at the window's end, where that is its last third or more.

    What extrapolation adds to a count that stands still comes and goes, so that it may seem to fall a little.
    """
    before = [
        r
        for r in evidence.readings[:-1]
        if r.total is not None and (r.at - evidence.started) <= evidence.window * 2 / 3
    ]
    if not before or not reading.total:
        return None
    then = before[-1].total or 0.0
    return reading.at - before[-1].at if _STANDS_STILL * then <= reading.total <= then else None


def _s(duration: timedelta) -> str:
    return f"{duration.total_seconds():.0f} s"
