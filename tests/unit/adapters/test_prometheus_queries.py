"""Named queries, the shipped ones, and alerts that do not fire."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pytest_deploy.domain.measurement import Kind, Objective, Subject
from pytest_deploy.domain.query import ALERTS, MEMORY, RESTARTS, THROTTLING, Query
from pytest_deploy.errors import Faulted, MeasurementError, Rejected
from tests.unit.adapters.prometheus_server import NOW, NOW_S, SERVICE, Server

LAG = Objective(kind=Kind.QUERY, limit=100, subject="lag", unit="messages")
ASKED = 'max(lag{app="svc"}) + sum(rate(other[300s]))'
CANARY = Subject(service="svc", template_hash="6f7d", workload="my.app", namespace="shop")
ALERTS_QUERY = 'count(ALERTS{alertstate="firing",service="svc"})'
FIRING = Objective(kind=Kind.QUERY, limit=0, subject=ALERTS)


def lag(text: str = 'max(lag{app="{service}"}) + sum(rate(other[{window}]))') -> Server:
    """Make a server that knows a query of a team's own."""
    return Server(queries={"lag": Query(name="lag", text=text, unit="messages")})


def answering() -> Server:
    """Make one that has an answer to it: two selectors, the second is older."""
    server = lag()
    server.has(ASKED, 12)
    for series, count, age_s in (('lag{app="svc"}', 20, 3), ("other", 40, 7)):
        server.has(f"sum(count_over_time({series}[300s]))", count)
        server.has(f"max(timestamp({series}))", NOW_S - age_s)
    return server


def test_a_named_query_is_a_number_with_its_samples() -> None:
    """Value, samples in the window, and the freshness of the selector that is oldest."""
    reading = answering().read(LAG)
    assert (reading.value, reading.total, reading.bad, reading.problem) == (12, 60, None, "")
    assert reading.age == timedelta(seconds=7)
    assert reading.queries[0] == ASKED


def test_a_scalar_is_a_number_too() -> None:
    """``scalar(...)`` has no labels and another shape."""
    server = lag("scalar(x)")
    server.scalars["scalar(x)"] = "4"
    assert server.read(LAG).value == 4


def test_a_query_without_series_is_no_data() -> None:
    """``or vector(0)`` has a value whatever happens, and no sample behind it."""
    server = lag("sum(errors) or vector(0)")
    server.has("sum(errors) or vector(0)", 0)
    reading = server.read(LAG)
    assert (reading.value, reading.total, reading.newest) == (0, None, None)
    constant = lag("vector(0)")
    constant.has("vector(0)", 0)
    assert constant.read(LAG).total is None
    assert "rests on no series" in constant.port.problems(LAG, SERVICE)[0]


@pytest.mark.parametrize("text", ["NaN", "+Inf", "-Inf"])
def test_what_is_not_finite_is_no_value(text: str) -> None:
    """The samples are there, the number is not."""
    server = answering()
    server.vectors[ASKED] = [({}, text)]
    assert server.read(LAG).value is None


def test_more_numbers_than_one_are_a_fault() -> None:
    """The first or last of several is not taken; pre-flight says how to mend it."""
    server = answering()
    server.has(ASKED, 13, pod="b")
    with pytest.raises(Faulted, match="2 series where one was expected"):
        server.read(LAG)
    server.has('count(last_over_time(lag{app="svc"}[5m]))', 1)
    server.has("count(last_over_time(other[5m]))", 1)
    assert "sum or max them" in server.port.problems(LAG, SERVICE)[0]


def test_only_the_tokens_are_replaced() -> None:
    """Braces and names that only look like tokens stay as they are."""
    server = lag('{a="{service}",b="{version}"} + {workload}{namespace="{namespace}",x="{Service}"}[{window}:{step}]')
    reading = server.read(LAG, subject=Subject(service="s", template_hash="h", workload="w", namespace="n"))
    assert reading.queries[0] == '{a="s",b="h"} + w{namespace="n",x="{Service}"}[300s:{step}]'


@pytest.mark.parametrize("name", ['x"', "x}", "X", "-x", "x y", "x\n", "", "ä", "x" * 254])
def test_a_value_that_is_no_kubernetes_name_is_refused(name: str) -> None:
    """It could change the query around it; a value that is not known can't be replaced."""
    server = lag()
    with pytest.raises(MeasurementError, match=r"no name in Kubernetes|not known here"):
        server.read(LAG, subject=Subject(service=name))
    assert [params["query"] for params in server.asked] == ["time()"]
    assert len(server.port.problems(LAG, Subject(service=name))) == 1


def test_an_unknown_query_is_a_wrong_one() -> None:
    """It names those that are known; so do its problems, and what is no query at all has its own words."""
    with pytest.raises(MeasurementError, match="known: CPU throttling, container restarts, firing alerts, memory use"):
        Server().read(LAG)
    assert "there is no query 'lag'" in Server().port.problems(LAG, SERVICE)[0]
    with pytest.raises(MeasurementError, match="can't answer for a script"):
        Server().read(Objective(kind=Kind.SCRIPT, limit=0, subject="./check.sh"))


def test_a_query_of_a_version_waits_for_the_version() -> None:
    """Before the canary is there a team's query with its hash can't be tried, which is a note and no problem."""
    server = lag('sum(x{v="{version}"})')
    assert server.port.problems(LAG, SERVICE)[0].startswith("note: ")
    assert "has no series to rest on" in server.port.problems(LAG, CANARY)[0]


def test_a_part_without_series_is_a_note() -> None:
    """Errors that never came are no reason to refuse; a query of which nothing is there is one."""
    server = answering()
    server.has("count(last_over_time(other[5m]))", 3)
    assert server.port.problems(LAG, SERVICE) == ("note: lag{app=\"svc\"} in the query 'lag' has no series now",)
    server.has('count(last_over_time(lag{app="svc"}[5m]))', 3)
    assert server.port.problems(LAG, SERVICE) == ()


@pytest.mark.parametrize("name", [THROTTLING, MEMORY, RESTARTS])
def test_a_shipped_query_is_of_the_versions_pods(name: str) -> None:
    """Pods are known by Rollout, pod-template hash and namespace; a name is no pattern, no version is every one."""
    objective = Objective(kind=Kind.QUERY, limit=0, subject=name)
    query = Server().read(objective, subject=CANARY).queries[0]
    assert 'namespace="shop",pod=~"my[.]app-6f7d-[a-z0-9]+",container!=""' in query
    assert "[300s]" in query
    unknown = Subject(service="svc", workload="app", namespace="shop")
    assert 'pod=~"app-[a-z0-9]+-[a-z0-9]+"' in Server().read(objective, subject=unknown).queries[0]
    with pytest.raises(MeasurementError, match=r"asks for \{namespace\}"):
        Server().read(objective, subject=SERVICE)


def test_a_teams_query_replaces_one_that_ships() -> None:
    """Of the same name; alerts too, which then need no rules."""
    for name in (MEMORY, ALERTS):
        server = Server(queries={name: Query(name=name, text="sum(mine)")})
        server.has("sum(mine)", 5)
        assert server.read(Objective(kind=Kind.QUERY, limit=0, subject=name)).value == 5


def rule(*, health: str = "ok", age_s: float = 10, interval: float = 15, **more: Any) -> dict[str, Any]:
    """Make a group with one alerting rule, and a recording one that proves nothing."""
    evaluated = (NOW - timedelta(seconds=age_s)).isoformat().replace("+00:00", "123Z")
    alert = {"type": "alerting", "name": "High", "query": "x > 1", "health": health, "lastEvaluation": evaluated}
    recording = {"type": "recording", "name": "r", "health": "ok", "lastEvaluation": evaluated}
    return {"interval": interval, "rules": [{**alert, **more}, recording]}


def test_alerts_are_counted_where_rules_are_at_work() -> None:
    """No alert is 0 with a rule that was evaluated in time, as fresh as the look; one that fires is one."""
    server = Server()
    server.groups = [rule(), rule(age_s=100, interval=60)]
    reading = server.read(FIRING)
    assert (reading.value, reading.total, reading.age, reading.problem) == (0, 2, timedelta(), "")
    assert reading.queries == (ALERTS_QUERY,)
    assert server.port.problems(FIRING, SERVICE) == ()
    server.has(ALERTS_QUERY, 3)
    assert server.read(FIRING).value == 3


@pytest.mark.parametrize(
    "groups", [[], [{"interval": 15, "rules": []}], [rule(health="unknown")], [rule(age_s=31)], [rule(health="err")]]
)
def test_no_rule_at_work_is_no_data(groups: list[dict[str, Any]]) -> None:
    """Where no rule is loaded, or none was evaluated in time, silence says nothing."""
    server = Server()
    server.groups = groups
    reading = server.read(FIRING)
    assert (reading.value, reading.total, reading.newest) == (None, None, None)
    assert "no alerting rule is loaded and evaluated" in server.port.problems(FIRING, SERVICE)[0]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"health": "err", "lastError": "many-to-many", "labels": {"service": "svc"}}, "is err: many-to-many"),
        ({"health": "unknown", "name": "svc down"}, "is unknown: not evaluated yet"),
        ({"age_s": 40, "query": 'x{service="svc"}'}, "was evaluated 40 s ago, at most 30 s"),
    ],
)
def test_a_rule_of_the_service_that_sleeps_is_a_problem(more: dict[str, Any], words: str) -> None:
    """It may be the one that would fire; a rule of others is not ours to mend."""
    server = Server()
    server.groups = [rule(), rule(health="err", labels={"service": "others"}), rule(**more)]
    assert words in server.read(FIRING).problem
    problems = server.port.problems(FIRING, SERVICE)
    assert len(problems) == 1
    assert words in problems[0]


@pytest.mark.parametrize("groups", [None, [1], [{}], [{"interval": "x", "rules": []}], [rule(lastEvaluation="soon")]])
def test_rules_that_make_no_sense_are_a_fault(groups: Any) -> None:
    """Nothing is made up from an answer of another shape."""
    server = Server()
    server.groups = groups
    with pytest.raises(Faulted, match="rules"):
        server.read(FIRING)


def test_a_server_that_shows_no_rules_can_not_tell() -> None:
    """404 of the rules is a problem before the deploy, and no 0 in it."""
    server = Server()
    server.groups = "hidden"
    assert "does not show its rules" in server.port.problems(FIRING, SERVICE)[0]
    with pytest.raises(Rejected):
        server.read(FIRING)


def test_another_time_is_given_to_every_query() -> None:
    """``as_of`` reads what was, without asking for the server's time; the one it came from goes on as before."""
    server = answering()
    then = datetime(2026, 11, 1, tzinfo=UTC)
    past = server.port.as_of(lambda: then)
    assert past.now() == then
    assert past.read(LAG, SERVICE, then - timedelta(seconds=300)).at == then
    assert {params["time"] for params in server.asked} == {f"{then.timestamp():.3f}"}
    assert server.port.now() == NOW


def test_alerts_of_the_past_have_no_proof() -> None:
    """Which rules were at work then can't be told; those of now are asked for by the server's own time."""
    server = Server()
    server.groups = [rule()]
    past = server.port.as_of(lambda: NOW - timedelta(days=3))
    assert "in the past can't be told" in past.read(FIRING, SERVICE, NOW - timedelta(days=4)).problem


def test_a_services_name_stays_inside_the_alerts_literal() -> None:
    """A label's value is escaped, never pasted."""
    server = Server()
    name = 'x"} or vector(1) #'
    query = server.read(FIRING, subject=Subject(service=name)).queries[0]
    assert query == f'count(ALERTS{{alertstate="firing",service={json.dumps(name)}}})'
