"""Made-up traffic: how a version of a service behaves, and what its histogram then shows.

The sandbox's traffic source and the rehearsal share it, so a version that is bad in one is as bad in the other.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["BUCKETS_S", "Behaviour", "bucket_shares", "mean_s"]

BUCKETS_S: tuple[float, ...] = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, math.inf)
"""Upper bounds (``le``) of the latency histogram, in seconds; the last is +Inf."""

_AT_P95 = 0.95
_AROUND_P95 = 0.05
"""Share of all requests that lies in the bucket of the p95; with 0.05 no cumulative share can pass 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How one version answers.

    Args:
        error_rate_ratio: share of its requests that it answers with a 5xx.
        p95_ms: milliseconds within which it answers 95 % of its requests; more than 0.
    """

    error_rate_ratio: float = 0.0
    p95_ms: float = 120.0

    def __post_init__(self) -> None:
        if not 0 <= self.error_rate_ratio <= 1:
            msg = f"error rate {self.error_rate_ratio:g} is no ratio: from 0 to 1"
            raise ValueError(msg)
        if not (self.p95_ms > 0 and math.isfinite(self.p95_ms)):
            msg = f"p95 latency {self.p95_ms:g} ms: more than 0, and finite"
            raise ValueError(msg)


def bucket_shares(p95_ms: float) -> tuple[float, ...]:
    """Return the share of requests within each bound of BUCKETS_S, so that the histogram gives back the p95.

    ``histogram_quantile`` reads a bucket as if its requests were spread evenly. So the share at both ends of the
    p95's bucket is chosen so that this straight line is at 0.95 exactly at the p95. A p95 beyond the last finite
    bound is read as that bound, one far below the first as 0.95 of it: https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile

    Args:
        p95_ms: milliseconds, more than 0.
    """
    p95_s = p95_ms / 1000
    index = bisect_left(BUCKETS_S, p95_s)
    low, high = (BUCKETS_S[index - 1] if index else 0.0), BUCKETS_S[index]
    if math.isinf(high):
        return tuple(_AT_P95 * (bound / p95_s) if math.isfinite(bound) else 1.0 for bound in BUCKETS_S)
    if index:
        at_low = _AT_P95 - _AROUND_P95 * (p95_s - low) / (high - low)
        at_high = at_low + _AROUND_P95
    else:
        at_low, at_high = 0.0, min(1.0, _AT_P95 * high / p95_s)
    below = tuple(at_low * (bound / low) for bound in BUCKETS_S[:index])
    above = tuple(1 - (1 - at_high) / 4**step for step in range(len(BUCKETS_S) - index - 1))
    return (*below, *above, 1.0)


def mean_s(shares: tuple[float, ...]) -> float:
    """Return the mean latency in seconds of requests that are spread so: each counts as the middle of its bucket."""
    bounds = (0.0, *BUCKETS_S[:-1], BUCKETS_S[-2])
    return sum(
        (high - low) * (left + right) / 2
        for (low, high), (left, right) in zip(pairwise((0.0, *shares)), pairwise(bounds), strict=True)
    )
