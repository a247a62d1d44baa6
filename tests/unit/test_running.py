"""One deploy of a session from its first step to its exit status; 0 only where its end was observed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pytest_deploy.domain.event import ScenarioEnded, ScenarioStarted, StepEnded, StepStarted
from pytest_deploy.domain.outcome import Outcome
from pytest_deploy.engine import drill
from pytest_deploy.errors import (
    ConfigError,
    DeployCancelled,
    DeployError,
    GateBreach,
    Refused,
    RollbackError,
    ToolFailed,
)
from pytest_deploy.running import Run, Session
from pytest_deploy.signals import Signals
from tests.unit.engine.conftest import WEIGHTS, Bench

BREACH = GateBreach("too many", cause="error rate")


@dataclass
class Written:
    """A record that was written, or was not."""

    problems: Sequence[str] = ()
    last_line: str = "deploy d1: as it ended; note: reports/d1/note.md"


@dataclass(kw_only=True)
class Feature:
    """A run on the rehearsed world, driven as pytest's hooks drive it; nothing is installed for signals."""

    drill: bool = False
    wanted: tuple[str, ...] = ("pre-flight", "canary")
    sections: tuple[str, ...] = ()
    record: Written = field(default_factory=Written)
    error: BaseException | None = None
    opened: int = 0

    def __post_init__(self) -> None:
        self.bench = Bench(drill=self.drill, sections=self.sections)
        self.signals = Signals(stop=lambda reason: None, say=lambda text: None)
        self.run = Run(
            feature="features/x.feature",
            open=self._open,
            wanted=set(self.wanted),
            place=lambda line: f"x.feature:{line}",
        )

    def _open(self) -> tuple[Any, Any]:
        self.opened += 1
        if self.error is not None:
            raise self.error
        return self.bench.deploy, self.record

    def scenario(self, name: str, work: Callable[[], None] = lambda: None) -> BaseException | None:
        """Run one scenario with one step as pytest does, and return what it raised."""
        error: BaseException | None = None
        try:
            self.run.scenario_starts(name, 3)
            self.run.step_starts("When", "it works", 4)
            try:
                work()
            except BaseException as raised:
                self.run.step_ends("When", "it works", raised)
                raise
            self.run.step_ends("When", "it works", None)
            self.run.scenario_passed()
        except BaseException as raised:  # noqa: BLE001 - as pytest's call phase keeps it
            error = raised
            self.run.failed(raised)
        self.run.item_reported(name, name, passed=error is None, reason=str(error or ""))
        return error

    def end(self) -> int:
        """Close it, and return the exit status of a session that pytest itself takes for a success."""
        self.run.close(self.signals)
        return Session(runs={Path("x.feature"): self.run}).exit_status(0)


def canary(feature: Feature) -> None:
    """Go through all weights inside the scenario that runs now."""
    for weight in WEIGHTS:
        before = feature.bench.deploy.scenario, feature.bench.deploy.place
        feature.bench.pass_through(weight)
        feature.bench.deploy.scenario, feature.bench.deploy.place = before


# Opening


def test_it_is_opened_once() -> None:
    """On the first step that needs it; until then there is nothing to say of it."""
    made = Feature()
    assert made.run.over is None
    assert list(made.run.last_lines()) == []
    made.scenario("pre-flight")
    made.scenario("canary")
    assert made.opened == 1


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (Refused("no kube context"), 4, "REFUSED, nothing changed"),
        (ConfigError(["deploy.yaml:1:1: no"]), 4, "REFUSED, nothing changed"),
        (DeployCancelled("SIGTERM"), 2, "INTERRUPTED, nothing had been changed"),
        (ZeroDivisionError("ours"), 3, "INTERNAL ERROR, nothing changed"),
        (ZeroDivisionError(), 3, "INTERNAL ERROR, nothing changed"),
    ],
)
def test_it_cant_be_opened(error: BaseException, status: int, words: str) -> None:
    """The error is raised and kept; nothing further runs, and the last line says how it ended."""
    made = Feature(error=error)
    assert made.scenario("pre-flight") is error
    assert made.run.over == (str(error) or "the deploy could not begin")
    made.run.not_run("canary", made.run.over)
    made.run.roll_back(made.signals)
    assert made.end() == status
    assert list(made.run.last_lines()) == [f"deploy of features/x.feature: {words}"]


def test_a_failure_before_the_deploy_is_kept() -> None:
    """A team's fixture that fails before the first step: never a success; the first error is the one that counts."""
    made = Feature()
    first = Refused("no")
    made.run.failed(first)
    made.run.failed(ZeroDivisionError())
    assert made.run.refused is first
    assert made.end() == 4


def test_a_skipped_deploy_is_no_success() -> None:
    """Skipped from the first scenario on, as a mark does it: it never began, and that is not 0."""
    made = Feature()
    for name in made.wanted:
        made.run.failed(pytest.skip.Exception("not today"))
        made.run.item_reported(name, name, passed=False, reason="not today")
    assert made.end() not in {0, 5}


# How it ends


def test_committed() -> None:
    """All scenarios passed: the canary is committed by the end of the one with its last gate."""
    made = Feature()
    made.scenario("pre-flight")
    assert made.scenario("canary", lambda: canary(made)) is None
    assert made.run.over is None
    assert made.end() == 0
    assert made.run.outcome is Outcome.COMMITTED
    assert made.bench.state().promoted
    assert list(made.run.last_lines()) == ["deploy d1: as it ended; note: reports/d1/note.md"]


def test_a_scenario_without_an_explicit_pass() -> None:
    """Skipped, xfailed or never reported, committed or not: what was changed is taken back, and it is not 0."""
    made = Feature()
    made.scenario("canary", lambda: canary(made))
    assert made.bench.deploy.committed
    made.run.item_reported("pre-flight", "pre-flight", passed=False, reason="xfail")
    assert made.end() == 1
    assert made.bench.old_serves()
    assert made.bench.told(ScenarioEnded)[-1].status == "broken"


@pytest.mark.parametrize(
    ("error", "status", "step"),
    [
        (BREACH, 1, "failed"),
        (AssertionError(), 1, "failed"),
        (ToolFailed("helm"), 1, "broken"),
        (ZeroDivisionError("ours"), 3, "broken"),
        (DeployCancelled("SIGINT"), 2, "broken"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_a_step_that_fails(error: BaseException, status: int, step: str) -> None:
    """It is told as failed or broken, what follows does not run, and the old version serves."""
    made = Feature()

    def work() -> None:
        made.bench.pass_through(5)
        raise error

    made.scenario("canary", work)
    assert made.run.over == f"'Canary at 5%' stopped the deploy ({made.bench.deploy.failure.cause})"
    ended = made.bench.told(StepEnded)[0]
    assert (ended.status, ended.detail) == (step, str(error) or type(error).__name__)
    assert made.bench.told(ScenarioEnded)[0].status == step
    made.run.not_run("afterwards", made.run.over)
    assert made.bench.told(ScenarioEnded)[1].status == "not run"
    made.run.roll_back(made.signals)
    assert made.bench.old_serves(), "at the item's own teardown, not at the session's end"
    assert made.end() == status


def test_steps_and_scenarios_are_told_with_their_place() -> None:
    """What began, where, and what it found."""
    made = Feature()
    made.scenario("pre-flight", lambda: made.bench.deploy.found("all is well"))
    (scenario,), (step,) = made.bench.told(ScenarioStarted), made.bench.told(StepStarted)
    assert (scenario.title, scenario.place) == ("pre-flight", "x.feature:3")
    assert (step.keyword, step.text, step.place) == ("When", "it works", "x.feature:4")
    (ended,) = made.bench.told(StepEnded)
    assert (ended.status, ended.detail) == ("passed", "all is well")


def test_the_commitment_can_fail() -> None:
    """It belongs to the scenario that completed the canary, and takes all back."""
    made = Feature()

    def work() -> None:
        canary(made)
        made.bench.fault("promote refused")

    assert made.scenario("canary", work) is not None
    assert made.bench.deploy.failure is not None
    assert made.bench.deploy.failure.step == "the commitment"
    assert made.end() == 1
    assert made.bench.old_serves()


def test_no_failure_no_early_rollback() -> None:
    """Between scenarios that pass nothing is taken back."""
    made = Feature()
    made.scenario("canary", lambda: made.bench.pass_through(5))
    made.run.roll_back(made.signals)
    assert made.bench.state().weight_percent == 5.0
    assert made.end() == 1, "never committed, so it is taken back at the end"
    assert made.bench.old_serves()


def test_a_failed_rollback_needs_a_human() -> None:
    """7, with the same error at each call, told once."""
    made = Feature()
    made.scenario("canary", lambda: made.bench.pass_through(5))
    made.run.failed(BREACH)
    made.bench.alter("helm", execute=lambda original, action: (_ for _ in ()).throw(ToolFailed("no ConfigMap")))
    with pytest.raises(RollbackError, match="no ConfigMap"):
        made.run.roll_back(made.signals)
    assert made.end() == 7
    assert made.run.outcome is Outcome.NEEDS_HUMAN
    made.run.close(made.signals)
    assert made.end() == 7


def test_a_failed_rollback_at_the_very_end() -> None:
    """Also where nothing had failed before: close raises nothing, and the status says it."""
    made = Feature()
    made.scenario("canary", lambda: made.bench.pass_through(5))
    made.bench.alter("helm", execute=lambda original, action: (_ for _ in ()).throw(ToolFailed("no ConfigMap")))
    assert made.end() == 7


def test_a_rollback_that_breaks(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """An error of our own on the way back is a human's case too, with a command to begin with."""
    made = Feature()
    made.scenario("canary", lambda: made.bench.pass_through(5))

    def broken(deploy: object) -> bool:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr("pytest_deploy.engine.rollback.undo_all", broken)
    assert made.end() == 7
    assert made.bench.deploy.rollback_error is not None
    assert made.bench.deploy.rollback_error.commands[0].startswith("kubectl --context acme-prod --namespace prod get ")
    assert "the rollback broke" in caplog.text


def test_an_end_that_breaks_is_never_zero(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A reporter that crashes at the end of a committed deploy: close raises nothing, and the status is 3."""
    made = Feature()
    made.scenario("pre-flight")
    made.scenario("canary", lambda: canary(made))

    def broken(deploy: object) -> Outcome:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr("pytest_deploy.engine.finish.close", broken)
    assert made.end() == 3
    assert "the end of the deploy broke" in caplog.text
    made.bench.deploy.rollback_error = RollbackError("it failed", left_behind=("pods",), commands=("kubectl",))
    assert made.end() == 7, "and where the way back had failed before, that comes first"


# Signals


def test_a_signal_between_steps() -> None:
    """Nothing has failed, the signal came, the deploy is not at its end: interrupted, taken back."""
    made = Feature()
    made.scenario("canary", lambda: made.bench.pass_through(5))
    made.signals.armed = True
    made.signals.received.append("SIGTERM")
    made.run.roll_back(made.signals)
    assert not made.signals.armed, "from here on signals are only counted"
    assert made.bench.old_serves()
    assert made.end() == 2
    assert made.run.outcome is Outcome.INTERRUPTED


def test_a_signal_before_the_first_write() -> None:
    """Nothing had been changed."""
    made = Feature()
    made.scenario("pre-flight")
    made.signals.received.append("SIGINT")
    assert made.end() == 2
    assert made.run.outcome is Outcome.INTERRUPTED_EARLY


def test_a_signal_after_the_end() -> None:
    """Committed is committed: a signal that comes during the teardown undoes nothing."""
    made = Feature()
    made.scenario("pre-flight")
    made.scenario("canary", lambda: canary(made))
    made.signals.received.append("SIGTERM")
    made.run.roll_back(made.signals)
    assert made.end() == 0
    assert made.bench.state().promoted


# Drills


def fails_at_5(made: Feature) -> None:
    """Let the first weight fail, inside a step of a drill."""
    made.bench.fault("pods crash at 5%")
    made.bench.deploy.run(lambda: made.bench.raise_to(5))


def test_a_drill_is_over_when_it_ended_as_expected() -> None:
    """A failure alone is no end in a drill; what follows the expected end is not run, and that is its success."""
    made = Feature(drill=True)
    made.scenario("pre-flight", lambda: fails_at_5(made))
    assert made.bench.deploy.failure is not None
    assert made.run.over is None
    made.scenario(
        "canary", lambda: drill.must_roll_back(made.bench.deploy, "pods crash", timedelta(minutes=1), "x.feature:20")
    )
    assert made.run.over == "the drill has ended as expected: rolled back"
    assert made.end() == 0
    assert made.run.outcome is Outcome.DRILL_PASSED


def test_a_drill_that_failed_is_over() -> None:
    """Its Then raised: failed, taken back, and nothing further runs."""
    made = Feature(drill=True)
    made.scenario("canary", lambda: drill.must_commit(made.bench.deploy))
    assert made.run.over == "the drill has failed"
    assert made.end() == 1
    assert made.run.outcome is Outcome.DRILL_FAILED


def test_a_drill_that_commits_goes_on() -> None:
    """The scenarios after the commitment belong to it."""
    made = Feature(drill=True, sections=("chat",))

    def work() -> None:
        made.bench.fault("notifier down")
        canary(made)

    def chat() -> None:
        with pytest.raises(DeployError):
            made.bench.deploy.ports.capabilities["chat"]("note")
        drill.must_commit(made.bench.deploy)

    made.scenario("pre-flight", work)
    made.scenario("canary", chat)
    assert made.run.over is None
    assert made.end() == 0
    assert made.run.outcome is Outcome.COMMITTED


# The session


def test_a_record_that_is_not_whole() -> None:
    """A committed deploy without its evidence is 3, and the lines say what is missing."""
    made = Feature(record=Written(problems=["note.md: no space left on device"]))
    made.scenario("pre-flight")
    made.scenario("canary", lambda: canary(made))
    assert made.end() == 3
    assert next(made.run.last_lines()) == "deploy d1: the record is not whole: note.md: no space left on device"


def session(*outcomes: Outcome | None, record: Written | None = None) -> Session:
    """A session of deploys that ended so; None never began."""
    runs = {}
    for number, outcome in enumerate(outcomes):
        made = Feature(record=record or Written())
        if outcome is not None:
            made.run.opened()
            made.run.outcome = outcome
        runs[Path(f"{number}.feature")] = made.run
    return Session(runs=runs)


@pytest.mark.parametrize(
    ("outcomes", "of_pytest", "status"),
    [
        ((), 0, 0),
        ((), 1, 1),
        ((), 5, 5),
        ((None,), 1, 1),
        ((None,), 2, 2),
        ((None,), 5, 5),
        ((Outcome.COMMITTED,), 0, 0),
        ((Outcome.COMMITTED,), 1, 1),
        ((Outcome.COMMITTED,), 2, 2),
        ((Outcome.COMMITTED,), 3, 3),
        ((Outcome.REFUSED,), 1, 4),
        ((Outcome.ROLLED_BACK,), 1, 1),
        ((Outcome.ROLLED_BACK,), 2, 2),
        ((Outcome.ROLLED_BACK,), 3, 3),
        ((Outcome.INTERRUPTED,), 2, 2),
        ((Outcome.INTERRUPTED,), 3, 2),
        ((Outcome.CRASHED,), 1, 3),
        ((Outcome.NEEDS_HUMAN,), 0, 7),
        ((Outcome.NEEDS_HUMAN,), 1, 7),
        ((Outcome.NEEDS_HUMAN,), 2, 7),
        ((Outcome.NEEDS_HUMAN,), 3, 7),
        ((Outcome.COMMITTED, Outcome.REFUSED), 0, 4),
        ((Outcome.REFUSED, Outcome.ROLLED_BACK), 1, 1),
        ((Outcome.ROLLED_BACK, Outcome.CRASHED), 1, 3),
        ((Outcome.CRASHED, Outcome.INTERRUPTED), 1, 2),
        ((Outcome.INTERRUPTED, Outcome.NEEDS_HUMAN), 1, 7),
        ((Outcome.COMMITTED, None), 0, 1),
        ((Outcome.REFUSED, None), 1, 4),
        ((Outcome.COMMITTED,), 42, 42),
    ],
)  # fmt: skip
def test_the_exit_status(outcomes: tuple[Outcome | None, ...], of_pytest: int, status: int) -> None:
    """7 before 2 before 3 before 1 before 4; pytest's own 1 is the echo of ours, its 2 and 3 are not."""
    assert session(*outcomes).exit_status(of_pytest) == status


def test_features_that_cant_be_collected() -> None:
    """The 2 of pytest for collection errors becomes 4 where only features are concerned."""
    assert Session(features_not_collected=True).exit_status(2) == 4
    assert Session(features_not_collected=True, others_not_collected=True).exit_status(2) == 2
    assert Session(others_not_collected=True).exit_status(2) == 2
    assert Session(features_not_collected=True).exit_status(1) == 1


def test_an_admitted_deploy_that_never_began_is_no_success() -> None:
    """Nothing failed for pytest, and not one scenario of the deploy was run: that is not 0."""
    assert session(None).exit_status(0) == 1
