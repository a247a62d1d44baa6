"""Counts of requests and of the bad ones among them: what chance makes of them, and how they are told."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

from pytest_deploy.domain.binomial import binomial_tail, interval
from pytest_deploy.domain.measurement import Evidence, Objective, Reading
from pytest_deploy.domain.quantity import format_duration

__all__ = ["DOUBT", "LEAST_BAD", "Counts", "chance", "counts_of", "limit_of", "percent", "seldom", "to_come", "wanted"]

DOUBT = 0.001
"""Chance of calling a canary at the limit bad at one look. There are many looks; what excludes most false alarms is
that even a clean rest of the window could not mend a breach."""

LEAST_BAD = 3
"""Two bad requests prove nothing, whatever the limit."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Whole numbers, 0 <= bad <= total."""

    bad: int
    total: int

    @property
    def ratio(self) -> float:
        """The share of bad ones; 0 without requests."""
        return self.bad / self.total if self.total else 0.0

    @property
    def words(self) -> str:
        """``10 of 2,000``."""
        return f"{self.bad:,} of {self.total:,}"

    @property
    def interval(self) -> str:
        """The exact 95 % interval of the ratio, ``0.24-0.92 %``."""
        low, high = interval(self.bad, self.total)
        return f"{percent(low).removesuffix(' %')}-{percent(high)}"


def counts_of(reading: Reading) -> Counts | None:
    """Return whole counts; extrapolation may show more bad ones than requests. None: they can't be told."""
    if reading.total is None or reading.bad is None or not math.isfinite(reading.total + reading.bad):
        return None
    total, bad = round(reading.total), round(reading.bad)
    return Counts(bad=min(max(bad, 0), total), total=total) if total >= 0 else None


def limit_of(objective: Objective) -> float:
    """Return the share of bad requests that is still good, without what 1 - quantile adds in its last digits."""
    return round(objective.bad_limit_ratio, 12)


def chance(counts: Counts, limit: float) -> float:
    """Return how often a canary at the limit shows as many bad requests, or more."""
    if counts.bad == 0 or limit >= 1:
        return 1.0
    return binomial_tail(counts.bad, counts.total, limit) if limit > 0 else 0.0


def to_come(evidence: Evidence, reading: Reading, total: int) -> float:
    """Return how many requests the rest of the window will bring: up to ``until``, else at the rate so far."""
    if evidence.over:
        return 0.0
    if evidence.until is not None:
        return max(0.0, evidence.until - total)
    seen = min(max((reading.at - evidence.started) / evidence.window, 1e-9), 1.0)
    return total / seen - total


def wanted(evidence: Evidence, more: int, *, clean: bool = False) -> str:
    """Return ``at least 120 more requests, which come within 4 min at this rate``; "" where none are wanted.

    Args:
        more: beyond those that were seen.
        clean: none of them may be bad.
    """
    if more <= 0:
        return ""
    text = f"at least {more:,} more requests{', not one of them bad' if clean else ''}"
    last = evidence.last
    if last is None or not last.total:
        return text
    within = (last.at - evidence.started) * (more / last.total)
    if within > timedelta(days=1):
        return f"{text}, which take more than a day at this rate"
    return f"{text}, which come within {format_duration(within)} at this rate"


def seldom(share: float) -> str:
    """Return ``one in 1,500`` for a chance."""
    return "not one in a million" if share < 1e-6 else f"one in {1 / share:,.0f}"


def percent(ratio: float) -> str:
    """Return ``0.24 %``, with as many digits as counts allow to tell."""
    value = ratio * 100
    if value < 0.01:
        return f"{value:.2g} %"
    return f"{value:.1f}".removesuffix(".0") + " %" if value >= 1 else f"{value:.2f} %"
