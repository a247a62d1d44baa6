"""The deploy that steps act on: its first failure, its digest, what it says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from pytest_deploy.domain.event import Stopped, Warned
from pytest_deploy.domain.release import ImageRef
from pytest_deploy.engine.deploy import Failure
from pytest_deploy.errors import DeployCancelled, DeployError, GateBreach, Refused, ToolFailed
from tests.unit.engine.conftest import NEW, RELEASE, Bench

Benches = Callable[..., Bench]


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (GateBreach("too many", cause="error rate"), "error rate"),
        (ToolFailed("it ended with 1", cause="helm upgrade"), "helm upgrade"),
        (ToolFailed("it ended with 1"), "ToolFailed"),
        (DeployCancelled("SIGTERM"), "SIGTERM"),
        (AssertionError("a team's own"), "AssertionError"),
    ],
)
def test_each_failure_has_a_cause_in_short(error: BaseException, cause: str) -> None:
    """For the note, the drills and the rollback's reason."""
    assert Failure(error=error, scenario="", step="", place="").cause == cause


def test_only_the_first_failure_counts(bench: Benches) -> None:
    """What fails afterwards is a consequence; where it happened is told once."""
    made = bench()
    made.deploy.scenario, made.deploy.step, made.deploy.place = "Canary at 5%", "When 5% ...", "x.feature:9"
    first = GateBreach("too many", cause="error rate")
    made.deploy.fail(first)
    made.deploy.fail(ToolFailed("later"))
    assert made.deploy.failure is not None
    assert made.deploy.failure.error is first
    (stopped,) = made.told(Stopped)
    assert (stopped.reason, stopped.cause) == ("too many", "error rate")
    assert (stopped.scenario, stopped.step, stopped.place) == ("Canary at 5%", "When 5% ...", "x.feature:9")


@pytest.mark.parametrize("error", [GateBreach("too many", cause="error rate"), ToolFailed("helm")])
def test_a_failure_stops_the_step(bench: Benches, error: Exception) -> None:
    """In a deploy it is raised; in a drill it waits for its Then, and the steps up to there do nothing."""

    def phase() -> None:
        raise error

    made = bench()
    with pytest.raises(type(error)):
        made.deploy.run(phase)
    assert made.deploy.failure is not None
    drill = bench(drill=True)
    drill.deploy.run(phase)
    assert drill.deploy.failure is not None
    assert drill.deploy.step_detail == f"stopped: {error}"
    drill.deploy.run(lambda: pytest.fail("it ran"))
    assert drill.deploy.step_detail == "not run: the deploy has stopped already"


def test_other_errors_are_not_kept_for_a_then(bench: Benches) -> None:
    """A crash or a signal is never what a drill expects."""
    for error in (ZeroDivisionError(), DeployCancelled("SIGINT")):
        made = bench(drill=True)
        with pytest.raises(type(error)):
            made.deploy.run(lambda error=error: (_ for _ in ()).throw(error))
        assert made.deploy.failure is None


def test_the_digest_is_the_given_one(bench: Benches) -> None:
    """A pinned reference pins all; without one nothing can be deployed."""
    assert bench().deploy.image.pinned == NEW
    unpinned = bench(release=replace(RELEASE, image=ImageRef.parse("ghcr.io/acme/api:v2")))
    with pytest.raises(Refused, match=r"no digest of ghcr\.io/acme/api is known"):
        _ = unpinned.deploy.image


@pytest.mark.parametrize(
    ("failed", "all_passed", "committed", "weights", "reached"),
    [
        (False, True, True, True, True),
        (False, True, False, False, True),
        (False, True, False, True, False),
        (False, False, True, True, False),
        (True, True, True, True, False),
    ],
)
def test_what_its_end_is(
    bench: Benches, failed: bool, all_passed: bool, committed: bool, weights: bool, reached: bool
) -> None:
    """Every scenario passed, nothing failed, and the canary, where there is one, is committed."""
    made = bench()
    made.deploy.all_passed, made.deploy.committed = all_passed, committed
    if not weights:
        made.deploy.stages = ()
    if failed:
        made.deploy.fail(DeployError("it"))
    assert made.deploy.reached_its_end is reached


def test_moments_are_for_worlds_with_faults(bench: Benches) -> None:
    """A fault that waits for a phase begins with it; the real world has none to begin."""
    made = bench()
    made.fault("no data from staging")
    assert made.world.faults.active(made.deploy.faults[0].kind) is None
    made.deploy.moment("staging")
    assert made.world.faults.active(made.deploy.faults[0].kind) is not None
    made.use(replace(made.deploy.ports, faults=None))
    made.deploy.moment("staging")
    assert made.told(Warned) == []
