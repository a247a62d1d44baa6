"""Metrics from Prometheus, or anything that speaks its HTTP API: counts, each reading at one server time."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from pytest_deploy.adapters.prometheus.alerts import alert_problems, firing_alerts
from pytest_deploy.adapters.prometheus.counts import Counts, classic_latency, error_rate, native_latency
from pytest_deploy.adapters.prometheus.firing import FiringAlerts
from pytest_deploy.adapters.prometheus.named import BUILT_IN, RESTARTS_OF_NEW_PODS, newest, samples, ships, text_of
from pytest_deploy.adapters.prometheus.own import OwnQueries, own_problems
from pytest_deploy.adapters.prometheus.problems import (
    is_note,
    latency_problems,
    query_problems,
    requests_problems,
    version_problems,
)
from pytest_deploy.adapters.prometheus.promql import Api, Look, literal, time_of
from pytest_deploy.adapters.prometheus.subject import Selection, label_name
from pytest_deploy.domain.measurement import Kind, Objective, Reading, Role, Subject
from pytest_deploy.domain.query import ALERTS, RESTARTS, Query
from pytest_deploy.errors import Faulted, MeasurementError
from pytest_deploy.io.http import Http

if TYPE_CHECKING:
    import httpx2

    from pytest_deploy.ports import Clock

__all__ = ["Prometheus"]

_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
"""https://prometheus.io/docs/concepts/data_model/#metric-names-and-labels"""
_TARGET_LABELS = ("job", "instance", "namespace", "pod")
"""Which process a series is of. The first two are set by each scrape, the others where service discovery does; not
all other labels: a path that never worked, or an error that has labels of its own, has no other series beside it.
"""
_TRIED_S = 300
"""The window that a query is tried with before the deploy."""
_NOTHING: Mapping[str, str] = MappingProxyType({})
_NO_QUERIES: Mapping[str, Query] = MappingProxyType({})
_NO_OWN = OwnQueries()


class Prometheus:
    """Port ``Metrics``.

    The counts stand beside the value, over the same window and at the same timestamp. An objective that nobody missed
    has no series of bad requests at all, which is 0 and not "no data"; so requests are counted by status.

    ``increase()`` leaves out the first value of each series: the first 5xx of each pod, as its series is born with it.
    So requests are ``increase()`` plus the first values of series born in the window where their target (job,
    instance) had samples before; the value is bad / total of these. The ratio that is shown as the first query leaves
    them out, and says so where that makes a difference. What is in the very first samples of a target, such as a
    replaced pod or one that was not scraped for a while, is in neither count, because it may be old. A latency leaves
    the first values of its buckets out, of fast requests and of slow ones alike. Its buckets are classic ones where
    there are any, else those of native histograms. A counter that begins anew and has
    reached its old value before the next scrape hides that much.
    https://prometheus.io/docs/prometheus/latest/querying/functions/#increase

    Args:
        url: base address of the HTTP API, without ``/api/v1``.
        requests_metric: counter of requests; its ``status_label`` holds the HTTP status.
        duration_metric: histogram in seconds, without ``_bucket``.
        service_label: label whose value is the service's name.
        namespace_label: label whose value is the Kubernetes namespace; used where the service's series carry it.
        version_label: label whose value is the pod-template hash.
        pod_label: label whose value is the pod's name.
        canary_labels, stable_labels: labels that only the canary's, or only the stable version's, series have; one of
            these three tells versions apart, without any they can't be.
        queries: by name, beside those that ship; one of the same name replaces it.
        scrape_interval: how often the server takes samples, the slowest of those that a gate rests on.
        timeout: for one query, its retries included.
        headers, ca_file, client_cert: as ``Http`` has them; ``io.access`` writes ``Authorization``.
        transport: the network's place, for tests; None: the real one.

    Raises:
        MeasurementError: a name that is none in Prometheus' grammar, and so could change the query; more than one way
            to tell versions apart.
        ConfigError: a header that can't be sent.
    """

    def __init__(
        self,
        url: str,
        *,
        requests_metric: str = "http_requests_total",
        duration_metric: str = "http_request_duration_seconds",
        service_label: str = "service",
        namespace_label: str = "namespace",
        status_label: str = "status",
        version_label: str | None = None,
        pod_label: str | None = None,
        canary_labels: Mapping[str, str] = _NOTHING,
        stable_labels: Mapping[str, str] = _NOTHING,
        queries: Mapping[str, Query] = _NO_QUERIES,
        own: OwnQueries = _NO_OWN,
        scrape_interval: timedelta,
        timeout: timedelta,
        clock: Clock,
        headers: Mapping[str, str] = _NOTHING,
        ca_file: str | Path | None = None,
        client_cert: tuple[str, str] | None = None,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self._requests = _metric(requests_metric)
        self._duration = _metric(duration_metric)
        self._status_label = label_name(status_label)
        self._namespace_label = label_name(namespace_label)
        self._scoped: dict[tuple[str, str, str], tuple[str, ...]] = {}
        self._selection = Selection(
            service_label,
            version_label=version_label,
            pod_label=pod_label,
            canary_labels=canary_labels,
            stable_labels=stable_labels,
        )
        self._queries = {**BUILT_IN, **queries}
        self._own = own
        self._scrape_interval = scrape_interval
        self._past: Callable[[], datetime] | None = None
        http = Http(
            url,
            service="Prometheus",
            clock=clock,
            timeout=timeout,
            headers=headers,
            ca_file=ca_file,
            client_cert=client_cert,
            transport=transport,
        )
        self._api = Api(http, timeout)

    def as_of(self, now: Callable[[], datetime]) -> Prometheus:
        """Return one for which it is another time, to read what was measured in the past."""
        other = copy.copy(self)
        other._past = now  # noqa: SLF001 - a copy of our own
        return other

    def firing_alerts(self, service_label: str | None = None) -> FiringAlerts:
        """Return who tells, by name, which alerts of a service fire.

        Args:
            service_label: of the alerts; None: that of the metrics.
        """
        return FiringAlerts(self._api, service_label=label_name(service_label or self._selection.service_label))

    @property
    def scrape_interval(self) -> timedelta:
        """How often the server takes samples."""
        return self._scrape_interval

    @property
    def tells_versions_apart(self) -> bool:
        """Whether a version has series of its own."""
        return self._own.tells_versions_apart if self._own.requests else self._selection.tells_versions_apart

    def now(self) -> datetime:
        """Return the server's own time, or the time that was given to ``as_of``."""
        return self._past() if self._past is not None else self._server_time()

    def read(self, objective: Objective, subject: Subject, since: datetime) -> Reading:
        """Return the counts from ``since`` until the server's now, at one timestamp.

        The window is cut to whole seconds from its end, so that no sample from before ``since`` counts.

        Raises:
            Unreachable, Throttled, Rejected, Faulted: there is no answer, or none that makes sense.
            MeasurementError: the query is wrong, it can never yield evidence.
        """
        at = self.now()
        window_s = math.floor((at - since).total_seconds())
        if window_s < 1:
            return Reading(since=since, at=at, newest=None, total=None, bad=None, value=None, queries=())
        look = self._look(at, window_s, (*self._selection(subject), *self._namespace(at, objective, subject)))
        counts, fresh = self._counted(look, objective, subject)
        return Reading(
            since=since,
            at=at,
            # The server looks back up to 5 minutes for a sample; one from before the window is not behind this.
            newest=fresh if fresh is not None and fresh >= since else None,
            total=counts.total,
            bad=counts.bad,
            value=counts.value,
            queries=tuple(look.queries),
            problem="; ".join(dict.fromkeys(look.warnings)),
            neighbours=counts.neighbours,
        )

    def problems(self, objective: Objective, subject: Subject) -> Sequence[str]:
        """Return what would keep this objective from ever being judged, each with its mend.

        One that begins with ``note: `` only blunts it: no bucket ends at the limit. A version that does not run yet
        has no series, so the whole service is asked for.

        Raises:
            Unreachable, Throttled, Rejected, Faulted: there is no answer, or none that makes sense.
        """
        at = self.now()
        try:
            scope = self._namespace(at, objective, subject)
            look = self._look(at, _TRIED_S, (*self._selection.service(subject), *scope))
            found = self._problems(look, objective, subject)
        except MeasurementError as error:
            return (" ".join(str(error).split()),)
        return (*found, *(f"the answer is not whole: {each}" for each in dict.fromkeys(look.warnings)))

    def _namespace(self, at: datetime, objective: Objective, subject: Subject) -> tuple[str, ...]:
        """Return the matcher of the subject's namespace, where the service's series carry it.

        A service runs in staging and production under one name, and one pod template has one hash in both: what fails
        in the one must neither stop nor hide what the other does. Where the series name no namespace there is one
        place only, as far as the server knows.
        """
        if not subject.namespace or not objective.counted:
            return ()
        names = f"{self._duration}(_count)?" if objective.kind is Kind.LATENCY else self._requests
        key = (names, subject.service, subject.namespace)
        if key not in self._scoped:
            look = self._look(at, _TRIED_S, self._selection.service(subject))
            matcher = f"{self._namespace_label}={literal(subject.namespace)}"
            for more in ((matcher,), ()):
                series = look.series("", f"__name__=~{literal(names)}", *more)
                if look.one(f"count(last_over_time({series}[{look.window}]))"):
                    self._scoped[key] = more
                    break
        return self._scoped.get(key, ())

    def _counted(self, look: Look, objective: Objective, subject: Subject) -> tuple[Counts, datetime | None]:
        """Return what was found, and the time of the newest sample behind it."""
        own = self._own(look, objective, subject)
        if own is not None:
            return own
        if objective.kind in {Kind.ERROR_RATE, Kind.AVAILABILITY}:
            return error_rate(look, self._requests, self._status_label), look.newest(look.series(self._requests))
        if objective.kind is Kind.LATENCY:
            if objective.quantile is None:
                raise MeasurementError("a latency is judged by a quantile, and this objective names none")
            classic = classic_latency(look, self._duration, objective)
            if classic is not None:
                return classic, look.newest(look.series(f"{self._duration}_count"))
            return native_latency(look, self._duration, objective), look.newest(look.series(self._duration))
        if objective.kind is Kind.QUERY and self._asks_for_alerts(objective):
            return self._alerts(look, subject)
        query = self._query(objective, subject, look.window_s)
        value = look.one(query)
        return Counts(total=samples(look, query), value=value), newest(look, query)

    def _alerts(self, look: Look, subject: Subject) -> tuple[Counts, datetime | None]:
        found = firing_alerts(look, self._selection.service_label, subject.service, self._server_time())
        if self._past is not None:
            look.warnings.append("whether the alerting rules were evaluated in the past can't be told")
        # As fresh as the rules, which were evaluated in time by their own pace, not by the scrapes'.
        return found, None if found.total is None else look.at

    def _problems(self, look: Look, objective: Objective, subject: Subject) -> list[str]:
        label = self._selection.service_label
        own = self._own(look, objective, subject)
        if own is not None:
            return own_problems(look, objective, own[0])
        if objective.counted:
            if objective.kind is Kind.LATENCY:
                metric, found = self._duration, latency_problems(look, self._duration, label, objective)
            else:
                metric, found = self._requests, requests_problems(look, self._requests, label, self._status_label)
            if all(map(is_note, found)):
                found += version_problems(look, metric, self._selection.labels)
            return found
        if objective.kind is Kind.QUERY and self._asks_for_alerts(objective):
            return alert_problems(self._api, subject.service, self._server_time())
        query = self._queries.get(objective.subject)
        if query is not None and not ships(query) and "{version}" in query.text and subject.template_hash is None:
            return [f"note: the query {query.name!r} asks for {{version}}, so it can't be tried before the canary runs"]
        return query_problems(look, objective.subject, self._query(objective, subject, look.window_s))

    def _asks_for_alerts(self, objective: Objective) -> bool:
        return objective.subject == ALERTS and ALERTS not in self._queries

    def _query(self, objective: Objective, subject: Subject, window_s: int) -> str:
        if objective.kind is not Kind.QUERY:
            raise MeasurementError(f"Prometheus can't answer for a {objective.kind.value}: {objective.name!r}")
        if objective.subject not in self._queries:
            known = ", ".join(sorted({*self._queries, ALERTS}))
            raise MeasurementError(
                f"there is no query {objective.subject!r}; known: {known}", hint="add it to metrics.queries"
            )
        query = self._queries[objective.subject]
        if ships(query) and query.name == RESTARTS and subject.role is Role.CANARY:
            query = RESTARTS_OF_NEW_PODS
        return text_of(query, subject, window_s)

    def _look(self, at: datetime, window_s: int, selector: tuple[str, ...]) -> Look:
        return Look(
            api=self._api,
            at=at,
            window_s=window_s,
            selector=selector,
            target_labels=tuple(dict.fromkeys((*_TARGET_LABELS, *self._selection.labels))),
            scrape_interval=self._scrape_interval,
        )

    def _server_time(self) -> datetime:
        result = self._api.ask("time()", None).get("result")
        try:
            return time_of(float(result[1]))  # type: ignore[index]  # what is no pair is an error here
        except (TypeError, ValueError, IndexError) as error:
            raise Faulted(f"Prometheus answered time() with {str(result)[:100]!r}") from error


def _metric(name: str) -> str:
    if not _METRIC.fullmatch(name):
        raise MeasurementError(f"{name!r} is no name in Prometheus", hint="correct it in metrics.prometheus")
    return name
