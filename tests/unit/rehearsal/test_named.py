"""Named queries in a rehearsal: what ships is played, a team's number is made up and says so."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pytest_deploy.domain.measurement import Kind, Objective, Reading, Role, Subject
from pytest_deploy.domain.query import ALERTS, MEMORY, RESTARTS, THROTTLING, Query
from pytest_deploy.errors import MeasurementError, Unreachable
from tests.unit.rehearsal.conftest import ERRORS, P95, Drive, MakeDrive

LAG = Query(name="consumer lag", text='max(kafka_lag{group="{service}"})', unit="messages")


def named(name: str, limit: float = 0.0, *, at_least: bool = False) -> Objective:
    """Return a gate's objective on this query."""
    return Objective(kind=Kind.QUERY, limit=limit, subject=name, at_least=at_least)


def ask(drive: Drive, seconds: float, objective: Objective, version: str | None = None) -> Reading:
    """Watch for some seconds, then ask."""
    return drive.read(seconds, objective, version)


@pytest.mark.parametrize(("name", "value"), [(THROTTLING, 0.01), (MEMORY, 0.6), (RESTARTS, 0), (ALERTS, 0)])
def test_a_sound_version_has_sound_numbers(prod: Drive, name: str, value: float) -> None:
    """Each rests on the samples of the window, and says that it was rehearsed."""
    reading = ask(prod, 60, named(name), prod.state.stable_hash)
    assert (reading.value, reading.total, reading.bad) == (value, 4, None)
    assert reading.newest == reading.at
    assert reading.queries[0].startswith(f"rehearsed: {name} of ")


@pytest.mark.parametrize("name", [THROTTLING, MEMORY, RESTARTS])
def test_what_has_no_pods_has_no_number(prod: Drive, name: str) -> None:
    """Another version, another service, or a window with one sample: no data, never zero."""
    since = prod.ports.metrics.now()
    prod.run(60)
    for subject in (Subject(service="shop", template_hash="ffff"), Subject(service="other")):
        reading = prod.ports.metrics.read(named(name), subject, since)
        assert (reading.total, reading.value, reading.newest) == (None, None, None)
    assert ask(prod, 15, named(name)).value is None


def test_no_data_and_stale_data_hide_numbers_too(prod: Drive) -> None:
    """Of the canary alone the one, of all the other; what is old shows by its age."""
    state = prod.canary()
    prod.fault("no data")
    assert ask(prod, 60, named(MEMORY), state.current_hash).total is None
    assert ask(prod, 60, named(MEMORY), state.stable_hash).total == 4
    since = prod.ports.metrics.now()
    prod.run(60)
    prod.fault("stale data")
    prod.run(60)
    old = prod.ports.metrics.read(named(MEMORY), Subject(service="shop", template_hash=state.stable_hash), since)
    assert old.value == 0.6
    assert old.age is not None
    assert timedelta(seconds=60) <= old.age < timedelta(seconds=75)


def test_each_crash_is_a_restart(prod: Drive) -> None:
    """Of the five pods at 25 %, once each, however long they stay so; the window after it has none."""
    state = prod.raise_to(25)
    prod.fault("pods crash")
    assert ask(prod, 300, named(RESTARTS), state.current_hash).value == 5
    assert ask(prod, 300, named(RESTARTS), state.current_hash).value == 0
    assert ask(prod, 300, named(RESTARTS), state.stable_hash).value == 0
    assert ask(prod, 300, named(RESTARTS)).value == 0


def test_an_alert_fires_while_most_requests_fail(prod: Drive) -> None:
    """For the service, whichever version is asked for; and no longer than that."""
    state = prod.raise_to(25)
    prod.fault("error rate 60% for 5 minutes")
    assert ask(prod, 120, named(ALERTS), state.current_hash).value == 1
    assert ask(prod, 120, named(ALERTS), state.stable_hash).value == 1
    prod.run(120)
    assert ask(prod, 60, named(ALERTS), state.current_hash).value == 0


def test_fewer_failures_fire_nothing(prod: Drive) -> None:
    """Half of the requests and less."""
    state = prod.raise_to(25)
    prod.fault("error rate 50%")
    assert ask(prod, 120, named(ALERTS), state.current_hash).value == 0


@pytest.mark.parametrize("at_least", [False, True])
def test_a_team_s_number_is_at_its_limit_and_made_up(make_drive: MakeDrive, at_least: bool) -> None:
    """Nothing here knows it: it keeps the limit, and the query says that nothing was asked."""
    drive = make_drive(queries={LAG.name: LAG})
    objective = named("consumer lag", 1000, at_least=at_least)
    reading = ask(drive, 60, objective)
    assert reading.value == 1000
    assert objective.keeps(reading.value)
    assert reading.queries == (f"rehearsed: the number is made up, nothing was asked; real: {LAG.text}",)


def test_a_team_s_query_replaces_one_that_ships(make_drive: MakeDrive) -> None:
    """By its name."""
    drive = make_drive(queries={MEMORY: Query(name=MEMORY, text="our_memory", unit="%")})
    assert ask(drive, 60, named(MEMORY, 0.8)).value == 0.8


def test_an_unknown_query_is_refused(make_drive: MakeDrive) -> None:
    """Told with all names that are known, the team's among them."""
    drive = make_drive(queries={LAG.name: LAG})
    (problem,) = drive.ports.metrics.problems(named("lag"), Subject(service="shop"))
    assert problem == (
        "no query is called 'lag', known are: CPU throttling, consumer lag, container restarts, firing alerts, "
        "memory use; add it to metrics.queries in deploy.yaml"
    )
    with pytest.raises(MeasurementError, match="no query is called 'lag'"):
        ask(drive, 60, named("lag"))


@pytest.mark.parametrize("kind", [Kind.SCRIPT, Kind.STEP])
def test_what_is_no_metric_is_not_read(prod: Drive, kind: Kind) -> None:
    """A script's or a step's answer never comes from here."""
    with pytest.raises(MeasurementError, match=f"a {kind} is not read from metrics"):
        ask(prod, 60, Objective(kind=kind, limit=0, subject="x"))


def test_problems_of_requests(prod: Drive) -> None:
    """None where all is there; an unknown service with its mend; a limit without a bucket with the one to add."""
    metrics, shop = prod.ports.metrics, Subject(service="shop", role=Role.SERVICE)
    assert metrics.problems(ERRORS, shop) == metrics.problems(P95, shop) == metrics.problems(named(ALERTS), shop) == ()
    (unknown,) = metrics.problems(ERRORS, Subject(service="shp"))
    assert unknown.startswith("no series has service='shp'")
    (note,) = metrics.problems(Objective(kind=Kind.LATENCY, limit=0.27, quantile=0.95), shop)
    assert note == (
        "note: no bucket ends at 270 ms, so how many are slower is known only to lie between those of 200 ms and "
        '300 ms; add le="0.27" to the histogram'
    )
    relative = Objective(kind=Kind.LATENCY, limit=0.02, quantile=0.95, relative=True)
    assert metrics.problems(relative, shop) == ()


def test_a_server_that_is_down_tells_no_problems(prod: Drive) -> None:
    """Unreachable: that is not "no problem"."""
    prod.fault("prometheus down")
    with pytest.raises(Unreachable):
        prod.ports.metrics.problems(ERRORS, Subject(service="shop"))
