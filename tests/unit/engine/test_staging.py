"""Staging: the same digest by the same chart, and a way back for whatever was there before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType
from typing import Any

import pytest

from pytest_deploy.domain.action import HelmUninstall, Undo, UndoKind
from pytest_deploy.domain.rollout import CANARY_PAUSE, HelmRevision, Phase, Step
from pytest_deploy.engine import staging
from pytest_deploy.errors import GateBreach, Refused, WaitTimedOut
from tests.unit.engine.conftest import NEW, PATCHED, RELEASE, Bench, environment

Benches = Callable[..., Bench]
FIVE_MINUTES = timedelta(minutes=5)


def install(made: Bench) -> Undo:
    """Install, and return the way back that was journalled with it."""
    staging.install(made.deploy, "staging")
    (undo,) = made.deploy.tx.undos
    return undo


def test_an_upgrade_knows_its_way_back(bench: Benches) -> None:
    """Revision, image and version that run in staging are captured before anything is done there."""
    made = bench()
    before = made.state("staging")
    undo = install(made)
    good = undo.known_good
    assert undo.kind is UndoKind.RESTORE_CANARY
    assert good is not None
    assert (good.revision, good.image, good.template_hash) == (3, before.image, before.stable_hash)
    assert made.history("staging")[-1].number == 4
    assert made.deploy.step_detail == f"revision 4 of api in acme-staging/staging, {NEW}"


def test_a_first_install_is_to_be_removed(bench: Benches) -> None:
    """Where nothing was, the way back is to uninstall."""
    made = bench()
    release = made.deploy.release_target(RELEASE.environments["staging"])
    assert release is not None
    made.world.ports().helm.execute(HelmUninstall(target=release, timeout=FIVE_MINUTES))
    undo = install(made)
    assert (undo.kind, undo.rollout, undo.known_good) == (UndoKind.UNINSTALL, None, None)
    staging.pods_run(made.deploy, "staging", FIVE_MINUTES)
    assert made.state("staging").promoted


@pytest.mark.parametrize(
    "state",
    [
        lambda original, target: None,
        lambda original, target: replace(original(target), stable_hash="", phase=Phase.PROGRESSING),
        lambda original, target: replace(original(target), current_hash="theirs", pauses=(CANARY_PAUSE,)),
        lambda original, target: replace(original(target), versions=()),
    ],
    ids=["no Rollout", "never healthy", "somebody's canary", "no pods"],
)
def test_a_release_without_a_stable_version_is_never_removed(bench: Benches, state: Callable[..., object]) -> None:
    """It was there before and there is nothing to go back to: nothing is done, least of all an uninstall."""
    made = bench()
    made.alter("traffic", state=state)
    with pytest.raises(Refused, match="is installed, but its Rollout") as raised:
        staging.install(made.deploy, "staging")
    assert raised.value.hint
    assert made.done() == []


@pytest.mark.parametrize("status", ["pending-upgrade", "failed"])
def test_a_release_that_is_not_at_rest(bench: Benches, status: str) -> None:
    """Helm would refuse it, or roll back to who knows what."""
    made = bench()
    last = HelmRevision(number=4, status=status, description="it died")
    made.alter("helm", history=lambda original, release: (*original(release), last))
    with pytest.raises(Refused, match=rf"revision 4 is {status} \(it died\)") as raised:
        staging.install(made.deploy, "staging")
    assert raised.value.hint == "mend it first: helm --kube-context acme-staging -n staging history api"
    assert made.done() == []


def test_an_environment_that_is_not_there(bench: Benches) -> None:
    """The known ones are listed."""
    with pytest.raises(Refused, match="no environment 'qa', only: staging, prod"):
        staging.install(bench().deploy, "qa")


def test_an_environment_without_a_release(bench: Benches) -> None:
    """Staging is installed by Helm or not at all."""
    made = bench(release=PATCHED)
    with pytest.raises(Refused, match="no Helm release in prod") as raised:
        staging.install(made.deploy, "prod")
    assert raised.value.hint == "set environments.prod.release"


def test_every_pod_runs_the_digest(bench: Benches) -> None:
    """All old pods are gone, all new ones ready, and the kubelet's own word is asked for."""
    made = bench()
    install(made)
    staging.pods_run(made.deploy, "staging", FIVE_MINUTES)
    assert made.deploy.step_detail == f"20 pods ready with {NEW} (imageIDs agree)"
    pods = made.world.ports().cluster.pods(made.deploy.rollout_target(RELEASE.environments["staging"]), "api")
    assert {(pod.image, pod.ready) for pod in pods} == {(NEW, True)}


def test_image_ids_that_prove_nothing(bench: Benches) -> None:
    """Pods without an imageID are counted by their spec, and that is said."""
    made = bench()
    install(made)
    made.alter(
        "cluster",
        pods=lambda original, target, service: tuple(replace(p, image_id="") for p in original(target, service)),
    )
    staging.pods_run(made.deploy, "staging", FIVE_MINUTES)
    assert made.deploy.step_detail.endswith("(by pod spec; imageIDs prove nothing here)")


def with_steps() -> Any:
    """A staging that has canary steps like production: the world only spares the environment called staging."""
    envs = {"qa": environment("qa"), "prod": environment("prod")}
    return replace(RELEASE, environments=MappingProxyType(envs))


def test_canary_steps_are_skipped_in_staging(bench: Benches) -> None:
    """A Rollout that pauses there too is promoted fully: nobody judges a step where there are no users."""
    made = bench(release=with_steps())
    staging.install(made.deploy, "qa")
    staging.pods_run(made.deploy, "qa", FIVE_MINUTES)
    assert "promote-full" in made.done()
    assert made.state("qa").promoted


def test_somebody_elses_canary_is_not_promoted(bench: Benches) -> None:
    """A pause of another version is not ours to end."""
    made = bench(release=with_steps())
    steps = (Step(kind="setWeight", weight=5), Step(kind="pause"))
    theirs = {"current_hash": "theirs", "phase": Phase.PAUSED, "pauses": (CANARY_PAUSE,), "steps": steps}
    made.alter("traffic", state=lambda original, target: replace(original(target), **theirs))
    with pytest.raises(WaitTimedOut):
        staging.pods_run(made.deploy, "qa", timedelta(seconds=5))
    assert made.done() == []


def test_pods_that_cant_run(bench: Benches) -> None:
    """The trouble of a new pod ends the wait at once, in Kubernetes' own words."""
    made = bench()
    install(made)
    made.fault("pods crash")
    with pytest.raises(GateBreach, match=r"staging: pod api-\S+ can't run: CrashLoopBackOff") as raised:
        staging.pods_run(made.deploy, "staging", FIVE_MINUTES)
    assert (raised.value.cause, raised.value.at) == ("pods crash", "staging")


@pytest.mark.parametrize(
    ("port", "changes", "says"),
    [
        ("traffic", {"state": lambda original, target: None}, "no Rollout"),
        (
            "traffic",
            {"state": lambda original, target: replace(original(target), replicas=0)},
            "20 of 20 pods ready with",
        ),
        (
            "traffic",
            {"state": lambda original, target: replace(original(target), stable_hash="other")},
            "20 of 20 pods ready with",
        ),
        ("cluster", {"pods": lambda original, target, service: ()}, "0 of 0 pods ready with"),
    ],
    ids=["no Rollout", "no replicas", "not promoted", "no pods"],
)
def test_zero_pods_are_never_all_pods(bench: Benches, port: str, changes: dict[str, Any], says: str) -> None:
    """Where nothing runs, or the controller has not finished, nothing is proved."""
    made = bench()
    install(made)
    made.alter(port, **changes)
    with pytest.raises(WaitTimedOut, match="every pod in staging to run the pinned digest: not within 60 s") as raised:
        staging.pods_run(made.deploy, "staging", timedelta(minutes=1))
    assert says in raised.value.last_seen
    assert raised.value.cause == "pods never ready"


def test_a_version_that_the_controller_refuses_ends_it_at_once(bench: Benches) -> None:
    """A spec that is invalid will not get better by waiting."""
    made = bench()
    install(made)
    made.alter(
        "traffic", state=lambda original, target: replace(original(target), phase=Phase.DEGRADED, message="InvalidSpec")
    )
    with pytest.raises(GateBreach, match=r"staging: Degraded .*InvalidSpec") as raised:
        staging.pods_run(made.deploy, "staging", FIVE_MINUTES)
    assert raised.value.cause == "rollout degraded"
