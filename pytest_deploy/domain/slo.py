"""The service level objectives of a release."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from pytest_deploy.domain.measurement import Kind, Objective

__all__ = ["Slo"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slo:
    """What the service promises, and over which window it is judged.

    Args:
        error_rate_max_ratio: share of requests that may fail; 0.005 is 0.5 %.
        p95_latency_ms: 95 % of the requests are answered within this time.
        window: how long each canary step is watched where the feature does not say.
    """

    error_rate_max_ratio: float
    p95_latency_ms: float
    window: timedelta

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """Error rate and p95 latency, as gates judge them."""
        return (
            Objective(kind=Kind.ERROR_RATE, limit=self.error_rate_max_ratio),
            Objective(kind=Kind.LATENCY, limit=self.p95_latency_ms / 1000, quantile=0.95),
        )
