"""The CloudWatch adapter through real boto3, against a server that answers as the API's reference says.

boto3 is in an extra of its own (it can't live beside every release of kubernetes), so that these tests are left out
where it is not installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pytest_deploy.adapters.cloudwatch import CloudWatch
from pytest_deploy.adapters.cloudwatch_api import Expression, Metric
from pytest_deploy.domain.measurement import Kind, Objective, Reading, Subject
from pytest_deploy.domain.query import Query
from pytest_deploy.errors import Faulted, MeasurementError, Rejected, Throttled, Unreachable
from pytest_deploy.ports import Metrics
from pytest_deploy.testing.contracts import MetricsContract
from tests.contract.vendor_servers import Bad, Vendor, serve
from tests.contract.vendor_world import VendorWorld

pytest.importorskip("boto3", reason="the extra cloudwatch is not installed")

SECRETS = {
    "AWS_ACCESS_KEY_ID": "AKIA5ECRET",
    "AWS_SECRET_ACCESS_KEY": "aws-5ecret",
    "AWS_SESSION_TOKEN": "t0ken-5ecret",
}
ERROR_RATE = Objective(kind=Kind.ERROR_RATE, limit=0.005)
P95 = Objective(kind=Kind.LATENCY, limit=0.3, quantile=0.95)
SHOP = Subject(service="shop", workload="web", namespace="shop")
WINDOW = timedelta(minutes=10)


def metric(name: str, stat: str) -> Metric:
    """Name a metric of the service."""
    return Metric(namespace="Acme", metric=name, dimensions={"Service": "{service}", "Version": "{version}"}, stat=stat)


class CloudWatchWorld(VendorWorld):
    """A service whose counts CloudWatch holds, and the server."""

    def __init__(self, stack: ExitStack, **more: Any) -> None:
        self.vendor: Vendor

        def adapter(world: VendorWorld) -> Metrics:
            self.vendor = stack.enter_context(serve("cloudwatch", world.requests))
            settings: dict[str, Any] = {
                "requests": metric("Requests", "Sum"),
                "errors": metric("Errors", "Sum"),
                "latency": {0.95: metric("Duration", "p95")},
                "queries": {"queue": Query(name="queue", text="SUM(METRICS())")},
                "timeout": timedelta(seconds=10),
                "period": timedelta(seconds=60),
                "delay": timedelta(seconds=60),
                "endpoint_url": self.vendor.url,
                **more,
            }
            return CloudWatch("eu-west-1", clock=world.clock, **settings)

        super().__init__(adapter)

    def read(self, objective: Objective = ERROR_RATE, subject: Subject = SHOP) -> Reading:
        """Read the last ten minutes."""
        metrics = self.ports.metrics
        return metrics.read(objective, subject, metrics.now() - WINDOW)


Make = Callable[..., CloudWatchWorld]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Make worlds whose servers end with the test, for an account that does not exist."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with ExitStack() as stack:
        yield lambda **more: CloudWatchWorld(stack, **more)


@pytest.fixture
def world(make: Make) -> CloudWatchWorld:
    """Give a world that has had fifteen minutes of requests."""
    world = make()
    world.let_time_pass(900)
    return world


class TestCloudWatch(MetricsContract):
    """The contract; what ships for Prometheus is a team's query here, and an alert none at all."""

    test_what_ships_is_answered = None
    test_pods_without_series_are_no_data = None
    test_restarts_are_counted = None
    test_an_alert_that_fires_is_counted = None
    test_an_unknown_query_is_a_problem = None
    test_a_limit_without_a_bucket_is_counted_by_its_neighbours = None
    test_a_limit_without_a_bucket_is_noted = None
    """Any limit can be counted here: TC(limit:) needs no bucket."""

    @pytest.fixture
    def world(self, make: Make) -> CloudWatchWorld:
        """Give a fresh world."""
        return make()

    def test_what_can_be_judged_has_no_problems(self, world: CloudWatchWorld) -> None:
        """Errors, and a latency whose slow requests are counted."""
        world.let_time_pass(300)
        for objective in (ERROR_RATE, replace(ERROR_RATE, kind=Kind.AVAILABILITY), P95):
            assert list(world.ports.metrics.problems(objective, self._all(world))) == []

    def test_an_unknown_query_is_told_with_the_known(self, world: CloudWatchWorld) -> None:
        """It is told before anything is changed, and never read as a number."""
        unknown = Objective(kind=Kind.QUERY, limit=1, subject="queue depth")
        (problem,) = world.ports.metrics.problems(unknown, self._all(world))
        assert "queue depth" in problem
        assert "known: queue" in problem
        with pytest.raises(MeasurementError, match="queue depth"):
            self._read(world, unknown, self._all(world), scrapes=3)


def test_the_slow_requests_are_counted_exactly(world: CloudWatchWorld) -> None:
    """SampleCount, p95 and TC(limit:) of one metric: total, value and bad."""
    reading = world.read(P95)
    stats = [query["MetricStat"]["Stat"] for query in world.vendor.asked[-1][2]["MetricDataQueries"]]
    assert stats == ["SampleCount", "p95", "TC(0.3:)"]
    assert reading.total
    assert reading.bad is not None
    assert reading.bad < 0.05 * reading.total
    assert reading.value == pytest.approx(0.12)


def test_a_period_without_its_slow_count_makes_it_unknown(world: CloudWatchWorld) -> None:
    """Statistic sets have no TC(): what is missing is not 0 slow requests, so the percentile alone is known."""

    def holed(answer: Any) -> Any:
        for each in answer["MetricDataResults"]:
            if "TC(" in each["Label"]:
                each["Timestamps"], each["Values"] = each["Timestamps"][:-3], each["Values"][:-3]
        return answer

    world.vendor.change = holed
    reading = world.read(P95)
    assert (reading.bad, reading.value) == (None, pytest.approx(0.12))
    assert reading.total


def test_pages_are_put_together(world: CloudWatchWorld) -> None:
    """PartialData with a NextToken is asked on; the answer is whole, and the same."""
    whole = world.read()
    world.vendor.page = 4
    assert world.read() == whole
    assert whole.problem == ""
    assert any("NextToken" in request for _, _, request in world.vendor.asked)


def test_points_in_any_order_are_the_same(world: CloudWatchWorld) -> None:
    """Newest first, as the API's default is, changes nothing."""
    ascending = world.read()

    def backwards(answer: Any) -> Any:
        for each in answer["MetricDataResults"]:
            each["Timestamps"].reverse()
            each["Values"].reverse()
        return answer

    world.vendor.change = backwards
    assert world.read() == ascending


@pytest.mark.parametrize("status", ["PartialData", "InternalError", "Forbidden"])
def test_what_is_not_complete_is_a_problem(world: CloudWatchWorld, status: str) -> None:
    """The judge then has no whole answer; counts that are short must not look good."""

    def partial(answer: Any) -> Any:
        for each in answer["MetricDataResults"]:
            each["StatusCode"] = status
        return answer

    world.vendor.change = partial
    assert status in world.read().problem


def test_messages_are_a_problem(world: CloudWatchWorld) -> None:
    """Of the operation, and of one result."""

    def said(answer: Any) -> Any:
        answer["Messages"] = [{"Code": "MaxMetricsExceeded", "Value": "Maximum number of allowed metrics exceeded"}]
        answer["MetricDataResults"][0]["Messages"] = [{"Code": "ArithmeticError", "Value": "One or more data points"}]
        return answer

    world.vendor.change = said
    problem = world.read().problem
    assert "MaxMetricsExceeded" in problem
    assert "ArithmeticError" in problem


def test_several_series_are_refused_by_name(world: CloudWatchWorld) -> None:
    """Where one series is expected none is chosen; two that are called the same are two."""
    for labels, words in ((("a", "b"), "'a', 'b'"), (("a", "a"), '''a", "a'"'''[:1])):

        def twice(answer: Any, labels: tuple[str, str] = labels) -> Any:
            results = answer["MetricDataResults"]
            answer["MetricDataResults"] = [{**each, "Label": label} for each in results for label in labels]
            return answer

        world.vendor.change = lambda answer: answer
        since = world.ports.metrics.now() - WINDOW
        world.vendor.change = twice
        with pytest.raises(Faulted, match="2 series") as caught:
            world.ports.metrics.read(ERROR_RATE, SHOP, since)
        assert words in str(caught.value)


def refused(status: int, code: str, message: str = "words") -> Bad:
    """Make an error as the JSON protocol words it."""
    return Bad(
        status=status, body={"__type": code, "message": message}, headers={"x-amzn-query-error": f"{code};Sender"}
    )


@pytest.mark.parametrize(
    ("bad", "error", "words"),
    [
        (refused(400, "Throttling"), Throttled, "Throttling"),
        (refused(400, "ThrottlingException"), Throttled, "Throttling"),
        (refused(429, "TooManyRequestsException"), Throttled, "429"),
        (refused(403, "AccessDenied", "not authorized to perform: cloudwatch:GetMetricData"), Rejected, "AccessDenied"),
        (refused(403, "InvalidClientTokenId"), Rejected, "InvalidClientTokenId"),
        (refused(400, "ExpiredToken"), Rejected, "ExpiredToken"),
        (refused(400, "ValidationError", "Error in expression 'q0'"), MeasurementError, "Error in expression"),
        (refused(400, "InvalidParameterValue"), MeasurementError, "InvalidParameterValue"),
        (refused(500, "InternalServiceFault"), Faulted, "500"),
        (refused(503, "ServiceUnavailable"), Faulted, "503"),
        (Bad(status=502, body=b"<html>bad gateway</html>"), Faulted, "CloudWatch"),
        (Bad(status=200, body=b"<html>Sign in</html>"), Faulted, "login page"),
        (Bad(status=403, body=b"<html>Sign in</html>"), Rejected, "403"),
        (Bad(status=302, headers={"location": "https://login.example.com"}), Faulted, "CloudWatch"),
        (Bad(status=200, body={}), Faulted, "CloudWatch"),
        (Bad(status=200, body=[]), Faulted, "CloudWatch"),
        (Bad(status=200, body=b""), Faulted, "CloudWatch"),
    ],
)
def test_a_bad_answer_is_no_reading(world: CloudWatchWorld, bad: Bad, error: type[Exception], words: str) -> None:
    """Each kind of answer that is none has its error; none becomes a value."""
    since = world.ports.metrics.now() - WINDOW
    world.vendor.bad, world.vendor.stuck = [bad], True
    with pytest.raises(error, match=words):
        world.ports.metrics.read(ERROR_RATE, SHOP, since)


def test_no_error_repeats_a_secret(world: CloudWatchWorld) -> None:
    """CloudWatch's own texts may repeat what was signed: neither error nor cause nor adapter shows it."""
    since = world.ports.metrics.now() - WINDOW
    world.vendor.bad = [
        refused(403, "SignatureDoesNotMatch", f"the canonical request was {' '.join(SECRETS.values())}")
    ]
    with pytest.raises(Rejected) as caught:
        world.ports.metrics.read(ERROR_RATE, SHOP, since)
    shown = f"{caught.value!r} {caught.value} {caught.getrepr(style='native')} {world.ports.metrics!r}"
    for secret in SECRETS.values():
        assert secret not in shown


def test_what_passes_is_tried_again(world: CloudWatchWorld) -> None:
    """A throttle and a 503 that end in time cost nothing but time."""
    world.vendor.bad = [refused(400, "Throttling"), refused(503, "ServiceUnavailable")]
    assert world.read().total


def test_a_server_that_hangs_is_given_up(make: Make) -> None:
    """Within the time-out, and no value comes of it."""
    world = make(timeout=timedelta(seconds=0.3))
    world.vendor.bad, world.vendor.stuck = [Bad(hang_s=1)], True
    with pytest.raises(Unreachable):
        world.read()


def test_nobody_listens(make: Make) -> None:
    """A refused connection is an answer that never came."""
    with pytest.raises(Unreachable):
        make(endpoint_url="http://127.0.0.1:9", timeout=timedelta(seconds=1)).read()


def test_without_credentials_it_says_so(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked of anybody."""
    for name in SECRETS:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", "/nonexistent")
    with pytest.raises(Rejected, match="credentials"):
        make().read()


def test_a_wrong_expression_is_told(make: Make) -> None:
    """The server does not take it: a wrong query, in pre-flight a problem."""
    world = make(requests=Expression(expression="NOPE({service})"), errors=metric("Errors", "Sum"))
    with pytest.raises(MeasurementError, match="Error in expression"):
        world.read()
    assert "Error in expression" in world.ports.metrics.problems(ERROR_RATE, SHOP)[0]


def test_windows_are_cut_by_its_clock(make: Make) -> None:
    """The Date header of an answer is the time, whatever this machine's clock says."""
    world = make()
    world.let_time_pass(100)
    world.vendor.bad = [
        Bad(body={"MetricDataResults": []}, headers={"date": "Tue, 24 Nov 2026 12:00:00 GMT"}),
    ]
    assert world.ports.metrics.now().isoformat() == "2026-11-24T12:00:00+00:00"
