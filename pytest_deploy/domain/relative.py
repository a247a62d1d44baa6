"""Relative objectives: by how much the canary may be worse than the stable version that runs beside it.

For shares of bad requests the bounds of the difference decide (``binomial.difference``), at one step alone: the stable
version's traffic and the environment change from step to step, so the steps are not pooled. A stable version without
a single error neither passes nor fails anything: it has an interval too. For a latency it is the plain rule on the
difference of two quantiles at the window's end: quantiles have no exact interval in a histogram's buckets.
"""

from __future__ import annotations

import math

from pytest_deploy.domain.binomial import difference
from pytest_deploy.domain.control import control_of
from pytest_deploy.domain.counts import DOUBT, LEAST_BAD, Counts, counts_of, percent, to_come, wanted
from pytest_deploy.domain.fitness import last_third, unclear, unfit, unsteady, whole
from pytest_deploy.domain.measurement import Evidence, Objective, Reading
from pytest_deploy.domain.power import CONFIDENCE, MIN_REQUESTS, allowed_ratio
from pytest_deploy.domain.verdict import Ruling, VerdictKind

__all__ = ["judge_relative", "worse_by"]

_LEAST_FOR_QUANTILE = 100
"""Requests on each side: of fewer, a p95 is one of the five slowest."""

_LATE_CONFIDENCE = 0.99


def worse_by(reading: Reading, control: Reading | None) -> float | None:
    """Return by how much the canary's value is above the stable's, in the objective's unit; None: it can't be told."""
    if control is None or reading.value is None or control.value is None:
        return None
    found = reading.value - control.value
    return found if math.isfinite(found) else None


def judge_relative(evidence: Evidence, objective: Objective, *, min_requests: int | None) -> Ruling | None:
    """Return the ruling; None while the window lasts and no breach is beyond doubt.

    Shares of bad requests: FAIL at any look, all of: 3 bad requests or more; the difference is above the limit at
    99.9 %; even a clean rest of the window could not mend it. PASS at the window's end, all of: the difference is not
    above the limit at 95 %, nor that of the last third at 99 %; it excludes at 95 % what the next weight must not risk
    (``allowed_ratio``); before the commitment that is twice the limit, and the difference itself is within the limit.

    Args:
        min_requests: of each side; None: 11 for shares, 100 for a latency.
    """
    quantile = objective.quantile is not None
    if not evidence.over:
        return None if quantile else _early(evidence, objective)
    pair = _pair(evidence, min_requests or (_LEAST_FOR_QUANTILE if quantile else MIN_REQUESTS))
    if isinstance(pair, Ruling):
        return pair
    if quantile:
        return _by_value(objective, *pair)
    canary, stable = map(counts_of, pair)
    if canary is None or stable is None:
        return unclear("no data", "the bad requests of one side can't be counted", "counts of bad requests")
    return _breach(objective.limit, 0.0, canary, stable) or _final(evidence, objective.limit, canary, stable)


def _pair(evidence: Evidence, least: int) -> tuple[Reading, Reading] | Ruling:
    """Return the newest readings of canary and stable, or why they can't be compared."""
    no_evidence = unfit(evidence, requests=least)
    reading, control = evidence.last, control_of(evidence)
    if no_evidence is not None or reading is None:
        return no_evidence or unclear("no data", "nothing was ever read")
    if control is None:
        rule = "no whole, fresh reading of a stable version beside it that answers requests"
        return unclear("no control", rule, "a stable version with traffic beside it")
    if (control.total or 0.0) < least:
        rule = f"the stable version had {control.total or 0.0:.0f} requests, a comparison needs {least}"
        return unclear("no control", rule, f"at least {least} requests of the stable version")
    return reading, control


def _early(evidence: Evidence, objective: Objective) -> Ruling | None:
    reading, control = evidence.last, control_of(evidence)
    if reading is None or control is None or not whole(reading, evidence.scrape_interval) or unsteady(evidence):
        return None
    canary, stable = counts_of(reading), counts_of(control)
    if canary is None or stable is None:
        return None
    return _breach(objective.limit, to_come(evidence, reading, canary.total), canary, stable)


def _breach(limit: float, rest: float, canary: Counts, stable: Counts) -> Ruling | None:
    may_have = (stable.ratio + limit) * (canary.total + rest)
    if canary.bad < LEAST_BAD or canary.bad <= may_have:
        return None
    least_worse, _ = difference((canary.bad, canary.total), (stable.bad, stable.total), 1 - DOUBT)
    if least_worse <= limit:
        return None
    sure = f"worse by at least {_points(least_worse)} at {1 - DOUBT:.1%}, more than {_points(limit)}"
    return Ruling(kind=VerdictKind.FAIL, rule=f"{_told(canary, stable)}: {sure}")


def _final(evidence: Evidence, limit: float, canary: Counts, stable: Counts) -> Ruling:
    late = last_third(evidence)
    if isinstance(late, Ruling):
        return late
    if not 0 < limit < 1:
        rule = f"no number of requests proves that it is worse by no more than {_points(limit)}"
        return unclear("limit beyond proof", rule, "a difference above 0")
    for part, counts, confidence in (("", canary, CONFIDENCE), (" in its last third", late, _LATE_CONFIDENCE)):
        least_worse, _ = difference((counts.bad, counts.total), (stable.bad, stable.total), confidence)
        if least_worse > limit:
            rule = f"{_told(counts, stable)}: worse{part} by at least {_points(least_worse)} at {confidence:.0%}"
            return unclear("above the limit", rule, f"a difference of at most {_points(limit)}")
    allowed = allowed_ratio(limit, evidence.allowed_multiple)
    found = canary.ratio - stable.ratio
    if evidence.allowed_multiple is None and found > limit:
        rule = f"{_told(canary, stable)}: worse by {_points(found)}, yet no breach beyond doubt"
        return unclear("above the limit", rule, f"a difference of at most {_points(limit)}")
    _, most_worse = difference((canary.bad, canary.total), (stable.bad, stable.total), CONFIDENCE)
    told = f"{_told(canary, stable)}: worse by {_points(found)}, at most by {_points(most_worse)} at {CONFIDENCE:.0%}"
    if most_worse >= allowed:
        rule = f"{told}; {_points(allowed)} is not excluded"
        return unclear("too few requests", rule, _would_do(evidence, canary, stable, allowed))
    return Ruling(kind=VerdictKind.PASS, rule=f"{told}; {_points(allowed)} is excluded")


def _by_value(objective: Objective, reading: Reading, control: Reading) -> Ruling:
    found = worse_by(reading, control)
    if found is None:
        return unclear("no control", "the stable version has no finite value to compare with", "a value on both sides")
    rule = f"{objective.show(found)} slower than stable at the window's end, limit {objective.show(objective.limit)}"
    kind = VerdictKind.PASS if objective.keeps(found) else VerdictKind.FAIL
    return Ruling(kind=kind, rule=f"{rule}; the plain rule on two quantiles, without an interval")


def _would_do(evidence: Evidence, canary: Counts, stable: Counts, allowed: float) -> str:
    """Return how many more requests at these ratios would do; "" where none would."""
    if canary.ratio - stable.ratio >= allowed:
        return ""
    for times in (2, 4, 8, 16, 32, 64):
        one, other = ((each.bad * times, each.total * times) for each in (canary, stable))
        if difference(one, other, CONFIDENCE)[1] < allowed:
            return f"{wanted(evidence, canary.total * (times - 1))}, with the same shares of bad ones"
    return ""


def _told(canary: Counts, stable: Counts) -> str:
    return f"{canary.words} bad ({percent(canary.ratio)}), stable beside it {stable.words} ({percent(stable.ratio)})"


def _points(ratio: float) -> str:
    sign = "-" if ratio < 0 else ""
    return f"{sign}{percent(abs(ratio)).removesuffix(' %')} points"
