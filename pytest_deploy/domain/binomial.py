"""Binomial tests on counts: the exact tail, the one-sided exclusion, the interval, and the difference of two ratios."""

from __future__ import annotations

import math
from collections.abc import Callable

__all__ = ["binomial_tail", "difference", "excludes", "interval"]


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


def difference(canary: tuple[int, int], stable: tuple[int, int], confidence: float = 0.95) -> tuple[float, float]:
    """Return the least and the most by which the canary's ratio can be above the stable's, each one-sided.

    With p the ratios, l and u their exact (Clopper-Pearson) bounds and d = pc - ps: from
    d - sqrt((pc - lc)^2 + (us - ps)^2) to d + sqrt((uc - pc)^2 + (ps - ls)^2). That is method 10 of Newcombe 1998
    (Statistics in Medicine 17:873) with exact bounds in the place of Wilson's, as Zou and Donner 2008 generalise it
    (https://doi.org/10.1002/sim.3095). It holds without errors on either side: a ratio of 0 has an interval too. The
    tests enumerate how often it errs.

    Args:
        canary, stable: (bad, total), total above 0.
        confidence: of each bound by itself.
    """
    (pc, lc, uc), (ps, ls, us) = (
        (bad / total, *interval(bad, total, 2 * confidence - 1)) for bad, total in (canary, stable)
    )
    d = pc - ps
    return d - math.hypot(pc - lc, us - ps), d + math.hypot(uc - pc, ps - ls)


def _root(beyond: Callable[[float], bool]) -> float:
    """Return the ratio from which on ``beyond`` holds."""
    low, high = 0.0, 1.0
    while high - low > high * 1e-6:
        middle = (low + high) / 2
        low, high = (low, middle) if beyond(middle) else (middle, high)
    return high
