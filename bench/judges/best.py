"""The most that any rule can promote: what the counts themselves bound, whoever looks at them.

Among all rules on n requests that promote at most 0.1 % of the canaries at three times the limit, none promotes more
of those at half the limit than a bound on the number of bad ones (the Neyman-Pearson lemma: the ratio of the two
likelihoods falls with each bad request, https://en.wikipedia.org/wiki/Neyman%E2%80%93Pearson_lemma); where the
bound lies between two numbers it promotes the upper one by lot.
"""

from __future__ import annotations

from scipy import stats

__all__ = ["best_percent"]

GOOD, BAD = 0.5, 3.0
MOST_BAD_RATIO = 0.001


def best_percent(requests: int, limit: float) -> float:
    """Return the percentage of canaries at half the limit that the best rule promotes on so many requests."""
    bad = 0
    while stats.binom.cdf(bad, requests, BAD * limit) <= MOST_BAD_RATIO:
        bad += 1
    below = stats.binom.cdf(bad - 1, requests, BAD * limit)
    lot = (MOST_BAD_RATIO - below) / stats.binom.pmf(bad, requests, BAD * limit)
    good = stats.binom.cdf(bad - 1, requests, GOOD * limit) + lot * stats.binom.pmf(bad, requests, GOOD * limit)
    return float(100 * good)
