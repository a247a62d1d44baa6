"""What cAdvisor and kube-state-metrics show of containers: the pods are the cluster's, their numbers are made up.

Names and labels are theirs: https://github.com/google/cadvisor/blob/master/docs/storage/prometheus.md and
https://github.com/kubernetes/kube-state-metrics/blob/main/docs/metrics/workload/pod-metrics.md
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from pytest_deploy.sandbox.weights import Object, number, template_hash

__all__ = ["FAMILIES", "MEMORY", "RESTARTS", "THROTTLED", "Container", "Platform", "containers"]

THROTTLED = "sandbox.pytest-deploy.dev/throttled"
"""On the pod template: share of its CPU periods in which a container is throttled; 0 where it is absent."""
MEMORY = "sandbox.pytest-deploy.dev/memory"
"""On the pod template: a container's memory as a share of its limit; 0.5 where it is absent."""
RESTARTS = "sandbox.pytest-deploy.dev/restarts"
"""On the pod template: how often each container restarts, beside the restarts that the API counts; 0 where absent."""

FAMILIES = (
    ("container_cpu_cfs_periods_total", "counter", "CPU periods."),
    ("container_cpu_cfs_throttled_periods_total", "counter", "CPU periods in which it was throttled."),
    ("container_memory_working_set_bytes", "gauge", "Memory that can't be reclaimed."),
    ("container_spec_memory_limit_bytes", "gauge", "Limit of its memory; 0: none."),
    ("kube_pod_container_resource_limits", "gauge", "Limits of the pod's spec."),
    ("kube_pod_container_status_restarts_total", "counter", "Restarts of the container."),
)

_PERIODS_PER_S = 10
"""A period is 100 ms: https://docs.kernel.org/scheduler/sched-bwc.html"""
_RESTART_EVERY_S = 5.0
"""So that restarts fall into a gate's window, and not before it."""
_DEFAULT_MEMORY = 0.5
_NO_LIMIT_BYTES = 100 * 1024**2
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(Ki|Mi|Gi|Ti|k|M|G|T|)")
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12} | {
    unit: 1024**power for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti"), 1)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container that has a status.

    Args:
        version: the pod-template hash.
        restarts: as the API counts them; ``more_restarts`` come on top, one after the other.
        limit_bytes: of memory; None where there is none.
        throttled_ratio: of its CPU periods; ``memory_ratio``: of its limit.
    """

    namespace: str
    pod: str
    name: str
    version: str
    restarts: int
    more_restarts: int
    limit_bytes: float | None
    throttled_ratio: float
    memory_ratio: float


def containers(pods: Iterable[Object]) -> Iterator[Container]:
    """Yield the containers of the pods as the API gives them."""
    for pod in pods:
        meta = pod["metadata"]
        limits = {it["name"]: it.get("resources", {}).get("limits", {}) for it in pod["spec"]["containers"]}
        for status in pod.get("status", {}).get("containerStatuses", ()):
            annotations = meta.get("annotations")
            yield Container(
                namespace=meta["namespace"],
                pod=meta["name"],
                name=status["name"],
                version=template_hash(pod),
                restarts=status["restartCount"],
                more_restarts=int(number(annotations, RESTARTS, 0)),
                limit_bytes=_bytes(limits.get(status["name"], {}).get("memory", "")),
                throttled_ratio=min(1.0, max(0.0, number(annotations, THROTTLED, 0))),
                memory_ratio=max(0.0, number(annotations, MEMORY, _DEFAULT_MEMORY)),
            )


class Platform:
    """The containers that are there, each since when it was seen: its counters follow from that."""

    def __init__(self) -> None:
        self._since_s: dict[tuple[str, str, str], float] = {}
        self._containers: tuple[Container, ...] = ()

    def see(self, found: Iterable[Container], now_s: float) -> None:
        """Take what is there now; what is gone takes its counters with it."""
        self._containers = tuple(found)
        before = self._since_s
        self._since_s = {key: before.get(key, now_s) for key in map(_key, self._containers)}

    def samples(self, now_s: float, hidden: Collection[tuple[str, str]] = ()) -> Iterator[tuple[str, float]]:
        """Yield each series with its value.

        Args:
            hidden: namespace and pod-template hash of versions that show nothing.
        """
        for it in self._containers:
            if (it.namespace, it.version) in hidden:
                continue
            age_s = now_s - self._since_s[_key(it)]
            labels = f'namespace="{it.namespace}",pod="{it.pod}",container="{it.name}"'
            periods = int(age_s * _PERIODS_PER_S)
            yield f"container_cpu_cfs_periods_total{{{labels}}}", periods
            yield f"container_cpu_cfs_throttled_periods_total{{{labels}}}", int(periods * it.throttled_ratio)
            room = _NO_LIMIT_BYTES if it.limit_bytes is None else it.limit_bytes
            yield f"container_memory_working_set_bytes{{{labels}}}", room * it.memory_ratio
            yield f"container_spec_memory_limit_bytes{{{labels}}}", it.limit_bytes or 0
            if it.limit_bytes is not None:
                limit = f'kube_pod_container_resource_limits{{{labels},resource="memory",unit="byte"}}'
                yield limit, it.limit_bytes
            restarts = it.restarts + min(it.more_restarts, int(age_s / _RESTART_EVERY_S))
            yield f"kube_pod_container_status_restarts_total{{{labels}}}", restarts


def _key(container: Container) -> tuple[str, str, str]:
    return container.namespace, container.pod, container.name


def _bytes(quantity: str) -> float | None:
    """Return a quantity's number; None where there is none, or none that is understood."""
    match = _QUANTITY.fullmatch(quantity)
    return float(match[1]) * _UNITS[match[2]] if match else None
