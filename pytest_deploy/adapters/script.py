"""A team's own gate program, run with the contract of ``./scripts/check-slo.sh <service> <step-percent>``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from pytest_deploy.errors import ToolFailed, ToolMissing, ToolTimedOut
from pytest_deploy.io.process import DEFAULT_INHERIT, run
from pytest_deploy.io.team_program import last_lines, team_program
from pytest_deploy.ports import ScriptResult

__all__ = ["TeamScripts"]

_LINES = 5
_GRACE_S = 1.0


class TeamScripts:
    """Port ``Scripts`` on programs below deploy.yaml's folder.

    Args:
        folder: of deploy.yaml; they run in it.
        timeout: for one run. 60 s: several queries with retries; a script that needs more waits for something.
        inherit: names of our variables that they see beside PATH, HOME, LANG and the like: ``PROMETHEUS_URL``.
    """

    def __init__(
        self, folder: Path, *, timeout: timedelta = timedelta(seconds=60), inherit: Sequence[str] = ()
    ) -> None:
        self._folder = folder
        self._timeout = timeout
        self._inherit = (*DEFAULT_INHERIT, *inherit)

    def check(self, path: str, service: str, weight_percent: int) -> ScriptResult:
        """Run it and return how it ended: 0 says that the SLO holds, 1 that it does not, all else that it can't tell.

        A status below 0 is minus the number of the signal that ended it.

        Args:
            path: from the folder, never out of it.

        Raises:
            ToolMissing: there is no such file, its mode lacks the executable bit, or the system can't execute it.
            Refused: the path leads out of the folder.
            ToolTimedOut: it ran past its time and was ended; no verdict.
        """
        program = team_program(self._folder, path)
        arguments = (service, str(weight_percent))
        command = shlex.join((path, *arguments))
        try:
            done = run(
                (str(program), *arguments),
                timeout_s=self._timeout.total_seconds(),
                inherit=self._inherit,
                cwd=self._folder,
                grace_s=_GRACE_S,
            )
        except ToolFailed as error:
            raise ToolMissing(
                f"{command}: the system can't execute it: {error.__cause__}",
                hint="its first line must name an interpreter that is there, such as #!/bin/sh",
            ) from error
        words = last_lines(f"{done.stdout}\n{done.stderr}", _LINES) or "it printed nothing"
        if done.timed_out:
            raise ToolTimedOut(
                f"{command} had not ended after {self._timeout.total_seconds():g} s; its last words: {words}",
                hint="give each request in it a time limit of its own, such as curl --max-time 10",
            )
        return ScriptResult(status=done.status, words=words, command=command)
