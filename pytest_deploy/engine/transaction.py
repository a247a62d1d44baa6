"""The one door for mutations: intent with its undo, act, observe, done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from pytest_deploy.domain.action import Action, External, RolloutPatch, Undo
from pytest_deploy.domain.event import ActionDone, ActionFailed, ActionStarted, Reporter, Warned
from pytest_deploy.domain.journal import Entry, EntryState, Milestone, open_undos
from pytest_deploy.errors import DeployError
from pytest_deploy.ports import Ports

__all__ = ["Transaction"]


@dataclass(kw_only=True)
class Transaction:
    """Everything that a deploy changes goes through ``do``, so that the journal alone can undo it.

    Args:
        purpose: what the deploy is for, as the journal's first entry says it.
        way_back: the rollback is under way: a journal that can't be written any more (a full disk) is told and
            stops nothing, since traffic that stays on a bad version is worse than a gap in the record.
    """

    deploy_id: str
    ports: Ports
    emit: Reporter
    purpose: str = ""
    way_back: bool = False
    _seq: int = field(default=0, init=False)

    def do(self, action: Action, *, undo: Undo | None, act: Callable[[], str] | None = None) -> str:
        """Execute the action and return what its tool said.

        Args:
            undo: how to take it back; journalled before anything is done. None: nothing has to be.
            act: does an ``External`` action; all others are executed by their port.

        Raises:
            DeployError: the journal can't be written (then nothing was done), or the action failed.
        """
        if not self.opened:
            # Not earlier: before pre-flight has passed, not even the journal may be written beside the workload.
            self.milestone(Milestone.OPENED, observed=self.purpose)
        intent = self._append(EntryState.INTENT, action=action, undo=undo)
        clock = self.ports.clock
        self.emit(ActionStarted(at=clock.now(), seq=intent, action=action, command=self.ports.describe(action)))
        began = clock.monotonic()
        try:
            observed = act() if act is not None else self._execute(action)
        except BaseException as error:
            text = str(error) or type(error).__name__
            self._append(EntryState.FAILED, action=action, intent=intent, observed=text)
            self.emit(ActionFailed(at=clock.now(), seq=intent, action=action, error=text))
            raise
        self._append(EntryState.DONE, action=action, intent=intent, observed=observed)
        took = timedelta(seconds=clock.monotonic() - began)
        self.emit(ActionDone(at=clock.now(), seq=intent, action=action, observed=observed, took=took))
        return observed

    def milestone(self, milestone: Milestone, *, observed: str = "") -> int:
        """Journal a state of the whole deploy and return the entry's sequence number."""
        return self._append(EntryState.MILESTONE, milestone=milestone, observed=observed)

    @property
    def opened(self) -> bool:
        """Whether anything stands in the journal."""
        return self._seq > 0

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
        try:
            self.ports.journal.append(entry)
        except DeployError as error:
            if not self.way_back and state is not EntryState.FAILED:
                raise
            self.emit(Warned(at=entry.at, text=f"not in the journal ({state}): {error}"))
        else:
            self._seq = entry.seq
        return entry.seq
