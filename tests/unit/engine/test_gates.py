"""Gates: one watch for all that stand together, a verdict for each step of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from pytest_deploy.domain.event import Fact, Judged, Looked, WeightReached
from pytest_deploy.domain.evidence_judge import EvidenceJudge
from pytest_deploy.domain.fault import parse_fault
from pytest_deploy.domain.journal import Milestone
from pytest_deploy.domain.judge import Judge
from pytest_deploy.domain.measurement import Evidence, Kind, Objective
from pytest_deploy.domain.plan import Gate
from pytest_deploy.domain.verdict import Ruling, VerdictKind
from pytest_deploy.engine import canary, drill, gates
from pytest_deploy.errors import DeployError, GateBreach
from tests.unit.engine.conftest import Bench

Benches = Callable[..., Bench]


class Recorded:
    """A judge that keeps the evidence it was shown."""

    name = "recorded"

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self.asked: list[Evidence] = []

    def __call__(self, evidence: Evidence, objective: Objective) -> Ruling | None:
        """Keep it, and let the judge speak."""
        self.asked.append(evidence)
        return self._judge(evidence, objective)


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


def test_the_window_begins_after_the_weight_was_there(bench: Benches) -> None:
    """One scrape later, so that no sample from before belongs to it."""
    made = bench()
    canary.raise_to(made.at(5), 5)
    judge(made, 5)
    reached = made.told(WeightReached)[0].at
    for event in made.told(Judged):
        assert event.verdict.started - reached >= made.deploy.ports.metrics.scrape_interval


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


def test_one_breach_at_the_end_keeps_the_weight_from_passing(bench: Benches) -> None:
    """The error rate passes its own step, and the weight has not passed: the latency was just above its limit."""
    made = bench()
    made.fault("p95 latency 310ms at 5%")
    made.raise_to(5)
    errors, latency = canary.stage_of(made.deploy, 5).gates
    gates.check(made.deploy, errors, (errors, latency))
    assert "error rate at 5 %: PASS" in made.deploy.step_detail
    assert made.deploy.passed_weights == set()
    with pytest.raises(GateBreach, match=r"p95 latency at 5 %: FAIL, 31\d ms > 300 ms"):
        gates.check(made.deploy, latency, (errors, latency))
    assert made.deploy.passed_weights == set()


def test_a_metrics_server_that_outlasts_the_window(bench: Benches) -> None:
    """An answer that comes when the window is over is no evidence for it."""
    made = bench()
    made.raise_to(5)

    def slow(original: Callable[[], object]) -> object:
        made.run(400)
        return original()

    made.alter("metrics", now=slow)
    with pytest.raises(GateBreach) as breach:
        judge(made, 5)
    assert breach.value.cause != "error rate"
    assert {event.verdict.kind for event in made.told(Judged)} <= {VerdictKind.NO_DATA, VerdictKind.INCONCLUSIVE}


def test_what_was_seen_is_told_at_each_look(bench: Benches) -> None:
    """Value, limit and requests; before the first sample that there is none, and why where there is no answer."""
    made = bench()
    made.raise_to(5)
    judge(made, 5)
    good = [line for event in made.told(Looked) for line in event.lines]
    assert all(line.startswith(("error rate 0.0", "p95 latency 1")) and "(limit" in line for line in good[-2:])
    for fault, says in (("no data", "error rate: no data yet, limit 0.50 %"), ("prometheus down", "no answer (")):
        bad = bench()
        bad.raise_to(5)
        bad.fault(fault)
        with pytest.raises(GateBreach):
            judge(bad, 5)
        lines = [line for event in bad.told(Looked) for line in event.lines]
        assert any(says in line for line in lines), lines


def test_a_gate_before_any_weight_passes_none(bench: Benches) -> None:
    """The old version alone is within the limits: that lets no weight rise."""
    made = bench()
    made.deploy.digest = made.release.image.parse(made.old).digest
    gate = canary.stage_of(made.deploy, 5).gates[0]
    made.deploy.new_hash = made.state().stable_hash
    gates.check(made.deploy, gate, (gate,))
    assert "PASS" in made.deploy.step_detail
    assert made.deploy.passed_weights == set()


def test_metrics_that_go_away_in_the_window(bench: Benches) -> None:
    """Half a window of good numbers and then none is no pass: the end was not seen."""
    made = bench()
    made.raise_to(5)
    made.fault("prometheus down from mid-window at 5%")
    with pytest.raises(GateBreach) as breach:
        judge(made, 5)
    assert breach.value.cause == "metrics unreadable"
    verdict = made.told(Judged)[0].verdict
    assert verdict.kind is VerdictKind.ERROR
    assert verdict.reading is not None
    assert verdict.watched == verdict.window + verdict.extended


def test_the_evidence_judge_pools_the_steps(bench: Benches) -> None:
    """Each step is judged with the counts of those before it, and may risk less the more traffic comes next."""
    made = bench()
    made.deploy.judge = seen = Recorded(EvidenceJudge())
    for weight in (5, 25, 50, 100):
        canary.raise_to(made.at(weight), weight)
        judge(made, weight)
    final = [evidence for evidence in seen.asked if evidence.over][::2]
    assert [len(evidence.earlier) for evidence in final] == [0, 1, 2, 3]
    assert [evidence.allowed_multiple and round(evidence.allowed_multiple) for evidence in final] == [69, 35, 17, None]
    assert made.deploy.passed_weights == {5, 25, 50, 100}


def test_the_evidence_judge_stops_a_bad_canary(bench: Benches) -> None:
    """A canary that fails one request in twenty is stopped by it, too."""
    made = bench()
    made.deploy.judge = EvidenceJudge()
    drill.inject(made.deploy, parse_fault("error rate 5% at 5%"))
    canary.raise_to(made.at(5), 5)
    with pytest.raises(GateBreach, match="error rate at 5 %: FAIL"):
        judge(made, 5)


def own_step(made: Bench, *, alone: bool = False) -> Gate:
    """Let a team's own Then stand among the gates of 5 %."""
    gate = Gate(
        objective=Objective(kind=Kind.STEP, limit=0, subject="two pods are ready"),
        window=timedelta(),
        scenario="Canary at 5%",
        place="x.feature:12",
    )
    first, *rest = made.deploy.stages
    gates_of_it = (gate,) if alone else (*first.gates, gate)
    made.deploy.stages = (replace(first, gates=gates_of_it), *rest)
    return gate


def test_a_teams_own_step_is_a_gate(bench: Benches) -> None:
    """The weight has passed once the step has, too; its verdict says that its numbers are unknown."""
    made = bench()
    own_step(made)
    made.raise_to(5)
    for gate in canary.stage_of(made.deploy, 5).gates[:2]:
        made.deploy.place = gate.place
        gates.check(made.deploy, *made.deploy.standing_gate())
    assert made.deploy.passed_weights == set()
    made.deploy.place = "x.feature:12"
    gates.plain_step(made.deploy, None)
    assert made.deploy.passed_weights == {5}
    verdict = made.told(Judged)[-1].verdict
    assert (verdict.kind, verdict.judge, verdict.reading) == (VerdictKind.PASS, "a plain step", None)
    assert "unknown" in verdict.explanation


def test_a_teams_own_step_alone_judges_a_weight(bench: Benches) -> None:
    """No metrics are watched then."""
    made = bench()
    own_step(made, alone=True)
    made.raise_to(5)
    made.deploy.place = "x.feature:12"
    gates.plain_step(made.deploy, None)
    assert made.deploy.passed_weights == {5}
    assert made.told(Looked) == []


def test_a_teams_own_step_that_says_no(bench: Benches) -> None:
    """Its words are the verdict's rule, and the weight has not passed."""
    made = bench()
    own_step(made, alone=True)
    made.raise_to(5)
    made.deploy.place = "x.feature:12"
    gates.plain_step(made.deploy, AssertionError("1 pod of 2"))
    verdict = made.told(Judged)[-1].verdict
    assert (verdict.kind, verdict.ruling.rule) == (VerdictKind.FAIL, "1 pod of 2")
    assert made.deploy.passed_weights == set()


@pytest.mark.parametrize("error", [DeployError("no route"), None])
def test_what_is_no_gate_gives_no_verdict(bench: Benches, error: BaseException | None) -> None:
    """A step that broke has not judged, nor has one that stands elsewhere, nor one after the commitment."""
    made = bench()
    own_step(made, alone=True)
    made.raise_to(5)
    made.deploy.place = "x.feature:12" if error else "x.feature:99"
    gates.plain_step(made.deploy, error)
    made.deploy.committed, made.deploy.place = True, "x.feature:12"
    gates.plain_step(made.deploy, None)
    assert made.told(Judged) == []


def test_a_dry_run_blocks_nothing(bench: Benches) -> None:
    """Its FAIL is told by its step, which passes; the weight passes by the gate that is none."""
    made = bench()
    made.fault("p95 latency 900ms at 5%")
    first, *rest = made.deploy.stages
    errors, latency = first.gates
    made.deploy.stages = (replace(first, gates=(errors, replace(latency, dry_run=True))), *rest)
    made.raise_to(5)
    made.judge(5)
    assert "DRY RUN" in made.deploy.step_detail
    assert "p95 latency at 5 %: FAIL" in made.deploy.step_detail
    assert made.deploy.passed_weights == {5}


def test_a_verdict_of_another_weight_is_an_error(bench: Benches) -> None:
    """A gate that spoke at 5 % says nothing about 25 %."""
    made = bench()
    made.pass_through(5)
    stage = canary.stage_of(made.deploy, 5)
    made.raise_to(25)
    with pytest.raises(DeployError, match="the verdict is of 5 %, the canary stands at 25 %"):
        gates.check(made.deploy, stage.gates[0], stage.gates)


def test_the_load_runs_while_a_gate_watches(bench: Benches) -> None:
    """And no longer; what it sent is in the record, also where the watch ends in an error."""
    made = bench(load=True, load_rate_per_s=50.0)
    made.pass_through(5)
    facts = {fact.name: fact.value for fact in made.told(Fact)}
    assert "50" in facts["load at 5 %"]
    load = made.deploy.ports.load
    assert load is not None
    assert load.stop() == ""
    made.raise_to(25)
    made.alter("traffic", state=lambda original, target: None)
    with pytest.raises(DeployError):
        made.judge(25)
    assert load.stop() == ""


def test_the_control_stands_beside_each_weight(bench: Benches) -> None:
    """The stable version's counts are in each verdict while it runs, and kept for the weight that has none."""
    made = bench()
    made.pass_through(5, 25, 50, 100)
    beside = {v.weight: bool(v.control) for v in (event.verdict for event in made.told(Judged))}
    assert beside == {5: True, 25: True, 50: True, 100: False}
    assert set(made.deploy.earlier_control) == {gate.objective for gate in made.deploy.stages[0].gates}


def test_every_verdict_is_journalled_before_the_next_weight(bench: Benches) -> None:
    """With its sentence, so that the journal alone shows why a weight rose."""
    made = bench()
    made.pass_through(5)
    said = [e.observed for e in made.world.ports().journal.entries() if e.milestone is Milestone.JUDGED]
    assert said == [event.verdict.sentence for event in made.told(Judged)]
