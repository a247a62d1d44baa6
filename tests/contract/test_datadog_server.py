"""The Datadog adapter against a server that answers as the API's reference says, on one virtual clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal

import pytest

from pytest_deploy.adapters.datadog import Datadog
from pytest_deploy.domain.judge import Contract
from pytest_deploy.domain.measurement import Evidence, Kind, Objective, Reading, Subject
from pytest_deploy.domain.query import Query
from pytest_deploy.errors import Faulted, MeasurementError, Rejected, RemoteError, Throttled, Unreachable
from pytest_deploy.ports import Metrics
from pytest_deploy.testing.contracts import MetricsContract
from tests.contract.vendor_servers import API_KEY, APP_KEY, Bad, Vendor, serve
from tests.contract.vendor_world import VendorWorld

SCOPE = "{service:{service},version:{version}}"
OVER = "{service:{service},version:{version},over:%s}"
QUEUE = Query(name="queue", text="sum:http.requests" + SCOPE + ".as_count()", unit="messages")
ERROR_RATE = Objective(kind=Kind.ERROR_RATE, limit=0.005)
P95 = Objective(kind=Kind.LATENCY, limit=0.3, quantile=0.95)
SHOP = Subject(service="shop", workload="web", namespace="shop")
WINDOW = timedelta(minutes=5)


class DatadogWorld(VendorWorld):
    """A service whose counts Datadog holds, and the server."""

    def __init__(self, stack: ExitStack, api: Literal["v1", "v2"], **more: Any) -> None:
        self.vendor: Vendor

        def adapter(world: VendorWorld) -> Metrics:
            self.vendor = stack.enter_context(serve("datadog", world.requests))
            settings: dict[str, Any] = {
                "api_key": API_KEY,
                "app_key": APP_KEY,
                "requests": f"sum:http.requests{SCOPE}.as_count()",
                "errors": f"sum:http.errors{SCOPE}.as_count()",
                "latency": {0.95: f"p95:http.time{SCOPE}"},
                "slow": {bound: f"sum:http.slow{OVER % bound}.as_count()" for bound in (0.2, 0.3)},
                "queries": {"queue": QUEUE},
                "timeout": timedelta(seconds=10),
                **more,
            }
            return Datadog(
                self.vendor.url,
                api=api,
                interval=timedelta(seconds=20),
                delay=timedelta(seconds=15),
                clock=world.clock,
                **settings,
            )

        super().__init__(adapter)

    def read(self, objective: Objective = ERROR_RATE, subject: Subject = SHOP) -> Reading:
        """Read the last five minutes."""
        metrics = self.ports.metrics
        return metrics.read(objective, subject, metrics.now() - WINDOW)


Make = Callable[..., DatadogWorld]


@pytest.fixture
def make() -> Iterator[Make]:
    """Make worlds whose servers end with the test."""
    with ExitStack() as stack:
        yield lambda **more: DatadogWorld(stack, more.pop("api", "v2"), **more)


@pytest.fixture
def world(make: Make) -> DatadogWorld:
    """Give a v2 world that has had ten minutes of requests."""
    world = make()
    world.let_time_pass(600)
    return world


class TestV1(MetricsContract):
    """The contract, on v1; what ships for Prometheus is a team's query here, and an alert none at all."""

    api = "v1"
    test_what_ships_is_answered = None
    test_pods_without_series_are_no_data = None
    test_restarts_are_counted = None
    test_an_alert_that_fires_is_counted = None
    test_an_unknown_query_is_a_problem = None
    """Below: the names that are known are the team's own."""

    @pytest.fixture
    def world(self, make: Make) -> DatadogWorld:
        """Give a fresh world."""
        return make(api=self.api)

    def test_what_can_be_judged_has_no_problems(self, world: DatadogWorld) -> None:
        """Errors, a latency whose slow requests are counted, and a named query."""
        world.let_time_pass(100)
        named = Objective(kind=Kind.QUERY, limit=1, subject="queue")
        for objective in (ERROR_RATE, replace(ERROR_RATE, kind=Kind.AVAILABILITY), P95, named):
            assert list(world.ports.metrics.problems(objective, self._all(world))) == []

    def test_an_unknown_query_is_told_with_the_known(self, world: DatadogWorld) -> None:
        """It is told before anything is changed, and never read as a number."""
        unknown = Objective(kind=Kind.QUERY, limit=1, subject="queue depth")
        (problem,) = world.ports.metrics.problems(unknown, self._all(world))
        assert "queue depth" in problem
        assert "known: queue" in problem
        with pytest.raises(MeasurementError, match="queue depth"):
            self._read(world, unknown, self._all(world), scrapes=3)


class TestV2(TestV1):
    """The contract, on v2."""

    api = "v2"


def test_both_versions_read_the_same(make: Make) -> None:
    """Counts, value and freshness do not depend on which query is asked."""
    readings = []
    for api in ("v1", "v2"):
        world = make(api=api)
        world.make_bad(0.1)
        world.let_time_pass(600)
        readings += [(replace(world.read(), queries=()), replace(world.read(P95), queries=()))]
    assert readings[0] == readings[1]
    assert readings[0][0].bad == pytest.approx(0.1 * readings[0][0].total)


def test_the_keys_go_in_headers(world: DatadogWorld) -> None:
    """Both keys, and in no address."""
    world.read()
    path, headers, _ = world.vendor.asked[-1]
    assert (headers["dd-api-key"], headers["dd-application-key"]) == (API_KEY, APP_KEY)
    assert path == "/api/v2/query/timeseries"


def test_errors_that_never_came_are_noted(make: Make) -> None:
    """Where no error was ever published a wrong name would look the same: a note, and 0 errors."""
    world = make()
    world.requests.zeros = False
    world.let_time_pass(600)
    (note,) = world.ports.metrics.problems(ERROR_RATE, SHOP)
    assert note.startswith("note: no error in 14 days")
    assert (world.read().bad, world.read().value) == (0, 0)


@pytest.mark.parametrize(
    ("bad", "error", "words"),
    [
        (Bad(status=401, body={"errors": ["Unauthorized"]}), Rejected, "401"),
        (Bad(status=403, body={"errors": ["Forbidden"]}), Rejected, "403"),
        (Bad(status=429, body={"errors": ["Rate limit"]}, headers={"x-ratelimit-reset": "3600"}), Throttled, "429"),
        (Bad(status=500, body={"errors": ["Internal"]}), Faulted, "500"),
        (Bad(status=503, body=b"<html>busy</html>"), Faulted, "HTML page"),
        (Bad(status=200, body=b"<html>Sign in</html>"), Faulted, "HTML page"),
        (Bad(status=302, headers={"location": "https://login.example.com"}), Faulted, "302"),
        (Bad(status=400, body={"errors": ["Error parsing query"]}), MeasurementError, "Error parsing query"),
        (Bad(body={"data": None, "errors": "timeout while querying"}), Faulted, "timeout while querying"),
        (Bad(body={"errors": "unable to parse q0"}), MeasurementError, "unable to parse"),
        (Bad(body=[]), Faulted, "not with an object"),
        (Bad(body={}), Faulted, "no time series"),
        (Bad(body={"data": {"attributes": {"times": [0], "values": [[1, 2]], "series": [{}]}}}), Faulted, "no time"),
        (Bad(body={"data": {"attributes": {"times": ["a"], "values": [[1]], "series": [{}]}}}), Faulted, "no time"),
        (Bad(body={"data": {"attributes": {"times": [0], "values": [["x"]], "series": [{}]}}}), Faulted, "no time"),
    ],
)
def test_a_bad_answer_is_no_reading(world: DatadogWorld, bad: Bad, error: type[Exception], words: str) -> None:
    """Each kind of answer that is none has its error, without the keys; none becomes a value."""
    world.vendor.bad, world.vendor.stuck = [bad], True
    with pytest.raises(error, match=words) as caught:
        world.read()
    text = f"{caught.value!r} {caught.value}"
    assert API_KEY not in text
    assert APP_KEY not in text


def test_an_answer_without_series_is_no_data(world: DatadogWorld) -> None:
    """Nobody has such a metric: no count, and never 0."""
    world.vendor.bad = [Bad(body={"data": {"attributes": {"times": [], "values": [], "series": []}}})]
    reading = world.read()
    assert (reading.total, reading.bad, reading.value, reading.newest) == (None, None, None, None)


def test_what_passes_is_tried_again(world: DatadogWorld) -> None:
    """A 429 and a 503 that end in time cost nothing but time."""
    world.vendor.bad = [Bad(status=429, headers={"retry-after": "1"}), Bad(status=503)]
    assert world.read().total


def test_a_server_that_hangs_is_given_up(make: Make) -> None:
    """Within the time-out, and no value comes of it."""
    world = make(timeout=timedelta(seconds=0.3))
    world.vendor.bad, world.vendor.stuck = [Bad(hang_s=1)], True
    with pytest.raises(Unreachable):
        world.read()


def test_an_error_of_v1_comes_with_200(make: Make) -> None:
    """Status "error" in an answer that is 200 is no answer; one that can't be parsed is a wrong query."""
    world = make(api="v1")
    for words, error in (("Query timed out", Faulted), ("Error parsing query: Rule", MeasurementError)):
        world.vendor.bad = [Bad(body={"status": "error", "error": words, "series": []})]
        with pytest.raises(error, match=words):
            world.read()


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_several_series_are_refused_by_name(make: Make, api: str) -> None:
    """Where one series is expected none is chosen, and none summed."""

    def twice(answer: Any) -> Any:
        if api == "v1":
            return {**answer, "series": [{**each, "scope": f"pod:{n}"} for n in "ab" for each in answer["series"]]}
        found = answer["data"]["attributes"]
        found["series"] = [{**each, "group_tags": [f"pod:{n}"]} for n in "ab" for each in found["series"]]
        found["values"] *= 2
        return answer

    world = make(api=api)
    world.let_time_pass(600)
    world.vendor.change = twice
    with pytest.raises(Faulted, match=r"2 series.*'pod:a', 'pod:b'"):
        world.read()


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_points_without_a_number_are_gaps(world: DatadogWorld, value: float | None) -> None:
    """null, NaN and Infinity are no counts: where nothing else comes there is no data."""

    def emptied(answer: Any) -> Any:
        found = answer["data"]["attributes"]
        found["values"] = [[value] * len(each) for each in found["values"]]
        return answer

    world.vendor.change = emptied
    for objective in (ERROR_RATE, P95):
        reading = world.read(objective)
        assert (reading.total, reading.bad, reading.value, reading.newest) == (None, None, None, None)


def test_a_clock_that_is_behind_is_refused(world: DatadogWorld) -> None:
    """Points from this machine's future: its clock is behind, and no window can be cut by it."""

    def ahead(answer: Any) -> Any:
        found = answer["data"]["attributes"]
        found["times"] = [at + 40_000 for at in found["times"]]
        return answer

    world.vendor.change = ahead
    with pytest.raises(Faulted, match="clock is behind"):
        world.read()


def test_a_clock_that_is_ahead_has_no_fresh_data(world: DatadogWorld) -> None:
    """Its samples are old: the judge finds no data, never a value."""

    def behind(answer: Any) -> Any:
        found = answer["data"]["attributes"]
        found["times"] = [at - 60_000 for at in found["times"]]
        return answer

    world.vendor.change = behind
    reading = world.read()
    assert reading.age is not None
    assert reading.age > 2 * world.ports.metrics.scrape_interval


@pytest.mark.parametrize(
    "bad", [Bad(status=500), Bad(body=b"<html>"), Bad(body={"errors": "x"}), Bad(status=429), Bad(status=403)]
)
def test_nothing_that_is_bad_can_pass(world: DatadogWorld, bad: Bad) -> None:
    """The judge of a window whose every look was such an answer says anything but PASS."""
    world.vendor.bad, world.vendor.stuck = [bad], True
    with pytest.raises(RemoteError) as caught:
        world.read()
    started = world.ports.metrics.now() - WINDOW
    evidence = Evidence(
        window=WINDOW,
        started=started,
        readings=(),
        scrape_interval=timedelta(seconds=20),
        over=True,
        unreadable=str(caught.value),
    )
    ruling = Contract()(evidence, ERROR_RATE)
    assert ruling is not None
    assert ruling.kind.name == "ERROR"


def test_a_long_window_is_as_fresh_as_its_newest_fine_point(world: DatadogWorld) -> None:
    """Three days come in coarse points, whose ends would look stale; the newest is read by itself."""
    metrics = world.ports.metrics
    reading = metrics.read(ERROR_RATE, SHOP, metrics.now() - timedelta(days=3))
    assert reading.total
    assert reading.age is not None
    assert reading.age <= 2 * metrics.scrape_interval
    assert len(world.vendor.asked) == 2
