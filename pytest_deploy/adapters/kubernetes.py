"""Reads of a Kubernetes cluster: which one it is, what the account may do, and how the pods are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from pytest_deploy.adapters import pod_words
from pytest_deploy.domain.rollout import Account, ClusterIdentity, Permission, Pod
from pytest_deploy.errors import Rejected

if TYPE_CHECKING:
    from pytest_deploy.domain.action import Json, Target
    from pytest_deploy.domain.found import Found
    from pytest_deploy.domain.permissions import Resource
    from pytest_deploy.domain.release import Environment
    from pytest_deploy.io.kube import Connection, KubeApi
    from pytest_deploy.ports import Clock

__all__ = ["KubernetesCluster", "resources"]

_HASH_LABEL = "rollouts-pod-template-hash"
_STARTING = frozenset({"ContainerCreating", "PodInitializing"})
"""Reasons to wait that every container has for a moment; any other one is trouble, in Kubernetes' own word:
https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/images/types.go and kuberuntime."""
_UNSCHEDULABLE_FOR = timedelta(seconds=15)
"""How long a pod may find no node before that is trouble: an autoscaler looks every 10 s, and says what it does."""
_SCALING_FOR = timedelta(minutes=5)
"""How long where an autoscaler makes a node for it: most clouds have one within two minutes."""
_WORDS_LIMIT = 300


class KubernetesCluster:
    """Port ``Cluster`` on real API servers.

    Args:
        environments: by name; they say which container carries the image.
    """

    def __init__(self, api: KubeApi, environments: Mapping[str, Environment], *, clock: Clock) -> None:
        self._api = api
        self._environments = environments
        self._clock = clock

    def identity(self, environment: Environment) -> ClusterIdentity:
        """Return which cluster answers; raises Unreachable, or Refused when its context does not exist."""
        connection = self._api.at(environment.context, environment.kubeconfig)
        version = connection.read("/version").body.get("gitVersion")
        namespace = connection.read("/api/v1/namespaces/kube-system", accept=(403, 404))
        metadata: Any = namespace.body.get("metadata") or {}
        return ClusterIdentity(
            server=connection.server, version=str(version), uid=metadata.get("uid"), ca=connection.ca_sha256
        )

    def account(self, environment: Environment) -> Account:
        """Return who we are to its API server; one that does not answer the question leaves it open."""
        connection = self._api.at(environment.context, environment.kubeconfig)
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        try:
            answer = connection.ask("/apis/authentication.k8s.io/v1/selfsubjectreviews", {**review})
        except Rejected:  # a server may forbid it; who may do what is asked verb by verb all the same
            return Account(user="", groups=(), expires=connection.expires)
        status: Any = answer.body.get("status") or {}
        who = status.get("userInfo") or {}
        return Account(
            user=str(who.get("username", "")), groups=tuple(who.get("groups") or ()), expires=connection.expires
        )

    def denied(self, environment: Environment, permissions: Sequence[Permission]) -> tuple[Permission, ...]:
        """Return those of the permissions that this account does not have, each asked for by itself.

        SelfSubjectRulesReview would be one request, but is documented as not for decisions:
        https://kubernetes.io/docs/reference/kubernetes-api/authorization-resources/self-subject-rules-review-v1/
        """
        connection = self._api.at(environment.context, environment.kubeconfig)
        found = []
        for permission in permissions:
            resource, _, subresource = permission.resource.partition("/")
            attributes = {
                "verb": permission.verb,
                "group": permission.group,
                "resource": resource,
                "subresource": subresource,
                "namespace": permission.namespace,
                "name": permission.name,
            }
            review = connection.ask(
                "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
                {
                    "apiVersion": "authorization.k8s.io/v1",
                    "kind": "SelfSubjectAccessReview",
                    "spec": {"resourceAttributes": dict(attributes)},
                },
            )
            status: Any = review.body.get("status") or {}
            if status.get("allowed") is not True:
                found.append(permission)
        return tuple(found)

    def objects(
        self, environment: Environment, resource: Resource, name: str = ""
    ) -> tuple[Mapping[str, Json], ...] | None:
        """Return the objects of a kind as the API gives them; () where there are none, or there is no such kind.

        None: this account may not read them.

        Args:
            name: of the one that is wanted; "": all of the environment's namespace.
        """
        connection = self._api.at(environment.context, environment.kubeconfig)
        root = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
        space = f"/namespaces/{environment.namespace}" if resource.namespaced else ""
        path = f"{root}{space}/{resource.plural}"
        reply = connection.read(f"{path}/{name}" if name else path, accept=(403, 404))
        if reply.status == 403:
            return None
        if reply.status == 404:
            return ()
        found: Any = [reply.body] if name else reply.body.get("items") or ()
        return tuple(found)

    def resources(
        self, environment: Environment, manifests: Sequence[Mapping[str, Json]]
    ) -> frozenset[tuple[str, str]]:
        """Return the kinds of the manifests as (API group, plural), as far as the API server serves them."""
        return resources(self._api.at(environment.context, environment.kubeconfig), manifests)

    def pods(self, target: Target, service: str) -> tuple[Pod, ...]:
        """Return the pods of the rollout that count as running or about to; () where there is no rollout.

        A pod that is being deleted, has failed or has ended is none of a ReplicaSet's:
        https://github.com/kubernetes/kubernetes/blob/master/pkg/controller/controller_utils.go (IsPodActive)
        """
        del service  # the Rollout's own selector says which pods are its
        connection, selector = self._selected(target)
        if not selector:
            return ()  # no Rollout, or one that takes its pods from another object (workloadRef), which Traffic refuses
        answer = connection.read(f"/api/v1/namespaces/{target.namespace}/pods", {"labelSelector": selector})
        items: Any = answer.body.get("items") or []
        container = self._environments[target.environment].container
        return tuple(
            self._pod(item, container, partial(pod_words.scales_up, connection, target.namespace))
            for item in items
            if _active(item) and _is_a_rollouts(item)
        )

    def blocked(self, target: Target) -> str:
        """Return why no more pods of the rollout can be created, as its ReplicaSet was told; "" where they can."""
        connection, selector = self._selected(target)
        return pod_words.blocked(connection, target.namespace, selector) if selector else ""

    def last_words(self, target: Target, pod: Pod) -> Found:
        """Return the pod's events and the end of its log; the words are the most telling line."""
        connection = self._api.at(target.context, target.kubeconfig)
        return pod_words.last_words(connection, target.namespace, pod.name)

    def _selected(self, target: Target) -> tuple[Connection, str]:
        """Return the connection, and the selector of the rollout's pods; "" where there is none."""
        connection = self._api.at(target.context, target.kubeconfig)
        path = f"/apis/argoproj.io/v1alpha1/namespaces/{target.namespace}/rollouts/{target.name}"
        rollout = connection.read(path, accept=(404,))
        spec: Any = rollout.body.get("spec") or {}
        return connection, "" if rollout.status == 404 else selector_text(spec.get("selector") or {})

    def _pod(self, item: Any, container: str, scales_up: Callable[[str], bool]) -> Pod:
        metadata, status = item["metadata"], item.get("status") or {}
        conditions = {c["type"]: c for c in status.get("conditions") or ()}
        statuses = {c["name"]: c for c in status.get("containerStatuses") or ()}
        images = {c["name"]: c.get("image", "") for c in item["spec"]["containers"]}
        return Pod(
            name=metadata["name"],
            template_hash=(metadata.get("labels") or {}).get(_HASH_LABEL, ""),
            image=images.get(container, ""),
            image_id=statuses.get(container, {}).get("imageID", ""),
            ready=conditions.get("Ready", {}).get("status") == "True",
            trouble=next(self._troubles(item, scales_up, conditions.get("PodScheduled", {})), ""),
        )

    def _troubles(self, item: Any, scales_up: Callable[[str], bool], scheduled: Any) -> Iterator[str]:
        status = item.get("status") or {}
        if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
            since = scheduled.get("lastTransitionTime")
            waited = self._clock.now() - datetime.fromisoformat(since) if since else timedelta()
            limit = _SCALING_FOR if waited >= _UNSCHEDULABLE_FOR and scales_up(item["metadata"]["name"]) else None
            if waited >= (limit or _UNSCHEDULABLE_FOR):
                yield _line(f"Unschedulable for {waited.total_seconds():.0f} s: {scheduled.get('message', '')}")
        for each in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
            waiting = (each.get("state") or {}).get("waiting") or {}
            reason = waiting.get("reason", "")
            if reason and reason not in _STARTING:
                message = waiting.get("message") or f"container {each['name']}"
                yield _line(f"{reason}: {message}") + _last_end(each)


def resources(connection: Connection, manifests: Sequence[Mapping[str, Json]]) -> frozenset[tuple[str, str]]:
    """Return the kinds of the manifests as (API group, plural), as far as this API server serves them."""
    found: set[tuple[str, str]] = set()
    for version in {str(manifest.get("apiVersion")) for manifest in manifests}:
        group = version.rpartition("/")[0]
        kinds = {manifest.get("kind") for manifest in manifests if manifest.get("apiVersion") == version}
        served: Any = connection.read(f"/apis/{version}" if group else f"/api/{version}", accept=(404,)).body
        found |= {
            (group, each["name"])
            for each in served.get("resources") or ()
            if each["kind"] in kinds and "/" not in each["name"]
        }
    return frozenset(found)


def selector_text(selector: Mapping[str, Any]) -> str:
    """Return a LabelSelector as the API's query wants it."""
    words = {
        "In": "{key} in ({values})",
        "NotIn": "{key} notin ({values})",
        "Exists": "{key}",
        "DoesNotExist": "!{key}",
    }
    parts = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for each in selector.get("matchExpressions") or ():
        values = ",".join(each.get("values") or ())
        parts.append(words[each["operator"]].format(key=each["key"], values=values))
    return ",".join(parts)


def _active(item: Any) -> bool:
    phase = (item.get("status") or {}).get("phase")
    return "deletionTimestamp" not in item["metadata"] and phase not in {"Succeeded", "Failed"}


def _is_a_rollouts(item: Any) -> bool:
    """A Deployment of the same labels may live beside the Rollout while a team migrates; its pods lack the label."""
    return _HASH_LABEL in (item["metadata"].get("labels") or {})


def _last_end(status: Any) -> str:
    """How the container ended the last time; a back-off alone does not say why."""
    ended = (status.get("lastState") or {}).get("terminated") or (status.get("state") or {}).get("terminated")
    if not ended:
        return ""
    message = f", {_line(ended['message'])}" if ended.get("message") else ""
    return f"; it last ended with {ended.get('reason', 'no reason')}, exit code {ended.get('exitCode')}{message}"


def _line(text: str) -> str:
    return " ".join(text.split())[:_WORDS_LIMIT]
