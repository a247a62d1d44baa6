"""What a source of metrics must tell."""

# ruff: noqa: S101 - a contract is made of assertions

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from pytest_deploy.domain.measurement import Kind, Objective, Reading, Subject
from pytest_deploy.testing.contracts.world import OnRelease, World

__all__ = ["MetricsContract"]

ERROR_RATE = Objective(kind=Kind.ERROR_RATE, limit=0.005)
P95 = Objective(kind=Kind.LATENCY, limit=0.3, quantile=0.95)


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

    def test_a_limit_without_a_bucket_has_a_value_but_no_count(self, world: World) -> None:
        """Where no bucket ends at the limit it can't be told how many are slower; the value is there."""
        reading = self._read(world, replace(P95, limit=0.27), self._all(world), scrapes=8)
        assert reading.value is not None
        assert reading.total
        assert (reading.bad, reading.problem) == (None, "")

    def test_a_version_has_series_of_its_own(self, world: World) -> None:
        """The stable version's own series hold its requests; a version that does not exist has none."""
        assert world.ports.metrics.tells_versions_apart
        stable = self.state(world).stable_hash
        reading = self._read(world, ERROR_RATE, Subject(service=world.service, template_hash=stable), scrapes=8)
        assert reading.total
        nobody = Subject(service=world.service, template_hash="ffffffffff")
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
        return Subject(service=world.service)

    def _scrapes(self, world: World, count: int) -> None:
        world.let_time_pass(count * world.ports.metrics.scrape_interval.total_seconds())

    def _read(self, world: World, objective: Objective, subject: Subject, *, scrapes: int) -> Reading:
        since = world.ports.metrics.now()
        self._scrapes(world, scrapes)
        return world.ports.metrics.read(objective, subject, since)
