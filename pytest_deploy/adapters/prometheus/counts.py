"""Good and bad requests out of Prometheus' counters and histograms."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_deploy.adapters.prometheus.promql import Look
from pytest_deploy.domain.measurement import Bucket, Objective
from pytest_deploy.errors import Faulted, MeasurementError

__all__ = ["Counts", "bounds_around", "classic_latency", "error_rate", "le_bound", "native_buckets", "native_latency"]

_ERROR = re.compile("5..")
"""The statuses that are errors; the pattern is the same in PromQL, which anchors it."""

_SAME = 1e-9
"""Bounds and limits are decimal numbers that went through binary ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What one look found; the fields are a Reading's."""

    total: float | None = None
    bad: float | None = None
    value: float | None = None
    neighbours: tuple[Bucket, Bucket] | None = None


def error_rate(look: Look, metric: str, status_label: str) -> Counts:
    """Return requests, errors and their ratio."""
    every, w = look.series(metric), f"[{look.window}]"
    errors = look.series(metric, f'{status_label}=~"{_ERROR.pattern}"')
    shown = f"sum(rate({errors}{w})) / sum(rate({every}{w}))"
    ratio = look.one(shown)
    grown = _by_status(look, f"increase({every}{w})", status_label)
    if not grown:
        return Counts()
    if not any(grown):
        raise MeasurementError(
            f"{every} has series, but none has a label {status_label!r}: errors can't be told from successes",
            hint="set metrics.prometheus.status_label to the label that holds the HTTP status",
        )
    born = _by_status(look, _born(look, every), status_label)
    counts = [*grown.items(), *born.items()]
    total = math.fsum(count for _, count in counts)
    bad = math.fsum(count for status, count in counts if _ERROR.fullmatch(status))
    value = bad / total if total > 0 else None
    if any(born.values()) and value is not None and not math.isclose(value, ratio or 0.0, rel_tol=1e-6):
        answer = "nothing" if ratio is None else f"{ratio:.6g}"
        look.queries[0] = f"{shown}  # answers {answer}; counted with the first values of new series: {value:.6g}"
    return Counts(total=total, bad=bad, value=value)


def classic_latency(look: Look, metric: str, objective: Objective) -> Counts | None:
    """Return requests, those slower than the limit, and the quantile; None: there are no ``_bucket`` series."""
    series = look.series(f"{metric}_bucket")
    w = f"[{look.window}]"
    value = look.one(f"histogram_quantile({objective.quantile:g}, sum by (le) (rate({series}{w})))")
    buckets: dict[float, float] = {}
    for labels, count in look.vector(f"sum by (le) (increase({series}{w}))"):
        bound = le_bound(labels)
        if bound is not None and count is not None:
            buckets[bound] = buckets.get(bound, 0.0) + count
    if not buckets:
        return None
    total = buckets.get(math.inf)
    if total is None:
        raise MeasurementError(
            f'{series} has no bucket le="+Inf": it is no histogram',
            hint="correct metrics.prometheus.duration_metric",
        )
    if objective.relative:  # its limit is a difference, no bucket ends there
        return Counts(total=total, value=value)
    below, above = bounds_around(buckets, objective.limit)
    if below == above:
        return Counts(total=total, bad=max(0.0, total - buckets[below]), value=value)
    most, least = (max(0.0, total - buckets.get(bound, 0.0)) for bound in (below, above))
    neighbours = (Bucket(bound_s=below, slower=max(most, least)), Bucket(bound_s=above, slower=least))
    return Counts(total=total, value=value, neighbours=neighbours)


def native_latency(look: Look, metric: str, objective: Objective) -> Counts:
    """Return the same out of native histograms, those that Prometheus made of classic ones included.

    The server tells the buckets themselves, where they are not empty: those that end at the limit or before are fast,
    those that begin there or after are slow. One that the limit is inside of has requests on both sides, so its ends
    are the neighbours; ``histogram_fraction`` would interpolate.
    https://prometheus.io/docs/prometheus/latest/querying/api/#native-histograms
    """
    series = look.series(metric)
    w = f"[{look.window}]"
    del look.queries[:]  # of the classic histogram that does not exist
    value = look.one(f"histogram_quantile({objective.quantile:g}, sum(rate({series}{w})))")
    query = f"sum(increase({series}{w}))"
    answers = look.answer(query)
    if not answers:
        return Counts()
    if "histogram" not in answers[0][1]:
        raise MeasurementError(
            f"{series} has numbers, neither buckets nor native histograms: it is no histogram (a summary has no counts "
            "of slow requests)",
            hint="correct metrics.prometheus.duration_metric, or let the service export a histogram",
        )
    total, buckets = native_buckets(answers[0][1], query)
    if objective.relative:
        return Counts(total=total, value=value)
    limit = objective.limit
    slow = math.fsum(count for left, _, count in buckets if left > limit or math.isclose(left, limit, rel_tol=_SAME))
    for left, right, count in buckets:
        if bounds_around((left, right), limit) == (left, right):
            look.queries[-1] = f"{query}  # the limit is inside the bucket from {left:g} to {right:g}"
            neighbours = (Bucket(bound_s=left, slower=slow + count), Bucket(bound_s=right, slower=slow))
            return Counts(total=total, value=value, neighbours=neighbours)
    return Counts(total=total, bad=slow, value=value)


def native_buckets(item: Mapping[str, Any], query: str) -> tuple[float, list[tuple[float, float, float]]]:
    """Return a native histogram's count and its buckets: from, to, how many."""
    try:
        histogram = item["histogram"][1]
        total = float(histogram["count"])
        buckets = [(float(left), float(right), float(n)) for _, left, right, n in histogram.get("buckets", ())]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise Faulted(f"Prometheus answered with a histogram that is none, to: {query}") from error
    if not all(math.isfinite(n) and n >= 0 for n in (total, *(n for *_, n in buckets))):
        raise Faulted(f"Prometheus answered with a histogram whose counts are none, to: {query}")
    return total, buckets


def le_bound(labels: Mapping[str, str]) -> float | None:
    """Return where a bucket ends, as a number: Prometheus 3 writes le="1.0" where 2 wrote le="1"."""
    try:
        return float(labels.get("le", ""))
    except ValueError:
        return None


def bounds_around(bounds: Iterable[float], limit: float) -> tuple[float, float]:
    """Return the bounds next to the limit, below (0: there is none) and above; twice the one that is the limit."""
    below, above = 0.0, math.inf
    for bound in bounds:
        if math.isclose(bound, limit, rel_tol=_SAME):
            return bound, bound
        if below < bound < limit:
            below = bound
        elif limit < bound < above:
            above = bound
    return below, above


def _born(look: Look, every: str) -> str:
    """Return the query for the first values of series born in the window on a target that had samples before.

    All series of one scrape have one timestamp: what comes back after an outage is no later than its target.
    """
    window = look.window
    first = f"min_over_time(timestamp({every})[{window}:{_half(look)}]) or timestamp({every})"
    target = ", ".join(look.target_labels)
    return (
        f"(min_over_time({every}[{window}]) unless {every} offset {window}) and (({first}) > on ({target}) "
        f"group_left () min by ({target}) (timestamp({every} offset {window}) or {first}))"
    )


def _half(look: Look) -> str:
    """Half a scrape, so that a subquery finds each."""
    return f"{max(1, math.floor(look.scrape_interval.total_seconds() * 500))}ms"


def _by_status(look: Look, counters: str, status_label: str) -> dict[str, float]:
    """Return the sum of the counters by status, which is "" where there is none; {}: no series."""
    query = f"sum by ({status_label}) ({counters})"
    counts: dict[str, float] = {}
    for labels, count in look.vector(query):
        if count is None or count < 0:
            raise Faulted(f"Prometheus answered with a value that is no count, to: {query}")
        counts[labels.get(status_label, "")] = count
    return counts
