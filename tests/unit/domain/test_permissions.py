"""The one list of permissions: what is in it, what is not, and how it is asked for and written."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_deploy.domain.permissions import EXCESSIVE, RISKY, Rule, cluster_rules, permissions, rules, rules_of
from pytest_deploy.domain.release import Environment
from pytest_deploy.domain.roles import binding, role, subject


def granted(found: tuple[Rule, ...]) -> set[tuple[str, str, str, str]]:
    """Group, resource, verb and name of all that the rules grant."""
    return {(p.group, p.resource, p.verb, p.name) for p in permissions(found, "n")}


def test_nothing_leads_further() -> None:
    """No wildcard, nothing of RBAC, no write of pods, and nothing that pre-flight itself would refuse or warn of."""
    found = granted(rules(["api"], [("apps", "deployments")], helm=True))
    assert not any("*" in each for each in found)
    assert not any(group == "rbac.authorization.k8s.io" for group, *_ in found)
    assert not {("", "pods", verb, "") for verb in ("create", "patch", "delete")} & found
    forbidden = {(e.permission.group, e.permission.resource, e.permission.verb, "") for e in RISKY}
    assert not forbidden & found
    beyond = {(p.group, p.resource, p.verb) for p in permissions(cluster_rules(["x"]), "")}
    assert not {(e.permission.group, e.permission.resource, e.permission.verb) for e in EXCESSIVE} & beyond


def test_lock_and_journal_are_limited_to_their_names() -> None:
    """Of each workload; ``create`` alone can't be limited."""
    found = granted(rules(["api", "web"], [], helm=False))
    leases = {(verb, name) for _, resource, verb, name in found if resource == "leases"}
    assert leases == {("create", ""), *((v, f"deploy-{n}") for v in ("get", "update") for n in ("api", "web"))}
    maps = {(verb, name) for _, resource, verb, name in found if resource == "configmaps"}
    assert maps == {("create", ""), *((v, f"deploy-journal-{n}") for v in ("get", "update") for n in ("api", "web"))}


def test_only_helm_needs_secrets_and_the_charts_kinds() -> None:
    """An image patch reads and patches the Rollout; Helm makes and removes all that the chart holds."""
    bare, helm = rules(["api"], [], helm=False), rules(["api"], [("", "configmaps")], helm=True)
    assert not any(resource == "secrets" for _, resource, *_ in granted(bare))
    assert {verb for _, resource, verb, _ in granted(bare) if resource == "rollouts"} == {"get", "patch"}
    assert {"create", "delete"} <= {verb for _, resource, verb, _ in granted(helm) if resource == "rollouts"}
    names = [rule.names for rule in helm if rule.resource == "configmaps"]
    assert names == [(), ("deploy-journal-api",)]
    (limited,) = (rule for rule in helm if rule.resource == "configmaps" and rule.names)
    assert limited.verbs == ("update",)


def test_a_chart_with_the_lock_s_kind_makes_its_rule_needless() -> None:
    """What all objects of a kind may be done to is not granted by name again."""
    found = rules(["api"], [("coordination.k8s.io", "leases")], helm=True)
    assert [(r.names, r.verbs) for r in found if r.resource == "leases"] == [
        ((), ("create", "get", "list", "watch", "patch", "delete")),
        (("deploy-api",), ("update",)),
    ]


@pytest.mark.parametrize("release", ["api", None])
def test_an_environment_says_how_it_is_deployed(release: str | None) -> None:
    """Lock and journal are called after the release, else after the Rollout."""
    env = Environment(
        name="p", context="c", namespace="n", release=release, rollout="web", container="w", kubeconfig=Path("k")
    )
    assert rules_of(env, []) == rules([release or "web"], [], helm=release is not None)


def test_beyond_the_namespace_there_are_reads_alone() -> None:
    """Which cluster it is, and the chart's CRDs by their names, where it has any."""
    assert granted(cluster_rules()) == {("", "namespaces", "get", "kube-system")}
    assert granted(cluster_rules(["b", "a"])) - granted(cluster_rules()) == {
        ("apiextensions.k8s.io", "customresourcedefinitions", "get", name) for name in ("a", "b")
    }


def test_roles_and_bindings_belong_together() -> None:
    """A Role in its namespace, or a ClusterRole; the binding names it and whoever gets it."""
    made = role("d", cluster_rules(), namespace="n")
    assert (made["kind"], made["metadata"]) == (
        "Role",
        {"name": "d", "namespace": "n", "labels": {"app.kubernetes.io/managed-by": "pytest-deploy"}},
    )
    assert made["rules"] == [
        {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]}
    ]
    assert role("d", (), namespace=None)["kind"] == "ClusterRole"
    to = subject("group:ops")
    for namespace, kind in (("n", "Role"), (None, "ClusterRole")):
        bound = binding("d", to, namespace=namespace)
        assert bound["kind"] == f"{kind}Binding"
        assert bound["subjects"] == [to]
        assert bound["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": "d"}


def test_whom_a_role_is_for() -> None:
    """Users, groups and service accounts, each as RBAC names them."""
    api = "rbac.authorization.k8s.io"
    assert subject("user:ann@x") == {"apiGroup": api, "kind": "User", "name": "ann@x"}
    assert subject("group:ops") == {"apiGroup": api, "kind": "Group", "name": "ops"}
    assert subject("serviceaccount:ci/d") == {"kind": "ServiceAccount", "namespace": "ci", "name": "d"}


@pytest.mark.parametrize(
    "text", ["", "ann", "user:", "team:x", "serviceaccount:ci", "serviceaccount:/d", "serviceaccount:a/b/c"]
)
def test_nobody_is_guessed(text: str) -> None:
    """What names nobody is said to."""
    with pytest.raises(ValueError, match="is none of user:NAME"):
        subject(text)
