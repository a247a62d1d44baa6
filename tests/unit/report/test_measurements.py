"""The file of measurements: a line a reading, there after each look, with the keys that the reference documents."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pytest_deploy.domain.event import DeployStarted, Event, Looked, Measured
from pytest_deploy.domain.measurement import Bucket, Reading, Role
from pytest_deploy.gate.series_file import load
from pytest_deploy.report import Redactor, Reporting, measurements
from tests.unit.report.conftest import ID, START

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "measurements.md"
READING = Reading(
    since=START, at=START + timedelta(seconds=30), newest=None, total=None, bad=None, value=None, queries=()
)


def _measured(reading: Reading) -> Measured:
    return Measured(
        gate="p95 latency",
        scenario="Canary",
        place="x.feature:3",
        weight=None,
        role=Role.SERVICE,
        offset=timedelta(seconds=30),
        reading=reading,
    )


def _lines(root: Path, events: list[Event]) -> list[dict[str, Any]]:
    reporting = Reporting(root, ID, None, Redactor(()))
    for event in events:
        reporting(event)
    assert reporting.problems == []
    path = root / ID / "measurements.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_each_reading_is_a_line(tmp_path: Path, rolled_back: list[Event]) -> None:
    """The header tells of the deploy; then what each look read, the stable version beside the canary."""
    head, *rows = _lines(tmp_path, rolled_back)
    assert (head["version"], head["deploy"], head["service"]) == (1, ID, "checkout-api")
    assert len(rows) == 2 * 2 * 20
    assert [row["role"] for row in rows[:4]] == ["canary", "stable", "canary", "stable"]
    first = rows[0]
    assert (first["weight"], first["gate"], first["t_s"], first["total"]) == (5, "error rate", 15.0, 240.0)
    assert (first["place"], first["scenario"]) == ("features/prod_canary.feature:22", "Canary at 5%")
    assert first["at"].endswith("Z")
    assert first["queries"]


def test_a_killed_run_leaves_what_it_read(tmp_path: Path, rolled_back: list[Event]) -> None:
    """After each look its lines are on disk, whatever comes next."""
    looks = [i for i, event in enumerate(rolled_back) if isinstance(event, Looked)]
    assert len(_lines(tmp_path, rolled_back[: looks[2] + 1])) == 1 + 2 * 3


def test_nothing_read_nothing_written(tmp_path: Path, rolled_back: list[Event]) -> None:
    """A deploy whose gates read nothing leaves no file that looks like evidence."""
    events = [replace(each, measured=()) if isinstance(each, Looked) else each for each in rolled_back]
    assert _lines(tmp_path, events) == []


def test_what_is_not_known_is_null() -> None:
    """No series, no sample, no value, no weight: null, and never 0; what is not finite is not known either."""
    row = measurements.row(_measured(READING))
    assert [row[key] for key in ("weight", "newest", "total", "bad", "value", "neighbours")] == [None] * 6
    assert measurements.row(_measured(replace(READING, value=math.nan)))["value"] is None


def test_the_buckets_beside_the_limit_are_kept() -> None:
    """Bound and count of slower requests, below and above; a bucket without an end has Prometheus' word for it."""
    beside = (Bucket(bound_s=0.25, slower=9), Bucket(bound_s=math.inf, slower=0))
    row = measurements.row(_measured(replace(READING, neighbours=beside)))
    assert row["neighbours"] == [[0.25, 9], ["+Inf", 0]]


def test_the_reference_documents_each_key(rolled_back: list[Event]) -> None:
    """The tables of docs/reference/measurements.md have exactly the keys that are written, in their order."""
    first = rolled_back[0]
    assert isinstance(first, DeployStarted)
    documented = re.findall(r"^\| `(\w+)` \|", REFERENCE.read_text(), re.MULTILINE)
    assert documented == [*measurements.header(first), *measurements.row(_measured(READING))]


@pytest.mark.parametrize("suffix", ["json", "csv"])
def test_the_examples_of_the_reference_can_be_replayed(tmp_path: Path, suffix: str) -> None:
    """What people copy from the page is read as what the page says of it."""
    (example,) = re.findall(rf"```{suffix}\n(.*?)```", REFERENCE.read_text(), re.DOTALL)
    path = tmp_path / f"by-hand.{suffix}"
    path.write_text(example)
    read = load(path).measurements
    assert [(each.weight, each.gate, each.role) for each in read][::2][:1] == [(5, "error rate", Role.CANARY)]
    last = read[-1].reading
    assert (last.total, last.bad, last.value) == ((None, None, None) if suffix == "csv" else (1500, 20, 0.21))


def test_a_recorded_file_can_be_replayed(tmp_path: Path, rolled_back: list[Event]) -> None:
    """The reader of ``gate check --series`` reads back exactly what was measured."""
    assert len(_lines(tmp_path, rolled_back)) == 81
    written = [each for look in rolled_back if isinstance(look, Looked) for each in look.measured]
    read = load(tmp_path / ID / "measurements.jsonl").measurements
    assert [each.reading for each in read] == [each.reading for each in written]
    assert [(each.gate, each.weight, each.scenario, each.role, each.offset) for each in read] == [
        (each.gate, each.weight, each.scenario, each.role, each.offset) for each in written
    ]
