"""The journal as lines of JSON in a local file; each is on the disk before ``append`` returns."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from pytest_deploy.domain.codec import from_json, to_json
from pytest_deploy.domain.journal import Entry
from pytest_deploy.errors import DeployError

__all__ = ["JsonlJournal"]

_TYPE = "journal"


class JsonlJournal:
    """``journal.jsonl``: lines with ``"type": "journal"`` are entries, all others belong to somebody else.

    A crash can leave one line half written. Its ``append`` never returned, so nothing was done after it: the line
    is skipped when it is read, ``torn`` says so, and the next append begins on a line of its own.

    Args:
        path: its folder is made when the first entry comes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None
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
        line = json.dumps({"type": _TYPE, **to_json(entry)}, ensure_ascii=False, separators=(",", ":"))
        try:
            if self._file is None:
                self._file = self._open()
            start = "" if self._ends_whole(self._file) else "\n"
            _write(self._file, f"{start}{line}\n".encode())
            os.fsync(self._file)
        except (OSError, UnicodeEncodeError) as error:
            raise DeployError(
                f"the journal can't be written: {self._path}: {error}: nothing is mutated",
                hint="free space, or give a folder that can be written (--deploy-reports)",
                cause="journal",
            ) from error

    def entries(self) -> Sequence[Entry]:
        """Return all entries, in order; () where there is no file.

        Raises:
            DeployError: an entry that was stored is missing or damaged, or the file can't be read.
        """
        try:
            lines = self._path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise DeployError(f"the journal can't be read: {self._path}: {error}") from error
        found: list[Entry] = []
        torn: list[int] = []
        for number, line in enumerate(lines, start=1):
            try:
                data = json.loads(line) if line else None
            except ValueError:
                torn.append(number)
                continue
            if not isinstance(data, dict) or data.pop("type", None) != _TYPE:
                continue
            try:
                entry = from_json(Entry, data)
            except ValueError as error:
                raise self._damaged(f"line {number}: {error}") from error
            if entry.seq != len(found) + 1:
                raise self._damaged(f"line {number} is entry {entry.seq}, but entry {len(found) + 1} is due")
            found.append(entry)
        self._torn = tuple(torn)
        return tuple(found)

    def _open(self) -> int:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return file

    def _ends_whole(self, file: int) -> bool:
        """Whether the next line begins at a line's start; looked up each time, since others append here too."""
        size = os.fstat(file).st_size
        return size == 0 or os.pread(file, 1, size - 1) == b"\n"

    def _damaged(self, what: str) -> DeployError:
        return DeployError(
            f"the journal {self._path} is damaged, {what}",
            hint="what has to be undone can't be told from it: look at the cluster and at helm history",
            cause="journal",
        )


def _write(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]
