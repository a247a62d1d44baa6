"""Metrics from Prometheus, or anything that speaks its HTTP API: counts, each reading at one server time."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from pytest_deploy.adapters.promql import Api, Look, literal, time_of
from pytest_deploy.domain.measurement import Kind, Objective, Reading, Subject
from pytest_deploy.errors import Faulted, MeasurementError
from pytest_deploy.io.http import Http

if TYPE_CHECKING:
    import httpx2

    from pytest_deploy.ports import Clock

__all__ = ["Prometheus"]

_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
"""https://prometheus.io/docs/concepts/data_model/#metric-names-and-labels"""
_TARGET_LABELS = ("job", "instance", "namespace", "pod")
"""Which process a series is of. The first two are set by each scrape, the others where service discovery does; not
all other labels: a path that never worked, or an error that has labels of its own, has no other series beside it.
"""


class Prometheus:
    """Port ``Metrics``.

    The counts stand beside the value, over the same window and at the same timestamp. An objective that nobody missed
    has no series of bad requests at all, which is 0 and not "no data"; so requests are counted by status.

    ``increase()`` leaves out the first value of each series: the first 5xx of each pod, as its series is born with it.
    So requests are ``increase()`` plus the first values of series born in the window where their target (job,
    instance) had samples before; the value is bad / total of these. The ratio that is shown as the first query leaves
    them out, and says so where that makes a difference. What is in the very first samples of a target, such as a
    replaced pod or one that was not scraped for a while, is in neither count, because it may be old. A latency leaves
    the first values of its buckets out, of fast requests and of slow ones alike. A counter that begins anew and has
    reached its old value before the next scrape hides that much.
    https://prometheus.io/docs/prometheus/latest/querying/functions/#increase

    Args:
        url: base address of the HTTP API, without ``/api/v1``.
        requests_metric: counter of requests; its ``status_label`` holds the HTTP status.
        duration_metric: histogram in seconds, without ``_bucket``.
        service_label: label whose value is the service's name.
        version_label: label whose value is the pod-template hash; None: versions can't be told apart.
        scrape_interval: how often the server takes samples.
        timeout: for one query, its retries included.
        transport: the network's place, for tests; None: the real one.

    Raises:
        MeasurementError: a name that is none in Prometheus' grammar, and so could change the query.
    """

    def __init__(
        self,
        url: str,
        *,
        requests_metric: str = "http_requests_total",
        duration_metric: str = "http_request_duration_seconds",
        service_label: str = "service",
        status_label: str = "status",
        version_label: str | None = None,
        scrape_interval: timedelta,
        timeout: timedelta,
        clock: Clock,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self._requests = _checked(requests_metric, _METRIC)
        self._duration = _checked(duration_metric, _METRIC)
        self._status_label = _checked(status_label, _LABEL)
        self._service_label = _checked(service_label, _LABEL)
        self._version_label = None if version_label is None else _checked(version_label, _LABEL)
        self._scrape_interval = scrape_interval
        http = Http(url, service="Prometheus", clock=clock, timeout=timeout, transport=transport)
        self._api = Api(http, timeout)

    @property
    def scrape_interval(self) -> timedelta:
        """How often the server takes samples."""
        return self._scrape_interval

    @property
    def tells_versions_apart(self) -> bool:
        """Whether a version has series of its own."""
        return self._version_label is not None

    def now(self) -> datetime:
        """Return the server's own time."""
        result = self._api.ask("time()", None).get("result")
        try:
            return time_of(float(result[1]))  # type: ignore[index]  # what is no pair is an error here
        except (TypeError, ValueError, IndexError) as error:
            raise Faulted(f"Prometheus answered time() with {str(result)[:100]!r}") from error

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
        look = Look(
            api=self._api,
            at=at,
            window_s=window_s,
            selector=self._selector(subject),
            target_labels=(*_TARGET_LABELS, *filter(None, [self._version_label])),
            scrape_interval=self._scrape_interval,
        )
        if objective.kind is Kind.ERROR_RATE:
            metric = self._requests
            total, bad, value = look.error_rate(metric, self._status_label)
        else:
            metric = f"{self._duration}_count"
            total, bad, value = look.latency(f"{self._duration}_bucket", objective)
        newest = look.newest(metric)
        return Reading(
            since=since,
            at=at,
            # The server looks back up to 5 minutes for a sample; one from before the window is not behind this.
            newest=newest if newest is not None and newest >= since else None,
            total=total,
            bad=bad,
            value=value,
            queries=tuple(look.queries),
            problem="; ".join(dict.fromkeys(look.warnings)),
        )

    def _selector(self, subject: Subject) -> dict[str, str]:
        matchers = {self._service_label: literal(subject.service)}
        if self._version_label is not None and subject.template_hash is not None:
            matchers[self._version_label] = literal(subject.template_hash)
        return matchers


def _checked(name: str, grammar: re.Pattern[str]) -> str:
    if not grammar.fullmatch(name):
        raise MeasurementError(f"{name!r} is no name in Prometheus", hint="correct it in metrics.prometheus")
    return name
