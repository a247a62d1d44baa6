"""The judge named ``evidence``: exact binomial tests on counts, pooled over the steps of one digest.

A latency is judged like an error rate: its bad requests are the slower ones, its limit is 1 - quantile. What must be
excluded before each weight, and how many requests that takes, stands in ``power``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pytest_deploy.domain.binomial import excludes
from pytest_deploy.domain.control import environment
from pytest_deploy.domain.counts import (
    DOUBT,
    LEAST_BAD,
    Counts,
    chance,
    counts_of,
    limit_of,
    percent,
    seldom,
    to_come,
    wanted,
)
from pytest_deploy.domain.fitness import last_third, unclear, unfit, unsteady, whole
from pytest_deploy.domain.judge import Contract
from pytest_deploy.domain.kinds import by_kind
from pytest_deploy.domain.measurement import Evidence, Objective, Reading
from pytest_deploy.domain.power import CONFIDENCE, MIN_REQUESTS, STEP_DOUBT, allowed_ratio, raise_needed
from pytest_deploy.domain.verdict import Ruling, VerdictKind

__all__ = ["EvidenceJudge"]

_LATE_DOUBT = 0.01
"""Chance that a canary at the limit is held up by the last third's test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceJudge:
    """FAIL beyond doubt at any look, PASS when the window's end excludes what the next weight must not risk.

    FAIL, on this step's counts or on those of all steps of this digest, all of: 3 bad requests or more; at most one of
    a thousand canaries at the limit shows as many; more than the whole window may have, so that even a clean rest
    could not mend it. PASS, at the window's end, all of:

    - the counts of all steps exclude ``allowed_ratio`` at 95 %; before the commitment that is twice the limit, and
      their ratio is within the limit;
    - neither this step (5 %) nor its last third (1 %) is significantly above the limit;
    - the evidence is whole: what ``fitness`` asks of it, and requests in the last third.

    Else INCONCLUSIVE, and NO_DATA without requests. Where the bad requests can't be counted (the provider yields only a
    value) ``Contract`` judges the value, and the ruling says so.
    """

    name: str = "evidence"

    def __call__(self, evidence: Evidence, objective: Objective) -> Ruling | None:
        """Return the ruling; None while the window lasts and no breach is beyond doubt."""
        return by_kind(evidence, objective, self._counted, min_requests=None)

    def _counted(self, evidence: Evidence, objective: Objective) -> Ruling | None:
        reading = evidence.last
        if not evidence.over:
            return _early(evidence, objective, reading) if reading is not None else None
        no_evidence = unfit(evidence, requests=1)
        if no_evidence is not None or reading is None:
            return no_evidence
        step = counts_of(reading)
        if step is None:
            return _by_value(evidence, objective)
        return _breach(evidence, objective, reading, step) or _final(evidence, limit_of(objective), step)


def _early(evidence: Evidence, objective: Objective, reading: Reading) -> Ruling | None:
    step = counts_of(reading)
    if step is None or not whole(reading, evidence.scrape_interval) or unsteady(evidence):
        return None
    return _breach(evidence, objective, reading, step)


def _final(evidence: Evidence, limit: float, step: Counts) -> Ruling:
    late = last_third(evidence)
    if isinstance(late, Ruling):
        return late
    multiple = evidence.allowed_multiple
    pool, steps = _pool(evidence, step)
    doubt = _unproved(evidence, pool, steps, limit) or _above(step, late, limit)
    if doubt is not None:
        return doubt
    passed = f"{_seen(pool, steps)}, interval {pool.interval}"
    excluded = f"{percent(allowed_ratio(limit, multiple))} is excluded at {CONFIDENCE:.0%}"
    if multiple is None:
        return Ruling(kind=VerdictKind.PASS, rule=f"within the limit: {passed}; {excluded}")
    carried = "; carried to the next step" if max(step.ratio, pool.ratio) > limit else ""
    return Ruling(kind=VerdictKind.PASS, rule=f"no breach: {passed}{carried}; {excluded}, as the next weight needs")


def _seen(pool: Counts, steps: int) -> str:
    return f"{pool.words}{f' over {steps} steps' if steps > 1 else ''}"


def _pool(evidence: Evidence, step: Counts) -> tuple[Counts, int]:
    """Return the counts of all steps of this digest, and how many steps they are."""
    parts = [step, *filter(None, map(counts_of, evidence.earlier))]
    return Counts(bad=sum(part.bad for part in parts), total=sum(part.total for part in parts)), len(parts)


def _breach(evidence: Evidence, objective: Objective, reading: Reading, step: Counts) -> Ruling | None:
    """Return FAIL where this step's counts, or those of all steps, are a breach beyond doubt."""
    limit = limit_of(objective)
    pool, steps = _pool(evidence, step)
    rest = to_come(evidence, reading, step.total)
    for part, counts in (("", step), (f" over {steps} steps", pool)):
        may_have = limit * (counts.total + rest)
        if counts.bad <= may_have or not _beyond_doubt(counts, limit):
            continue
        cause, control = environment(evidence, counts, lambda stable: _beyond_doubt(counts_of(stable), limit))
        rule = (
            f"{counts.words}{part} bad, more than the {may_have:.1f} that the whole window may have; "
            f"by chance {seldom(chance(counts, limit))} canaries at the limit shows as many{control}"
        )
        return Ruling(kind=VerdictKind.FAIL, rule=rule, cause=cause)
    return None


def _beyond_doubt(counts: Counts | None, limit: float) -> bool:
    return counts is not None and counts.bad >= LEAST_BAD and chance(counts, limit) <= DOUBT


def _unproved(evidence: Evidence, pool: Counts, steps: int, limit: float) -> Ruling | None:
    """Return INCONCLUSIVE where the counts of all steps don't show what the next weight, or the commitment, needs."""
    if not 0 < limit < 1:
        rule = f"no number of requests proves a limit of {limit:g}; `contract` judges it"
        return unclear("limit beyond proof", rule, "a limit between 0 and 1, or the judge `contract`")
    multiple = evidence.allowed_multiple
    seen, allowed, least = _seen(pool, steps), allowed_ratio(limit, multiple), raise_needed(limit, multiple)
    if pool.total < least:
        rule = f"{seen}: at least {least:,} requests exclude {percent(allowed)}, if none is bad"
        return unclear("too few requests", rule, wanted(evidence, least - pool.total, clean=True))
    above = pool.ratio > limit
    if multiple is None and above:
        rule = f"{seen} are above the limit, yet no breach beyond doubt"
        return unclear("above the limit", rule, f"at most {int(limit * pool.total):,} bad of {pool.total:,}")
    if excludes(pool.bad, pool.total, allowed, CONFIDENCE):
        return None
    rule = f"{seen}: {percent(allowed)} is not excluded at {CONFIDENCE:.0%}, interval {pool.interval}"
    return unclear("above the limit" if above else "too few requests", rule, _would_do(evidence, pool, allowed))


def _above(step: Counts, late: Counts, limit: float) -> Ruling | None:
    """Return INCONCLUSIVE where this step, or its last third, is significantly above the limit."""
    for part, counts, doubt in (("this step", step, STEP_DOUBT), ("its last third", late, _LATE_DOUBT)):
        by_chance = chance(counts, limit)
        if by_chance <= doubt:
            rule = f"{part} is above the limit: {counts.words}, by chance {seldom(by_chance)} canaries at the limit"
            return unclear("above the limit", f"{rule} shows it", f"fewer bad requests in {part}")
    return None


def _by_value(evidence: Evidence, objective: Objective) -> Ruling | None:
    ruling = Contract()(evidence, objective)
    if ruling is None or ruling.kind not in {VerdictKind.PASS, VerdictKind.FAIL}:
        return ruling
    why = "the slow requests can't be counted" if objective.quantile is not None else "no bad requests are counted"
    return replace(ruling, rule=f"{why}, so the value alone was judged: {ruling.rule}")


def _would_do(evidence: Evidence, pool: Counts, allowed: float) -> str:
    """Return how many more requests at this ratio would do; "" where none would."""
    total = max(pool.total, MIN_REQUESTS)
    for _ in range(20):
        total *= 2
        if excludes(round(pool.ratio * total), total, allowed, CONFIDENCE):
            return f"{wanted(evidence, total - pool.total)}, with the same share of bad ones"
    return ""
