"""What is asked of CloudWatch, and what is made of its answers; boto3 is not needed here."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from pytest_deploy.adapters.cloudwatch import CloudWatch
from pytest_deploy.adapters.cloudwatch_api import Expression, Metric
from pytest_deploy.domain.evidence_judge import EvidenceJudge
from pytest_deploy.domain.judge import Contract, Judge
from pytest_deploy.domain.measurement import Evidence, Kind, Objective, Reading, Role, Subject
from pytest_deploy.domain.query import Query
from pytest_deploy.domain.verdict import VerdictKind
from pytest_deploy.errors import ConfigError, Faulted, MeasurementError, Unreachable
from pytest_deploy.testing.clock import FakeClock

NOW = datetime(2026, 11, 24, 12, 0, 10, tzinfo=UTC)
"""10 s into a period of 60 s."""
EDGE = NOW - timedelta(seconds=10)
ERROR_RATE = Objective(kind=Kind.ERROR_RATE, limit=0.005)
P95 = Objective(kind=Kind.LATENCY, limit=0.3, quantile=0.95)
QUEUE = Objective(kind=Kind.QUERY, limit=100, subject="queue")
CANARY = Subject(service="shop", template_hash="abc123", role=Role.CANARY, workload="web", namespace="prod")

Points = Mapping[int, float]
"""By how many minutes before EDGE the period begins."""


def metric(name: str, stat: str = "Sum") -> Metric:
    """Name a metric of one version."""
    return Metric(namespace="Acme", metric=name, dimensions={"Service": "{service}", "Hash": "{version}"}, stat=stat)


class Server:
    """In boto3's place: answers with points by metric and statistic, or by expression."""

    def __init__(self, **more: Any) -> None:
        self.points: dict[str, Points] = {}
        self.asked: list[dict[str, Any]] = []
        self.headers = {"date": format_datetime(NOW, usegmt=True)}
        self.error: Exception | None = None
        settings: dict[str, Any] = {
            "requests": metric("req"),
            "errors": metric("err"),
            "latency": {0.95: metric("dur", "p95")},
            "queries": {"queue": Query(name="queue", text="SELECT MAX(Depth) FROM Acme WHERE Service = '{service}'")},
            "period": timedelta(seconds=60),
            "delay": timedelta(seconds=0),
            **more,
        }
        self.port = CloudWatch(
            "eu-west-1",
            timeout=timedelta(seconds=10),
            clock=FakeClock(NOW + timedelta(minutes=7)),
            client=self,
            **settings,
        )

    def get_metric_data(self, **request: Any) -> dict[str, Any]:
        """Answer as boto3's method does."""
        if self.error is not None:
            raise self.error
        self.asked.append(request)
        results = []
        for query in request["MetricDataQueries"]:
            stat = query.get("MetricStat")
            name = query["Expression"] if stat is None else f"{stat['Metric']['MetricName']} {stat['Stat']}"
            points = {EDGE - timedelta(minutes=ago): value for ago, value in self.points.get(name, {}).items()}
            inside = {at: value for at, value in points.items() if request["StartTime"] <= at < request["EndTime"]}
            results.append(
                {
                    "Id": query["Id"],
                    "Label": name,
                    "Timestamps": list(inside),
                    "Values": list(inside.values()),
                    "StatusCode": "Complete",
                }
            )
        return {"MetricDataResults": results, "ResponseMetadata": {"HTTPHeaders": self.headers}}

    def read(self, objective: Objective = ERROR_RATE, *, seconds: float = 310, subject: Subject = CANARY) -> Reading:
        """Read the last seconds."""
        return self.port.read(objective, subject, NOW - timedelta(seconds=seconds))

    @property
    def queries(self) -> list[dict[str, Any]]:
        """What was asked last."""
        found: list[dict[str, Any]] = self.asked[-1]["MetricDataQueries"]
        return found


def steady(value: float) -> dict[int, float]:
    """Make the same value in each of the last ten periods, and in the one that is still being filled."""
    return dict.fromkeys(range(11), value)


@pytest.fixture
def server() -> Server:
    """One with requests, of which some failed."""
    found = Server()
    found.points = {"req Sum": steady(100), "err Sum": steady(2)}
    return found


def test_only_whole_periods_count(server: Server) -> None:
    """The window's ends are parts of periods: neither is asked for, and the service's clock cuts."""
    server.points = {"req Sum": {**steady(100), 6: 5000, 0: 7000}, "err Sum": {**steady(2), 6: 5000, 0: 7000}}
    reading = server.read(seconds=340)
    assert (reading.total, reading.bad, reading.value) == (500, 10, 0.02)
    assert (reading.newest, reading.at) == (EDGE, NOW)
    assert server.asked[-1]["StartTime"] == EDGE - timedelta(minutes=5)
    assert server.asked[-1]["EndTime"] == EDGE


def test_the_window_ends_before_what_may_still_grow() -> None:
    """With a delay of a minute the newest whole period is left out, and the reading says until when it is."""
    server = Server(delay=timedelta(minutes=1))
    server.points = {"req Sum": steady(100)}
    reading = server.read()
    assert (reading.total, reading.at) == (400, NOW - timedelta(minutes=1))
    assert reading.newest == EDGE - timedelta(minutes=1)


def test_the_dimensions_are_the_subjects(server: Server) -> None:
    """All that the metric was published with; of the whole service the metric without the version."""
    reading = server.read()
    assert server.queries[0]["MetricStat"] == {
        "Metric": {
            "Namespace": "Acme",
            "MetricName": "req",
            "Dimensions": [{"Name": "Service", "Value": "shop"}, {"Name": "Hash", "Value": "abc123"}],
        },
        "Period": 60,
        "Stat": "Sum",
    }
    assert reading.queries[0] == "Sum of Acme/req{Service=shop,Hash=abc123}"
    assert server.read(subject=Subject(service="shop")).queries[0] == "Sum of Acme/req{Service=shop}"


def test_no_point_of_errors_is_no_error(server: Server) -> None:
    """A load balancer publishes no 5xx that it did not have; a note says so where there were none for long."""
    del server.points["err Sum"]
    assert (server.read().bad, server.read().value) == (0, 0)
    (note,) = server.port.problems(ERROR_RATE, CANARY)
    assert note.startswith("note: no error in 14 days")


@pytest.mark.parametrize("points", [{}, {0: 100.0}, {3: float("nan")}])
def test_no_whole_point_of_requests_is_no_data(server: Server, points: Points) -> None:
    """No metric, nothing but the period that is still being filled, or no number: no count and no value."""
    server.points = {"req Sum": points}
    reading = server.read()
    assert (reading.total, reading.bad, reading.value, reading.newest) == (None, None, None, None)


def test_a_window_within_a_period_holds_nothing(server: Server) -> None:
    """It is known without asking for counts."""
    reading = server.read(seconds=50)
    assert (reading.total, reading.value) == (None, None)
    assert len(server.asked) == 1


def test_slow_requests_are_counted_in_the_metrics_unit() -> None:
    """A limit of 300 ms of a metric in milliseconds; of that metric all requests, too."""
    server = Server(latency_unit=timedelta(milliseconds=1))
    server.points = {"dur SampleCount": steady(100), "dur p95": steady(120), "dur TC(300:)": steady(1)}
    reading = server.read(P95)
    assert (reading.total, reading.bad, reading.value) == (500, 5, 0.12)


def test_a_percentile_by_expression_has_no_count() -> None:
    """Beside the requests; pre-flight notes it."""
    server = Server(latency={0.95: Expression(expression="SELECT AVG(p95) FROM Acme WHERE S = '{service}'")})
    server.points = {"req Sum": steady(100), "SELECT AVG(p95) FROM Acme WHERE S = 'shop'": steady(0.2)}
    reading = server.read(P95)
    assert (reading.total, reading.bad, reading.value) == (500, None, 0.2)
    assert [problem[:6] for problem in server.port.problems(P95, CANARY)] == ["note: "]


def test_metrics_insights_queries_go_one_by_one() -> None:
    """A request may hold one of them, beside anything else."""
    select = "SELECT SUM(A) FROM B"
    server = Server(requests=Expression(expression=select), errors=Expression(expression=f"{select} WHERE C = 1"))
    server.points = {select: steady(100), f"{select} WHERE C = 1": steady(1)}
    assert server.read().value == 0.01
    assert [len(request["MetricDataQueries"]) for request in server.asked[-2:]] == [1, 1]


def test_a_named_query_is_its_newest_whole_period(server: Server) -> None:
    """Not the oldest, and not the one that is still being filled."""
    server.points = {"SELECT MAX(Depth) FROM Acme WHERE Service = 'shop'": {4: 9.0, 3: 8.0, 2: 7.0, 1: 6.0, 0: 1.0}}
    assert (server.read(QUEUE).value, server.read(QUEUE).total) == (6.0, 4)


@pytest.mark.parametrize("name", ["a' OR 'a'='a", "a,b", "*", "", "A"])
def test_a_name_that_could_change_the_query_is_refused(server: Server, name: str) -> None:
    """In dimensions and in expressions."""
    for objective in (ERROR_RATE, QUEUE):
        with pytest.raises(MeasurementError):
            server.read(objective, subject=Subject(service=name))


def test_a_long_window_of_a_short_period_is_read_by_the_minute() -> None:
    """Points of less than a minute are kept for three hours; the newest is read by itself."""
    server = Server(period=timedelta(seconds=10))
    server.points = {"req Sum": steady(100)}
    reading = server.read(seconds=6 * 3600)
    assert [
        query["MetricStat"]["Period"] for request in server.asked[1:] for query in request["MetricDataQueries"]
    ] == [
        60,
        60,
        10,
    ]
    assert reading.total == 1000
    assert reading.age is not None


def test_silent_queries_are_problems(server: Server) -> None:
    """Each with its text; no raw values of the metric is a note only."""
    server.points = {"dur SampleCount": steady(1)}
    problems = server.port.problems(P95, CANARY)
    assert [problem[:8] for problem in problems] == ["no point", "note: Cl"]
    assert "p95 of Acme/dur" in problems[0]


@pytest.mark.parametrize(
    ("objective", "words"),
    [
        (Objective(kind=Kind.LATENCY, limit=0.3, quantile=0.99), "no query for the p99 latency"),
        (Objective(kind=Kind.QUERY, limit=1, subject="other"), "known: queue"),
        (Objective(kind=Kind.SCRIPT, limit=0, subject="./check"), "can't answer for a script"),
    ],
)
def test_what_it_can_not_answer_is_told_before(server: Server, objective: Objective, words: str) -> None:
    """As a problem, and as an error where it is read all the same."""
    assert words in server.port.problems(objective, CANARY)[0]
    with pytest.raises(MeasurementError, match=words):
        server.read(objective)


def test_versions_are_told_apart_by_all_queries_or_not() -> None:
    """One query of the whole service is enough to mix the versions."""
    assert Server().port.tells_versions_apart
    assert not Server(errors=Expression(expression="SUM(METRICS())")).port.tells_versions_apart


def test_an_answer_without_a_time_is_none(server: Server) -> None:
    """Windows are never cut by this machine's clock."""
    server.headers = {}
    with pytest.raises(Faulted, match="Date"):
        server.read()


def test_an_error_of_the_connection_passes_or_is_told(server: Server) -> None:
    """Whatever botocore raises, a socket's error is an answer that did not come; anything else makes no sense."""
    for error, ours in (
        (ConnectionResetError("reset"), Unreachable),
        (UnicodeDecodeError("a", b"", 0, 1, ""), Faulted),
    ):
        server.error = error
        with pytest.raises(ours):
            server.read()


def test_without_boto3_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is needed with the first request, not before."""
    monkeypatch.setitem(sys.modules, "boto3", None)
    port = CloudWatch(
        "eu-west-1",
        requests=metric("req"),
        errors=metric("err"),
        period=timedelta(minutes=1),
        delay=timedelta(minutes=1),
        timeout=timedelta(seconds=1),
        clock=FakeClock(NOW),
    )
    with pytest.raises(ConfigError, match=r"pytest-deploy\[cloudwatch\]"):
        port.now()


@pytest.mark.parametrize("judge", [Contract(min_requests=1), EvidenceJudge()])
@pytest.mark.parametrize(
    ("req", "err"),
    [
        ({}, {}),
        (steady(0), {}),
        (dict.fromkeys(range(4, 11), 9000.0), {}),
        (steady(1), steady(2)),
        (steady(-5), {}),
        ({0: 9000.0}, {}),
        (steady(float("nan")), {}),
    ],
    ids=["none", "still", "stale", "misfit", "negative", "unfinished", "nan"],
)
def test_nothing_that_is_no_evidence_passes(server: Server, judge: Judge, req: Points, err: Points) -> None:
    """No errors in any of them, and no PASS."""
    server.points = {"req Sum": req, "err Sum": err}
    ruling = judge(over_ten_minutes(server), ERROR_RATE)
    assert ruling is not None
    assert ruling.kind in {VerdictKind.NO_DATA, VerdictKind.INCONCLUSIVE, VerdictKind.ERROR}


def test_sound_counts_pass(server: Server) -> None:
    """What the cases above lack is all that they lack."""
    server.points = {"req Sum": steady(1000)}
    ruling = Contract(min_requests=1)(over_ten_minutes(server), ERROR_RATE)
    assert ruling is not None
    assert ruling.kind is VerdictKind.PASS


def over_ten_minutes(server: Server) -> Evidence:
    """Read ten minutes, and call the window over."""
    window = timedelta(minutes=10)
    return Evidence(
        window=window,
        started=NOW - window,
        readings=(server.read(seconds=600),),
        scrape_interval=server.port.scrape_interval,
        over=True,
    )
