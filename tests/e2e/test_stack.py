"""Marks on live objects, on a real API server: what Argo CD, Flux or kustomize keeps is not touched."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from tests.e2e.caller import Deploys
from tests.e2e.conftest import Places
from tests.e2e.oracle import SERVICE, Place

pytestmark = pytest.mark.real

KEPT = "it would take back what Helm installs"
MARKS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "argo-cd": (
        ("annotate", f"argocd.argoproj.io/tracking-id=shop:argoproj.io/Rollout:prod/{SERVICE}"),
        ("Argo CD keeps prod as it is in git", KEPT, "argocd app wait shop --sync --health"),
    ),
    "flux": (
        ("label", "helm.toolkit.fluxcd.io/name=shop", "helm.toolkit.fluxcd.io/namespace=flux-system"),
        ("Flux keeps prod as it is in git", KEPT, "flux get helmrelease shop -n flux-system --watch"),
    ),
    "kustomize": (
        ("label", "--overwrite", "app.kubernetes.io/managed-by=kustomize-v5.3.0"),
        ("prod is kept by kustomize", "Helm's release checkout-api can't take it over", "release: null"),
    ),
}


def written(place: Place) -> object:
    """What a deploy would write beside the workload and to it."""
    there = json.loads(place.kubectl("get", "leases,configmaps", "-o", "json"))["items"]
    names = sorted(f"{item['kind']}/{item['metadata']['name']}" for item in there)
    return names, place.rollout()["metadata"]["resourceVersion"], place.helm("history", SERVICE, "-o", "json")


@pytest.mark.parametrize("name", MARKS)
def test_a_marked_rollout(places: Places, deploys: Deploys, name: str) -> None:
    """Refused with what keeps it and what to watch; Rollout, release and all beside them stay as they were."""
    place = places()
    (verb, *marks), says = MARKS[name]
    place.kubectl(verb, "rollout", SERVICE, *marks)
    before = written(place)
    running = deploys.start(place)
    assert running.end() == 4, running.out
    for words in says:
        assert words in running.out
    assert written(place) == before


def test_what_argo_cd_applied(places: Places, deploys: Deploys) -> None:
    """Tracked by the standard label alone, its field manager tells Argo CD's object from Helm's."""
    place = places(install=False)
    manifests = place.helm(*place.template(place.old))
    place.kubectl("apply", "--server-side", "--field-manager=argocd-controller", "-f", "-", stdin=manifests)
    running = deploys.start_for_real(place)
    assert running.end() == 4, running.out
    assert "Argo CD keeps prod as it is in git" in running.out
    assert "field manager argocd-controller" in running.out


def test_serverless_beside_deploy_yaml(places: Places, deploys: Deploys) -> None:
    """A file of another platform stops the deploy before anything is asked of the cluster."""
    place = places()
    (place.folder / "serverless.yml").write_text("service: api\n")
    before = written(place)
    running = deploys.start(place)
    assert running.end() == 4, running.out
    assert "serverless.yml: that is the Serverless Framework" in running.out
    assert "use serverless deploy" in running.out
    assert written(place) == before
