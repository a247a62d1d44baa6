"""What stands beside the release: each obstacle is named with its numbers, before anything is changed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pytest_deploy.domain.event import Warned
from pytest_deploy.domain.release import Digest, ImageRef
from pytest_deploy.engine import preflight
from pytest_deploy.errors import DeployError, Refused
from tests.unit.engine.conftest import PATCHED, Bench

Benches = Callable[..., Bench]


def there(made: Bench, **objects: Any) -> None:
    """Let these objects be there, by their plural; None: not readable."""

    def found(original: object, env: object, resource: Any, name: str = "") -> Any:
        return objects.get(resource.plural, ())

    made.alter("cluster", objects=found)


def refusal(made: Bench, check: Callable[..., None]) -> str:
    """What the check refuses; nothing was changed."""
    with pytest.raises(Refused) as caught:
        check(made.deploy)
    assert made.done() == []
    assert "  next: " in str(caught.value)
    return str(caught.value)


def scaler(name: str = "hpa", target: str = "api") -> dict[str, Any]:
    """An autoscaler of a Rollout."""
    ref = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": target}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name},
        "spec": {"scaleTargetRef": ref},
    }


def test_an_autoscaler_fights_with_the_chart(bench: Benches) -> None:
    """A live one, or one of the chart: both set the replicas, and the chart would win at each upgrade."""
    made = bench()
    there(made, horizontalpodautoscalers=(scaler(), scaler("other", "web")))
    says = refusal(made, preflight.stack)
    assert "HorizontalPodAutoscaler hpa scales Rollout api, and the chart sets spec.replicas: 20" in says
    assert "other" not in says
    own = bench()
    own.alter("helm", render=lambda original, upgrade: (*original(upgrade), scaler("own")))
    assert "HorizontalPodAutoscaler own" in refusal(own, preflight.stack)


def test_without_a_chart_nobody_fights(bench: Benches) -> None:
    """Only Helm's upgrades would set the replicas; nor are CRDs or a record's size looked at."""
    made = bench(release=PATCHED)
    there(made, horizontalpodautoscalers=(scaler(),))
    asked = {name: lambda *_: pytest.fail("asked") for name in ("crds", "record_size", "render")}
    made.alter("helm", **asked)
    preflight.stack(made.deploy)


def test_a_chart_without_the_rollout_is_told_once(bench: Benches) -> None:
    """The other checks that look at the chart's Rollout have nothing to say then."""
    made = bench()
    made.alter("helm", render=lambda original, upgrade: ())
    assert refusal(made, preflight.stack).startswith("the chart charts/api renders no Rollout named api")


CRD = {
    "metadata": {"name": "things.example.com"},
    "spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": {"type": "object"}}}]},
}


def test_crds_that_helm_will_not_touch(bench: Benches) -> None:
    """One that is not there and one that is older are refused, all of them with the command that brings them."""
    old = copy.deepcopy(CRD)
    old["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["type"] = "array"  # type: ignore[index]  # JSON
    for live, says in (
        ((), "CustomResourceDefinition things.example.com of the chart is not there"),
        ((old,), "things.example.com is not the chart's: v1 differs at .schema.openAPIV3Schema.type"),
    ):
        made = bench()
        made.alter("helm", crds=lambda *_: (CRD,))
        there(made, customresourcedefinitions=live)
        words = refusal(made, preflight.stack)
        assert says in words
        assert "kubectl --context acme-prod apply --server-side -f charts/api/crds" in words


def test_crds_that_are_there(bench: Benches) -> None:
    """They are the chart's: nothing is said. They can't be read: that is a warning, never a yes."""
    made = bench()
    made.alter("helm", crds=lambda *_: (CRD,))
    there(made, customresourcedefinitions=(CRD,))
    preflight.stack(made.deploy)
    assert made.told(Warned) == []
    blind = bench()
    blind.alter("helm", crds=lambda *_: (CRD,))
    there(blind, customresourcedefinitions=None)
    preflight.stack(blind.deploy)
    (warned,) = blind.told(Warned)
    assert warned.text.startswith("not looked at: whether CustomResourceDefinition things.example.com has drifted")


@pytest.mark.parametrize(("kib", "fits"), [(899, True), (900, False)])
def test_a_record_that_is_too_large_for_a_secret(bench: Benches, kib: int, fits: bool) -> None:
    """900 KiB is the limit, and both are told."""
    made = bench()
    made.alter("helm", record_size=lambda *_: kib * 1024)
    if fits:
        preflight.stack(made.deploy)
        return
    assert "Helm's record of this release has 900 KiB, 900 KiB is the limit" in refusal(made, preflight.stack)


def quota(hard: str) -> dict[str, Any]:
    """A quota of pods of which 18 are used."""
    return {
        "metadata": {"name": "team"},
        "spec": {},
        "status": {"hard": {"pods": hard}, "used": {"pods": "18"}},
    }


def test_a_quota_without_room(bench: Benches) -> None:
    """20 replicas surge by a quarter: 5 pods more."""
    made = bench()
    there(made, resourcequotas=(quota("22"),))
    says = refusal(made, preflight.release_status)
    assert "no room in prod for 5 more pods: ResourceQuota team leaves 4 of 22 pods, the canary needs 5 more" in says
    enough = bench()
    there(enough, resourcequotas=(quota("23"),))
    preflight.release_status(enough.deploy)


def test_a_live_rollout_is_what_a_patch_starts(bench: Benches) -> None:
    """Without a chart the live Rollout says how far it surges; one that can't be read is not guessed at."""
    made = bench(release=PATCHED)
    live = {"metadata": {"name": "api"}, "spec": {"strategy": {"canary": {"maxSurge": 3}}}}
    there(made, resourcequotas=(quota("20"),), rollouts=(live,))
    assert "no room in prod for 3 more pods" in refusal(made, preflight.release_status)
    blind = bench(release=PATCHED)
    there(blind, resourcequotas=(quota("20"),), rollouts=None)
    preflight.release_status(blind.deploy)


def test_a_disruption_budget_that_is_used_up(bench: Benches) -> None:
    """It stops no canary: a warning."""
    made = bench()
    budget = {"metadata": {"name": "pdb"}, "spec": {"selector": {}}, "status": {"disruptionsAllowed": 0}}
    made.alter("helm", render=labelled)
    there(made, poddisruptionbudgets=(budget,))
    preflight.release_status(made.deploy)
    (warned,) = made.told(Warned)
    assert warned.text.startswith("PodDisruptionBudget pdb allows 0 disruptions of these pods now")


def labelled(original: Callable[..., Any], upgrade: object) -> Any:
    """What the chart renders, its pods with a label."""
    found = copy.deepcopy(original(upgrade))
    for each in found:
        if each["kind"] == "Rollout":
            each["spec"]["template"].setdefault("metadata", {})["labels"] = {"app": "api"}
    return found


def test_what_may_not_be_read_is_said(bench: Benches) -> None:
    """Without the rule the checks are not made, and each says so."""
    made = bench()
    there(made, horizontalpodautoscalers=None, resourcequotas=None, poddisruptionbudgets=None)
    preflight.stack(made.deploy)
    preflight.release_status(made.deploy)
    texts = [event.text for event in made.told(Warned)]
    assert [text.partition(";")[2].split(".")[0] for text in texts] == [
        f" this account may not list {plural}"
        for plural in ("horizontalpodautoscalers", "resourcequotas", "poddisruptionbudgets")
    ]
    assert all(text.startswith("not looked at: whether ") for text in texts)


class Registry:
    """Holds one image, none, or does not answer."""

    def __init__(self, answer: Digest | DeployError | None) -> None:
        self._answer = answer

    def digest(self, image: ImageRef) -> Digest | None:
        """Say what it holds."""
        if isinstance(self._answer, DeployError):
            raise self._answer
        return self._answer


def test_the_image_of_the_way_back_is_gone(bench: Benches) -> None:
    """A node that is new pulls it again: without it there is no way back, so nothing is begun."""
    made = bench()
    made.use(replace(made.deploy.ports, images=Registry(None)))
    says = refusal(made, preflight.release_status)
    assert f"the registry has no {made.old} any more: that is what runs, and what a rollback would start" in says


def test_the_image_of_the_way_back_is_there(bench: Benches) -> None:
    """That is said; a registry that does not answer is a warning, and so is an image that can't be asked for."""
    made = bench()
    made.use(replace(made.deploy.ports, images=Registry(Digest("sha256:" + "1" * 64))))
    preflight.release_status(made.deploy)
    assert made.deploy.step_detail.endswith("; the registry still has it")
    silent = bench()
    silent.use(replace(silent.deploy.ports, images=Registry(DeployError("401"))))
    preflight.release_status(silent.deploy)
    (warned,) = silent.told(Warned)
    assert warned.text == f"not looked at: whether {silent.old} can still be pulled; 401"
