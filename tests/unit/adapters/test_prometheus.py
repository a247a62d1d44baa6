"""What is asked of Prometheus, and what is made of its answers."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.domain.measurement import Kind, Objective, Subject
from pytest_deploy.errors import DeployError, Faulted, MeasurementError, Rejected, Throttled
from tests.unit.adapters.prometheus_server import NOW, NOW_S, SERVICE, Server

ERROR_RATE = Objective(kind=Kind.ERROR_RATE, limit=0.005)
P95 = Objective(kind=Kind.LATENCY, limit=0.3, quantile=0.95)

ALL = 'http_requests_total{service="svc"}'
ERRORS = 'http_requests_total{service="svc",status=~"5.."}'
BUCKETS = 'http_request_duration_seconds_bucket{service="svc"}'
RATIO = f"sum(rate({ERRORS}[300s])) / sum(rate({ALL}[300s]))"
GROWN = f"sum by (status) (increase({ALL}[300s]))"
FIRST = f"min_over_time(timestamp({ALL})[300s:7500ms]) or timestamp({ALL})"
BORN = (
    f"sum by (status) ((min_over_time({ALL}[300s]) unless {ALL} offset 300s) and (({FIRST}) > on (job, instance, "
    f"namespace, pod) group_left () min by (job, instance, namespace, pod) (timestamp({ALL} offset 300s) or {FIRST})))"
)
NEWEST = f"max(timestamp({ALL}))"
P95_QUERY = f"histogram_quantile(0.95, sum by (le) (rate({BUCKETS}[300s])))"
BUCKETS_QUERY = f"sum by (le) (increase({BUCKETS}[300s]))"


def said(status: int, kind: str) -> httpx2.Response:
    """Make an error as the API words it."""
    return httpx2.Response(status, json={"status": "error", "errorType": kind, "error": "words"})


@pytest.fixture
def server() -> Server:
    """One with requests, of which some failed."""
    found = Server()
    found.has(RATIO, 0.01)
    found.has(GROWN, 990, status="200")
    found.has(GROWN, 10, status="503")
    found.has(NEWEST, NOW_S - 4)
    return found


def test_now_is_the_servers_time(server: Server) -> None:
    """The server is asked for its time, and no time is given to it."""
    assert server.port.now() == NOW
    assert dict(server.asked[0]) == {"query": "time()", "timeout": "10s"}


def test_an_error_rate_has_ratio_and_counts(server: Server) -> None:
    """Ratio, counts by status and the newest sample are read at one timestamp, over one window."""
    reading = server.read(ERROR_RATE)
    assert (reading.total, reading.bad, reading.value, reading.problem) == (1000, 10, 0.01, "")
    assert reading.newest == NOW - timedelta(seconds=4)
    assert (reading.at, reading.since) == (NOW, NOW - timedelta(seconds=300))
    assert reading.queries == (RATIO, GROWN, BORN, NEWEST)
    assert {params["time"] for params in server.asked[1:]} == {"1800000300.250"}


def test_the_first_error_of_a_window_counts(server: Server) -> None:
    """A 5xx series born in the window counts with its first value, and the ratio that leaves it out says so."""
    server.vectors = {GROWN: [({"status": "200"}, "149"), ({"status": "503"}, "0")], RATIO: [({}, "0")]}
    server.has(BORN, 1, status="503")
    reading = server.read(ERROR_RATE)
    assert (reading.total, reading.bad, reading.value) == (150, 1, 1 / 150)
    assert reading.queries[0] == f"{RATIO}  # answers 0; counted with the first values of new series: 0.00666667"


def test_a_first_error_in_the_last_sample_counts(server: Server) -> None:
    """A series with a single sample does not grow, and is an error all the same; the ratio has no answer then."""
    server.vectors = {GROWN: [({"status": "200"}, "149")], BORN: [({"status": "500"}, "1")]}
    reading = server.read(ERROR_RATE)
    assert (reading.total, reading.bad, reading.value) == (150, 1, 1 / 150)
    assert "# answers nothing; " in reading.queries[0]


def test_the_first_successes_count_too(server: Server) -> None:
    """What is born counts in the total whatever its status, so that bad and total are of the same requests."""
    server.has(BORN, 3, status="200")
    server.has(BORN, 2, status="404")
    server.has(BORN, 1, status="502")
    reading = server.read(ERROR_RATE)
    assert (reading.total, reading.bad, reading.value) == (1006, 11, 11 / 1006)


@given(
    counts=st.lists(
        st.tuples(
            st.sampled_from([GROWN, BORN]),
            st.sampled_from(["", "200", "404", "500", "503", "5xx", "50"]),
            st.floats(min_value=0, max_value=1e12),
        ),
        unique_by=lambda each: each[:2],
    )
)
def test_bad_is_a_part_of_the_total(counts: list[tuple[str, str, float]]) -> None:
    """Whatever is counted, bad is from 0 to the total and the value is their ratio; without any there is none."""
    server = Server()
    server.has(GROWN, 0, status="201")
    for query, status, count in counts:
        server.has(query, count, status=status)
    reading = server.read(ERROR_RATE)
    assert 0 <= reading.bad <= reading.total
    assert reading.value == (reading.bad / reading.total if reading.total else None)


def test_no_error_series_is_no_error(server: Server) -> None:
    """Requests that carry a status and no series of errors are zero errors; the ratio's emptiness is not."""
    server.vectors = {GROWN: [({"status": "200"}, "1000")]}
    reading = server.read(ERROR_RATE)
    assert (reading.total, reading.bad, reading.value) == (1000, 0, 0)
    assert reading.queries[0] == RATIO


def test_requests_without_a_status_are_a_wrong_query(server: Server) -> None:
    """Where no series says how a request ended there can never be evidence."""
    server.vectors = {GROWN: [({}, "1000")]}
    with pytest.raises(MeasurementError, match="none has a label 'status'") as caught:
        server.read(ERROR_RATE)
    assert "status_label" in caught.value.hint


def test_no_requests_series_is_no_data(server: Server) -> None:
    """No series of requests is no data, whatever else may be there."""
    del server.vectors[GROWN]
    server.has(BORN, 1, status="503")
    reading = server.read(ERROR_RATE)
    assert (reading.total, reading.bad, reading.value) == (None, None, None)


@pytest.mark.parametrize("text", ["NaN", "+Inf", "-Inf"])
def test_what_is_not_finite_is_no_latency(text: str) -> None:
    """0/0 and its like are no value; the counts are still there."""
    server = Server()
    server.has(P95_QUERY, text)
    server.has(BUCKETS_QUERY, 0, le="0.3")
    server.has(BUCKETS_QUERY, 0, le="+Inf")
    reading = server.read(P95)
    assert (reading.total, reading.bad, reading.value) == (0, 0, None)


@pytest.mark.parametrize("query", [GROWN, BORN])
@pytest.mark.parametrize("text", ["NaN", "+Inf", "-Inf", "-1"])
def test_what_is_no_count_is_a_fault(server: Server, query: str, text: str) -> None:
    """A count that is none is never taken for the absence of errors."""
    server.has(query, text, status="500")
    with pytest.raises(Faulted, match="no count"):
        server.read(ERROR_RATE)


def test_a_service_without_traffic_has_no_value(server: Server) -> None:
    """Series that stand still are zero requests, not zero errors."""
    server.vectors = {GROWN: [({"status": "200"}, "0")], RATIO: [({}, "NaN")]}
    reading = server.read(ERROR_RATE)
    assert (reading.total, reading.bad, reading.value) == (0, 0, None)


@pytest.mark.parametrize(("seconds", "window"), [(300.9, 300), (300.0, 300), (1.0, 1), (59.999, 59)])
def test_the_window_never_reaches_before_its_beginning(server: Server, seconds: float, window: int) -> None:
    """The window is cut down to whole seconds."""
    assert f"[{window}s]" in server.read(ERROR_RATE, seconds=seconds).queries[0]


@pytest.mark.parametrize("seconds", [0.9, 0.0, -5.0])
def test_a_window_of_no_time_holds_nothing(server: Server, seconds: float) -> None:
    """Before one second has passed there is no window, and no query is sent that would look further back."""
    reading = server.read(ERROR_RATE, seconds=seconds)
    assert (reading.total, reading.bad, reading.value, reading.newest) == (None, None, None, None)
    assert [params["query"] for params in server.asked] == ["time()"]


def test_a_version_is_selected_by_its_label() -> None:
    """Each selector has the hash, where the series have it and where a version is judged; else the whole service."""
    server = Server(version_label="hash", service_label="app", status_label="code", requests_metric="reqs:total")
    server.has('sum by (code) (increase(reqs:total{app="svc",hash="abc"}[300s]))', 7, code="200")
    assert server.port.tells_versions_apart
    reading = server.read(ERROR_RATE, subject=Subject(service="svc", template_hash="abc"))
    ours = 'app="svc",hash="abc"'
    errors, every = f'reqs:total{{{ours},code=~"5.."}}', f"reqs:total{{{ours}}}"
    assert reading.queries[0] == f"sum(rate({errors}[300s])) / sum(rate({every}[300s]))"
    assert all('{app="svc",hash="abc"' in query for query in reading.queries)
    assert "> on (job, instance, namespace, pod, hash) group_left" in reading.queries[2]
    assert "hash" not in server.read(ERROR_RATE, subject=SERVICE).queries[0]
    blind = Server()
    assert not blind.port.tells_versions_apart
    assert "abc" not in blind.read(ERROR_RATE, subject=Subject(service="svc", template_hash="abc")).queries[0]


@pytest.mark.parametrize("bound", ["0.3", "0.30", "3e-1", "0.300"])
def test_a_latency_is_counted_by_the_bucket_at_the_limit(bound: str) -> None:
    """Bounds are compared as numbers; slower than the limit is all that is not in its bucket."""
    server = Server()
    server.has(P95_QUERY, 0.12)
    for le, count in (("0.1", 900.0), (bound, 990.5), ("1.0", 999.0), ("+Inf", 1000.0), ("odd", 7.0)):
        server.has(BUCKETS_QUERY, count, le=le)
    reading = server.read(P95)
    assert (reading.total, reading.bad, reading.value, reading.problem) == (1000, 9.5, 0.12, "")
    assert reading.queries[:2] == (P95_QUERY, BUCKETS_QUERY)
    assert "http_request_duration_seconds_count" in reading.queries[2]


def test_a_latency_without_buckets_is_no_data_or_wrong() -> None:
    """No bucket is no data; buckets without +Inf are no histogram; no quantile is no latency objective."""
    server = Server()
    reading = server.read(P95)
    assert (reading.total, reading.bad, reading.value) == (None, None, None)
    server.has(BUCKETS_QUERY, 5, le="0.3")
    with pytest.raises(MeasurementError, match="Inf"):
        server.read(P95)
    with pytest.raises(MeasurementError, match="quantile"):
        server.read(Objective(kind=Kind.LATENCY, limit=0.3))


def test_the_age_of_samples_that_stopped_is_found(server: Server) -> None:
    """Where a target's series have ended, its last sample inside the window tells how old they are."""
    del server.vectors[NEWEST]
    server.has(f"max(max_over_time(timestamp({ALL})[300s:15s]))", NOW_S - 100)
    assert server.read(ERROR_RATE).age == timedelta(seconds=100)


def test_a_sample_from_before_the_window_is_not_behind_it(server: Server) -> None:
    """The server finds samples of up to 5 minutes ago: one from before the window is none of this reading."""
    server.vectors[NEWEST] = [({}, str(NOW_S - 301))]
    assert server.read(ERROR_RATE).newest is None


def test_a_partial_answer_has_a_problem(server: Server) -> None:
    """The server's warnings are kept, each once; its remarks are not."""
    server.extra = {"warnings": ["store sidecar-2 is down"], "infos": ["metric might not be a counter"]}
    assert server.read(ERROR_RATE).problem == "store sidecar-2 is down"


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (said(400, "bad_data"), MeasurementError),
        (said(200, "execution"), Faulted),
        (said(503, "timeout"), Faulted),
        (said(422, "execution"), Rejected),
        (httpx2.Response(401, text="no"), Rejected),
        (httpx2.Response(429, text="no"), Throttled),
        (httpx2.Response(200, html="<html>login</html>"), Faulted),
        (httpx2.Response(200, json=[]), Faulted),
        (httpx2.Response(200, json={"status": "success"}), Faulted),
        (httpx2.Response(200, json={"status": "success", "data": {"result": []}}), Faulted),
        (httpx2.Response(200, json={"status": "success", "data": {"result": [1, "soon"]}}), Faulted),
        (httpx2.Response(200, json={"status": "success", "data": {"result": 7}}), Faulted),
    ],
)
def test_every_answer_that_is_none_has_its_error(
    server: Server, response: httpx2.Response, error: type[DeployError]
) -> None:
    """A wrong query, a server that fails and an answer that makes no sense are three things."""
    server.answer = lambda: response
    with pytest.raises(error, match="Prometheus"):
        server.port.now()


@pytest.mark.parametrize(
    "result", [[{"metric": {}}], [{"value": [1, "2"]}], [[]], 3, [{"metric": {}, "value": [1, "x"]}]]
)
def test_a_result_that_is_no_vector_is_a_fault(server: Server, result: Any) -> None:
    """Nothing is made up from an answer of another shape."""
    handled = []

    def answer() -> httpx2.Response:
        handled.append(1)
        data = {"result": [NOW_S, str(NOW_S)]} if len(handled) == 1 else {"result": result}
        return httpx2.Response(200, json={"status": "success", "data": data})

    server.answer = answer
    with pytest.raises(Faulted, match="no vector"):
        server.read(ERROR_RATE)


def test_more_series_than_one_are_a_fault(server: Server) -> None:
    """Where one number was asked for, the first or last of several is not taken."""
    server.has(RATIO, 7)
    with pytest.raises(Faulted, match="2 series where one was expected"):
        server.read(ERROR_RATE)


@pytest.mark.parametrize(
    "argument", ["requests_metric", "duration_metric", "service_label", "status_label", "version_label"]
)
@pytest.mark.parametrize("name", ["a b", 'a"', "", "1a", "a}", "ä", "a\n"])
def test_a_name_that_is_none_is_refused(argument: str, name: str) -> None:
    """Metrics and labels are names by Prometheus' grammar; anything else could change the query around it."""
    with pytest.raises(MeasurementError, match="is no name in Prometheus"):
        Server(**{argument: name})


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20))
def test_a_service_name_stays_inside_its_literal(name: str) -> None:
    """Whatever a name holds, it is one PromQL string: it ends where the literal ends, and reads back the same."""
    server = Server()
    query = server.read(ERROR_RATE, subject=Subject(service=name)).queries[1]
    head, tail = "sum by (status) (increase(http_requests_total{service=", "}[300s]))"
    assert query.startswith(head)
    assert query.endswith(tail)
    literal = query[len(head) : -len(tail)]
    assert json.loads(literal) == name
    assert "\n" not in literal
