"""The smoke test: a team's own script and checks over HTTP, tried again until all pass or their time is over."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

from pytest_deploy.domain.smoke import HttpCheck, problems
from pytest_deploy.errors import GateBreach, Refused, RemoteError, ToolFailed, ToolMissing
from pytest_deploy.io.http import Http
from pytest_deploy.io.process import DEFAULT_INHERIT, run
from pytest_deploy.io.team_program import last_lines, team_program
from pytest_deploy.ports import Attachment, Clock, Found

__all__ = ["Smoke"]

_PAUSE = timedelta(seconds=2)
_LINES = 5
_GRACE_S = 1.0
_EVERY_STATUS = range(100, 600)
"""Each is an answer, to be compared with the one that is expected."""


class Smoke:
    """The capability ``smoke``; its subject is the base address, a space, and the pinned image.

    Args:
        folder: of deploy.yaml; the script stands below it, and runs in it.
        script: run as ``<script> <base-url>``; 0 says healthy. None: the checks over HTTP alone.
        http: at least one where there is no script.
        within: until all have passed; what fails is tried again every 2 s until then.
        timeout: for one request, and for one run of the script.
        inherit: names of our variables that the script sees beside PATH, HOME, LANG and the like.
    """

    def __init__(
        self,
        folder: Path,
        *,
        script: str | None,
        http: Sequence[HttpCheck],
        clock: Clock,
        within: timedelta = timedelta(minutes=2),
        timeout: timedelta = timedelta(seconds=10),
        inherit: Sequence[str] = (),
    ) -> None:
        self._folder = folder
        self._script = script
        self._http = tuple(http)
        self._clock = clock
        self._within = within
        self._timeout = timeout
        self._inherit = (*DEFAULT_INHERIT, *inherit)

    def __call__(self, subject: str) -> Found:
        """Try until everything passes once, each at least once.

        Raises:
            GateBreach: something had not passed when the time was over; what it last said is told.
            Refused: the environment has no base_url, or there is nothing to check.
            ToolMissing: the script is not there, or can't be run.
        """
        url, _, image = subject.partition(" ")
        if not url.startswith(("http://", "https://")):
            raise Refused(
                f"the smoke test needs an address, and environments.{url} in deploy.yaml has no base_url",
                hint=f"environments.{url}.base_url: https://...",
            )
        left = ([self._script] if self._script is not None else []) + list(self._http)
        if not left:
            raise Refused("the smoke test has nothing to check", hint="give smoke.script or smoke.http in deploy.yaml")
        digest = image.partition("@")[2]
        begun = self._clock.monotonic()
        passed: list[str] = []
        while True:
            failed: list[tuple[str | HttpCheck, str, str]] = []
            for each in left:
                words, wrong, log = (
                    self._script_run(each, url) if isinstance(each, str) else self._get(each, url, digest)
                )
                if wrong:
                    failed.append((each, f"{words}: {wrong}", log))
                else:
                    passed.append(words)
            if not failed:
                return Found("; ".join(passed))
            waited = self._clock.monotonic() - begun
            if waited + _PAUSE.total_seconds() > self._within.total_seconds():
                first = failed[0][0]
                by_hand = f"{first} {url}" if isinstance(first, str) else f"curl -i {url.rstrip('/')}{first.path}"
                raise GateBreach(
                    f"the smoke test of {url} fails after {waited:.0f} s of {self._within.total_seconds():g} s: "
                    + "; ".join(text for _, text, _ in failed)
                    + f"\n  next: run it here by hand: {by_hand}",
                    cause="smoke",
                    attachments=tuple(Attachment("smoke test", log) for _, _, log in failed if log),
                )
            left = [each for each, _, _ in failed]
            self._clock.sleep(_PAUSE)

    def _script_run(self, path: str, url: str) -> tuple[str, str, str]:
        """Return how it was called, what is wrong ("": nothing), and all that it printed."""
        command = shlex.join((path, url))
        try:
            done = run(
                (str(team_program(self._folder, path)), url),
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
        log = f"$ {command}\n{done.stdout}\n{done.stderr}"
        words = last_lines(f"{done.stdout}\n{done.stderr}", _LINES) or "it printed nothing"
        if done.timed_out:
            return command, f"not ended after {self._timeout.total_seconds():g} s; its last words: {words}", log
        return f"{command} ended with {done.status}", "" if done.status == 0 else words, log

    def _get(self, check: HttpCheck, url: str, digest: str) -> tuple[str, str, str]:
        client = Http(url, service="smoke", clock=self._clock, timeout=self._timeout)
        began = self._clock.monotonic()
        try:
            answer = client.fetch(check.path, accept=_EVERY_STATUS)
        except RemoteError as error:
            return f"GET {check.path}", str(error.args[0]), ""
        took = timedelta(seconds=self._clock.monotonic() - began)
        wrong = problems(
            check, digest=digest, status=answer.status, headers=answer.headers, body=answer.body, took=took
        )
        return f"GET {check.path}: {'; '.join(_seen(check, answer.status, took))}", "; ".join(wrong), ""


def _seen(check: HttpCheck, status: int, took: timedelta) -> Iterator[str]:
    """What is told of an answer that passes."""
    yield f"{status} after {took / timedelta(milliseconds=1):.0f} ms"
    if checked := [*check.json_fields, *check.headers]:
        yield f"{', '.join(checked)} as expected"
