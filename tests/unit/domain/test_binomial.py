"""Tails, exclusions, intervals and differences: exact, and as often wrong as they say."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped]  # it ships no types

from pytest_deploy.domain.binomial import binomial_tail, difference, excludes, interval


@given(total=st.integers(1, 5_000), share=st.floats(0, 1), ratio=st.floats(1e-4, 0.9))
def test_the_tail_is_scipys(total: int, share: float, ratio: float) -> None:
    """The binomial tail agrees with scipy's to seven digits, small tails included."""
    bad = round(total * share)
    expected = stats.binom.sf(bad - 1, total, ratio)
    assert binomial_tail(bad, total, ratio) == pytest.approx(expected, rel=1e-7, abs=1e-250)


@given(total=st.integers(1, 60), share=st.floats(0, 1), percent=st.integers(1, 99))
def test_the_tail_is_exact(total: int, share: float, percent: int) -> None:
    """The binomial tail agrees with the sum of its terms as fractions, which round nothing."""
    bad, ratio = round(total * share), Fraction(percent, 100)
    expected = sum(comb(total, k) * ratio**k * (1 - ratio) ** (total - k) for k in range(bad, total + 1))
    assert binomial_tail(bad, total, percent / 100) == pytest.approx(float(expected), rel=1e-11)


@pytest.mark.parametrize(("bad", "total", "ratio"), [(-1, 5, 0.1), (6, 5, 0.1), (1, 5, 0.0), (1, 5, 1.0)])
def test_an_impossible_tail_is_refused(bad: int, total: int, ratio: float) -> None:
    """Counts and ratios that can't be are an error, never a number."""
    with pytest.raises(ValueError, match="no binomial tail"):
        binomial_tail(bad, total, ratio)


@given(total=st.integers(1, 5_000), share=st.floats(0, 1), confidence=st.sampled_from([0.9, 0.95, 0.99]))
def test_the_interval_is_scipys(total: int, share: float, confidence: float) -> None:
    """The exact interval agrees with scipy's Clopper-Pearson."""
    bad = round(total * share)
    expected = stats.binomtest(bad, total).proportion_ci(confidence, method="exact")
    assert interval(bad, total, confidence) == pytest.approx((expected.low, expected.high), rel=1e-4, abs=1e-12)


@given(total=st.integers(1, 20_000), share=st.floats(0, 1), ratio=st.floats(1e-4, 0.9))
def test_exclusion_is_scipys_lower_tail(total: int, share: float, ratio: float) -> None:
    """A ratio is excluded exactly where scipy's lower tail is at most 5 %."""
    bad = round(total * share)
    tail = stats.binom.cdf(bad, total, ratio)
    if abs(tail - 0.05) > 1e-9:
        assert excludes(bad, total, ratio) == (tail <= 0.05)


def test_what_can_not_be_excluded() -> None:
    """No requests exclude nothing, 0 is never excluded, one good request excludes all bad, 11 exclude a quarter."""
    assert not excludes(0, 0, 0.5)
    assert not excludes(0, 10_000, 0.0)
    assert excludes(9, 10, 1.0)
    assert not excludes(10, 10, 1.0)
    assert excludes(0, 11, 0.25)
    assert not excludes(0, 10, 0.25)
    assert interval(0, 0) == (0.0, 1.0)


@given(total=st.integers(1, 3_000), share=st.floats(0, 1), confidence=st.sampled_from([0.95, 0.99, 0.999]))
def test_a_stable_version_without_errors_leaves_the_canarys_own_bound(
    total: int, share: float, confidence: float
) -> None:
    """Against a million requests without an error the difference is the canary's ratio with its own exact bounds."""
    bad = round(total * share)
    low, high = interval(bad, total, 2 * confidence - 1)
    found = difference((bad, total), (0, 1_000_000), confidence)
    assert found == pytest.approx((low, high), abs=1e-5)


@pytest.mark.parametrize(("canary", "stable"), [(20, 300), (60, 60), (100, 300), (300, 30)])
def test_the_differences_bounds_err_as_seldom_as_they_say(canary: int, stable: int) -> None:
    """Over all counts that can be, a canary exactly at the margin is above it at 99.9 % in 0.1 % at most.

    One at twice the margin is below that at 95 % in 5.5 % at most; both at every rate of errors that is tried.
    """
    bad, beside = np.arange(min(canary, 40) + 1), np.arange(min(stable, 24) + 1)
    lows = np.array([[difference((x, canary), (y, stable), 0.999)[0] for y in beside] for x in bad.tolist()])
    highs = np.array([[difference((x, canary), (y, stable))[1] for y in beside] for x in bad.tolist()])
    for margin, ratio in product((0.002, 0.01, 0.03), (0.0001, 0.001, 0.005, 0.02)):
        stables = stats.binom.pmf(beside, stable, ratio)
        at, twice = (stats.binom.pmf(bad, canary, ratio + times * margin) for times in (1, 2))
        not_tried = 1 - at.sum() * stables.sum()
        assert not_tried < 1e-4
        assert at @ (lows > margin) @ stables + not_tried <= 0.001
        assert twice @ (highs < 2 * margin) @ stables <= 0.055
