"""The folder of a deploy's reports: never a reason to touch the cluster, always one to say that evidence is missing."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pytest_deploy.domain.action import Json
from pytest_deploy.domain.event import Attached, DeployStarted, Event, Held, Judged, Looked
from pytest_deploy.report import measurements
from pytest_deploy.report.encode import to_json

__all__ = ["Reports"]

JOURNAL = "journal.jsonl"


class Reports:
    """``<root>/<deploy-id>/``, and ``<root>/latest`` that points at it.

    What can't be written is kept in ``problems`` and raised nowhere: a full disk must not change what becomes
    of the deploy, only the exit status.

    Args:
        root: made where it is missing.
    """

    def __init__(self, root: Path, deploy_id: str) -> None:
        self.folder = root / deploy_id
        self.problems: list[str] = []
        self._open: dict[str, int] = {}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _point_at(root / "latest", deploy_id)
        except OSError as error:
            self.problem(f"{self.folder} can't be made", error)

    def write(self, name: str, text: str) -> bool:
        """Write a file, whole or not at all, and say whether it is there now; ``name`` may lie in a folder."""
        path = self.folder / name
        half = path.with_name(f".{path.name}.part")
        try:
            path.parent.mkdir(exist_ok=True)
            half.write_text(text, encoding="utf-8")
            half.replace(path)
        except OSError as error:
            self.problem(f"{path} can't be written", error)
            return False
        return True

    def log(self, event: Event) -> None:
        """Append an event to the journal's file, as an object of type ``event``.

        It says its ``kind`` and ``at``, and the event's own fields. The journal's entries, which alone decide
        what is undone, are of type ``journal`` in the same file.
        """
        body = to_json(_short(event))
        line = {"type": "event", "kind": type(event).__name__} | (body if isinstance(body, dict) else {})
        self._append(JOURNAL, [line], "an event can't be logged")

    def measure(self, looked: Looked, started: DeployStarted) -> None:
        """Append what a look has read to the file of measurements; its first line tells of the deploy."""
        if looked.measured:
            rows = [measurements.row(each) for each in looked.measured]
            self._append(measurements.NAME, rows, "a look can't be kept", head=measurements.header(started))

    def close(self) -> None:
        """Close the logs; a later line opens them again."""
        for file in self._open.values():
            os.close(file)
        self._open.clear()

    def _append(self, name: str, lines: Sequence[Json], what: str, *, head: Json = None) -> None:
        path = self.folder / name
        try:
            if name not in self._open:
                self._open[name] = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            file = self._open[name]
            first = [head] if head is not None and os.fstat(file).st_size == 0 else []
            _append(file, "".join(f"{json.dumps(line, allow_nan=False)}\n" for line in (*first, *lines)).encode())
        except OSError as error:
            self.problem(f"{path}: {what}", error)

    def problem(self, what: str, error: Exception) -> None:
        """Keep what went wrong, each kind of it once."""
        said = error.strerror if isinstance(error, OSError) and error.strerror else repr(error)
        text = f"{what}: {said}"
        if text not in self.problems:
            self.problems.append(text)


def _short(event: Event) -> Event:
    """Return the event without what has a file of its own: readings, attached texts."""
    if isinstance(event, Attached):
        return replace(event, attachment=replace(event.attachment, text=""))
    if isinstance(event, Looked):
        return replace(event, measured=())
    if isinstance(event, Judged | Held):
        return replace(event, verdict=replace(event.verdict, history=(), control=event.verdict.control[-1:]))
    return event


def _append(file: int, line: bytes) -> None:
    """Append a line whole or not at all: a torn one would take the journal entry that follows it along."""
    size = os.fstat(file).st_size
    if os.write(file, line) < len(line):
        os.ftruncate(file, size)
        raise OSError(None, "only a part of the line could be written")


def _point_at(link: Path, target: str) -> None:
    new = link.with_name(f".{link.name}-{target}")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(link)
