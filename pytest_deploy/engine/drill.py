"""Drills: a feature that brings its own fault, and passes because the deploy ended as it says."""

from __future__ import annotations

from datetime import timedelta

from pytest_deploy.domain.fault import Fault
from pytest_deploy.domain.plan import gates_of
from pytest_deploy.engine import canary, gates, rollback
from pytest_deploy.engine.deploy import Deploy, Ending
from pytest_deploy.errors import DeployError, GateBreach, Refused, RollbackError

__all__ = [
    "inject",
    "must_call_human",
    "must_commit",
    "must_roll_back",
    "must_serve_old",
    "must_stop_unchanged",
]


def inject(deploy: Deploy, fault: Fault) -> None:
    """Let a fault begin.

    Raises:
        Refused: this world can't make things go wrong (the real one never can).
    """
    faults = deploy.ports.faults
    if faults is None:
        raise Refused("faults exist in the rehearsal and in the sandbox only", hint="add --rehearse or --sandbox")
    faults.inject(fault)
    deploy.faults.append(fault)
    deploy.found(f"fault: {fault.text}")


def must_roll_back(deploy: Deploy, cause: str, within: timedelta, place: str) -> None:
    """Watch until the SLO breaks (or take the failure that there was), roll back, and check why and how fast.

    Args:
        cause: in short what must have stopped it ("error rate", "pods crash").
        within: at most this long from the first sample that shows the fault until all is verified.

    Raises:
        AssertionError: the deploy was not stopped, or for another reason, or too late.
        RollbackError: the way back failed.
    """
    _provoke(deploy, place)
    failure = deploy.failure
    if failure is None:
        raise GateBreach("the deploy was not stopped: every gate passed", cause="drill")
    deploy.rolled_back = rollback.undo_all(deploy)
    if not deploy.rolled_back:
        raise GateBreach(f"there was nothing to roll back: it was stopped by {failure.error}", cause="drill")
    deploy.ended = Ending.ROLLED_BACK
    ended = deploy.ports.clock.now()
    if failure.cause != cause:
        raise GateBreach(f"stopped because of {failure.cause!r}, not of {cause!r}: {failure.error}", cause="drill")
    shown = [at for fault in deploy.faults if deploy.ports.faults and (at := deploy.ports.faults.began(fault))]
    if not shown:
        raise GateBreach(f"stopped by {failure.error}, but no fault of this drill was ever to be seen", cause="drill")
    took = ended - min(shown)
    limit = within
    if took > limit:
        raise GateBreach(
            f"rolled back {took.total_seconds():.1f} s after the fault could be seen, "
            f"at most {limit.total_seconds():.0f} s were allowed",
            cause="drill",
        )
    deploy.found(f"{failure.cause}: rolled back {took.total_seconds():.1f} s after it could be seen")


def must_serve_old(deploy: Deploy) -> None:
    """Look anew: the known-good version must have all traffic.

    Raises:
        AssertionError: it has not.
    """
    good = deploy.known_good
    proof = rollback.verify(canary.look(deploy), good) if good is not None else ()
    if not proof:
        raise GateBreach("the old version does not serve all traffic", cause="drill")
    deploy.found("; ".join(proof))


def must_stop_unchanged(deploy: Deploy, cause: str) -> None:
    """Check that the deploy was stopped for this reason before anything was changed.

    Raises:
        AssertionError: it was not, or for another reason, or something had been changed.
    """
    failure = deploy.failure
    if failure is None:
        raise GateBreach("the deploy was not stopped", cause="drill")
    if deploy.tx.undos:
        raise GateBreach(f"something had been changed already: {deploy.tx.undos}", cause="drill")
    if failure.cause != cause:
        raise GateBreach(f"stopped because of {failure.cause!r}, not of {cause!r}: {failure.error}", cause="drill")
    deploy.ended = Ending.UNCHANGED
    deploy.found(f"{failure.cause}: {str(failure.error).splitlines()[0]}")


def must_commit(deploy: Deploy) -> None:
    """Check that the fault did not stop the deploy, and that it was there to be met.

    Raises:
        AssertionError: the deploy is not committed, or no fault was ever met.
    """
    if deploy.failure is not None or not deploy.committed:
        raise GateBreach(f"the deploy is not committed: {deploy.failure or 'it has not come that far'}", cause="drill")
    faults = deploy.ports.faults
    if not deploy.faults or faults is None or any(faults.began(fault) is None for fault in deploy.faults):
        raise GateBreach("the fault of this drill was never met", cause="drill")
    deploy.ended = Ending.COMMITTED
    deploy.found(f"committed, although: {', '.join(fault.text for fault in deploy.faults)}")


def must_call_human(deploy: Deploy, place: str) -> None:
    """Let the deploy break, and check that the way back fails and says what a human needs.

    Raises:
        AssertionError: the deploy was not stopped, or its rollback went well.
    """
    _provoke(deploy, place)
    if deploy.failure is None:
        raise GateBreach("the deploy was not stopped: every gate passed", cause="drill")
    try:
        rollback.undo_all(deploy)
    except RollbackError as error:
        deploy.rollback_error = error
        if not error.left_behind or not error.commands:
            raise GateBreach("the failed rollback does not say what to do next", cause="drill") from error
        deploy.ended = Ending.HUMAN
        deploy.found(f"{error.left_behind[0]}; next: {error.commands[0]}")
        return
    raise GateBreach("the rollback went well, it was to fail", cause="drill")


def _provoke(deploy: Deploy, place: str) -> None:
    """Watch the SLO of deploy.yaml at the weight that was reached, unless the deploy has stopped already."""
    if deploy.failure is not None:
        return
    if deploy.reached is None:
        raise DeployError("the canary has no traffic yet: there is nothing that could break a gate")
    together = gates_of(deploy.slo, deploy.slo.window, scenario=deploy.scenario, place=place)
    try:
        gates.watch(deploy, together)
        for gate in together:
            if deploy.verdicts[gate] is not None:
                gates.check(deploy, gate, together)
    except (GateBreach, DeployError) as error:
        deploy.fail(error)
