"""The judge named ``evidence``: exact binomial tests on counts, pooled over the steps of one digest.

A latency is judged like an error rate: its bad requests are the slower ones, its limit is 1 - quantile. What must be
excluded before each weight, and how many requests that takes, stands in ``power``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

from pytest_deploy.domain.judge import DOUBT, SCRAPES_OLD, Contract, binomial_tail, excludes, interval
from pytest_deploy.domain.measurement import Evidence, Objective, Reading
from pytest_deploy.domain.power import CONFIDENCE, MIN_REQUESTS, allowed_ratio, raise_needed
from pytest_deploy.domain.verdict import Ruling, VerdictKind

__all__ = ["EvidenceJudge"]

_LEAST_BAD = 3
"""Two bad requests prove nothing, whatever the limit."""

_STEP_DOUBT = 0.05
_LATE_DOUBT = 0.01
"""Chance that a canary at the limit is held up by this step's or the last third's test."""

_WOBBLE_RATIO = 0.2
_WOBBLE = 2.0
"""By how much a count may fall from look to look: what extrapolation to the window's edges adds comes and goes
(https://prometheus.io/docs/prometheus/latest/querying/functions/#increase); a restart is no fall, as rates mend it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceJudge:
    """FAIL beyond doubt at any look, PASS when the window's end excludes what the next weight must not risk.

    FAIL, on this step's counts or on those of all steps of this digest, all of: 3 bad requests or more; at most one of
    a thousand canaries at the limit shows as many; more than the whole window may have, so that even a clean rest
    could not mend it. PASS, at the window's end, all of:

    - the counts of all steps exclude ``allowed_ratio`` at 95 %; before the commitment that is twice the limit, and
      their ratio is within the limit;
    - neither this step (5 %) nor its last third (1 %) is significantly above the limit;
    - the evidence is whole: what ``Contract`` asks of it, requests in the last third, no count that falls.

    Else INCONCLUSIVE, and NO_DATA without requests. Where the bad requests can't be counted (no bucket ends at the
    limit) ``Contract`` judges the value, and the ruling says so.
    """

    name: str = "evidence"

    def __call__(self, evidence: Evidence, objective: Objective) -> Ruling | None:
        """Return the ruling; None while the window lasts and no breach is beyond doubt."""
        if not evidence.over:
            return self._early(evidence, objective)
        # What is no evidence for the plain rule is none for this one; its opinion on the value is not asked.
        plain = Contract(min_requests=1)(evidence, objective)
        reading = evidence.last
        if reading is None or plain is None or plain.kind not in {VerdictKind.PASS, VerdictKind.FAIL}:
            return plain
        step = _counts(reading)
        if step is None:
            return _by_value(evidence, objective)
        return _unsteady(evidence) or _breach(evidence, objective, step) or self._final(evidence, objective, step)

    def _early(self, evidence: Evidence, objective: Objective) -> Ruling | None:
        reading = evidence.last
        step = _counts(reading) if reading is not None and not reading.problem else None
        if reading is None or step is None or reading.age is None:
            return None
        if reading.age > evidence.scrape_interval * SCRAPES_OLD or _unsteady(evidence):
            return None
        return _breach(evidence, objective, step)

    def _final(self, evidence: Evidence, objective: Objective, step: _Counts) -> Ruling:
        late = _last_third(evidence)
        if isinstance(late, Ruling):
            return late
        limit, multiple = objective.bad_limit_ratio, evidence.allowed_multiple
        pool, steps = _pool(evidence, step)
        doubt = _unproved(pool, steps, limit, multiple) or _above(step, late, limit)
        if doubt is not None:
            return doubt
        passed = f"{_seen(pool, steps)}, interval {pool.interval}"
        excluded = f"{_percent(allowed_ratio(limit, multiple))} is excluded at {CONFIDENCE:.0%}"
        if multiple is None:
            return Ruling(kind=VerdictKind.PASS, rule=f"within the limit: {passed}; {excluded}")
        carried = "; carried to the next step" if max(step.ratio, pool.ratio) > limit else ""
        return Ruling(kind=VerdictKind.PASS, rule=f"no breach: {passed}{carried}; {excluded}, as the next weight needs")


@dataclass(frozen=True, slots=True)
class _Counts:
    bad: int
    total: int

    @property
    def ratio(self) -> float:
        return self.bad / self.total if self.total else 0.0

    @property
    def words(self) -> str:
        return f"{self.bad:,} of {self.total:,}"

    @property
    def interval(self) -> str:
        low, high = interval(self.bad, self.total)
        return f"{_number(low)}-{_percent(high)}"


def _counts(reading: Reading) -> _Counts | None:
    """Return whole counts; extrapolation may show more bad ones than requests. None: they can't be told."""
    if reading.total is None or reading.bad is None or not math.isfinite(reading.total + reading.bad):
        return None
    total, bad = round(reading.total), round(reading.bad)
    return _Counts(bad=min(max(bad, 0), total), total=total) if total >= 0 else None


def _seen(pool: _Counts, steps: int) -> str:
    return f"{pool.words}{f' over {steps} steps' if steps > 1 else ''}"


def _pool(evidence: Evidence, step: _Counts) -> tuple[_Counts, int]:
    """Return the counts of all steps of this digest, and how many steps they are."""
    parts = [step, *filter(None, map(_counts, evidence.earlier))]
    return _Counts(bad=sum(part.bad for part in parts), total=sum(part.total for part in parts)), len(parts)


def _breach(evidence: Evidence, objective: Objective, step: _Counts) -> Ruling | None:
    """Return FAIL where this step's counts, or those of all steps, are a breach beyond doubt."""
    reading = evidence.last
    if reading is None or not step.total:
        return None
    limit = objective.bad_limit_ratio
    seen = min(max((reading.at - evidence.started) / evidence.window, 1e-9), 1.0)
    to_come = step.total / seen - step.total
    pool, steps = _pool(evidence, step)
    for part, counts in (("", step), (f" over {steps} steps", pool)):
        may_have = limit * (counts.total + to_come)
        if counts.bad < _LEAST_BAD or counts.bad <= may_have:
            continue
        chance = _chance(counts, limit)
        if chance <= DOUBT:
            cause, control = _environment(evidence, limit, counts)
            rule = (
                f"{counts.words}{part} bad, more than the {may_have:.1f} that the whole window may have; "
                f"by chance {_seldom(chance)} canaries at the limit shows as many{control}"
            )
            return Ruling(kind=VerdictKind.FAIL, rule=rule, cause=cause)
    return None


def _unproved(pool: _Counts, steps: int, limit: float, multiple: float | None) -> Ruling | None:
    """Return INCONCLUSIVE where the counts of all steps don't show what the next weight, or the commitment, needs."""
    if not 0 < limit < 1:
        return _unclear(
            "limit beyond proof", f"no number of requests proves a limit of {limit:g}; `contract` judges it"
        )
    seen, allowed, least = _seen(pool, steps), allowed_ratio(limit, multiple), raise_needed(limit, multiple)
    if pool.total < least:
        rule = f"{seen}: at least {least:,} requests exclude {_percent(allowed)}, if none is bad"
        return _unclear("too few requests", rule)
    above = pool.ratio > limit
    if multiple is None and above:
        return _unclear("above the limit", f"{seen} are above the limit, yet no breach beyond doubt")
    if excludes(pool.bad, pool.total, allowed, CONFIDENCE):
        return None
    rule = f"{seen}: {_percent(allowed)} is not excluded at {CONFIDENCE:.0%}, interval {pool.interval}"
    return _unclear("above the limit" if above else "too few requests", rule + _would_do(pool, allowed))


def _above(step: _Counts, late: _Counts, limit: float) -> Ruling | None:
    """Return INCONCLUSIVE where this step, or its last third, is significantly above the limit."""
    for part, counts, doubt in (("this step", step, _STEP_DOUBT), ("its last third", late, _LATE_DOUBT)):
        chance = _chance(counts, limit)
        if chance <= doubt:
            rule = (
                f"{part} is above the limit: {counts.words}, by chance {_seldom(chance)} canaries at the limit shows it"
            )
            return _unclear("above the limit", rule)
    return None


def _environment(evidence: Evidence, limit: float, canary: _Counts) -> tuple[str, str]:
    """Return cause and words where the stable version breaches too, and the canary is not clearly worse."""
    stable = _counts(evidence.control[-1]) if evidence.control else None
    if stable is None or stable.bad < _LEAST_BAD or _chance(stable, limit) > DOUBT:
        return "", ""
    words = f"; the stable version breaches too, {stable.words}"
    if interval(stable.bad, stable.total)[1] < interval(canary.bad, canary.total)[0]:
        return "", f"{words}, but the canary is worse"
    return "environment", f"{words}, so the canary need not be the reason"


def _unsteady(evidence: Evidence) -> Ruling | None:
    """Return INCONCLUSIVE where a count, which can only grow, fell: series went missing, or others were read."""
    for earlier, later in pairwise(each for each in evidence.readings if not each.problem):
        for what, before, after in (("requests", earlier.total, later.total), ("bad ones", earlier.bad, later.bad)):
            now = after or 0.0
            if before is not None and before - now > max(_WOBBLE, _WOBBLE_RATIO * before):
                rule = f"the {what} fell from {before:.0f} to {now:.0f} within the window; counts only grow"
                return _unclear("counts fell", rule)
    return None


def _last_third(evidence: Evidence) -> _Counts | Ruling:
    """Return the counts of the window's last third, as near as it was read; a ruling where they are no evidence."""
    *before, last = (each for each in evidence.readings if not each.problem)
    mark = evidence.started + (last.at - evidence.started) * 2 / 3
    base = min(before, key=lambda each: abs(each.at - mark), default=None)
    if base is None or abs(base.at - mark) > (last.at - evidence.started) / 3 + timedelta(seconds=1):
        return _unclear("window not covered", "no reading near two thirds of the window: its end can't be told")
    whole, until = _counts(last), _counts(base) or _Counts(0, 0)
    requests = whole.total - until.total if whole else 0
    if whole is None or requests <= 0:
        return _unclear("traffic stopped", f"no request in the last {_s(last.at - base.at)} of the window")
    return _Counts(bad=min(max(whole.bad - until.bad, 0), requests), total=requests)


def _by_value(evidence: Evidence, objective: Objective) -> Ruling | None:
    ruling = Contract()(evidence, objective)
    if ruling is None or ruling.kind not in {VerdictKind.PASS, VerdictKind.FAIL}:
        return ruling
    why = "no bucket ends at the limit" if objective.quantile is not None else "no bad requests are counted"
    return Ruling(kind=ruling.kind, rule=f"{why}, so the value alone was judged: {ruling.rule}", cause=ruling.cause)


def _would_do(pool: _Counts, allowed: float) -> str:
    """Return how many requests at this ratio would do; "" where none would."""
    total = max(pool.total, MIN_REQUESTS)
    for _ in range(20):
        total *= 2
        if excludes(round(pool.ratio * total), total, allowed, CONFIDENCE):
            return f"; {total:,} requests at this ratio would do"
    return ""


def _chance(counts: _Counts, limit: float) -> float:
    """Return how often a canary at the limit shows as many bad requests, or more."""
    if counts.bad == 0 or limit >= 1:
        return 1.0
    return binomial_tail(counts.bad, counts.total, limit) if limit > 0 else 0.0


def _unclear(cause: str, rule: str) -> Ruling:
    return Ruling(kind=VerdictKind.INCONCLUSIVE, rule=rule, cause=cause)


def _seldom(chance: float) -> str:
    return "not one in a million" if chance < 1e-6 else f"one in {1 / chance:,.0f}"


def _number(ratio: float) -> str:
    percent = ratio * 100
    if percent < 0.01:
        return f"{percent:.2g}"
    return f"{percent:.1f}".removesuffix(".0") if percent >= 1 else f"{percent:.2f}"


def _percent(ratio: float) -> str:
    return f"{_number(ratio)} %"


def _s(duration: timedelta) -> str:
    return f"{duration.total_seconds():.0f} s"
