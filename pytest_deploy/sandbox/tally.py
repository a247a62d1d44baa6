"""Counters that grow as requests come in, and the text that Prometheus scrapes.

Nothing is drawn by lot: the same traffic gives the same counters. Requests are whole, and what is over is carried.
Each is spread over the buckets by its shares, so that a p95 can be read from a handful of requests, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pytest_deploy.domain.synthetic import BUCKETS_S, bucket_shares, mean_s
from pytest_deploy.sandbox.weights import Version

__all__ = ["Tally", "exposition"]

_Key = tuple[str, str, str]
_HELP = (
    ("http_requests_total", "counter", "Requests answered, by status."),
    ("http_request_duration_seconds", "histogram", "Time to answer."),
)


@dataclass(slots=True)
class _Counts:
    carried: float = 0.0
    total: int = 0
    errors: float = 0.0
    sum_s: float = 0.0
    buckets: list[float] = field(default_factory=lambda: [0.0] * len(BUCKETS_S))


class Tally:
    """The counters of the versions that get requests; with its last request a version's are gone, as its pods are."""

    def __init__(self) -> None:
        self._counts: dict[_Key, _Counts] = {}

    def grow(self, versions: Iterable[Version], seconds: float) -> None:
        """Let some time pass in which these versions got their requests."""
        before, self._counts = self._counts, {}
        for version in versions:
            key = (version.namespace, version.service, version.pod_template_hash)
            counts = self._counts[key] = before.get(key, _Counts())
            shares = bucket_shares(version.behaviour.p95_ms)
            due = counts.carried + version.requests_per_s * seconds
            requests = math.floor(due)
            counts.carried = due - requests
            counts.total += requests
            counts.errors += requests * (version.behaviour.error_rate_ratio if version.serves else 1.0)
            counts.sum_s += requests * mean_s(shares)
            counts.buckets = [old + requests * share for old, share in zip(counts.buckets, shares, strict=True)]

    def samples(self) -> Iterator[tuple[str, float]]:
        """Yield each series with its value; there is no 5xx series before the first 5xx, as with a real service."""
        for (namespace, service, version), counts in sorted(self._counts.items()):
            labels = f'service="{service}",namespace="{namespace}",pod_template_hash="{version}"'
            # The millionth: ten times 0.1 is 1.
            errors = math.floor(counts.errors + 1e-6)
            yield f'http_requests_total{{{labels},status="200"}}', counts.total - errors
            if errors:
                yield f'http_requests_total{{{labels},status="503"}}', errors
            for bound, count in zip(BUCKETS_S, counts.buckets, strict=True):
                le = "+Inf" if math.isinf(bound) else repr(bound)
                yield f'http_request_duration_seconds_bucket{{{labels},le="{le}"}}', count
            yield f"http_request_duration_seconds_sum{{{labels}}}", counts.sum_s
            yield f"http_request_duration_seconds_count{{{labels}}}", counts.total


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
