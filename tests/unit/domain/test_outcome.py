"""Exit statuses."""

from __future__ import annotations

import pytest

from pytest_deploy.domain.outcome import Outcome, exit_status


@pytest.mark.parametrize(
    ("statuses", "wins"),
    [((), 0), ((0, 0), 0), ((4, 1), 1), ((1, 3), 3), ((3, 2), 2), ((2, 7, 1), 7), ((0, 4), 4)],
)
def test_the_gravest_wins(statuses: tuple[int, ...], wins: int) -> None:
    """7 before 2 before 3 before 1 before 4."""
    assert exit_status(statuses) == wins


def test_only_an_expected_end_is_zero() -> None:
    """Of all ends only commitment, a deploy without traffic to move, and a drill's own end exit with 0."""
    assert {o.name for o in Outcome if o.status == 0} == {
        "COMMITTED",
        "PASSED",
        "DRILL_PASSED",
        "DRILL_CALLED_HUMAN",
    }
