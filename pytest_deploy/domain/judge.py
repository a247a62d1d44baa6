"""The judge: a pure function from evidence to a ruling.

``contract`` is the plain rule: at the window's end the value may not exceed the
limit, and there must be enough requests to say so. While the window lasts it
says FAIL as soon as a breach is beyond doubt, so that nobody waits out the
window of a canary that is plainly bad.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Protocol

from pytest_deploy.domain.measurement import Evidence, Objective, Reading
from pytest_deploy.domain.verdict import Ruling, VerdictKind

__all__ = ["DOUBT", "SCRAPES_OLD", "Contract", "Judge", "RuleBook", "binomial_tail", "excludes", "interval"]

DOUBT = 0.001
"""Chance of calling a good canary bad at one look; 0.1 %: with a look each scrape of a 5-minute window
most false alarms are excluded by the second condition of an early breach (see ``Contract``)."""

SCRAPES_OLD = 2.0
"""How many scrape intervals the newest sample may be old; one may fail, two in a row are an outage."""

_STANDS_STILL = 0.9
"""A count that is at least this share of what it was, and no more, stands still."""

COVERAGE_RATIO = 0.8
"""The share of the window that the readings must span; less is a verdict on another window."""


class RuleBook(StrEnum):
    """The judges that ship, as deploy.yaml names them."""

    CONTRACT = "contract"
    EVIDENCE = "evidence"


class Judge(Protocol):
    """Anything that turns evidence into a ruling; must be pure, and say PASS only at the window's end."""

    @property
    def name(self) -> str:
        """The rule book's name, for reports."""
        ...

    def __call__(self, evidence: Evidence, objective: Objective) -> Ruling | None:
        """Return the ruling; None while the window lasts and nothing is beyond doubt."""
        ...


def binomial_tail(bad: int, total: int, ratio: float) -> float:
    """Return P(X >= bad) for X ~ Binomial(total, ratio), exactly.

    The terms are summed from ``bad`` upwards, each from the one before
    (https://en.wikipedia.org/wiki/Binomial_distribution#Cumulative_distribution_function),
    the first by ``math.lgamma``; the sum ends when a term no longer changes it.

    Args:
        bad, total: counts, 0 <= bad <= total.
        ratio: the chance of one bad request, 0 < ratio < 1.

    Raises:
        ValueError: the counts or the ratio are impossible.
    """
    if not 0 <= bad <= total or not 0 < ratio < 1:
        msg = f"no binomial tail of {bad} of {total} at {ratio}"
        raise ValueError(msg)
    if bad == 0:
        return 1.0
    if bad < total * ratio:
        return 1.0 - binomial_tail(total - bad + 1, total, 1 - ratio)
    log_first = (
        math.lgamma(total + 1) - math.lgamma(bad + 1) - math.lgamma(total - bad + 1)
        + bad * math.log(ratio) + (total - bad) * math.log1p(-ratio)
    )  # fmt: skip
    term = tail = math.exp(log_first)
    odds = ratio / (1 - ratio)
    for k in range(bad, total):
        term *= (total - k) / (k + 1) * odds
        if tail + term == tail:
            break
        tail += term
    return min(tail, 1.0)


def excludes(bad: int, total: int, ratio: float, confidence: float = 0.95) -> bool:
    """Return whether the counts exclude that ``ratio`` of the requests, or more, are bad.

    One-sided and exact: at that ratio, as few bad ones would be seen at most in 1 - ``confidence`` of all cases
    (https://en.wikipedia.org/wiki/Binomial_proportion_confidence_interval#Clopper-Pearson_interval).

    Args:
        ratio: 0 is never excluded, and no requests exclude nothing.
    """
    if total == 0 or ratio <= 0:
        return False
    if ratio >= 1:
        return bad < total
    return binomial_tail(total - bad, total, 1 - ratio) <= 1 - confidence


def interval(bad: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the two-sided exact interval (Clopper-Pearson) of the ratio behind the counts, to 5 digits.

    Found by halving, as the tails are monotone in the ratio; without requests it is (0, 1).
    """
    doubt = (1 - confidence) / 2
    lower = _root(lambda ratio: binomial_tail(bad, total, ratio) > doubt) if bad else 0.0
    upper = _root(lambda ratio: binomial_tail(total - bad, total, 1 - ratio) <= doubt) if bad < total else 1.0
    return lower, upper


def _root(beyond: Callable[[float], bool]) -> float:
    """Return the ratio from which on ``beyond`` holds."""
    low, high = 0.0, 1.0
    while high - low > high * 1e-6:
        middle = (low + high) / 2
        low, high = (low, middle) if beyond(middle) else (middle, high)
    return high


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """The plain rule with a minimum of requests.

    Early FAIL, all of: 3 bad requests or more; as many by chance in at most one of a thousand canaries that
    sit exactly at the limit; and already more than the whole window may have, so that even a clean rest
    could not mend it (without this, a burst of 20 seconds rolls back good canaries).

    Args:
        min_requests: a window with fewer is INCONCLUSIVE. 100: below that one unlucky request is 1 % or more.
    """

    min_requests: int = 100
    name: str = "contract"

    def __call__(self, evidence: Evidence, objective: Objective) -> Ruling | None:
        """Return the ruling; None while the window lasts and no breach is beyond doubt."""
        reading = evidence.last
        if not evidence.over:
            return self._early(evidence, objective, reading) if reading is not None else None
        if evidence.unreadable:
            rule = f"the metrics could not be read: {evidence.unreadable}"
            return Ruling(kind=VerdictKind.ERROR, rule=rule, cause="metrics unreadable")
        if reading is None:
            return Ruling(kind=VerdictKind.NO_DATA, rule="nothing was ever read", cause="no data")
        return self._unfit(evidence, reading) or self._final(reading, objective)

    def _early(self, evidence: Evidence, objective: Objective, reading: Reading) -> Ruling | None:
        if not reading.total or not reading.bad or reading.problem:
            return None
        if not math.isfinite(reading.total) or not math.isfinite(reading.bad):
            return None
        total, bad = round(reading.total), min(round(reading.bad), round(reading.total))
        seen = (reading.at - evidence.started) / evidence.window
        limit = objective.bad_limit_ratio
        whole = total / min(max(seen, 1e-9), 1.0)
        if bad < 3 or bad <= limit * whole:
            return None
        chance = binomial_tail(bad, total, limit)
        if chance > DOUBT:
            return None
        return Ruling(
            kind=VerdictKind.FAIL,
            rule=f"{bad} bad are more than the {limit * whole:.1f} that the whole window may have; "
            f"by chance {_seldom(chance)} canaries at the limit shows as many",
        )

    def _unfit(self, evidence: Evidence, reading: Reading) -> Ruling | None:
        """Why the last reading is no evidence; None when it is."""
        oldest = evidence.scrape_interval * SCRAPES_OLD
        covered = (reading.at - evidence.started) / evidence.window
        age = "missing" if reading.age is None else f"{_s(reading.age)} old"
        no_data, inconclusive = VerdictKind.NO_DATA, VerdictKind.INCONCLUSIVE
        stalled = _stalled_for(evidence, reading)
        checks = (
            (bool(reading.problem), inconclusive, "partial answer", f"the answer is not whole: {reading.problem}"),
            (
                reading.age is not None and reading.age > oldest,
                no_data,
                "stale data",
                f"the newest sample is {age}, at most {_s(oldest)} is evidence",
            ),
            (reading.total is None, no_data, "no data", "there is no series of requests to judge"),
            (
                not math.isfinite(reading.total or 0.0),
                no_data,
                "no data",
                f"{reading.total} requests are no count",
            ),
            (reading.total == 0, no_data, "no data", "not one request reached it"),
            (
                stalled is not None,
                inconclusive,
                "traffic stopped",
                f"no request in the last {_s(stalled or timedelta())} of the window",
            ),
            (reading.age is None, no_data, "stale data", "no time of any sample is known"),
            (
                covered < COVERAGE_RATIO,
                inconclusive,
                "window not covered",
                f"only {covered:.0%} of the window was read, {COVERAGE_RATIO:.0%} is needed",
            ),
            (
                (reading.total or 0) < self.min_requests,
                inconclusive,
                "too few requests",
                f"{reading.total or 0:.0f} requests, a verdict needs {self.min_requests}",
            ),
            (
                reading.value is None or not math.isfinite(reading.value),
                no_data,
                "no data",
                "the requests are there, but no value can be computed from them",
            ),
        )
        return next((Ruling(kind=kind, rule=rule, cause=cause) for unfit, kind, cause, rule in checks if unfit), None)

    def _final(self, reading: Reading, objective: Objective) -> Ruling:
        value = reading.value if reading.value is not None else math.inf
        if value > objective.limit:
            return Ruling(kind=VerdictKind.FAIL, rule="the value is above the limit at the window's end")
        return Ruling(kind=VerdictKind.PASS, rule="the value is within the limit at the window's end")


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


def _seldom(chance: float) -> str:
    return "not one in a million" if chance < 1e-6 else f"one in {1 / chance:,.0f}"


def _s(duration: timedelta) -> str:
    return f"{duration.total_seconds():.0f} s"
