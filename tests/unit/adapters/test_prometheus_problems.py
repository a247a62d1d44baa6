"""What pre-flight is told of an objective that could never be judged, and of servers that answer in part."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from pytest_deploy.domain.measurement import Kind, Objective, Role, Subject
from pytest_deploy.errors import Faulted, MeasurementError, Rejected
from tests.unit.adapters.prometheus_server import SERVICE, Server

ERROR_RATE = Objective(kind=Kind.ERROR_RATE, limit=0.01)
P95 = Objective(kind=Kind.LATENCY, limit=0.3, quantile=0.95)
REQUESTS = 'count by (status) (last_over_time(http_requests_total{service="svc"}[5m]))'
BUCKETS = 'count by (le) (last_over_time(http_request_duration_seconds_bucket{service="svc"}[5m]))'
NATIVE = 'sum(last_over_time(http_request_duration_seconds{service="svc"}[5m]))'


def others(metric: str) -> str:
    """Return the query for the services that do have it."""
    return f"topk(5, count by (service) (last_over_time({metric}[5m])))"


@pytest.mark.parametrize("kind", [Kind.ERROR_RATE, Kind.AVAILABILITY])
def test_requests_that_can_be_judged_have_no_problem(kind: Kind) -> None:
    """A counter with a status; a canary that has no series yet is no problem."""
    server = Server()
    server.has(REQUESTS, 3, status="200")
    canary = Subject(service="svc", template_hash="6f7d", role=Role.CANARY)
    assert server.port.problems(Objective(kind=kind, limit=0.01), canary) == ()


@pytest.mark.parametrize(
    ("have", "words"),
    [
        ([], "nor any other of http_requests_total: correct metrics.prometheus.requests_metric"),
        ([("a", 2), ("b", 1)], "the metric has service 'a', 'b': correct the service's name"),
        ([(None, 3)], "have no label 'service': set metrics.prometheus.service_label"),
    ],
)
def test_an_unknown_counter_says_what_is_there(have: list[tuple[str | None, int]], words: str) -> None:
    """No such metric, only that of other services, or one without the label: three mends."""
    server = Server()
    for name, count in have:
        server.has(others("http_requests_total"), count, **({"service": name} if name else {}))
    (problem,) = server.port.problems(ERROR_RATE, SERVICE)
    assert problem.startswith('there is no series http_requests_total{service="svc"}')
    assert words in problem


def test_a_counter_without_a_status_is_a_problem() -> None:
    """Errors could never be told from successes."""
    server = Server()
    server.has(REQUESTS, 3)
    assert "none has a label 'status'" in server.port.problems(ERROR_RATE, SERVICE)[0]


@pytest.mark.parametrize("objective", [ERROR_RATE, P95])
def test_a_label_that_no_series_has_tells_nothing_apart(objective: Objective) -> None:
    """The label for versions must be on the series that are there already."""
    server = Server(version_label="hash")
    server.has(REQUESTS, 3, status="200")
    server.has(BUCKETS, 1, le="0.3")
    server.has(BUCKETS, 1, le="+Inf")
    assert "has the label 'hash'" in server.port.problems(objective, SERVICE)[0]
    metric = "http_requests_total" if objective is ERROR_RATE else "http_request_duration_seconds"
    named = f'{{service="svc",__name__=~"{metric}(_count)?",hash!=""}}'
    server.has(f"count(last_over_time({named}[5m]))", 3)
    assert server.port.problems(objective, SERVICE) == ()


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        (("0.3", "1", "+Inf"), None),
        (("0.25", "0.5", "+Inf"), "they end at 0.25 s and 0.5 s, and both judge"),
        (("0.5", "+Inf"), "they end first at 0.5 s"),
        (("0.1", "+Inf"), "they end above 0.1 s"),
    ],
)
def test_a_limit_between_buckets_is_a_note(bounds: tuple[str, ...], words: str | None) -> None:
    """It names the neighbours and the bucket to add."""
    server = Server()
    for bound in bounds:
        server.has(BUCKETS, 1, le=bound)
    found = server.port.problems(P95, SERVICE)
    if words is None:
        assert found == ()
    else:
        assert len(found) == 1
        assert found[0].startswith("note: no bucket of http_request_duration_seconds_bucket ends at 0.3 s")
        assert words in found[0]
        assert found[0].endswith("add a bucket that ends at 0.3")
    assert server.port.problems(Objective(kind=Kind.LATENCY, limit=0.01, quantile=0.9, relative=True), SERVICE) == ()


def test_what_is_no_histogram_is_a_problem() -> None:
    """Buckets without the last one, a summary, or nothing at all."""
    server = Server()
    assert "correct metrics.prometheus.duration_metric" in server.port.problems(P95, SERVICE)[0]
    server.has(NATIVE, 1)
    assert "it is no histogram" in server.port.problems(P95, SERVICE)[0]
    server.has(BUCKETS, 1, le="0.3")
    assert 'no bucket le="+Inf"' in server.port.problems(P95, SERVICE)[0]


@pytest.mark.parametrize(("limit", "notes"), [(0.25, 0), (0.3, 1), (0.7, 0)])
def test_a_native_histogram_has_its_note_too(limit: float, notes: int) -> None:
    """Where the limit is inside a bucket that has requests."""
    server = Server()
    server.histograms[NATIVE] = {"count": "3", "sum": "1", "buckets": [[0, "0.25", "0.5", "3"]]}
    found = server.port.problems(Objective(kind=Kind.LATENCY, limit=limit, quantile=0.9), SERVICE)
    assert len(found) == notes
    assert all(note.startswith("note: ") for note in found)


def test_a_query_that_can_not_be_parsed_is_a_problem_in_one_line() -> None:
    """Pre-flight lists it with the others, in place of ending there."""
    server = Server()
    server.answer = lambda: httpx2.Response(
        400 if len(server.requests) > 1 else 200,
        json={"status": "error", "errorType": "bad_data", "error": "parse error"}
        if len(server.requests) > 1
        else {"status": "success", "data": {"result": [1, "1800000000"]}},
    )
    (problem,) = server.port.problems(ERROR_RATE, SERVICE)
    assert "parse error" in problem
    assert "\n" not in problem


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"warnings": ["store is down"]}, "store is down"),
        ({"isPartial": True}, "the answer is partial (isPartial)"),
        ({"partialResponse": True}, "the answer is partial (partialResponse)"),
        ({"isPartial": False, "partialResponse": False, "warnings": None}, ""),
        ({"infos": ["PromQL info: x"], "warnings": ["PromQL info: metric might not be a counter"]}, ""),
    ],
)
def test_a_partial_answer_is_told(extra: dict[str, Any], words: str) -> None:
    """By each server that speaks this API in its own way; a remark on the query is none, wherever it stands."""
    server = Server()
    server.extra = extra
    server.has(REQUESTS, 1, status="200")
    assert server.read(ERROR_RATE).problem == words
    found = server.port.problems(ERROR_RATE, SERVICE)
    assert found == ((f"the answer is not whole: {words}",) if words else ())


def test_no_credential_gets_into_an_error_or_a_text() -> None:
    """Neither from an answer that repeats it nor from the object's own text."""
    server = Server(headers={"Authorization": "Bearer s3cret-token"})
    assert "s3cret" not in f"{server.port!r}{server.port!s}"
    for status, kind, error in ((400, "bad_data", MeasurementError), (422, "execution", Rejected), (200, "x", Faulted)):
        body = {"status": "error", "errorType": kind, "error": "token s3cret-token may not"}
        server.answer = lambda status=status, body=body: httpx2.Response(status, json=body)
        with pytest.raises(error) as caught:
            server.port.now()
        assert "token *** may not" in str(caught.value)
    assert server.requests[0].headers["authorization"] == "Bearer s3cret-token"
