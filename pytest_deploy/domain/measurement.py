"""What was measured: counts with the server's time, and the evidence that a judge is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from pytest_deploy.domain.quantity import format_ms, format_ratio

__all__ = ["Evidence", "Kind", "Objective", "Reading", "Subject"]


class Kind(StrEnum):
    """What an objective limits."""

    ERROR_RATE = "error rate"
    LATENCY = "latency"


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """One limit of a gate.

    Args:
        limit: a ratio (0.005 is 0.5 %) for an error rate, seconds for a latency; at the limit is still good.
        quantile: for a latency, 0.95 is p95; None for an error rate.
    """

    kind: Kind
    limit: float
    quantile: float | None = None

    @property
    def name(self) -> str:
        """``error rate`` or ``p95 latency``."""
        return self.kind.value if self.quantile is None else f"p{self.quantile * 100:g} latency"

    @property
    def bad_limit_ratio(self) -> float:
        """The share of bad requests that is still good: the limit itself, or 1 - quantile for a latency."""
        return self.limit if self.quantile is None else 1 - self.quantile

    def show(self, value: float) -> str:
        """Return a value of this objective with its unit: ``0.50 %`` or ``300 ms``."""
        return format_ms(value * 1000) if self.kind is Kind.LATENCY else format_ratio(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Whose requests are judged.

    Args:
        template_hash: only the pods of this version; None: all pods of the service, because its series
            can't be told apart (a canary at a small weight is then diluted among the stable pods).
    """

    service: str
    template_hash: str | None = None

    @property
    def words(self) -> str:
        """Whose traffic it is, for reports."""
        if self.template_hash is None:
            return f"all pods of {self.service} (the canary's own series can't be told apart)"
        return f"{self.service}, pods of version {self.template_hash}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Counts from ``since`` to ``at``, read at one timestamp of the server's clock.

    Args:
        newest: time of the newest raw sample behind it; None when there is none.
        total: requests; None when there is no series of them (no data; 0.0 is a series that stands still).
        bad: of these, the ones that count against the limit (errors; slower than the limit); None where
            it can't be told (no bucket ends at the limit).
        value: in the objective's unit (ratio, seconds); None when it can't be computed or is not finite.
        queries: as they were sent.
        problem: why this is no whole answer (a warning of the server, a partial answer); "" when it is.
    """

    since: datetime
    at: datetime
    newest: datetime | None
    total: float | None
    bad: float | None
    value: float | None
    queries: tuple[str, ...]
    problem: str = ""

    @property
    def age(self) -> timedelta | None:
        """How old the newest sample was; None when there is none."""
        return None if self.newest is None else self.at - self.newest


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that a judge may look at: one objective's readings of one step.

    Args:
        window: how long the step is watched.
        started: server time at which the window began; readings hold no sample from before.
        readings: in order of time; each counts from ``started``.
        scrape_interval: how often the server takes samples.
        over: the window has run out (or what was read last is all there will be).
        control: readings of the stable version over the same time; () where there are none.
        earlier: the last reading of each earlier step of the same digest.
        unreadable: why the newest attempt gave no reading ("connection refused"); "" when it did.
        allowed_multiple: how many times the limit the next weight may risk (``power.allowed_multiple`` of that
            weight and its window): so much must be excluded before it. None: no weight follows, the verdict
            stands before the commitment or after it.
    """

    window: timedelta
    started: datetime
    readings: tuple[Reading, ...]
    scrape_interval: timedelta
    over: bool
    control: tuple[Reading, ...] = ()
    earlier: tuple[Reading, ...] = field(default=())
    unreadable: str = ""
    allowed_multiple: float | None = None

    @property
    def last(self) -> Reading | None:
        """The newest reading; None before the first."""
        return self.readings[-1] if self.readings else None
