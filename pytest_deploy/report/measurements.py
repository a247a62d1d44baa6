"""The measurements of a deploy, in an open file: what gates were judged on, to be looked at and judged again.

``docs/reference/measurements.md`` describes it for those who write one by hand.
"""

from __future__ import annotations

import math

from pytest_deploy.domain.action import Json
from pytest_deploy.domain.event import DeployStarted, Measured
from pytest_deploy.domain.measurement import Bucket
from pytest_deploy.report.encode import to_json

__all__ = ["NAME", "header", "row"]

NAME = "measurements.jsonl"
VERSION = 1


def header(started: DeployStarted) -> dict[str, Json]:
    """Return the file's first line: its version and the deploy that it is of."""
    return {
        "version": VERSION,
        "deploy": started.deploy_id,
        "mode": started.mode.value,
        "service": started.service,
        "feature": started.feature_path,
        "window_divisor": started.window_divisor,
    }


def row(measured: Measured) -> dict[str, Json]:
    """Return the line of one reading; its keys, units and nulls are stable."""
    reading = measured.reading
    neighbours = reading.neighbours
    return {
        "scenario": measured.scenario,
        "place": measured.place,
        "weight": measured.weight,
        "gate": measured.gate,
        "role": measured.role.value,
        "t_s": measured.offset.total_seconds(),
        "at": to_json(reading.at),
        "since": to_json(reading.since),
        "newest": to_json(reading.newest),
        "total": to_json(reading.total),
        "bad": to_json(reading.bad),
        "value": to_json(reading.value),
        "neighbours": None if neighbours is None else [[_bound(each), to_json(each.slower)] for each in neighbours],
        "problem": reading.problem,
        "queries": to_json(reading.queries),
    }


def _bound(bucket: Bucket) -> Json:
    """Return where a bucket ends; the last one's end is written as Prometheus writes it, JSON has no infinity."""
    return bucket.bound_s if math.isfinite(bucket.bound_s) else "+Inf"
