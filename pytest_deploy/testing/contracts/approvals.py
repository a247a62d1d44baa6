"""What asks people for approval must do."""

# ruff: noqa: S101 - a contract is made of assertions

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest

from pytest_deploy.domain.approval import Answer, Request
from pytest_deploy.ports import Approvals

__all__ = ["ApprovalsContract", "ApprovalsWorld"]


@dataclass(frozen=True, kw_only=True)
class ApprovalsWorld:
    """What asks, what is asked, and the people who answer it.

    Args:
        yes: an approver says yes to the request.
        no: the answer becomes a no.
        at_once: there is an answer as soon as somebody is asked.
    """

    approvals: Approvals
    request: Request
    yes: Callable[[], None]
    no: Callable[[], None]
    at_once: bool = False


class ApprovalsContract:
    """Asked, answered, taken back."""

    @pytest.fixture
    def people(self) -> ApprovalsWorld:
        """Give people whom nobody has asked yet; a subclass overrides it."""
        raise NotImplementedError

    def test_what_is_asked_is_told(self, people: ApprovalsWorld) -> None:
        """Asking says where and for how long; what it writes outside can be said before."""
        assert "\n" not in people.approvals.asks
        assert people.approvals.problems(people.request.environment, people.request.approvers) == ()
        asked = people.approvals.ask(people.request)
        assert asked.words
        assert timedelta() < asked.poll <= asked.wait

    def test_a_yes(self, people: ApprovalsWorld) -> None:
        """Nobody has answered, then somebody has; who it was and for what is said, each time that it is looked at."""
        people.approvals.ask(people.request)
        if not people.at_once:
            before = people.approvals.look(people.request)
            assert (before.answer, before.by) == (Answer.WAITING, "")
        people.yes()
        for _ in range(2):
            ruling = people.approvals.look(people.request)
            assert ruling.answer is Answer.GRANTED, ruling.words
            assert ruling.by
            assert people.request.digest in ruling.words
            assert people.request.environment in ruling.words

    def test_a_no(self, people: ApprovalsWorld) -> None:
        """A no names nobody as an approver, and says why."""
        people.approvals.ask(people.request)
        people.no()
        ruling = people.approvals.look(people.request)
        assert (ruling.answer, ruling.by) == (Answer.DENIED, "")
        assert ruling.words

    def test_taken_back(self, people: ApprovalsWorld) -> None:
        """A question can be taken back, also one that was never asked, and twice; in words, without an error."""
        for _ in range(2):
            assert isinstance(people.approvals.withdraw(people.request, "the error rate broke"), str)
        people.approvals.ask(people.request)
        for _ in range(2):
            assert isinstance(people.approvals.withdraw(people.request, "the error rate broke"), str)
