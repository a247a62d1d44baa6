"""The metrics server's model: counters that follow the traffic that is there, and samples of them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta

from pytest_deploy.domain.fault import FaultKind
from pytest_deploy.domain.measurement import Kind, Objective, Reading, Subject
from pytest_deploy.domain.synthetic import Behaviour
from pytest_deploy.errors import Unreachable
from pytest_deploy.rehearsal.clock import VirtualClock
from pytest_deploy.rehearsal.counters import NOTHING, Counters, Sample
from pytest_deploy.rehearsal.faults import Faults

__all__ = ["RehearsedMetrics"]

_SLOW_ANSWER = timedelta(seconds=5)


class RehearsedMetrics:
    """Counts of a service by version, sampled at each scrape; between two scrapes nothing is known.

    Args:
        ready: ready pods by version, now; requests are spread evenly over them.
        newest: the versions that faults befall.
        rate_per_s: requests of the whole service in a second.
        healthy: how a version behaves that nothing else is said of.
    """

    def __init__(
        self,
        *,
        service: str,
        clock: VirtualClock,
        faults: Faults,
        scrape_interval: timedelta,
        version_label: bool,
        rate_per_s: float,
        healthy: Behaviour,
        ready: Callable[[], Mapping[str, int]],
        newest: Callable[[], Collection[str]],
    ) -> None:
        self._service = service
        self._clock = clock
        self._faults = faults
        self._interval = scrape_interval
        self._version_label = version_label
        self._rate_per_s = rate_per_s
        self._healthy = healthy
        self._ready = ready
        self._newest = newest
        self._behaviours: dict[str, Behaviour] = {}
        self._counters: dict[str, Counters] = {}
        self._counted_until = clock.now()
        self._times: list[datetime] = []
        self._scrapes: list[Mapping[str, Sample]] = []
        clock.after(scrape_interval, self._scrape)

    @property
    def scrape_interval(self) -> timedelta:
        """How often samples are taken."""
        return self._interval

    @property
    def tells_versions_apart(self) -> bool:
        """Whether deploy.yaml names the label that does."""
        return self._version_label

    def behave(self, template_hash: str, behaviour: Behaviour) -> None:
        """Let a version behave like this from now on."""
        self.count()
        self._behaviours[template_hash] = behaviour

    def count(self) -> None:
        """Count the requests until now; must be called before anything changes that they depend on."""
        elapsed_s = (self._clock.now() - self._counted_until).total_seconds()
        self._counted_until = self._clock.now()
        ready = self._ready()
        pods = sum(ready.values())
        for name, count in ready.items():
            requests = self._rate_per_s * elapsed_s * count / pods
            self._counters.setdefault(name, Counters()).add(requests, self._behaviour(name))

    def now(self) -> datetime:
        """Return the server's time; raises Unreachable while it is down."""
        self._answer()
        return self._clock.now()

    def read(self, objective: Objective, subject: Subject, since: datetime) -> Reading:
        """Return the counts from the samples after ``since``; raises Unreachable while the server is down."""
        self._answer()
        at = self._clock.now()
        version = subject.template_hash if self._version_label else None
        found = self._increase(version, since) if subject.service == self._service else None
        bad, value = (None, None) if found is None else _judged(found, objective)
        return Reading(
            since=since,
            at=at,
            newest=self._newest_sample(version, since) if subject.service == self._service else None,
            total=None if found is None else float(found.total),
            bad=bad,
            value=value,
            queries=(_query(objective, subject.service, version, at - since),),
        )

    def _behaviour(self, name: str) -> Behaviour:
        usual = self._behaviours.get(name, self._healthy)
        if name not in self._newest():
            return usual
        errors, latency = (self._faults.active(kind) for kind in (FaultKind.ERROR_RATE, FaultKind.P95_LATENCY))
        return Behaviour(
            error_rate_ratio=errors.amount if errors and errors.amount is not None else usual.error_rate_ratio,
            p95_ms=latency.amount * 1000 if latency and latency.amount else usual.p95_ms,
        )

    def _answer(self) -> None:
        if self._faults.hit(FaultKind.PROMETHEUS_DOWN):
            raise Unreachable(
                "Prometheus does not answer (rehearsed: connection refused)",
                hint="see whether it is up, and metrics.prometheus.url in deploy.yaml",
                cause="prometheus down",
            )
        if self._faults.hit(FaultKind.PROMETHEUS_SLOW):
            self._clock.sleep(_SLOW_ANSWER)

    def _scrape(self) -> None:
        self._clock.after(self._interval, self._scrape)
        self.count()
        if self._faults.hit(FaultKind.STALE_DATA):
            return
        series = {name: self._counters[name].sample() for name in self._ready()}
        for name in self._newest():
            if name not in series:
                continue
            if self._faults.active(FaultKind.NO_DATA):
                self._faults.hit(FaultKind.NO_DATA)
                del series[name]
            else:
                self._tell_seen(series[name], (self._scrapes[-1] if self._scrapes else {}).get(name, NOTHING))
        self._times.append(self._clock.now())
        self._scrapes.append(series)

    def _tell_seen(self, now: Sample, before: Sample) -> None:
        """Say that a fault of the traffic shows in this sample, where it does."""
        new = now.since(before)
        for kind, shown in ((FaultKind.ERROR_RATE, new.errors), (FaultKind.P95_LATENCY, new.total)):
            began = self._faults.since(kind)
            if shown and began is not None and began < self._clock.now():
                self._faults.hit(kind)

    def _window(self, since: datetime) -> list[Mapping[str, Sample]]:
        return self._scrapes[bisect_right(self._times, since) :]

    def _increase(self, version: str | None, since: datetime) -> Sample | None:
        """Return the increase over the samples after ``since``; None where no series has two of them."""
        window = self._window(since)
        names = {name for series in window for name in series} if version is None else {version}
        found: Sample | None = None
        for name in sorted(names):
            samples = [series[name] for series in window if name in series]
            if len(samples) > 1:
                found = (found or NOTHING) + samples[-1].since(samples[0])
        return found

    def _newest_sample(self, version: str | None, since: datetime) -> datetime | None:
        """Return the time of the newest sample after ``since``; None when there is none."""
        first = bisect_right(self._times, since)
        held = (i for i in reversed(range(first, len(self._times))) if _holds(self._scrapes[i], version))
        return next((self._times[index] for index in held), None)


def _holds(series: Mapping[str, Sample], version: str | None) -> bool:
    return bool(series) if version is None else version in series


def _judged(found: Sample, objective: Objective) -> tuple[float | None, float | None]:
    """Return how many requests are bad, and the value; None where it can't be told."""
    if objective.kind is Kind.ERROR_RATE:
        return float(found.errors), found.errors / found.total if found.total else None
    within = found.within(objective.limit)
    return None if within is None else float(found.total - within), found.quantile_s(objective.quantile or 0.95)


def _query(objective: Objective, service: str, version: str | None, window: timedelta) -> str:
    """Return what would be asked of Prometheus; here nothing is sent."""
    only = f'service="{service}"' + (f',version="{version}"' if version else "")
    over = f"[{max(1, round(window.total_seconds()))}s]"
    if objective.kind is Kind.ERROR_RATE:
        total = f"sum(rate(http_requests_total{{{only}}}{over}))"
        bad = f'sum(rate(http_requests_total{{{only},status=~"5.."}}{over}))'
        return f"rehearsed: {bad} / {total}"
    buckets = f"sum by (le) (rate(http_request_duration_seconds_bucket{{{only}}}{over}))"
    return f"rehearsed: histogram_quantile({objective.quantile}, {buckets})"
