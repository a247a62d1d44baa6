"""Flagger: ``interval: 1m``, a check of the last minute at each tick, five good ones per weight.

A failed check (above ``thresholdRange.max``, or no values: empty and NaN) is counted and holds the weight for one more
tick; failed checks are never forgotten. The count is compared with ``threshold`` at the *next* tick. Real Flagger
raises the weight with each good check; five per weight make its canary as long as the others'.
https://github.com/fluxcd/flagger/blob/main/pkg/controller/scheduler.go (advanceCanary)
https://github.com/fluxcd/flagger/blob/main/pkg/controller/scheduler_metrics.go (runMetricChecks)
"""

from __future__ import annotations

import math

from bench.judges.series import SCRAPE_S, Step

__all__ = ["Flagger"]

_TICK = 60 // SCRAPE_S
_CHECKS = 5


class Flagger:
    """Failed checks over the whole canary, against a threshold."""

    def __init__(self, threshold: int) -> None:
        self._threshold = threshold
        self._failed = 0

    def step(self, step: Step, limit: float) -> tuple[bool, int]:
        """Return whether the weight rises, and when."""
        good = 0
        scrape = _TICK - 1
        while good < _CHECKS:
            ratio = step.ratio(min(scrape, len(step.total) - 1), _TICK)
            now_s = (scrape + 1) * SCRAPE_S
            if ratio is None or math.isnan(ratio) or ratio > limit:
                self._failed += 1
                if self._failed >= self._threshold:
                    return False, now_s + _TICK * SCRAPE_S
            else:
                good += 1
            scrape += _TICK
        return True, now_s
