"""The rehearsed approver keeps the contract that the real ones keep (tests/e2e/approval)."""

from __future__ import annotations

import pytest

from pytest_deploy.domain.approval import Request
from pytest_deploy.domain.fault import parse_fault
from pytest_deploy.testing.contracts import ApprovalsContract, ApprovalsWorld
from tests.unit.engine.conftest import NEW, Bench


class TestRehearsal(ApprovalsContract):
    """It says yes at once, and no by its fault."""

    @pytest.fixture
    def people(self) -> ApprovalsWorld:
        """Nobody."""
        made = Bench(sections=("approval",))
        approvals = made.deploy.ports.approvals
        assert approvals is not None
        request = Request(
            service="api",
            environment="prod",
            strategy="canary",
            pinned=NEW,
            commit=None,
            approvers=("@acme/sre",),
            deploy_id="d1",
        )
        return ApprovalsWorld(
            approvals=approvals,
            request=request,
            yes=lambda: None,
            no=lambda: made.world.faults.inject(parse_fault("approval denied")),
            at_once=True,
        )
