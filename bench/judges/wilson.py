"""Prove each step's limit anew: the Wilson interval of this step's own ratio must lie below the limit at its end.

Looked at with each scrape; an interval above the limit stops it at once.
https://en.wikipedia.org/wiki/Binomial_proportion_confidence_interval#Wilson_score_interval
"""

from __future__ import annotations

import math

from bench.judges.series import SCRAPE_S, SCRAPES, WINDOW_S, Step

__all__ = ["Wilson"]

_Z = 1.645
"""95 %, one-sided."""


class Wilson:
    """The interval against the limit, step by step."""

    def step(self, step: Step, limit: float) -> tuple[bool, int]:
        """Return whether the limit is proved, and when."""
        upper = 1.0
        for scrape in range(SCRAPES):
            total, bad = sum(step.total[: scrape + 1]), sum(step.bad[: scrape + 1])
            if not step.series[scrape] or not total:
                upper = 1.0
                continue
            lower, upper = _wilson(bad, total)
            if lower > limit:
                return False, (scrape + 1) * SCRAPE_S
        return upper <= limit, WINDOW_S


def _wilson(bad: int, total: int) -> tuple[float, float]:
    ratio, z2 = bad / total, _Z * _Z
    centre = ratio + z2 / (2 * total)
    half = _Z * math.sqrt(ratio * (1 - ratio) / total + z2 / (4 * total * total))
    return (centre - half) / (1 + z2 / total), (centre + half) / (1 + z2 / total)
