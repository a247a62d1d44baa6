"""Which rule judges which kind of objective; both judges ask here, so that they differ in counted ones only."""

from __future__ import annotations

from pytest_deploy.domain.measurement import Evidence, Kind, Objective
from pytest_deploy.domain.neighbours import Rule, bounded
from pytest_deploy.domain.relative import judge_relative
from pytest_deploy.domain.value_judge import judge_value
from pytest_deploy.domain.verdict import Ruling

__all__ = ["by_kind"]


def by_kind(evidence: Evidence, objective: Objective, counted: Rule, *, min_requests: int | None) -> Ruling | None:
    """Return the ruling of the rule that fits the objective.

    Args:
        counted: the judge's own rule for a limit on counts of requests.
        min_requests: of each side that is compared; None: as many as its rule can do with.

    Raises:
        ValueError: scripts and steps are judged by their own answer, and by no judge.
    """
    if objective.kind is Kind.QUERY:
        return judge_value(evidence, objective)
    if not objective.counted:
        raise ValueError(f"no judge speaks about a {objective.kind}: its own answer is the verdict")
    if objective.relative:
        return judge_relative(evidence, objective, min_requests=min_requests)
    return bounded(counted, evidence, objective)
