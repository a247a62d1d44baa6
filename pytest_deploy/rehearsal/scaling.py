"""How a basic canary is scaled: weights become numbers of pods, within surge and availability."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Count", "next_counts", "split"]

_SURGE_RATIO = 0.25
_UNAVAILABLE_RATIO = 0.25
"""Both 25 %: what a Rollout has where its chart says nothing (maxSurge rounds up, maxUnavailable down)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """The pods of one ReplicaSet: asked for, Ready, and how many there are to be in the end."""

    wanted: int
    ready: int
    target: int


def split(replicas: int, weight: int) -> tuple[int, int]:
    """Return how many pods the canary and the stable version get at this weight, percent.

    The pair nearest to the weight out of ``replicas`` pods or one more; between 1 and 99 % each version has
    at least one. Where two are as near, the one with fewer pods in all, then with more canary pods:
    https://github.com/argoproj/argo-rollouts/blob/master/utils/replicaset/canary.go
    """
    if weight in {0, 100} or replicas == 0:
        canary = replicas * weight // 100
        return canary, replicas - canary
    exact = replicas * weight / 100
    pairs = [
        (canary, total)
        for total in (replicas, replicas + 1)
        for canary in (math.ceil(exact), math.floor(exact))
        if 0 < canary < total
    ]
    canary, total = min(pairs, key=lambda pair: (abs(pair[0] * 100 / pair[1] - weight), pair[1], -pair[0]))
    return canary, total - canary


def next_counts(replicas: int, counts: Sequence[Count]) -> list[int]:
    """Return the pods to ask for next, of each ReplicaSet.

    Pods are added while there are at most 25 % too many, and taken away while 75 % are Ready. Those of a
    ReplicaSet that is to shrink count as Ready, so that a broken one can't hold up its own removal.

    Args:
        counts: in the order in which they may grow; they shrink in the opposite one.
    """
    room = replicas + math.ceil(replicas * _SURGE_RATIO) - sum(count.wanted for count in counts)
    least = replicas - math.floor(replicas * _UNAVAILABLE_RATIO)
    spare = sum(count.wanted if count.wanted > count.target else count.ready for count in counts) - least
    result = [count.wanted for count in counts]
    for index, count in enumerate(counts):
        more = max(0, min(count.target - count.wanted, room))
        result[index] += more
        room -= more
    for index, count in reversed(list(enumerate(counts))):
        fewer = max(0, min(count.wanted - count.target, spare))
        result[index] -= fewer
        spare -= fewer
    return result
