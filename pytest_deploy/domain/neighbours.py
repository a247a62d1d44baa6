"""A latency whose limit no bucket ends at: the buckets below and above it say what is certain."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from pytest_deploy.domain.fitness import unclear
from pytest_deploy.domain.measurement import Bucket, Evidence, Objective, Reading
from pytest_deploy.domain.verdict import Ruling, VerdictKind

__all__ = ["Rule", "bounded"]

Rule: TypeAlias = Callable[[Evidence, Objective], Ruling | None]


def bounded(rule: Rule, evidence: Evidence, objective: Objective) -> Ruling | None:
    """Return what the rule says, whichever the number of bad requests between the neighbours is.

    All that are slower than the lower bucket's end are the most that can be bad, those that are slower than the
    upper one's the least. PASS only where the most passes, FAIL only where the least fails; where the answer hangs
    on the requests in between it is INCONCLUSIVE, with the bucket to add.
    """
    two = _between(evidence.last) if evidence.last is not None else None
    if two is None:
        return rule(evidence, objective)
    below, above = two
    worst, best = (rule(_assume(evidence, side), objective) for side in (0, 1))
    limit = objective.show(objective.limit)
    if best is not None and best.kind is VerdictKind.FAIL:
        return _with(best, f"no bucket ends at {limit}: counted as bad are {_slower(above, objective)}, the least")
    if worst is not None and worst.kind is VerdictKind.PASS:
        return _with(worst, f"no bucket ends at {limit}: counted as bad are {_slower(below, objective)}, the most")
    if worst is None or best is None or worst.kind is best.kind:
        return best
    between = f"{_slower(above, objective)} and {_slower(below, objective)}"
    return unclear(
        "no bucket at the limit",
        f"no bucket ends at {limit}, and the verdict hangs on the requests between {between}",
        f"add a bucket that ends at {limit}",
    )


def _between(reading: Reading) -> tuple[Bucket, Bucket] | None:
    """Return the neighbours where the bad requests are known to lie between their counts only."""
    two = reading.neighbours if reading.bad is None else None
    return two if two is not None and math.isfinite(two[0].slower + two[1].slower) else None


def _assume(evidence: Evidence, side: int) -> Evidence:
    """Return the evidence as if exactly those slower than this neighbour were bad."""

    def assumed(readings: tuple[Reading, ...]) -> tuple[Reading, ...]:
        return tuple(replace(r, bad=two[side].slower) if (two := _between(r)) else r for r in readings)

    return replace(
        evidence,
        readings=assumed(evidence.readings),
        control=assumed(evidence.control),
        earlier=assumed(evidence.earlier),
    )


def _slower(bucket: Bucket, objective: Objective) -> str:
    bound = objective.show(bucket.bound_s) if math.isfinite(bucket.bound_s) else "any bucket's end"
    return f"the {bucket.slower:,.0f} slower than {bound}"


def _with(ruling: Ruling, words: str) -> Ruling:
    return replace(ruling, rule=f"{ruling.rule}; {words}")
