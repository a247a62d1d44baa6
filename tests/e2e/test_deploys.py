"""Deploys on real parts, as a caller sees them; kubectl and Helm confirm what became of the service."""

from __future__ import annotations

import json
from functools import partial

import pytest

from tests.e2e.caller import Deploys
from tests.e2e.conftest import Places
from tests.e2e.oracle import ROOT, Place, eventually

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
        options = ("--sandbox-speed", "100", f"--deploy-set=tools.helm={helm}")
        run = deploys.run_feature(place, "features/prod_canary.feature", *options)
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
    """A version that turns bad once it has all traffic is taken back, by the shortest way."""
    place = places()
    run = deploys.start(place, windows={"after": 90})
    run.until(partial(run.says, "Helm revision 2 is on top"), "the commitment")
    assert [it[:2] for it in place.history()] == [(1, "superseded"), (2, "deployed")]
    bad = place.rollout()["status"]["stableRS"]
    assert place.pods()[place.old] == 0
    place.sandbox.spoil(place.namespace, bad)
    assert run.end(within_s=60) == 1, run.out
    assert "because of error rate" in run.out
    assert "ROLLED BACK, verified" in run.last
    assert run.junit["Afterwards"] in {"failure", "error"}
    rolled_back(place)


@pytest.mark.long
def test_no_helm_release(places: Places, deploys: Deploys) -> None:
    """A Rollout that no release owns is driven by a patch of its image: a good version stays, a bad one is undone."""
    place = places(install=False)
    place.kubectl("apply", "-f", "-", stdin=place.helm(*place.template(place.old)))
    eventually(lambda: place.pods() == {place.old: 20}, "the old version is ready")
    run = deploys.start(place, release=None)
    assert run.end() == 0, run.out
    assert "COMMITTED" in run.last
    good = run.facts["image"]["new"].partition("@")[2]
    place.serves_only(good)
    run = deploys.start(place, release=None, windows={"w5": 60})
    run.until(partial(place.at_weight, 5), "the canary is there")
    place.sandbox.spoil(place.namespace, place.rollout()["status"]["currentPodHash"])
    assert run.end(within_s=60) == 1, run.out
    assert "error rate at 5 %: FAIL" in run.out
    assert "ROLLED BACK, verified" in run.last
    place.serves_only(good)
    assert json.loads(place.kubectl("get", "secrets", "-o", "json"))["items"] == []


@pytest.mark.long
def test_for_real(places: Places, deploys: Deploys) -> None:
    """Without --sandbox, with CI and a deploy.yaml that names the contexts: committed, exit 0."""
    place = places()
    run = deploys.start_for_real(place)
    assert run.end() == 0, run.out
    assert "COMMITTED" in run.last
    assert "SANDBOX" not in run.out
    place.serves_only(run.facts["image"]["new"].partition("@")[2])
    assert [it[:2] for it in place.history()] == [(1, "superseded"), (2, "deployed")]


DRILLS = ("error_rate", "pods_crash", "prometheus_down", "promote_refused")


@pytest.mark.long
@pytest.mark.parametrize("drill", DRILLS)
def test_drills_on_real_parts(places: Places, deploys: Deploys, drill: str) -> None:
    """A drill passes because its fault was caught and undone: the old version serves, and Prometheus is well again."""
    place = places()
    run = deploys.run_feature(place, f"features/drills/{drill}.feature", "--sandbox-speed", "20")
    assert run.end() == 0, run.out
    assert "DRILL PASSED" in run.last
    assert set(run.junit.values()) == {"passed", "skipped"}
    rolled_back(place)
    assert place.sandbox.prometheus_answers()
