"""Measurements from a file: what is refused, and how a window of them is played back."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pytest_deploy.adapters.series import UNANSWERED, Measurement, Tape
from pytest_deploy.domain.measurement import Bucket, Kind, Objective, Reading, Role, Subject
from pytest_deploy.errors import ConfigError, Unreachable
from pytest_deploy.gate.series_file import load

ERRORS = Objective(kind=Kind.ERROR_RATE, limit=0.005)
CANARY = Subject(service="s", template_hash="h", role=Role.CANARY)
SINCE = datetime(2026, 11, 24, 10, tzinfo=UTC)
SCRAPE = timedelta(seconds=15)


def at(second: float, problem: str = "", role: Role = Role.CANARY) -> Measurement:
    """Return a line of the error rate, 10 requests each second and none bad."""
    offset = timedelta(seconds=second)
    reading = Reading(
        since=SINCE,
        at=SINCE + offset,
        newest=SINCE + offset,
        total=10 * second,
        bad=0.0,
        value=0.0,
        queries=(),
        problem=problem,
    )
    return Measurement(
        gate="error rate", weight=5, scenario="", role=role, offset=offset, reading=reading, place=f"f:{second}"
    )


def tape(*lines: Measurement, window_s: float = 60) -> Tape:
    """Return a tape at its window's begin."""
    made = Tape(lines, SCRAPE, timedelta(seconds=window_s), name="f")
    made.sleep(SCRAPE)
    return made


def problems(path: Path, text: str) -> tuple[str, ...]:
    """Return what is refused of a file."""
    path.write_text(text, "utf-8")
    with pytest.raises(ConfigError) as raised:
        load(path)
    return raised.value.problems


def test_a_hand_written_table_needs_six_columns(tmp_path: Path) -> None:
    """Role, times and the value of an error rate follow from weight, gate, t_s, total and bad."""
    path = tmp_path / "s.csv"
    path.write_text("weight, gate, t_s, total, bad\n5%, error rate, 60, 1000, 5\n,error rate,60,10,0\n", "utf-8")
    first, after = load(path).measurements
    assert (first.weight, first.role, first.offset) == (5, Role.CANARY, timedelta(seconds=60))
    assert first.reading.value == 0.005
    assert first.reading.newest == first.reading.at == first.reading.since + timedelta(seconds=60)
    assert after.weight is None
    assert first.place == f"{path}:2"


def test_a_recorded_line_keeps_every_number(tmp_path: Path) -> None:
    """Times, neighbours, problem and queries are as recorded; null is not known."""
    row = {
        "scenario": "Canary at 5%", "place": "x.feature:9", "weight": 5, "gate": "p95 latency", "role": "stable",
        "t_s": 60.5, "at": "2026-11-24T10:01:00.500Z", "since": "2026-11-24T10:00:00Z", "newest": None,
        "total": 1000.25, "bad": None, "value": None, "neighbours": [[0.25, 80], [0.5, 20]], "problem": "partial",
        "queries": ["up"],
    }  # fmt: skip
    path = tmp_path / "m.jsonl"
    path.write_text(f'{{"version": 1, "window_divisor": 4}}\n{json.dumps(row)}\n', "utf-8")
    series = load(path)
    (line,) = series.measurements
    assert series.divisor == 4
    assert line.role is Role.STABLE
    assert line.reading == Reading(
        since=SINCE,
        at=SINCE + timedelta(seconds=60.5),
        newest=None,
        total=1000.25,
        bad=None,
        value=None,
        queries=("up",),
        problem="partial",
        neighbours=(Bucket(bound_s=0.25, slower=80), Bucket(bound_s=0.5, slower=20)),
    )


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("5,error rate,60,-1,0", "total: -1 is negative"),
        ("5,error rate,60,10,11", "bad: 11 of 10 requests"),
        ("5,error rate,60,,1", "bad: 1 of no total"),
        ("5,error rate,60,nan,0", "total: 'nan' is no number"),
        ("5,error rate,60,inf,0", "total: 'inf' is no number"),
        ("5,error rate,soon,10,0", "t_s: 'soon' is no number"),
        ("5,error rate,,10,0", "t_s: missing"),
        ("5,error rate,-60,10,0", "t_s: -60 is negative"),
        ("101,error rate,60,10,0", "weight: '101' is no percent"),
        ("five,error rate,60,10,0", "weight: 'five' is no percent"),
        ("5,,60,10,0", "gate: '' is no gate's name"),
        ("5,error rate,60,10", "4 cells, and the header has 5"),
    ],
)
def test_an_impossible_line_is_refused_with_its_place(tmp_path: Path, row: str, says: str) -> None:
    """Negative, impossible, infinite and missing numbers are never read as something else."""
    (found,) = problems(tmp_path / "s.csv", f"weight,gate,t_s,total,bad\n5,error rate,30,10,0\n{row}\n")
    assert found.startswith(f"{tmp_path / 's.csv'}:3: ")
    assert says in found


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    """Two bad lines are two problems."""
    found = problems(tmp_path / "s.csv", "weight,gate,t_s,total,bad\n5,error rate,60,1,2\n5,error rate,90,-1,0\n")
    assert [each.split(": ")[0].rpartition(":")[2] for each in found] == ["2", "3"]


@pytest.mark.parametrize("again", ["30", "60"])
def test_times_only_grow_within_a_window(tmp_path: Path, again: str) -> None:
    """A time that goes back, or stands twice, is refused with both places; another gate's has its own."""
    text = f"weight,gate,t_s,total,bad\n5,error rate,60,10,0\n5,p95 latency,30,10,0\n5,error rate,{again},20,0\n"
    (found,) = problems(tmp_path / "s.csv", text)
    assert f"s.csv:4: t_s: {again} is not after 60 of" in found


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "begins with the names of its columns"),
        ("weight,gate,t_s,total,bad\n", "no measurement in it"),
        ("weight,gate,total,bad\n5,error rate,1,0\n", "begins with the names of its columns"),
        ("weight,gate,t_s,total,bad,colour\n", "begins with the names of its columns"),
        ('{"weight": 5, "gate": "error rate", "t_s": 1, "total": 1}\n', "first line must be a header"),
        ('{"version": 2}\n', "this one has 2"),
        ('{"version": 1}\nweight\n', "m:2: no JSON object"),
        ('{"version": 1}\n{"gate": "error rate", "t_s": 1, "total": NaN}\n', "total: nan is no number"),
        ('{"version": 1}\n{"gate": "error rate", "t_s": 1, "total": true}\n', "total: True is no number"),
        ('{"version": 1}\n{"gate": "error rate", "t_s": 1, "role": "boss"}\n', "role: 'boss' is none of canary"),
        ('{"version": 1}\n{"gate": "error rate", "t_s": 1, "at": "10:00"}\n', "at: '10:00' is no time with its zone"),
        ('{"version": 1}\n{"gate": "p95 latency", "t_s": 1, "neighbours": [1]}\n', "neighbours: [1] is not"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str, says: str) -> None:
    """An empty file, an unknown column and another version are refused, never read as far as possible."""
    assert says in "\n".join(problems(tmp_path / "m", text))


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    """What is no text is told as such."""
    path = tmp_path / "m"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(path)


def test_a_tape_is_heard_at_the_times_of_the_file() -> None:
    """Each sleep ends at the next look, so that a watch reads what the deploy read, when it read it."""
    played = tape(at(15.2), at(30.1), at(60.4))
    seen = []
    for _ in range(3):
        played.sleep(min(SCRAPE, timedelta(seconds=max(0.0, 60 - played.monotonic()))))
        seen.append((round(played.monotonic(), 1), played.read(ERRORS, CANARY, SINCE).total))
    assert seen == [(15.2, 152), (30.1, 301), (60.4, 604)]


def test_the_answers_of_one_look_belong_together() -> None:
    """A server that is slow answers a look's gates one after the other; they are judged at its end, as they were."""
    latency = Objective(kind=Kind.LATENCY, limit=0.3, quantile=0.95)
    lines = []
    for second in (15, 40, 65):
        lines += [
            replace(at(second), recorded=True),
            replace(at(second + 9), recorded=True, gate="p95 latency"),
        ]
    played = tape(*lines)
    seen = []
    while played.monotonic() < 60:
        played.sleep(SCRAPE)
        totals = [played.read(objective, CANARY, SINCE).total for objective in (ERRORS, latency)]
        seen.append((played.monotonic(), totals))
    assert seen == [(24, [150, 240]), (49, [400, 490]), (74, [650, 740])]


def test_an_answer_is_older_than_its_arrival() -> None:
    """The window's last look may have been asked a moment before its end."""
    played = tape(at(15), at(30), at(45), at(58))
    for _ in range(4):
        played.sleep(SCRAPE)
    assert (played.monotonic(), played.read(ERRORS, CANARY, SINCE).total) == (60, 580)


def test_a_tape_never_sleeps_past_the_windows_end() -> None:
    """A look of the time after the window's end does not stand in for the one at its end."""
    played = tape(at(15), at(105))
    played.sleep(SCRAPE)
    played.read(ERRORS, CANARY, SINCE)
    played.sleep(SCRAPE)
    assert played.monotonic() == 60
    with pytest.raises(Unreachable, match="no reading of the error rate from 15 s to 60 s"):
        played.read(ERRORS, CANARY, SINCE)


def test_a_look_that_comes_early_counts_at_the_end() -> None:
    """Half a scrape is the most by which a look may be early; its reading is not lost, and not read twice."""
    played = tape(at(45), at(59))
    played.sleep(SCRAPE)
    played.read(ERRORS, CANARY, SINCE)
    played.sleep(SCRAPE)
    assert (played.monotonic(), played.read(ERRORS, CANARY, SINCE).total) == (60, 590)


def test_a_gate_without_a_line_has_no_data() -> None:
    """It is no outage either: there is no series of it."""
    played = tape(at(15))
    reading = played.read(Objective(kind=Kind.LATENCY, limit=0.3, quantile=0.95), CANARY, SINCE)
    assert (reading.total, reading.value, reading.newest) == (None, None, None)


def test_an_attempt_that_was_not_answered_is_not_answered_again() -> None:
    """What was recorded as unreadable is unreadable, in the same words."""
    played = tape(at(15, problem=f"{UNANSWERED}connection refused"))
    played.sleep(SCRAPE)
    with pytest.raises(Unreachable, match=r"^connection refused$"):
        played.read(ERRORS, CANARY, SINCE)


def test_roles_do_not_mix() -> None:
    """The stable version's numbers are not the canary's."""
    played = tape(at(15, role=Role.STABLE))
    played.sleep(SCRAPE)
    assert played.read(ERRORS, CANARY, SINCE).total is None
    assert not played.tells_versions_apart
    assert played.read(ERRORS, Subject(service="s", role=Role.STABLE), SINCE).total == 150
