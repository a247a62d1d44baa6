"""What watches over the deploys of a pytest session: admits them, follows their scenarios, ends them."""

from __future__ import annotations

import importlib
from collections.abc import Generator, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import pytest

from pytest_deploy.admission import Asked, confirmed, incompatible, reasons, refusal
from pytest_deploy.collect import LABELS, FeatureModule
from pytest_deploy.domain.outcome import Mode
from pytest_deploy.errors import ConfigError, Refused
from pytest_deploy.hookspecs import LEFT_OUT
from pytest_deploy.running import Run, Session
from pytest_deploy.signals import Signals
from pytest_deploy.steps import MODULES, outline
from pytest_deploy.terminal import Terminal

if TYPE_CHECKING:
    from pytest_bdd.parser import Scenario, Step

__all__ = ["DeploySession"]


class DeploySession:
    """A plugin that is registered when the first feature is collected.

    Args:
        environ: the process's environment, for ``CI`` and ``NO_COLOR``.
    """

    def __init__(self, *, config: pytest.Config, environ: Mapping[str, str]) -> None:
        self._config = config
        self._environ = environ
        self._session = Session()
        self.terminal = Terminal(config)
        self._signals = Signals(stop=self._stop, say=self.terminal.line)
        self._pytest_session: pytest.Session | None = None
        self._file = ""

    def load_vocabulary(self) -> None:
        """Register the steps that ship."""
        for name in MODULES:
            module = importlib.import_module(f"pytest_deploy.steps.{name}")
            self._config.pluginmanager.register(module, module.__name__)

    def run_of(self, feature: Path) -> Run:
        """Return the run of a feature that was admitted."""
        return self._session.runs[feature]

    def close(self, run: Run) -> None:
        """End a deploy; raises RollbackError where its way back failed, so that pytest shows it."""
        before = run.deploy.rollback_error if run.deploy else None
        run.close(self._signals)
        error = run.deploy.rollback_error if run.deploy else None
        if error is not None and before is None and not (run.deploy and run.deploy.drill):
            raise error

    def finish(self, of_pytest: int) -> int:
        """Return the session's exit status, and print how each deploy ended as the last lines."""
        for run in self._session.runs.values():
            run.close(self._signals)
        self._signals.restore()
        self.terminal.begun = False
        status = self._session.exit_status(of_pytest)
        for run in self._session.runs.values():
            for line in run.last_lines():
                self.terminal.line(line)
        return status

    # Collection

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Remember whether what could not be collected were features."""
        if report.failed:
            is_feature = report.nodeid.partition("::")[0].endswith(".feature")
            self._session.features_not_collected |= is_feature
            self._session.others_not_collected |= not is_feature

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Admit the deploys among what was collected, or refuse the whole session before anything is contacted."""
        self._pytest_session = session
        if config.option.collectonly or self._session.features_not_collected:
            return
        by_feature: dict[FeatureModule, list[pytest.Item]] = {}
        for item in items:
            module = item.getparent(FeatureModule)
            if module is not None and outline.is_deploy(module.resolved):
                by_feature.setdefault(module, []).append(item)
        if by_feature and hasattr(config, "workerinput"):
            # An error in a worker of pytest-xdist only looks like a crash: the controller is told instead.
            items[:] = [item for item in items if item.getparent(FeatureModule) not in by_feature]
            config.workeroutput[LEFT_OUT] = True  # type: ignore[attr-defined]  # pytest-xdist's own dictionary
        elif by_feature:
            self._admit(by_feature)

    def _admit(self, by_feature: Mapping[FeatureModule, list[pytest.Item]]) -> None:
        from pytest_deploy import prepare, wiring

        options = prepare.options(self._config)
        asked = Asked(
            mode=options.mode,
            arguments=[str(argument) for argument in self._config.args],
            features=[module.path for module in by_feature],
            selected=sum(len(items) for items in by_feature.values()),
            collected=sum(len({(s.title, s.scenario) for s in module.resolved}) for module in by_feature),
            plugins=incompatible(self._config),
            invocation_dir=self._config.invocation_params.dir,
        )
        no = list(reasons(asked))
        if no:
            raise pytest.UsageError(refusal(no))
        prepared = []
        for module, items in by_feature.items():
            try:
                titles = {_title(item) for item in items}
                prepared.append((module, prepare.prepare(options, module.path, module.resolved, titles)))
            except ConfigError as error:
                no += error.problems
        if not no and options.mode is Mode.REAL:
            release, environment = prepared[0][1].release, prepared[0][1].environment
            not_confirmed = confirmed(
                release.service, environment.name, environ=self._environ, yes=options.yes, ask=self.terminal.ask
            )
            no += [not_confirmed] if not_confirmed else []
        if no:
            raise pytest.UsageError(refusal(no))
        for module, ready in prepared:
            self._session.runs[module.path] = Run(
                feature=outline.place_of(module.path, 1, options.root).rpartition(":")[0],
                open=partial(
                    wiring.open_deploy,
                    ready,
                    self.terminal,
                    {_title(it): it.stash[LABELS] for it in by_feature[module]},
                ),
                wanted={item.nodeid for item in by_feature[module]},
                place=partial(outline.place_of, module.path, root=options.root),
            )
        self._signals.install()

    # Running

    def _run(self, item: pytest.Item) -> Run | None:
        return self._session.runs.get(item.path)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Let no scenario run once its deploy is over."""
        run = self._run(item)
        if run is None:
            return
        if (why := run.over) is not None:
            run.not_run(_title(item), why)
            pytest.skip(f"not run: {why}")
        self._signals.check()

    def pytest_bdd_before_scenario(self, request: pytest.FixtureRequest, scenario: Scenario) -> None:
        """A scenario begins."""
        run = self._run(request.node)
        if run is not None:
            run.scenario_starts(scenario.name, scenario.line_number)

    def pytest_bdd_before_step(self, request: pytest.FixtureRequest, step: Step) -> None:
        """A step begins; from here on a signal may end it."""
        run = self._run(request.node)
        if run is not None:
            self._signals.check()
            run.step_starts(step.keyword, step.name, step.line_number)
            self._signals.armed = True

    def pytest_bdd_after_step(self, request: pytest.FixtureRequest, step: Step) -> None:
        """A step passed."""
        run = self._run(request.node)
        if run is not None:
            self._signals.armed = False
            run.step_ends(step.keyword, step.name, None)

    def pytest_bdd_step_error(self, request: pytest.FixtureRequest, step: Step, exception: BaseException) -> None:
        """A step failed."""
        run = self._run(request.node)
        if run is not None:
            self._signals.armed = False
            run.step_ends(step.keyword, step.name, exception)

    def pytest_deploy_scenario_passed(self, request: pytest.FixtureRequest) -> None:
        """All steps of a scenario passed: where that completes the canary, it is committed."""
        run = self._run(request.node)
        if run is not None:
            self._signals.check()
            self._signals.armed = True
            try:
                run.scenario_passed()
            finally:
                self._signals.armed = False

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Keep the first failure, whatever raised it; only an explicit passed call counts as passed."""
        run = self._run(item)
        if run is not None and call.excinfo is not None:
            raised = call.excinfo.value
            call.excinfo = pytest.ExceptionInfo.from_exception(raised.with_traceback(_with_lines(raised.__traceback__)))
        report = yield
        if run is None or call.when == "teardown":
            return report
        error = call.excinfo.value if call.excinfo is not None else None
        skipped_by_us = call.when == "setup" and run.over is not None
        if error is not None and not (skipped_by_us and report.skipped):
            self._signals.armed = False
            if report.skipped or hasattr(report, "wasxfail"):
                error = Refused(f"'{_title(item)}' was skipped or is expected to fail, and a deploy has no such phase")
            run.failed(error)
        if call.when == "call" or (error is not None and not skipped_by_us):
            passed = report.when == "call" and report.passed and not hasattr(report, "wasxfail")
            run.item_reported(item.nodeid, _title(item), passed=passed, reason=str(error or ""))
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Take traffic back first thing after a failure, before any fixture is torn down."""
        run = self._run(item)
        error: BaseException | None = None
        if run is not None:
            try:
                run.roll_back(self._signals)
            except BaseException as raised:  # noqa: BLE001 - raised again once the fixtures are torn down
                error = raised
        result = yield
        if error is not None:
            raise error
        return result

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Leave pytest's progress dots out: our own lines say more."""
        words = {"passed": "PASSED", "failed": "FAILED", "skipped": "NOT RUN"}
        if Path(report.location[0]).suffix != ".feature" or self._config.get_verbosity() > 0:
            return None
        if report.when != "call" and report.outcome == "passed":
            return "", "", ""
        category = "error" if report.outcome == "failed" and report.when != "call" else report.outcome
        return category, "", words[report.outcome]

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logstart(self, location: tuple[str, int | None, str]) -> None:
        """Know that pytest has begun a line: a path for each file, with ``-v`` a node id for each item."""
        if self._config.get_verbosity() > 0 or location[0] != self._file:
            self.terminal.begun = True
        self._file = location[0]

    def _stop(self, reason: str) -> None:
        if self._pytest_session is not None:
            self._pytest_session.shouldstop = reason


def _with_lines(traceback: TracebackType | None) -> TracebackType | None:
    """Return the traceback without the frames that have no line.

    A signal that arrives between two lines raises in such a frame, and pytest can't show one.
    """
    if traceback is None:
        return None
    rest, line = _with_lines(traceback.tb_next), traceback.tb_lineno
    known: int | None = line  # typeshed says that it always is
    return rest if known is None else TracebackType(rest, traceback.tb_frame, traceback.tb_lasti, line)


def _title(item: pytest.Item) -> str:
    """Return the scenario's title with its Examples filled in."""
    module = item.getparent(FeatureModule)
    callspec = getattr(item, "callspec", None)
    example = callspec.params["_pytest_bdd_example"] if callspec is not None else {}
    name = getattr(item, "originalname", item.name)
    for step in module.resolved if module is not None else ():
        if step.scenario == name and dict(step.example) == dict(example):
            return step.title
    return str(item.name)
