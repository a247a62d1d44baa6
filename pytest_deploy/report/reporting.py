"""What a deploy's events go through: redaction, the record, the files, Allure and the console."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

from pytest_deploy.domain.event import (
    Attached,
    Decided,
    DeployEnded,
    DeployStarted,
    Event,
    Held,
    Judged,
    Looked,
    RollbackEnded,
    Stopped,
    Waited,
)
from pytest_deploy.domain.outcome import Mode
from pytest_deploy.report import note, overview, page, plot
from pytest_deploy.report.console import Console
from pytest_deploy.report.deploy_json import deploy_json
from pytest_deploy.report.files import Reports
from pytest_deploy.report.record import Record
from pytest_deploy.report.redact import Redactor
from pytest_deploy.report.text import plain

__all__ = ["Labels", "Reporting"]

Labels = Callable[[str], tuple[tuple[str, str], ...]]
"""Gives the Allure labels (name, value) of the scenario with a title: its ``k:v`` tags."""

NOTE = "deploy-note.md"


class Reporting:
    """The one subscriber: takes each event of a deploy, and raises nothing.

    The note, ``deploy.json`` and the page are written when the deploy is held or has stopped, after each rollback
    and at the end, measurements at each look and pictures at each verdict: what is killed in between leaves
    evidence all the same.

    Args:
        root: where folders of deploys are made.
        console: None: nothing is shown while it runs.
        redactor: every event passes it before anything else sees it.
        labels: see ``Labels``; None: there are none.
        allure_dir: where allure-pytest writes its results; None where it does not: we then write our own.
        environ: of the process, for the address of the CI run; nothing else of it is read.

    Attributes:
        record: what is known so far; None before the deploy began.
        last_line: how it ended and where the note is; "" before the end.
    """

    def __init__(
        self,
        root: Path,
        deploy_id: str,
        console: Console | None,
        redactor: Redactor,
        *,
        labels: Labels | None = None,
        allure_dir: Path | None = None,
        environ: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._reports = Reports(root, deploy_id)
        self._console = console
        self._redactor = redactor
        self._labels = labels or (lambda _: ())
        self._allure_dir = allure_dir
        self._environ = environ
        self._allure: Callable[[Event, Record], None] | None = None
        self._last_wait = ("", "")
        self._noted = False
        self.record: Record | None = None
        self.last_line = ""

    @property
    def problems(self) -> list[str]:
        """What of the evidence could not be written; a deploy with any does not end in exit status 0."""
        return self._reports.problems

    @property
    def note(self) -> Path:
        """Where the deploy note is, once the deploy has stopped."""
        return self._reports.folder / NOTE

    def __call__(self, event: Event) -> None:
        """Take an event in: what goes wrong here is kept in ``problems``."""
        clean = self._redactor.value(event)
        self._guarded("the record", lambda: self._apply(clean))
        if self._worth_logging(clean):
            self._guarded("the event log", lambda: self._reports.log(clean))
        if self._allure is not None and self.record is not None:
            allure, record = self._allure, self.record
            self._guarded("Allure", lambda: allure(clean, record))
        if isinstance(clean, Looked) and self.record is not None:
            first = self.record.started
            self._guarded("the measurements", lambda: self._reports.measure(clean, first))
        if isinstance(clean, Attached):
            self._guarded("an attachment", self._keep)
        if isinstance(clean, Judged):
            self._guarded("the pictures", self._draw)
        if isinstance(clean, Held | Decided | Stopped | RollbackEnded | DeployEnded):
            self._write()
        if isinstance(clean, DeployEnded):
            self._reports.close()
            self._end(clean)
        elif self._console is not None:
            console = self._console
            self._guarded("the console", lambda: console(clean))

    def _apply(self, event: Event) -> None:
        if isinstance(event, DeployStarted):
            self.record = Record(started=event)
            self._guarded("Allure", lambda: self._open_allure(event))
        elif self.record is not None:
            self.record.apply(event)

    def _open_allure(self, event: DeployStarted) -> None:
        from pytest_deploy.report.allure import AllureSteps

        self._allure = AllureSteps(
            self._allure_dir or self._reports.folder / "allure-results",
            ours=self._allure_dir is None,
            labels=self._labels,
            build_url=_build_url(self._environ),
            started=event,
        )

    def _worth_logging(self, event: Event) -> bool:
        """A wait is looked at three times a second: only what changes goes into the log."""
        if not isinstance(event, Waited):
            return True
        before, self._last_wait = self._last_wait, (event.what, event.seen)
        return self._last_wait != before

    def _write(self) -> None:
        record = self.record
        if record is None:
            return

        def write(name: str, render: Callable[[], str]) -> None:
            def once() -> None:
                done = self._reports.write(name, render())
                self._noted = done if name == NOTE else self._noted

            self._guarded(name, once)

        write(NOTE, lambda: note.render(record))
        write("deploy.json", lambda: json.dumps(deploy_json(record), indent=2) + "\n")
        write("report.html", lambda: page.render(record))
        write(f"{plot.FOLDER}/{overview.NAME}", lambda: overview.render(record))

    def _keep(self) -> None:
        """Write the newest attached text, whole."""
        if self.record is not None:
            newest = self.record.attachments[-1]
            self._reports.write(newest.file, newest.attachment.text)

    def _draw(self) -> None:
        """Write the picture of the newest verdict at once: what is killed later has it."""
        if self.record is not None:
            name, picture = list(plot.pictures(self.record).items())[-1]
            self._reports.write(f"{plot.FOLDER}/{name}", picture)

    def _end(self, event: DeployEnded) -> None:
        mode = self.record.started.mode if self.record is not None else Mode.REAL
        world = "" if mode is Mode.REAL else f" ({mode.upper()})"
        self.last_line = plain(f"{event.words}{world} - note: {self.note if self._noted else 'NOT WRITTEN'}")
        if self._console is not None:
            problems = (f"report problem: {plain(problem)}" for problem in self.problems)
            for line in (*problems, self.last_line):
                self._guarded("the console", partial(self._console.line, line))

    def _guarded(self, what: str, do: Callable[[], None]) -> None:
        try:
            do()
        except Exception as error:  # noqa: BLE001 - a report that breaks must not change what becomes of the deploy
            self._reports.problem(f"{what} broke", error)


def _build_url(environ: Mapping[str, str]) -> str:
    """Return the address of the CI run (GitHub Actions, GitLab, Jenkins), or "" where none is known."""
    if run := environ.get("GITHUB_RUN_ID"):
        server = environ.get("GITHUB_SERVER_URL", "https://github.com")
        return f"{server}/{environ.get('GITHUB_REPOSITORY', '')}/actions/runs/{run}"
    return environ.get("CI_JOB_URL") or environ.get("BUILD_URL") or ""
