"""The plan: what would be sent, in order, by the code that sends it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from pytest_deploy.domain.event import ActionStarted
from pytest_deploy.domain.evidence_judge import EvidenceJudge
from pytest_deploy.domain.judge import Contract
from pytest_deploy.domain.measurement import Kind, Objective
from pytest_deploy.domain.release import ImageRef
from pytest_deploy.engine import plan, rollback
from tests.unit.engine.conftest import NEW, PATCHED, RELEASE, Bench, stages

Benches = Callable[..., Bench]


def planned(made: Bench) -> list[str]:
    """Nothing but Helm's version may be asked for a plan."""
    for port, methods in (("traffic", ("state", "container_index")), ("cluster", ("identity", "pods", "denied"))):
        made.alter(port, **{method: lambda *_: pytest.fail("contacted") for method in methods})
    made.alter("helm", history=lambda *_: pytest.fail("contacted"), render=lambda *_: pytest.fail("contacted"))
    lines = list(plan.lines(made.deploy))
    made.mend()
    assert made.done() == []
    return lines


def test_it_is_what_is_done(bench: Benches) -> None:
    """Each command of a deploy that is committed and taken back stands in the plan, but for what is known later."""
    made = bench()
    lines = planned(made)
    made.committed()
    rollback.undo_all(made.deploy)
    sent = [event.command for event in made.told(ActionStarted)]
    commands = [line for line in lines if not line.startswith("#")]
    version = made.deploy.new_hash
    assert version is not None
    assert [line.replace("<version>", version) for line in commands[:5]] == sent[:5]
    assert commands[6].replace("<known-good revision>", "3") == sent[5]
    assert len(commands) == 7


def test_the_order_of_a_canary(bench: Benches) -> None:
    """Start, watch, promote ... commitment, and the way back; each watch with its window and its limits."""
    lines = planned(bench())
    assert [line for line in lines if line.startswith("# ") and "needs" not in line] == [
        "# at 5 %: watch 5 min, error rate <= 0.50 % and p95 latency <= 300 ms",
        "# at 25 %: watch 5 min, error rate <= 0.50 % and p95 latency <= 300 ms",
        "# at 50 %: watch 5 min, error rate <= 0.50 % and p95 latency <= 300 ms",
        "# at 100 %: watch 5 min, error rate <= 0.50 % and p95 latency <= 300 ms",
        "# commitment, when all gates have passed:",
        "# on any failure or signal, at any point:",
    ]
    promotes = [json.loads(line.split("--patch ")[1].strip("'")) for line in lines if "currentStepIndex" in line]
    assert [patch[0]["value"] for patch in promotes] == [1, 3, 5, 7]
    assert lines[-2].startswith("kubectl --context acme-prod --namespace prod patch rollouts.argoproj.io api")
    assert '"/status/abort"' in lines[-2]
    assert lines[-1].startswith("helm rollback api <known-good revision> --kube-context acme-prod")


def test_windows_of_the_sandbox_are_shorter(bench: Benches) -> None:
    """The plan shows the time that it will take."""
    made = bench()
    made.deploy.limits = replace(made.deploy.limits, window_divisor=10)
    assert "# at 5 %: watch 30 s, error rate" in "\n".join(planned(made))


def test_a_weight_without_gates_of_its_own(bench: Benches) -> None:
    """The short form is judged by the SLO of deploy.yaml."""
    made = bench()
    made.deploy.stages = tuple(replace(stage, gates=()) for stage in stages((5,)))
    assert any(line.endswith(", the SLO of deploy.yaml") for line in planned(made))


@pytest.mark.parametrize(("image", "shown"), [(NEW, NEW), ("ghcr.io/acme/api", "ghcr.io/acme/api@<digest>")])
def test_without_helm_the_image_is_patched(bench: Benches, image: str, shown: str) -> None:
    """There is no rollback by Helm either; a digest that is not known yet is said to be."""
    lines = planned(bench(release=replace(PATCHED, image=ImageRef.parse(image))))
    assert lines[0] == f"# api in acme-prod/prod: JSON Patch of the image of api to {shown}"
    assert not any(line.startswith("helm") for line in lines)


def test_staging_comes_first(bench: Benches) -> None:
    """Each environment that the feature installs; one that deploy.yaml lacks is refused when it is its turn."""
    made = bench()
    made.deploy.installs = ("staging", "qa")
    lines = planned(made)
    assert "--kube-context acme-staging" in lines[0]
    assert "--kube-context acme-prod" in lines[1]


def test_a_release_candidate_moves_no_traffic(bench: Benches) -> None:
    """Without weights there is nothing of production in the plan."""
    made = bench(release=RELEASE)
    made.deploy.stages, made.deploy.installs = (), ("staging",)
    (line,) = planned(made)
    assert "--kube-context acme-staging" in line


def test_each_gate_says_how_many_requests_it_takes(bench: Benches) -> None:
    """More, the more traffic comes next, and most before the commitment; by the judge that will speak."""
    made = bench()
    made.deploy.judge = EvidenceJudge()
    needs = [line for line in planned(made) if "error rate: needs" in line]
    assert needs == [f"#   error rate: needs {n} requests of the canary at least" for n in (11, 16, 34, 299)]
    made.deploy.judge = Contract(min_requests=100)
    assert {line for line in planned(made) if "needs" in line} == {
        f"#   {name}: needs 100 requests of the canary at least" for name in ("error rate", "p95 latency")
    }


def test_every_kind_of_gate_is_told(bench: Benches) -> None:
    """Also those that rest on no requests, with the side on which their limit lies."""
    made = bench()
    first, *rest = made.deploy.stages
    objectives = (
        Objective(kind=Kind.AVAILABILITY, limit=0.005),
        Objective(kind=Kind.QUERY, limit=40, unit="orders", subject="orders", at_least=True),
        Objective(kind=Kind.QUERY, limit=0, subject="container restarts"),
        Objective(kind=Kind.SCRIPT, limit=0, subject="./check-slo.sh"),
    )
    gates = tuple(replace(first.gates[0], objective=each) for each in objectives)
    dry = replace(first.gates[1], dry_run=True)
    made.deploy.stages = (replace(first, gates=(*gates, dry)), *rest)
    (line,) = [line for line in planned(made) if line.startswith("# at 5 %")]
    assert line.partition("watch 5 min, ")[2] == (
        "availability >= 99.50 % and orders >= 40 orders and container restarts <= 0 and ./check-slo.sh "
        "and p95 latency <= 300 ms (dry run)"
    )
