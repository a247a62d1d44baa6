"""What is made of pods, reviews and identities as the API has them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pytest_deploy.adapters.kubernetes import KubernetesCluster, selector_text
from pytest_deploy.domain.action import Target
from pytest_deploy.domain.found import Found
from pytest_deploy.domain.permissions import CRDS, Resource
from pytest_deploy.domain.release import Environment
from pytest_deploy.domain.rollout import Account, ClusterIdentity, Permission, Pod
from pytest_deploy.io.kube import Reply
from pytest_deploy.testing.clock import FakeClock

TARGET = Target(environment="prod", context="acme", namespace="shop", name="svc")
ENVIRONMENT = Environment(
    name="prod", context="acme", namespace="shop", release="svc", rollout="svc", container="app", kubeconfig=Path("/k")
)
ROLLOUT = "/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts/svc"
BACK_OFF = "back-off 10s restarting failed container"
PODS = "/api/v1/namespaces/shop/pods"
EVENTS = "/api/v1/namespaces/shop/events"
SETS = "/apis/apps/v1/namespaces/shop/replicasets"


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
    assert cluster.identity(ENVIRONMENT) == ClusterIdentity(server=api.server, version="v1.34.4", uid="u-1", ca="ca")
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
        "name": "",
    }  # fmt: skip


def test_who_we_are_is_what_the_server_says(cluster: KubernetesCluster, api: Any) -> None:
    """User and groups come from the review; a server that does not tell leaves them open, the token's end is ours."""
    api.expires = datetime(2026, 1, 5, tzinfo=UTC)
    assert cluster.account(ENVIRONMENT) == Account(user="", groups=(), expires=api.expires)
    api.who = {"username": "ann", "groups": ["ops", "system:authenticated"]}
    assert cluster.account(ENVIRONMENT) == Account(
        user="ann", groups=("ops", "system:authenticated"), expires=api.expires
    )


def test_objects_are_read_by_their_kind(cluster: KubernetesCluster, api: Any) -> None:
    """All of the namespace, or one by its name; what is forbidden is told from what is not there."""
    secrets = Resource(group="", version="v1", plural="secrets")
    api.objects["/api/v1/namespaces/shop/secrets"] = {"items": [{"metadata": {"name": "a"}}]}
    api.objects["/api/v1/namespaces/shop/secrets/a"] = {"metadata": {"name": "a"}}
    assert cluster.objects(ENVIRONMENT, secrets) == ({"metadata": {"name": "a"}},)
    assert cluster.objects(ENVIRONMENT, secrets, "a") == ({"metadata": {"name": "a"}},)
    assert cluster.objects(ENVIRONMENT, secrets, "b") == ()
    api.objects["/apis/apiextensions.k8s.io/v1/customresourcedefinitions/x"] = Reply(status=403, body={})
    assert cluster.objects(ENVIRONMENT, CRDS, "x") is None


def test_kinds_are_those_that_the_server_serves(cluster: KubernetesCluster, api: Any) -> None:
    """Each kind has the plural that discovery tells; subresources and kinds that nobody asked for are left out."""
    api.objects["/apis/apps/v1"] = {
        "resources": [
            {"kind": "Deployment", "name": "deployments"},
            {"kind": "Deployment", "name": "deployments/status"},
            {"kind": "DaemonSet", "name": "daemonsets"},
        ]
    }
    api.objects["/api/v1"] = {"resources": [{"kind": "Service", "name": "services"}]}
    manifests = [
        {"apiVersion": "apps/v1", "kind": "Deployment"},
        {"apiVersion": "v1", "kind": "Service"},
        {"apiVersion": "example.com/v1", "kind": "Thing"},
    ]
    assert cluster.resources(ENVIRONMENT, manifests) == {("apps", "deployments"), ("", "services")}


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
    ("since", "scales_up", "trouble"),
    [
        ("2026-11-23T23:59:50Z", False, ""),
        ("2026-11-23T23:59:40Z", False, "Unschedulable for 20 s: 0/3 nodes are available"),
        ("2026-11-23T23:59:40Z", True, ""),
        ("2026-11-23T23:54:00Z", True, "Unschedulable for 360 s: 0/3 nodes are available"),
        (None, False, ""),
    ],
)
def test_no_node_is_trouble_once_no_autoscaler_helps(
    cluster: KubernetesCluster, api: Any, since: str | None, scales_up: bool, trouble: str
) -> None:
    """A pod without a node waits for 15 s; for five minutes where an autoscaler has said that it makes one."""
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/3 nodes are available",
        "lastTransitionTime": since,
    }
    api.objects[PODS] = {"items": [pod(conditions=[condition])]}
    event = {"metadata": {}, "reason": "TriggeredScaleUp", "message": "pod triggered scale-up"}
    api.objects[EVENTS] = {"items": [event] if scales_up else []}
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


def replica_set(name: str, replicas: int, created: str, failure: str = "") -> dict[str, Any]:
    """Make one, which could not create its pods where a failure is given."""
    condition = {"type": "ReplicaFailure", "status": "True", "message": failure}
    return {
        "metadata": {"name": name, "creationTimestamp": created},
        "spec": {"replicas": replicas},
        "status": {"conditions": [condition] if failure else []},
    }


def test_a_quota_that_blocks_pods_is_told(cluster: KubernetesCluster, api: Any) -> None:
    """The newest ReplicaSet that wants pods says why it gets none; older ones, and those scaled down, do not count."""
    old = replica_set("svc-old", 3, "2026-11-24T00:00:00Z", "an old story")
    gone = replica_set("svc-gone", 0, "2026-11-24T02:00:00Z", "scaled down")
    api.objects[SETS] = {"items": [replica_set("svc-new", 3, "2026-11-24T01:00:00Z", "exceeded quota: q"), gone, old]}
    assert cluster.blocked(TARGET) == "exceeded quota: q"
    api.objects[SETS] = {"items": [replica_set("svc-new", 3, "2026-11-24T01:00:00Z"), old]}
    assert cluster.blocked(TARGET) == ""
    api.objects[SETS] = {"items": [gone]}
    assert cluster.blocked(TARGET) == ""


def test_where_there_is_no_rollout_nothing_is_blocked(cluster: KubernetesCluster, api: Any) -> None:
    """No ReplicaSet of others is read."""
    api.objects[ROLLOUT] = Reply(status=404, body={"message": "not found"})
    assert cluster.blocked(TARGET) == ""


def stuck(api: Any, item: dict[str, Any], *events: tuple[str, str, str], logs: dict[bool, str] | None = None) -> Found:
    """Return what a pod says of itself.

    Args:
        events: time, type and message.
        logs: by whether it is that of the run before.
    """
    api.objects[f"{PODS}/svc-1"] = item
    api.objects[EVENTS] = {
        "items": [
            {"metadata": {}, "lastTimestamp": when, "type": kind, "reason": "Why", "message": text, "count": 3}
            for when, kind, text in events
        ]
    }
    api.logs = logs or {}
    kubernetes = KubernetesCluster(api, {"prod": ENVIRONMENT}, clock=FakeClock())
    here = Pod(name="svc-1", template_hash="new", image="app", image_id="", ready=False)
    return kubernetes.last_words(TARGET, here)


def test_a_crash_leaves_the_end_of_its_log(api: Any) -> None:
    """The last lines of the run before are told, the rest and the events attached."""
    crashed = container(waiting("CrashLoopBackOff"), lastState={"terminated": {"exitCode": 3}})
    item = pod(containerStatuses=[crashed])
    found = stuck(api, item, ("2", "Warning", "Back-off"), logs={True: "a\nb\nc\n\nfatal:\tno \x1b[31mconfig\n"})
    assert found.words == "its last lines: b | c | fatal: no [31mconfig"
    assert [each.name for each in found.attachments] == ["log of svc-1/app", "events of svc-1"]
    assert found.attachments[1].text == "2 Warning Why (x3): Back-off"


def test_a_failing_probe_is_told_with_its_path(api: Any) -> None:
    """A container that runs and is not ready: the newest warning says what its probe was answered, not its log."""
    item = pod(containerStatuses=[container({"running": {}}, ready=False)])
    item["spec"]["containers"][1]["readinessProbe"] = {"httpGet": {"path": "/healthz", "port": 8080}}
    failed = "Readiness probe failed: HTTP probe failed with statuscode: 503"
    found = stuck(
        api,
        item,
        ("2", "Warning", failed),
        ("1", "Warning", "older"),
        ("3", "Normal", "Pulled"),
        logs={False: "serving"},
    )
    assert found.words == f"{failed} (it asks for /healthz on port 8080)"
    assert found.attachments[0].text == "serving"


def test_a_log_that_is_gone_hides_nothing(api: Any) -> None:
    """The kubelet may have removed it: the events are told in its place."""
    ended = container({"terminated": {"exitCode": 1}})
    found = stuck(api, pod(initContainerStatuses=[ended]), ("1", "Warning", "BackOff"))
    assert found.words == "BackOff"
    assert found.attachments[0].text.startswith("not to be had: the log of pod shop/svc-1: 404")


def test_a_pod_without_a_story_has_no_words(api: Any) -> None:
    """Events may be forbidden, and nothing may have happened yet."""
    assert stuck(api, pod()) == Found("")
    api.objects[EVENTS] = Reply(status=403, body={"message": "forbidden"})
    assert KubernetesCluster(api, {}, clock=FakeClock()).last_words(
        TARGET, Pod(name="svc-1", template_hash="", image="", image_id="", ready=False)
    ) == Found("")
