"""What is made of pods, reviews and identities as the API has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_deploy.adapters.kubernetes import KubernetesCluster, selector_text
from pytest_deploy.domain.action import Target
from pytest_deploy.domain.release import Environment
from pytest_deploy.domain.rollout import ClusterIdentity, Permission, Pod
from pytest_deploy.io.kube import Reply
from pytest_deploy.testing.clock import FakeClock

TARGET = Target(environment="prod", context="acme", namespace="shop", name="svc")
ENVIRONMENT = Environment(
    name="prod", context="acme", namespace="shop", release="svc", rollout="svc", container="app", kubeconfig=Path("/k")
)
ROLLOUT = "/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts/svc"
BACK_OFF = "back-off 10s restarting failed container"
PODS = "/api/v1/namespaces/shop/pods"


@pytest.fixture
def cluster(api: Any) -> KubernetesCluster:
    """The adapter; a Rollout with a selector is there."""
    api.objects[ROLLOUT] = {"spec": {"selector": {"matchLabels": {"app": "svc"}}}}
    api.objects[PODS] = {"items": []}
    return KubernetesCluster(api, {"prod": ENVIRONMENT}, clock=FakeClock())


def pod(**status: Any) -> Any:
    """Make one of the new version."""
    return {
        "metadata": {"name": "svc-1", "labels": {"rollouts-pod-template-hash": "new"}},
        "spec": {"containers": [{"name": "proxy", "image": "p"}, {"name": "app", "image": "app@sha256:new"}]},
        "status": {"phase": "Pending", **status},
    }


def container(state: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Make the status of the container ``app``."""
    return {"name": "app", "state": state, **more}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    """Make the state of a container that waits."""
    return {"waiting": {"reason": reason, "message": message}}


def test_the_identity_is_the_servers(cluster: KubernetesCluster, api: Any) -> None:
    """Address, version and the UID of kube-system say which cluster it is; the last one may be forbidden."""
    api.objects["/version"] = {"gitVersion": "v1.34.4"}
    api.objects["/api/v1/namespaces/kube-system"] = {"metadata": {"uid": "u-1"}}
    assert cluster.identity(ENVIRONMENT) == ClusterIdentity(server=api.server, version="v1.34.4", uid="u-1")
    api.objects["/api/v1/namespaces/kube-system"] = Reply(status=403, body={"message": "forbidden", "metadata": {}})
    assert cluster.identity(ENVIRONMENT).uid is None
    assert ("acme", Path("/k")) in api.asked


def test_each_permission_is_asked_for(cluster: KubernetesCluster, api: Any) -> None:
    """What is not allowed in so many words is denied; a subresource is asked for as one."""
    api.allowed = {("patch", "rollouts", "status")}
    status = Permission(verb="patch", group="argoproj.io", resource="rollouts/status", namespace="shop")
    spec = Permission(verb="patch", group="argoproj.io", resource="rollouts", namespace="shop")
    assert cluster.denied(ENVIRONMENT, [status, spec]) == (spec,)
    assert api.asked[1][1] == {
        "verb": "patch", "group": "argoproj.io", "resource": "rollouts", "subresource": "status", "namespace": "shop",
    }  # fmt: skip


def test_a_pod_is_what_the_kubelet_says(cluster: KubernetesCluster, api: Any) -> None:
    """The image is that of the release's container, readiness is the condition, the image id the kubelet's."""
    running = pod(
        phase="Running",
        conditions=[{"type": "Ready", "status": "True"}],
        containerStatuses=[container({"running": {}}, imageID="app@sha256:x", ready=True)],
    )
    api.objects[PODS] = {"items": [running]}
    expected = Pod(
        name="svc-1", template_hash="new", image="app@sha256:new", image_id="app@sha256:x", ready=True, trouble=""
    )
    assert cluster.pods(TARGET, "svc") == (expected,)
    assert api.asked[-1] == (PODS, {"labelSelector": "app=svc"})


@pytest.mark.parametrize(
    ("status", "trouble"),
    [
        ({}, ""),
        ({"containerStatuses": [container(waiting("ContainerCreating"))]}, ""),
        ({"initContainerStatuses": [container(waiting("PodInitializing"))]}, ""),
        ({"containerStatuses": [container({"running": {}}, ready=False)]}, ""),
        (
            {
                "containerStatuses": [
                    container(
                        waiting("CrashLoopBackOff", BACK_OFF),
                        lastState={"terminated": {"reason": "Error", "exitCode": 1, "message": "no\ndatabase"}},
                    )
                ]
            },
            f"CrashLoopBackOff: {BACK_OFF}; it last ended with Error, exit code 1, no database",
        ),
        (
            {"containerStatuses": [container(waiting("ImagePullBackOff", 'Back-off pulling image "x"'))]},
            'ImagePullBackOff: Back-off pulling image "x"',
        ),
        (
            {"containerStatuses": [container(waiting("CreateContainerConfigError", 'secret "s" not found'))]},
            'CreateContainerConfigError: secret "s" not found',
        ),
        ({"initContainerStatuses": [container(waiting("ErrImagePull"))]}, "ErrImagePull: container app"),
    ],
)
def test_trouble_is_told_in_kubernetes_words(
    cluster: KubernetesCluster, api: Any, status: dict[str, Any], trouble: str
) -> None:
    """A container that starts is in no trouble; one that can't start says why, and how it ended before."""
    api.objects[PODS] = {"items": [pod(**status)]}
    (found,) = cluster.pods(TARGET, "svc")
    assert (found.trouble, found.ready) == (trouble, False)


@pytest.mark.parametrize(
    ("since", "trouble"),
    [
        ("2026-11-23T23:59:00Z", ""),
        ("2026-11-23T23:57:00Z", "Unschedulable for 180 s: 0/3 nodes are available"),
        (None, ""),
    ],
)
def test_no_node_is_trouble_once_no_autoscaler_helps(
    cluster: KubernetesCluster, api: Any, since: str | None, trouble: str
) -> None:
    """A pod without a node waits for one for two minutes before that is trouble."""
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/3 nodes are available",
        "lastTransitionTime": since,
    }
    api.objects[PODS] = {"items": [pod(conditions=[condition])]}
    assert cluster.pods(TARGET, "svc")[0].trouble == trouble


def test_only_the_rollouts_active_pods_count(cluster: KubernetesCluster, api: Any) -> None:
    """Pods that are deleted, evicted or ended, and those of a Deployment with the same labels, are left out."""
    deleted, evicted, ended, foreign = pod(), pod(phase="Failed"), pod(phase="Succeeded"), pod()
    deleted["metadata"]["deletionTimestamp"] = "2026-11-24T00:00:00Z"
    foreign["metadata"]["labels"] = {"app": "svc"}
    api.objects[PODS] = {"items": [deleted, evicted, ended, foreign]}
    assert cluster.pods(TARGET, "svc") == ()


def test_no_rollout_has_no_pods(cluster: KubernetesCluster, api: Any) -> None:
    """Neither a missing Rollout nor one without a selector has pods; above all not all of the namespace's."""
    api.objects[ROLLOUT] = {"spec": {"workloadRef": {"name": "svc"}}}
    api.objects[PODS] = {"items": [pod()]}
    assert cluster.pods(TARGET, "svc") == ()
    del api.objects[ROLLOUT]
    assert cluster.pods(TARGET, "svc") == ()


def test_every_kind_of_selector_has_its_text() -> None:
    """Labels and all four operators come out as the API's query language has them."""
    expressions = [
        {"key": "tier", "operator": "In", "values": ["a", "b"]},
        {"key": "zone", "operator": "NotIn", "values": ["c"]},
        {"key": "x", "operator": "Exists"},
        {"key": "y", "operator": "DoesNotExist"},
    ]
    text = selector_text({"matchLabels": {"app": "svc"}, "matchExpressions": expressions})
    assert text == "app=svc,tier in (a,b),zone notin (c),x,!y"
