"""PromQL: instant queries of Prometheus' HTTP API, and the look that one reading is made of."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pytest_deploy.domain.measurement import Objective
from pytest_deploy.errors import Faulted, MeasurementError
from pytest_deploy.io.http import Http

__all__ = ["Api", "Look", "literal", "time_of"]

_ERROR = re.compile("5..")
"""The statuses that are errors; the pattern is the same in PromQL, which anchors it."""


class Api:
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
class Look:
    """The queries of one reading: one window, one timestamp."""

    api: Api
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
        return None if found is None else time_of(found)

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


def literal(text: str) -> str:
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


def time_of(seconds: float) -> datetime:
    """Return a server's time as a value."""
    return datetime.fromtimestamp(seconds, UTC)
