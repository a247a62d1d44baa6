"""The stable version beside the canary: it tells "the canary is bad" from "everything is bad"."""

from __future__ import annotations

from collections.abc import Callable

from pytest_deploy.domain.binomial import interval
from pytest_deploy.domain.counts import Counts, counts_of
from pytest_deploy.domain.fitness import whole
from pytest_deploy.domain.measurement import Evidence, Reading

__all__ = ["ENVIRONMENT", "control_of", "environment"]

ENVIRONMENT = "environment"
"""The cause of a breach that the stable version shares; it ends as safely as every other."""


def control_of(evidence: Evidence) -> Reading | None:
    """Return the stable version's newest reading; None where there is none that is a whole, fresh answer."""
    last = evidence.control[-1] if evidence.control else None
    return last if last is not None and whole(last, evidence.scrape_interval) else None


def environment(evidence: Evidence, canary: Counts | None, breaches: Callable[[Reading], bool]) -> tuple[str, str]:
    """Return cause and words for a canary in breach; ("", "") where the stable version does not breach too.

    The cause stays the canary where its share of bad requests lies clearly (both 95 % intervals) above the stable's.

    Args:
        canary: its counts; None where they can't be told.
        breaches: what the judge calls a breach, asked of the stable version's reading.
    """
    reading = control_of(evidence)
    if reading is None or not breaches(reading):
        return "", ""
    stable = counts_of(reading)
    told = stable.words if stable is not None else f"{reading.value:.4g}"
    words = f"; the stable version breaches too, {told}"
    if stable and canary and interval(stable.bad, stable.total)[1] < interval(canary.bad, canary.total)[0]:
        return "", f"{words}, but the canary is worse"
    return ENVIRONMENT, f"{words}, so the canary need not be the reason"
