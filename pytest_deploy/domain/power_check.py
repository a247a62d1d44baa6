"""The power check: what a canary's gates will be able to tell, computed before it begins."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from pytest_deploy.domain.binomial import excludes, interval
from pytest_deploy.domain.counts import Counts, chance, percent
from pytest_deploy.domain.power import CONFIDENCE, STEP_DOUBT, allowed_ratio, needed, raise_needed
from pytest_deploy.domain.quantity import format_duration

__all__ = ["PlannedStep", "StepPower", "check"]

_LONGEST = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """One step as it is planned.

    Args:
        weight: percent of the traffic.
        requests: about how many the canary will have in the window; a window in requests brings as many.
        window: how long it is watched.
        allowed_multiple: as ``Evidence.allowed_multiple``; None before the commitment.
    """

    weight: int
    requests: float
    window: timedelta
    allowed_multiple: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPower:
    """What a gate at one step will be able to tell.

    Args:
        expected: requests it will have about, with those of the steps before it where they are pooled.
        least: fewer can't pass, even if not one of them is bad.
        wanted: with so many a version at half its limit passes; before the commitment in 95 % of all cases.
        sees_ratio: the smallest share of bad requests that is not promoted in 95 % of all cases; None: it passes
            nothing, and so misses nothing.
        window_needed: the window at this rate that brings ``wanted``; None where a month would not.
    """

    weight: int
    window: timedelta
    expected: int
    least: int
    wanted: int
    sees_ratio: float | None
    window_needed: timedelta | None

    @property
    def hopeless(self) -> bool:
        """Whether not even zero errors could pass."""
        return self.expected < self.least

    @property
    def enough(self) -> bool:
        """Whether a version at half its limit will pass."""
        return self.expected >= self.wanted

    @property
    def words(self) -> str:
        """``at 5 %: needs 11 requests, will have about 75; may miss less than 8.2 % bad`` in one line."""
        text = f"at {self.weight} %: needs {self.wanted:,} requests, will have about {self.expected:,}"
        if self.sees_ratio is not None:
            text += f"; may miss less than {percent(self.sees_ratio)} bad"
        if self.hopeless:
            text += f"; not even zero errors could pass, that takes {self.least:,}"
        if not self.enough:
            longer = self.window_needed
            mend = (
                "no window of a month would do" if longer is None else f"a window of {format_duration(longer)} would do"
            )
            text += f"; {mend} ({format_duration(self.window)} is set)"
        return text


def check(
    steps: Sequence[PlannedStep], limit: float, *, min_requests: int | None = None, pooled: bool = True
) -> tuple[StepPower, ...]:
    """Return what each step will be able to tell.

    Args:
        limit: the share of bad requests that is still good; of a relative objective the difference, where ``wanted``
            is no promise: it takes a stable version without errors.
        min_requests: of the judge ``contract``, which pools nothing; None: of ``evidence``.
        pooled: whether the steps' requests count together; those of a relative objective don't.

    Raises:
        ValueError: the limit is not between 0 and 1; no number of requests proves a limit of 0.
    """
    if min_requests is not None:
        return tuple(_contract(steps, limit, min_requests))
    return tuple(_evidence(steps, limit, pooled=pooled))


def _evidence(steps: Sequence[PlannedStep], limit: float, *, pooled: bool) -> Iterator[StepPower]:
    before = 0.0
    for step in steps:
        own, pool = int(step.requests), int(before + step.requests)
        least = raise_needed(limit, step.allowed_multiple)
        wanted = max(least, needed(limit)) if step.allowed_multiple is None else least
        seen = _seen(own, pool, limit, step.allowed_multiple) if pool >= least else None
        yield _power(step, expected=pool, least=least, wanted=wanted, sees_ratio=seen, missing=wanted - before)
        before += step.requests if pooled else 0.0


def _seen(own: int, pool: int, limit: float, multiple: float | None) -> float:
    """Return the ratio that one of the two tests on counts at a step's end stops in 95 % of all cases."""
    allowed = allowed_ratio(limit, multiple)

    def pool_passes(bad: int) -> bool:
        return (multiple is not None or bad <= limit * pool) and excludes(bad, pool, allowed, CONFIDENCE)

    def own_passes(bad: int) -> bool:
        return chance(Counts(bad, own), limit) > STEP_DOUBT

    return min(_upper(_most(pool_passes, pool), pool), _upper(_most(own_passes, own), own))


def _contract(steps: Sequence[PlannedStep], limit: float, min_requests: int) -> Iterator[StepPower]:
    for step in steps:
        own = int(step.requests)
        seen = _upper(math.floor(limit * own), own) if own >= min_requests else None
        yield _power(
            step, expected=own, least=min_requests, wanted=min_requests, sees_ratio=seen, missing=float(min_requests)
        )


def _power(
    step: PlannedStep, *, expected: int, least: int, wanted: int, sees_ratio: float | None, missing: float
) -> StepPower:
    needed_s = step.window.total_seconds() * missing / max(step.requests, 1e-9)
    minutes = timedelta(minutes=math.ceil(needed_s / 60)) if needed_s <= _LONGEST.total_seconds() else None
    return StepPower(
        weight=step.weight,
        window=step.window,
        expected=expected,
        least=least,
        wanted=wanted,
        sees_ratio=sees_ratio,
        window_needed=None if minutes is None else max(step.window, minutes),
    )


def _most(passes: Callable[[int], bool], total: int) -> int:
    """Return the most bad requests with which it still passes; -1: not even none."""
    low, high = -1, total + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if passes(middle) else (low, middle)
    return low


def _upper(bad: int, total: int) -> float:
    """Return the ratio at which, in 5 % of all cases, no more than ``bad`` are seen."""
    return interval(bad, total, 2 * CONFIDENCE - 1)[1]
