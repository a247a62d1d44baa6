"""What a source of metrics must tell."""

# ruff: noqa: S101 - a contract is made of assertions

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from pytest_deploy.domain.measurement import Kind, Objective, Reading, Role, Subject
from pytest_deploy.domain.query import ALERTS, MEMORY, RESTARTS, THROTTLING
from pytest_deploy.errors import MeasurementError
from pytest_deploy.testing.contracts.world import NEW, OnRelease, World

__all__ = ["MetricsContract"]

ERROR_RATE = Objective(kind=Kind.ERROR_RATE, limit=0.005)
P95 = Objective(kind=Kind.LATENCY, limit=0.3, quantile=0.95)
NAMED = {
    name: Objective(kind=Kind.QUERY, limit=limit, subject=name, unit=unit)
    for name, limit, unit in ((THROTTLING, 0.25, "%"), (MEMORY, 0.9, "%"), (RESTARTS, 0, ""), (ALERTS, 0, ""))
}


class MetricsContract(OnRelease):
    """Where the numbers come from."""

    def test_the_servers_clock_is_aware_and_goes_on(self, world: World) -> None:
        """The server's now has a time zone and moves with time."""
        first = world.ports.metrics.now()
        assert first.tzinfo is not None
        world.let_time_pass(2)
        assert timedelta(seconds=1) < world.ports.metrics.now() - first < timedelta(seconds=30)

    def test_no_series_is_no_data(self, world: World) -> None:
        """A service that has no series gives no counts and no value; never zero."""
        for objective in (ERROR_RATE, P95):
            reading = self._read(world, objective, Subject(service="not-there"), scrapes=3)
            assert (reading.total, reading.value, reading.newest) == (None, None, None)

    def test_no_errors_are_zero_errors(self, world: World) -> None:
        """Requests without one failure have a value: 0."""
        reading = self._read(world, ERROR_RATE, self._all(world), scrapes=8)
        assert reading.total is not None
        assert reading.total > 0
        assert (reading.bad, reading.value, reading.problem) == (0, 0, "")

    def test_errors_are_counted(self, world: World) -> None:
        """One request in five that fails is a value of 20 %, and as many bad ones of the total."""
        world.make_bad(0.2)
        self._scrapes(world, 3)
        reading = self._read(world, ERROR_RATE, self._all(world), scrapes=10)
        assert reading.value == pytest.approx(0.2, rel=0.15)
        assert reading.total
        assert reading.bad is not None
        assert reading.bad <= reading.total
        assert reading.value == pytest.approx(reading.bad / reading.total)

    def test_the_first_error_of_a_window_counts(self, world: World) -> None:
        """A burst shorter than a scrape, in a service without errors before, counts whole: its series begins there."""
        metrics, clock = world.ports.metrics, world.ports.clock
        since = metrics.now()
        self._scrapes(world, 4)
        world.make_bad(1.0)
        began_s = clock.monotonic()
        world.let_time_pass(metrics.scrape_interval.total_seconds() / 4)
        world.make_bad(0.0)
        burst_s = clock.monotonic() - began_s
        self._scrapes(world, 4)
        reading = metrics.read(ERROR_RATE, self._all(world), since)
        assert reading.total
        assert reading.bad is not None
        assert reading.bad == pytest.approx(reading.total * burst_s / (reading.at - since).total_seconds(), rel=0.4)
        assert reading.value == pytest.approx(reading.bad / reading.total)

    def test_what_was_before_the_window_does_not_count(self, world: World) -> None:
        """A window that begins after the errors have ended holds none of them."""
        world.make_bad(0.5)
        self._scrapes(world, 6)
        world.make_bad(0.0)
        self._scrapes(world, 3)
        reading = self._read(world, ERROR_RATE, self._all(world), scrapes=8)
        assert reading.total
        assert (reading.bad, reading.value) == (0, 0)

    def test_a_window_that_has_just_begun_holds_nothing(self, world: World) -> None:
        """At the window's first moment there is no evidence yet, whatever was before."""
        self._scrapes(world, 5)
        metrics = world.ports.metrics
        reading = metrics.read(ERROR_RATE, self._all(world), metrics.now())
        assert (reading.total, reading.bad, reading.value) == (None, None, None)

    def test_a_latency_is_counted_by_its_bucket(self, world: World) -> None:
        """The p95 is about 120 ms; more than 90 % of the requests are at most as slow as the limit."""
        reading = self._read(world, P95, self._all(world), scrapes=8)
        assert reading.value is not None
        assert 0.05 < reading.value < 0.25
        assert reading.total
        assert reading.bad is not None
        assert 0 <= reading.bad / reading.total < 0.1

    def test_a_limit_without_a_bucket_is_counted_by_its_neighbours(self, world: World) -> None:
        """Where no bucket ends at the limit it can't be told how many are slower, only between which counts."""
        reading = self._read(world, replace(P95, limit=0.27), self._all(world), scrapes=8)
        assert reading.value is not None
        assert reading.total
        assert (reading.bad, reading.problem) == (None, "")
        assert reading.neighbours is not None
        below, above = reading.neighbours
        assert (below.bound_s, above.bound_s) == (0.2, 0.3)
        assert 0 <= above.slower <= below.slower < 0.1 * reading.total

    def test_where_the_count_is_exact_there_are_no_neighbours(self, world: World) -> None:
        """A bucket ends at 300 ms; errors have no buckets."""
        for objective in (P95, ERROR_RATE):
            reading = self._read(world, objective, self._all(world), scrapes=4)
            assert reading.bad is not None
            assert reading.neighbours is None

    def test_availability_is_read_as_its_errors(self, world: World) -> None:
        """Its value is the share of bad requests, counted as an error rate's."""
        world.make_bad(0.2)
        self._scrapes(world, 3)
        reading = self._read(world, replace(ERROR_RATE, kind=Kind.AVAILABILITY), self._all(world), scrapes=10)
        assert reading.total
        assert reading.bad is not None
        assert reading.value == pytest.approx(reading.bad / reading.total)
        assert reading.value == pytest.approx(0.2, rel=0.15)

    def test_the_canary_is_read_beside_the_stable_version(self, world: World) -> None:
        """Over the same time, a canary that fails shows it, and the stable version does not."""
        state = self.start_canary(world)
        world.make_bad(0.4)
        self._scrapes(world, 3)
        metrics = world.ports.metrics
        since = metrics.now()
        self._scrapes(world, 8)
        for objective in (ERROR_RATE, replace(ERROR_RATE, relative=True)):
            canary = metrics.read(objective, self._of(world, state.current_hash, Role.CANARY), since)
            control = metrics.read(objective, self._of(world, state.stable_hash, Role.STABLE), since)
            assert canary.value == pytest.approx(0.4, rel=0.15)
            assert (control.bad, control.value) == (0, 0)
            assert canary.total
            assert control.total
            assert canary.total < control.total / 2

    @pytest.mark.parametrize("name", NAMED)
    def test_what_ships_is_answered(self, world: World, name: str) -> None:
        """Each query that ships has a number on a sound version, with the samples behind it, fresh and in bounds."""
        objective = NAMED[name]
        stable = self._of(world, self.state(world).stable_hash, Role.STABLE)
        reading = self._read(world, objective, stable, scrapes=6)
        assert reading.value is not None
        assert reading.value >= 0
        assert objective.keeps(reading.value)
        assert reading.total is not None
        assert reading.total >= 1
        assert (reading.bad, reading.neighbours, reading.problem) == (None, None, "")
        assert reading.queries
        assert reading.age is not None
        assert reading.age <= 2 * world.ports.metrics.scrape_interval

    @pytest.mark.parametrize("name", [THROTTLING, MEMORY, RESTARTS])
    def test_pods_without_series_are_no_data(self, world: World, name: str) -> None:
        """Where no pod of the version has a series there is no number; above all, not 0 restarts."""
        nobody = self._of(world, "ffffffffff", Role.CANARY)
        reading = self._read(world, NAMED[name], nobody, scrapes=4)
        assert (reading.total, reading.value, reading.newest) == (None, None, None)

    def test_restarts_are_counted(self, world: World) -> None:
        """A version whose containers crash has restarted; the stable version beside it has not."""
        metrics = world.ports.metrics
        since = metrics.now()
        world.make_crash()
        world.ports.helm.execute(world.upgrade_to(NEW, base_revision=1))
        self._scrapes(world, 8)
        state = self.state(world)
        crashed = metrics.read(NAMED[RESTARTS], self._of(world, state.current_hash, Role.CANARY), since)
        assert crashed.value is not None
        assert crashed.value >= 1
        assert metrics.read(NAMED[RESTARTS], self._of(world, state.stable_hash, Role.STABLE), since).value == 0

    def test_an_alert_that_fires_is_counted(self, world: World) -> None:
        """While every request fails the service's alert fires."""
        world.make_bad(1.0)
        reading = self._read(world, NAMED[ALERTS], self._all(world), scrapes=10)
        assert reading.value is not None
        assert reading.value >= 1

    def test_what_can_be_judged_has_no_problems(self, world: World) -> None:
        """Errors, a latency whose limit a bucket ends at, and all that ships."""
        self._scrapes(world, 5)
        stable = self._of(world, self.state(world).stable_hash, Role.STABLE)
        for objective in (ERROR_RATE, replace(ERROR_RATE, kind=Kind.AVAILABILITY), P95, *NAMED.values()):
            assert list(world.ports.metrics.problems(objective, stable)) == []

    def test_an_unknown_service_is_a_problem(self, world: World) -> None:
        """Before anything is changed it is told that nothing has this name."""
        for objective in (ERROR_RATE, P95):
            problems = world.ports.metrics.problems(objective, Subject(service="not-there"))
            assert any("not-there" in problem and not problem.startswith("note: ") for problem in problems)

    def test_an_unknown_query_is_a_problem(self, world: World) -> None:
        """It is told with the names that are known, and never read as a number."""
        unknown = Objective(kind=Kind.QUERY, limit=1, subject="queue depth")
        problems = world.ports.metrics.problems(unknown, self._all(world))
        assert any("queue depth" in problem and RESTARTS in problem for problem in problems)
        with pytest.raises(MeasurementError, match="queue depth"):
            self._read(world, unknown, self._all(world), scrapes=3)

    def test_a_limit_without_a_bucket_is_noted(self, world: World) -> None:
        """It can be judged by its neighbours; the note says which bucket to add."""
        self._scrapes(world, 5)
        problems = world.ports.metrics.problems(replace(P95, limit=0.27), self._all(world))
        assert len(problems) == 1
        assert problems[0].startswith("note: ")
        assert "0.27" in problems[0]

    def test_a_version_has_series_of_its_own(self, world: World) -> None:
        """The stable version's own series hold its requests; a version that does not exist has none."""
        assert world.ports.metrics.tells_versions_apart
        stable = self.state(world).stable_hash
        reading = self._read(world, ERROR_RATE, self._of(world, stable, Role.STABLE), scrapes=8)
        assert reading.total
        nobody = self._of(world, "ffffffffff", Role.CANARY)
        assert self._read(world, ERROR_RATE, nobody, scrapes=3).total is None

    def test_the_newest_sample_is_fresh(self, world: World) -> None:
        """While samples come, the newest is at most two scrapes old, and inside the window."""
        reading = self._read(world, ERROR_RATE, self._all(world), scrapes=8)
        assert reading.newest is not None
        assert reading.since <= reading.newest <= reading.at
        assert reading.age is not None
        assert reading.age <= 2 * world.ports.metrics.scrape_interval

    def test_samples_that_stop_grow_old(self, world: World) -> None:
        """When samples stop, the reading shows it by their age, though the counts of before are still there."""
        metrics = world.ports.metrics
        since = metrics.now()
        self._scrapes(world, 5)
        world.stop_samples()
        self._scrapes(world, 6)
        reading = metrics.read(ERROR_RATE, self._all(world), since)
        assert reading.age is None or reading.age > 2 * metrics.scrape_interval

    def test_a_reading_shows_its_queries(self, world: World) -> None:
        """The queries are in the reading, that of the value first."""
        reading = self._read(world, ERROR_RATE, self._all(world), scrapes=3)
        assert reading.queries
        assert world.service in reading.queries[0]

    def _all(self, world: World) -> Subject:
        return Subject(service=world.service, workload=world.environment.rollout, namespace=world.environment.namespace)

    def _of(self, world: World, template_hash: str, role: Role) -> Subject:
        return replace(self._all(world), template_hash=template_hash, role=role)

    def _scrapes(self, world: World, count: int) -> None:
        world.let_time_pass(count * world.ports.metrics.scrape_interval.total_seconds())

    def _read(self, world: World, objective: Objective, subject: Subject, *, scrapes: int) -> Reading:
        since = world.ports.metrics.now()
        self._scrapes(world, scrapes)
        return world.ports.metrics.read(objective, subject, since)
