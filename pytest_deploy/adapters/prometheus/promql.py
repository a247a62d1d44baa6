"""PromQL: instant queries of Prometheus' HTTP API, and the look that one reading is made of."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pytest_deploy.errors import Faulted, MeasurementError, Rejected
from pytest_deploy.io.http import Http

__all__ = ["Api", "Look", "literal", "time_of"]


class Api:
    """Instant queries, and the rules that the server evaluates.

    Args:
        timeout: for one query, as the server is told.
    """

    def __init__(self, http: Http, timeout: timedelta) -> None:
        self._http = http
        self._timeout = timeout

    def ask(self, query: str, at: datetime | None) -> dict[str, Any]:
        """Return ``data`` of an instant query, with the answer's ``warnings`` in it.

        Args:
            at: evaluation time; None: the server's now.

        Raises:
            MeasurementError: the server can't parse the query.
            Unreachable, Throttled, Rejected, Faulted: there is no answer, or none that makes sense.
        """
        params = {"query": query, "timeout": f"{self._timeout.total_seconds():g}s"}
        if at is not None:
            params["time"] = f"{at.timestamp():.3f}"
        return self._data("/api/v1/query", params, query)

    def alerting_groups(self) -> Sequence[Mapping[str, Any]]:
        """Return the groups of rules, of which only alerting ones are in them.

        https://prometheus.io/docs/prometheus/latest/querying/api/#rules
        """
        groups = self._data("/api/v1/rules", {"type": "alert"}, "the list of rules").get("groups")
        if not isinstance(groups, list) or not all(isinstance(group, dict) for group in groups):
            raise Faulted("Prometheus answered without groups to: the list of rules")
        return groups

    def _data(self, path: str, params: Mapping[str, str], asked: str) -> dict[str, Any]:
        answer = self._http.get(path, params, accept=(400, 422))
        body: Any = answer.body
        if not isinstance(body, dict):
            raise Faulted(f"Prometheus answered with {type(body).__name__}, not with an object, to: {asked}")
        if answer.status != 200 or body.get("status") != "success":
            text = f"{body.get('errorType', 'no type')}: {str(body.get('error', 'no words'))[:300]}"
            said = self._http.hidden(text)
            if body.get("errorType") == "bad_data":
                raise MeasurementError(
                    f"Prometheus can't evaluate {asked}: {said}", hint="correct the names or the query in metrics"
                )
            error = Rejected if answer.status == 422 else Faulted
            raise error(f"Prometheus did not evaluate {asked}: {said}")
        data = body.get("data")
        if not isinstance(data, dict):
            raise Faulted(f"Prometheus answered without data to: {asked}")
        return {**data, "warnings": _incomplete(body)}


@dataclass(kw_only=True)
class Look:
    """The queries of one reading: one window, one timestamp.

    Args:
        selector: matchers of the series that are read, each as it stands between the braces.
        target_labels: tell which process a series is of.
    """

    api: Api
    at: datetime
    window_s: int
    selector: tuple[str, ...]
    target_labels: tuple[str, ...]
    scrape_interval: timedelta
    queries: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def window(self) -> str:
        """The window as PromQL writes it."""
        return f"{self.window_s}s"

    def series(self, metric: str, *more: str) -> str:
        """Return the selector of a metric's series, of those with more matchers only where there are any."""
        return f"{metric}{{{','.join([*self.selector, *more])}}}"

    def newest(self, series: str) -> datetime | None:
        """Return the time of the newest sample of these series; None when there is none.

        A target that stopped answering has no instant value any more, so its last samples are searched for.
        """
        found = self.one(f"max(timestamp({series}))")
        if found is None:
            step_s = max(1, math.floor(self.scrape_interval.total_seconds()))
            found = self.one(f"max(max_over_time(timestamp({series})[{self.window}:{step_s}s]))")
        return None if found is None else time_of(found)

    def one(self, query: str) -> float | None:
        """Return the only value of a query that yields at most one; None: no series, or no finite value."""
        vector = self.vector(query)
        if len(vector) > 1:
            raise Faulted(f"Prometheus answered with {len(vector)} series where one was expected, to: {query}")
        return vector[0][1] if vector else None

    def vector(self, query: str) -> list[tuple[Mapping[str, str], float | None]]:
        """Return labels and value of each series; None where it is not finite."""
        try:
            return [(labels, _finite(item["value"][1])) for labels, item in self.answer(query)]
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise Faulted(f"Prometheus answered with a result that is no vector, to: {query}") from error

    def answer(self, query: str) -> list[tuple[Mapping[str, str], Mapping[str, Any]]]:
        """Return labels and the whole item of each series; a scalar is a series without labels."""
        self.queries.append(query)
        data = self.api.ask(query, self.at)
        self.warnings += [str(warning)[:300] for warning in data["warnings"]]
        try:
            if data.get("resultType") == "scalar":
                return [({}, {"value": data["result"]})]
            return [(item["metric"], item) for item in data["result"]]
        except (KeyError, TypeError) as error:
            raise Faulted(f"Prometheus answered with a result that is no vector, to: {query}") from error


def literal(text: str) -> str:
    """Return a PromQL string; its escapes are Go's, and JSON's are a part of them.

    https://prometheus.io/docs/prometheus/latest/querying/basics/#string-literals
    """
    return json.dumps(text, ensure_ascii=False)


def time_of(seconds: float) -> datetime:
    """Return a server's time as a value."""
    return datetime.fromtimestamp(seconds, UTC)


def _incomplete(body: Mapping[str, Any]) -> list[str]:
    """Why this is no whole answer, in the words of whichever server speaks this API.

    Prometheus and Thanos have ``warnings``, VictoriaMetrics ``isPartial``, others ``partialResponse``
    (https://docs.victoriametrics.com/victoriametrics/cluster-victoriametrics/#cluster-availability,
    https://thanos.io/tip/components/query.md/#partial-response). Remarks on a query are none: Prometheus has them in
    ``infos``, before 2.54 among the warnings.
    """
    warnings = body.get("warnings")
    found = [str(each) for each in warnings] if isinstance(warnings, list) else []
    found = [each for each in found if not each.startswith("PromQL info:")]
    return found + [f"the answer is partial ({key})" for key in ("isPartial", "partialResponse") if body.get(key)]


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None
