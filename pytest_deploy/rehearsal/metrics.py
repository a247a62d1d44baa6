"""The metrics server's model: counters that follow the traffic that is there, and samples of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta

from pytest_deploy.domain.fault import FaultKind
from pytest_deploy.domain.measurement import Bucket, Kind, Objective, Reading, Subject
from pytest_deploy.domain.query import Query
from pytest_deploy.domain.synthetic import Behaviour
from pytest_deploy.errors import MeasurementError, Unreachable
from pytest_deploy.rehearsal.clock import VirtualClock
from pytest_deploy.rehearsal.counters import NOTHING, Counters, Sample, has_bucket
from pytest_deploy.rehearsal.faults import Faults
from pytest_deploy.rehearsal.named import NamedQueries
from pytest_deploy.rehearsal.series import Scrape, Series, increase, newest

__all__ = ["RehearsedMetrics"]

_SLOW_ANSWER = timedelta(seconds=5)
_FROM_REQUESTS = frozenset({Kind.ERROR_RATE, Kind.AVAILABILITY, Kind.LATENCY})


class RehearsedMetrics:
    """Counts of a service by version, sampled at each scrape; between two scrapes nothing is known.

    Args:
        queries: of the team, by name.
        ready: ready pods by version, now; requests are spread evenly over them.
        restarts: of containers by version, now; only versions that have pods.
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
        queries: Mapping[str, Query],
        rate_per_s: float,
        healthy: Behaviour,
        ready: Callable[[], Mapping[str, int]],
        restarts: Callable[[], Mapping[str, int]],
        newest: Callable[[], Collection[str]],
    ) -> None:
        self._service = service
        self._clock = clock
        self._faults = faults
        self._interval = scrape_interval
        self._version_label = version_label
        self._named = NamedQueries(queries)
        self._rate_per_s = rate_per_s
        self._load_per_s = 0.0
        self._healthy = healthy
        self._ready = ready
        self._restarts = restarts
        self._newest = newest
        self._behaviours: dict[str, Behaviour] = {}
        self._counters: dict[str, Counters] = {}
        self._start = self._counted_until = clock.now()
        self._at_rest: Mapping[str, int] = {}
        self._series = Series(self._start, scrape_interval, self._before)
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

    def add_load(self, rate_per_s: float) -> None:
        """Let so many requests a second more, or fewer, go to the service from now on."""
        self.count()
        self._load_per_s += rate_per_s

    def behaviour(self, template_hash: str) -> Behaviour:
        """Return how a version answers now, faults included."""
        usual = self._behaviours.get(template_hash, self._healthy)
        if template_hash not in self._newest():
            return usual
        errors, latency = (self._faults.active(kind) for kind in (FaultKind.ERROR_RATE, FaultKind.P95_LATENCY))
        return Behaviour(
            error_rate_ratio=errors.amount if errors and errors.amount is not None else usual.error_rate_ratio,
            p95_ms=latency.amount * 1000 if latency and latency.amount else usual.p95_ms,
        )

    def count(self) -> None:
        """Count the requests until now; must be called before anything changes that they depend on."""
        elapsed_s = (self._clock.now() - self._counted_until).total_seconds()
        self._counted_until = self._clock.now()
        ready = self._ready()
        self._at_rest = self._at_rest or dict(ready)
        pods = sum(ready.values())
        for name, count in ready.items():
            requests = (self._rate_per_s + self._load_per_s) * elapsed_s * count / pods
            self._counters.setdefault(name, Counters()).add(requests, self.behaviour(name))

    def now(self) -> datetime:
        """Return the server's time; raises Unreachable while it is down."""
        self._answer()
        return self._clock.now()

    def read(self, objective: Objective, subject: Subject, since: datetime) -> Reading:
        """Return the counts from the samples after ``since``; raises Unreachable while the server is down.

        Raises:
            MeasurementError: it is not read from metrics, or there is no such query.
        """
        self._answer()
        self.count()
        at = self._clock.now()
        version = subject.template_hash if self._version_label else None
        scrapes = self._series.after(since) if subject.service == self._service else ()
        if objective.kind is Kind.QUERY:
            answer = self._named.ask(objective, version, self._series.until(since), scrapes)
            return Reading(
                since=since,
                at=at,
                newest=answer.newest,
                total=answer.samples,
                bad=None,
                value=answer.value,
                queries=(answer.query,),
            )
        if objective.kind not in _FROM_REQUESTS:
            raise MeasurementError(f"a {objective.kind} is not read from metrics")
        found = increase(scrapes, version)
        bad, value, neighbours = (None, None, None) if found is None else _judged(found, objective)
        return Reading(
            since=since,
            at=at,
            newest=newest(scrapes, version),
            total=None if found is None else float(found.total),
            bad=bad,
            value=value,
            queries=(_query(objective, subject.service, version, at - since),),
            neighbours=neighbours,
        )

    def problems(self, objective: Objective, subject: Subject) -> Sequence[str]:
        """Return what would keep this objective from being judged, and notes; raises Unreachable as ``read``."""
        self._answer()
        found: list[str] = []
        if subject.service != self._service:
            found.append(
                f"no series has service={subject.service!r}: the rehearsal has {self._service!r} alone; "
                "correct service, or metrics.prometheus.service_label, in deploy.yaml"
            )
        if objective.kind is Kind.QUERY and (problem := self._named.problem(objective.subject)):
            found.append(problem)
        if objective.kind is Kind.LATENCY and not objective.relative and not has_bucket(objective.limit):
            low, high = (objective.show(each.bound_s) for each in NOTHING.neighbours(objective.limit))
            found.append(
                f"note: no bucket ends at {objective.show(objective.limit)}, so how many are slower is known only "
                f'to lie between those of {low} and {high}; add le="{objective.limit:g}" to the histogram'
            )
        return tuple(found)

    def _answer(self) -> None:
        if self._faults.hit(FaultKind.PROMETHEUS_DOWN):
            raise Unreachable(
                "Prometheus does not answer (rehearsed: connection refused)",
                hint="see whether it is up, and metrics.prometheus.url in deploy.yaml",
                cause="prometheus down",
            )
        if self._faults.hit(FaultKind.PROMETHEUS_SLOW):
            self._clock.sleep(_SLOW_ANSWER)

    def _before(self, at: datetime) -> Scrape:
        """Return what a scrape until the start saw: requests as they were at rest, counted down from zero."""
        seconds, pods = (at - self._start).total_seconds(), sum(self._at_rest.values())
        requests: dict[str, Sample] = {}
        for name, count in self._at_rest.items():
            counters = Counters()
            counters.add(self._rate_per_s * seconds * count / pods, self._healthy)
            requests[name] = counters.sample()
        return Scrape(at=at, requests=requests, restarts=dict.fromkeys(self._at_rest, 0))

    def _scrape(self) -> None:
        self._clock.after(self._interval, self._scrape)
        self.count()
        if self._faults.hit(FaultKind.STALE_DATA):
            return
        requests = {name: self._counters[name].sample() for name in self._ready()}
        restarts = dict(self._restarts())
        last = self._series.last
        for name in self._newest():
            if name not in restarts:
                continue
            if self._faults.active(FaultKind.NO_DATA):
                self._faults.hit(FaultKind.NO_DATA)
                requests.pop(name, None)
                del restarts[name]
            elif name in requests:
                self._tell_seen(requests[name], (last.requests if last else {}).get(name, NOTHING))
        self._series.append(Scrape(at=self._clock.now(), requests=requests, restarts=restarts))

    def _tell_seen(self, now: Sample, before: Sample) -> None:
        """Say that a fault of the traffic shows in this sample, where it does."""
        new = now.since(before)
        for kind, shown in ((FaultKind.ERROR_RATE, new.errors), (FaultKind.P95_LATENCY, new.total)):
            began = self._faults.since(kind)
            if shown and began is not None and began < self._clock.now():
                self._faults.hit(kind)


def _judged(found: Sample, objective: Objective) -> tuple[float | None, float | None, tuple[Bucket, Bucket] | None]:
    """Return how many requests are bad, the value, and the limit's neighbours; None where it can't be told."""
    if objective.kind is not Kind.LATENCY:
        return float(found.errors), found.errors / found.total if found.total else None, None
    value = found.quantile_s(objective.quantile or 0.95)
    if objective.relative:  # the limit is a difference, no bucket ends there
        return None, value, None
    slower = found.slower(objective.limit)
    if slower is None:
        return None, value, found.neighbours(objective.limit)
    return float(slower), value, None


def _query(objective: Objective, service: str, version: str | None, window: timedelta) -> str:
    """Return what would be asked of Prometheus; here nothing is sent."""
    only = f'service="{service}"' + (f',version="{version}"' if version else "")
    over = f"[{max(1, round(window.total_seconds()))}s]"
    if objective.kind is not Kind.LATENCY:
        total = f"sum(rate(http_requests_total{{{only}}}{over}))"
        bad = f'sum(rate(http_requests_total{{{only},status=~"5.."}}{over}))'
        return f"rehearsed: {bad} / {total}"
    buckets = f"sum by (le) (rate(http_request_duration_seconds_bucket{{{only}}}{over}))"
    return f"rehearsed: histogram_quantile({objective.quantile}, {buckets})"
