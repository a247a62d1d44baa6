"""Allure: Gherkin steps with their gates' numbers inside; the rollback and the outcome as results of their own."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path, PurePath
from typing import Any

from allure_commons import plugin_manager
from allure_commons.model2 import Attachment, Label, Status, StatusDetails, TestResult, TestStepResult
from allure_commons.types import AttachmentType

from pytest_deploy.domain.event import (
    Attached,
    Decided,
    DeployEnded,
    DeployStarted,
    Event,
    Held,
    Judged,
    RollbackEnded,
    ScenarioEnded,
    ScenarioStarted,
    StepEnded,
    StepStarted,
)
from pytest_deploy.domain.verdict import Verdict
from pytest_deploy.errors import DeployError, GateBreach
from pytest_deploy.report import note, plot, summary
from pytest_deploy.report.allure_results import AllureResults
from pytest_deploy.report.deploy_json import deploy_json, gate_json
from pytest_deploy.report.record import Record
from pytest_deploy.report.text import plain

__all__ = ["AllureSteps"]

_MEDIA = {"application/json": AttachmentType.JSON}
"""Allure shows Markdown as plain text, too."""
_STATUS = {"passed": Status.PASSED, "failed": Status.FAILED, "broken": Status.BROKEN, "not run": Status.SKIPPED}


class AllureSteps:
    """Tells Allure what happens.

    A failed rollback after a failed gate would be invisible to it (a teardown error changes only a passed
    test), so each way back is a result "Rollback" of its own, broken where it failed.

    Args:
        folder: of the results.
        ours: nobody else writes there: scenarios become results here too. Else allure-pytest makes them, and
            steps and attachments land in its own.
        labels: name and value of the labels of the scenario with a title.
        build_url: of the CI run; "" where there is none.
    """

    def __init__(
        self,
        folder: Path,
        *,
        ours: bool,
        labels: Callable[[str], tuple[tuple[str, str], ...]],
        build_url: str,
        started: DeployStarted,
    ) -> None:
        self._folder = folder
        self._results = AllureResults(folder) if ours else None
        self._labels = labels
        self._build_url = build_url
        self._started = started
        self._step: str | None = None

    def __call__(self, event: Event, record: Record) -> None:  # noqa: C901 - one flat dispatch over the events
        """Take an event in; the record has it already."""
        if self._results is not None:
            self._results.at_ms = _ms(event.at)
        match event:
            case ScenarioStarted():
                self._begin(event)
            case ScenarioEnded():
                self._end(event)
            case StepStarted():
                self._step = _start_step(f"{event.keyword} {event.text}")
            case StepEnded():
                self._step_ended(event)
            case Judged() if self._step is not None:
                _judged(event.verdict, list(plot.pictures(record).values())[-1])
            case Attached() if self._step is not None:
                kind = _MEDIA.get(event.attachment.media_type, AttachmentType.TEXT)
                _attach(event.attachment.text, event.attachment.name, kind)
            case Held() if self._step is not None:
                _attach(f"{event.verdict.sentence}\n{event.command}", "held for a decision", AttachmentType.TEXT)
            case Decided() if self._step is not None:
                _stop_step(_start_step(f"decision: {event.decision.words}"), None)
            case RollbackEnded():
                self._rollback(event, record)
            case DeployEnded():
                self._outcome(event, record)
            case _:
                pass

    def _begin(self, event: ScenarioStarted | ScenarioEnded) -> None:
        if self._results is not None:
            self._results.begin(self._result(event.title, event.at))

    def _end(self, event: ScenarioEnded) -> None:
        if self._step is not None:
            _stop_step(self._step, DeployError("interrupted"))
            self._step = None
        if self._results is not None:
            if not self._results.in_scenario:
                self._begin(event)
            self._results.end(_STATUS.get(event.status, Status.BROKEN), plain(event.reason, lines=True))

    def _step_ended(self, event: StepEnded) -> None:
        if self._step is None:
            return
        error = {"failed": GateBreach(event.detail, cause=""), "broken": DeployError(event.detail)}.get(event.status)
        if error is None and event.detail:
            _stop_step(_start_step(event.detail), None)
        _stop_step(self._step, error)
        self._step = None

    def _rollback(self, event: RollbackEnded, record: Record) -> None:
        rollback = record.rollbacks[-1]
        result = self._result("Rollback", rollback.started.at)
        result.fullName += f"#{len(record.rollbacks)}"
        result.stop = _ms(event.at)
        result.status = Status.BROKEN if event.error else Status.PASSED
        result.statusDetails = StatusDetails(
            message=plain(event.error or f"verified: {'; '.join(event.verified)}", lines=True),
            trace="\n".join(plain(line) for line in (*event.left_behind, *event.commands)) or None,
        )
        result.steps = [
            TestStepResult(
                name=plain(action.action.summary),
                status=Status.PASSED if action.status == "done" else Status.BROKEN,
                statusDetails=StatusDetails(message=plain(f"{action.command}\n{action.said}", lines=True)),
                start=_ms(action.at),
                stop=_ms(action.at + action.took) if action.took else _ms(event.at),
            )
            for action in rollback.actions
        ]
        result.steps += [_seen(line, event.at) for line in event.verified]
        self._write(result, record)

    def _outcome(self, event: DeployEnded, record: Record) -> None:
        result = self._result(plain(f"Outcome: {summary.title(record)}"), record.started.at)
        result.stop = _ms(event.at)
        status = event.outcome.status
        result.status = {0: Status.PASSED, 1: Status.FAILED}.get(status, Status.BROKEN)
        result.statusDetails = StatusDetails(message=plain(event.words))
        self._write(result, record)
        for name, text in (("environment.properties", _properties(record)), ("executor.json", self._executor())):
            path = self._folder / name
            if self._results is not None or not path.exists():
                path.write_text(text, encoding="utf-8")
        if self._results is not None:
            self._results.close()

    def _write(self, result: TestResult, record: Record) -> None:
        """Write a result of its own, with the note as it stands now and the whole record."""
        for name, kind, extension, body in (
            ("deploy note", "text/markdown", "md", note.render(record)),
            ("deploy.json", "application/json", "json", json.dumps(deploy_json(record), indent=2)),
        ):
            file_name = f"{uuid.uuid4()}-attachment.{extension}"
            _hook().report_attached_data(body=body, file_name=file_name)
            result.attachments.append(Attachment(name=name, source=file_name, type=kind))
        _hook().report_result(result=result)

    def _result(self, title: str, at: datetime) -> TestResult:
        """Return a result with the labels that allure-pytest would give it, so that both stand in one suite."""
        path = PurePath(self._started.feature_path)
        name = f"{self._started.feature_path}#{title}"
        key = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:32]
        own = self._labels(title)
        suites = (
            ("parentSuite", ".".join(path.parent.parts)),
            ("suite", path.stem),
            ("feature", self._started.feature),
            ("framework", "pytest-deploy"),
        )
        given = {label for label, _ in own}
        labels = [*own, *(pair for pair in suites if pair[1] and pair[0] not in given)]
        return TestResult(
            uuid=str(uuid.uuid4()),
            name=plain(title),
            fullName=name,
            historyId=key,
            testCaseId=key,
            start=_ms(at),
            labels=[Label(name=label, value=plain(value)) for label, value in labels],
            titlePath=list(path.parts),
        )

    def _executor(self) -> str:
        build = {"buildName": self._started.deploy_id}
        if self._build_url:
            build["buildUrl"] = self._build_url
        return json.dumps({"name": "pytest-deploy", "type": "pytest-deploy"} | build)


def _judged(verdict: Verdict, picture: str) -> None:
    _attach(verdict.explanation, verdict.headline, AttachmentType.TEXT)
    _attach(picture, f"{verdict.headline} (picture)", AttachmentType.SVG)
    _attach(json.dumps(gate_json(verdict), indent=2), f"{verdict.headline} (JSON)", AttachmentType.JSON)


def _properties(record: Record) -> str:
    return "".join(f"{name.replace(' ', '.')}={_property(text)}\n" for name, text in _environment(record))


def _environment(record: Record) -> Iterator[tuple[str, str]]:
    wanted = {"Service", "World", "Environment", "Strategy", "Old image", "New image", "Commit", "Cluster"}
    yield from (pair for pair in summary.facts(record) if pair[0] in wanted)


def _property(text: str) -> str:
    """Escape for a Java properties file, which is Latin-1."""
    escaped = plain(text).replace("\\", "\\\\").encode("utf-16-be")
    units = (int.from_bytes(escaped[i : i + 2]) for i in range(0, len(escaped), 2))
    return "".join(chr(unit) if unit < 128 else f"\\u{unit:04x}" for unit in units)


def _seen(line: str, at: datetime) -> TestStepResult:
    return TestStepResult(name=f"observed: {plain(line)}", status=Status.PASSED, start=_ms(at), stop=_ms(at))


def _start_step(title: str) -> str:
    step = str(uuid.uuid4())
    _hook().start_step(uuid=step, title=plain(title), params={})
    return step


def _stop_step(step: str, error: Exception | None) -> None:
    _hook().stop_step(uuid=step, exc_type=type(error) if error else None, exc_val=error, exc_tb=None)


def _attach(body: str, name: str, kind: AttachmentType) -> None:
    _hook().attach_data(body=plain(body, lines=True), name=name, attachment_type=kind, extension=None)


def _hook() -> Any:
    return plugin_manager.hook


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
