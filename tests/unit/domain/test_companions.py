"""Selectors, replicas and CRDs as the API has them."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_deploy.domain.companions import crd_problems, matches, replica_fights, standing_still

LABELS = {"app": "api", "tier": "web"}


@pytest.mark.parametrize(
    ("selector", "selects"),
    [
        (None, False),
        ({}, True),
        ({"matchLabels": {"app": "api"}}, True),
        ({"matchLabels": {"app": "api", "tier": "db"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["api", "x"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["api"]}]}, False),
        ({"matchExpressions": [{"key": "new", "operator": "NotIn", "values": ["api"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, False),
        ({"matchExpressions": [{"key": "new", "operator": "DoesNotExist"}]}, True),
    ],
)
def test_selectors(selector: Any, *, selects: bool) -> None:
    """As https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/ has them."""
    assert matches(selector, LABELS) is selects


def test_who_scales_whom() -> None:
    """Only an autoscaler of this very Rollout fights, only where the chart sets the replicas; it is named once."""

    def hpa(kind: str, name: str) -> dict[str, Any]:
        return {"metadata": {"name": "h"}, "spec": {"scaleTargetRef": {"kind": kind, "name": name}}}

    rollout = {"metadata": {"name": "api"}, "spec": {"replicas": 0}}
    ours = hpa("Rollout", "api")
    assert len(list(replica_fights(rollout, [ours, ours]))) == 1
    assert list(replica_fights(rollout, [hpa("Deployment", "api"), hpa("Rollout", "web")])) == []
    assert list(replica_fights({"metadata": {"name": "api"}, "spec": {}}, [ours])) == []


def test_budgets() -> None:
    """Only one that selects these pods and allows nothing counts; pods without labels are nobody's."""

    def pdb(selector: Any, allowed: int) -> dict[str, Any]:
        return {"metadata": {"name": "p"}, "spec": {"selector": selector}, "status": {"disruptionsAllowed": allowed}}

    rollout = {"spec": {"template": {"metadata": {"labels": {"app": "api"}}}}}
    ours = {"matchLabels": {"app": "api"}}
    assert len(list(standing_still(rollout, [pdb(ours, 0)]))) == 1
    assert list(standing_still(rollout, [pdb(ours, 1), pdb({"matchLabels": {"app": "x"}}, 0)])) == []
    assert list(standing_still({}, [pdb({}, 0)])) == []


def crd(*versions: Any) -> dict[str, Any]:
    """A CRD of these versions."""
    return {"metadata": {"name": "x"}, "spec": {"versions": list(versions)}}


@pytest.mark.parametrize(
    ("wanted", "live", "says"),
    [
        ({"a": 1}, {"a": 1, "served": True}, ""),
        ({"a": {"b": [1, {"c": 2}]}}, {"a": {"b": [1, {"c": 2, "d": 3}]}}, ""),
        ({"a": {"b": [1, {"c": 2}]}}, {"a": {"b": [1, {"c": 3}]}}, "v1 differs at .a.b[1].c"),
        ({"a": {"b": 1}}, {"a": {}}, "v1 differs at .a.b"),
        ({"a": {"b": 1}}, {"a": 1}, "v1 differs at .a.b"),
        ({"a": [1, 2]}, {"a": [1]}, "v1 differs at .a"),
    ],
)
def test_what_the_live_crd_lacks(wanted: Any, live: Any, says: str) -> None:
    """All that the chart says must be there; more than that is the API server's defaults."""
    found = crd_problems(crd({"name": "v1", **wanted}), crd({"name": "v0"}, {"name": "v1", **live}))
    assert says in found
    assert bool(says) == bool(found)


def test_missing_crds_and_versions() -> None:
    """One that is not there, or lacks a version, is named."""
    assert "x of the chart is not there" in crd_problems(crd(), None)
    assert (
        crd_problems(crd({"name": "v2"}), crd({"name": "v1"}))
        == "CustomResourceDefinition x lacks version v2 of the chart"
    )
