"""Counters that grow as requests come in, and the text that Prometheus scrapes.

Nothing is drawn by lot: the same traffic gives the same counters. Requests are whole, and what is over is carried.
Each is spread over the buckets by its shares, so that a p95 can be read from a handful of requests, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pytest_deploy.domain.synthetic import BUCKETS_S, bucket_shares, mean_s
from pytest_deploy.sandbox.platform import FAMILIES
from pytest_deploy.sandbox.weights import Version

__all__ = ["Tally", "exposition"]

_Key = tuple[str, str, str]
_HELP = (
    ("http_requests_total", "counter", "Requests answered, by status."),
    ("http_request_duration_seconds", "histogram", "Time to answer."),
    *FAMILIES,
)


@dataclass(slots=True)
class _Counts:
    """One pod's counters."""

    total: int = 0
    errors: int = 0
    sum_s: float = 0.0
    buckets: list[float] = field(default_factory=lambda: [0.0] * len(BUCKETS_S))


@dataclass(slots=True)
class _Flow:
    """One version's requests: the fractions that are carried, whose turn it is, and the counters of its pods."""

    requests: float = 0.0
    errors: float = 0.0
    turn: int = 0
    pods: dict[str, _Counts] = field(default_factory=dict)


class Tally:
    """The counters of the pods that get requests; with its last request a pod's are gone, as it is gone itself."""

    def __init__(self) -> None:
        self._flows: dict[_Key, _Flow] = {}

    def grow(self, versions: Iterable[Version], seconds: float) -> None:
        """Let some time pass in which these versions got their requests, each ready pod as many as any other."""
        before, self._flows = self._flows, {}
        for version in versions:
            key = (version.namespace, version.service, version.pod_template_hash)
            flow = self._flows[key] = before.get(key, _Flow())
            flow.requests += version.requests_per_s * seconds
            requests = math.floor(flow.requests)
            flow.requests -= requests
            flow.errors += requests * (version.behaviour.error_rate_ratio if version.pods else 1.0)
            # The millionth: ten times 0.1 is 1.
            errors = math.floor(flow.errors + 1e-6)
            flow.errors -= errors
            _deal(flow, version, requests, errors)

    def samples(self) -> Iterator[tuple[str, float]]:
        """Yield each series with its value; there is no 5xx series before the first 5xx, as with a real service."""
        for (namespace, service, version), flow in sorted(self._flows.items()):
            of_version = f'service="{service}",namespace="{namespace}",pod_template_hash="{version}"'
            for pod, counts in sorted(flow.pods.items()):
                labels = f'{of_version},pod="{pod}"' if pod else of_version
                yield f'http_requests_total{{{labels},status="200"}}', counts.total - counts.errors
                if counts.errors:
                    yield f'http_requests_total{{{labels},status="503"}}', counts.errors
                for bound, count in zip(BUCKETS_S, counts.buckets, strict=True):
                    le = "+Inf" if math.isinf(bound) else repr(bound)
                    yield f'http_request_duration_seconds_bucket{{{labels},le="{le}"}}', count
                yield f"http_request_duration_seconds_sum{{{labels}}}", counts.sum_s
                yield f"http_request_duration_seconds_count{{{labels}}}", counts.total


def _deal(flow: _Flow, version: Version, requests: int, errors: int) -> None:
    """Deal whole requests out to the pods, one after the other; the errors are the first of them.

    So a pod never has more errors than requests, and no counter falls.
    """
    pods = version.pods or ("",)  # what no pod answers, the router does
    flow.pods = {pod: flow.pods.get(pod, _Counts()) for pod in pods}
    shares = bucket_shares(version.behaviour.p95_ms)
    for place in range(len(pods)):
        counts = flow.pods[pods[(flow.turn + place) % len(pods)]]
        mine = requests // len(pods) + (place < requests % len(pods))
        counts.total += mine
        counts.errors += errors // len(pods) + (place < errors % len(pods))
        counts.sum_s += mine * mean_s(shares)
        counts.buckets = [old + mine * share for old, share in zip(counts.buckets, shares, strict=True)]
    flow.turn += requests


def exposition(samples: Iterable[tuple[str, float]]) -> str:
    """Return the samples in Prometheus' text format.

    https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
    """
    rows = list(samples)
    lines = []
    for name, kind, text in _HELP:
        lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
        lines += [f"{series} {value:.10g}" for series, value in rows if series.startswith(name)]
    return "\n".join(lines) + "\n"
