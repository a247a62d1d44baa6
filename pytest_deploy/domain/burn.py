"""Burn rate: how fast an SLO's error budget is being spent, over two windows at once.

Multiples and windows are those of https://sre.google/workbook/alerting-on-slos/ (table 5-8): the long window says that
enough of the budget is gone, the short one that it is still going. For pre-flight (a service that already burns gets no
deploy) and for the time after the commitment; a canary's step is far too short for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from pytest_deploy.domain.measurement import Reading
from pytest_deploy.domain.quantity import format_duration

__all__ = ["BURN_WINDOWS", "Burn", "burning"]

_PAGE = (
    (14.4, timedelta(hours=1), timedelta(minutes=5)),
    (6.0, timedelta(hours=6), timedelta(minutes=30)),
)
_TICKET = ((1.0, timedelta(days=3), timedelta(hours=6)),)
_Rules = tuple[tuple[float, timedelta, timedelta], ...]

BURN_WINDOWS: tuple[timedelta, ...] = tuple(
    sorted({window for _, *windows in (*_PAGE, *_TICKET) for window in windows})
)
"""All windows to read, the shortest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Burn:
    """What the windows say.

    Args:
        page: whether it burns fast enough to wake somebody; None: it can't be told, and that is no "no".
        ticket: whether it burns faster than the budget comes; None as above.
        words: each rule that fires or can't be told, with its numbers.
    """

    page: bool | None
    ticket: bool | None
    words: str


def burning(readings: Mapping[timedelta, Reading], limit: float, *, oldest: timedelta) -> Burn:
    """Return whether the budget burns.

    A pair fires where both windows are above its multiple, and is clear where either is known not to be. A window
    without a single request burns nothing: it is clear. One that is missing, partial, stale, without a series or
    without a count of bad ones is unknown.

    Args:
        readings: by window, each of ``BURN_WINDOWS`` that could be read.
        limit: the share of bad requests that the SLO allows, its whole budget.
        oldest: how old a window's newest sample may be.

    Raises:
        ValueError: the limit is not between 0 and 1: there is no budget to burn.
    """
    if not 0 < limit < 1:
        raise ValueError(f"a limit of {limit:g} has no error budget: it must be between 0 and 1")
    multiples = {window: _multiple(reading, limit, oldest) for window, reading in readings.items()}
    page, page_words = _any(_PAGE, multiples, "page")
    ticket, ticket_words = _any(_TICKET, multiples, "ticket")
    words = "; ".join((*page_words, *ticket_words)) or "no budget burns faster than it comes"
    return Burn(page=page, ticket=ticket, words=words)


def _any(rules: _Rules, multiples: Mapping[timedelta, float | None], what: str) -> tuple[bool | None, tuple[str, ...]]:
    words: list[str] = []
    answers: list[bool | None] = []
    for multiple, long, short in rules:
        found = [multiples.get(window) for window in (long, short)]
        known = [each for each in found if each is not None]
        over = f"{format_duration(long)} and {format_duration(short)}"
        if any(each <= multiple for each in known):
            answers.append(False)
        elif len(known) == len(found):
            answers.append(True)
            spent = " and ".join(f"{each:.1f}x" for each in known)
            words.append(f"{what}: the error budget burns at {spent} over {over}, more than {multiple:g}x")
        else:
            answers.append(None)
            words.append(f"{what}: unknown over {over}, there is no evidence for both")
    fires = True if True in answers else None if None in answers else False
    return fires, tuple(words)


def _multiple(reading: Reading, limit: float, oldest: timedelta) -> float | None:
    """Return how many times faster than allowed the budget is spent; None: it can't be told."""
    total, bad = reading.total, reading.bad
    if reading.problem or reading.age is None or reading.age > oldest:
        return None
    if total is None or bad is None or not math.isfinite(total + bad):
        return None
    return bad / total / limit if total > 0 else 0.0
