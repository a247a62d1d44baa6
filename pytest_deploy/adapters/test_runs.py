"""The repository's own tests, run as a person would, but without a kubeconfig or a deploy token in sight."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

from pytest_deploy.domain.tally import Tally, from_junit, from_output
from pytest_deploy.errors import GateBreach, Refused, ToolFailed, ToolTimedOut
from pytest_deploy.io.process import DEFAULT_INHERIT, Completed, run
from pytest_deploy.io.team_program import last_lines, team_program
from pytest_deploy.ports import Attachment, Found

__all__ = ["TestRuns"]

_NAMES = 10
_LINES = 5
_NO_TARGET = re.compile(r"No rule to make target|No targets specified and no makefile found", re.IGNORECASE)
_ENVIRONMENT = {"KUBECONFIG": os.devnull}
"""HOME is theirs, for caches, and ``~/.kube/config`` stands in it: with this, no client looks there."""


class TestRuns:
    """The capability ``tests``; its subject holds commands in quotation marks, which are run one after the other.

    Args:
        folder: of deploy.yaml; they run in it.
        commands: those that deploy.yaml allows, as a feature writes them.
        junit: pattern of the JUnit reports that they write; None: what they print is read.
        inherit: names of our variables that they see beside PATH, HOME, LANG and the like.
        timeout: for each of them.
    """

    __test__ = False

    def __init__(
        self,
        folder: Path,
        commands: Sequence[str],
        *,
        junit: str | None = None,
        inherit: Sequence[str] = (),
        timeout: timedelta = timedelta(minutes=30),
    ) -> None:
        self._folder = folder
        self._commands = tuple(commands)
        self._junit = junit
        self._inherit = (*DEFAULT_INHERIT, *inherit)
        self._timeout = timeout

    def __call__(self, subject: str) -> Found:
        """Run them; the first that fails ends it, and its failing tests are named.

        Raises:
            GateBreach: a command failed, hid a failure, or ran no test.
            Refused: a command that deploy.yaml does not list.
            ToolMissing, ToolFailed, ToolTimedOut: it could not be run to its end; that is not a pass.
        """
        named = re.findall(r'"([^"]+)"', subject)
        foreign = [command for command in named if command not in self._commands]
        if foreign or not named:
            what = f'"{foreign[0]}" is' if foreign else f"{subject!r} names"
            raise Refused(
                f"{what} none of tests.commands in deploy.yaml: {', '.join(self._commands)}",
                hint="list it there, or correct the feature",
            )
        words: list[str] = []
        logs: list[Attachment] = []
        for command in named:
            done, reports = self._run(command)
            logs.append(Attachment(command, _log(done)))
            words.append(_judged(command, done, reports, logs))
        return Found("; ".join(words), attachments=tuple(logs))

    def _run(self, command: str) -> tuple[Completed, tuple[str, ...]]:
        program, *arguments = shlex.split(command)
        if "/" in program:
            program = str(team_program(self._folder, program))
        before = self._reports()
        done = run(
            (program, *arguments),
            timeout_s=self._timeout.total_seconds(),
            env=_ENVIRONMENT,
            inherit=self._inherit,
            cwd=self._folder,
        )
        # Only what this command wrote: the report of an older run would speak for code that is gone.
        fresh = sorted(path for path, mark in self._reports().items() if before.get(path) != mark)
        return done, tuple(path.read_text("utf-8", errors="replace") for path in fresh)

    def _reports(self) -> Mapping[Path, tuple[int, int, int]]:
        if self._junit is None:
            return {}
        found: dict[Path, tuple[int, int, int]] = {}
        for path in self._folder.glob(self._junit):
            if path.is_file() and path.resolve().is_relative_to(self._folder.resolve()):
                stat = path.stat()
                found[path] = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        return found


def _judged(command: str, done: Completed, reports: Sequence[str], logs: Sequence[Attachment]) -> str:
    """Return in words that it passed; ``logs`` go with whatever is raised."""
    took = f"{done.seconds:.1f} s"
    said = last_lines(f"{done.stdout}\n{done.stderr}", _LINES) or "nothing"
    if done.timed_out:
        raise ToolTimedOut(
            f'"{command}" had not ended after {took} and was ended; it said last: {said}',
            hint="see what it waits for, or raise tests.timeout_minutes",
            attachments=logs,
        )
    if done.status < 0 or (done.status and _NO_TARGET.search(done.stderr)):
        how = f"signal {-done.status} ended it" if done.status < 0 else f"exit {done.status}"
        raise ToolFailed(
            f'"{command}" ran no test to its end: {how} after {took}; it said last: {said}',
            hint=f"run it here by hand: {command}",
            attachments=logs,
        )
    try:
        tally = from_junit(reports) if reports else from_output(done.stdout)
    except ValueError as error:
        raise ToolFailed(
            f'"{command}": a report that it wrote and tests.junit matches is {error}',
            hint="let tests.junit match JUnit reports only",
            attachments=logs,
        ) from error
    if done.status or (tally is not None and (tally.failed or not tally.ran)):
        _refuse(command, done, tally, said, logs)
    if tally is None:
        return f'"{command}" ended with 0 after {took}; what it prints names no tests'
    skipped = f", {tally.skipped} skipped" if tally.skipped else ""
    return f'"{command}": {tally.passed} passed{skipped} in {took} ({tally.form})'


def _refuse(command: str, done: Completed, tally: Tally | None, said: str, logs: Sequence[Attachment]) -> NoReturn:
    what = f'"{command}" ended with {done.status} after {done.seconds:.1f} s'
    if tally is not None and tally.failed:
        more = f" and {tally.failed - _NAMES} more" if tally.failed > _NAMES and tally.names else ""
        names = f": {', '.join(tally.names[:_NAMES])}{more}" if tally.names else ""
        # `pytest || true`, or a pipe into tee: the status is of something else.
        hidden = "" if done.status else ", although tests failed"
        text = f"{what}{hidden}: {tally.failed} of {tally.ran} tests failed ({tally.form}){names}"
    elif tally is not None and not tally.ran and not done.status:
        text = f"{what}, but ran no test ({tally.form}: {tally.skipped} skipped); that is no pass"
    else:
        text = f"{what}; it said last: {said}"
    raise GateBreach(f"{text}\n  next: mend it, then see it pass: {command}", cause="tests", attachments=logs)


def _log(done: Completed) -> str:
    errors = f"\n--- standard error ---\n{done.stderr}" if done.stderr else ""
    return f"$ {shlex.join(done.argv)}\n{done.stdout}{errors}\nexit {done.status} after {done.seconds:.1f} s\n"
