"""Named queries: the plain rule on a number that is no count of requests (saturation, restarts, alerts, anything).

At the window's end the value must keep the limit, and so must every reading of the last third: one look at the end may
meet a good moment of a value that swings, while what swung in the first two thirds (a cold start's CPU, a cache that
fills) has had time to settle. A value that breaks the limit at the end is FAIL; one that broke it in the last third
only has not settled: INCONCLUSIVE, which extends. Three samples in a row beyond the limit end the window early: one can
be noise, and so can two of a value that is scraped while a pod starts. There is no test of significance, as nothing is
known of how such a value scatters; that is why no quantity of requests is asked for.

A limit of 0 says that something must not happen at all (no container restarts, no alert fires): any value above it is
FAIL at once, since an event that happened does not un-happen.
"""

from __future__ import annotations

import math

from pytest_deploy.domain.fitness import COVERAGE_RATIO, unclear, unfit, whole
from pytest_deploy.domain.measurement import Evidence, Objective, Reading
from pytest_deploy.domain.verdict import Ruling, VerdictKind

__all__ = ["judge_value"]

_IN_A_ROW = 3


def judge_value(evidence: Evidence, objective: Objective) -> Ruling | None:
    """Return the ruling; None while the window lasts and no breach is clear."""
    told = [reading for reading in evidence.readings if _tells(reading, evidence)]
    broken = [reading for reading in told if _breaks(reading, objective)]
    if broken and objective.limit == 0 and not objective.at_least:
        return _fail(f"{_show(broken[0], objective)}: not one may happen, and what happened does not un-happen")
    if not evidence.over:
        return _early(evidence, objective, told)
    no_evidence = unfit(evidence, requests=None)
    if no_evidence is not None:
        return no_evidence
    if _breaks(told[-1], objective):
        return _fail(f"the value is {_side(objective)} the limit at the window's end")
    return _settled(evidence, objective, told)


def _settled(evidence: Evidence, objective: Objective, told: list[Reading]) -> Ruling:
    """Return PASS where the last third was read and no reading of it breaks the limit, else INCONCLUSIVE."""
    mark = evidence.started + (told[-1].at - evidence.started) * 2 / 3
    late = [reading for reading in evidence.readings if reading.at > mark]
    answered = [reading for reading in told if reading.at > mark]
    if len(answered) < COVERAGE_RATIO * len(late):
        rule = f"{len(answered)} of {len(late)} readings of the window's last third have a value"
        return unclear("window not covered", rule, f"a value in {COVERAGE_RATIO:.0%} of them")
    swung = [reading for reading in answered if _breaks(reading, objective)]
    if swung:
        rule = f"the value has not settled: {_show(swung[-1], objective)} in the window's last third"
        needed = f"a last third in which no reading is {_side(objective)} the limit"
        return unclear(f"{_side(objective)} the limit", rule, needed)
    rule = f"the value is within the limit at the window's end and in all {len(answered)} readings of its last third"
    return Ruling(kind=VerdictKind.PASS, rule=rule)


def _early(evidence: Evidence, objective: Objective, told: list[Reading]) -> Ruling | None:
    """Return FAIL where the newest three samples, and so as many readings, break the limit."""
    if evidence.last is None or not _tells(evidence.last, evidence):
        return None
    newest = {reading.newest: reading for reading in told}
    in_a_row = list(newest.values())[-_IN_A_ROW:]
    if len(in_a_row) < _IN_A_ROW or not all(_breaks(reading, objective) for reading in in_a_row):
        return None
    return _fail(f"{_IN_A_ROW} samples in a row are {_side(objective)} the limit")


def _tells(reading: Reading, evidence: Evidence) -> bool:
    finite = reading.value is not None and math.isfinite(reading.value)
    return finite and whole(reading, evidence.scrape_interval)


def _breaks(reading: Reading, objective: Objective) -> bool:
    return reading.value is not None and not objective.keeps(reading.value)


def _show(reading: Reading, objective: Objective) -> str:
    return f"{objective.show(reading.value or 0.0)} at {reading.at:%H:%M:%S}Z"


def _side(objective: Objective) -> str:
    return "below" if objective.at_least else "above"


def _fail(rule: str) -> Ruling:
    return Ruling(kind=VerdictKind.FAIL, rule=rule)
