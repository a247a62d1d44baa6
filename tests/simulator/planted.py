"""Bugs that are planted on purpose, one at a time: the simulator is worth something where it finds each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from pytest_deploy.domain import journal
from pytest_deploy.domain.action import Action, Undo
from pytest_deploy.domain.journal import Entry, EntryState
from pytest_deploy.engine import gates, recover, rollback, strangers
from pytest_deploy.engine.deploy import Deploy
from pytest_deploy.engine.transaction import Transaction

__all__ = ["PLANTED", "Bug"]


def _undo_skipped() -> AbstractContextManager[object]:
    """A rollback says that it is done, and does nothing."""
    return patch.object(rollback, "_undo", lambda *_: None)


def _fence_not_tested() -> AbstractContextManager[object]:
    """Patches go out without the number of the lock."""
    return patch.object(Transaction, "_fenced", lambda _self, action: action)


def _lock_released_early() -> AbstractContextManager[object]:
    """The lock is given back before the way back, not after it."""
    undo_all = rollback.undo_all

    def released(deploy: Deploy) -> bool:
        if deploy.tx.opened:
            deploy.ports.lock.release()  # type: ignore[union-attr]  # every deploy of the simulator has one
        return undo_all(deploy)

    return patch.object(rollback, "undo_all", released)


def _intent_after_the_act() -> AbstractContextManager[object]:
    """What is to be done is journalled once it is done."""
    do = Transaction.do

    def hasty(self: Transaction, action: Action, *, undo: Undo | None, act: Any = None) -> str:
        said = act() if act is not None else self._execute(self._fenced(action))
        do(self, action, undo=undo, act=lambda: said)
        return said

    return patch.object(Transaction, "do", hasty)


def _recover_trusts_the_journal() -> AbstractContextManager[object]:
    """What has no DONE is taken for not done, whatever the cluster shows."""
    open_undos = journal.open_undos

    def believed(entries: Sequence[Entry]) -> tuple[Undo, ...]:
        done = {entry.intent for entry in entries if entry.state is EntryState.DONE}
        return open_undos(e for e in entries if e.state is not EntryState.INTENT or e.seq in done)

    stack = ExitStack()
    for module in (recover, rollback):
        stack.enter_context(patch.object(module, "open_undos", believed))
    return stack


def _promote_without_pass() -> AbstractContextManager[object]:
    """A gate that says FAIL stops nothing."""
    stack = ExitStack()
    stack.enter_context(patch.object(gates, "_follow", lambda *_: None))
    stack.enter_context(
        patch.object(gates, "_settle", lambda deploy, _together: deploy.passed_weights.add(deploy.reached))
    )
    return stack


def _strangers_not_seen() -> AbstractContextManager[object]:
    """A way back does not look whose it is what stands there."""
    return patch.object(strangers, "check_rollout", lambda *_: None)


def _committed_unseen() -> AbstractContextManager[object]:
    """COMMITTED is journalled as soon as the last promotion is sent."""
    from pytest_deploy.engine import canary

    return patch.object(canary, "_all_new", lambda *_: True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bug:
    """A bug, and the rule that it breaks: what the oracle's words begin with."""

    plant: Callable[[], AbstractContextManager[object]]
    breaks: str


PLANTED: Mapping[str, Bug] = {
    "undo skipped": Bug(plant=_undo_skipped, breaks="rolled back, and it is not so"),
    "fence not tested": Bug(plant=_fence_not_tested, breaks="a write without the lease"),
    "lock released early": Bug(plant=_lock_released_early, breaks="the lock was released before the end"),
    "intent after the act": Bug(plant=_intent_after_the_act, breaks="a write without a durable intent"),
    "recover trusts the journal": Bug(plant=_recover_trusts_the_journal, breaks="more than one version at the end"),
    "promote without PASS": Bug(plant=_promote_without_pass, breaks="a weight that rose without a PASS"),
    "strangers not seen": Bug(plant=_strangers_not_seen, breaks="a person's deploy was overwritten"),
    "committed unseen": Bug(plant=_committed_unseen, breaks="committed, and it is not so"),
}
