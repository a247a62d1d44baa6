"""Requests slower than a limit, out of classic and native histograms."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from pytest_deploy.domain.measurement import Bucket, Kind, Objective
from pytest_deploy.errors import Faulted, MeasurementError
from tests.unit.adapters.prometheus_server import NOW_S, Server

P95 = Objective(kind=Kind.LATENCY, limit=0.3, quantile=0.95)
BUCKETS = 'sum by (le) (increase(http_request_duration_seconds_bucket{service="svc"}[300s]))'
SERIES = 'http_request_duration_seconds{service="svc"}'
NATIVE = f"sum(increase({SERIES}[300s]))"
NATIVE_P95 = f"histogram_quantile(0.95, sum(rate({SERIES}[300s])))"


def classic(**counts: float) -> Server:
    """Make a server with these cumulative buckets."""
    server = Server()
    for bound, count in counts.items():
        server.has(BUCKETS, count, le=bound.removeprefix("le").replace("_", "."))
    return server


@pytest.mark.parametrize(
    ("counts", "neighbours"),
    [
        ({"le0_1": 800, "le0_25": 900, "le0_5": 990, "le1": 995}, (Bucket(bound_s=0.25, slower=100), (0.5, 10))),
        ({"le0_5": 990}, (Bucket(bound_s=0, slower=1000), (0.5, 10))),
        ({"le0_1": 800, "le0_25": 900}, (Bucket(bound_s=0.25, slower=100), (math.inf, 0))),
        ({}, (Bucket(bound_s=0, slower=1000), (math.inf, 0))),
    ],
)
def test_a_limit_between_buckets_has_its_neighbours(counts: dict[str, float], neighbours: Any) -> None:
    """How many are slower is told by the buckets next to the limit: at most, at least; from 0 and to no end."""
    reading = classic(**counts, **{"le+Inf": 1000}).read(P95)
    below, (bound, slower) = neighbours
    assert (reading.total, reading.bad, reading.problem) == (1000, None, "")
    assert reading.neighbours == (below, Bucket(bound_s=bound, slower=slower))


def test_a_difference_has_no_bucket() -> None:
    """A relative limit is no time at which a bucket could end: there is a value and nothing is counted."""
    reading = classic(**{"le0_25": 900, "le+Inf": 1000}).read(replace(P95, relative=True))
    assert (reading.total, reading.bad, reading.neighbours) == (1000, None, None)
    server = native([[0, "0.25", "0.5", "1"]])
    server.has(NATIVE_P95, 0.2)
    reading = server.read(replace(P95, relative=True))
    assert (reading.total, reading.bad, reading.neighbours, reading.value) == (1000, None, None, 0.2)


def native(buckets: Any) -> Server:
    """Make a server with native histograms alone."""
    server = Server()
    server.histograms[NATIVE] = {"count": "1000", "sum": "80", "buckets": buckets}
    server.has(f"max(timestamp({SERIES}))", NOW_S - 1)
    return server


@pytest.mark.parametrize(
    ("limit", "bad"), [(0.25, 120), (0.5, 20), (0.3, None), (0.7, 20), (1, 20), (2, 0), (5, 0), (0.125, 1000)]
)
def test_a_native_histogram_is_counted_by_its_buckets(limit: float, bad: float | None) -> None:
    """Exact where a bucket ends, and where none that has requests is around the limit; else its ends are known."""
    server = native([[0, "0.125", "0.25", "880"], [0, "0.25", "0.5", "100"], [0, "1", "2", "20"]])
    server.has(NATIVE_P95, 0.4)
    reading = server.read(replace(P95, limit=limit))
    assert (reading.total, reading.bad, reading.value, reading.problem) == (1000, bad, 0.4, "")
    assert reading.queries[0] == NATIVE_P95
    assert reading.age is not None
    if bad is None:
        assert reading.neighbours == (Bucket(bound_s=0.25, slower=120), Bucket(bound_s=0.5, slower=20))
        assert reading.queries[1] == f"{NATIVE}  # the limit is inside the bucket from 0.25 to 0.5"
    else:
        assert reading.neighbours is None
        assert reading.queries[1] == NATIVE


def test_an_empty_native_histogram_has_no_buckets() -> None:
    """Series that stand still are zero requests; the API leaves the buckets out then."""
    server = Server()
    server.histograms[NATIVE] = {"count": "0", "sum": "0"}
    reading = server.read(P95)
    assert (reading.total, reading.bad, reading.value) == (0, 0, None)


def test_a_summary_is_no_histogram() -> None:
    """Series of that name with plain numbers can never tell how many were slow."""
    server = Server()
    server.has(NATIVE, 0.2)
    with pytest.raises(MeasurementError, match="a summary has no counts"):
        server.read(P95)


@pytest.mark.parametrize(
    "histogram",
    [{"sum": "1"}, {"count": "x"}, {"count": "NaN"}, {"count": "-1"}, {"count": "1", "buckets": [[0, "1", "2"]]}, None],
)
def test_a_histogram_that_makes_no_sense_is_a_fault(histogram: Any) -> None:
    """Nothing is made up from an answer of another shape, or from counts that are none."""
    server = Server()
    server.histograms[NATIVE] = histogram
    with pytest.raises(Faulted, match="Prometheus answered with a histogram"):
        server.read(P95)
