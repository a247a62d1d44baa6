"""Kayenta-like: Mann-Whitney on the ratio per minute, canary against stable, at each step's end, lookback growing.

High, and so stopped, where the lower end of the 98 % interval of the Hodges-Lehmann shift is above a quarter of the
shift; NaN is removed; without data, or without a control, it is not promoted. One metric, direction Increase. The
interval is the normal approximation, which R takes too where there are ties; the filter of outliers is left out.
https://github.com/spinnaker/kayenta/blob/master/kayenta-judge/src/main/scala/com/netflix/kayenta/judge/NetflixACAJudge.scala
https://github.com/spinnaker/kayenta/blob/master/kayenta-judge/src/main/scala/com/netflix/kayenta/judge/classifiers/metric/MannWhitneyClassifier.scala
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bench.judges.series import SCRAPE_S, SCRAPES, WINDOW_S, Step

__all__ = ["Kayenta"]

_MINUTE = 60 // SCRAPE_S
_Z = 2.326
"""Of the two-sided 98 %."""
_FRACTION = 0.25


class Kayenta:
    """A score at each step's end on everything seen so far."""

    def __init__(self) -> None:
        self._canary: list[float] = []
        self._stable: list[float] = []

    def step(self, step: Step, limit: float) -> tuple[bool, int]:  # noqa: ARG002 - it knows no limit, only a control
        """Return whether the canary is not classified as high; decided at the window's end."""
        minutes = range(0, SCRAPES, _MINUTE)
        ratios = [step.ratio(first + _MINUTE - 1, _MINUTE) for first in minutes]
        seen = [ratio for ratio in ratios if ratio is not None and not math.isnan(ratio)]
        self._canary += seen
        stable = [(sum(step.stable_bad[k : k + _MINUTE]), sum(step.stable_total[k : k + _MINUTE])) for k in minutes]
        self._stable += [bad / total for bad, total in stable if total]
        if not seen or not self._stable:
            return False, WINDOW_S
        return not _high(np.array(self._canary), np.array(self._stable)), WINDOW_S


def _high(canary: NDArray[np.float64], stable: NDArray[np.float64]) -> bool:
    """Return whether the shift's lower bound is above a quarter of its estimate."""
    m, n = len(canary), len(stable)
    shifts = np.sort(np.subtract.outer(canary, stable).ravel())
    spread = math.sqrt(m * n * (m + n + 1) / 12)
    rank = math.floor(m * n / 2 - _Z * spread)
    lower = shifts[rank] if rank >= 0 else -math.inf
    return bool(lower > _FRACTION * abs(float(np.median(shifts))))
