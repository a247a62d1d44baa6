"""The reports folder: what is written when, secrets, and trouble with the disk."""

from __future__ import annotations

import errno
import html
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from pytest_deploy.domain.event import Decided, DeployEnded, Event, Held, RollbackEnded, StepEnded, Stopped, Warned
from pytest_deploy.report import Console, Redactor, Reporting

ID = "20261124T101500Z-checkout-api-3f2a"


def _told(root: Path, events: list[Event], *, secrets: tuple[str, ...] = (), **more: Any) -> tuple[Reporting, str]:
    out: list[str] = []
    reporting = Reporting(root, ID, Console(out.append, tty=False), Redactor(secrets), **more)
    for event in events:
        reporting(event)
    return reporting, "".join(out)


def _logged(root: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (root / ID / "journal.jsonl").read_text().splitlines()]


def test_all_is_written(tmp_path: Path, good: list[Event]) -> None:
    """Note, JSON, page, log and Allure results are there, and ``latest`` points at them."""
    reporting, _ = _told(tmp_path, good)
    assert reporting.problems == []
    names = {path.name for path in (tmp_path / "latest").iterdir()}
    assert names == {
        "deploy-note.md",
        "deploy.json",
        "report.html",
        "journal.jsonl",
        "measurements.jsonl",
        "plots",
        "allure-results",
    }
    assert (tmp_path / "latest").readlink() == Path(ID)
    assert json.loads((tmp_path / ID / "deploy.json").read_text())["outcome"]["name"] == "COMMITTED"


def test_the_last_line_is_the_outcome_and_the_note(tmp_path: Path, rolled_back: list[Event]) -> None:
    """It is ``deploy <id>: <words> - note: <path>``."""
    reporting, shown = _told(tmp_path, rolled_back)
    assert reporting.note.is_file()
    expected = f"deploy {ID}: ROLLED BACK, verified (1 steps OFF: incidents) - note: {reporting.note}"
    assert shown.splitlines()[-1] == reporting.last_line == expected


def test_the_last_line_says_what_was_no_real_deploy(tmp_path: Path, good: list[Event]) -> None:
    """COMMITTED alone would be a lie there."""
    reporting, _ = _told(tmp_path, good)
    assert reporting.last_line.startswith(f"deploy {ID}: COMMITTED (1 steps OFF: incidents) (REHEARSAL) - note: ")


@pytest.mark.parametrize("last", [Stopped, RollbackEnded])
def test_a_kill_leaves_evidence(tmp_path: Path, rolled_back: list[Event], last: type) -> None:
    """Once the deploy has stopped, and again after its rollback, the note stands on disk."""
    until = next(i for i, event in enumerate(rolled_back) if isinstance(event, last))
    _told(tmp_path, rolled_back[: until + 1])
    note = (tmp_path / ID / "deploy-note.md").read_text()
    assert "not ended when this was written" in note
    assert "3.12 %" in note
    assert ("Time to restore" in note) is (last is RollbackEnded)


def test_a_hold_is_noted_while_it_lasts(tmp_path: Path, promoted: list[Event]) -> None:
    """Who is asked to decide finds note, page and pictures on disk, and the decision after it was made."""
    until = next(i for i, event in enumerate(promoted) if isinstance(event, Held))
    _told(tmp_path, promoted[: until + 1])
    assert "**HELD until " in (tmp_path / ID / "deploy-note.md").read_text()
    assert (tmp_path / ID / "plots" / "25-error-rate.svg").exists()
    decided = next(i for i, event in enumerate(promoted) if isinstance(event, Decided))
    _told(tmp_path / "again", promoted[: decided + 1])
    assert "**PROMOTED BY DECISION of @kim" in (tmp_path / "again" / ID / "deploy-note.md").read_text()


def test_one_sentence_everywhere(tmp_path: Path, rolled_back: list[Event]) -> None:
    """Console, note, JSON, log, page, Allure and picture say the same words of the same verdict."""
    _, shown = _told(tmp_path, rolled_back)
    folder = tmp_path / ID
    sentence = json.loads((folder / "deploy.json").read_text())["gates"][-1]["sentence"]
    assert sentence.startswith("error rate at 25 %: FAIL, 3.12 % > 0.50 %; 150 bad of 4812 in 300 s of 300 s; above")
    results = [json.loads(path.read_text()) for path in (folder / "allure-results").glob("*-result.json")]
    assert any(str(each.get("statusDetails", {}).get("message")).startswith(sentence) for each in results)
    picture = ET.parse(folder / "plots" / "25-error-rate.svg").getroot()
    assert [each.text for each in picture.iter("{http://www.w3.org/2000/svg}desc")] == [sentence]
    for text in (shown, (folder / "deploy-note.md").read_text(), (folder / "report.html").read_text()):
        assert sentence in html.unescape(text)


def test_latest_points_at_the_newest(tmp_path: Path) -> None:
    """It moves in one step, and nothing else is left behind."""
    for name in ("one", "two"):
        Reporting(tmp_path, name, None, Redactor(()))
    assert (tmp_path / "latest").readlink() == Path("two")
    assert {path.name for path in tmp_path.iterdir()} == {"one", "two", "latest"}


def test_events_stand_typed_beside_the_journal(tmp_path: Path, rolled_back: list[Event]) -> None:
    """The journal's entries in the same file are kept; each event is a line with type, kind and time."""
    (tmp_path / ID).mkdir()
    (tmp_path / ID / "journal.jsonl").write_text('{"type": "journal", "seq": 1}\n')
    _told(tmp_path, rolled_back)
    first, *events = _logged(tmp_path)
    assert first == {"type": "journal", "seq": 1}
    assert {each["type"] for each in events} == {"event"}
    assert [each["kind"] for each in events if each["kind"].startswith("Deploy")] == ["DeployStarted", "DeployEnded"]
    judged = [each for each in events if each["kind"] == "Judged"]
    assert judged[-1]["verdict"]["ruling"]["kind"] == "FAIL"
    assert all(each["at"].endswith("Z") for each in events)
    # Readings stand in the file of measurements, and not a second time here.
    assert judged[-1]["verdict"]["history"] == []
    assert all(each["measured"] == [] for each in events if each["kind"] == "Looked")


def test_waits_are_logged_when_something_changes(tmp_path: Path, rolled_back: list[Event]) -> None:
    """Four equal looks of one wait are one line."""
    _told(tmp_path, rolled_back)
    waits = [each for each in _logged(tmp_path) if each["kind"] == "Waited"]
    assert [each["what"] for each in waits] == ["5 % of the traffic", "25 % of the traffic"]


def test_no_secret_comes_out(tmp_path: Path, rolled_back: list[Event]) -> None:
    """A planted secret is in no file and no line, also where it would have been escaped or cut."""
    planted = 'tok|en"<&>\\8c1f'
    step = next(i for i, event in enumerate(rolled_back) if isinstance(event, StepEnded))
    known = rolled_back[step]
    assert isinstance(known, StepEnded)
    events: list[Event] = [
        *rolled_back[:step],
        replace(known, detail=f"found {planted}"),
        Warned(at=known.at, text=f"{'x' * 90} {planted}"),
        *rolled_back[step + 1 :],
    ]
    reporting, shown = _told(tmp_path, events, secrets=(planted,))
    files = [path for path in (tmp_path / ID).rglob("*") if path.is_file()]
    everything = shown + "".join(path.read_text() for path in files)
    assert reporting.problems == []
    assert everything.count("[secret]") >= 6
    assert "8c1f" not in everything
    assert "tok" not in everything.replace("token", "")


def test_a_folder_that_cant_be_made_is_a_problem_and_no_error(tmp_path: Path, rolled_back: list[Event]) -> None:
    """The deploy goes on, the console says what is missing, and the last line says that there is no note."""
    in_the_way = tmp_path / "reports"
    in_the_way.write_text("a file")
    reporting, shown = _told(in_the_way, rolled_back)
    assert any(f"{in_the_way / ID} can't be made: " in problem for problem in reporting.problems)
    assert shown.splitlines()[-1].endswith("- note: NOT WRITTEN")
    assert "report problem: " in shown
    assert len(reporting.problems) == len(set(reporting.problems))


def test_a_full_disk_tears_no_journal_line(
    tmp_path: Path, rolled_back: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that could only be written in part is taken back, so that the journal's next entry stays whole."""
    reporting, _ = _told(tmp_path, rolled_back[:3])
    write = os.write

    def full(file: int, line: bytes) -> int:
        return write(file, line[: len(line) // 2])

    monkeypatch.setattr(os, "write", full)
    reporting(rolled_back[3])
    monkeypatch.undo()
    assert len(_logged(tmp_path)) == 3
    assert [problem for problem in reporting.problems if "only a part" in problem]


def test_a_full_disk_at_the_end_is_said(
    tmp_path: Path, rolled_back: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A note that can't be written leaves the earlier one whole."""
    out: list[str] = []
    reporting = Reporting(tmp_path, ID, Console(out.append, tty=False), Redactor(()))
    for event in rolled_back[:-1]:
        reporting(event)
    before = (tmp_path / ID / "deploy-note.md").read_text()

    def full(*_: Any, **__: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    reporting(rolled_back[-1])
    monkeypatch.undo()
    assert (tmp_path / ID / "deploy-note.md").read_text() == before
    assert any(
        problem.endswith("deploy-note.md can't be written: No space left on device") for problem in reporting.problems
    )
    assert out[-1].endswith("- note: NOT WRITTEN\n")


def test_a_broken_reporter_stops_nothing(tmp_path: Path, good: list[Event]) -> None:
    """A console that breaks is a problem that is said, and the files are written all the same."""

    def broken(text: str) -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    reporting = Reporting(tmp_path, ID, Console(broken, tty=False), Redactor(()))
    for event in good:
        reporting(event)
    assert reporting.problems == ["the console broke: Broken pipe"]
    assert isinstance(good[-1], DeployEnded)
    assert (tmp_path / ID / "report.html").exists()
