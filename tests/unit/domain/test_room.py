"""Extra pods of a canary, what they count for, and what quotas leave."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from pytest_deploy.domain.room import extra_pods, needs, parse_amount, quota_problems


@pytest.mark.parametrize(
    ("text", "number"),
    [("1", "1"), ("250m", "0.25"), ("1.5Gi", str(3 * 2**29)), ("2e3", "2000"), ("1E", str(10**18)), (".5k", "500"),
     ("100n", "1e-7"), ("-1", "-1"), ("1E-1", "0.1"), ("3Ki", "3072")],
)  # fmt: skip
def test_quantities(text: str, number: str) -> None:
    """Every form that the API knows."""
    assert parse_amount(text) == Decimal(number)


@pytest.mark.parametrize("text", ["", "Gi", "1 Gi x", "1gi", "one"])
def test_no_quantity(text: str) -> None:
    """Anything else is refused."""
    with pytest.raises(ValueError, match="is no quantity"):
        parse_amount(text)


def rollout(canary: dict[str, Any], *containers: dict[str, Any]) -> dict[str, Any]:
    """A Rollout of this strategy."""
    return {"spec": {"strategy": {"canary": canary}, "template": {"spec": {"containers": list(containers)}}}}


@pytest.mark.parametrize(
    ("canary", "extra"),
    [({}, 3), ({"maxSurge": "50%"}, 5), ({"maxSurge": 2}, 2), ({"maxSurge": "40"}, 10), ({"maxSurge": "odd"}, 10),
     ({"trafficRouting": {"nginx": {}}, "maxSurge": 1}, 10)],
)  # fmt: skip
def test_extra_pods(canary: dict[str, Any], extra: int) -> None:
    """The surge, rounded up and a quarter by default; with a router all of them; what is not understood: all, too."""
    assert extra_pods(rollout(canary), 10) == extra


def test_needs() -> None:
    """Requests and limits of all containers, times the pods; where only a limit stands it is the request."""
    one = {"resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "1", "memory": "1Mi"}}}
    two = {"resources": {"requests": {"nvidia.com/gpu": "1"}}}
    found = needs(rollout({}, one, two, {}), 2)
    assert found == {
        "pods": 2,
        "count/pods": 2,
        "requests.cpu": Decimal("0.2"),
        "cpu": Decimal("0.2"),
        "requests.memory": 2 * 2**20,
        "memory": 2 * 2**20,
        "limits.cpu": 2,
        "limits.memory": 2 * 2**20,
        "requests.nvidia.com/gpu": 2,
    }


def test_quotas() -> None:
    """What is short is named with what is left; a quota of some pods only is left out, one that nobody uses is free."""
    quotas: list[dict[str, Any]] = [
        {
            "metadata": {"name": "q"},
            "spec": {"hard": {}},
            "status": {
                "hard": {"requests.memory": "2Gi", "requests.cpu": "2", "secrets": "3", "pods": "9"},
                "used": {"requests.memory": "1Gi", "requests.cpu": "1500m"},
            },
        },
        {"metadata": {"name": "s"}, "spec": {"scopes": ["BestEffort"]}, "status": {"hard": {"pods": "0"}}},
        {"metadata": {"name": "t"}, "spec": {"scopeSelector": {"x": []}}, "status": {"hard": {"pods": "0"}}},
        {"metadata": {"name": "new"}, "spec": {}},
    ]
    need = {"requests.memory": Decimal(1100 * 2**20), "requests.cpu": Decimal("0.75"), "pods": Decimal(9)}
    assert list(quota_problems(quotas, need)) == [
        "ResourceQuota q leaves 1Gi of 2Gi requests.memory, the canary needs 1.074Gi more",
        "ResourceQuota q leaves 0.5 of 2 requests.cpu, the canary needs 0.75 more",
    ]
    small = [{"metadata": {"name": "m"}, "spec": {}, "status": {"hard": {"memory": "1Mi"}, "used": {"memory": "0"}}}]
    assert list(quota_problems(small, {"memory": Decimal(2 * 2**20)})) == [
        "ResourceQuota m leaves 1Mi of 1Mi memory, the canary needs 2Mi more"
    ]
