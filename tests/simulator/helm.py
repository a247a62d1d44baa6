"""Helm as a child process of a deploy, which may be ended between any two of its writes."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_deploy.domain.action import HelmRollback, HelmUninstall, HelmUpgrade, Json, Target
from pytest_deploy.domain.rollout import HelmRevision
from pytest_deploy.ports import Lock
from pytest_deploy.rehearsal.chart import Spec
from pytest_deploy.rehearsal.helm import RehearsedHelm, changes
from pytest_deploy.rehearsal.places import Place, Revision
from tests.simulator.audit import Audit, Look
from tests.simulator.process import Process
from tests.simulator.server import Server

__all__ = ["SimHelm"]


class SimHelm(RehearsedHelm):
    """Port ``Helm``: a revision is recorded as pending, then applied, then marked as deployed.

    No fence keeps Helm out. It is assumed that a child whose parent has lost the lock is ended before it writes
    again: of a process group that was stopped and wakes, the parent is taken to be the quicker one.
    """

    def __init__(self, process: Process, server: Server, audit: Audit, deploy_id: str, lock: Lock) -> None:
        super().__init__(server.places, server.faults, server.clock)
        self._process = process
        self._audit = audit
        self._deploy_id = deploy_id
        self._lock = lock
        self._server = server
        self._action: HelmUpgrade | HelmRollback | HelmUninstall | None = None

    def history(self, release: Target) -> tuple[HelmRevision, ...]:
        """Return the revisions."""
        return self._process.call("helm history", lambda: super(SimHelm, self).history(release))

    def manifest(self, release: Target) -> tuple[Mapping[str, Json], ...]:
        """Return what is deployed."""
        return self._process.call("helm manifest", lambda: super(SimHelm, self).manifest(release))

    def execute(self, action: HelmUpgrade | HelmRollback | HelmUninstall) -> str:
        """Do it, in steps."""
        self._action = action
        return super().execute(action)

    def _record(self, place: Place, status: str, description: str, spec: Spec) -> Revision:
        def write() -> Revision:
            self._lock.check()
            before = self._audit.look()
            revision = super(SimHelm, self)._record(place, status, description, spec)
            self._wrote(before)
            return revision

        return self._process.call(f"helm {status}", write, write=True)

    def _deploy(self, place: Place, revision: Revision, description: str) -> None:
        def apply() -> None:
            self._lock.check()
            before = self._audit.look()
            if changes(place, revision):
                self._server.rollout.apply(revision.spec)
            self._wrote(before)

        def end() -> None:
            self._lock.check()
            super(SimHelm, self)._deploy(place, revision, description)

        self._process.call("helm applies", apply, write=True)
        self._process.call("helm deployed", end, write=True)

    def _wrote(self, before: Look) -> None:
        if self._action is None:
            raise AssertionError
        self._audit.wrote(self._process, self._deploy_id, self._action, before)
