"""The end of a deploy: undo what is open, say how it ended. Called once, whatever happened before."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

from pytest_deploy.domain.event import DeployEnded
from pytest_deploy.domain.journal import Milestone
from pytest_deploy.domain.outcome import Outcome
from pytest_deploy.engine import approval, record, rollback
from pytest_deploy.engine.deploy import Deploy, Ending
from pytest_deploy.errors import DeployCancelled, DeployError, LockLost, RollbackError

__all__ = ["close", "roll_back"]


def roll_back(deploy: Deploy) -> None:
    """Take back all that is open, unless the deploy has reached its end; may be called again.

    Raises:
        RollbackError: it failed or could not be verified; the same error when called again.
    """
    if deploy.rollback_error is not None:
        if deploy.ended is Ending.HUMAN:
            return
        raise deploy.rollback_error
    if deploy.reached_its_end:
        return
    try:
        _check_lock(deploy)
        deploy.rolled_back = rollback.undo_all(deploy) or deploy.rolled_back
    except RollbackError as error:
        deploy.rollback_error = error
        _check_lock(deploy)
        raise


def close(deploy: Deploy) -> Outcome:
    """Decide the outcome from what was observed, journal the end and tell it.

    Call ``roll_back`` first; what is still open here is NEEDS_HUMAN.
    """
    _mend(deploy)
    outcome = _outcome(deploy)
    record.at_end(deploy, outcome.words)
    if outcome is Outcome.NEEDS_HUMAN:
        _leave(deploy)
    else:
        _end(deploy, outcome)
    approval.take_back(deploy)
    text = _words(deploy, outcome)
    deploy.emit(DeployEnded(at=deploy.ports.clock.now(), outcome=outcome, words=text, off=len(deploy.off)))
    return outcome


def _end(deploy: Deploy, outcome: Outcome) -> None:
    """Close the journal, and only then give the lock back: what is open stays locked, until ``recover`` ends it."""
    try:
        if deploy.tx.opened:
            deploy.tx.milestone(Milestone.CLOSED, observed=outcome.words)
    except DeployError as error:
        deploy.warn(f"the journal could not be closed: {error}")
        _leave(deploy)
        return
    if deploy.ports.lock is not None:
        try:
            deploy.ports.lock.release()
        except DeployError as error:
            deploy.warn(f"the lock could not be given back, it expires by itself: {error}")


def _leave(deploy: Deploy) -> None:
    """Let the lock expire now: by the open journal it is still this deploy's, and ``recover`` need not wait."""
    if deploy.ports.lock is not None:
        with suppress(DeployError):  # then it expires by itself
            deploy.ports.lock.leave()


def _check_lock(deploy: Deploy) -> None:
    """Raise RollbackError where the lock is lost: nothing is written any more, and whoever has the lock ends it."""
    if deploy.ports.lock is None or not deploy.tx.opened:
        return
    try:
        deploy.ports.lock.check()
    except LockLost as lost:
        deploy.rollback_error = RollbackError(
            f"{lost.args[0]}: this deploy writes nothing any more, its way back included",
            left_behind=(f"what deploy {deploy.id} has changed of {deploy.rollout_target()} so far",),
            commands=(f"pytest-deploy recover --deploy {deploy.id} --environment {deploy.environment.name}",),
        )
        raise deploy.rollback_error from lost


def _mend(deploy: Deploy) -> None:
    """End the faults of a drill and, where it let the rollback fail on purpose, roll back after all."""
    if deploy.ports.faults is None:
        return
    try:
        deploy.ports.faults.end()
        if deploy.ended is Ending.HUMAN:
            rollback.undo_all(deploy)
    except DeployError as error:
        if isinstance(error, RollbackError):
            deploy.ended, deploy.rollback_error = None, error
        deploy.warn(f"the drill left its world broken: {error}")


def _words(deploy: Deploy, outcome: Outcome) -> str:
    """Return the last line: ``deploy <id>: COMMITTED``, and how many steps were off."""
    off = f" ({len(deploy.off)} steps OFF: {', '.join(dict.fromkeys(deploy.off))})" if deploy.off else ""
    decided = Counter(decision.by for decision in deploy.overrides.values())
    by = "".join(f" ({count} gate{'s' * (count > 1)} by decision of {who})" for who, count in decided.items())
    return f"deploy {deploy.id}: {outcome.words}{by}{off}"


def _outcome(deploy: Deploy) -> Outcome:
    if deploy.drill and not isinstance(deploy.failure and deploy.failure.error, DeployCancelled):
        return _drill_outcome(deploy)
    if deploy.rollback_error is not None:
        return Outcome.NEEDS_HUMAN
    failure = deploy.failure
    if failure is None:
        if deploy.reached_its_end:
            return Outcome.COMMITTED if deploy.committed else Outcome.PASSED
        return Outcome.ROLLED_BACK if deploy.rolled_back else Outcome.STOPPED
    return _failed_outcome(failure.error, changed=deploy.rolled_back)


def _failed_outcome(error: BaseException, *, changed: bool) -> Outcome:
    if isinstance(error, DeployCancelled):
        return Outcome.INTERRUPTED if changed else Outcome.INTERRUPTED_EARLY
    if isinstance(error, DeployError) and not changed:
        return Outcome.REFUSED
    if isinstance(error, AssertionError | DeployError):
        return Outcome.ROLLED_BACK if changed else Outcome.STOPPED
    return Outcome.CRASHED if changed else Outcome.CRASHED_EARLY


def _drill_outcome(deploy: Deploy) -> Outcome:
    if deploy.ended is Ending.HUMAN:
        return Outcome.DRILL_CALLED_HUMAN
    if deploy.rollback_error is not None:
        return Outcome.NEEDS_HUMAN
    if deploy.ended is None or deploy.drill_failed:
        return Outcome.DRILL_FAILED
    if deploy.ended is Ending.COMMITTED:
        return Outcome.COMMITTED if deploy.reached_its_end else Outcome.DRILL_FAILED
    return Outcome.DRILL_PASSED
