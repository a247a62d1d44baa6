"""What is asked of Datadog, and what is made of its answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.adapters.datadog import Datadog
from pytest_deploy.adapters.vendor_text import fill
from pytest_deploy.domain.evidence_judge import EvidenceJudge
from pytest_deploy.domain.judge import Contract, Judge
from pytest_deploy.domain.measurement import Evidence, Kind, Objective, Reading, Role, Subject
from pytest_deploy.domain.query import Query
from pytest_deploy.domain.verdict import VerdictKind
from pytest_deploy.errors import MeasurementError
from pytest_deploy.testing.clock import FakeClock

NOW = datetime(2026, 11, 24, 12, 0, 10, tzinfo=UTC)
"""10 s into an interval of 20 s."""
EDGE = NOW - timedelta(seconds=10)
ERROR_RATE = Objective(kind=Kind.ERROR_RATE, limit=0.005)
P95 = Objective(kind=Kind.LATENCY, limit=0.3, quantile=0.95)
QUEUE = Objective(kind=Kind.QUERY, limit=100, subject="queue")
SCOPE = "{service:{service},version:{version}}"
REQUESTS, ERRORS = f"sum:req{SCOPE}.as_count()", f"sum:err{SCOPE}.as_count()"
CANARY = Subject(service="shop", template_hash="abc123", role=Role.CANARY, workload="web", namespace="prod")
ASKED = {
    "sum:req{service:shop,version:abc123}.as_count()": "req",
    "sum:err{service:shop,version:abc123}.as_count()": "err",
}

Points = Mapping[int, float | None]
"""By how many seconds before EDGE the interval begins."""


class Server:
    """Answers v2 or v1 with points by the first word of a query's metric; what is not known has no series."""

    def __init__(self, **more: Any) -> None:
        self.points: dict[str, Points] = {}
        self.intervals: dict[str, int] = {}
        self.asked: list[Any] = []
        settings: dict[str, Any] = {"delay": timedelta(seconds=0), **more}
        self.port = Datadog(
            "https://api.example.com",
            api_key="api-s3cret",
            app_key="app-s3cret",
            requests=REQUESTS,
            errors=ERRORS,
            queries={"queue": Query(name="queue", text="avg:queue{namespace:{namespace}}.rollup(avg, {window})")},
            interval=timedelta(seconds=20),
            timeout=timedelta(seconds=10),
            clock=FakeClock(NOW),
            transport=httpx2.MockTransport(self._handle),
            **settings,
        )

    def _handle(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":
            self.asked.append(dict(request.url.params))
            metric = self._metric(request.url.params["query"])
            points = [[self._ms(ago), value] for ago, value in self.points.get(metric, {}).items()]
            series = [{"interval": self.intervals.get(metric, 20), "scope": "x", "pointlist": points}] if points else []
            return httpx2.Response(200, json={"status": "ok", "series": series})
        asked = json.loads(request.content)["data"]["attributes"]
        self.asked.append(asked)
        found = [self.points.get(self._metric(query["query"])) for query in asked["queries"]]
        agos = sorted({ago for points in found if points for ago in points}, reverse=True)
        shown = [(index, points) for index, points in enumerate(found) if points]
        attributes = {
            "series": [{"group_tags": ["a:b"], "query_index": index} for index, _ in shown],
            "times": [self._ms(ago) for ago in agos],
            "values": [[points.get(ago) for ago in agos] for _, points in shown],
        }
        return httpx2.Response(200, json={"data": {"attributes": attributes}})

    def _metric(self, query: str) -> str:
        return query.split(":", 1)[1].split("{", 1)[0]

    def _ms(self, ago: int) -> float:
        return (EDGE - timedelta(seconds=ago)).timestamp() * 1000

    def read(self, objective: Objective = ERROR_RATE, *, seconds: float = 100, subject: Subject = CANARY) -> Reading:
        """Read the last seconds."""
        return self.port.read(objective, subject, NOW - timedelta(seconds=seconds))


def steady(value: float | None, *, agos: Sequence[int] = range(0, 200, 20)) -> dict[int, float | None]:
    """Make the same value in each interval, the one that is still being filled included."""
    return dict.fromkeys(agos, value)


@pytest.fixture
def server() -> Server:
    """One with requests, of which some failed."""
    found = Server()
    found.points = {"req": steady(100), "err": steady(2)}
    return found


def test_only_whole_intervals_count(server: Server) -> None:
    """The window holds 80 s of whole intervals and parts of two more: what is in those may be from outside it."""
    server.points = {"req": {**steady(100), 100: 5000, 0: 7000}, "err": {**steady(2), 100: 5000, 0: 7000}}
    reading = server.read(seconds=109)
    assert (reading.total, reading.bad, reading.value) == (400, 8, 0.02)
    assert (reading.newest, reading.at) == (EDGE, NOW)


def test_the_window_ends_before_what_may_still_grow() -> None:
    """With a delay of 15 s the interval that ended 10 s ago is left out, and the reading says until when it is."""
    server = Server(delay=timedelta(seconds=15))
    server.points = {"req": steady(100)}
    reading = server.read()
    assert (reading.total, reading.at) == (300, NOW - timedelta(seconds=15))
    assert reading.newest == EDGE - timedelta(seconds=20)


def test_both_counts_come_in_one_request(server: Server) -> None:
    """v2: at the interval that is configured, from the window's beginning until after now."""
    reading = server.read()
    (asked,) = server.asked
    assert [query["query"] for query in asked["queries"]] == list(ASKED)
    assert tuple(ASKED) == reading.queries
    assert asked["interval"] == 20_000
    assert asked["from"] == (NOW - timedelta(seconds=100)).timestamp() * 1000
    assert asked["to"] > NOW.timestamp() * 1000


def test_v1_asks_one_by_one() -> None:
    """In seconds, each with its own query."""
    server = Server(api="v1")
    server.points = {"req": steady(100), "err": steady(2)}
    assert server.read().value == 0.02
    assert [params["query"] for params in server.asked] == list(ASKED)
    assert server.asked[0]["from"] == str(int((NOW - timedelta(seconds=100)).timestamp()))


def test_no_point_of_errors_is_no_error(server: Server) -> None:
    """Datadog has no series of what never happened."""
    del server.points["err"]
    assert (server.read().bad, server.read().value) == (0, 0)


@pytest.mark.parametrize("points", [{}, {0: 100.0}, steady(None)])
def test_no_whole_point_of_requests_is_no_data(server: Server, points: Points) -> None:
    """No series, nothing but the interval that is still being filled, or gaps: no count and no value."""
    server.points["req"] = points
    del server.points["err"]
    reading = server.read()
    assert (reading.total, reading.bad, reading.value, reading.newest) == (None, None, None, None)


def test_requests_that_stand_still_have_no_value(server: Server) -> None:
    """0 of 0 is no ratio."""
    server.points = {"req": steady(0)}
    assert (server.read().total, server.read().value) == (0, None)


@pytest.mark.parametrize(
    ("req", "err", "words"),
    [
        (steady(1), steady(2), "the queries do not count the same requests"),
        (steady(-1), steady(0), "below 0"),
        (steady(100), steady(-2), "below 0"),
    ],
)
def test_counts_that_do_not_fit_are_a_problem(server: Server, req: Points, err: Points, words: str) -> None:
    """More errors than requests, or fewer than none: whatever was asked, it is no evidence."""
    server.points = {"req": req, "err": err}
    assert words in server.read().problem


def test_counts_of_different_intervals_are_a_problem() -> None:
    """v1 chooses the interval of each query by itself."""
    server = Server(api="v1")
    server.points = {"req": steady(100), "err": steady(2, agos=range(0, 200, 60))}
    server.intervals["err"] = 60
    assert server.read(seconds=190).problem == "the requests came by 20 s, the bad ones by 60 s"


def test_a_larger_interval_than_asked_is_seen(server: Server) -> None:
    """Datadog may answer with larger ones and does not say so: the points' times do."""
    server.points = {"req": steady(300, agos=range(0, 360, 60)), "err": steady(3, agos=range(0, 360, 60))}
    reading = server.read(seconds=200)
    assert (reading.total, reading.bad) == (900, 9)
    assert reading.newest == EDGE


def test_a_gap_makes_no_larger_interval(server: Server) -> None:
    """Where a minute is missing, the other points still stand for 20 s each."""
    agos = (180, 160, 140, 80, 60, 40, 20)
    server.points = {"req": steady(100, agos=agos), "err": steady(1, agos=agos)}
    reading = server.read(seconds=200)
    assert (reading.total, reading.bad, reading.newest) == (700, 7, EDGE)


def test_a_percentile_alone_has_no_count() -> None:
    """The worst interval's: those of intervals can't be pooled, and the window's own is at most that."""
    server = Server(latency={0.95: "p95:dur{service:{service}}"}, latency_unit=timedelta(milliseconds=1))
    server.points = {"req": steady(100), "dur": {**steady(120), 40: 200, 0: 900}}
    reading = server.read(P95)
    assert (reading.total, reading.bad, reading.value, reading.neighbours) == (400, None, 0.2, None)


def slow_server(*bounds: float) -> Server:
    """Make one that counts slow requests at these bounds."""
    latency = {0.95: "p95:dur{service:{service}}"}
    found = Server(latency=latency, slow={bound: f"sum:slow{bound:g}{{a:b}}.as_count()" for bound in bounds})
    found.points = {"req": steady(100), "dur": {**steady(0.1), 40: 0.9}}
    return found


def test_counted_slow_requests_are_exact() -> None:
    """They prove that the window's own p95 is within the limit, though one interval's is not."""
    server = slow_server(0.3)
    server.points["slow0.3"] = steady(2)
    reading = server.read(P95)
    assert (reading.bad, reading.value) == (8, 0.3)


def test_too_many_slow_requests_leave_the_value() -> None:
    """A breach is shown as it is."""
    server = slow_server(0.3)
    server.points["slow0.3"] = steady(20)
    assert (server.read(P95).bad, server.read(P95).value) == (80, 0.9)


def test_slow_requests_that_nobody_counted_are_not_known() -> None:
    """A wrong metric would look the same: the percentile alone is judged."""
    server = slow_server(0.3)
    assert (server.read(P95).bad, server.read(P95).value) == (None, 0.9)


def test_counts_below_and_above_are_neighbours() -> None:
    """For a limit that no query counts at."""
    server = slow_server(0.2, 0.5)
    server.points.update({"slow0.2": steady(5), "slow0.5": steady(1)})
    reading = server.read(P95)
    assert reading.bad is None
    assert reading.neighbours is not None
    assert [(each.bound_s, each.slower) for each in reading.neighbours] == [(0.2, 20), (0.5, 4)]


def test_a_named_query_is_its_newest_whole_interval(server: Server) -> None:
    """Not the oldest, and not the one that is still being filled."""
    server.points["queue"] = {80: 9.0, 60: 8.0, 40: 7.0, 20: 6.0, 0: 1.0}
    reading = server.read(QUEUE)
    assert (reading.value, reading.total, reading.bad) == (6.0, 4, None)
    assert reading.queries == ("avg:queue{namespace:prod}.rollup(avg, 100)",)


def test_the_whole_service_is_any_version(server: Server) -> None:
    """Datadog's own wildcard."""
    reading = server.read(subject=Subject(service="shop"))
    assert reading.queries[0] == "sum:req{service:shop,version:*}.as_count()"


@pytest.mark.parametrize("name", ["a,env:b", "a}", "*", "!a", "A", "", "a b", "a\n", "-a", "ü"])
def test_a_name_that_could_change_the_query_is_refused(server: Server, name: str) -> None:
    """Nothing is sent."""
    with pytest.raises(MeasurementError):
        server.read(subject=Subject(service=name))
    assert server.asked == []


@given(name=st.text(max_size=20))
def test_a_name_is_refused_or_stands_as_it_is(name: str) -> None:
    """Whatever it is, the text around it stays, and what is put in holds no character with a meaning."""
    try:
        text = fill("sum:a{b:{service},{c}}{d}", Subject(service=name), window_s=1)
    except MeasurementError:
        return
    assert text == f"sum:a{{b:{name},{{c}}}}{{d}}"
    assert all(character.isascii() and (character.isalnum() or character in "-.") for character in name)


def test_an_unknown_token_value_is_told(server: Server) -> None:
    """A query of a namespace that nobody knows."""
    with pytest.raises(MeasurementError, match="namespace"):
        server.read(QUEUE, subject=Subject(service="shop"))


@pytest.mark.parametrize(
    ("objective", "words"),
    [
        (P95, "no query for the p95 latency"),
        (Objective(kind=Kind.QUERY, limit=1, subject="other"), "known: queue"),
        (Objective(kind=Kind.SCRIPT, limit=0, subject="./check"), "can't answer for a script"),
    ],
)
def test_what_it_can_not_answer_is_told_before(server: Server, objective: Objective, words: str) -> None:
    """As a problem, and as an error where it is read all the same."""
    assert words in server.port.problems(objective, CANARY)[0]
    with pytest.raises(MeasurementError, match=words):
        server.read(objective)


def test_silent_queries_are_problems() -> None:
    """Each with its text; the slow requests that nobody counts are a note only."""
    server = Server(latency={0.95: "p95:dur{service:{service}}"})
    problems = server.port.problems(P95, CANARY)
    assert [problem.rsplit(": ", 1)[0].split(",")[0] for problem in problems[:2]] == [
        "no point of shop in the last hour"
    ] * 2
    assert problems[2].startswith("note: ")
    assert "0.3 s" in problems[2]


def test_versions_are_told_apart_by_all_queries_or_not() -> None:
    """One query of the whole service is enough to mix the versions."""
    assert Server().port.tells_versions_apart
    assert not Server(latency={0.95: "p95:dur{service:{service}}"}).port.tells_versions_apart


def test_no_key_is_in_a_repr(server: Server) -> None:
    """Neither of the adapter nor of what it holds."""
    shown = repr(server.port) + repr(vars(server.port))
    assert "s3cret" not in shown


@pytest.mark.parametrize("judge", [Contract(min_requests=1), EvidenceJudge()])
@pytest.mark.parametrize(
    ("req", "err"),
    [
        ({}, {}),
        (steady(None), {}),
        (steady(0), {}),
        (steady(1000, agos=range(60, 400, 20)), {}),
        (steady(1000, agos=[380, 360, 340, 320]), {}),
        (steady(1), steady(2)),
        (steady(-5), {}),
        ({0: 9000.0}, {}),
    ],
    ids=["none", "null", "still", "stale", "old", "misfit", "negative", "unfinished"],
)
def test_nothing_that_is_no_evidence_passes(server: Server, judge: Judge, req: Points, err: Points) -> None:
    """No errors in any of them, and no PASS."""
    server.points = {"req": req, "err": err}
    ruling = judge(over_five_minutes(server), ERROR_RATE)
    assert ruling is not None
    assert ruling.kind in {VerdictKind.NO_DATA, VerdictKind.INCONCLUSIVE, VerdictKind.ERROR}


def test_sound_counts_pass(server: Server) -> None:
    """What the cases above lack is all that they lack."""
    server.points = {"req": steady(1000, agos=range(0, 400, 20)), "err": {}}
    ruling = Contract(min_requests=1)(over_five_minutes(server), ERROR_RATE)
    assert ruling is not None
    assert ruling.kind is VerdictKind.PASS


def over_five_minutes(server: Server) -> Evidence:
    """Read five minutes, and call the window over."""
    window = timedelta(seconds=300)
    return Evidence(
        window=window,
        started=NOW - window,
        readings=(server.read(seconds=300),),
        scrape_interval=server.port.scrape_interval,
        over=True,
    )
