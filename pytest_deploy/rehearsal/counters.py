"""Counters of requests as a service exposes them, and what can be computed from samples of them."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise

from pytest_deploy.domain.measurement import Bucket
from pytest_deploy.domain.synthetic import BUCKETS_S, Behaviour, bucket_shares

__all__ = ["NOTHING", "Counters", "Sample", "has_bucket"]

_FLOAT_DUST = 1e-6

_shares = lru_cache(bucket_shares)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one version's counters show: whole requests.

    Args:
        buckets: requests within each bound of BUCKETS_S.
    """

    total: int
    errors: int
    buckets: tuple[int, ...]

    def since(self, earlier: Sample) -> Sample:
        """Return the increase from the earlier sample to this one."""
        buckets = tuple(late - early for late, early in zip(self.buckets, earlier.buckets, strict=True))
        return Sample(total=self.total - earlier.total, errors=self.errors - earlier.errors, buckets=buckets)

    def __add__(self, other: Sample) -> Sample:
        buckets = tuple(one + another for one, another in zip(self.buckets, other.buckets, strict=True))
        return Sample(total=self.total + other.total, errors=self.errors + other.errors, buckets=buckets)

    def slower(self, limit_s: float) -> int | None:
        """Return the requests that took longer than this; None where no bucket ends there."""
        if not has_bucket(limit_s):
            return None
        return self.total - self.buckets[bisect_left(BUCKETS_S, limit_s)]

    def neighbours(self, limit_s: float) -> tuple[Bucket, Bucket]:
        """Return the buckets that end below and above a time where none ends."""
        bounds, within = (0.0, *BUCKETS_S), (0, *self.buckets)
        above = bisect_left(bounds, limit_s)
        low, high = (Bucket(bound_s=bounds[i], slower=float(self.total - within[i])) for i in (above - 1, above))
        return low, high

    def quantile_s(self, quantile: float) -> float | None:
        """Return the latency as ``histogram_quantile`` does, evenly spread in a bucket; None without requests."""
        if not self.total:
            return None
        rank = quantile * self.total
        edges = pairwise([(0.0, 0), *zip(BUCKETS_S, self.buckets, strict=True)])
        (low_s, below), (high_s, within) = next(pair for pair in edges if pair[1][1] >= rank)
        if math.isinf(high_s):
            return low_s
        return low_s + (high_s - low_s) * (rank - below) / (within - below)


NOTHING = Sample(total=0, errors=0, buckets=(0,) * len(BUCKETS_S))


@dataclass(kw_only=True)
class Counters:
    """One version's counters since it began, with the fractions that make no whole request yet."""

    total: float = 0.0
    errors: float = 0.0
    buckets: list[float] = field(default_factory=lambda: [0.0] * len(BUCKETS_S))

    def add(self, requests: float, behaviour: Behaviour) -> None:
        """Count requests that were answered so; a negative number is of those before the counters began."""
        self.total += requests
        self.errors += requests * behaviour.error_rate_ratio
        for index, share in enumerate(_shares(behaviour.p95_ms)):
            self.buckets[index] += requests * share

    def sample(self) -> Sample:
        """Return what a scrape sees now."""
        return Sample(
            total=_whole(self.total), errors=_whole(self.errors), buckets=tuple(_whole(each) for each in self.buckets)
        )


def has_bucket(limit_s: float) -> bool:
    """Whether a bucket ends at this time."""
    return limit_s in BUCKETS_S


def _whole(count: float) -> int:
    return math.floor(count + _FLOAT_DUST)
