"""Is there room for a canary beside what runs: extra pods, what they ask for, and what the quotas leave."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from pytest_deploy.domain.action import Json
from pytest_deploy.domain.tree import at, items

__all__ = ["extra_pods", "needs", "parse_amount", "quota_problems"]

Manifest = Mapping[str, Json]

_AMOUNT = re.compile(r"([+-]?\d+(?:\.\d*)?|[+-]?\.\d+)(?:[eE]([+-]?\d+)|(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E))?")
_UNITS = {
    unit: Decimal(10) ** power for unit, power in zip("numkMGTPE", (-9, -6, -3, 3, 6, 9, 12, 15, 18), strict=True)
}
_UNITS |= {unit: Decimal(1024) ** power for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)}

_DEFAULT_SURGE = "25%"
"""https://argoproj.github.io/argo-rollouts/features/specification/ (maxSurge)"""


def parse_amount(text: str) -> Decimal:
    """Return a Kubernetes quantity: ``250m``, ``1Gi``, ``2e3``.

    Raises:
        ValueError: it is none (https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/).
    """
    found = _AMOUNT.fullmatch(text.strip())
    if found is None:
        msg = f"{text!r} is no quantity"
        raise ValueError(msg)
    number = Decimal(found[1])
    return number.scaleb(int(found[2])) if found[2] else number * _UNITS.get(found[3] or "", Decimal(1))


def extra_pods(rollout: Manifest, replicas: int) -> int:
    """Return how many pods there are at most beside the stable ones during its canary.

    Args:
        replicas: that run now.
    """
    canary = at(rollout, "spec", "strategy", "canary")
    if at(canary, "trafficRouting") is not None:
        # The stable version keeps all of its pods until the end.
        return replicas
    surge = str(at(canary, "maxSurge") or _DEFAULT_SURGE)
    percent = surge.removesuffix("%")
    if not percent.isdigit():
        return replicas
    return min(replicas, math.ceil(replicas * int(percent) / 100) if surge.endswith("%") else int(percent))


def needs(rollout: Manifest, pods: int) -> dict[str, Decimal]:
    """Return what these pods count for in a quota, by the quota's names: ``pods``, ``requests.cpu`` ..."""
    total = {"pods": Decimal(pods), "count/pods": Decimal(pods)}
    for container in items(at(rollout, "spec", "template", "spec", "containers")):
        limits = _amounts(at(container, "resources", "limits"))
        requests = limits | _amounts(at(container, "resources", "requests"))  # no request: the limit counts as one
        for name, amount in requests.items():
            for key in (f"requests.{name}", *((name,) if name in {"cpu", "memory", "ephemeral-storage"} else ())):
                total[key] = total.get(key, Decimal(0)) + amount * pods
        for name, amount in limits.items():
            key = f"limits.{name}"
            total[key] = total.get(key, Decimal(0)) + amount * pods
    return total


def quota_problems(quotas: Sequence[Manifest], need: Mapping[str, Decimal]) -> Iterator[str]:
    """Yield each quota that leaves too little; one that counts only some pods (scopes) is left out."""
    for quota in quotas:
        if at(quota, "spec", "scopes") or at(quota, "spec", "scopeSelector"):
            continue
        hard, used = _amounts(at(quota, "status", "hard")), _amounts(at(quota, "status", "used"))
        for name, limit in hard.items():
            left = limit - used.get(name, Decimal(0))
            if need.get(name, Decimal(0)) > left:
                yield (
                    f"ResourceQuota {at(quota, 'metadata', 'name')} leaves {_shown(left)} of {_shown(limit)} {name}, "
                    f"the canary needs {_shown(need[name])} more"
                )


def _amounts(node: Json) -> dict[str, Decimal]:
    return {name: parse_amount(str(value)) for name, value in node.items()} if isinstance(node, Mapping) else {}


def _shown(amount: Decimal) -> str:
    """Return it as a person writes it: bytes in GiB and MiB, the rest as a number."""
    for unit in ("Gi", "Mi"):
        if amount >= _UNITS[unit]:
            return f"{amount / _UNITS[unit]:.4g}{unit}"
    return f"{amount.normalize():f}"
