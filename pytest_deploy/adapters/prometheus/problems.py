"""What would keep an objective from being judged, found before anything is changed.

A problem that begins with ``note: `` does not: the objective is judged, though less sharply than it could be.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from pytest_deploy.adapters.prometheus.counts import bounds_around, le_bound, native_buckets
from pytest_deploy.adapters.prometheus.promql import Look
from pytest_deploy.adapters.prometheus.selectors import selectors
from pytest_deploy.domain.measurement import Objective

__all__ = ["is_note", "latency_problems", "query_problems", "requests_problems", "version_problems"]

_LATELY = "5m"
"""How far back a series is looked for; a scrape that just failed has ended its instant value."""

_NAMED = 5


def is_note(problem: str) -> bool:
    """Whether the objective is judged all the same."""
    return problem.startswith("note: ")


def requests_problems(look: Look, metric: str, service_label: str, status_label: str) -> list[str]:
    """Return what is wrong with a counter of requests."""
    found = look.vector(f"count by ({status_label}) (last_over_time({look.series(metric)}[{_LATELY}]))")
    if not found:
        return [_absent(look, metric, service_label, "requests_metric")]
    if any(labels.get(status_label) for labels, _ in found):
        return []
    what = f"{look.series(metric)} has series, but none has a label {status_label!r}"
    mend = "set metrics.prometheus.status_label to the label that holds the HTTP status"
    return [f"{what}, so that errors can't be told from successes: {mend}"]


def latency_problems(look: Look, metric: str, service_label: str, objective: Objective) -> list[str]:
    """Return what is wrong with a histogram of durations, native ones included."""
    classic = f"{metric}_bucket"
    bounds = {
        bound
        for labels, _ in look.vector(f"count by (le) (last_over_time({look.series(classic)}[{_LATELY}]))")
        if (bound := le_bound(labels)) is not None
    }
    if not bounds:
        return _native_problems(look, metric, service_label, objective)
    if math.inf not in bounds:
        return [f'{look.series(classic)} has no bucket le="+Inf": it is no histogram']
    below, above = bounds_around(bounds, objective.limit)
    if objective.relative:  # its limit is a difference, no bucket ends there
        return []
    return [] if below == above else [_between(classic, objective.limit, below, above)]


def _native_problems(look: Look, metric: str, service_label: str, objective: Objective) -> list[str]:
    query = f"sum(last_over_time({look.series(metric)}[{_LATELY}]))"
    found = look.answer(query)
    if not found:
        return [_absent(look, f"{metric}_bucket", service_label, "duration_metric")]
    if "histogram" not in found[0][1]:
        return [f"{look.series(metric)} has numbers, neither buckets nor native histograms: it is no histogram"]
    limit = objective.limit
    for left, right, _ in () if objective.relative else native_buckets(found[0][1], query)[1]:
        if bounds_around((left, right), limit) == (left, right):
            return [_between(metric, limit, left, right)]
    return []


def version_problems(look: Look, metric: str, labels: Iterable[str]) -> list[str]:
    """Return which labels that tell versions apart no series of the service has.

    Args:
        look: at the whole service.
        metric: of requests, or a histogram's.
    """
    named = f'__name__=~"{metric}(_count)?"'
    return [
        f"no series of {look.series(metric)} has the label {label!r}, which metrics.prometheus names to tell versions "
        "apart: correct it, or let the scrape set it"
        for label in labels
        if not look.vector(f"count(last_over_time({look.series('', named, _has(label))}[{_LATELY}]))")
    ]


def query_problems(look: Look, name: str, query: str) -> list[str]:
    """Return what is wrong with a named query whose tokens are replaced."""
    series = selectors(query)
    if not series:
        return [f"the query {name!r} rests on no series, so its answer is no evidence: {query}"]
    absent = [each for each in series if not look.vector(f"count(last_over_time({each}[{_LATELY}]))")]
    if len(absent) == len(series):
        return [
            f"the query {name!r} has no series to rest on: {each} has had none for {_LATELY}; is it scraped, and are "
            "its labels right?"
            for each in absent
        ]
    answers = look.vector(query)
    if len(answers) > 1:
        return [f"the query {name!r} answers with {len(answers)} series, a gate needs one: sum or max them: {query}"]
    return [f"note: {each} in the query {name!r} has no series now" for each in absent]


def _has(label: str) -> str:
    return f'{label}!=""'


def _absent(look: Look, metric: str, service_label: str, setting: str) -> str:
    found = look.vector(f"topk({_NAMED}, count by ({service_label}) (last_over_time({metric}[{_LATELY}])))")
    here = f"there is no series {look.series(metric)}"
    if not found:
        return f"{here}, nor any other of {metric}: correct metrics.prometheus.{setting}, or see that it is scraped"
    others = sorted(labels.get(service_label, "") for labels, _ in found)
    if not any(others):
        return f"{here}: the series of {metric} have no label {service_label!r}: set metrics.prometheus.service_label"
    names = ", ".join(repr(each) for each in others if each)
    return f"{here}; the metric has {service_label} {names}: correct the service's name or service_label"


def _between(metric: str, limit: float, below: float, above: float) -> str:
    ends = f"above {below:g} s" if math.isinf(above) else f"at {below:g} s and {above:g} s"
    if not below:
        ends = f"first at {above:g} s"
    return (
        f"note: no bucket of {metric} ends at {limit:g} s, they end {ends}, and both judge; where they "
        f"disagree nothing can be said: add a bucket that ends at {limit:g}"
    )
