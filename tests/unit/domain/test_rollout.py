"""What is observed of a rollout."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_deploy.domain.rollout import (
    CANARY_PAUSE,
    HelmRevision,
    Permission,
    Phase,
    RolloutState,
    Version,
)

AT_PAUSE = RolloutState(
    name="api",
    uid="u",
    generation=4,
    observed_generation=4,
    phase=Phase.PAUSED,
    message="CanaryPauseStep",
    aborted=False,
    held_by_spec=False,
    pauses=(CANARY_PAUSE,),
    steps=(),
    step_index=1,
    current_hash="new",
    stable_hash="old",
    weight_percent=5.0,
    traffic_routed=False,
    image="i@b",
    replicas=20,
    versions=(
        Version(template_hash="old", image="i@a", wanted=19, ready=19),
        Version(template_hash="new", image="i@b", wanted=1, ready=1),
    ),
)


@pytest.mark.parametrize(
    ("changed", "ours"),
    [
        ({}, True),
        ({"pauses": (CANARY_PAUSE, "InconclusiveAnalysisRun")}, False),
        ({"pauses": ("BlueGreenPause",)}, False),
        ({"pauses": ()}, False),
        ({"held_by_spec": True}, False),
        ({"phase": Phase.DEGRADED}, False),
    ],
)
def test_only_a_pause_step_alone_is_ours(changed: dict[str, object], ours: bool) -> None:
    """Whatever else it waits for belongs to somebody else."""
    assert replace(AT_PAUSE, **changed).at_our_pause is ours


def test_promoted_needs_a_version() -> None:
    """A rollout that nobody has seen yet has no version, and is not promoted."""
    assert not AT_PAUSE.promoted
    assert replace(AT_PAUSE, current_hash="old").promoted
    assert not replace(AT_PAUSE, current_hash="", stable_hash="").promoted


def test_observed_by_generation() -> None:
    """A spec that the controller has not seen makes all else an old story."""
    assert AT_PAUSE.observed
    assert not replace(AT_PAUSE, generation=5).observed


def test_the_stable_version_is_found_among_those_with_pods() -> None:
    """Where it has none, there is none."""
    assert AT_PAUSE.stable == AT_PAUSE.versions[0]
    assert replace(AT_PAUSE, stable_hash="gone").stable is None


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, "Paused at step 1 (CanaryPauseStep), weight 5 %, pods: old 19/19 ready, new 1/1 ready"),
        (
            {"phase": Phase.HEALTHY, "pauses": (), "message": "", "step_index": None, "weight_percent": 100.0},
            "Healthy, weight 100 %, pods: old 19/19 ready, new 1/1 ready",
        ),
        (
            {"phase": Phase.UNKNOWN, "pauses": (), "message": "waiting", "versions": ()},
            "no phase at step 1 (waiting), weight 5 %, pods: none",
        ),
    ],
)
def test_the_state_in_a_line(changed: dict[str, object], words: str) -> None:
    """Phase, step, why, weight and pods: what a log, a wait and an error show."""
    assert replace(AT_PAUSE, **changed).words == words


def test_pending_revisions_keep_helm_from_all_else() -> None:
    """As Helm words them."""
    statuses = ("pending-install", "pending-upgrade", "pending-rollback", "deployed", "failed", "superseded")
    assert [HelmRevision(number=1, status=s).pending for s in statuses] == [True] * 3 + [False] * 3


def test_a_permission_reads_as_kubectl_asks_for_it() -> None:
    """Verb, resource with its group, namespace."""
    assert str(Permission(verb="get", group="", resource="pods", namespace="n")) == "get pods in n"
    patch = Permission(verb="patch", group="argoproj.io", resource="rollouts/status", namespace="n")
    assert str(patch) == "patch rollouts/status.argoproj.io in n"


@pytest.mark.parametrize(("image", "digest"), [("i@sha256:1", "sha256:1"), ("i:v2", None)])
def test_a_versions_digest(image: str, digest: str | None) -> None:
    """What is not pinned has none."""
    assert Version(template_hash="h", image=image, wanted=1, ready=1).digest == digest
