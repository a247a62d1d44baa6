"""The end: every path to its outcome, decided from what was observed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from pytest_deploy.domain.event import DeployEnded, Warned
from pytest_deploy.domain.journal import Milestone
from pytest_deploy.domain.outcome import Outcome
from pytest_deploy.engine import drill, finish
from pytest_deploy.engine.deploy import Ending
from pytest_deploy.errors import (
    ConfigError,
    DeployCancelled,
    DeployError,
    GateBreach,
    Refused,
    RollbackError,
    ToolFailed,
)
from tests.unit.engine.conftest import Bench

Benches = Callable[..., Bench]
BREACH = GateBreach("too many", cause="error rate")


def end(made: Bench) -> Outcome:
    """End it as a session does; what is told and journalled must agree with the outcome."""
    with suppress(RollbackError):
        finish.roll_back(made.deploy)
    outcome = finish.close(made.deploy)
    (ended,) = made.told(DeployEnded)
    assert ended.outcome is outcome
    assert ended.words.startswith(f"deploy d1: {outcome.words}")
    entries = made.world.ports().journal.entries()
    closed = bool(entries) and entries[-1].milestone is Milestone.CLOSED
    if made.deploy.ended is not Ending.HUMAN:
        assert closed == (made.deploy.tx.opened and outcome is not Outcome.NEEDS_HUMAN)
    return outcome


def stop(made: Bench, error: BaseException, *, changed: bool) -> Outcome:
    """Let it fail so, before or after the first weight, and end it."""
    if changed:
        made.pass_through(5)
    made.deploy.fail(error)
    return end(made)


@pytest.mark.parametrize(
    ("error", "unchanged", "changed"),
    [
        (BREACH, Outcome.STOPPED, Outcome.ROLLED_BACK),
        (AssertionError("a team's own check"), Outcome.STOPPED, Outcome.ROLLED_BACK),
        (ToolFailed("helm"), Outcome.REFUSED, Outcome.ROLLED_BACK),
        (Refused("no"), Outcome.REFUSED, Outcome.ROLLED_BACK),
        (ConfigError(["deploy.yaml:1:1: no"]), Outcome.REFUSED, Outcome.ROLLED_BACK),
        (DeployCancelled("SIGTERM"), Outcome.INTERRUPTED_EARLY, Outcome.INTERRUPTED),
        (ZeroDivisionError("ours"), Outcome.CRASHED_EARLY, Outcome.CRASHED),
        (KeyboardInterrupt(), Outcome.CRASHED_EARLY, Outcome.CRASHED),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_each_failure_has_its_end(bench: Benches, error: BaseException, unchanged: Outcome, changed: Outcome) -> None:
    """By what went wrong and by whether anything had been changed; after a change the old version serves."""
    assert stop(bench(), error, changed=False) is unchanged
    made = bench()
    assert stop(made, error, changed=True) is changed
    assert made.old_serves()


def test_all_went_well(bench: Benches) -> None:
    """Committed and every scenario passed; nothing is rolled back."""
    made = bench()
    made.committed()
    made.deploy.all_passed = True
    before = made.done()
    assert end(made) is Outcome.COMMITTED
    assert made.done() == before
    assert made.state().promoted


def test_nothing_was_to_be_moved(bench: Benches) -> None:
    """A release candidate passes without traffic; a journal that holds nothing is not closed."""
    made = bench()
    made.deploy.stages = ()
    made.deploy.all_passed = True
    assert end(made) is Outcome.PASSED
    assert made.world.ports().journal.entries() == ()


def test_committed_is_not_enough(bench: Benches) -> None:
    """A scenario after the commitment that was skipped, or that is left out, is no commitment: it is taken back."""
    made = bench()
    made.committed()
    assert end(made) is Outcome.ROLLED_BACK
    assert made.old_serves()


def test_nothing_ran(bench: Benches) -> None:
    """No failure, no commitment and nothing changed: stopped, never a success."""
    assert end(bench()) is Outcome.STOPPED


@pytest.mark.parametrize("error", [BREACH, DeployCancelled("SIGTERM"), ZeroDivisionError()])
def test_a_failed_rollback_comes_before_all(bench: Benches, error: BaseException) -> None:
    """Whatever stopped it; the error is the same when asked again, and nothing more is tried by then."""
    made = bench()
    made.pass_through(5)
    made.alter("helm", execute=lambda original, action: (_ for _ in ()).throw(ToolFailed("no ConfigMap")))
    assert stop(made, error, changed=False) is Outcome.NEEDS_HUMAN
    before = made.done()
    with pytest.raises(RollbackError) as raised:
        finish.roll_back(made.deploy)
    assert raised.value is made.deploy.rollback_error
    assert made.done() == before


def test_rolling_back_again_forgets_nothing(bench: Benches) -> None:
    """The second call finds nothing to do, and the deploy counts as rolled back all the same."""
    made = bench()
    made.pass_through(5)
    made.deploy.fail(BREACH)
    finish.roll_back(made.deploy)
    assert end(made) is Outcome.ROLLED_BACK


def test_what_is_off_is_counted(bench: Benches) -> None:
    """The last line says how many steps did nothing, each section once."""
    made = bench()
    for section in ("scan", "chat", "scan"):
        made.deploy.switched_off(section, "it")
    end(made)
    assert made.told(DeployEnded)[0].words.endswith(" (3 steps OFF: scan, chat)")
    assert made.told(DeployEnded)[0].off == 3


def test_a_journal_that_cant_be_closed(bench: Benches) -> None:
    """A full disk at the very end changes no outcome: it is told."""
    made = bench()
    made.committed()
    made.deploy.all_passed = True
    full = DeployError("no space left on device")
    made.alter("journal", append=lambda original, entry: (_ for _ in ()).throw(full))
    assert finish.close(made.deploy) is Outcome.COMMITTED
    assert "no space left" in made.told(Warned)[0].text
    assert made.told(DeployEnded)


# Drills


def test_a_drill_that_ended_as_expected(bench: Benches) -> None:
    """Rolled back, or stopped with nothing changed: passed."""
    made = bench(drill=True)
    made.pass_through(5)
    made.fault("error rate 5%")
    drill.must_roll_back(made.deploy, "error rate", timedelta(minutes=2), "x.feature:20")
    assert end(made) is Outcome.DRILL_PASSED
    assert made.old_serves()
    unchanged = bench(drill=True)
    unchanged.deploy.fail(BREACH)
    drill.must_stop_unchanged(unchanged.deploy, "error rate")
    assert end(unchanged) is Outcome.DRILL_PASSED


def test_a_drill_that_called_a_human(bench: Benches) -> None:
    """It passed, and its world is whole again afterwards."""
    made = bench(drill=True)
    made.pass_through(5)
    made.fault("error rate 5%")
    made.fault("rollback fails")
    drill.must_call_human(made.deploy, "x.feature:20")
    assert end(made) is Outcome.DRILL_CALLED_HUMAN
    assert made.old_serves()
    assert made.told(Warned) == []


def test_a_world_that_cant_be_mended(bench: Benches) -> None:
    """A way back that is broken in earnest, not by the drill, needs a human: exit 7, and the journal stays open."""
    made = bench(drill=True)
    made.pass_through(5)
    made.fault("error rate 5%")
    made.alter("helm", execute=lambda original, action: (_ for _ in ()).throw(ToolFailed("no ConfigMap")))
    drill.must_call_human(made.deploy, "x.feature:20")
    assert end(made) is Outcome.NEEDS_HUMAN
    assert made.told(Warned)[0].text.startswith("the drill left its world broken: the rollback failed: no ConfigMap")


def test_faults_that_dont_end(bench: Benches) -> None:
    """A sandbox that can't take its fault back is told, and changes no outcome."""
    made = bench(drill=True)
    made.deploy.fail(BREACH)
    drill.must_stop_unchanged(made.deploy, "error rate")
    made.alter("faults", end=lambda original: (_ for _ in ()).throw(ToolFailed("kubectl: connection refused")))
    assert end(made) is Outcome.DRILL_PASSED
    assert "the drill left its world broken: kubectl: connection refused" in made.told(Warned)[0].text


def test_a_drill_without_its_end(bench: Benches) -> None:
    """Not observed, or observed and then something failed: failed, and undone."""
    made = bench(drill=True)
    made.pass_through(5)
    assert end(made) is Outcome.DRILL_FAILED
    assert made.old_serves()
    later = bench(drill=True)
    later.deploy.fail(BREACH)
    drill.must_stop_unchanged(later.deploy, "error rate")
    later.deploy.drill_failed = True
    assert end(later) is Outcome.DRILL_FAILED


def committed_all_the_same(made: Bench) -> None:
    """Commit although a fault was met."""
    made.fault("notifier down")
    made.committed()
    with pytest.raises(DeployError):
        made.deploy.ports.capabilities["chat"]("note")
    drill.must_commit(made.deploy)


def test_a_drill_that_was_to_commit(bench: Benches) -> None:
    """It counts as committed only when every scenario passed; else it is taken back, and has failed."""
    made = bench(drill=True, sections=("chat",))
    committed_all_the_same(made)
    made.deploy.all_passed = True
    assert end(made) is Outcome.COMMITTED
    assert made.state().promoted
    skipped = bench(drill=True, sections=("chat",))
    committed_all_the_same(skipped)
    assert end(skipped) is Outcome.DRILL_FAILED
    assert skipped.old_serves()


def test_a_drill_whose_rollback_fails_by_itself(bench: Benches) -> None:
    """Nobody drilled that: a human is needed."""
    made = bench(drill=True)
    made.pass_through(5)
    made.deploy.fail(BREACH)
    made.alter("helm", execute=lambda original, action: (_ for _ in ()).throw(ToolFailed("no ConfigMap")))
    assert end(made) is Outcome.NEEDS_HUMAN


def test_a_drill_that_was_interrupted(bench: Benches) -> None:
    """A signal is a signal, in a drill too."""
    assert stop(bench(drill=True), DeployCancelled("SIGINT"), changed=False) is Outcome.INTERRUPTED_EARLY
    made = bench(drill=True)
    assert stop(made, DeployCancelled("SIGINT"), changed=True) is Outcome.INTERRUPTED
    assert made.old_serves()


def test_without_faults_nothing_is_mended(bench: Benches) -> None:
    """The real world has none to end."""
    made = bench()
    made.use(replace(made.deploy.ports, faults=None))
    made.deploy.fail(BREACH)
    assert end(made) is Outcome.STOPPED
