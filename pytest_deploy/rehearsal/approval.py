"""Approval in the rehearsal: an approver who says yes at once, and one who says no on demand."""

from __future__ import annotations

from datetime import timedelta

from pytest_deploy.domain.approval import Answer, Asked, Request, Ruling
from pytest_deploy.domain.fault import FaultKind
from pytest_deploy.rehearsal.clock import VirtualClock
from pytest_deploy.rehearsal.faults import Faults

__all__ = ["RehearsedApprovals"]

_ANSWER_TAKES = timedelta(seconds=1)


class RehearsedApprovals:
    """Port ``Approvals``, asking nobody; the fault "approval denied" turns the yes into a no."""

    def __init__(self, clock: VirtualClock, faults: Faults) -> None:
        self._clock = clock
        self._faults = faults

    @property
    def asks(self) -> str:
        """Nothing."""
        return ""

    def problems(self, environment: str, approvers: tuple[str, ...]) -> tuple[str, ...]:  # noqa: ARG002 - the port's parameters
        """Return (): nobody is asked."""
        return ()

    def ask(self, request: Request) -> Asked:
        """Say whom a real deploy would ask."""
        self._clock.sleep(_ANSWER_TAKES)
        words = f"rehearsed: {', '.join(request.approvers) or 'nobody'} would be asked"
        return Asked(words=words, wait=timedelta(minutes=1), poll=_ANSWER_TAKES)

    def look(self, request: Request) -> Ruling:
        """Return the yes, or the no of the fault."""
        if self._faults.hit(FaultKind.APPROVAL_DENIED):
            words = f"{request.environment} was not approved for {request.pinned} (rehearsed: an approver said no)"
            return Ruling(answer=Answer.DENIED, words=words)
        by = "nobody (rehearsed)"
        words = f"rehearsed: {request.digest} approved for {request.environment} by nobody: nobody was asked"
        return Ruling(answer=Answer.GRANTED, words=words, by=by)

    def withdraw(self, request: Request, why: str) -> str:  # noqa: ARG002 - the port's parameters
        """Nobody is told, since nobody was asked."""
        return ""
