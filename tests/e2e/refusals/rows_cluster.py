"""Rows: another cluster, another account, another stack than the deploy expects."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tests.e2e.oracle import SERVICE, eventually
from tests.e2e.refusals.world import World, row

NOBODY = "127.0.0.1:9"
"""Discard's port: nobody listens there."""
EXPECTED = "context sandbox-prod leads to another cluster than deploy.yaml expects for prod"
RBAC = "rbac.authorization.k8s.io"


@row(what="the server is {server}, not https://elsewhere:6443", where=EXPECTED, mend="environments.prod.server")
def another_server(world: World) -> None:
    """The context leads to another API server."""
    world.prod["server"] = "https://elsewhere:6443"


@row(what="its authority is ", where=EXPECTED, mend="environments.prod.ca_sha256")
def another_authority(world: World) -> None:
    """Another CA has signed the server's certificate."""
    world.prod["ca_sha256"] = "f" * 64


@row(what="the uid of its kube-system is ", where=EXPECTED, mend="environments.prod.kube_system_uid")
def another_kube_system(world: World) -> None:
    """The same address and CA, and another cluster behind them."""
    world.prod["kube_system_uid"] = "4b8b7e1e-0000-4000-8000-000000000000"


@row(
    what="no kube context 'elsewhere' in ",
    where="known are sandbox-prod, sandbox-staging",
    mend="correct environments.<name>.context",
    contacted=False,
)
def no_such_context(world: World) -> None:
    """The kubeconfig has no such context."""
    world.prod["context"] = "elsewhere"


@row(what="no kubeconfig", where="{folder}/absent does not exist", mend="set KUBECONFIG", contacted=False)
def no_kubeconfig(world: World) -> None:
    """There is no kubeconfig."""
    world.env["KUBECONFIG"] = str(world.folder / "absent")


@row(
    what="API server of sandbox-prod",
    where="Connection refused",
    mend=f"see that https://{NOBODY} can be reached from here",
    contacted=False,
)
def api_server_down(world: World) -> None:
    """Nobody listens at the API server's address."""

    def elsewhere(facts: dict[str, Any]) -> None:
        for each in facts["clusters"]:
            each["cluster"]["server"] = f"https://{NOBODY}"

    world.kubeconfig(elsewhere)


@row(
    what='cannot get resource "rollouts"',
    where='in the namespace "nobody"',
    mend="pytest-deploy rbac prod",
)
def no_right_in_the_namespace(world: World) -> None:
    """The account may do nothing there."""
    world.prod["namespace"] = "nobody"


@row(
    what="the deploy account may not: patch rollouts/status.argoproj.io in {ns}; update secrets in {ns}",
    where="sandbox-prod",
    mend="pytest-deploy rbac prod",
)
def missing_verbs(world: World) -> Iterator[None]:
    """Two verbs are not in the Role: it could begin, and not go back."""
    role = json.loads(world.place.kubectl("get", "role", f"pytest-deploy-{SERVICE}", "-o", "json"))
    less = json.loads(json.dumps(role))
    for rule in less["rules"]:
        if rule["resources"] == ["rollouts/status"]:
            rule["verbs"] = ["get"]
        if rule["resources"] == ["secrets"]:
            rule["verbs"].remove("update")
    world.place.kubectl("replace", "-f", "-", stdin=json.dumps(_bare(less)))
    asked = {"verb": "update", "resource": "secrets", "namespace": world.place.namespace}
    _eventually(world, asked, yes=False)
    yield
    world.place.kubectl("replace", "-f", "-", stdin=json.dumps(_bare(role)))
    _eventually(world, asked, yes=True)


@row(
    what="is more than a deploy account; it may: * *",
    where="in the whole cluster",
    mend="pytest-deploy rbac prod",
)
def cluster_admin(world: World) -> Iterator[None]:
    """The account may do everything, as one that is bound to cluster-admin."""
    with granted(world, {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}):
        yield


@row(
    what="bind clusterroles.rbac.authorization.k8s.io in the whole cluster",
    where="system:serviceaccount:{ns}:deployer is more than a deploy account",
    mend="pytest-deploy rbac prod",
)
def who_can_become_cluster_admin(world: World) -> Iterator[None]:
    """The account may bind any role, to itself too."""
    with granted(world, {"apiGroups": [RBAC], "resources": ["clusterroles"], "verbs": ["bind"]}):
        yield


@row(
    what="the token of context sandbox-prod ends in 10 min",
    where="sandbox-prod",
    mend="kubectl create token --duration",
)
def token_that_ends_on_the_way(world: World) -> None:
    """The token dies before the way back would be done."""
    token = world.place.kubectl("create", "token", "deployer", "--duration=10m").strip()
    world.kubeconfig(lambda facts: facts["users"][0]["user"].update(token=token))
    world.profile["timeouts"]["rollback_minutes"] = 20


@row(
    what="Argo CD keeps prod as it is in git",
    where="Rollout",
    mend="argocd app wait shop --sync --health",
)
def kept_by_argo_cd(world: World) -> Iterator[None]:
    """Argo CD tracks the live Rollout."""
    mark = f"argocd.argoproj.io/tracking-id=shop:argoproj.io/Rollout:prod/{SERVICE}"
    yield from _marked(world, "annotate", mark, "argocd.argoproj.io/tracking-id-")


@row(what="Flux keeps prod as it is in git", where="Rollout", mend="flux get helmrelease shop -n flux-system --watch")
def kept_by_flux(world: World) -> Iterator[None]:
    """Flux's labels are on the live Rollout."""
    labels = ("helm.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/namespace")
    world.place.kubectl("label", "rollout", SERVICE, f"{labels[0]}=shop", f"{labels[1]}=flux-system")
    yield
    world.place.kubectl("label", "rollout", SERVICE, *(f"{label}-" for label in labels))


@row(what="prod is kept by kustomize", where="Rollout", mend="release: null")
def kept_by_kustomize(world: World) -> Iterator[None]:
    """The live Rollout is labelled by kustomize."""
    label = "app.kubernetes.io/managed-by"
    yield from _marked(world, "label", f"{label}=kustomize-v5.3.0", f"{label}=Helm")


def _marked(world: World, verb: str, mark: str, mend: str) -> Iterator[None]:
    world.place.kubectl(verb, "--overwrite", "rollout", SERVICE, mark)
    yield
    world.place.kubectl(verb, "--overwrite", "rollout", SERVICE, mend)


@contextmanager
def granted(world: World, rule: Mapping[str, Any]) -> Iterator[None]:
    """Let the account have one rule more, in the whole cluster."""
    name, api = f"more-{world.place.namespace}", f"{RBAC}/v1"
    role = {"apiVersion": api, "kind": "ClusterRole", "metadata": {"name": name}, "rules": [rule]}
    binding = {
        "apiVersion": api,
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "deployer", "namespace": world.place.namespace}],
    }
    group, resource, verb = (rule[key][0] for key in ("apiGroups", "resources", "verbs"))
    asked = {"group": group, "resource": resource, "verb": verb, "name": rule.get("resourceNames", [""])[0]}
    with world.applied(role, binding):
        _eventually(world, asked, yes=True)
        yield
    _eventually(world, asked, yes=False)


def _eventually(world: World, asked: Mapping[str, str], *, yes: bool) -> None:
    """Wait until the API server's RBAC has seen a change."""
    spec = {"user": world.account, "resourceAttributes": asked}
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}

    def seen() -> bool:
        answer = world.place.kubectl("create", "-f", "-", "-o", "json", stdin=json.dumps(review))
        return bool(json.loads(answer)["status"]["allowed"]) == yes

    eventually(seen, f"whether the account may {asked}: {yes}")


def _bare(made: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: made["metadata"][key] for key in ("name", "namespace", "labels") if key in made["metadata"]}
    return {**made, "metadata": kept}
