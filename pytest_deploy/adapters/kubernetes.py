"""Reads of a Kubernetes cluster: which one it is, what the account may do, and how the pods are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from pytest_deploy.domain.rollout import ClusterIdentity, Permission, Pod

if TYPE_CHECKING:
    from pytest_deploy.domain.action import Target
    from pytest_deploy.domain.release import Environment
    from pytest_deploy.io.kube import KubeApi
    from pytest_deploy.ports import Clock

__all__ = ["KubernetesCluster"]

_HASH_LABEL = "rollouts-pod-template-hash"
_STARTING = frozenset({"ContainerCreating", "PodInitializing"})
"""Reasons to wait that every container has for a moment; any other one is trouble, in Kubernetes' own word:
https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/images/types.go and kuberuntime."""
_UNSCHEDULABLE_FOR = timedelta(minutes=2)
"""How long a pod may find no node before that is trouble; a cluster autoscaler needs one to two minutes."""
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
        return ClusterIdentity(server=connection.server, version=str(version), uid=metadata.get("uid"))

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

    def pods(self, target: Target, service: str) -> tuple[Pod, ...]:
        """Return the pods of the rollout that count as running or about to; () where there is no rollout.

        A pod that is being deleted, has failed or has ended is none of a ReplicaSet's:
        https://github.com/kubernetes/kubernetes/blob/master/pkg/controller/controller_utils.go (IsPodActive)
        """
        del service  # the Rollout's own selector says which pods are its
        connection = self._api.at(target.context, target.kubeconfig)
        space = f"namespaces/{target.namespace}"
        rollout = connection.read(f"/apis/argoproj.io/v1alpha1/{space}/rollouts/{target.name}", accept=(404,))
        if rollout.status == 404:
            return ()
        spec: Any = rollout.body.get("spec") or {}
        selector = selector_text(spec.get("selector") or {})
        if not selector:
            return ()  # it takes its pods from another object (workloadRef), which Traffic refuses
        answer = connection.read(f"/api/v1/{space}/pods", {"labelSelector": selector})
        items: Any = answer.body.get("items") or []
        container = self._environments[target.environment].container
        return tuple(self._pod(item, container) for item in items if _active(item) and _is_a_rollouts(item))

    def _pod(self, item: Any, container: str) -> Pod:
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
            trouble=next(self._troubles(status, conditions.get("PodScheduled", {})), ""),
        )

    def _troubles(self, status: Any, scheduled: Any) -> Iterator[str]:
        if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
            since = scheduled.get("lastTransitionTime")
            waited = self._clock.now() - datetime.fromisoformat(since) if since else timedelta()
            if waited >= _UNSCHEDULABLE_FOR:
                yield _line(f"Unschedulable for {waited.total_seconds():.0f} s: {scheduled.get('message', '')}")
        for each in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
            waiting = (each.get("state") or {}).get("waiting") or {}
            reason = waiting.get("reason", "")
            if reason and reason not in _STARTING:
                message = waiting.get("message") or f"container {each['name']}"
                yield _line(f"{reason}: {message}") + _last_end(each)


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
