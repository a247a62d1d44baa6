"""What follows a verdict: safe by default, and never a promotion."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pytest_deploy.domain.policy import Answer, Decision, Policy, Response
from pytest_deploy.domain.verdict import VerdictKind


@pytest.mark.parametrize(
    ("kind", "extends", "holds"),
    [
        (VerdictKind.FAIL, False, False),
        (VerdictKind.INCONCLUSIVE, True, True),
        (VerdictKind.NO_DATA, True, True),
        (VerdictKind.ERROR, True, True),
    ],
)
def test_the_default(kind: VerdictKind, extends: bool, holds: bool) -> None:
    """A breach goes back at once; what is not known gets a second window and a person."""
    response = Policy().response(kind)
    assert (response.extends, response.holds) == (extends, holds)


def test_what_is_not_declared_goes_back() -> None:
    """No outcome can fall through to a promotion."""
    assert {Policy(responses={}).response(kind) for kind in VerdictKind} == {Response.ROLL_BACK}


def test_a_decision_names_who_when_and_why() -> None:
    """In one line, as journal, console and note show it."""
    at = datetime(2026, 11, 24, 3, 4, 5, tzinfo=UTC)
    made = Decision(hold=7, answer=Answer.PROMOTE, by="ada", reason="known alert", at=at)
    assert made.words == "promote decided by ada at 2026-11-24 03:04:05 UTC: known alert"
