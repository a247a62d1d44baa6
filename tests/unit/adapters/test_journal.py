"""The local journal: what a crash, a full disk or another writer does to it."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from pytest_deploy.adapters.journal import JsonlJournal
from pytest_deploy.domain.journal import Entry, EntryState, Milestone
from pytest_deploy.domain.policy import Answer, Decision
from pytest_deploy.errors import DeployCancelled, DeployError


def entry(seq: int) -> Entry:
    """Make one."""
    return Entry(seq=seq, at=datetime(2026, 11, 24, tzinfo=UTC), deploy_id="d", state=EntryState.MILESTONE)


def test_each_entry_is_on_the_disk_when_append_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each append ends with an fsync of the file, the first one also of the folder."""
    synced: list[str] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(str(Path(f"/proc/self/fd/{fd}").readlink())), real(fd)))
    path = tmp_path / "journal.jsonl"
    journal = JsonlJournal(path)
    journal.append(entry(1))
    journal.append(entry(2))
    assert synced == [str(tmp_path), str(path), str(path)]
    lines = path.read_text().splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [1, 2]
    assert all(line.startswith('{"type":"journal","seq":') for line in lines)
    assert path.stat().st_mode & 0o077 == 0


def test_a_torn_last_line_is_skipped_and_said(tmp_path: Path) -> None:
    """What a crash left half written was never acknowledged: it is no entry, and its line is named."""
    path = tmp_path / "journal.jsonl"
    JsonlJournal(path).append(entry(1))
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:20])
    journal = JsonlJournal(path)
    assert journal.entries() == (entry(1),)
    assert journal.torn == (2,)


def test_the_next_entry_stands_on_its_own_line(tmp_path: Path) -> None:
    """After a torn line the journal goes on; nothing is glued to it."""
    path = tmp_path / "journal.jsonl"
    JsonlJournal(path).append(entry(1))
    path.write_bytes(path.read_bytes() + b'{"type":"jour')
    journal = JsonlJournal(path)
    journal.append(entry(2))
    assert journal.entries() == (entry(1), entry(2))
    assert journal.torn == (2,)


def test_lines_of_others_are_not_entries(tmp_path: Path) -> None:
    """Events in the same file are left alone."""
    path = tmp_path / "journal.jsonl"
    journal = JsonlJournal(path)
    journal.append(entry(1))
    with path.open("a") as file:
        file.write('{"type":"event","kind":"Judged"}\n[1]\n\n')
    journal.append(entry(2))
    assert journal.entries() == (entry(1), entry(2))
    assert journal.torn == ()


def test_a_missing_entry_is_an_error(tmp_path: Path) -> None:
    """A gap in the numbers means that something acknowledged is lost: nothing is computed from the rest."""
    path = tmp_path / "journal.jsonl"
    journal = JsonlJournal(path)
    for seq in (1, 2, 3):
        journal.append(entry(seq))
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], lines[2]]))
    with pytest.raises(DeployError, match="entry 3, but entry 2 is due"):
        journal.entries()
    path.write_text(lines[0].replace('"seq":1', '"seq":"one"'))
    with pytest.raises(DeployError, match=r"line 1: Entry.seq: int expected, found 'one'"):
        journal.entries()


def test_what_cant_be_written_stops_the_deploy(tmp_path: Path) -> None:
    """Where the journal can't be written the error says that nothing is mutated."""
    (tmp_path / "reports").write_text("a file, where a folder is needed")
    with pytest.raises(DeployError, match=r"the journal can't be written: .*nothing is mutated") as caught:
        JsonlJournal(tmp_path / "reports" / "journal.jsonl").append(entry(1))
    assert caught.value.hint


def test_a_full_disk_is_survived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An append that failed half way is no entry; once there is space the journal goes on with the same number."""
    path = tmp_path / "journal.jsonl"
    journal = JsonlJournal(path)
    journal.append(entry(1))
    real = os.write
    calls = []

    def full(fd: int, data: bytes) -> int:
        calls.append(data)
        if len(calls) == 1:
            return real(fd, data[:30])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(DeployError, match="No space left on device"):
        journal.append(entry(2))
    monkeypatch.setattr(os, "write", real)
    journal.append(entry(2))
    assert journal.entries() == (entry(1), entry(2))
    assert journal.torn == (2,)


def test_an_entry_that_was_altered_is_noticed(tmp_path: Path) -> None:
    """Each line holds the digest of the one before: an edit of any but the last is damage, with its line."""
    path = tmp_path / "journal.jsonl"
    journal = JsonlJournal(path)
    for seq in (1, 2, 3):
        journal.append(entry(seq))
    lines = path.read_text().splitlines(keepends=True)
    assert json.loads(lines[0])["prev"] == "0" * 64
    assert json.loads(lines[1])["prev"] == sha256(lines[0].rstrip("\n").encode()).hexdigest()
    path.write_text("".join([lines[0], lines[1].replace('"observed":""', '"observed":"x"'), lines[2]]))
    with pytest.raises(DeployError, match="line 3 does not follow the entry before it"):
        journal.entries()
    path.write_text("".join([lines[0].replace("0" * 64, "1" * 64), *lines[1:]]))
    with pytest.raises(DeployError, match="line 1 does not follow"):
        journal.entries()


def test_two_writers_are_noticed(tmp_path: Path) -> None:
    """A second process that goes on with the same journal makes the first one's next entry damage."""
    path = tmp_path / "journal.jsonl"
    first = JsonlJournal(path)
    first.append(entry(1))
    JsonlJournal(path).append(entry(2))
    first.append(entry(2))
    with pytest.raises(DeployError, match="line 3 does not follow the entry before it"):
        first.entries()


def test_an_append_that_a_signal_ended_is_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that was written without its append having returned is replaced by the next entry."""
    path = tmp_path / "journal.jsonl"
    journal = JsonlJournal(path)
    journal.append(entry(1))
    real = os.fsync

    def cancelled(_: int) -> None:
        raise DeployCancelled("SIGTERM")

    monkeypatch.setattr(os, "fsync", cancelled)
    with pytest.raises(DeployCancelled):
        journal.append(replace(entry(2), observed="never acted on"))
    monkeypatch.setattr(os, "fsync", real)
    journal.append(entry(2))
    journal.append(entry(3))
    assert journal.entries() == (entry(1), entry(2), entry(3))


def test_a_damaged_decision_is_an_error_and_a_torn_one_none(tmp_path: Path) -> None:
    """What is no decision is told with its line; half a line was never acknowledged."""
    path = tmp_path / "decisions.jsonl"
    path.write_text('{"hold":2,"answer":"promote","by"')
    assert JsonlJournal(tmp_path / "journal.jsonl").decision(2) is None
    path.write_text('{"hold":2,"answer":"perhaps","by":"ann","reason":"x","at":"2026-11-24T00:00:00+00:00"}\n')
    with pytest.raises(DeployError, match=r"decisions.jsonl is damaged, line 1: Decision.answer: Answer expected"):
        JsonlJournal(tmp_path / "journal.jsonl").decision(2)


def test_a_decision_that_cant_be_stored_is_an_error(tmp_path: Path) -> None:
    """Whoever decides is not told that it is done when it is not."""
    journal = JsonlJournal(tmp_path / "journal.jsonl")
    journal.append(entry(1))
    words = "x | decide until 2026-11-24T00:30:00Z"
    journal.append(replace(entry(2), milestone=Milestone.HOLDING, observed=words))
    (tmp_path / "decisions.jsonl").mkdir()
    with pytest.raises(DeployError, match="can't be read"):
        journal.decide(Decision(hold=2, answer=Answer.ABORT, by="ann", reason="r", at=entry(1).at))
    (tmp_path / "decisions.jsonl").rmdir()
    with pytest.raises(DeployError, match="can't be written"):
        journal.decide(Decision(hold=2, answer=Answer.ABORT, by="ann", reason="\udc80", at=entry(1).at))


def test_a_journal_that_cant_be_read_is_an_error(tmp_path: Path) -> None:
    """A folder in the journal's place is not an empty journal."""
    with pytest.raises(DeployError, match="can't be read"):
        JsonlJournal(tmp_path).entries()
