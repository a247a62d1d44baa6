"""Reads what Prometheus' /api/v1/query_range answered: counters of the canary, cut into the feature's windows."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from pytest_deploy.adapters.prometheus.counts import bounds_around, le_bound
from pytest_deploy.adapters.series import Measurement, Series
from pytest_deploy.domain.measurement import Bucket, Objective, Reading, Role
from pytest_deploy.domain.plan import Stage
from pytest_deploy.errors import ConfigError

__all__ = ["RangeNames", "is_range", "load"]

_SAME = 1e-9
_HEAD = 500
"""Characters of the file that are looked at; ``status`` and ``data`` stand before ``resultType``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeNames:
    """How the exported series are called: the requests' counter, its status label, and the histogram."""

    requests: str
    status: str
    duration: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counter:
    """One exported series: its labels, and its values by time in seconds."""

    labels: Mapping[str, str]
    values: Mapping[float, float]

    def increase(self, times: Sequence[float]) -> float:
        """Return how much it has grown over these times.

        Where it falls it began anew; a series that is born in the window counts from zero: its first value is the
        first 5xx of a pod.
        """
        seen = [self.values[t] for t in times if t in self.values]
        if times[0] not in self.values:
            seen.insert(0, 0.0)
        return sum(after - before if after >= before else after for before, after in pairwise(seen))


def is_range(path: Path) -> bool:
    """Whether a file looks like an answer of the HTTP API; False also where it can't be read."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            return '"resultType"' in file.read(_HEAD)
    except OSError:
        return False


def load(path: Path, stages: Sequence[Stage], names: RangeNames) -> Series:
    """Return the readings of each stage's window; the windows follow one another from the first sample on.

    Only the canary's series belong into the file, as it can't be told from another version's: export it with its
    label in the selector. Where windows were not of the feature's length, cut the export and give ``stages`` one.

    Raises:
        ConfigError: it is no matrix of these counters, or ends before a window of the feature begins.
    """
    counters = _counters(path)
    requests = [each for each in counters if each.labels.get("__name__") == names.requests]
    buckets = [each for each in counters if each.labels.get("__name__") == f"{names.duration}_bucket"]
    if not requests and not buckets:
        known = ", ".join(sorted({each.labels.get("__name__", "without a name") for each in counters})) or "none"
        raise ConfigError([f"{path}: no series of {names.requests} or {names.duration}_bucket in it, but: {known}"])
    times = sorted({t for each in (*requests, *buckets) for t in each.values})
    begin, found = times[0], list[Measurement]()
    for stage in stages:
        end = begin + stage.window.total_seconds()
        window = [t for t in times if begin <= t <= end + _SAME]
        if len(window) < 2:
            raise ConfigError(
                [f"{path}: it ends before the window of {stage.weight} % is over: nothing is left for {stage.place}"],
                hint="export the whole deploy, or judge one weight with --weight",
            )
        for index in range(1, len(window)):
            seen = window[: index + 1]
            found += _readings(stage, seen, requests, buckets, names, str(path))
        begin = end
    return Series(name=str(path), measurements=tuple(found))


def _readings(
    stage: Stage,
    times: Sequence[float],
    requests: Sequence[_Counter],
    buckets: Sequence[_Counter],
    names: RangeNames,
    place: str,
) -> Iterator[Measurement]:
    for gate in stage.gates:
        objective = gate.objective
        if objective.relative or not objective.counted:
            continue
        since, at = (datetime.fromtimestamp(t, UTC) for t in (times[0], times[-1]))
        counted = _latency(objective, buckets, times) if objective.quantile else _errors(requests, times, names.status)
        of = buckets if objective.quantile else requests
        last = max((t for each in of for t in each.values if t <= times[-1]), default=None)
        yield Measurement(
            gate=objective.name,
            weight=stage.weight,
            scenario=gate.scenario,
            role=Role.CANARY,
            offset=at - since,
            reading=Reading(
                since=since,
                at=at,
                newest=None if last is None or last <= times[0] else datetime.fromtimestamp(last, UTC),
                queries=(f"exported: {names.duration if objective.quantile else names.requests}",),
                **counted,
            ),
            place=place,
            recorded=True,
        )


def _errors(requests: Sequence[_Counter], times: Sequence[float], status: str) -> dict[str, Any]:
    if not requests:
        return {"total": None, "bad": None, "value": None}
    total = math.fsum(each.increase(times) for each in requests)
    bad = math.fsum(each.increase(times) for each in requests if each.labels.get(status, "").startswith("5"))
    return {"total": total, "bad": bad, "value": bad / total if total else None}


def _latency(objective: Objective, buckets: Sequence[_Counter], times: Sequence[float]) -> dict[str, Any]:
    by_bound: dict[float, float] = {}
    for each in buckets:
        bound = le_bound(each.labels)
        if bound is not None:
            by_bound[bound] = by_bound.get(bound, 0.0) + each.increase(times)
    total = by_bound.get(math.inf)
    if total is None:
        return {"total": None, "bad": None, "value": None}
    value = _quantile(objective.quantile or 0.0, sorted(by_bound.items()))
    below, above = bounds_around(by_bound, objective.limit)
    if below == above:
        return {"total": total, "bad": max(0.0, total - by_bound[below]), "value": value}
    sides = tuple(Bucket(bound_s=b, slower=max(0.0, total - by_bound.get(b, 0.0))) for b in (below, above))
    return {"total": total, "bad": None, "value": value, "neighbours": sides}


def _quantile(quantile: float, buckets: Sequence[tuple[float, float]]) -> float | None:
    """Return what ``histogram_quantile`` would: evenly spread in a bucket, the last bound for the endless one.

    https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile
    """
    total = buckets[-1][1]
    if not total:
        return None
    low, below = 0.0, 0.0
    for bound, within in buckets:
        if within >= quantile * total:
            if math.isinf(bound):
                return low
            return low + (bound - low) * ((quantile * total - below) / (within - below))
        low, below = bound, within
    return low


def _counters(path: Path) -> list[_Counter]:
    try:
        body = json.loads(path.read_text("utf-8-sig"))
        data = body.get("data", body)
        if data["resultType"] != "matrix":
            raise ConfigError([f"{path}: a {data['resultType']}, and not a matrix: export it with /api/v1/query_range"])
        return [
            _Counter(labels=each["metric"], values={float(t): _count(v) for t, v in each["values"]})
            for each in data["result"]
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError([f"{path}: no answer of /api/v1/query_range: {type(error).__name__}: {error}"]) from error


def _count(text: str) -> float:
    number = float(text)
    if not math.isfinite(number) or number < 0:
        raise ValueError(f"{text} is no count: export the counters themselves, and not a rate or a ratio")
    return number
