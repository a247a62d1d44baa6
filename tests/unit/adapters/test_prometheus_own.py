"""Whole queries of a team's own in the place of error rate and latency."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pytest_deploy.adapters.prometheus.own import OwnQueries
from pytest_deploy.domain.measurement import Kind, Objective, Subject
from pytest_deploy.errors import MeasurementError
from tests.unit.adapters.prometheus_server import NOW_S, Server

OWN = OwnQueries(
    requests='sum(increase(rq{v="{version}"}[{window}]))',
    errors='sum(increase(rq_5xx{v="{version}"}[{window}]))',
    latency={0.95: 'max(seconds{v="{version}"})'},
)
CANARY = Subject(service="svc", template_hash="6f7d")
REQUESTS, ERRORS = 'sum(increase(rq{v="6f7d"}[300s]))', 'sum(increase(rq_5xx{v="6f7d"}[300s]))'
ERROR_RATE = Objective(kind=Kind.ERROR_RATE, limit=0.005)
P95 = Objective(kind=Kind.LATENCY, limit=0.3, quantile=0.95)


def server(*, errors: float | None = 3, requests: float | None = 600) -> Server:
    """Make a server that knows these series."""
    made = Server(own=OWN)
    if requests is not None:
        made.has(REQUESTS, requests)
        made.has('sum(count_over_time(rq{v="6f7d"}[300s]))', 20)
        made.has('max(timestamp(rq{v="6f7d"}))', NOW_S - 4)
    if errors is not None:
        made.has(ERRORS, errors)
    made.has('max(seconds{v="6f7d"})', 0.12)
    made.has('sum(count_over_time(seconds{v="6f7d"}[300s]))', 20)
    made.has('max(timestamp(seconds{v="6f7d"}))', NOW_S - 9)
    return made


def test_requests_and_errors_are_counted_by_the_teams_queries() -> None:
    """With the freshness of the requests' samples, for an error rate and for an availability alike."""
    for kind in (Kind.ERROR_RATE, Kind.AVAILABILITY):
        reading = server().read(Objective(kind=kind, limit=0.005), subject=CANARY)
        assert (reading.total, reading.bad, reading.value) == (600, 3, 0.005)
        assert reading.age == timedelta(seconds=4)
        assert REQUESTS in reading.queries
        assert ERRORS in reading.queries


def test_no_series_of_errors_are_no_errors() -> None:
    """Requests are there and none failed; without requests there is no data, whatever the errors say."""
    good = server(errors=None).read(ERROR_RATE, subject=CANARY)
    assert (good.total, good.bad, good.value) == (600, 0, 0)
    none = server(requests=None).read(ERROR_RATE, subject=CANARY)
    assert (none.total, none.bad, none.value, none.newest) == (None, None, None, None)


def test_a_count_that_rests_on_no_series_is_no_data() -> None:
    """``or vector(0)`` has a value whatever happens."""
    made = Server(own=OwnQueries(requests="sum(gone) or vector(0)", errors="sum(gone)"))
    made.has("sum(gone) or vector(0)", 0)
    assert made.read(ERROR_RATE, subject=CANARY).total is None


def test_a_quantile_of_the_teams_own() -> None:
    """Its value and its own freshness, over the requests that are counted; how many were slower is not known."""
    reading = server().read(P95, subject=CANARY)
    assert (reading.value, reading.total, reading.bad) == (0.12, 600, None)
    assert reading.age == timedelta(seconds=9)
    with pytest.raises(MeasurementError, match="none for p99 latency; it has: p95"):
        server().read(Objective(kind=Kind.LATENCY, limit=0.3, quantile=0.99), subject=CANARY)


def test_what_could_never_be_judged_is_found_before() -> None:
    """No requests, no number, a token without a value: each in words; all there: nothing."""
    assert list(server().port.problems(ERROR_RATE, CANARY)) == []
    assert list(server().port.problems(P95, CANARY)) == []
    assert "yields nothing" in server(requests=None).port.problems(ERROR_RATE, CANARY)[0]
    silent = server()
    silent.vectors['max(seconds{v="6f7d"})'] = [({}, "NaN")]
    assert "yields no number" in silent.port.problems(P95, CANARY)[0]
    assert "{version}" in server().port.problems(ERROR_RATE, Subject(service="svc"))[0]


def test_versions_are_told_apart_by_the_query() -> None:
    """Where it asks for {version}."""
    assert Server(own=OWN).port.tells_versions_apart
    assert not Server(own=OwnQueries(requests="sum(a)", errors="sum(b)")).port.tells_versions_apart
