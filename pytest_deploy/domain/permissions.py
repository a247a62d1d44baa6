"""What an account needs for a deploy and its way back, and what it must not have.

One list: pre-flight asks for it, ``pytest-deploy rbac`` prints it, and a deploy in the cluster gets it as its Role.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pytest_deploy.domain.action import Json
from pytest_deploy.domain.release import Environment
from pytest_deploy.domain.rollout import Permission

__all__ = [
    "CRDS",
    "EXCESSIVE",
    "RISKY",
    "Excess",
    "Resource",
    "Rule",
    "cluster_rules",
    "permissions",
    "rules",
    "rules_of",
]

ARGO, RBAC = "argoproj.io", "rbac.authorization.k8s.io"
_CHART_VERBS = ("get", "list", "watch", "create", "patch", "delete")
"""What Helm does with a kind of the chart, hooks and the way back of a first install included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A kind of objects, as the API's paths name it.

    Args:
        group: "" is the core API's.
        plural: ``horizontalpodautoscalers``.
    """

    group: str
    version: str
    plural: str
    namespaced: bool = True


CRDS = Resource(group="apiextensions.k8s.io", version="v1", plural="customresourcedefinitions", namespaced=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of a Role.

    Args:
        resource: plural, with its subresource: ``rollouts/status``.
        names: objects that it is limited to; () all. ``create`` and ``list`` know no names.
        why: what a deploy does with it, for people.
    """

    group: str
    resource: str
    verbs: tuple[str, ...]
    names: tuple[str, ...] = ()
    why: str = ""

    def manifest(self) -> dict[str, Json]:
        """Return it as RBAC writes it."""
        named: dict[str, Json] = {"resourceNames": [*self.names]} if self.names else {}
        return {"apiGroups": [self.group], "resources": [self.resource], **named, "verbs": [*self.verbs]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Excess:
    """A permission that makes an account more than a deploy account.

    Args:
        means: what whoever has it can do.
    """

    permission: Permission
    means: str


def rules(workloads: Iterable[str], kinds: Iterable[tuple[str, str]], *, helm: bool) -> tuple[Rule, ...]:
    """Return what the account does in the release's namespace, rollback included, and nothing else.

    Args:
        workloads: each Helm release; where none owns it, the rollout: lock and journal are called after it.
        kinds: (API group, plural) of what the chart holds.
        helm: whether a Helm release owns the rollout.
    """
    journals, locks = zip(*((f"deploy-journal-{name}", f"deploy-{name}") for name in workloads), strict=True)
    found = [
        Rule(group=ARGO, resource="rollouts", verbs=("get", "patch"), why="image and fence"),
        Rule(group=ARGO, resource="rollouts/status", verbs=("patch",), why="promote and abort"),
        Rule(group="apps", resource="replicasets", verbs=("list",), why="which version has how many pods"),
        Rule(group="apps", resource="deployments", verbs=("get",), why="who looks after the workload"),
        Rule(group="", resource="services", verbs=("get",), why="who looks after it"),
        Rule(group="", resource="pods", verbs=("get", "list"), why="what runs, and what keeps it from running"),
        Rule(group="", resource="pods/log", verbs=("get",), why="the last words of one that crashes"),
        Rule(group="", resource="events", verbs=("list",), why="why one does not start"),
        Rule(group="", resource="configmaps", verbs=("create",), why="the journal beside the workload"),
        Rule(group="", resource="configmaps", verbs=("get", "update"), names=journals),
        Rule(group="coordination.k8s.io", resource="leases", verbs=("create",), why="the lock"),
        Rule(group="coordination.k8s.io", resource="leases", verbs=("get", "update"), names=locks),
        Rule(group="autoscaling", resource="horizontalpodautoscalers", verbs=("list",), why="pre-flight"),
        Rule(group="policy", resource="poddisruptionbudgets", verbs=("list",), why="pre-flight"),
        Rule(group="", resource="resourcequotas", verbs=("list",), why="pre-flight"),
    ]
    if helm:
        verbs = ("get", "list", "create", "update", "delete")
        found.append(Rule(group="", resource="secrets", verbs=verbs, why="Helm keeps its releases there"))
        found += [
            Rule(group=group, resource=resource, verbs=_CHART_VERBS, why="the chart has it")
            for group, resource in sorted({*kinds, (ARGO, "rollouts")})
        ]
    return tuple(_merged(found))


def rules_of(environment: Environment, kinds: Iterable[tuple[str, str]]) -> tuple[Rule, ...]:
    """Return the rules of one environment; arguments as ``rules``."""
    return rules([environment.release or environment.rollout], kinds, helm=environment.release is not None)


def cluster_rules(crds: Iterable[str] = ()) -> tuple[Rule, ...]:
    """Return what pre-flight reads outside of the namespace; without it those checks are not made, and that is said.

    Args:
        crds: names of the CustomResourceDefinitions that the chart brings in ``crds/``.
    """
    names = tuple(sorted(set(crds)))
    found = [Rule(group="", resource="namespaces", verbs=("get",), names=("kube-system",), why="which cluster it is")]
    if names:
        found.append(Rule(group=CRDS.group, resource=CRDS.plural, verbs=("get",), names=names, why="have they drifted"))
    return tuple(found)


def permissions(found: Iterable[Rule], namespace: str) -> tuple[Permission, ...]:
    """Return each verb of the rules as a question of its own.

    Args:
        namespace: "" asks for the whole cluster.
    """
    return tuple(
        Permission(verb=verb, group=rule.group, resource=rule.resource, namespace=namespace, name=name)
        for rule in found
        for name in (rule.names or ("",))
        for verb in rule.verbs
    )


def _merged(found: Iterable[Rule]) -> Iterator[Rule]:
    """One rule for each resource and names; what a rule without names grants is not granted by name again."""
    verbs: dict[tuple[str, str, tuple[str, ...]], tuple[Rule, dict[str, None]]] = {}
    for rule in found:
        kept = verbs.setdefault((rule.group, rule.resource, rule.names), (rule, {}))
        kept[1].update(dict.fromkeys(rule.verbs))
    for (group, resource, names), (rule, asked) in verbs.items():
        everywhere: Mapping[str, None] = verbs[group, resource, ()][1] if names else {}
        left = tuple(verb for verb in asked if verb not in everywhere)
        yield Rule(group=group, resource=resource, verbs=left, names=names, why=rule.why)


def _excess(verb: str, group: str, resource: str, means: str) -> Excess:
    return Excess(permission=Permission(verb=verb, group=group, resource=resource, namespace=""), means=means)


EXCESSIVE = (
    _excess("*", "*", "*", "everything: it is a cluster-admin"),
    _excess("escalate", RBAC, "clusterroles", "give itself every right"),
    _excess("bind", RBAC, "clusterroles", "give itself every role, cluster-admin too"),
    _excess("create", RBAC, "clusterrolebindings", "give roles to accounts in the whole cluster"),
    _excess("impersonate", "", "users", "act as anybody"),
    _excess("impersonate", "", "groups", "act as a member of system:masters"),
    _excess("impersonate", "", "serviceaccounts", "act as any account of the cluster"),
    _excess("list", "", "secrets", "read every Secret of the cluster, with other accounts' tokens"),
    _excess("create", "", "serviceaccounts/token", "make tokens of any account of the cluster"),
    _excess("get", "", "nodes/proxy", "run commands in every pod, past all audit"),
)
"""What lets an account become cluster-admin: https://kubernetes.io/docs/concepts/security/rbac-good-practices/"""

RISKY = (
    _excess("impersonate", "", "serviceaccounts", "act as each account of the namespace"),
    _excess("create", "", "serviceaccounts/token", "make tokens of each account of the namespace"),
    _excess("bind", RBAC, "roles", "give itself each role of the namespace"),
    _excess("escalate", RBAC, "roles", "give itself every right in the namespace"),
)
"""The same inside of the namespace: the built-in role ``edit`` grants some of them, so they are warned of."""
