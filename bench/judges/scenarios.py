"""25 ways in which a canary behaves, and in which its metrics do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.judges.series import SCRAPE_S, SCRAPES, WEIGHTS, Step

__all__ = ["SCENARIOS", "Scenario", "canary"]

_N = 2 * SCRAPES
_MIDDLE = SCRAPES // 2
Random = np.random.Generator
Multiples = NDArray[np.float64]
"""Of the limit, or of the usual traffic: one per scrape."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One of them.

    Args:
        kind: ``healthy`` should be promoted; ``bad`` and ``blind`` (no evidence) should not.
        errors: share of bad requests in multiples of the limit, per scrape of a step.
        stable: of the stable version, throughout.
        traffic: in multiples of the usual.
        fault: changes what the server shows.
    """

    name: str
    kind: str
    errors: Callable[[Random, int], Multiples]
    stable: float = 0.5
    traffic: Callable[[Random, int], Multiples] = lambda _rng, _step: np.ones(_N)
    fault: Callable[[Random, int, _Shown], None] = lambda _rng, _step, _shown: None


@dataclass(slots=True)
class _Shown:
    total: NDArray[np.int64]
    bad: NDArray[np.int64]
    factor: Multiples
    newest_s: NDArray[np.int64]
    series: NDArray[np.bool_]
    partial: NDArray[np.bool_]


def canary(scenario: Scenario, rate_per_s: float, limit: float, rng: Random) -> list[Step]:
    """Return the steps of one canary."""
    return [_step(scenario, number, rate_per_s, limit, rng) for number in range(len(WEIGHTS))]


def _step(scenario: Scenario, number: int, rate_per_s: float, limit: float, rng: Random) -> Step:
    share = WEIGHTS[number] / 100
    traffic = scenario.traffic(rng, number) * rate_per_s * SCRAPE_S
    total = rng.poisson(traffic * share)
    bad = rng.binomial(total, np.minimum(1.0, scenario.errors(rng, number) * limit))
    stable_total = rng.poisson(traffic * (1 - share))
    stable_bad = rng.binomial(stable_total, min(1.0, scenario.stable * limit))
    no = np.zeros(_N, dtype=bool)
    shown = _Shown(total, bad, np.ones(_N), np.full(_N, 5), ~no, no)
    scenario.fault(rng, number, shown)
    return Step(
        number=number,
        total=shown.total.tolist(),
        bad=shown.bad.tolist(),
        read_total=(shown.total.cumsum() * shown.factor).tolist(),
        read_bad=(shown.bad.cumsum() * shown.factor).tolist(),
        newest_s=shown.newest_s.tolist(),
        series=shown.series.tolist(),
        partial=shown.partial.tolist(),
        stable_total=stable_total.tolist(),
        stable_bad=stable_bad.tolist(),
    )


def _steady(multiple: float) -> Callable[[Random, int], Multiples]:
    return lambda _rng, _step: np.full(_N, multiple)


def _from_step(first: int, before: float, after: float) -> Callable[[Random, int], Multiples]:
    return lambda _rng, step: np.full(_N, after if step >= first else before)


def _bursts(usual: float, high: float, scrapes: int, every: int) -> Callable[[Random, int], Multiples]:
    """Return errors that clump: ``scrapes`` in a row in each ``every``, at a random place."""

    def errors(rng: Random, _step: int) -> Multiples:
        found = np.full(_N, usual)
        for begin in range(0, _N, every):
            first = begin + int(rng.integers(0, every - scrapes + 1))
            found[first : first + scrapes] = high
        return found

    return errors


def _one_bad_pod(rng: Random, _step: int) -> Multiples:
    """Return 25x on one of five pods, which gets between nothing and two fifths of the traffic of a scrape."""
    return 0.5 + 24.5 * rng.uniform(0, 0.4, _N)


def _late(_rng: Random, step: int) -> Multiples:
    return np.where((step == len(WEIGHTS) - 1) & (np.arange(_N) >= _MIDDLE), 10.0, 0.5)


def _leak(_rng: Random, _step: int) -> Multiples:
    return np.where(np.arange(_N) >= SCRAPES * 2 // 3, 10.0, 0.3)


def _rising(_rng: Random, step: int) -> Multiples:
    return 0.5 + 9.5 * np.minimum(1.0, (step * SCRAPES + np.arange(_N)) / (SCRAPES * len(WEIGHTS)))


def _uneven(rng: Random, _step: int) -> Multiples:
    return 1 + 0.8 * np.sin(np.arange(_N) / 6 + rng.uniform(0, 6.28))


def _no_traffic(_rng: Random, _step: int) -> Multiples:
    return np.zeros(_N)


def _traffic_stops(_rng: Random, step: int) -> Multiples:
    return np.where((step > 2) | ((step == 2) & (np.arange(_N) >= _MIDDLE)), 0.0, 1.0)


def _miss(shown: _Shown, missed: NDArray[np.bool_]) -> None:
    """Let scrapes fail: what they would have added comes with the next."""
    for k in np.flatnonzero(missed):
        shown.newest_s[k] = (shown.newest_s[k - 1] if k else 0) + SCRAPE_S
        if k + 1 < _N:
            for counts in (shown.total, shown.bad):
                counts[k + 1] += counts[k]
        shown.total[k] = shown.bad[k] = 0


def _gaps(rng: Random, _step: int, shown: _Shown) -> None:
    _miss(shown, rng.random(_N) < 0.1)


def _restart(rng: Random, _step: int, shown: _Shown) -> None:
    """Let one pod of five begin anew: what it had counted since the last scrape is lost."""
    k = int(rng.integers(0, SCRAPES))
    lost = shown.total[k] // 5
    shown.total[k] -= lost
    shown.bad[k] = min(shown.bad[k], shown.total[k])


def _no_series(_rng: Random, _step: int, shown: _Shown) -> None:
    shown.series[:] = False


def _stale(_rng: Random, step: int, shown: _Shown) -> None:
    if step == 1:
        _miss(shown, np.arange(_N) >= _MIDDLE)
    elif step > 1:
        shown.series[:] = False


def _partial(_rng: Random, step: int, shown: _Shown) -> None:
    shown.partial[:] = step >= 1


def _vanish(_rng: Random, step: int, shown: _Shown) -> None:
    """Let half of the series go missing in the middle of the second step, without a warning."""
    if step == 1:
        shown.factor[_MIDDLE:] = 0.5
        shown.total[_MIDDLE:] //= 2
        shown.bad[_MIDDLE:] = np.minimum(shown.bad[_MIDDLE:] // 2, shown.total[_MIDDLE:])


SCENARIOS = (
    Scenario("no errors", "healthy", _steady(0), stable=0),
    Scenario("half the limit", "healthy", _steady(0.5)),
    Scenario("half, a burst of 15 s", "healthy", _bursts(0.2, 6, 1, SCRAPES)),
    Scenario("half, a bad minute", "healthy", _bursts(0.1, 2, 4, SCRAPES)),
    Scenario("half, uneven traffic", "healthy", _steady(0.5), traffic=_uneven),
    Scenario("half, 10 % of scrapes fail", "healthy", _steady(0.5), fault=_gaps),
    Scenario("half, a pod restarts", "healthy", _steady(0.5), fault=_restart),
    Scenario("3x", "bad", _steady(3)),
    Scenario("5x", "bad", _steady(5)),
    Scenario("10x", "bad", _steady(10)),
    Scenario("30x", "bad", _steady(30)),
    Scenario("100x", "bad", _steady(100)),
    Scenario("one bad pod of five", "bad", _one_bad_pod),
    Scenario("bursts, 4x on average", "bad", _bursts(0.5, 12, 2, 7)),
    Scenario("10x late in the last step", "bad", _late),
    Scenario("10x in each last third", "bad", _leak),
    Scenario("10x from 25 % on", "bad", _from_step(1, 0.5, 10)),
    Scenario("rising to 10x", "bad", _rising),
    Scenario("10x, stable too", "bad", _steady(10), stable=10),
    Scenario("no series", "blind", _steady(0.5), fault=_no_series),
    Scenario("no traffic", "blind", _steady(0.5), traffic=_no_traffic),
    Scenario("scrapes stop", "blind", _steady(0.5), fault=_stale),
    Scenario("traffic stops", "blind", _steady(0.5), traffic=_traffic_stops),
    Scenario("partial answers", "blind", _steady(0.5), fault=_partial),
    Scenario("half the series vanish", "blind", _steady(0.5), fault=_vanish),
)
