"""Datadog's metrics queries, either version: texts go out, one series comes back for each."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, NoReturn, Protocol

from pytest_deploy.adapters.vendor_series import Series
from pytest_deploy.errors import Faulted, MeasurementError
from pytest_deploy.io.http import Http

__all__ = ["V1", "V2", "Api"]


class Api(Protocol):
    """Asks for several queries at once."""

    def ask(self, texts: Sequence[str], since: datetime, until: datetime, interval: timedelta) -> list[Series | None]:
        """Return the series of each text, in order; None where there is none.

        Args:
            interval: wanted; what came is in each series.

        Raises:
            MeasurementError: Datadog can't parse a query.
            Unreachable, Throttled, Rejected: there is no answer.
            Faulted: one that makes no sense, or several series for one text.
        """
        ...


class V1:
    """``GET /api/v1/query``: one query a request, at the interval that Datadog chooses.

    https://docs.datadoghq.com/api/latest/metrics/query-timeseries-points/
    """

    def __init__(self, http: Http) -> None:
        self._http = http

    def ask(
        self,
        texts: Sequence[str],
        since: datetime,
        until: datetime,
        interval: timedelta,  # noqa: ARG002 - this version has no such parameter: .rollup() in the text sets it
    ) -> list[Series | None]:
        """Return the series of each text, as ``Api`` says."""
        return [self._one(text, since, until) for text in texts]

    def _one(self, text: str, since: datetime, until: datetime) -> Series | None:
        params = {"from": str(math.floor(since.timestamp())), "to": str(math.ceil(until.timestamp())), "query": text}
        answer = self._http.get("/api/v1/query", params, accept=(400,))
        body = _object(answer.body, text)
        if answer.status == 400 or body.get("status") != "ok" or body.get("error"):
            _fail(self._http, text, answer.status, body.get("error") or body.get("errors"))
        found = _sensible(text, lambda: [self._series(each) for each in body["series"]])
        return _only(text, found)

    def _series(self, each: Mapping[str, Any]) -> tuple[str, Series]:
        interval = timedelta(seconds=float(each["interval"]))
        if interval <= timedelta():
            raise ValueError
        points = {_time(ms): float(value) for ms, value in each["pointlist"] if _known(value)}
        return str(each.get("scope", "")), Series(points=points, interval=interval)


class V2:
    """``POST /api/v2/query/timeseries``: all queries in one request, at one interval.

    The interval of the answer is not in it, and may be larger than what was asked for; so it is taken to be the
    shortest time between two points of any of its series.
    https://docs.datadoghq.com/api/latest/metrics/query-timeseries-data-across-multiple-products/
    """

    def __init__(self, http: Http) -> None:
        self._http = http

    def ask(self, texts: Sequence[str], since: datetime, until: datetime, interval: timedelta) -> list[Series | None]:
        """Return the series of each text, as ``Api`` says."""
        asked = "; ".join(texts)
        names = [f"q{index}" for index in range(len(texts))]
        queries = [
            {"data_source": "metrics", "name": name, "query": text} for name, text in zip(names, texts, strict=True)
        ]
        attributes = {
            "from": math.floor(since.timestamp()) * 1000,
            "to": math.ceil(until.timestamp()) * 1000,
            "interval": round(interval.total_seconds() * 1000),
            "queries": queries,
            "formulas": [{"formula": name} for name in names],
        }
        request: Any = {"data": {"type": "timeseries_request", "attributes": attributes}}
        answer = self._http.post("/api/v2/query/timeseries", request, accept=(400,))
        body = _object(answer.body, asked)
        if answer.status == 400 or body.get("errors"):
            _fail(self._http, asked, answer.status, body.get("errors"))
        found = _sensible(asked, lambda: self._found(body["data"]["attributes"], interval))
        return [_only(text, [s for at, *s in found if at == index]) for index, text in enumerate(texts)]

    def _found(self, attributes: Mapping[str, Any], asked: timedelta) -> list[tuple[int, str, Series]]:
        times = [_time(ms) for ms in attributes["times"]]
        interval = min((late - early for early, late in pairwise(sorted(times))), default=asked)
        if interval <= timedelta():
            raise ValueError
        found = []
        for each, values in zip(attributes["series"], attributes["values"], strict=True):
            points = {at: float(value) for at, value in zip(times, values, strict=True) if _known(value)}
            scope = ",".join(each.get("group_tags") or ())
            found.append((int(each.get("query_index", 0)), scope, Series(points=points, interval=interval)))
        return found


def _only(text: str, found: Sequence[Sequence[Any]]) -> Series | None:
    if len(found) > 1:
        scopes = ", ".join(repr(scope) for scope, _ in found[:5])
        raise Faulted(
            f"Datadog answered with {len(found)} series where one was expected ({scopes}), to: {text}",
            hint="aggregate it with sum: and without a by {...}",
        )
    return found[0][1] if found else None


def _sensible(text: str, parse: Callable[[], Any]) -> Any:
    try:
        return parse()
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise Faulted(f"Datadog answered with a result that is no time series, to: {text}") from error


def _object(body: object, text: str) -> Mapping[str, Any]:
    if not isinstance(body, dict):
        raise Faulted(f"Datadog answered with {type(body).__name__}, not with an object, to: {text}")
    return body


def _fail(http: Http, text: str, status: int, said: object) -> NoReturn:
    words = "; ".join(str(each) for each in said) if isinstance(said, list) else str(said or "no words")
    words = http.hidden(" ".join(words.split())[:300])
    if status == 400 or "pars" in words.lower():
        raise MeasurementError(
            f"Datadog can't evaluate {text}: {words}", hint="correct the query in metrics.datadog or metrics.queries"
        )
    raise Faulted(f"Datadog did not evaluate {text}: {words}")


def _known(value: object) -> bool:
    return value is not None and math.isfinite(float(value))  # type: ignore[arg-type]  # what is no number is an error


def _time(ms: float) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
