"""Deploys on real parts, as a caller sees them; kubectl and Helm confirm what became of the service."""

from __future__ import annotations

import pytest

from tests.e2e.caller import Deploys
from tests.e2e.conftest import Places
from tests.e2e.oracle import ROOT, Place

pytestmark = pytest.mark.real
HELMS = ("helm3", "helm4")


def rolled_back(place: Place) -> None:
    """Assert that the old version serves again, alone, and that Helm's history says so."""
    place.serves_only(place.old)
    _, status, description = place.history()[-1]
    assert (status, description) == ("deployed", "Rollback to 1")


def test_a_good_canary_commits(places: Places, deploys: Deploys) -> None:
    """The README's feature: exit 0, one revision more is deployed, all pods run the new digest; with Helm 3 and 4."""
    started = []
    for helm in HELMS:
        place = places()
        options = [
            part
            for text in (
                f"environments.prod.namespace={place.namespace}",
                f"environments.staging.namespace={place.namespace}-staging",
                f"tools.helm={helm}",
            )
            for part in ("--deploy-set", text)
        ]
        run = deploys.run(
            place, "features/prod_canary.feature", "--sandbox", "--sandbox-speed", "60", *options, cwd=ROOT
        )
        started.append((place, run))
    for place, run in started:
        assert run.end() == 0, run.out
        assert "COMMITTED" in run.last
        new = run.facts["image"]["new"].partition("@")[2]
        assert new.startswith("sha256:")
        place.serves_only(new)
        assert [it[:2] for it in place.history()] == [(1, "superseded"), (2, "deployed")]


def test_a_bad_version_is_taken_back(places: Places, deploys: Deploys) -> None:
    """Exit 1 at the first weight; the old digest has all traffic and no canary pod is left; with Helm 3 and 4."""
    bad = ("--deploy-set", f"environments.prod.values_file={ROOT}/charts/checkout-api/values-bad.yaml")
    started = [(place := places(), deploys.start(place, *bad, helm=helm)) for helm in HELMS]
    for place, run in started:
        assert run.end() == 1, run.out
        assert "error rate at 5 %: FAIL" in run.out
        assert "ROLLED BACK, verified" in run.last
        rolled_back(place)
        assert len(place.history()) == 3


@pytest.mark.long
def test_a_breach_after_the_commitment(places: Places, deploys: Deploys) -> None:
    """A version that turns bad when it has all traffic is taken back, without walking the old one through the steps."""
    place = places()
    run = deploys.start(place, windows={"after": 60})
    run.until(lambda: "Afterwards" in run.out, "the commitment")
    new = run.facts_so_far
    place.sandbox.play([])


@pytest.mark.long
def test_no_helm_release(places: Places, deploys: Deploys) -> None:
    """A Rollout that no release owns is driven by an image patch, there and back."""
    place = places(install=False)
    place.kubectl("apply", "-f", "-", stdin=place.manifests())
    eventually(lambda: place.pods() == {place.old: 20}, "the old version is ready")
    run = deploys.start(place, release=None)
    assert run.end() == 0, run.out
    new = run.facts["image"]["new"].partition("@")[2]
    place.serves_only(new)
    print(run.out)
