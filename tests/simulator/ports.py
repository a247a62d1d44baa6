"""The ports of a process into the simulated API server; every write is shown to the audit as it takes effect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from pytest_deploy.domain.action import Json, RolloutPatch, Target
from pytest_deploy.domain.found import Found
from pytest_deploy.domain.measurement import Kind, Objective, Reading, Subject
from pytest_deploy.domain.permissions import Resource
from pytest_deploy.domain.release import Environment
from pytest_deploy.domain.rollout import Account, ClusterIdentity, Permission, Pod, RolloutState
from pytest_deploy.rehearsal.cluster import RehearsedCluster, RehearsedTraffic
from tests.simulator.audit import Audit
from tests.simulator.process import Process
from tests.simulator.server import Server

__all__ = ["SimCluster", "SimMetrics", "SimTraffic", "WallClock"]

SCRAPES, SECOND = timedelta(seconds=5), timedelta(seconds=1)


class WallClock:
    """Port ``Clock``: a sleep hands over to the others."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def now(self) -> datetime:
        """Return the virtual time."""
        return self._process.scheduler.clock.now()

    def monotonic(self) -> float:
        """Return the seconds since the start."""
        return self._process.scheduler.clock.monotonic()

    def sleep(self, duration: timedelta) -> None:
        """Let time go by; a second at least, since looking more often shows nothing more here and costs much."""
        self._process.sleep(max(duration, SECOND))


class SimCluster:
    """Port ``Cluster``."""

    def __init__(self, process: Process, server: Server) -> None:
        self._process = process
        self._cluster = RehearsedCluster(server.places, server.faults)

    def identity(self, environment: Environment) -> ClusterIdentity:
        """Return which cluster answers."""
        return self._process.call("identity", lambda: self._cluster.identity(environment))

    def account(self, environment: Environment) -> Account:
        """Return who asks."""
        return self._process.call("account", lambda: self._cluster.account(environment))

    def denied(self, environment: Environment, permissions: Sequence[Permission]) -> tuple[Permission, ...]:
        """Return what a deploy account must not have."""
        return self._process.call("denied", lambda: self._cluster.denied(environment, permissions))

    def objects(
        self, environment: Environment, resource: Resource, name: str = ""
    ) -> tuple[Mapping[str, Json], ...] | None:
        """Return nothing."""
        return self._process.call("objects", lambda: self._cluster.objects(environment, resource, name))

    def resources(
        self, environment: Environment, manifests: Sequence[Mapping[str, Json]]
    ) -> frozenset[tuple[str, str]]:
        """Return the kinds."""
        return self._process.call("resources", lambda: self._cluster.resources(environment, manifests))

    def pods(self, target: Target, service: str) -> tuple[Pod, ...]:
        """Return the pods."""
        return self._process.call("pods", lambda: self._cluster.pods(target, service))

    def blocked(self, target: Target) -> str:
        """Return nothing."""
        return self._process.call("blocked", lambda: self._cluster.blocked(target))

    def last_words(self, target: Target, pod: Pod) -> Found:
        """Return its words."""
        return self._process.call("last words", lambda: self._cluster.last_words(target, pod))


class SimTraffic:
    """Port ``Traffic``."""

    def __init__(self, process: Process, server: Server, audit: Audit, deploy_id: str) -> None:
        self._process = process
        self._audit = audit
        self._deploy_id = deploy_id
        self._traffic = RehearsedTraffic(server.places, server.faults)

    def state(self, rollout: Target) -> RolloutState | None:
        """Return one look."""

        def look() -> RolloutState | None:
            self._process.looked = self._process.scheduler.clock.now()
            return self._traffic.state(rollout)

        return self._process.call("state", look)

    def execute(self, patch: RolloutPatch) -> None:
        """Send the patch."""

        def send() -> None:
            before = self._audit.look()
            self._traffic.execute(patch)
            self._audit.wrote(self._process, self._deploy_id, patch, before)

        self._process.call(f"patch {patch.purpose}", send, write=True, late=send)

    def container_index(self, rollout: Target, container: str) -> int:
        """Return the position."""
        return self._process.call("container_index", lambda: self._traffic.container_index(rollout, container))


class SimMetrics:
    """Port ``Metrics``: many requests, of which none or one in ten is bad.

    Args:
        bad_hashes: the versions that are bad.
    """

    scrape_interval = SCRAPES
    tells_versions_apart = True

    def __init__(self, process: Process, bad_hashes: frozenset[str]) -> None:
        self._process = process
        self._bad = bad_hashes

    def now(self) -> datetime:
        """Return the time."""
        return self._process.call("metrics now", self._process.scheduler.clock.now)

    def read(self, objective: Objective, subject: Subject, since: datetime) -> Reading:
        """Return what such a version shows."""
        return self._process.call("read", lambda: self._reading(objective, subject, since))

    def problems(self, objective: Objective, subject: Subject) -> Sequence[str]:
        """Return nothing."""
        return ()

    def _reading(self, objective: Objective, subject: Subject, since: datetime) -> Reading:
        at = self._process.scheduler.clock.now()
        total = 1000 * (at - since).total_seconds()
        bad = total / 10 if subject.template_hash in self._bad else 0.0
        good_value, bad_value = (0.1, 0.9) if objective.kind is Kind.LATENCY else (0.0, 0.1)
        return Reading(
            since=since,
            at=at,
            newest=at,
            total=total,
            bad=bad,
            value=bad_value if bad else good_value,
            queries=(),
        )
