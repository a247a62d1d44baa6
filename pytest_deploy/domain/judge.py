"""The judge: a pure function from evidence to a ruling; and ``contract``, the plain one.

``contract`` says: at the window's end the value may not exceed the limit, and there must be enough requests to say so.
While the window lasts it says FAIL as soon as a breach is beyond doubt, so that nobody waits out the window of a canary
that is plainly bad.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from pytest_deploy.domain.control import environment
from pytest_deploy.domain.counts import DOUBT, LEAST_BAD, chance, counts_of, limit_of, seldom, to_come
from pytest_deploy.domain.fitness import unfit
from pytest_deploy.domain.kinds import by_kind
from pytest_deploy.domain.measurement import Evidence, Kind, Objective, Reading
from pytest_deploy.domain.verdict import Ruling, VerdictKind

__all__ = ["Contract", "Judge", "RuleBook"]


class RuleBook(StrEnum):
    """The judges that ship, as deploy.yaml names them."""

    CONTRACT = "contract"
    EVIDENCE = "evidence"


class Judge(Protocol):
    """Anything that turns evidence into a ruling; must be pure, and say PASS only at the window's end."""

    @property
    def name(self) -> str:
        """The rule book's name, for reports."""
        ...

    def __call__(self, evidence: Evidence, objective: Objective) -> Ruling | None:
        """Return the ruling; None while the window lasts and nothing is beyond doubt.

        Raises:
            ValueError: the objective is a script or a step, whose own answer is the verdict.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """The plain rule with a minimum of requests.

    Early FAIL, all of: 3 bad requests or more; as many by chance in at most one of a thousand canaries that
    sit exactly at the limit; and already more than the whole window may have, so that even a clean rest
    could not mend it (without this, a burst of 20 seconds rolls back good canaries).

    Args:
        min_requests: a window with fewer is INCONCLUSIVE. 100: below that one unlucky request is 1 % or more.
    """

    min_requests: int = 100
    name: str = "contract"

    def __call__(self, evidence: Evidence, objective: Objective) -> Ruling | None:
        """Return the ruling; None while the window lasts and no breach is beyond doubt."""
        return by_kind(evidence, objective, self._counted, min_requests=self.min_requests)

    def _counted(self, evidence: Evidence, objective: Objective) -> Ruling | None:
        reading = evidence.last
        if not evidence.over:
            return self._early(evidence, objective, reading) if reading is not None else None
        no_evidence = unfit(evidence, requests=self.min_requests)
        if no_evidence is not None or reading is None:
            return no_evidence
        return self._final(evidence, objective, reading)

    def _early(self, evidence: Evidence, objective: Objective, reading: Reading) -> Ruling | None:
        counts = counts_of(reading)
        if counts is None or reading.problem:
            return None
        limit = limit_of(objective)
        may_have = limit * (counts.total + to_come(evidence, reading, counts.total))
        if counts.bad < LEAST_BAD or counts.bad <= may_have:
            return None
        by_chance = chance(counts, limit)
        if by_chance > DOUBT:
            return None
        return self._fail(
            evidence,
            objective,
            reading,
            f"{counts.bad:,} bad are more than the {may_have:.1f} that the whole window may have; "
            f"by chance {seldom(by_chance)} canaries at the limit shows as many",
        )

    def _final(self, evidence: Evidence, objective: Objective, reading: Reading) -> Ruling:
        if _breaks(reading, objective):
            side = "below" if objective.kind is Kind.AVAILABILITY else "above"
            return self._fail(evidence, objective, reading, f"the value is {side} the limit at the window's end")
        return Ruling(kind=VerdictKind.PASS, rule="the value is within the limit at the window's end")

    def _fail(self, evidence: Evidence, objective: Objective, reading: Reading, rule: str) -> Ruling:
        def breaches(stable: Reading) -> bool:
            return (stable.total or 0.0) >= self.min_requests and _breaks(stable, objective)

        cause, control = environment(evidence, counts_of(reading), breaches)
        return Ruling(kind=VerdictKind.FAIL, rule=rule + control, cause=cause)


def _breaks(reading: Reading, objective: Objective) -> bool:
    """Whether the value is beyond the limit; between two neighbours the counts say it, the value is a guess."""
    counts = counts_of(reading) if reading.neighbours is not None else None
    if counts is not None:
        return counts.bad > limit_of(objective) * counts.total
    return reading.value is not None and math.isfinite(reading.value) and not objective.keeps(reading.value)
