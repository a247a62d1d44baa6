"""Pods and the ReplicaSets that hold them: when they start, when they are ready, what keeps them from it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count

from pytest_deploy.domain.fault import FaultKind
from pytest_deploy.domain.rollout import Pod, Version
from pytest_deploy.rehearsal.faults import Faults

__all__ = ["READY_AFTER", "STARTED_AFTER", "ReplicaSet"]

STARTED_AFTER = timedelta(seconds=3)
"""From a pod's creation until its image is there and its container has started, or has failed to."""
READY_AFTER = timedelta(seconds=8)
"""From a pod's creation until its readiness probe has succeeded."""

_CRASH = "CrashLoopBackOff: back-off 10s restarting failed container, exit code 1"


@dataclass(kw_only=True)
class _Pod:
    name: str
    created: datetime
    pulled: bool = False
    started: bool = False
    ready: bool = False
    restarts: int = 0
    trouble: str = ""


@dataclass(kw_only=True)
class ReplicaSet:
    """The pods of one version.

    Args:
        image: of the container that is deployed.
    """

    name: str
    template_hash: str
    image: str
    pods: list[_Pod] = field(default_factory=list)
    _serial: count[int] = field(default_factory=count)

    @property
    def wanted(self) -> int:
        """Pods asked for; each is created at once and, when it is no longer asked for, gone at once."""
        return len(self.pods)

    @property
    def ready(self) -> int:
        """Pods that are Ready."""
        return sum(pod.ready for pod in self.pods)

    @property
    def restarts(self) -> int:
        """How often containers of its pods were restarted."""
        return sum(pod.restarts for pod in self.pods)

    @property
    def version(self) -> Version:
        """As it is observed."""
        return Version(template_hash=self.template_hash, image=self.image, wanted=self.wanted, ready=self.ready)

    @property
    def observed_pods(self) -> tuple[Pod, ...]:
        """Its pods as they are observed."""
        return tuple(
            Pod(
                name=pod.name,
                template_hash=self.template_hash,
                image=self.image,
                image_id=self.image if pod.started else "",
                ready=pod.ready,
                trouble=pod.trouble,
            )
            for pod in self.pods
        )

    def scale(self, wanted: int, now: datetime, *, running: bool = False) -> None:
        """Create pods, or remove the ones that are not ready first, then the newest.

        Args:
            running: the new pods have been up for long already.
        """
        for _ in range(wanted - self.wanted):
            serial = hashlib.sha256(f"{self.template_hash} {next(self._serial)}".encode()).hexdigest()[:5]
            name = f"{self.name}-{self.template_hash}-{serial}"
            self.pods.append(_Pod(name=name, created=now, pulled=running, started=running, ready=running))
        self.pods.sort(key=lambda pod: (not pod.ready, pod.created))
        del self.pods[wanted:]

    def settle(self, now: datetime, faults: Faults | None) -> None:
        """Let time and faults take their effect on each pod.

        Args:
            faults: what befalls this version; None: nothing does.
        """
        for pod in self.pods:
            _settle(pod, now - pod.created)
            if faults is not None:
                _befall(pod, now, faults, self.image)


def _settle(pod: _Pod, age: timedelta) -> None:
    pod.trouble = ""
    pod.started = pod.started or age >= STARTED_AFTER
    pod.ready = pod.ready or age >= READY_AFTER


def _befall(pod: _Pod, now: datetime, faults: Faults, image: str) -> None:
    age = now - pod.created
    if faults.active(FaultKind.IMAGE_MISSING) and not pod.pulled:
        pod.started = pod.ready = False
        if age >= STARTED_AFTER:
            faults.hit(FaultKind.IMAGE_MISSING)
            pod.trouble = f'ImagePullBackOff: Back-off pulling image "{image}": not found'
        return
    pod.pulled = pod.started
    crashing_since = faults.since(FaultKind.PODS_CRASH)
    if crashing_since is not None:
        pod.ready = False
        if min(age, now - crashing_since) >= STARTED_AFTER:
            faults.hit(FaultKind.PODS_CRASH)
            pod.restarts = 1
            pod.trouble = _CRASH
    elif faults.active(FaultKind.PODS_NEVER_READY):
        pod.ready = False
        if age >= READY_AFTER:
            faults.hit(FaultKind.PODS_NEVER_READY)
