"""One deploy of a release at a time: who comes second waits in line, or is told who came first."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from pytest_deploy.domain.lock import Holder
from pytest_deploy.engine.deploy import Deploy
from pytest_deploy.engine.waiting import until
from pytest_deploy.errors import LockHeld, WaitTimedOut
from pytest_deploy.ports import Lock

__all__ = ["look", "take", "wait"]

_POLL = timedelta(seconds=2)
"""Between two looks at the lock: deploys take minutes."""


def wait(deploy: Deploy) -> None:
    """Check, once, that no other deploy of this release is open; wait for its end as long as deploy.yaml says.

    One that died and left the lock behind is recovered first. The lock itself is taken with the first mutation.

    Raises:
        LockHeld: one is open; with who runs it, where and since when.
        Refused: one died, and can't be taken back without a human.
    """
    port = deploy.ports.lock
    if port is None or "lock" in deploy.checked:
        return
    deploy.checked.add("lock")
    if _blocks(port.look(), deploy):
        _wait_in_line(deploy, port)


def look(deploy: Deploy) -> None:
    """Look once, and change nothing; raises LockHeld where another deploy of this release is open."""
    port = deploy.ports.lock
    holder = None if port is None else port.look()
    if holder is not None and _blocks(holder, deploy):
        raise LockHeld(holder.refusal, holder=holder.deploy_id, hint=holder.hint)


def take(deploy: Deploy) -> bool:
    """Take the lock, for the first mutation; False: of those who waited another one was quicker, so wait once more.

    What was seen of the workload holds no longer then, and is to be looked at anew.

    Raises:
        LockHeld: it is held, and the time to wait is over.
    """
    try:
        deploy.tx.lock()
    except LockHeld:
        if not deploy.limits.lock:
            raise
        deploy.checked -= {"lock", "stack", "release"}
        return False
    return True


def _wait_in_line(deploy: Deploy, port: Lock) -> None:
    limit, began = deploy.limits.lock, deploy.ports.clock.monotonic()
    _recover_the_dead(deploy)
    with suppress(WaitTimedOut):  # who holds it says more than that
        until(
            port.look,
            done=lambda holder: holder is None or holder.expired,
            words=_words,
            what="the deploy that holds the lock to end",
            timeout=limit,
            clock=deploy.ports.clock,
            emit=deploy.emit,
            poll=_POLL,
        )
        _recover_the_dead(deploy)
    waited_s = deploy.ports.clock.monotonic() - began
    deploy.limits = replace(deploy.limits, lock=max(timedelta(), limit - timedelta(seconds=waited_s)))
    holder = port.look()
    if holder is not None and not holder.expired:
        waited = f" (waited {waited_s:.0f} s in line)" if limit else ""
        raise LockHeld(f"{holder.refusal}{waited}", holder=holder.deploy_id, hint=holder.hint)


def _blocks(holder: Holder | None, deploy: Deploy) -> bool:
    """Whether another one holds it; it is ours already where staging was changed before this was asked."""
    return holder is not None and holder.deploy_id != deploy.id


def _words(holder: Holder | None) -> str:
    return "free" if holder is None else holder.words


def _recover_the_dead(deploy: Deploy) -> None:
    from pytest_deploy.engine import recover  # which judges what serves as the canary does, and so needs pre-flight

    done = recover.before_deploy(deploy)
    if done is not None:
        deploy.warn(done)
