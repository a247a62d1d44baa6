"""Named queries: a number that a team's own PromQL, or one of ours, yields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

from pytest_deploy.adapters.prometheus.promql import Look
from pytest_deploy.adapters.prometheus.selectors import selectors
from pytest_deploy.domain.measurement import Subject
from pytest_deploy.domain.query import MEMORY, RESTARTS, THROTTLING, Query
from pytest_deploy.errors import MeasurementError

__all__ = ["BUILT_IN", "RESTARTS_OF_NEW_PODS", "newest", "samples", "ships", "text_of"]

_PODS = 'namespace="{namespace}",pod=~"{workload}-{version}-[a-z0-9]+",container!=""'

_THROTTLED = f"""\
sum(increase(container_cpu_cfs_throttled_periods_total{{{_PODS}}}[{{window}}]))\
 / sum(increase(container_cpu_cfs_periods_total{{{_PODS}}}[{{window}}]))"""
"""Source: cAdvisor in the kubelet. Containers without a CPU limit have no such series, as nothing throttles them.
https://github.com/google/cadvisor/blob/master/docs/storage/prometheus.md
"""

_MEMORY = f"""\
max(max by (namespace, pod, container) (max_over_time(container_memory_working_set_bytes{{{_PODS}}}[{{window}}]))\
 / (max by (namespace, pod, container) (container_spec_memory_limit_bytes{{{_PODS}}}) > 0))"""
"""Source: cAdvisor in the kubelet, which writes the limit 0 where there is none; such containers are left out.
https://github.com/google/cadvisor/blob/master/docs/storage/prometheus.md
"""

_RESTARTS_OF = f"kube_pod_container_status_restarts_total{{{_PODS}}}"
_RESTARTS = (
    f"sum(max by (namespace, pod, container) (max_over_time({_RESTARTS_OF}[{{window}}]))"
    f" - (max by (namespace, pod, container) ({_RESTARTS_OF} offset {{window}})"
    f" or 0 * max by (namespace, pod, container) (max_over_time({_RESTARTS_OF}[{{window}}]))))"
)
"""Source: kube-state-metrics. No ``increase()``: it would leave out the restarts that a pod's first sample has.
https://github.com/kubernetes/kube-state-metrics/blob/main/docs/metrics/workload/pod-metrics.md
"""

RESTARTS_OF_NEW_PODS = Query(
    name=RESTARTS, text=f"sum(max by (namespace, pod, container) (max_over_time({_RESTARTS_OF}[{{window}}])))"
)
"""Of a canary, whose pods began with the deploy: every restart is its own, also one before the window began."""

BUILT_IN: Mapping[str, Query] = MappingProxyType(
    {
        query.name: query
        for query in (
            Query(name=THROTTLING, text=_THROTTLED, unit="%"),
            Query(name=MEMORY, text=_MEMORY, unit="%"),
            Query(name=RESTARTS, text=_RESTARTS),
        )
    }
)
"""The queries that ship, of the pods of one version. Alerts are no query: what proves that none fires is no series."""

_TOKEN = re.compile(r"\{(service|version|namespace|workload|window)\}")
_KUBERNETES_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
"""https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#names"""


def text_of(query: Query, subject: Subject, window_s: int) -> str:
    """Return the query with its tokens replaced, each by a name that can't change the query around it.

    In a query that ships, a version that is not known stands for every version, and a name is no pattern.

    Raises:
        MeasurementError: a token's value is not known, or is no name in Kubernetes.
    """
    ours = ships(query) or query is RESTARTS_OF_NEW_PODS
    values = {
        "service": subject.service,
        "version": subject.template_hash or "",
        "namespace": subject.namespace,
        "workload": subject.workload,
    }

    def value(match: re.Match[str]) -> str:
        token = match.group(1)
        if token == "window":  # noqa: S105 - a placeholder's name
            return f"{window_s}s"
        name = values[token]
        if not name and token == "version" and ours:  # noqa: S105 - a placeholder's name
            return "[a-z0-9]+"
        if not name:
            raise MeasurementError(
                f"the query {query.name!r} asks for {{{token}}}, which is not known here",
                hint=f"leave {{{token}}} out of metrics.queries, or let the gate read a version that has it",
            )
        if not _KUBERNETES_NAME.fullmatch(name):
            raise MeasurementError(
                f"{name!r} stands for {{{token}}} in the query {query.name!r} and is no name in Kubernetes",
                hint="lower-case letters, digits, '-' and '.' only",
            )
        return name.replace(".", "[.]") if ours else name

    return _TOKEN.sub(value, query.text)


def ships(query: Query) -> bool:
    """Whether it is one of ours, not a team's of the same name."""
    return BUILT_IN.get(query.name) == query


def samples(look: Look, query: str) -> float | None:
    """Return how many samples in the window a query rests on; None: none, as of one without any series."""
    counts = [look.one(f"sum(count_over_time({series}[{look.window}]))") for series in selectors(query)]
    return sum(count or 0.0 for count in counts) or None


def newest(look: Look, query: str) -> datetime | None:
    """Return how fresh the answer is: the newest sample of that selector whose newest sample is the oldest.

    An instant query looks back up to 5 minutes and a range further, so that the answer of a target that stopped looks
    as fresh as any; only the samples' own times tell. Selectors without any sample are passed over, as a query may
    well be of errors that never came; None: no selector has any, as in ``vector(0)``.
    https://prometheus.io/docs/prometheus/latest/querying/basics/#staleness
    """
    return min(filter(None, (look.newest(series) for series in selectors(query))), default=None)
