"""Metrics from CloudWatch: counts by period, from metrics or expressions that the team has named."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

from pytest_deploy.adapters.cloudwatch_api import Api, Expression, Found, Metric
from pytest_deploy.adapters.vendor_series import Counts, Series, Window, error_rate, latency, named, of_number
from pytest_deploy.adapters.vendor_text import fill, names_version
from pytest_deploy.domain.measurement import Kind, Objective, Reading, Subject
from pytest_deploy.domain.query import Query
from pytest_deploy.errors import MeasurementError

if TYPE_CHECKING:
    from pytest_deploy.ports import Clock

__all__ = ["CloudWatch"]

_NOBODYS = Metric(namespace="pytest-deploy", metric="clock", dimensions={}, stat="Sum")
"""A metric that need not exist: its answer is empty, and has the time."""
_MINUTE = timedelta(minutes=1)
_FINE = timedelta(hours=3)
"""For so long CloudWatch keeps points of less than a minute."""
_RECENT = timedelta(hours=1)
_LONG = timedelta(days=14)
"""How long errors are looked for before the deploy; with a period of 60 s CloudWatch keeps 15 days."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_LATENCY: Mapping[float, Metric | Expression] = MappingProxyType({})
_NO_QUERIES: Mapping[str, Query] = MappingProxyType({})


class CloudWatch:
    """Port ``Metrics``.

    Where a latency is a metric, its ``SampleCount`` and ``TC(limit:)`` count its requests and those that were slower
    than the limit, exactly, as the lower bound is not in it:
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Statistics-definitions.html
    CloudWatch has them only of metrics whose raw values were published, no statistic sets; where a period has requests
    and no such count the percentile alone is known, and the rule ``contract`` judges it. An expression yields the
    percentile alone, too.

    Args:
        region: such as ``eu-west-1``.
        requests, errors: yield counts, one series each.
        latency: by quantile (0.95), the metric with that percentile as its statistic, or an expression.
        latency_unit: what the latency's 1 is.
        queries: the named ones, each an expression. All texts and dimensions may hold the tokens of ``Query``; for the
            whole service a dimension with ``{version}`` is left out, as the metric without it is another one.
        period: what one point stands for: 1, 5, 10, 20, 30 or a multiple of 60 s.
        delay: points younger than this may still grow, so that the window ends before them.
        timeout: for one request, its retries included.
        endpoint_url: None: AWS's own.
        client: what answers ``get_metric_data``, for tests; None: boto3's.
    """

    def __init__(
        self,
        region: str,
        *,
        requests: Metric | Expression,
        errors: Metric | Expression,
        latency: Mapping[float, Metric | Expression] = _NO_LATENCY,
        latency_unit: timedelta = timedelta(seconds=1),
        queries: Mapping[str, Query] = _NO_QUERIES,
        period: timedelta,
        delay: timedelta,
        timeout: timedelta,
        clock: Clock,
        endpoint_url: str | None = None,
        client: object | None = None,
    ) -> None:
        self._requests, self._errors, self._latency = requests, errors, latency
        self._unit_s = latency_unit.total_seconds()
        self._queries = queries
        self._period, self._delay, self._clock = period, delay, clock
        self._api = Api(region, endpoint_url=endpoint_url, timeout=timeout, clock=clock, client=client)

    @property
    def scrape_interval(self) -> timedelta:
        """What one point stands for: between two of them nothing is known."""
        return self._period

    @property
    def tells_versions_apart(self) -> bool:
        """Whether the counts and percentiles ask for ``{version}``, all of them."""
        return all(map(_of_version, (self._requests, self._errors, *self._latency.values())))

    def now(self) -> datetime:
        """Return CloudWatch's own time, to the second: the Date header of an answer."""
        end = _grid(self._clock.now(), self._period, up=False)
        return self._api.ask([_NOBODYS], end - self._period, end, self._period).server_time

    def read(self, objective: Objective, subject: Subject, since: datetime) -> Reading:
        """Return the counts of the whole periods from ``since`` until ``delay`` before CloudWatch's now.

        Raises:
            Unreachable, Throttled, Rejected, Faulted: there is no answer, or none that makes sense.
            MeasurementError: the query is wrong, it can never yield evidence.
            ConfigError: boto3 is not installed.
        """
        now = self.now()
        window = Window(since=since, at=max(since, now - self._delay))
        queries = self._filled(objective, subject, window.at - since)
        words = tuple(query.words for query in queries)
        period = self._period
        if now - since > _FINE:
            period = max(period, _MINUTE)
        first, end = _grid(since, period, up=True), _grid(window.at, period, up=False)
        if first >= end:
            return Reading(since=since, at=window.at, newest=None, total=None, bad=None, value=None, queries=words)
        found = fresh = self._api.ask(queries, first, end, period)
        if period != self._period:  # a minute's end may be too old to count as fresh
            end = _grid(window.at, self._period, up=False)
            fresh = self._api.ask(queries[:1], end - _RECENT, end, self._period)
        counts = self._counted(objective, window, found)
        return Reading(
            since=since,
            at=window.at,
            newest=window.newest(fresh.series[0]),
            total=counts.total,
            bad=counts.bad,
            value=counts.value,
            queries=words,
            problem="; ".join(filter(None, [found.problem, counts.problem])),
            neighbours=counts.neighbours,
        )

    def problems(self, objective: Objective, subject: Subject) -> Sequence[str]:
        """Return what would keep this objective from ever being judged, each with its mend; ``note: `` only blunts.

        Raises:
            Unreachable, Throttled, Rejected, Faulted: there is no answer, or none that makes sense.
        """
        end = _grid(self.now(), _MINUTE, up=False)
        try:
            queries = self._filled(objective, subject, _RECENT)
            found = self._api.ask(queries, end - _RECENT, end, self._period)
        except MeasurementError as error:
            return [" ".join(str(error).split())]
        errors = objective.kind in {Kind.ERROR_RATE, Kind.AVAILABILITY}
        silent = [q for q, series in zip(queries, found.series, strict=True) if series is None or not series.points]
        told = [
            f"no point of {subject.service} in the last hour, see whether name and dimensions are right: {query.words}"
            for query in silent
            if query in queries[: 1 if errors else 2]
        ]
        if errors and queries[1] in silent:
            (long,) = self._api.ask(queries[1:], end - _LONG, end, _RECENT).series
            if long is None or not long.points:
                what = f"no error in {_LONG.days} days, a wrong name or dimension would look the same"
                told.append(f"note: {what}: {queries[1].words}")
        if objective.kind is Kind.LATENCY and len(queries) == 2:
            told.append("note: of an expression only the percentile is known; a metric's slow requests are counted")
        if objective.kind is Kind.LATENCY and queries[2:] and queries[2] in silent:
            told.append(
                "note: CloudWatch does not count the slow requests, as it has no raw values of this metric, so "
                f"percentiles alone are judged: {queries[2].words}"
            )
        return [*told, *([f"the answer is not whole: {found.problem}"] if found.problem else [])]

    def _filled(self, objective: Objective, subject: Subject, span: timedelta) -> tuple[Metric | Expression, ...]:
        """Return the queries, that of the requests (or the named one) first."""
        window_s = max(1, round(span.total_seconds()))
        return tuple(_filled(query, subject, window_s) for query in self._wanted(objective))

    def _wanted(self, objective: Objective) -> tuple[Metric | Expression, ...]:
        if objective.kind in {Kind.ERROR_RATE, Kind.AVAILABILITY}:
            return self._requests, self._errors
        if objective.kind is Kind.LATENCY:
            found = of_number(self._latency, objective.quantile)
            if found is None:
                raise MeasurementError(
                    f"there is no query for the {objective.name}", hint="add it to metrics.cloudwatch.latency"
                )
            if isinstance(found, Expression):
                return self._requests, found
            slower = f"TC({objective.limit / self._unit_s:.10g}:)"
            return replace(found, stat="SampleCount"), found, replace(found, stat=slower)
        if objective.kind is not Kind.QUERY:
            raise MeasurementError(f"CloudWatch can't answer for a {objective.kind.value}: {objective.name!r}")
        if objective.subject not in self._queries:
            known = ", ".join(sorted(self._queries)) or "none"
            raise MeasurementError(
                f"there is no query {objective.subject!r}; known: {known}", hint="add it to metrics.queries"
            )
        return (Expression(expression=self._queries[objective.subject].text),)

    def _counted(self, objective: Objective, window: Window, found: Found) -> Counts:
        series = found.series
        if objective.kind is Kind.QUERY:
            return named(window, series[0])
        if objective.kind is not Kind.LATENCY:
            return error_rate(window, series[0], series[1])
        percentile = series[1]
        if percentile is not None:
            points = {at: value * self._unit_s for at, value in percentile.points.items()}
            percentile = Series(points=points, interval=percentile.interval)
        slow: dict[float, Series | None] = {}
        if len(series) > 2:
            requests, slower = window.cut(series[0]), window.cut(series[2])
            # A period without this count has no raw values: what is missing is not 0 slow requests.
            slow[objective.limit] = series[2] if requests.keys() <= slower.keys() else None
        return latency(window, series[0], percentile, slow, objective)


def _grid(at: datetime, period: timedelta, *, up: bool) -> datetime:
    """Return the period's next, or last, beginning: other times are rounded by CloudWatch."""
    periods = (at - _EPOCH) / period
    return _EPOCH + period * (math.ceil(periods) if up else math.floor(periods))


def _of_version(query: Metric | Expression) -> bool:
    if isinstance(query, Expression):
        return names_version(query.expression)
    return any(map(names_version, query.dimensions.values()))


def _filled(query: Metric | Expression, subject: Subject, window_s: int) -> Metric | Expression:
    if isinstance(query, Expression):
        return Expression(expression=fill(query.expression, subject, window_s=window_s))
    whole_service = subject.template_hash is None
    dimensions = {
        name: fill(value, subject, window_s=window_s)
        for name, value in query.dimensions.items()
        if not (whole_service and names_version(value))
    }
    return replace(query, dimensions=dimensions)
