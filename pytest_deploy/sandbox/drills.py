"""The faults of drills on the sandbox: real parts are made to fail, nothing is pretended to have failed.

The traffic source plays what a version does to its requests; a fault of pods goes into the pod template; Helm is
given values or a revision that it refuses; Prometheus is frozen; a promote comes too late because a stranger was
faster. Only the tools that the sandbox has no real part for (registry, scanner, incidents, approval, chat) are
stand-ins, and say so.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from pytest_deploy.domain.action import HelmRollback, HelmUninstall, HelmUpgrade, Purpose, RolloutPatch, Target
from pytest_deploy.domain.fault import Fault, FaultKind
from pytest_deploy.domain.found import Found
from pytest_deploy.domain.measurement import Objective, Reading, Subject
from pytest_deploy.domain.permissions import Resource
from pytest_deploy.domain.release import Environment
from pytest_deploy.domain.rollout import ClusterIdentity, Permission, Pod, RolloutState
from pytest_deploy.errors import Faulted, Refused, Unreachable
from pytest_deploy.ports import Clock, Cluster, Helm, Metrics, Ports, Traffic
from pytest_deploy.sandbox import local, stand_ins
from pytest_deploy.sandbox.life import pause, resume
from pytest_deploy.sandbox.stack import Stack

__all__ = ["with_faults"]

_TRAFFIC = (FaultKind.ERROR_RATE, FaultKind.P95_LATENCY, FaultKind.NO_DATA, FaultKind.STALE_DATA)
_PODS = {
    FaultKind.PODS_CRASH: ("crash", '"true"'),
    FaultKind.PODS_NEVER_READY: ("ready-after-s", '"86400"'),
    FaultKind.IMAGE_MISSING: ("image-missing", '"true"'),
}
_API_DELAY = timedelta(milliseconds=300)
_PROMETHEUS_DELAY = timedelta(seconds=1)
_NO_REVISION = 9999


def with_faults(stack: Stack, ports: Ports, environment: Environment, service: str, sections: Collection[str]) -> Ports:
    """Return the ports with a faults port, each able to meet its faults; without one injected they change nothing.

    Args:
        environment: the one that the deploy is bound for; its parts are the ones that fail.
        sections: of deploy.yaml; those that the sandbox has no real part for get a stand-in.
    """
    faults = _Faults(stack=stack, clock=ports.clock, service=service, namespace=environment.namespace)
    registry = stand_ins.Registry(faults)
    return replace(
        ports,
        cluster=_Cluster(ports.cluster, faults),
        helm=_Helm(ports.helm, faults, environment.name),
        traffic=_Traffic(ports.traffic, faults, environment.name),
        metrics=_Metrics(ports.metrics, faults, ports.clock),
        builder=registry if "build" in sections else None,
        signer=registry if "sign" in sections else None,
        records=registry if "record" in sections else None,
        approvals=ports.approvals or (stand_ins.Approver(faults) if "approval" in sections else None),
        capabilities={**ports.capabilities, **stand_ins.capabilities(sections, faults)},
        faults=faults,
    )


@dataclass(kw_only=True)
class _Record:
    fault: Fault
    on: bool = False
    seen: datetime | None = None


@dataclass(kw_only=True)
class _Faults:
    """The faults port."""

    stack: Stack
    clock: Clock
    service: str
    namespace: str
    records: list[_Record] = field(default_factory=list)
    moments: set[str] = field(default_factory=lambda: {"now"})

    def inject(self, fault: Fault) -> None:
        """Let the fault begin as its text says.

        Raises:
            Refused: it can't be played here.
        """
        if fault.lasts is not None:
            raise Refused(f"the sandbox can't end a fault by itself: {fault.text!r}", hint="rehearse it instead")
        if fault.kind in _PODS and fault.at_percent is not None:
            raise Refused(
                f"the pods of a version are all alike on the sandbox, so {fault.text!r} can't begin later",
                hint=f"write {fault.kind!s} without 'at'",
            )
        self.records.append(_Record(fault=fault))
        self._begin_due()

    def moment(self, name: str) -> None:
        """Let the faults begin that wait for this moment."""
        self.moments.add(name.casefold())
        self._begin_due()

    def began(self, fault: Fault) -> datetime | None:
        """Return when the fault first showed in what can be measured; None before."""
        if fault.kind in _TRAFFIC:
            for entry in json.loads(local.get(f"{self.stack.control_url}/faults")):
                if entry["what"] == fault.kind and entry["began"] is not None:
                    return datetime.fromisoformat(entry["began"])
            return None
        return min((r.seen for r in self.records if r.fault == fault and r.seen), default=None)

    def end(self) -> None:
        """End all faults: the stack is as it was."""
        if any(record.on and record.fault.kind is FaultKind.PROMETHEUS_DOWN for record in self.records):
            resume("prometheus", self.stack.name)
        self.records.clear()
        self._play([])

    def hit(self, kind: FaultKind) -> bool:
        """Whether a fault of this kind is on; if so, it can be seen from now on."""
        for record in self.records:
            if record.on and record.fault.kind is kind:
                record.seen = record.seen or self.clock.now()
                return True
        return False

    def _begin_due(self) -> None:
        waiting = [r for r in self.records if not r.on and self._due(r.fault)]
        for record in waiting:
            record.on = True
            if record.fault.kind is FaultKind.PROMETHEUS_DOWN:
                pause("prometheus", self.stack.name)
                record.seen = self.clock.now()
        if any(record.fault.kind in _TRAFFIC for record in waiting):
            on = [r.fault for r in self.records if r.on and r.fault.kind in _TRAFFIC]
            self._play([self._entry(fault) for fault in on])

    def _due(self, fault: Fault) -> bool:
        begins = fault.from_moment if fault.at_percent is None else f"{fault.at_percent}%"
        return begins.casefold() in self.moments

    def _entry(self, fault: Fault) -> dict[str, object]:
        return {
            "what": str(fault.kind),
            "amount": fault.amount,
            "service": self.service,
            "namespace": self.namespace,
            "version": "newest",
        }

    def _play(self, entries: list[dict[str, object]]) -> None:
        connection = local.connect(self.stack.control_url)
        try:
            connection.request("PUT", "/faults", body=json.dumps(entries))
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        except OSError as error:
            raise Unreachable(f"the sandbox's traffic source does not answer: {error}") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise Faulted(f"the sandbox's traffic source refused the faults: {answer.status}: {text.strip()}")


@dataclass(frozen=True)
class _Cluster:
    real: Cluster
    faults: _Faults

    def identity(self, environment: Environment) -> ClusterIdentity:
        _delay(self.faults)
        return self.real.identity(environment)

    def account(self, environment: Environment) -> Any:
        return self.real.account(environment)

    def denied(self, environment: Environment, permissions: Sequence[Permission]) -> tuple[Permission, ...]:
        _delay(self.faults)
        return self.real.denied(environment, permissions)

    def objects(self, environment: Environment, resource: Resource, name: str = "") -> Any:
        _delay(self.faults)
        return self.real.objects(environment, resource, name)

    def resources(self, environment: Environment, manifests: Sequence[Any]) -> Any:
        return self.real.resources(environment, manifests)

    def pods(self, target: Target, service: str) -> tuple[Pod, ...]:
        _delay(self.faults)
        pods = self.real.pods(target, service)
        for kind in _PODS:
            if any(not pod.ready for pod in pods):
                self.faults.hit(kind)
        return pods

    def blocked(self, target: Target) -> str:
        return self.real.blocked(target)

    def last_words(self, target: Target, pod: Pod) -> Found:
        return self.real.last_words(target, pod)


@dataclass(frozen=True)
class _Traffic:
    real: Traffic
    faults: _Faults
    environment: str

    def state(self, rollout: Target) -> RolloutState | None:
        _delay(self.faults)
        return self.real.state(rollout)

    def container_index(self, rollout: Target, container: str) -> int:
        return self.real.container_index(rollout, container)

    def execute(self, patch: RolloutPatch) -> None:
        _delay(self.faults)
        promotes = patch.purpose is Purpose.PROMOTE and patch.target.environment == self.environment
        if promotes and self.faults.hit(FaultKind.PROMOTE_REFUSED):
            # A stranger is faster with the very same promote; the server then refuses ours.
            self.real.execute(patch)
        self.real.execute(patch)


@dataclass(frozen=True)
class _Helm:
    real: Helm
    faults: _Faults
    environment: str

    def version(self) -> Any:
        return self.real.version()

    def history(self, release: Target) -> Any:
        return self.real.history(release)

    def render(self, upgrade: HelmUpgrade) -> Any:
        return self.real.render(upgrade)

    def manifest(self, release: Target) -> Any:
        return self.real.manifest(release)

    def crds(self, chart: str) -> Any:
        return self.real.crds(chart)

    def record_size(self, upgrade: HelmUpgrade) -> int:
        return self.real.record_size(upgrade)

    def execute(self, action: HelmUpgrade | HelmRollback | HelmUninstall) -> str:
        ours = action.target.environment == self.environment
        if ours and isinstance(action, HelmUpgrade):
            for kind, (name, value) in _PODS.items():
                if any(r.on and r.fault.kind is kind for r in self.faults.records):
                    key = rf"podAnnotations.sandbox\.pytest-deploy\.dev/{name}"
                    action = replace(action, values=(*action.values, (key, value)))
            if self.faults.hit(FaultKind.HELM_UPGRADE_FAILS):
                action = replace(action, values=(*action.values, ("replicaCount", '"not a number"')))
        if ours and isinstance(action, HelmRollback) and self.faults.hit(FaultKind.ROLLBACK_FAILS):
            action = replace(action, revision=_NO_REVISION)
        return self.real.execute(action)


@dataclass(frozen=True)
class _Metrics:
    real: Metrics
    faults: _Faults
    clock: Clock

    @property
    def scrape_interval(self) -> timedelta:
        return self.real.scrape_interval

    @property
    def tells_versions_apart(self) -> bool:
        return self.real.tells_versions_apart

    def now(self) -> datetime:
        return self.real.now()

    def read(self, objective: Objective, subject: Subject, since: datetime) -> Reading:
        self._delay()
        return self.real.read(objective, subject, since)

    def problems(self, objective: Objective, subject: Subject) -> Sequence[str]:
        self._delay()
        return self.real.problems(objective, subject)

    def _delay(self) -> None:
        if self.faults.hit(FaultKind.PROMETHEUS_SLOW):
            self.clock.sleep(_PROMETHEUS_DELAY)


def _delay(faults: _Faults) -> None:
    if faults.hit(FaultKind.API_SERVER_SLOW):
        faults.clock.sleep(_API_DELAY)
