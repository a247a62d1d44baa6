"""Signs that a service is not ours to install: it runs elsewhere, or something else keeps it as it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from pytest_deploy.domain.action import Json

__all__ = ["Sign", "SignKind", "marks"]


class SignKind(StrEnum):
    """What a sign tells."""

    SERVERLESS = "serverless"
    """It runs on no Kubernetes of its owner's."""
    GITOPS = "gitops"
    """A controller brings what is committed to git, and takes back what anybody else does."""
    APPLIED = "applied"
    """Manifests are applied by kubectl or kustomize, and Helm takes over nothing that is not its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """One sign, and where it was seen.

    Args:
        tool: "Argo CD", "AWS SAM", ... as its makers write it.
        where: the file and what stands in it, or the object and its mark.
        instead: what to deploy with, or what to watch after a commit; "" where nothing is known.
        near: of a file: it stands beside deploy.yaml, not in a folder below.
    """

    kind: SignKind
    tool: str
    where: str
    instead: str = ""
    near: bool = True


_TRACKING = "argocd.argoproj.io/tracking-id"
_INSTANCE = "argocd.argoproj.io/instance"
_STANDARD_INSTANCE = "app.kubernetes.io/instance"
_HELM = "meta.helm.sh/release-name"
_MANAGED_BY = "app.kubernetes.io/managed-by"
_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_FLUX = (("kustomize.toolkit.fluxcd.io", "kustomization"), ("helm.toolkit.fluxcd.io", "helmrelease"))


def marks(live: Mapping[str, Json]) -> tuple[Sign, ...]:
    """Return what the labels, annotations and field managers of a live object tell; () where it is Helm's or nobody's.

    Argo CD: https://argo-cd.readthedocs.io/en/stable/user-guide/resource_tracking/
    Flux: https://fluxcd.io/flux/faq/ (labels that its controllers put on all they apply)
    """
    metadata = _mapping(live.get("metadata"))
    labels, annotations = _mapping(metadata.get("labels")), _mapping(metadata.get("annotations"))
    of = f"{live.get('kind')} {metadata.get('name')}"
    return (*_argo_cd(live, labels, annotations, of), *_flux(labels, of), *_applied(labels, annotations, of))


def _argo_cd(
    live: Mapping[str, Json], labels: Mapping[str, Json], annotations: Mapping[str, Json], of: str
) -> Iterator[Sign]:
    tracking = str(annotations.get(_TRACKING) or "")
    own = str(labels.get(_INSTANCE) or "")
    if tracking and _names(tracking, live):
        app, where = tracking.partition(":")[0], f"annotation {_TRACKING}: {tracking}"
    elif own:
        app, where = own, f"label {_INSTANCE}: {own}"
    elif (manager := _manager(live, "argocd")) and not annotations.get(_HELM):
        # Tracked by the standard label, which every chart sets too: only who wrote the object tells them apart.
        app = str(labels.get(_STANDARD_INSTANCE) or "")
        where = f"field manager {manager}"
    else:
        return
    name = app.rpartition("_")[2]  # NAMESPACE_APP where applications live in namespaces of their own
    watch = f"argocd app wait {name} --sync --health" if name else "argocd app list"
    yield Sign(kind=SignKind.GITOPS, tool="Argo CD", where=f"{of}, {where}", instead=watch)


def _names(tracking: str, live: Mapping[str, Json]) -> bool:
    """Whether ``app:group/Kind:namespace/name`` names this object: one that was copied along tells nothing.

    Argo CD itself does not count it then.
    """
    _, _, rest = tracking.partition(":")
    kind, _, name = rest.partition(":")
    metadata = _mapping(live.get("metadata"))
    return kind.rpartition("/")[2] == live.get("kind") and name.rpartition("/")[2] == metadata.get("name")


def _flux(labels: Mapping[str, Json], of: str) -> Iterator[Sign]:
    for group, kind in _FLUX:
        name, namespace = labels.get(f"{group}/name"), labels.get(f"{group}/namespace")
        if name:
            space = f" -n {namespace}" if namespace else ""
            yield Sign(
                kind=SignKind.GITOPS,
                tool="Flux",
                where=f"{of}, label {group}/name: {name}",
                instead=f"flux get {kind} {name}{space} --watch",
            )


def _applied(labels: Mapping[str, Json], annotations: Mapping[str, Json], of: str) -> Iterator[Sign]:
    by = str(labels.get(_MANAGED_BY) or "")
    if by.lower().startswith("kustomize"):
        yield Sign(kind=SignKind.APPLIED, tool="kustomize", where=f"{of}, label {_MANAGED_BY}: {by}")
    elif _APPLIED in annotations and not annotations.get(_HELM) and not annotations.get(_TRACKING):
        yield Sign(kind=SignKind.APPLIED, tool="kubectl apply", where=f"{of}, annotation {_APPLIED}")


def _manager(live: Mapping[str, Json], prefix: str) -> str:
    """Return who of this name wrote the object last, its status aside; "" where nobody did."""
    fields = _mapping(live.get("metadata")).get("managedFields")
    entries = [_mapping(each) for each in fields] if isinstance(fields, list) else []
    names = [str(each.get("manager")) for each in entries if not each.get("subresource")]
    return next((name for name in names if name.startswith(prefix)), "")


def _mapping(node: object) -> Mapping[str, Json]:
    return node if isinstance(node, Mapping) else {}
