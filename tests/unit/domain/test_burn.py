"""Burn rate: two windows at once, and what is not known is not "no"."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pytest_deploy.domain.burn import BURN_WINDOWS, burning
from pytest_deploy.domain.measurement import Reading

NOW = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
LIMIT = 0.001
OLDEST = timedelta(seconds=30)
M5, M30, H1, H6, D3 = BURN_WINDOWS


def reading(
    times: float | None = 0.5, *, total: float | None = 100_000, age_s: float | None = 5, problem: str = ""
) -> Reading:
    """Return a window in which the budget is spent so many times faster than it comes; None: no bad ones are told."""
    return Reading(
        since=NOW,
        at=NOW,
        newest=None if age_s is None else NOW - timedelta(seconds=age_s),
        total=total,
        bad=None if times is None or total is None else times * LIMIT * total,
        value=None,
        queries=(),
        problem=problem,
    )


def windows(**changed: Reading) -> dict[timedelta, Reading]:
    """Return all windows, quiet but for the changed ones."""
    names = {"m5": M5, "m30": M30, "h1": H1, "h6": H6, "d3": D3}
    return {window: changed.get(name, reading()) for name, window in names.items()}


def test_the_windows_are_the_workbooks() -> None:
    """Those of table 5-8, the shortest first."""
    assert (
        timedelta(minutes=5),
        timedelta(minutes=30),
        timedelta(hours=1),
        timedelta(hours=6),
        timedelta(days=3),
    ) == BURN_WINDOWS


@pytest.mark.parametrize(
    ("changed", "page", "ticket", "says"),
    [
        ({}, False, False, "no budget burns faster than it comes"),
        (
            {"h1": reading(15), "m5": reading(20)},
            True,
            False,
            "page: the error budget burns at 15.0x and 20.0x over 1 h and 5 min, more than 14.4x",
        ),
        ({"h1": reading(14.3), "m5": reading(20)}, False, False, "no budget"),
        ({"h1": reading(15), "m5": reading(1)}, False, False, "no budget"),
        (
            {"h6": reading(6.1), "m30": reading(7)},
            True,
            False,
            "page: the error budget burns at 6.1x and 7.0x over 6 h",
        ),
        ({"d3": reading(1.1), "h6": reading(1.2)}, False, True, "ticket: the error budget burns at 1.1x and 1.2x"),
        ({"d3": reading(1.0), "h6": reading(1.2)}, False, False, "no budget"),
        ({"h1": reading(15), "m5": reading(total=0.0)}, False, False, "no budget"),
    ],
)
def test_a_pair_fires_where_both_windows_burn(changed: dict[str, Reading], page: bool, ticket: bool, says: str) -> None:
    """The long window says that enough is gone, the short one that it still goes."""
    burn = burning(windows(**changed), LIMIT, oldest=OLDEST)
    assert (burn.page, burn.ticket, says in burn.words) == (page, ticket, True), burn


@pytest.mark.parametrize(
    "unknown",
    [
        reading(total=None),
        reading(None),
        reading(total=float("nan")),
        reading(problem="partial"),
        reading(age_s=None),
        reading(age_s=31),
    ],
)
def test_what_is_no_evidence_is_unknown(unknown: Reading) -> None:
    """No series, no count, a partial or a stale answer: neither yes nor no, unless the other window is clear."""
    burn = burning(windows(h1=reading(15), m5=unknown), LIMIT, oldest=OLDEST)
    assert (burn.page, burn.ticket) == (None, False)
    assert burn.words == "page: unknown over 1 h and 5 min, there is no evidence for both"
    assert burning(windows(m5=unknown), LIMIT, oldest=OLDEST).page is False


def test_a_known_fire_outweighs_what_is_unknown() -> None:
    """One pair that fires is enough, whatever the other can't say."""
    burn = burning(windows(h1=reading(problem="x"), h6=reading(7), m30=reading(7)), LIMIT, oldest=OLDEST)
    assert burn.page is True


def test_without_windows_nothing_is_known() -> None:
    """No reading at all is no all-clear."""
    burn = burning({}, LIMIT, oldest=OLDEST)
    assert (burn.page, burn.ticket) == (None, None)


@pytest.mark.parametrize("limit", [0.0, 1.0])
def test_a_limit_without_a_budget_is_refused(limit: float) -> None:
    """Nothing can burn faster than nothing."""
    with pytest.raises(ValueError, match="has no error budget"):
        burning({}, limit, oldest=OLDEST)
