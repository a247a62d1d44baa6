"""How a failing scenario looks: the line of the feature file first, then what was said."""

from __future__ import annotations

import inspect
import os
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from pytest_deploy.errors import DeployCancelled, DeployError, GateBreach

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from pytest_bdd.parser import Scenario, Step

__all__ = ["RunningScenario", "ScenarioHooks"]

_OURS = (GateBreach, DeployError, DeployCancelled)
_RUNNING = pytest.StashKey["RunningScenario"]()


@dataclass(slots=True)
class RunningScenario:
    """Where a scenario stands while it runs.

    Args:
        scenario: rendered.
        step: the one that runs, or failed; None between steps and after the last.
        function: its step function.
    """

    scenario: Scenario
    step: Step | None = None
    function: Callable[..., object] | None = None

    @staticmethod
    def of(item: pytest.Item) -> RunningScenario | None:
        """The item's, once it has begun."""
        return item.stash.get(_RUNNING, None)


@dataclass(frozen=True, slots=True)
class _Crash:
    """What pytest's summary, ``--tb=line`` and JUnit read."""

    path: str
    lineno: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.lineno}: {self.message}"


@dataclass(frozen=True, slots=True)
class _Failure:
    """A pytest failure representation (the three names that reporters use)."""

    reprcrash: _Crash
    heading: str
    below: Any

    def toterminal(self, writer: Any) -> None:
        writer.line(self.heading, bold=True)
        if not isinstance(self.below, str):
            self.below.toterminal(writer)
            return
        for line in self.below.splitlines():
            writer.line(f"E   {line}", red=True, bold=True)

    def __str__(self) -> str:
        below = self.below
        if isinstance(below, str):
            below = "\n".join(f"E   {line}" for line in below.splitlines())
        return f"{self.heading}\n{below}"


class ScenarioHooks:
    """The plugin that is registered when the first feature is collected."""

    @pytest.hookimpl
    def pytest_bdd_apply_tag(self, tag: str) -> bool | None:
        """Keep ``k:v`` tags from becoming marks: they are labels of the item."""
        return True if ":" in tag else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_bdd_before_scenario(self, request: pytest.FixtureRequest, scenario: Scenario) -> None:
        """Remember the scenario."""
        request.node.stash[_RUNNING] = RunningScenario(scenario)

    @pytest.hookimpl(tryfirst=True)
    def pytest_bdd_before_step(
        self, request: pytest.FixtureRequest, step: Step, step_func: Callable[..., object]
    ) -> None:
        """Remember the step."""
        running = request.node.stash[_RUNNING]
        running.step, running.function = step, step_func

    @pytest.hookimpl(trylast=True)
    def pytest_bdd_after_step(self, request: pytest.FixtureRequest) -> None:
        """Forget the step: it passed."""
        running = request.node.stash[_RUNNING]
        running.step = running.function = None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Put the feature's line before what pytest shows of a failure; of an error of ours, its message."""
        report = yield
        if call.excinfo is not None and report.failed and item.path.suffix == ".feature":
            # Pytest asks of it what _Failure has; the base class that its type names is private.
            report.longrepr = _failure(item, call.excinfo, report)  # type: ignore[assignment]
        return report


def _failure(item: pytest.Item, error: pytest.ExceptionInfo[BaseException], report: pytest.TestReport) -> _Failure:
    path = os.path.relpath(item.path, item.config.invocation_params.dir)
    running = RunningScenario.of(item)
    line = (item.reportinfo()[1] or 0) + 1
    what = f"Scenario: {running.scenario.name if running else item.name}"
    function = None
    if running is not None and running.step is not None and report.when == "call":
        line = running.step.line_number
        what = f"{running.step.keyword} {running.step.name}"
        function = running.function
    elif report.when != "call":
        what += f" ({report.when})"
    below: Any = report.longrepr
    message = "".join(traceback.format_exception_only(error.value)).strip()
    if isinstance(error.value, _OURS) and not item.config.getoption("fulltrace"):
        below = message = str(error.value)
    elif function is not None:
        below = _from_step(item, error, function)
    return _Failure(_Crash(path, line, message), f"{path}:{line}: {what}", below)


def _from_step(item: pytest.Item, error: pytest.ExceptionInfo[BaseException], function: Callable[..., object]) -> Any:
    """Pytest's own representation, from the step function on: what calls it is not the reader's."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    first = code.co_firstlineno - 1 if code else None
    style = item.config.getoption("tbstyle")
    return error.getrepr(
        style="long" if style == "auto" else style,
        showlocals=item.config.getoption("showlocals"),
        funcargs=True,
        tbfilter=(
            False
            if code is None or item.config.getoption("fulltrace")
            else lambda info: info.traceback.cut(path=code.co_filename, firstlineno=first).filter(info)
        ),
    )
