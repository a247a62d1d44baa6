"""Counts that follow the traffic that is there, as far as it was sampled."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from pytest_deploy.domain.measurement import Kind, Objective, Subject
from pytest_deploy.domain.query import MEMORY
from pytest_deploy.domain.synthetic import Behaviour
from pytest_deploy.errors import Unreachable
from tests.unit.rehearsal.conftest import ERRORS, P95, Drive, MakeDrive

_MEMORY = Objective(kind=Kind.QUERY, limit=0.9, subject=MEMORY)


def test_only_what_was_scraped_is_known(prod: Drive) -> None:
    """In a minute from 5 s after a scrape there are four samples, three intervals of 200 requests a second."""
    prod.run(5)
    reading = prod.read(60)
    assert reading.newest is not None
    assert (prod.seconds(reading.newest), reading.total) == (60, 3 * 15 * 200)
    assert reading.age == timedelta(seconds=5)


def test_one_sample_is_no_count(prod: Drive) -> None:
    """A count needs two samples; the one that is there is told."""
    reading = prod.read(15)
    assert (reading.total, reading.bad, reading.value) == (None, None, None)
    assert reading.newest == reading.at


def test_no_sample_from_before_counts(prod: Drive) -> None:
    """Requests before the window are in no reading of it, however many there were."""
    stable = prod.state.stable_hash
    prod.world.metrics.behave(stable, Behaviour(error_rate_ratio=1, p95_ms=4000))
    prod.run(300)
    prod.world.metrics.behave(stable, Behaviour(error_rate_ratio=0, p95_ms=100))
    assert prod.read(60).bad == 0
    latency = prod.read(60, P95)
    assert latency.value == pytest.approx(0.1, rel=0.01)
    assert latency.bad is not None
    assert latency.bad < 0.01 * 9000


def test_a_healthy_version_fails_one_request_in_two_thousand(prod: Drive) -> None:
    """And has a p95 of 120 ms."""
    reading = prod.read(615)
    assert (reading.total, reading.bad) == (120_000, 60)
    assert reading.value == pytest.approx(0.0005)
    latency = prod.read(615, P95)
    assert latency.value == pytest.approx(0.120, rel=0.01)
    assert latency.bad is not None
    assert latency.bad < 0.05 * 120_000


@pytest.mark.parametrize(("weight", "pods"), [(5, 1), (25, 5), (50, 10), (100, 20)])
def test_each_version_gets_the_share_of_its_pods(prod: Drive, weight: int, pods: int) -> None:
    """200 requests a second over 20 pods: ten a pod."""
    state = prod.raise_to(weight)
    reading = prod.read(615, version=state.current_hash)
    assert reading.total == pods * 10 * 600
    stable = prod.read(615, version=state.stable_hash)
    assert stable.total == ((20 - pods) * 10 * 600 or None)
    assert prod.read(615).total == 200 * 600


def test_counts_follow_each_change_between_two_scrapes(make_drive: MakeDrive) -> None:
    """While the canary is scaled, what is counted is the sum of its shares, moment by moment."""
    drive = make_drive(rate_per_s=20_000)
    state = drive.canary()
    drive.run(14.9 - drive.world.clock.monotonic())
    since = drive.world.clock.now()
    drive.run(0.1)
    drive.promote()
    expected = 0.0
    for _ in range(15 * 50):
        ready = {version.template_hash: version.ready for version in drive.state.versions}
        drive.run(0.02)
        expected += 20_000 * 0.02 * ready[state.current_hash] / sum(ready.values())
    reading = drive.ports.metrics.read(ERRORS, Subject(service="shop", template_hash=state.current_hash), since)
    assert expected > 1.2 * 20_000 * 15 * 0.05
    assert reading.total == pytest.approx(expected, rel=0.002)


def test_a_behaviour_counts_from_now_on(prod: Drive) -> None:
    """Between two scrapes: five seconds of 200 requests that fail, after ten that do not."""
    stable = prod.state.stable_hash
    prod.world.metrics.behave(stable, Behaviour(error_rate_ratio=0))
    since = prod.world.clock.now()
    prod.run(25)
    prod.world.metrics.behave(stable, Behaviour(error_rate_ratio=1))
    prod.run(5)
    reading = prod.ports.metrics.read(ERRORS, Subject(service="shop"), since)
    assert (reading.total, reading.bad) == (3000, 1000)


def test_without_a_version_label_only_the_service_can_be_read(make_drive: MakeDrive) -> None:
    """A canary that fails all its requests at 5 % is 5 % of the service: diluted."""
    drive = make_drive(version_label=False)
    state = drive.canary()
    drive.fault("error rate 100%")
    drive.run(30)
    reading = drive.read(300, version=state.current_hash)
    assert not drive.ports.metrics.tells_versions_apart
    assert reading.total == 200 * 285
    assert reading.value == pytest.approx(0.05, rel=0.02)
    assert state.current_hash not in reading.queries[0]


def test_another_service_has_no_series(prod: Drive) -> None:
    """None of it, not zero."""
    since = prod.ports.metrics.now()
    prod.run(60)
    reading = prod.ports.metrics.read(ERRORS, Subject(service="other"), since)
    assert (reading.total, reading.bad, reading.value, reading.newest) == (None, None, None, None)


def test_no_requests_are_a_count_without_a_value(make_drive: MakeDrive) -> None:
    """A series that stands still: zero requests, and no value can be computed."""
    drive = make_drive(rate_per_s=0)
    for objective in (ERRORS, P95):
        reading = drive.read(60, objective)
        assert (reading.total, reading.value) == (0, None)


def test_a_latency_past_the_last_bucket_reads_as_that_bucket(prod: Drive) -> None:
    """As histogram_quantile does."""
    prod.world.metrics.behave(prod.state.stable_hash, Behaviour(error_rate_ratio=0, p95_ms=9000))
    prod.run(30)
    assert prod.read(60, P95).value == 5.0


@pytest.mark.parametrize(
    ("limit_s", "bounds_s"), [(0.27, (0.2, 0.3)), (0.001, (0.0, 0.005)), (7.0, (5.0, float("inf")))]
)
def test_a_limit_without_a_bucket_lies_between_two(prod: Drive, limit_s: float, bounds_s: tuple[float, float]) -> None:
    """The value is there; how many were slower is between those of the buckets below and above."""
    reading = prod.read(60, replace(P95, limit=limit_s))
    assert reading.bad is None
    assert reading.value == pytest.approx(0.12, rel=0.02)
    assert reading.neighbours is not None
    below, above = reading.neighbours
    assert (below.bound_s, above.bound_s) == bounds_s
    for bucket in (below, above):
        exact = prod.read(60, replace(P95, limit=bucket.bound_s)).bad if 0 < bucket.bound_s < 9 else None
        assert bucket.slower == pytest.approx({0.0: reading.total, float("inf"): 0}.get(bucket.bound_s, exact), abs=2)


def test_a_relative_latency_has_a_value_alone(prod: Drive) -> None:
    """Its limit is a difference, which no bucket ends at."""
    reading = prod.read(60, replace(P95, limit=0.3, relative=True))
    assert (reading.bad, reading.neighbours) == (None, None)
    assert reading.value == pytest.approx(0.12, rel=0.02)


def test_availability_is_counted_as_errors(prod: Drive) -> None:
    """The same counts and the same query."""
    since = prod.ports.metrics.now()
    prod.run(615)
    errors, availability = (
        prod.ports.metrics.read(objective, Subject(service="shop"), since)
        for objective in (ERRORS, replace(ERRORS, kind=Kind.AVAILABILITY))
    )
    assert errors == availability
    assert errors.bad == 60


def test_the_world_was_at_rest_before_it_began(prod: Drive) -> None:
    """The hour and the three days before the start were like every other; a step from them into now has no seam."""
    metrics, now = prod.ports.metrics, prod.world.clock.now()
    hour = metrics.read(ERRORS, Subject(service="shop"), now - timedelta(hours=1))
    assert (hour.total, hour.newest) == (200 * (3600 - 15), now)
    assert hour.bad == pytest.approx(358.5, abs=0.5)
    days = metrics.read(ERRORS, Subject(service="shop"), now - timedelta(days=3))
    assert days.value == pytest.approx(0.0005, rel=0.001)
    prod.run(60)
    both = metrics.read(ERRORS, Subject(service="shop"), now - timedelta(seconds=60))
    assert both.total == 200 * (60 + 45)
    (memory,) = {metrics.read(_MEMORY, Subject(service="shop"), now - timedelta(hours=1)).value}
    assert memory == 0.6


def test_load_is_more_traffic(prod: Drive) -> None:
    """From when it begins until it ends, spread as all is."""
    since = prod.ports.metrics.now()
    prod.run(30)
    prod.world.add_load(100)
    prod.run(20)
    prod.world.add_load(-100)
    prod.run(40)
    reading = prod.ports.metrics.read(ERRORS, Subject(service="shop"), since)
    assert reading.total == 75 * 200 + 20 * 100


def test_a_reading_shows_what_would_be_asked(prod: Drive) -> None:
    """In PromQL, said to be rehearsed."""
    errors, latency = prod.read(60, version="abc"), prod.read(60, P95)
    assert errors.queries[0] == (
        'rehearsed: sum(rate(http_requests_total{service="shop",version="abc",status=~"5.."}[60s]))'
        ' / sum(rate(http_requests_total{service="shop",version="abc"}[60s]))'
    )
    assert latency.queries[0] == (
        "rehearsed: histogram_quantile(0.95, "
        'sum by (le) (rate(http_request_duration_seconds_bucket{service="shop"}[60s])))'
    )


def test_staging_has_no_users(staging: Drive) -> None:
    """What is deployed there moves no counter of the service."""
    before = staging.read(60).total
    staging.ports.helm.execute(staging.upgrade())
    new = staging.until(lambda seen: seen.observed and seen.promoted).current_hash
    assert staging.read(60, version=new).total is None
    assert staging.read(60).total == before


def test_a_server_that_is_down_says_so(prod: Drive) -> None:
    """Both of its questions go unanswered, and the cause is named."""
    since = prod.ports.metrics.now()
    prod.fault("prometheus down for 1 minute")
    with pytest.raises(Unreachable) as caught:
        prod.ports.metrics.now()
    assert caught.value.cause == "prometheus down"
    with pytest.raises(Unreachable):
        prod.ports.metrics.read(ERRORS, Subject(service="shop"), since)
    prod.run(60)
    assert prod.ports.metrics.read(ERRORS, Subject(service="shop"), since).total


def test_a_slow_server_answers_later_and_right(prod: Drive) -> None:
    """Five seconds an answer; the counts are those of its own now."""
    prod.fault("prometheus slow")
    began = prod.world.clock.monotonic()
    reading = prod.read(60)
    assert prod.world.clock.monotonic() - began == 70
    assert prod.seconds(reading.at) == 70
    assert reading.total == 3 * 15 * 200
