"""Metrics from Datadog: counts by interval, from queries that the team has written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from pytest_deploy.adapters.datadog_api import V1, V2, Api
from pytest_deploy.adapters.vendor_series import Counts, Series, Window, error_rate, latency, named, of_number
from pytest_deploy.adapters.vendor_text import fill, names_version
from pytest_deploy.domain.measurement import Kind, Objective, Reading, Subject
from pytest_deploy.domain.query import Query
from pytest_deploy.errors import Faulted, MeasurementError
from pytest_deploy.io.http import Http

if TYPE_CHECKING:
    import httpx2

    from pytest_deploy.ports import Clock

__all__ = ["Datadog"]

_AHEAD = timedelta(seconds=10)
"""An interval that begins this much after our now was filled by a clock that is ahead of ours. With intervals of 20 s
that finds each clock that is 30 s behind."""
_LOOK_AHEAD = timedelta(minutes=2)
_FINE = timedelta(hours=1)
"""Up to here Datadog's points stand for 20 s: https://docs.datadoghq.com/dashboards/functions/rollup/"""
_LONG = timedelta(days=14)
"""How long errors are looked for before the deploy; arbitrary: two weeks hold every weekly job."""
_NO_TEXTS: Mapping[float, str] = MappingProxyType({})
_NO_QUERIES: Mapping[str, Query] = MappingProxyType({})


class Datadog:
    """Port ``Metrics``.

    The time is this machine's: Datadog's answers hold none. A clock that is behind is found by intervals that begin
    in its future (refused as a fault), one that is ahead by samples that look old (no data); neither can pass.

    A percentile has no count beside it unless ``slow`` gives one: the rule ``contract`` judges it then.

    Args:
        url: address of the API of the site, such as ``https://api.datadoghq.com``.
        api_key, app_key: sent as headers; in no error and no repr.
        requests, errors: queries of counts (``.as_count()``), which yield one series.
        latency: by quantile (0.95), a query of that percentile.
        slow: by a bound in seconds, a query that counts the requests that took longer.
        latency_unit: what a percentile's 1 is.
        queries: the named ones. All these texts may hold the tokens of ``Query``; for the whole service ``{version}``
            is ``*``.
        api: which of the two metrics queries is asked.
        interval: what one point stands for.
        delay: points younger than this may still grow, so that the window ends before them.
        timeout: for one request, its retries included.
        transport: the network's place, for tests; None: the real one.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str,
        app_key: str,
        requests: str,
        errors: str,
        latency: Mapping[float, str] = _NO_TEXTS,
        slow: Mapping[float, str] = _NO_TEXTS,
        latency_unit: timedelta = timedelta(seconds=1),
        queries: Mapping[str, Query] = _NO_QUERIES,
        api: Literal["v1", "v2"] = "v2",
        interval: timedelta,
        delay: timedelta,
        timeout: timedelta,
        clock: Clock,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self._requests, self._errors = requests, errors
        self._latency, self._slow, self._unit_s = latency, slow, latency_unit.total_seconds()
        self._queries = queries
        self._interval, self._delay, self._clock = interval, delay, clock
        headers = {"DD-API-KEY": api_key, "DD-APPLICATION-KEY": app_key}
        http = Http(url, service="Datadog", clock=clock, timeout=timeout, headers=headers, transport=transport)
        self._api: Api = V1(http) if api == "v1" else V2(http)

    @property
    def scrape_interval(self) -> timedelta:
        """What one point stands for: between two of them nothing is known."""
        return self._interval

    @property
    def tells_versions_apart(self) -> bool:
        """Whether the counts and percentiles ask for ``{version}``, all of them."""
        texts = (self._requests, self._errors, *self._latency.values(), *self._slow.values())
        return all(map(names_version, texts))

    def now(self) -> datetime:
        """Return this machine's time; see the class."""
        return self._clock.now()

    def read(self, objective: Objective, subject: Subject, since: datetime) -> Reading:
        """Return the counts of the whole intervals from ``since`` until ``delay`` before now.

        Raises:
            Unreachable, Throttled, Rejected, Faulted: there is no answer, or none that makes sense.
            MeasurementError: the query is wrong, it can never yield evidence.
        """
        now = self.now()
        window = Window(since=since, at=max(since, now - self._delay))
        texts = self._texts(objective, subject, window.at - since)
        series = self._ask(texts, since, now)
        fresh = series[0]
        if window.at - since > _FINE:  # long windows come in points of minutes or hours
            fresh = self._ask(texts[:1], now - _FINE, now)[0]
        counts = self._counted(objective, window, series)
        return Reading(
            since=since,
            at=window.at,
            newest=window.newest(fresh),
            total=counts.total,
            bad=counts.bad,
            value=counts.value,
            queries=texts,
            problem=counts.problem,
            neighbours=counts.neighbours,
        )

    def problems(self, objective: Objective, subject: Subject) -> Sequence[str]:
        """Return what would keep this objective from ever being judged, each with its mend; ``note: `` only blunts.

        Raises:
            Unreachable, Throttled, Rejected, Faulted: there is no answer, or none that makes sense.
        """
        now = self.now()
        try:
            texts = self._texts(objective, subject, _FINE)
            series = self._ask(texts, now - _FINE, now)
        except MeasurementError as error:
            return [" ".join(str(error).split())]
        needed = 1 if objective.kind in {Kind.ERROR_RATE, Kind.AVAILABILITY} else 2
        silent = [text for text, each in zip(texts, series, strict=True) if _empty(each)]
        found = [
            f"no point of {subject.service} in the last hour, see whether metric and tags are right: {text}"
            for text in silent
            if text in texts[:needed]
        ]
        if objective.kind is Kind.LATENCY:
            return [*found, *self._uncounted(objective)]
        if texts[1:] and texts[1] in silent and _empty(self._ask(texts[1:], now - _LONG, now)[0]):
            found.append(f"note: no error in {_LONG.days} days, a wrong metric or tag would look the same: {texts[1]}")
        return found

    def _uncounted(self, objective: Objective) -> list[str]:
        if of_number(self._slow, objective.limit) is not None:
            return []
        key = f"{objective.limit:g} s"
        return [f'note: no query counts the requests slower than {key}: add "{key}" to metrics.datadog.slow for proof']

    def _texts(self, objective: Objective, subject: Subject, span: timedelta) -> tuple[str, ...]:
        """Return the queries, that of the requests (or the named one) first."""
        window_s = max(1, round(span.total_seconds()))
        return tuple(fill(text, subject, window_s=window_s, any_version="*") for text in self._wanted(objective))

    def _wanted(self, objective: Objective) -> tuple[str, ...]:
        if objective.kind in {Kind.ERROR_RATE, Kind.AVAILABILITY}:
            return self._requests, self._errors
        if objective.kind is Kind.LATENCY:
            percentile = of_number(self._latency, objective.quantile)
            if percentile is None:
                raise MeasurementError(
                    f"there is no query for the {objective.name}", hint="add it to metrics.datadog.latency"
                )
            return self._requests, percentile, *self._slow.values()
        if objective.kind is not Kind.QUERY:
            raise MeasurementError(f"Datadog can't answer for a {objective.kind.value}: {objective.name!r}")
        if objective.subject not in self._queries:
            known = ", ".join(sorted(self._queries)) or "none"
            raise MeasurementError(
                f"there is no query {objective.subject!r}; known: {known}", hint="add it to metrics.queries"
            )
        return (self._queries[objective.subject].text,)

    def _counted(self, objective: Objective, window: Window, series: Sequence[Series | None]) -> Counts:
        if objective.kind is Kind.QUERY:
            return named(window, series[0])
        if objective.kind is not Kind.LATENCY:
            return error_rate(window, series[0], series[1])
        percentile = series[1]
        if percentile is not None:
            points = {at: value * self._unit_s for at, value in percentile.points.items()}
            percentile = Series(points=points, interval=percentile.interval)
        slow = dict(zip(self._slow, series[2:], strict=True))
        return latency(window, series[0], percentile, slow, objective)

    def _ask(self, texts: Sequence[str], since: datetime, now: datetime) -> list[Series | None]:
        found = self._api.ask(texts, since, now + _LOOK_AHEAD, self._interval)
        newest = max((at for series in found if series is not None for at in series.points), default=now)
        if newest > now + _AHEAD:
            ahead_s = (newest - now).total_seconds()
            raise Faulted(
                f"Datadog's newest interval begins {ahead_s:.0f} s after this machine's now, {now:%H:%M:%S}Z: "
                f"the machine's clock is behind, at most {_AHEAD.total_seconds():.0f} s are taken",
                hint="set this machine's clock (NTP)",
            )
        return found


def _empty(series: Series | None) -> bool:
    return series is None or not series.points
