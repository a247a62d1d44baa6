"""Series exported from Prometheus: cumulative counters, cut into the feature's windows."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pytest_deploy.domain.measurement import Bucket, Kind, Objective
from pytest_deploy.domain.plan import Gate, Stage
from pytest_deploy.errors import ConfigError
from pytest_deploy.gate.range_file import RangeNames, is_range, load

NAMES = RangeNames(requests="http_requests_total", status="status", duration="http_request_duration_seconds")
ERRORS = Objective(kind=Kind.ERROR_RATE, limit=0.005)
P95 = Objective(kind=Kind.LATENCY, limit=0.3, quantile=0.95)
T = 1_800_000_000


def stage(weight: int, *objectives: Objective) -> Stage:
    """Return a weight that is watched for a minute."""
    gates = tuple(
        Gate(objective=each, window=timedelta(minutes=1), scenario=f"at {weight}", place=f"x.feature:{weight}")
        for each in objectives or (ERRORS,)
    )
    return Stage(weight=weight, gates=gates, scenario=f"at {weight}", place=f"x.feature:{weight}")


def counter(values: list[tuple[int, float]], **labels: str) -> dict[str, Any]:
    """Return one series, its times counted from T."""
    name = labels.pop("name", "http_requests_total")
    return {"metric": {"__name__": name, **labels}, "values": [[T + t, str(v)] for t, v in values]}


def exported(folder: Path, *result: dict[str, Any], kind: str = "matrix") -> Path:
    """Write what the server answered."""
    path = folder / "range.json"
    path.write_text(json.dumps({"status": "success", "data": {"resultType": kind, "result": list(result)}}))
    return path


def grows(per_s: float, seconds: int, *, base: float = 1000) -> list[tuple[int, float]]:
    """Return a counter that is read each 15 s."""
    return [(t, base + per_s * t) for t in range(0, seconds + 1, 15)]


def test_each_window_counts_from_its_own_begin(tmp_path: Path) -> None:
    """The windows follow one another; totals before them do not count."""
    path = exported(tmp_path, counter(grows(10, 120), status="200"), counter(grows(1, 120), status="503"))
    assert is_range(path)
    series = load(path, [stage(5), stage(25)], NAMES)
    last = {each.weight: each for each in series.measurements}
    for weight in (5, 25):
        reading = last[weight].reading
        assert (reading.total, reading.bad) == (pytest.approx(660), pytest.approx(60))
        assert reading.value == pytest.approx(1 / 11)
        assert last[weight].offset == timedelta(minutes=1)
    assert [each.offset.total_seconds() for each in series.measurements] == [15, 30, 45, 60] * 2


def test_the_first_error_of_a_series_counts(tmp_path: Path) -> None:
    """A series that is born in the window began at zero; one that falls began anew."""
    path = exported(
        tmp_path,
        counter([(0, 900), (15, 950), (30, 10), (45, 60), (60, 110)], status="200"),
        counter([(30, 3), (45, 3), (60, 4)], status="500"),
    )
    reading = load(path, [stage(5)], NAMES).measurements[-1].reading
    assert (reading.total, reading.bad) == (50 + 10 + 50 + 50 + 4, 4)


def test_a_latency_is_counted_from_its_bucket(tmp_path: Path) -> None:
    """Exactly where one ends at the limit, by both neighbours where none does; the quantile as Prometheus has it."""
    name = "http_request_duration_seconds_bucket"
    buckets = [
        counter(grows(per_s, 60), name=name, le=le) for le, per_s in (("0.1", 8), ("0.3", 9), ("1", 10), ("+Inf", 10))
    ]
    path = exported(tmp_path, *buckets)
    exact, between = (
        load(path, [stage(5, objective)], NAMES).measurements[-1].reading
        for objective in (P95, Objective(kind=Kind.LATENCY, limit=0.5, quantile=0.95))
    )
    assert (exact.total, exact.bad) == (600, 60)
    assert exact.value == pytest.approx(0.65)
    assert between.bad is None
    assert between.neighbours == (Bucket(bound_s=0.3, slower=60), Bucket(bound_s=1.0, slower=0))


def test_samples_that_stop_are_as_old_as_they_are(tmp_path: Path) -> None:
    """The newest sample stays where it was: a judge sees that nothing came since."""
    path = exported(
        tmp_path, counter(grows(10, 60), name="http_request_duration_seconds_bucket", le="+Inf"), counter(grows(9, 30))
    )
    reading = load(path, [stage(5)], NAMES).measurements[-1].reading
    assert reading.age == timedelta(seconds=30)


def test_no_series_is_no_data(tmp_path: Path) -> None:
    """A latency alone gives no error rate, and the other way round."""
    path = exported(tmp_path, counter(grows(10, 60), status="200"))
    reading = load(path, [stage(5, P95)], NAMES).measurements[-1].reading
    assert (reading.total, reading.value, reading.newest) == (None, None, None)


@pytest.mark.parametrize(
    ("result", "kind", "says"),
    [
        ([], "vector", "a vector, and not a matrix"),
        ([counter([(0, 1), (15, 2)], name="up")], "matrix", "no series of http_requests_total .* but: up"),
        ([counter([(0, 1), (15, -2)])], "matrix", "-2 is no count"),
        ([counter([(0, 1)])], "matrix", "ends before the window of 5 %"),
    ],
)
def test_what_is_no_export_of_counters(tmp_path: Path, result: list[Any], kind: str, says: str) -> None:
    """Each mistake with what to export instead."""
    with pytest.raises(ConfigError, match=says):
        load(exported(tmp_path, *result, kind=kind), [stage(5)], NAMES)


def test_other_files_are_none(tmp_path: Path) -> None:
    """Measurements of a deploy, a table, and what is not there."""
    other = tmp_path / "measurements.jsonl"
    other.write_text('{"version": 1}\n')
    assert not is_range(other)
    assert not is_range(tmp_path / "absent.json")
    broken = tmp_path / "broken.json"
    broken.write_text('{"data": {"resultType": "matrix", "result": [')
    with pytest.raises(ConfigError, match="no answer of /api/v1/query_range"):
        load(broken, [stage(5)], NAMES)
