"""Argo Rollouts: an analysis per step, ``interval: 60s, count: 5, successCondition: result[0] <= limit``.

A measurement that is not successful is failed (NaN too); more than ``failureLimit`` of them fail the run. An empty
answer makes ``result[0]`` an error, which does not count as a measurement; more than 4 in a row end the run.
https://github.com/argoproj/argo-rollouts/blob/v1.8.3/analysis/analysis.go (assessMetricStatus)
https://argo-rollouts.readthedocs.io/en/stable/features/analysis/
"""

from __future__ import annotations

from bench.judges.series import SCRAPE_S, Step

__all__ = ["Argo"]

_MINUTE = 60 // SCRAPE_S
_COUNT = 5
_CONSECUTIVE_ERROR_LIMIT = 4


class Argo:
    """An inline analysis at each step."""

    def __init__(self, failure_limit: int) -> None:
        self._failure_limit = failure_limit

    def step(self, step: Step, limit: float) -> tuple[bool, int]:
        """Return whether the run is successful, and when."""
        taken = failed = errors_in_a_row = 0
        scrape = _MINUTE - 1
        while True:
            ratio = step.ratio(min(scrape, len(step.total) - 1), _MINUTE)
            now_s = (scrape + 1) * SCRAPE_S
            if ratio is None:
                errors_in_a_row += 1
            else:
                errors_in_a_row = 0
                taken += 1
                failed += not ratio <= limit
            if failed > self._failure_limit or errors_in_a_row > _CONSECUTIVE_ERROR_LIMIT:
                return False, now_s
            if taken == _COUNT:
                return True, now_s
            scrape += _MINUTE
