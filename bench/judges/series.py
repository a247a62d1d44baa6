"""What a metrics server shows of one canary: four steps, a scrape each 15 seconds, and the rule that looks at them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["SCRAPES", "SCRAPE_S", "WEIGHTS", "WINDOW_S", "Rule", "Step"]

WEIGHTS = (5, 25, 50, 100)
WINDOW_S = 300
SCRAPE_S = 15
SCRAPES = WINDOW_S // SCRAPE_S
"""In a window; twice as many are generated, for the rules that look longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One weight: each tuple holds one value per scrape, up to two windows.

    Args:
        total, bad: requests of the canary that this scrape added, as ``rate()`` sees them.
        read_total, read_bad: the counts since the step's begin, as they are read after this scrape.
        newest_s: age of the newest sample, in seconds.
        series: whether there is a series at all.
        partial: whether the server says that its answer is not whole.
        stable_total, stable_bad: requests of the stable version that this scrape added.
    """

    number: int
    total: Sequence[int]
    bad: Sequence[int]
    read_total: Sequence[float]
    read_bad: Sequence[float]
    newest_s: Sequence[int]
    series: Sequence[bool]
    partial: Sequence[bool]
    stable_total: Sequence[int]
    stable_bad: Sequence[int]

    def ratio(self, scrape: int, scrapes: int) -> float | None:
        """Return errors / requests over the last scrapes; NaN is 0 / 0, None an empty answer."""
        since = max(0, scrape - scrapes + 1)
        if not self.series[scrape] or self.newest_s[scrape] > scrapes * SCRAPE_S - SCRAPE_S:
            return None
        total = sum(self.total[since : scrape + 1])
        return sum(self.bad[since : scrape + 1]) / total if total else float("nan")


class Rule(Protocol):
    """How one tool decides; one object sees the steps of one canary, in order."""

    def step(self, step: Step, limit: float) -> tuple[bool, int]:
        """Return whether the weight may rise, and how many seconds into the step that was decided."""
        ...
