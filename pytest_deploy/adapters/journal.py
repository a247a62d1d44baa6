"""The journal as lines of JSON in a local file; each is on the disk before ``append`` returns."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from pytest_deploy.domain.codec import from_json, to_json
from pytest_deploy.domain.hold import check_decision
from pytest_deploy.domain.journal import Entry
from pytest_deploy.domain.policy import Decision
from pytest_deploy.errors import DeployError, Refused

__all__ = ["JsonlJournal"]

_TYPE = "journal"
_FIRST = "0" * 64
"""Stands for the line before the first one."""


class JsonlJournal:
    """``journal.jsonl``: lines with ``"type": "journal"`` are entries, all others belong to somebody else.

    Each entry's line holds as ``prev`` the SHA-256 of the entry's line before, so that whoever alters, removes or
    adds one has to write all that follow anew. (That the last ones are missing can't be seen from the file alone.)

    A crash or a full disk can leave a line half written, or whole without its ``append`` having returned; nothing
    was done after it. A half line is skipped when it is read, ``torn`` says so, and the next append begins on a
    line of its own. A whole one is replaced by the next entry if that has the same number.

    Decisions stand beside it in ``decisions.jsonl``, since they are written by other processes.

    Args:
        path: its folder is made when the first entry comes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._decisions = path.with_name("decisions.jsonl")
        self._file: int | None = None
        self._last: str | None = None
        self._torn: tuple[int, ...] = ()

    @property
    def torn(self) -> tuple[int, ...]:
        """Numbers of the lines that the last ``entries`` could not read."""
        return self._torn

    def append(self, entry: Entry) -> None:
        """Store one entry; when this returns it survives the process and the machine.

        Raises:
            DeployError: it can't be stored; nothing may be mutated then.
        """
        try:
            if self._last is None:
                self.entries()
            if self._file is None:
                self._file = _open(self._path)
            line = _line({"type": _TYPE, **to_json(entry), "prev": self._last})
            self._last = None  # until it is known what stands there
            _append(self._file, line)
        except (OSError, UnicodeEncodeError) as error:
            raise _unwritten(self._path, error) from error
        self._last = _digest(line)

    def entries(self) -> Sequence[Entry]:
        """Return all entries, in order; () where there is no file.

        Raises:
            DeployError: an entry that was stored is missing, altered or damaged, or the file can't be read.
        """
        found: list[Entry] = []
        torn: list[int] = []
        last = _FIRST
        for number, line in _lines(self._path):
            data = _parsed(line)
            if data is None:
                torn.append(number)
                continue
            if not isinstance(data, dict) or data.pop("type", None) != _TYPE:
                continue
            before = data.pop("prev", None)
            try:
                entry = from_json(Entry, data)
            except ValueError as error:
                raise self._damaged(f"line {number}: {error}") from error
            if entry.seq == len(found) > 0:
                found.pop()
            elif entry.seq != len(found) + 1:
                raise self._damaged(f"line {number} is entry {entry.seq}, but entry {len(found) + 1} is due")
            if before != last:
                raise self._damaged(f"line {number} does not follow the entry before it: one of the two was altered")
            last = _digest(line)
            found.append(entry)
        self._torn, self._last = tuple(torn), last
        return tuple(found)

    def decide(self, decision: Decision) -> None:
        """Store a person's answer to the hold that waits, as safely as an entry.

        Raises:
            Refused: it answers none.
            DeployError: it can't be stored.
        """
        try:
            check_decision(self.entries(), self.decision(decision.hold), decision)
        except ValueError as error:
            raise Refused(str(error)) from error
        try:
            file = _open(self._decisions)
            try:
                _append(file, _line({**to_json(decision)}))
            finally:
                os.close(file)
        except (OSError, UnicodeEncodeError) as error:
            raise _unwritten(self._decisions, error) from error

    def decision(self, hold: int) -> Decision | None:
        """Return the first answer that was given to a hold; None: there is none.

        Raises:
            DeployError: the answers can't be read, or one is damaged.
        """
        for number, line in _lines(self._decisions):
            data = _parsed(line)
            if data is None:
                continue
            try:
                decision = from_json(Decision, data)
            except ValueError as error:
                raise DeployError(f"{self._decisions} is damaged, line {number}: {error}", cause="journal") from error
            if decision.hold == hold:
                return decision
        return None

    def _damaged(self, what: str) -> DeployError:
        return DeployError(
            f"the journal {self._path} is damaged, {what}",
            hint="what has to be undone can't be told from it: look at the cluster and at helm history",
            cause="journal",
        )


def _unwritten(path: Path, error: Exception) -> DeployError:
    return DeployError(
        f"the journal can't be written: {path}: {error}: nothing is mutated",
        hint="free space, or give a folder that can be written (--deploy-reports)",
        cause="journal",
    )


def _line(data: dict[str, Any]) -> bytes:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()


def _digest(line: bytes) -> str:
    return sha256(line).hexdigest()


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines that are not empty, with their numbers."""
    try:
        lines = path.read_bytes().split(b"\n")
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise DeployError(f"the journal can't be read: {path}: {error}", cause="journal") from error
    yield from ((number, line) for number, line in enumerate(lines, start=1) if line)


def _parsed(line: bytes) -> Any:
    """Return the JSON value; None for a line that a crash left half written."""
    try:
        return json.loads(line)
    except ValueError:
        return None


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return file


def _append(file: int, line: bytes) -> None:
    """Append a line, which is on the disk when this returns; others append to the same file."""
    size = os.fstat(file).st_size
    whole = size == 0 or os.pread(file, 1, size - 1) == b"\n"
    data = line + b"\n" if whole else b"\n" + line + b"\n"
    while data:
        data = data[os.write(file, data) :]
    os.fsync(file)
