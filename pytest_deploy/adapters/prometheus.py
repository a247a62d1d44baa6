"""Metrics from Prometheus, or anything that speaks its HTTP API: counts, each reading at one server time."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

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
_ERROR = re.compile("5..")
"""The statuses that are errors; the pattern is the same in PromQL, which anchors it."""
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
        self._api = _Api(http, timeout)

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
            return _time(float(result[1]))  # type: ignore[index]  # what is no pair is an error here
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
        look = _Look(
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
        matchers = {self._service_label: _literal(subject.service)}
        if self._version_label is not None and subject.template_hash is not None:
            matchers[self._version_label] = _literal(subject.template_hash)
        return matchers


class _Api:
    """Instant queries."""

    def __init__(self, http: Http, timeout: timedelta) -> None:
        self._http = http
        self._timeout = timeout

    def ask(self, query: str, at: datetime | None) -> dict[str, Any]:
        """Return ``data`` of an instant query, with the answer's ``warnings`` in it.

        Args:
            at: evaluation time; None: the server's now.
        """
        params = {"query": query, "timeout": f"{self._timeout.total_seconds():g}s"}
        if at is not None:
            params["time"] = f"{at.timestamp():.3f}"
        answer = self._http.get("/api/v1/query", params, accept=(400,))
        body: Any = answer.body
        if not isinstance(body, dict):
            raise Faulted(f"Prometheus answered with {type(body).__name__}, not with an object, to: {query}")
        if answer.status == 400 or body.get("status") != "success":
            said = f"{body.get('errorType', 'no type')}: {str(body.get('error', 'no words'))[:300]}"
            if body.get("errorType") == "bad_data":
                raise MeasurementError(
                    f"Prometheus can't evaluate {query}: {said}", hint="correct the names in metrics.prometheus"
                )
            raise Faulted(f"Prometheus did not evaluate {query}: {said}")
        data = body.get("data")
        if not isinstance(data, dict):
            raise Faulted(f"Prometheus answered without data to: {query}")
        warnings = body.get("warnings")
        return {**data, "warnings": warnings if isinstance(warnings, list) else []}


@dataclass(kw_only=True)
class _Look:
    """The queries of one reading: one window, one timestamp."""

    api: _Api
    at: datetime
    window_s: int
    selector: dict[str, str]
    target_labels: tuple[str, ...]
    scrape_interval: timedelta
    queries: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def error_rate(self, metric: str, status_label: str) -> tuple[float | None, float | None, float | None]:
        """Return total, bad and ratio."""
        every, w = self._series(metric), f"[{self.window_s}s]"
        errors = self._series(metric, f'{status_label}=~"{_ERROR.pattern}"')
        shown = f"sum(rate({errors}{w})) / sum(rate({every}{w}))"
        ratio = self._one(shown)
        grown = self._by_status(f"increase({every}{w})", status_label)
        if not grown:
            return None, None, None
        if not any(grown):
            raise MeasurementError(
                f"{every} has series, but none has a label {status_label!r}: errors can't be told from successes",
                hint="set metrics.prometheus.status_label to the label that holds the HTTP status",
            )
        born = self._by_status(self._born(every), status_label)
        counts = [*grown.items(), *born.items()]
        total = math.fsum(count for _, count in counts)
        bad = math.fsum(count for status, count in counts if _ERROR.fullmatch(status))
        value = bad / total if total > 0 else None
        if any(born.values()) and value is not None and not math.isclose(value, ratio or 0.0, rel_tol=1e-6):
            answer = "nothing" if ratio is None else f"{ratio:.6g}"
            self.queries[0] = f"{shown}  # answers {answer}; counted with the first values of new series: {value:.6g}"
        return total, bad, value

    def latency(self, metric: str, objective: Objective) -> tuple[float | None, float | None, float | None]:
        """Return total, those slower than the limit, and the quantile."""
        if objective.quantile is None:
            raise MeasurementError("a latency is judged by a quantile, and this objective names none")
        series = self._series(metric)
        w = f"[{self.window_s}s]"
        value = self._one(f"histogram_quantile({objective.quantile:g}, sum by (le) (rate({series}{w})))")
        # Bounds are compared as numbers: Prometheus 3 writes le="1.0" where 2 wrote le="1".
        buckets: dict[float, float] = {}
        for labels, count in self._vector(f"sum by (le) (increase({series}{w}))"):
            bound = _number(labels.get("le", ""))
            if bound is not None and count is not None:
                buckets[bound] = buckets.get(bound, 0.0) + count
        if not buckets:
            return None, None, None
        total = buckets.get(math.inf)
        if total is None:
            raise MeasurementError(
                f'{series} has no bucket le="+Inf": it is no histogram',
                hint="correct metrics.prometheus.duration_metric",
            )
        fast = next((n for bound, n in buckets.items() if math.isclose(bound, objective.limit, rel_tol=1e-9)), None)
        return total, None if fast is None else max(0.0, total - fast), value

    def newest(self, metric: str) -> datetime | None:
        """Return the time of the newest sample; None when there is none.

        A target that stopped answering has no instant value any more, so its last samples are searched for.
        """
        series = self._series(metric)
        found = self._one(f"max(timestamp({series}))")
        if found is None:
            step_s = max(1, math.floor(self.scrape_interval.total_seconds()))
            found = self._one(f"max(max_over_time(timestamp({series})[{self.window_s}s:{step_s}s]))")
        return None if found is None else _time(found)

    def _born(self, every: str) -> str:
        """Return the query for the first values of series born in the window on a target that had samples before.

        All series of one scrape have one timestamp: what comes back after an outage is no later than its target.
        """
        window, step = f"{self.window_s}s", f"{max(1, self.scrape_interval // timedelta(milliseconds=2))}ms"
        first = f"min_over_time(timestamp({every})[{window}:{step}]) or timestamp({every})"
        target = ", ".join(self.target_labels)
        return (
            f"(min_over_time({every}[{window}]) unless {every} offset {window}) and (({first}) > on ({target}) "
            f"group_left () min by ({target}) (timestamp({every} offset {window}) or {first}))"
        )

    def _by_status(self, counters: str, status_label: str) -> dict[str, float]:
        """Return the sum of the counters by status, which is "" where there is none; {}: no series."""
        query = f"sum by ({status_label}) ({counters})"
        counts: dict[str, float] = {}
        for labels, count in self._vector(query):
            if count is None or count < 0:
                raise Faulted(f"Prometheus answered with a value that is no count, to: {query}")
            counts[labels.get(status_label, "")] = count
        return counts

    def _series(self, metric: str, *more: str) -> str:
        matchers = [f"{label}={value}" for label, value in self.selector.items()]
        return f"{metric}{{{','.join([*matchers, *more])}}}"

    def _one(self, query: str) -> float | None:
        """Return the only value of a query that yields at most one; None: no series, or no finite value."""
        vector = self._vector(query)
        if len(vector) > 1:
            raise Faulted(f"Prometheus answered with {len(vector)} series where one was expected, to: {query}")
        return vector[0][1] if vector else None

    def _vector(self, query: str) -> list[tuple[Mapping[str, str], float | None]]:
        self.queries.append(query)
        data = self.api.ask(query, self.at)
        self.warnings += [str(warning)[:300] for warning in data["warnings"]]
        try:
            return [(item["metric"], _finite(item["value"][1])) for item in data["result"]]
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise Faulted(f"Prometheus answered with a result that is no vector, to: {query}") from error


def _checked(name: str, grammar: re.Pattern[str]) -> str:
    if not grammar.fullmatch(name):
        raise MeasurementError(f"{name!r} is no name in Prometheus", hint="correct it in metrics.prometheus")
    return name


def _literal(text: str) -> str:
    """Return a PromQL string; its escapes are Go's, and JSON's are a part of them.

    https://prometheus.io/docs/prometheus/latest/querying/basics/#string-literals
    """
    return json.dumps(text, ensure_ascii=False)


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
