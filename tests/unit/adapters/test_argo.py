"""What is made of a Rollout's JSON, and of the API server's answers to patches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_deploy.adapters.argo import ArgoRollouts
from pytest_deploy.domain.action import Target
from pytest_deploy.domain.patches import promote, set_image
from pytest_deploy.domain.release import Environment
from pytest_deploy.domain.rollout import Phase, Step, Version
from pytest_deploy.errors import Refused, Rejected
from pytest_deploy.io.kube import Reply

TARGET = Target(environment="prod", context="acme", namespace="shop", name="svc", kubeconfig="/k")
ENVIRONMENT = Environment(
    name="prod",
    context="acme",
    namespace="shop",
    release="svc",
    rollout="svc",
    container="app",
    kubeconfig=Path("/k"),
)
ROLLOUT = "/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts/svc"
SETS = "/apis/apps/v1/namespaces/shop/replicasets"
MISSING = Reply(status=404, body={"message": 'rollouts "svc" not found', "details": {"name": "svc"}})


def rollout(*, spec: dict[str, Any] | None = None, status: dict[str, Any] | None = None, version: str = "1") -> Any:
    """Make one, paused at its first step."""
    containers = [{"name": "proxy", "image": "proxy@sha256:p"}, {"name": "app", "image": "app@sha256:new"}]
    return {
        "metadata": {"name": "svc", "uid": "u1", "generation": 7, "resourceVersion": version},
        "spec": {
            "replicas": 10,
            "selector": {"matchLabels": {"app": "svc"}},
            "strategy": {"canary": {"steps": [{"setWeight": 5}, {"pause": {}}]}},
            "template": {"spec": {"containers": containers}},
            **(spec or {}),
        },
        "status": {
            "observedGeneration": "7",
            "phase": "Paused",
            "message": "CanaryPauseStep",
            "pauseConditions": [{"reason": "CanaryPauseStep", "startTime": "2026-11-24T00:00:00Z"}],
            "currentStepIndex": 1,
            "currentPodHash": "new",
            "stableRS": "old",
            **(status or {}),
        },
    }


def replica_set(template_hash: str, *, wanted: int, ready: int, owner: str = "u1", pods: int | None = None) -> Any:
    """Make one of the Rollout."""
    image = f"app@sha256:{template_hash}"
    return {
        "metadata": {
            "labels": {"rollouts-pod-template-hash": template_hash},
            "ownerReferences": [{"uid": owner}],
        },
        "spec": {"replicas": wanted, "template": {"spec": {"containers": [{"name": "app", "image": image}]}}},
        "status": {"replicas": wanted if pods is None else pods, "readyReplicas": ready},
    }


def weights(canary: tuple[str, int], stable: tuple[str, int]) -> Any:
    """Make the router's weights as the status has them."""
    return {
        side: {"weight": weight, "podTemplateHash": template_hash}
        for side, (template_hash, weight) in (("canary", canary), ("stable", stable))
    }


@pytest.fixture
def argo(api: Any) -> ArgoRollouts:
    """The adapter over a Rollout at its first pause."""
    api.objects[ROLLOUT] = rollout()
    api.objects[SETS] = {
        "items": [
            replica_set("old", wanted=9, ready=9),
            replica_set("new", wanted=1, ready=1),
            replica_set("gone", wanted=0, ready=0),
            replica_set("dying", wanted=0, ready=0, pods=1),
            replica_set("foreign", wanted=5, ready=5, owner="u2"),
        ]
    }
    return ArgoRollouts(api, {"prod": ENVIRONMENT})


def test_a_look_has_all_that_the_engine_asks_for(argo: ArgoRollouts, api: Any) -> None:
    """Every field comes from where the API has it; ReplicaSets of others and empty ones are no versions."""
    state = argo.state(TARGET)
    assert state is not None
    assert (state.name, state.uid, state.generation, state.observed_generation) == ("svc", "u1", 7, 7)
    assert (state.phase, state.pauses, state.step_index) == (Phase.PAUSED, ("CanaryPauseStep",), 1)
    assert (state.current_hash, state.stable_hash, state.replicas) == ("new", "old", 10)
    assert state.image == "app@sha256:new"
    assert (state.aborted, state.held_by_spec, state.traffic_routed) == (False, False, False)
    assert state.versions == (
        Version(template_hash="old", image="app@sha256:old", wanted=9, ready=9),
        Version(template_hash="new", image="app@sha256:new", wanted=1, ready=1),
        Version(template_hash="dying", image="app@sha256:dying", wanted=0, ready=0),
    )
    assert state.weight_percent == 10
    assert state.at_our_pause
    assert ("acme", "/k") in api.asked
    assert (SETS, {"labelSelector": "app=svc"}) in api.asked


@pytest.mark.parametrize(
    ("observed", "number", "phase"),
    [("7", 7, Phase.PAUSED), ("6", 6, Phase.PROGRESSING), (None, 0, Phase.PROGRESSING), ("5d9f8c", 7, Phase.PAUSED)],
)
def test_nothing_is_true_before_the_spec_was_observed(
    argo: ArgoRollouts, api: Any, observed: str | None, number: int, phase: Phase
) -> None:
    """The generation is text in the API; before it has caught up the old phase is not taken for the new one."""
    api.objects[ROLLOUT] = rollout(status={"observedGeneration": observed})
    state = argo.state(TARGET)
    assert state is not None
    assert (state.observed_generation, state.phase) == (number, phase)
    assert state.at_our_pause == (phase is Phase.PAUSED)


def test_a_phase_that_is_not_known_is_none(argo: ArgoRollouts, api: Any) -> None:
    """A word that the controller may invent is not taken for one that we know."""
    api.objects[ROLLOUT] = rollout(status={"phase": "Levitating", "abort": True}, spec={"paused": True})
    state = argo.state(TARGET)
    assert state is not None
    assert (state.phase, state.aborted, state.held_by_spec) == (Phase.UNKNOWN, True, True)


@pytest.mark.parametrize(
    ("routed", "stable", "percent"),
    [
        (weights(("new", 5), ("old", 95)), "old", 5),
        (weights(("new", 0), ("old", 100)), "old", 0),
        (weights(("new", 0), ("new", 100)), "new", 100),
        (None, "old", 0),
    ],
)
def test_with_a_router_its_weight_counts(
    argo: ArgoRollouts, api: Any, routed: Any, stable: str, percent: float
) -> None:
    """The router's own weight of the current version is the weight, not the pods."""
    strategy = {"canary": {"trafficRouting": {"nginx": {}}, "steps": []}}
    status = {"canary": {"weights": routed}, "stableRS": stable}
    api.objects[ROLLOUT] = rollout(spec={"strategy": strategy}, status=status)
    state = argo.state(TARGET)
    assert state is not None
    assert (state.traffic_routed, state.weight_percent) == (True, percent)


def test_without_a_ready_pod_there_is_no_weight(argo: ArgoRollouts, api: Any) -> None:
    """No pod that is ready takes no traffic."""
    api.objects[SETS] = {"items": [replica_set("new", wanted=1, ready=0)]}
    state = argo.state(TARGET)
    assert state is not None
    assert state.weight_percent == 0


def test_steps_are_read_as_the_api_writes_them(argo: ArgoRollouts, api: Any) -> None:
    """Weights, pauses with each kind of duration, and other steps by their name."""
    steps = [
        {"setWeight": 5},
        {"pause": {}},
        {"pause": None},
        {"pause": {"duration": "30s"}},
        {"pause": {"duration": 90}},
        {"pause": {"duration": "45"}},
        {"pause": {"duration": "1h30m"}},
        {"pause": {"duration": "500ms"}},
        {"setCanaryScale": {"weight": 25}},
        {"analysis": {"templates": []}},
    ]
    api.objects[ROLLOUT] = rollout(spec={"strategy": {"canary": {"steps": steps}}})
    state = argo.state(TARGET)
    assert state is not None
    assert state.steps == (
        Step(kind="setWeight", weight=5),
        Step(kind="pause"),
        Step(kind="pause"),
        *(Step(kind="pause", pause_s=seconds) for seconds in (30, 90, 45, 5400, 0.5)),
        Step(kind="setCanaryScale"),
        Step(kind="analysis"),
    )


def test_a_look_is_one_look(argo: ArgoRollouts, api: Any) -> None:
    """Where the Rollout changes while its ReplicaSets are read, they are read again."""
    later = rollout(version="2", status={"currentStepIndex": 3})
    api.objects[ROLLOUT] = [rollout(), later]
    api.objects[SETS] = [
        {"items": [replica_set("new", wanted=1, ready=1)]},
        {"items": [replica_set("new", wanted=3, ready=3)]},
    ]
    state = argo.state(TARGET)
    assert state is not None
    assert (state.step_index, state.versions[0].ready) == (3, 3)


def test_a_rollout_that_is_not_there_has_no_state(argo: ArgoRollouts, api: Any) -> None:
    """Not found, or deleted while it was read, is None."""
    api.objects[ROLLOUT] = MISSING
    assert argo.state(TARGET) is None
    api.objects[ROLLOUT] = [rollout(), MISSING]
    assert argo.state(TARGET) is None


def test_a_cluster_without_rollouts_is_refused(argo: ArgoRollouts, api: Any) -> None:
    """Where the CRD is missing that is said, instead of "no such Rollout"."""
    del api.objects[ROLLOUT]
    with pytest.raises(Refused, match="acme knows no Rollouts"):
        argo.state(TARGET)


def test_a_rollout_without_a_template_is_refused(argo: ArgoRollouts, api: Any) -> None:
    """A workloadRef leaves nothing to set the image in."""
    api.objects[ROLLOUT] = rollout(spec={"template": None, "workloadRef": {"name": "svc"}})
    with pytest.raises(Refused, match="workloadRef"):
        argo.state(TARGET)


def test_an_unknown_container_is_refused_with_the_known_ones(argo: ArgoRollouts) -> None:
    """The names that would be right are in the message."""
    assert argo.container_index(TARGET, "app") == 1
    with pytest.raises(Refused, match="no container 'web', it has: proxy, app"):
        argo.container_index(TARGET, "web")


PROMOTE = promote(TARGET, step_index=1, template_hash="new", weight=25)


def test_a_patch_goes_where_it_belongs(argo: ArgoRollouts, api: Any) -> None:
    """Status patches go to the subresource, all others to the Rollout; the document is the action's own."""
    argo.execute(PROMOTE)
    assert api.asked[-1] == (f"{ROLLOUT}/status", PROMOTE.document())
    image = set_image(TARGET, index=1, container="app", old="a", new="b")
    argo.execute(image)
    assert api.asked[-1] == (ROLLOUT, image.document())


@pytest.mark.parametrize("status", [409, 422])
def test_a_rejection_tells_both_sides(argo: ArgoRollouts, api: Any, status: int) -> None:
    """What was expected and what the server said are in the message."""
    api.patch_reply = Reply(status=status, body={"message": "testing path failed"})
    with pytest.raises(Rejected) as caught:
        argo.execute(PROMOTE)
    text = str(caught.value)
    assert f"promote of svc in acme/shop was rejected ({status}): testing path failed" in text
    assert "/status/currentStepIndex is 1" in text
    assert "nothing was written" in text


def test_a_missing_status_subresource_is_refused(argo: ArgoRollouts, api: Any) -> None:
    """A 404 for the status of a Rollout that is there means an installation from before 1.0."""
    api.patch_reply = MISSING
    with pytest.raises(Refused, match="no status subresource"):
        argo.execute(PROMOTE)
    api.objects[ROLLOUT] = MISSING
    with pytest.raises(Rejected, match="not found"):
        argo.execute(PROMOTE)
