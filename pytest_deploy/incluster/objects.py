"""The Kubernetes objects of a deploy in the cluster: account, role, files and Job."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_deploy.domain import permissions
from pytest_deploy.incluster.bundle import FILE

if TYPE_CHECKING:
    from pytest_deploy.domain.action import Json

__all__ = [
    "COMPONENT",
    "RELEASE",
    "Place",
    "Pod",
    "account",
    "bundle_map",
    "job",
    "job_name",
    "role",
    "role_binding",
    "watchdog",
]

COMPONENT = "app.kubernetes.io/component"
RELEASE = "pytest-deploy.dev/release"
"""On the Job: whose deploy it is; one of each runs at a time."""
KEPT_S = 7 * 24 * 3600
"""Job, files and report are removed so long after its end; a week is arbitrary, the journal stays."""
GRACE_S = 600
"""A pod that is told to end takes its deploy back first; the longest that Helm's rollback is given by default."""

_REPORT = permissions.Rule(group="", resource="configmaps", verbs=("get",))
"""On top of what a deploy needs: whether its report is there already, where an answer was lost."""

_MANAGED = {"app.kubernetes.io/managed-by": "pytest-deploy"}
_WORK = "/work"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the Job runs, and for which release.

    Args:
        namespace: the Job's.
        release: the Helm release; where none owns it, the rollout.
        spaces: namespaces of this cluster that the deploy acts on.
        resources: kinds that the chart holds, as (API group, plural).
        helm: whether a Helm release owns the rollout.
        workloads: Helm releases or rollouts of the other environments in this cluster, too; () only this one.
    """

    namespace: str
    release: str
    spaces: Sequence[str]
    resources: Iterable[tuple[str, str]] = ()
    helm: bool = True
    workloads: Sequence[str] = ()

    @property
    def account(self) -> str:
        """Name of the ServiceAccount, and of its Roles."""
        return f"pytest-deploy-{self.release}"

    def labels(self, component: str) -> dict[str, Json]:
        """Return what each object carries."""
        return {**_MANAGED, COMPONENT: component, RELEASE: self.release}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """What runs.

    Args:
        name: of the Job or Deployment, and of the ConfigMap with its files.
        image: with pytest-deploy in it.
        arguments: of ``pytest_deploy.incluster.pod``.
        environ: its variables.
        secret: name of a Secret whose keys become variables, too, for what deploy.yaml names; None: none.
    """

    name: str
    image: str
    arguments: Sequence[str]
    environ: Mapping[str, str]
    secret: str | None


def job_name(deploy: str) -> str:
    """Return the name of a deploy's Job, and of its files."""
    return f"deploy-{deploy}"


def account(place: Place) -> dict[str, Json]:
    """Return the account that the Job runs under."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": place.account, "namespace": place.namespace, "labels": place.labels("deploy-account")},
    }


def role(place: Place, namespace: str) -> dict[str, Json]:
    """Return what the account may do in one namespace: what a deploy does and undoes there, and nothing else."""
    found = permissions.rules(place.workloads or (place.release,), place.resources, helm=place.helm)
    rules: list[Json] = [rule.manifest() for rule in (*found, _REPORT)]
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": place.account, "namespace": namespace, "labels": place.labels("deploy-account")},
        "rules": rules,
    }


def role_binding(place: Place, namespace: str) -> dict[str, Json]:
    """Return what gives the account its role in one namespace."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": place.account, "namespace": namespace, "labels": place.labels("deploy-account")},
        "subjects": [{"kind": "ServiceAccount", "name": place.account, "namespace": place.namespace}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": place.account},
    }


def bundle_map(place: Place, name: str, packed: bytes) -> dict[str, Json]:
    """Return the ConfigMap with a pod's files."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": place.namespace, "labels": place.labels("deploy-files")},
        "binaryData": {FILE: base64.b64encode(packed).decode()},
    }


def job(place: Place, pod: Pod, *, by: str) -> dict[str, Json]:
    """Return the Job of a deploy.

    Args:
        by: who started it, for people.
    """
    labels = place.labels("deploy-job")
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": pod.name,
            "namespace": place.namespace,
            "labels": labels,
            "annotations": {"pytest-deploy.dev/by": by},
        },
        "spec": {
            # A deploy that failed, or whose pod is gone, is never begun again by itself; nor is there ever a second
            # pod while the first one still takes its deploy back.
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            "ttlSecondsAfterFinished": KEPT_S,
            "template": {
                "metadata": {
                    "labels": labels,
                    "annotations": {
                        # Autoscalers don't move it: https://github.com/kubernetes/autoscaler (FAQ),
                        # https://karpenter.sh/docs/concepts/disruption/
                        "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
                        "karpenter.sh/do-not-disrupt": "true",
                    },
                },
                "spec": {**_pod_spec(place, pod, grace_s=GRACE_S), "restartPolicy": "Never"},
            },
        },
    }


def watchdog(place: Place, pod: Pod) -> dict[str, Json]:
    """Return the Deployment of a watchdog: one pod, never two."""
    labels = place.labels("deploy-watchdog")
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": pod.name, "namespace": place.namespace, "labels": labels},
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": _pod_spec(place, pod, grace_s=30)},
        },
    }


def _pod_spec(place: Place, pod: Pod, *, grace_s: int) -> dict[str, Json]:
    uid: dict[str, Json] = {"fieldRef": {"fieldPath": "metadata.labels['batch.kubernetes.io/controller-uid']"}}
    own: list[Json] = [
        {"name": "DEPLOY_JOB", "value": pod.name},
        {"name": "DEPLOY_NAMESPACE", "value": place.namespace},
        {"name": "DEPLOY_JOB_UID", "valueFrom": uid},
        {"name": "PYTHONUNBUFFERED", "value": "1"},
    ]
    given: list[Json] = [{"name": key, "value": value} for key, value in sorted(pod.environ.items())]
    container: dict[str, Json] = {
        "name": "deploy",
        "image": pod.image,
        # By digest or by tag: what is on the node is it, and a registry that is away stops no deploy.
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-P", "-m", "pytest_deploy.incluster.pod", *pod.arguments],
        "workingDir": _WORK,
        "env": [*own, *given],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
        "volumeMounts": [
            {"name": "files", "mountPath": "/files", "readOnly": True},
            {"name": "work", "mountPath": _WORK},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the pod's own, and empty
        ],
    }
    if pod.secret is not None:
        container["envFrom"] = [{"secretRef": {"name": pod.secret}}]
    return {
        "serviceAccountName": place.account,
        "terminationGracePeriodSeconds": grace_s,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [
            {"name": "files", "configMap": {"name": pod.name}},
            {"name": "work", "emptyDir": {}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
