"""Allure results of a deploy where allure-pytest does not write them: a result a scenario, team steps inside."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from allure_commons import hookimpl, plugin_manager
from allure_commons.logger import AllureFileLogger
from allure_commons.model2 import Parameter, Status, StatusDetails, TestResult, TestStepResult
from allure_commons.reporter import AllureReporter

__all__ = ["AllureResults"]

_NAMES = ("pytest_deploy_results", "pytest_deploy_files")
"""In Allure's plugin manager: one deploy at a time is listened for."""


class AllureResults:
    """Listens to Allure's hooks as allure-pytest would, so that ``allure.step`` and ``allure.attach`` work too.

    Args:
        folder: made where it is missing.

    Attributes:
        at_ms: what the clock says, by which steps begin and end; the caller moves it.
    """

    def __init__(self, folder: Path) -> None:
        self.at_ms = 0
        self._reporter: Any = AllureReporter()  # type: ignore[no-untyped-call] # allure-python-commons has no types
        self._logger = AllureFileLogger(str(folder))  # type: ignore[no-untyped-call] # the same
        self._open: TestResult | None = None
        self.close()
        plugin_manager.register(self, _NAMES[0])
        plugin_manager.register(self._logger, _NAMES[1])

    def close(self) -> None:
        """Stop listening; a deploy that never came to its end stops here too."""
        for name in _NAMES:
            if plugin_manager.has_plugin(name):
                plugin_manager.unregister(name=name)

    @property
    def in_scenario(self) -> bool:
        """Whether a result is open."""
        return self._open is not None

    def begin(self, result: TestResult) -> None:
        """Open a scenario's result; steps and attachments land in it until ``end``."""
        self._open = result
        self._reporter.schedule_test(result.uuid, result)

    def end(self, status: str, message: str) -> None:
        """Write the open result; without one nothing is done."""
        result = self._open
        if result is None:
            return
        self._open = None
        result.status, result.stop = status, self.at_ms
        result.statusDetails = StatusDetails(message=message) if message else None
        self._reporter.close_test(result.uuid)

    @hookimpl
    def start_step(self, uuid: str, title: str, params: Mapping[str, str]) -> None:
        """Open a step within what is open."""
        step = TestStepResult(name=title, start=self.at_ms)
        step.parameters = [Parameter(name=name, value=value) for name, value in params.items()]
        self._reporter.start_step(None, uuid, step)

    @hookimpl
    def stop_step(
        self,
        uuid: str,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        """Close a step: failed for an assertion, broken for any other error."""
        del exc_type, exc_tb
        if exc_val is None:
            self._reporter.stop_step(uuid, stop=self.at_ms, status=Status.PASSED)
            return
        status = Status.FAILED if isinstance(exc_val, AssertionError) else Status.BROKEN
        details = StatusDetails(message=str(exc_val) or type(exc_val).__name__)
        self._reporter.stop_step(uuid, stop=self.at_ms, status=status, statusDetails=details)

    @hookimpl
    def attach_data(self, body: str | bytes, name: str, attachment_type: Any, extension: str | None) -> None:
        """Attach to what is open; between scenarios there is nothing to attach to."""
        if self._open is not None:
            self._reporter.attach_data(_new_id(), body, name=name, attachment_type=attachment_type, extension=extension)

    @hookimpl
    def attach_file(self, source: str, name: str, attachment_type: Any, extension: str | None) -> None:
        """Attach a file likewise."""
        if self._open is not None:
            self._reporter.attach_file(
                _new_id(), source, name=name, attachment_type=attachment_type, extension=extension
            )


def _new_id() -> str:
    return str(uuid.uuid4())
