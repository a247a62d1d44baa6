"""The one fault grammar."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pytest_deploy.domain.fault import FaultKind, parse_fault


@pytest.mark.parametrize(
    ("text", "kind", "amount", "at"),
    [
        ("error rate 5% at 25%", FaultKind.ERROR_RATE, 0.05, 25),
        ("p95 latency 900ms at 50%", FaultKind.P95_LATENCY, 0.9, 50),
        ("no data at 25%", FaultKind.NO_DATA, None, 25),
        ("pods crash at 5%", FaultKind.PODS_CRASH, None, 5),
        ("prometheus down at 50%", FaultKind.PROMETHEUS_DOWN, None, 50),
        ("rollback fails", FaultKind.ROLLBACK_FAILS, None, None),
        ("Error  Rate 0.5%", FaultKind.ERROR_RATE, 0.005, None),
    ],
)
def test_the_examples_of_the_manual(text: str, kind: FaultKind, amount: float | None, at: int | None) -> None:
    """Each documented fault is understood."""
    fault = parse_fault(text)
    assert (fault.kind, fault.amount, fault.at_percent) == (kind, amount, at)


def test_moment_and_duration() -> None:
    """A fault can begin with a phase, or end by itself."""
    assert parse_fault("api server slow from staging").from_moment == "staging"
    assert parse_fault("stale data for 2 minutes").lasts == timedelta(minutes=2)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("gremlins", "what one of: error rate, p95 latency"),
        ("error rate at 25%", "needs a share, like 5%"),
        ("no data 5%", "takes no amount"),
        ("error rate 5 at 25%", "unknown fault"),
        ("error rate 5ms", "in percent"),
        ("p95 latency 5%", "is no"),
        ("no data at 250%", "no weight"),
    ],
)
def test_nonsense_is_refused_with_what_would_be_right(text: str, says: str) -> None:
    """An unknown fault is refused with the list, an amount that does not fit with its unit."""
    with pytest.raises(ValueError, match=says):
        parse_fault(text)


@pytest.mark.parametrize("kind", list(FaultKind))
def test_every_kind_can_be_written(kind: FaultKind) -> None:
    """No kind exists that the grammar can't say."""
    amount = {FaultKind.ERROR_RATE: " 5%", FaultKind.P95_LATENCY: " 900ms"}.get(kind, "")
    assert parse_fault(f"{kind}{amount} at 5%").kind is kind
