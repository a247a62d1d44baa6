"""The one door for mutations: intent with its undo, act, observe, done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from pytest_deploy.domain import lifecycle
from pytest_deploy.domain.action import Action, External, RolloutPatch, Target, Undo
from pytest_deploy.domain.event import ActionDone, ActionFailed, ActionStarted, Reporter, Warned
from pytest_deploy.domain.journal import Entry, EntryState, Milestone, open_undos
from pytest_deploy.errors import DeployError, LockLost, Rejected
from pytest_deploy.ports import Ports

__all__ = ["Transaction"]


@dataclass(kw_only=True)
class Transaction:
    """Everything that a deploy changes goes through ``do``, so that the journal alone can undo it.

    The lock is taken with the first mutation, before anything is written; from then on nothing is written, not even
    into the journal, unless the lock is ours still.

    Args:
        purpose: what the deploy is for, as the journal's first entry says it.
        rollout: the one that the lock is for: its patches carry the fence.
        way_back: the rollback is under way: a journal that can't be written any more (a full disk) is told and
            stops nothing, since traffic that stays on a bad version is worse than a gap in the record.
    """

    deploy_id: str
    ports: Ports
    emit: Reporter
    purpose: str = ""
    rollout: Target | None = None
    way_back: bool = False
    _seq: int = field(default=0, init=False)
    _state: lifecycle.State = field(default=lifecycle.State.IDLE, init=False)
    _unsure: bool = field(default=False, init=False)
    _tried: bool = field(default=False, init=False)

    def do(self, action: Action, *, undo: Undo | None, act: Callable[[], str] | None = None) -> str:
        """Execute the action and return what its tool said.

        Args:
            undo: how to take it back; journalled before anything is done. None: nothing has to be.
            act: does an ``External`` action; all others are executed by their port.

        Raises:
            LockHeld: another deploy holds the lock; nothing was done.
            LockLost: the lock is no longer ours; what was begun may have happened, and nobody here writes any more.
            DeployError: the journal can't be written (then nothing was done), or the action failed.
        """
        if not self.opened:
            # Not earlier: before pre-flight has passed nothing may be written beside the workload, not even these.
            self.lock()
            self.milestone(Milestone.OPENED, observed=self.purpose)
        action = self._fenced(action)
        intent = self._append(EntryState.INTENT, action=action, undo=undo)
        clock = self.ports.clock
        self.emit(ActionStarted(at=clock.now(), seq=intent, action=action, command=self.ports.describe(action)))
        began = clock.monotonic()
        try:
            self._check()
            observed = act() if act is not None else self._execute(action)
        except BaseException as error:
            text = str(error) or type(error).__name__
            self._unsure = self._unsure or (isinstance(action, RolloutPatch) and not isinstance(error, Rejected))
            try:
                self._append(EntryState.FAILED, action=action, intent=intent, observed=text)
            finally:
                self.emit(ActionFailed(at=clock.now(), seq=intent, action=action, error=text))
            raise
        self._append(EntryState.DONE, action=action, intent=intent, observed=observed)
        took = timedelta(seconds=clock.monotonic() - began)
        self.emit(ActionDone(at=clock.now(), seq=intent, action=action, observed=observed, took=took))
        return observed

    def milestone(self, milestone: Milestone, *, observed: str = "") -> int:
        """Journal a state of the whole deploy and return the entry's sequence number.

        A verdict before anything is changed stands in the report alone: 0.
        """
        if milestone is Milestone.JUDGED and not self.opened:
            return 0
        if milestone is Milestone.ROLLING_BACK:
            self._outdate()
        return self._append(EntryState.MILESTONE, milestone=milestone, observed=observed)

    def lock(self) -> None:
        """Take the lock, so that what is looked at from here on stays so; nothing where it is held already.

        Raises:
            LockHeld: another deploy holds it; nothing was done.
            DeployError: it can't be written.
        """
        if self.ports.lock is not None and not self.opened:
            self.ports.lock.acquire()

    def resume(self) -> Sequence[Entry]:
        """Go on in the record of a deploy that died, and return what stands there; the lock must be held."""
        entries = self.ports.journal.entries()
        self._seq, self._state = len(entries), lifecycle.state_of(entries)
        return entries

    @property
    def opened(self) -> bool:
        """Whether anything stands in the journal."""
        return self._seq > 0

    @property
    def untouched(self) -> bool:
        """Whether nothing was even tried to be written into the journal, and so nothing was changed."""
        return not self.opened and not self._tried

    @property
    def undos(self) -> tuple[Undo, ...]:
        """What is to be taken back now, the latest first."""
        return open_undos(self.ports.journal.entries())

    def _execute(self, action: Action) -> str:
        if isinstance(action, RolloutPatch):
            self.ports.traffic.execute(action)
            return "patched"
        if isinstance(action, External):
            msg = f"no way to execute {action.summary!r} was given"
            raise TypeError(msg)
        return self.ports.helm.execute(action)

    def _check(self) -> None:
        if self.ports.lock is not None:
            self.ports.lock.check()

    def acted_on(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Return the entries whose append was answered: an intent whose answer was lost was never acted on."""
        return entries[: self._seq] if self.opened else entries

    def _fenced(self, action: Action) -> Action:
        if self.ports.lock is None or not isinstance(action, RolloutPatch) or action.target != self.rollout:
            return action
        self._outdate()
        return replace(action, fence=str(self.ports.lock.fence))

    def _outdate(self) -> None:
        """Let no patch of ours arrive any more whose answer never came: it may be under way still."""
        if self.ports.lock is not None and self._unsure:
            self.ports.lock.refence()
        self._unsure = False

    def _after(self, entry: Entry) -> lifecycle.State:
        try:
            return lifecycle.after(self._state, entry)
        except lifecycle.IllegalMove:
            # The answer to an entry was lost: the way back goes on from what stands in the journal, not from here.
            if not self.way_back:
                raise
            return self._state

    def _append(
        self,
        state: EntryState,
        *,
        action: Action | None = None,
        undo: Undo | None = None,
        intent: int | None = None,
        observed: str = "",
        milestone: Milestone | None = None,
    ) -> int:
        entry = Entry(
            seq=self._seq + 1,
            at=self.ports.clock.now(),
            deploy_id=self.deploy_id,
            state=state,
            action=action,
            undo=undo,
            intent=intent,
            observed=observed,
            milestone=milestone,
        )
        after = self._after(entry)
        self._tried = True
        try:
            self._check()
            self.ports.journal.append(entry)
        except DeployError as error:
            # A journal that belongs to somebody else by now is no full disk.
            lost = isinstance(error, LockLost) or error.cause == "foreign change"
            # The end is not tolerated: the lock would be given back while the journal holds the deploy open.
            if lost or milestone is Milestone.CLOSED or not (self.way_back or state is EntryState.FAILED):
                raise
            self.emit(Warned(at=entry.at, text=f"not in the journal ({state}): {error}"))
        else:
            self._seq = entry.seq
        self._state = after
        return entry.seq
