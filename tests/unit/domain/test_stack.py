"""What a live object's labels, annotations and field managers tell of who keeps it."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_deploy.domain.stack import SignKind, marks


def rollout(
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    manager: str = "helm",
    sub: str = "",
) -> dict[str, Any]:
    """A Rollout as the API server gives it."""
    entry = {"manager": manager, "operation": "Update"} | ({"subresource": sub} if sub else {})
    metadata = {"name": "api", "namespace": "prod", "labels": labels or {}, "annotations": annotations or {}}
    return {"kind": "Rollout", "metadata": {**metadata, "managedFields": [entry]}}


HELM = {"meta.helm.sh/release-name": "api", "meta.helm.sh/release-namespace": "prod"}
TRACKING = "argocd.argoproj.io/tracking-id"


def test_what_helm_installed_is_ours() -> None:
    """The standard labels, which charts set too, are no mark, nor is the controller that writes the status."""
    labels = {"app.kubernetes.io/instance": "api", "app.kubernetes.io/managed-by": "Helm"}
    assert marks(rollout(labels, HELM)) == ()
    assert marks(rollout(labels, HELM, manager="argocd-controller", sub="status")) == ()
    assert marks({}) == ()


@pytest.mark.parametrize(
    ("live", "tool", "instead"),
    [
        (
            rollout(None, {TRACKING: "shop:argoproj.io/Rollout:prod/api"}),
            "Argo CD",
            "argocd app wait shop --sync --health",
        ),
        (rollout(None, {TRACKING: "team_shop:argoproj.io/Rollout:prod/api"}), "Argo CD", "argocd app wait shop "),
        (rollout({"argocd.argoproj.io/instance": "shop"}), "Argo CD", "argocd app wait shop "),
        (
            rollout({"app.kubernetes.io/instance": "shop"}, manager="argocd-controller"),
            "Argo CD",
            "argocd app wait shop ",
        ),
        (
            rollout(
                {"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}
            ),
            "Flux",
            "flux get kustomization apps -n flux-system --watch",
        ),
        (
            rollout({"helm.toolkit.fluxcd.io/name": "api", "helm.toolkit.fluxcd.io/namespace": "prod"}, HELM),
            "Flux",
            "flux get helmrelease api -n prod --watch",
        ),
    ],
)
def test_marks_of_gitops(live: dict[str, Any], tool: str, instead: str) -> None:
    """Each way in which Argo CD and Flux track an object is seen, with what to watch."""
    (sign,) = marks(live)
    assert (sign.kind, sign.tool) == (SignKind.GITOPS, tool)
    assert sign.instead.startswith(instead)
    assert "Rollout api, " in sign.where


def test_a_copied_tracking_id_tells_nothing() -> None:
    """An annotation that names another object came along with a copy: Argo CD does not count it either."""
    assert marks(rollout(None, {**HELM, TRACKING: "shop:apps/Deployment:prod/api"})) == ()
    assert marks(rollout(None, {**HELM, TRACKING: "shop:argoproj.io/Rollout:prod/other"})) == ()


@pytest.mark.parametrize(
    ("live", "tool"),
    [
        (rollout({"app.kubernetes.io/managed-by": "kustomize-v5.3.0"}), "kustomize"),
        (rollout(None, {"kubectl.kubernetes.io/last-applied-configuration": "{}"}), "kubectl apply"),
    ],
)
def test_marks_of_kubectl(live: dict[str, Any], tool: str) -> None:
    """What kustomize or kubectl applies is none of Helm's; what Helm has taken over is."""
    (sign,) = marks(live)
    assert (sign.kind, sign.tool) == (SignKind.APPLIED, tool)
    adopted = rollout(None, {"kubectl.kubernetes.io/last-applied-configuration": "{}", **HELM})
    assert marks(adopted) == ()
