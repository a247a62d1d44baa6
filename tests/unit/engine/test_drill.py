"""Drills: they pass only because the deploy ended as it says, for the cause it says, in time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from pytest_deploy.domain.fault import parse_fault
from pytest_deploy.engine import drill, finish
from pytest_deploy.engine.deploy import Ending
from pytest_deploy.errors import DeployError, GateBreach, Refused, RollbackError, ToolFailed
from tests.unit.engine.conftest import Bench

Benches = Callable[..., Bench]
MINUTE = timedelta(minutes=1)
PLACE = "x.feature:20"


def roll_back(made: Bench, cause: str = "error rate", within: timedelta = MINUTE) -> None:
    """Expect the rollback, as the step does."""
    drill.must_roll_back(made.deploy, cause, within, PLACE)


def bad_at_25(made: Bench, fault: str = "error rate 5%") -> None:
    """Bring the canary to 25 % and let it go wrong there."""
    made.pass_through(5)
    made.raise_to(25)
    made.fault(fault)


def test_the_real_world_has_no_faults(bench: Benches) -> None:
    """Nothing is ever broken on purpose where users are."""
    made = bench()
    made.use(replace(made.deploy.ports, faults=None))
    with pytest.raises(Refused, match="faults exist in the rehearsal and in the sandbox only") as raised:
        drill.inject(made.deploy, parse_fault("no data"))
    assert raised.value.hint == "add --rehearse or --sandbox"
    assert made.deploy.faults == []


# Rolled back


def test_it_watches_until_the_slo_breaks(bench: Benches) -> None:
    """The SLO of deploy.yaml is watched at the weight that was reached; then all is taken back, and timed."""
    made = bench(drill=True)
    bad_at_25(made)
    roll_back(made)
    assert made.old_serves()
    assert made.deploy.ended is Ending.ROLLED_BACK
    assert made.deploy.step_detail.startswith("error rate: rolled back ")
    drill.must_serve_old(made.deploy)
    assert "traffic: all of it to this version" in made.deploy.step_detail


def test_a_failure_that_was_there_is_taken(bench: Benches) -> None:
    """Where the deploy has stopped already nothing is watched any more."""
    made = bench(drill=True)
    made.fault("pods crash at 5%")
    made.deploy.run(lambda: made.raise_to(5))
    before = made.world.clock.monotonic()
    roll_back(made, cause="pods crash")
    assert made.world.clock.monotonic() - before < 30
    assert made.old_serves()


def test_what_the_watch_itself_meets(bench: Benches) -> None:
    """A rollout that somebody moves during the watch is the failure, and not the cause that was expected."""
    made = bench(drill=True)
    bad_at_25(made, "no data")
    made.alter(
        "traffic", state=lambda original, target: replace(original(target), held_by_spec=not made.deploy.failure)
    )
    with pytest.raises(GateBreach, match="stopped because of 'foreign change', not of 'error rate'"):
        roll_back(made)
    assert made.old_serves(), "it is rolled back all the same"


def test_a_good_canary_is_no_rollback(bench: Benches) -> None:
    """A drill whose fault does nothing fails."""
    made = bench(drill=True)
    made.pass_through(5)
    with pytest.raises(GateBreach, match="the deploy was not stopped: every gate passed"):
        roll_back(made)
    assert made.deploy.ended is None


def test_nothing_to_roll_back(bench: Benches) -> None:
    """Stopped before the first write is another end."""
    made = bench(drill=True)
    made.deploy.fail(GateBreach("an incident is open", cause="incident open"))
    with pytest.raises(GateBreach, match="there was nothing to roll back: it was stopped by an incident is open"):
        roll_back(made, cause="incident open")
    assert made.deploy.ended is None


def test_another_cause(bench: Benches) -> None:
    """Rolled back for another reason is not what was drilled."""
    made = bench(drill=True)
    bad_at_25(made, "p95 latency 900ms")
    with pytest.raises(GateBreach, match="stopped because of 'p95 latency', not of 'error rate'"):
        roll_back(made)
    assert made.old_serves()


def test_too_late(bench: Benches) -> None:
    """The limit counts from the first sample that shows the fault until all is verified."""
    made = bench(drill=True)
    bad_at_25(made)
    with pytest.raises(GateBreach, match=r"rolled back \d+\.\d s after the fault could be seen, at most 1 s were"):
        roll_back(made, within=timedelta(seconds=1))
    assert made.old_serves()


def test_a_fault_that_nobody_met(bench: Benches) -> None:
    """The right cause without the fault is chance: the drill has proved nothing."""
    made = bench(drill=True)
    made.pass_through(5)
    made.deploy.fail(GateBreach("by chance", cause="error rate"))
    with pytest.raises(GateBreach, match="no fault of this drill was ever to be seen"):
        roll_back(made)


def test_a_rollback_that_fails_is_no_drill(bench: Benches) -> None:
    """It is what it is: a human is needed."""
    made = bench(drill=True)
    bad_at_25(made)
    made.alter("helm", execute=lambda original, action: (_ for _ in ()).throw(ToolFailed("no ConfigMap")))
    with pytest.raises(RollbackError, match="no ConfigMap"):
        roll_back(made)
    assert made.deploy.ended is None


def test_before_the_canary_nothing_can_break(bench: Benches) -> None:
    """A Then without any weight before it is a mistake of the feature."""
    made = bench(drill=True)
    for end in (lambda: roll_back(made), lambda: drill.must_call_human(made.deploy, PLACE)):
        with pytest.raises(DeployError, match="the canary has no traffic yet"):
            end()


def test_the_old_version_must_serve(bench: Benches) -> None:
    """Looked at anew: neither while the canary runs, nor before it is known what the old version is."""
    made = bench(drill=True)
    with pytest.raises(GateBreach, match="the old version does not serve all traffic"):
        drill.must_serve_old(made.deploy)
    made.raise_to(5)
    with pytest.raises(GateBreach, match="the old version does not serve all traffic"):
        drill.must_serve_old(made.deploy)


# Stopped with nothing changed


def test_stopped_before_the_first_write(bench: Benches) -> None:
    """The cause fits, and nothing is in the journal that would have to be undone."""
    made = bench(drill=True)
    made.deploy.fail(GateBreach("an incident is open\n  since 20 min", cause="incident open"))
    drill.must_stop_unchanged(made.deploy, "incident open")
    assert made.deploy.ended is Ending.UNCHANGED
    assert made.deploy.step_detail == "incident open: an incident is open"


def test_it_was_not_stopped(bench: Benches) -> None:
    """No failure, no end."""
    with pytest.raises(GateBreach, match="the deploy was not stopped"):
        drill.must_stop_unchanged(bench(drill=True).deploy, "incident open")


def test_something_had_been_changed(bench: Benches) -> None:
    """An upgrade that was begun is a change, also where Helm took it back itself."""
    made = bench(drill=True)
    made.fault("helm upgrade fails")
    made.deploy.run(lambda: made.raise_to(5))
    with pytest.raises(GateBreach, match="something had been changed already"):
        drill.must_stop_unchanged(made.deploy, "helm upgrade")
    assert made.deploy.ended is None


def test_stopped_by_something_else(bench: Benches) -> None:
    """A refusal for another reason is not what was drilled."""
    made = bench(drill=True)
    made.deploy.fail(Refused("no Rollout"))
    with pytest.raises(GateBreach, match="stopped because of 'Refused', not of 'incident open': no Rollout"):
        drill.must_stop_unchanged(made.deploy, "incident open")


# Committed all the same


def test_a_fault_that_must_not_stop_it(bench: Benches) -> None:
    """Met, and committed all the same."""
    made = bench(drill=True, sections=("chat",))
    made.fault("notifier down")
    made.committed()
    with pytest.raises(GateBreach, match="the fault of this drill was never met"):
        drill.must_commit(made.deploy)
    assert made.deploy.ended is None
    with pytest.raises(DeployError):
        made.deploy.ports.capabilities["chat"]("note")
    drill.must_commit(made.deploy)
    assert made.deploy.ended is Ending.COMMITTED
    assert made.deploy.step_detail == "committed, although: notifier down"


def test_committed_without_any_fault(bench: Benches) -> None:
    """A drill without a fault drills nothing."""
    made = bench(drill=True)
    made.committed()
    with pytest.raises(GateBreach, match="was never met"):
        drill.must_commit(made.deploy)
    made.use(replace(made.deploy.ports, faults=None))
    made.deploy.faults.append(parse_fault("no data"))
    with pytest.raises(GateBreach, match="was never met"):
        drill.must_commit(made.deploy)


def test_not_committed(bench: Benches) -> None:
    """Neither on the way nor after a failure."""
    made = bench(drill=True)
    made.pass_through(5)
    with pytest.raises(GateBreach, match="the deploy is not committed: it has not come that far"):
        drill.must_commit(made.deploy)
    made.deploy.fail(GateBreach("too many", cause="error rate"))
    with pytest.raises(GateBreach, match=r"the deploy is not committed: .*too many"):
        drill.must_commit(made.deploy)


# A human is called


def test_a_rollback_that_fails_calls_a_human(bench: Benches) -> None:
    """The error says what is left behind and what to run; afterwards the world is mended."""
    made = bench(drill=True)
    bad_at_25(made)
    made.fault("rollback fails")
    drill.must_call_human(made.deploy, PLACE)
    assert made.deploy.ended is Ending.HUMAN
    assert made.deploy.rollback_error is not None
    assert "; next: kubectl --context acme-prod" in made.deploy.step_detail
    assert not made.old_serves()
    finish.roll_back(made.deploy)
    finish.close(made.deploy)
    assert made.old_serves()


def test_a_rollback_that_goes_well_calls_nobody(bench: Benches) -> None:
    """Then the drill has failed, and the deploy is rolled back."""
    made = bench(drill=True)
    bad_at_25(made)
    with pytest.raises(GateBreach, match="the rollback went well, it was to fail"):
        drill.must_call_human(made.deploy, PLACE)
    assert made.old_serves()


def test_a_good_canary_calls_nobody(bench: Benches) -> None:
    """Without a breach there is no rollback that could fail."""
    made = bench(drill=True)
    made.pass_through(5)
    with pytest.raises(GateBreach, match="the deploy was not stopped: every gate passed"):
        drill.must_call_human(made.deploy, PLACE)


def test_an_error_that_helps_nobody(bench: Benches, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed rollback that does not say what to do next fails the drill."""
    made = bench(drill=True)
    bad_at_25(made)

    def mute(deploy: object) -> bool:
        raise RollbackError("it failed", left_behind=(), commands=("kubectl get pods",))

    monkeypatch.setattr(drill.rollback, "undo_all", mute)
    with pytest.raises(GateBreach, match="does not say what to do next"):
        drill.must_call_human(made.deploy, PLACE)
    assert made.deploy.ended is None
