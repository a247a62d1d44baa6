"""What was measured: counts with the server's time, and the evidence that a judge is given."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from pytest_deploy.domain.quantity import format_ms, format_ratio

__all__ = ["UNANSWERED", "Bucket", "Evidence", "Kind", "Objective", "Reading", "Role", "Subject"]

UNANSWERED = "no answer: "
"""How the problem of a reading begins that was tried and got no answer; such a one is measured, and never judged."""


class Kind(StrEnum):
    """What an objective limits; the first three rest on counts of requests."""

    ERROR_RATE = "error rate"
    AVAILABILITY = "availability"
    LATENCY = "latency"
    QUERY = "query"
    """A number that a named query yields: saturation, restarts, alerts, whatever a team measures."""
    SCRIPT = "script"
    """A program's exit status; its numbers are unknown."""
    STEP = "step"
    """A team's own Then step, with an assert; its numbers are unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """One limit of a gate.

    Args:
        limit: at the limit is still good. A share of bad requests (0.005 is 0.5 %; an availability of 99.5 % is
            the same 0.005) for error rate and availability, seconds for a latency, in ``unit`` for a query;
            0 for a script and a step.
        quantile: for a latency, 0.95 is p95; None for everything else.
        relative: ``limit`` is by how much it may be worse than the stable version that runs beside it.
        at_least: for a query: the value must not fall below ``limit``, instead of rising above it.
        subject: name of the query, path of the script, text of the step; "" for what rests on requests.
        unit: of a query's value, as reports write it; "" for a bare number. "%": the value is a ratio.
    """

    kind: Kind
    limit: float
    quantile: float | None = None
    relative: bool = False
    at_least: bool = False
    subject: str = ""
    unit: str = ""

    @property
    def name(self) -> str:
        """``error rate``, ``p95 latency``, ``error rate over stable``, or what the query, script or step is called."""
        if self.subject:
            return self.subject
        base = self.kind.value if self.quantile is None else f"p{self.quantile * 100:g} latency"
        return f"{base} over stable" if self.relative else base

    @property
    def counted(self) -> bool:
        """Whether it rests on counts of good and bad requests."""
        return self.kind in {Kind.ERROR_RATE, Kind.AVAILABILITY, Kind.LATENCY}

    @property
    def bad_limit_ratio(self) -> float:
        """The share of bad requests that is still good: the limit itself, or 1 - quantile for a latency."""
        return self.limit if self.quantile is None else round(1 - self.quantile, 12)

    @property
    def own(self) -> Objective:
        """The same of one version alone: what its own value is shown with, also where the limit is a difference."""
        return replace(self, relative=False)

    def keeps(self, value: float) -> bool:
        """Whether the value is within the limit; for a relative objective the value is the difference."""
        return value >= self.limit if self.at_least else value <= self.limit

    def show(self, value: float) -> str:
        """Return a value of this objective with its unit: ``0.50 %``, ``300 ms``, ``12 messages``."""
        if self.kind is Kind.LATENCY:
            return format_ms(value * 1000)
        if self.kind is Kind.QUERY and self.unit != "%":
            return f"{value:.6g} {self.unit}".rstrip()
        if self.relative:
            return f"{format_ratio(value).removesuffix(' %')} points"
        return format_ratio(1 - value if self.kind is Kind.AVAILABILITY else value)

    def compare(self, value: float) -> str:
        """Return ``0.52 % > 0.50 %``: the value, how it stands to the limit, and the limit."""
        if (self.kind is Kind.AVAILABILITY and not self.relative) or self.at_least:
            sign = ">=" if self.keeps(value) else "<"
        else:
            sign = "<=" if self.keeps(value) else ">"
        return f"{self.show(value)} {sign} {self.show(self.limit)}"


class Role(StrEnum):
    """Whose pods are read."""

    CANARY = "canary"
    STABLE = "stable"
    SERVICE = "service"
    """All pods: the versions can't be told apart, or there is one only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Whose requests are judged.

    Args:
        service: as its label says.
        template_hash: only the pods of this version; None: all pods of the service, because its series
            can't be told apart (a canary at a small weight is then diluted among the stable pods).
        role: the canary, the stable version beside it, or all pods.
        workload: the Rollout's name, with which its pods' names begin; "" where it is not known.
        namespace: where its pods run; "" where it is not known.
    """

    service: str
    template_hash: str | None = None
    role: Role = Role.SERVICE
    workload: str = ""
    namespace: str = ""

    @property
    def words(self) -> str:
        """Whose traffic it is, for reports."""
        if self.template_hash is None:
            return f"all pods of {self.service} (the canary's own series can't be told apart)"
        return f"{self.service}, pods of version {self.template_hash}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """One bound of a histogram beside a latency's limit.

    Args:
        bound_s: where the bucket ends, in seconds.
        slower: requests that took longer.
    """

    bound_s: float
    slower: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Counts from ``since`` to ``at``, read at one timestamp of the server's clock.

    Args:
        since, at: the window that was read; ``newest``: time of the newest raw sample in it, None when there is none.
        total: requests; None when there is no series of them (no data; 0.0 is a series that stands still).
            For a query: how many samples the value rests on.
        bad: of these, the ones that count against the limit (errors; slower than the limit); None where
            it can't be told exactly.
        value: in the objective's unit (ratio, seconds); None when it can't be computed or is not finite.
        queries: as they were sent.
        problem: why this is no whole answer (a warning of the server, a partial answer); "" when it is.
        neighbours: for a latency whose limit no bucket ends at: the buckets that end below and above it, whose
            ``slower`` is the most and the least that can be bad. None where ``bad`` is exact or nothing is known.
    """

    since: datetime
    at: datetime
    newest: datetime | None
    total: float | None
    bad: float | None
    value: float | None
    queries: tuple[str, ...]
    problem: str = ""
    neighbours: tuple[Bucket, Bucket] | None = None

    @property
    def age(self) -> timedelta | None:
        """How old the newest sample was; None when there is none."""
        return None if self.newest is None else self.at - self.newest


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that a judge may look at: one objective's readings of one step.

    Args:
        window: how long the step is watched; once extended, the longer one.
        started: server time at which the window began; readings hold no sample from before.
        readings: in order of time; each counts from ``started``.
        scrape_interval: how often the server takes samples.
        over: the window has run out (or what was read last is all there will be).
        control: readings of the stable version over the same time; () where there are none. For a relative
            objective at 100 % the last reading of the stable version at the step before stands here, alone.
        earlier: the last reading of each earlier step of the same digest.
        unreadable: why the newest attempt gave no reading ("connection refused"); "" when it did.
        allowed_multiple: how many times the limit the next weight may risk (``power.allowed_multiple`` of that
            weight and its window): so much must be excluded before it. None: no weight follows, the verdict
            stands before the commitment or after it.
        until: with so many requests the window ends before its time; None: time alone ends it.
    """

    window: timedelta
    started: datetime
    readings: tuple[Reading, ...]
    scrape_interval: timedelta
    over: bool
    control: tuple[Reading, ...] = ()
    earlier: tuple[Reading, ...] = ()
    unreadable: str = ""
    allowed_multiple: float | None = None
    until: int | None = None

    @property
    def last(self) -> Reading | None:
        """The newest reading; None before the first."""
        return self.readings[-1] if self.readings else None
