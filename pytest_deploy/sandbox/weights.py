"""Who gets which share of a service's requests, read from the objects of the cluster as they are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_deploy.domain.synthetic import Behaviour

__all__ = ["ERROR_RATE", "P95_MS", "RPS", "Object", "Version", "number", "template_hash", "versions"]

RPS = "sandbox.pytest-deploy.dev/rps"
"""On the Rollout or Deployment: requests per second of the whole service; 100 where it is absent."""
ERROR_RATE = "sandbox.pytest-deploy.dev/error-rate"
"""On the pod template: share of requests answered with a 5xx; 0 where it is absent."""
P95_MS = "sandbox.pytest-deploy.dev/p95-ms"
"""On the pod template: milliseconds of the p95; 120 where it is absent."""

_DEFAULT_RPS = 100.0
_HASHES = ("rollouts-pod-template-hash", "pod-template-hash")
_REVISIONS = ("rollout.argoproj.io/revision", "deployment.kubernetes.io/revision")

Object = Mapping[str, Any]
"""As the API gives it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of a service, as the traffic sees it.

    Args:
        pod_template_hash: names the version.
        requests_per_s: what is sent to it now.
        pods: names of those that are ready; what is sent to a version that has none is answered with a 503.
        behaviour: how its template says that it answers.
        canary: whether it is the newest of its service, and not the stable one.
    """

    namespace: str
    service: str
    pod_template_hash: str
    requests_per_s: float
    pods: tuple[str, ...]
    behaviour: Behaviour
    canary: bool


def versions(workloads: Sequence[Object], replica_sets: Sequence[Object], pods: Sequence[Object]) -> Iterator[Version]:
    """Yield each version that gets requests.

    With a traffic router the shares are what the controller wrote to status.canary.weights; else every ready pod
    gets the same, which is what a Service does.

    Args:
        workloads: Rollouts and Deployments.
        replica_sets, pods: all of the cluster.
    """
    owned: dict[str, list[Object]] = {}
    for each in (*replica_sets, *pods):
        for owner in each["metadata"].get("ownerReferences", ()):
            owned.setdefault(owner["uid"], []).append(each)
    for workload in workloads:
        sets = {template_hash(it): it for it in owned.get(workload["metadata"]["uid"], ())}
        ready = {name: _ready(owned.get(it["metadata"]["uid"], ())) for name, it in sets.items()}
        yield from _of(workload, sets, ready)


def template_hash(it: Object) -> str:
    """Return the version that a ReplicaSet makes, or a pod belongs to; its own name where no label says."""
    labels = it["metadata"].get("labels") or {}
    return str(next((labels[label] for label in _HASHES if label in labels), it["metadata"]["name"]))


def number(annotations: Mapping[str, str] | None, name: str, default: float) -> float:
    """Return an annotation's number; one that can't be read is as good as absent: traffic must not stop for a typo."""
    try:
        found = float((annotations or {})[name])
    except (KeyError, ValueError):
        return default
    return found if math.isfinite(found) else default


def _of(workload: Object, sets: Mapping[str, Object], ready: Mapping[str, tuple[str, ...]]) -> Iterator[Version]:
    meta, status = workload["metadata"], workload.get("status", {})
    shares = _routed(workload) or _by_pods(ready)
    rps = number(meta.get("annotations"), RPS, _DEFAULT_RPS)
    newest = max(sets, key=lambda name: _revision(sets[name]), default=None)
    stable = status.get("stableRS")
    for name, share in shares.items():
        if share > 0 and name in sets:
            yield Version(
                namespace=meta["namespace"],
                service=meta["name"],
                pod_template_hash=name,
                requests_per_s=rps * share,
                pods=ready[name],
                behaviour=_behaviour(sets[name]),
                canary=name == newest and name != stable,
            )


def _routed(workload: Object) -> dict[str, float]:
    canary = (workload["spec"].get("strategy") or {}).get("canary") or {}
    weights = workload.get("status", {}).get("canary", {}).get("weights")
    if not canary.get("trafficRouting") or not weights:
        return {}
    shares: dict[str, float] = {}
    for side in (weights["canary"], weights["stable"]):
        name = side.get("podTemplateHash", "")
        shares[name] = shares.get(name, 0.0) + side["weight"] / 100
    return shares


def _by_pods(ready: Mapping[str, tuple[str, ...]]) -> dict[str, float]:
    total = sum(map(len, ready.values()))
    return {name: len(pods) / total for name, pods in ready.items()} if total else {}


def _behaviour(replica_set: Object) -> Behaviour:
    annotations = replica_set["spec"]["template"]["metadata"].get("annotations")
    default = Behaviour()
    try:
        return Behaviour(
            error_rate_ratio=number(annotations, ERROR_RATE, default.error_rate_ratio),
            p95_ms=number(annotations, P95_MS, default.p95_ms),
        )
    except ValueError:
        return default


def _ready(pods: Sequence[Object]) -> tuple[str, ...]:
    """Return the names of the pods that a Service sends requests to."""
    return tuple(
        sorted(
            pod["metadata"]["name"]
            for pod in pods
            if "deletionTimestamp" not in pod["metadata"]
            and any((it["type"], it["status"]) == ("Ready", "True") for it in pod["status"].get("conditions", ()))
        )
    )


def _revision(replica_set: Object) -> int:
    annotations = replica_set["metadata"].get("annotations") or {}
    return next((int(annotations[key]) for key in _REVISIONS if key in annotations), 0)
