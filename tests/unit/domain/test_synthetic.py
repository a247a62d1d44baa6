"""Made-up traffic shows in a histogram what it is meant to be."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.domain.synthetic import BUCKETS_S, Behaviour, bucket_shares, mean_s


def quantile(shares: tuple[float, ...], wanted: float) -> float:
    """Return what histogram_quantile makes of cumulative shares."""
    bounds = (0.0, *BUCKETS_S)
    for (low, high), (left, right) in zip(pairwise((0.0, *shares)), pairwise(bounds), strict=True):
        if high >= wanted:
            return left if math.isinf(right) else left + (right - left) * (wanted - low) / (high - low)
    raise AssertionError(shares)


@given(st.floats(min_value=0.01, max_value=100_000))
def test_shares_are_cumulative(p95_ms: float) -> None:
    """The shares rise, stay within 0 and 1, and the last bucket holds all."""
    shares = bucket_shares(p95_ms)
    assert len(shares) == len(BUCKETS_S)
    assert all(0 <= low <= high <= 1 for low, high in pairwise(shares))
    assert shares[-1] == 1


@given(st.floats(min_value=5, max_value=5000))
def test_the_p95_is_read_back(p95_ms: float) -> None:
    """histogram_quantile(0.95) gives the p95 that was asked for, within a millionth."""
    assert quantile(bucket_shares(p95_ms), 0.95) == pytest.approx(p95_ms / 1000, rel=1e-6)


@pytest.mark.parametrize("p95_ms", [50, 100, 200, 300, 500, 1000])
def test_at_a_bound_the_share_is_exact(p95_ms: float) -> None:
    """A p95 that is a bucket's bound has a share of 0.95 there."""
    assert bucket_shares(p95_ms)[BUCKETS_S.index(p95_ms / 1000)] == pytest.approx(0.95)


def test_a_p95_beyond_the_buckets_reads_as_the_last_bound() -> None:
    """A p95 of a minute is read as the last finite bound, as in Prometheus."""
    assert quantile(bucket_shares(60_000), 0.95) == 5.0


@given(st.floats(min_value=10, max_value=4000))
def test_the_mean_lies_below_the_p95(p95_ms: float) -> None:
    """The mean latency is positive and below the p95."""
    assert 0 < mean_s(bucket_shares(p95_ms)) < p95_ms / 1000


@pytest.mark.parametrize(
    "values", [{"error_rate_ratio": -0.1}, {"error_rate_ratio": 1.1}, {"error_rate_ratio": math.nan}, {"p95_ms": 0.0}]
)
def test_impossible_behaviour_is_refused(values: dict[str, float]) -> None:
    """An error rate outside of 0 to 1 and a p95 that is not positive are refused with what would be right."""
    with pytest.raises(ValueError, match=r"from 0 to 1|more than 0"):
        Behaviour(**values)
