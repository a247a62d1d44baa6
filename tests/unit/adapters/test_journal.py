"""The local journal: what a crash, a full disk or another writer does to it."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pytest_deploy.adapters.journal import JsonlJournal
from pytest_deploy.domain.journal import Entry, EntryState
from pytest_deploy.errors import DeployError


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


def test_a_journal_that_cant_be_read_is_an_error(tmp_path: Path) -> None:
    """A folder in the journal's place is not an empty journal."""
    with pytest.raises(DeployError, match="can't be read"):
        JsonlJournal(tmp_path).entries()
