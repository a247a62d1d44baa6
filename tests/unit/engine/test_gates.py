"""Gates: one watch for all that stand together, a verdict for each step of its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_deploy.domain.event import Judged
from pytest_deploy.domain.fault import parse_fault
from pytest_deploy.domain.verdict import VerdictKind
from pytest_deploy.engine import canary, drill, gates
from pytest_deploy.errors import DeployError, GateBreach
from tests.unit.engine.conftest import Bench

Benches = Callable[..., Bench]


def judge(bench: Bench, weight: int) -> None:
    """Let the gates of a weight speak, one after the other."""
    deploy = bench.at(weight)
    stage = canary.stage_of(deploy, weight)
    for gate in stage.gates:
        deploy.place = gate.place
        gates.check(deploy, *deploy.standing_gate())


def test_each_weight_is_judged_on_its_own(bench: Benches) -> None:
    """Gates of the same line in another Examples row are other gates: each weight has its own verdicts."""
    made = bench()
    for weight in (5, 25):
        canary.raise_to(made.at(weight), weight)
        judge(made, weight)
    verdicts = [event.verdict for event in made.told(Judged)]
    assert [v.weight for v in verdicts] == [5, 5, 25, 25]
    assert {v.kind for v in verdicts} == {VerdictKind.PASS}


def test_gates_together_share_one_window(bench: Benches) -> None:
    """Two gates of five minutes take five minutes, not ten."""
    made = bench()
    canary.raise_to(made.at(5), 5)
    began = made.world.clock.monotonic()
    judge(made, 5)
    assert 300 <= made.world.clock.monotonic() - began < 330


def test_the_gate_that_broke_is_the_one_that_fails(bench: Benches) -> None:
    """A latency breach ends the watch; the error rate's step passes and says why it ended early."""
    made = bench()
    canary.raise_to(made.at(5), 5)
    judge(made, 5)
    drill.inject(made.deploy, parse_fault("p95 latency 900ms"))
    canary.raise_to(made.at(25), 25)
    errors, latency = canary.stage_of(made.deploy, 25).gates
    gates.check(made.deploy, errors, (errors, latency))
    assert "ended by: p95 latency at 25 %: FAIL" in made.deploy.step_detail
    with pytest.raises(GateBreach, match="p95 latency at 25 %: FAIL, 9") as breach:
        gates.check(made.deploy, latency, (errors, latency))
    assert (breach.value.cause, breach.value.at) == ("p95 latency", "25%")


@pytest.mark.parametrize(
    ("fault", "cause", "kind"),
    [
        ("error rate 5% at 5%", "error rate", VerdictKind.FAIL),
        ("no data at 5%", "no data", VerdictKind.NO_DATA),
        ("stale data from mid-window at 5%", "stale data", VerdictKind.NO_DATA),
        ("prometheus down at 5%", "metrics unreadable", VerdictKind.ERROR),
    ],
)
def test_nothing_but_pass_goes_on(bench: Benches, fault: str, cause: str, kind: VerdictKind) -> None:
    """A breach, missing, stale and unreadable numbers each stop the step, and the next weight is refused."""
    made = bench()
    drill.inject(made.deploy, parse_fault(fault))
    canary.raise_to(made.at(5), 5)
    with pytest.raises(GateBreach) as breach:
        judge(made, 5)
    assert breach.value.cause == cause
    assert {event.verdict.kind for event in made.told(Judged)} >= {kind}
    with pytest.raises(DeployError, match="the gates of 5 % have not passed"):
        canary.raise_to(made.at(25), 25)


def test_a_breach_ends_the_window_early(bench: Benches) -> None:
    """One request in twenty failing is stopped long before the five minutes are over."""
    made = bench()
    drill.inject(made.deploy, parse_fault("error rate 5% at 5%"))
    canary.raise_to(made.at(5), 5)
    began = made.world.clock.monotonic()
    with pytest.raises(GateBreach):
        judge(made, 5)
    assert made.world.clock.monotonic() - began < 150


def test_a_step_without_a_gate_cant_be_judged(bench: Benches) -> None:
    """Zero gates are an error, never a pass."""
    made = bench()
    canary.raise_to(made.at(5), 5)
    with pytest.raises(DeployError, match="without a gate"):
        gates.watch(made.deploy, ())


def test_a_gate_that_follows_no_weight_is_an_error(bench: Benches) -> None:
    """A gate in a scenario of its own has nothing to judge."""
    made = bench()
    made.deploy.scenario, made.deploy.place = "Elsewhere", "x.feature:10"
    with pytest.raises(DeployError, match="follows no canary weight"):
        made.deploy.standing_gate()


def test_service_wide_series_are_said_to_be(bench: Benches) -> None:
    """Where versions can't be told apart, each verdict says whose traffic it judged."""
    made = bench(version_label=False)
    canary.raise_to(made.at(5), 5)
    judge(made, 5)
    verdict = made.told(Judged)[0].verdict
    assert verdict.subject.template_hash is None
    assert "can't be told apart" in verdict.explanation


def test_the_walk_keeps_its_breach_for_the_then(bench: Benches) -> None:
    """The short form stops at the first breach; the verdict's step raises it."""
    made = bench()
    drill.inject(made.deploy, parse_fault("error rate 5% at 25%"))
    gates.walk(made.deploy, (5, 25, 50, 100))
    assert made.deploy.reached == 25
    with pytest.raises(GateBreach, match="error rate at 25 %: FAIL"):
        gates.verdict_of_walk(made.deploy)


def test_a_whole_walk_passes(bench: Benches) -> None:
    """All weights passed: the verdict counts them."""
    made = bench()
    gates.walk(made.deploy, (5, 25, 50, 100))
    gates.verdict_of_walk(made.deploy)
    assert made.deploy.step_detail == "8 gates passed at 4 weights"
