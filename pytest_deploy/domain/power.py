"""Power: what the counts of a step must exclude, and how many requests it takes to do so."""

from __future__ import annotations

import math
from datetime import timedelta

__all__ = ["CONFIDENCE", "MIN_REQUESTS", "STEP_DOUBT", "allowed_multiple", "allowed_ratio", "needed", "raise_needed"]

CONFIDENCE = 0.95
"""With which a ratio is excluded, one-sided."""

STEP_DOUBT = 0.05
"""Chance that a canary at the limit is held up by the test of one step's counts."""

_COMMIT_MULTIPLE = 2.0
"""Of the limit, excluded before the commitment: after it there is no weight that bounds the damage."""

MIN_REQUESTS = 11
"""The fewest that exclude 25 % bad at 95 % (0.75 ** 11 < 5 %); asked of laxer limits too."""

_MOST_RATIO = 0.25
_BUDGET_PERIOD = timedelta(days=30)
_BUDGET_SHARE = 0.002
"""Of a month's error budget, for the next window to spend if it is as bad as is not excluded and nothing ends it.
A breach does end it, long before: ``make bench-judge`` prints what bad canaries really spend."""
_PER_LIMIT = {0.95: 6.0, 0.99: 12.0}


def allowed_multiple(next_weight_percent: float, next_window: timedelta) -> float:
    """Return how many times the limit the next weight may risk: 0.2 % of a month's error budget.

    The budget is limit * rate * 30 days, and a canary at ``m`` times the limit spends m * limit * rate * weight
    * window of it; limit and rate cancel out: m = 0.002 * 30 days / (weight * window), which is 69, 35 and 17
    before 25, 50 and 100 % with 5-minute windows; never less than before the commitment, which risks more.
    Error budgets: https://sre.google/workbook/alerting-on-slos/

    Args:
        next_weight_percent: the weight that comes next, above 0, up to 100.
        next_window: how long it will be watched.
    """
    return max(_COMMIT_MULTIPLE, _BUDGET_SHARE * (_BUDGET_PERIOD / next_window) / (next_weight_percent / 100))


def allowed_ratio(limit: float, multiple: float | None) -> float:
    """Return the ratio of bad requests that must be excluded: ``multiple`` * ``limit``, never more than 25 %.

    Where twice a lax limit is near 25 % or above (a p50), the most is twice the limit's odds, as a ratio
    2 * limit / (1 + limit), so that it stays above the limit and below 1.

    Args:
        limit: share of bad requests that is still good, 0 < limit < 1.
        multiple: as ``Evidence.allowed_multiple``; None: before the commitment.
    """
    most = max(_MOST_RATIO, 2 * limit / (1 + limit))
    return min((_COMMIT_MULTIPLE if multiple is None else multiple) * limit, most)


def raise_needed(limit: float, multiple: float | None) -> int:
    """Return how many requests, not one of them bad, let the weight be raised: about 3 / allowed ratio, at least 11.

    They may come from all steps together; fewer can't pass, so a step that can't have them is refused. From
    (1 - ratio) ** n <= 5 % (https://en.wikipedia.org/wiki/Rule_of_three_(statistics)).

    Raises:
        ValueError: the limit is not between 0 and 1; no number of requests proves a limit of 0.
    """
    _check(limit)
    n = math.log(1 - CONFIDENCE) / math.log1p(-allowed_ratio(limit, multiple))
    return max(MIN_REQUESTS, math.ceil(n))


def needed(limit: float, *, promoted_with: float = 0.95) -> int:
    """Return how many requests, over all steps, promote a version that spends half its budget with this chance.

    6 / limit for 95 %, 12 / limit for 99 %: from the exact tails of the two conditions before the commitment
    (value within the limit, twice the limit excluded); the tests compute them.

    Args:
        limit: share of bad requests that is still good.
        promoted_with: 0.95 or 0.99.

    Raises:
        ValueError: the limit is not between 0 and 1, or the chance is another one.
    """
    _check(limit)
    if promoted_with not in _PER_LIMIT:
        raise ValueError(f"promoted with {promoted_with}: known are {', '.join(map(str, _PER_LIMIT))}")
    return max(MIN_REQUESTS, math.ceil(round(_PER_LIMIT[promoted_with] / limit, 6)))


def _check(limit: float) -> None:
    if not 0 < limit < 1:
        raise ValueError(f"no number of requests proves a limit of {limit}: it must be between 0 and 1")
