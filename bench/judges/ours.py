"""Both judges of pytest-deploy, fed as the engine feeds them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bench.judges.series import SCRAPE_S, SCRAPES, WEIGHTS, WINDOW_S, Step
from pytest_deploy.domain.judge import Judge
from pytest_deploy.domain.measurement import Evidence, Kind, Objective, Reading
from pytest_deploy.domain.power import allowed_multiple
from pytest_deploy.domain.verdict import VerdictKind

__all__ = ["Ours"]

_START = datetime(2026, 1, 1, tzinfo=UTC)
_WINDOW = timedelta(seconds=WINDOW_S)
_SCRAPE = timedelta(seconds=SCRAPE_S)


class Ours:
    """One of our judges over the steps of one canary.

    Args:
        extend: a window that ends neither in PASS nor in FAIL goes on once for as long again.
    """

    def __init__(self, judge: Judge, *, extend: bool) -> None:
        self._judge = judge
        self._extend = extend
        self._earlier: tuple[Reading, ...] = ()

    def step(self, step: Step, limit: float) -> tuple[bool, int]:
        """Return whether it is PASS, and when that was said."""
        objective = Objective(kind=Kind.ERROR_RATE, limit=limit)
        following = WEIGHTS[step.number + 1 :]
        readings: list[Reading] = []
        ends = (SCRAPES, 2 * SCRAPES) if self._extend else (SCRAPES,)
        for end in ends:
            for scrape in range(len(readings), end):
                readings.append(_reading(step, scrape))
                ruling = self._judge(
                    Evidence(
                        window=_SCRAPE * end,
                        started=_START,
                        readings=tuple(readings),
                        scrape_interval=_SCRAPE,
                        over=scrape + 1 == end,
                        earlier=self._earlier,
                        allowed_multiple=allowed_multiple(following[0], _WINDOW) if following else None,
                    ),
                    objective,
                )
                if ruling is not None and ruling.kind in {VerdictKind.PASS, VerdictKind.FAIL}:
                    self._earlier += (readings[-1],)
                    return ruling.kind is VerdictKind.PASS, (scrape + 1) * SCRAPE_S
        return False, ends[-1] * SCRAPE_S


def _reading(step: Step, scrape: int) -> Reading:
    at = _START + _SCRAPE * (scrape + 1)
    total = step.read_total[scrape] if step.series[scrape] else None
    bad = None if total is None else step.read_bad[scrape]
    return Reading(
        since=_START,
        at=at,
        newest=None if total is None else at - timedelta(seconds=step.newest_s[scrape]),
        total=total,
        bad=bad,
        value=bad / total if total and bad is not None else None,
        queries=(),
        problem="partial" if step.partial[scrape] else "",
    )
