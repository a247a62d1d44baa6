"""The simulated API server: one workload, Helm's records of it, its journals and its lock, shared by all actors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pytest_deploy.domain.codec import from_json
from pytest_deploy.domain.journal import Entry
from pytest_deploy.domain.lock import FENCE
from pytest_deploy.domain.release import Digest, Environment, ImageRef, Release, Strategy
from pytest_deploy.domain.rollout import RolloutState, Step
from pytest_deploy.rehearsal.chart import Chart, Spec
from pytest_deploy.rehearsal.clock import VirtualClock
from pytest_deploy.rehearsal.controller import Rollout
from pytest_deploy.rehearsal.faults import Faults
from pytest_deploy.rehearsal.helm import record
from pytest_deploy.rehearsal.places import Place, Places
from tests.simulator.api import ObjectStore
from tests.simulator.process import Process

__all__ = ["ENVIRONMENT", "Server", "image_of", "release_of"]

ENVIRONMENT = Environment(name="prod", context="sim", namespace="prod", release="api", rollout="api", container="api")
_REPOSITORY = "registry.invalid/api"
_REPLICAS = 3
_LEASE = "/apis/coordination.k8s.io/v1/namespaces/prod/leases/deploy-api"


def digest_of(name: str) -> Digest:
    """Return the digest of a version."""
    return Digest(f"sha256:{hashlib.sha256(name.encode()).hexdigest()}")


def image_of(version: str) -> str:
    """Return the image reference of a version."""
    return f"{_REPOSITORY}@{digest_of(version)}"


def release_of(name: str, weights: tuple[int, ...], *, by_helm: bool) -> Release:
    """Return the release with the image of this version.

    Args:
        by_helm: a Helm release owns the rollout; else it is driven by image patches.
    """
    environment = ENVIRONMENT if by_helm else replace(ENVIRONMENT, release=None)
    return Release(
        service="api",
        image=ImageRef.parse(image_of(name)),
        strategy=Strategy.CANARY,
        canary_steps=weights,
        chart_path=Path("charts/api"),
        owner="team",
        values=(("replicaCount", str(_REPLICAS)),),
        environments=MappingProxyType({"prod": environment}),
    )


class _Controller(VirtualClock):
    """Not a clock of its own: what the controller does is put off for as long as it is late."""

    def __init__(self, clock: VirtualClock, late: timedelta) -> None:
        super().__init__(clock.now())
        self._clock = clock
        self._late = late

    def now(self) -> datetime:
        return self._clock.now()

    def after(self, delay: timedelta, event: Callable[[], None]) -> None:
        self._clock.after(delay + self._late, event)


class SimRollout(Rollout):
    """The rehearsal's Rollout that a person can also pause in its spec."""

    paused = False

    @property
    def state(self) -> RolloutState:
        """One look at it."""
        state = super().state
        return replace(state, held_by_spec=True) if self.paused else state

    def promote_by_hand(self) -> None:
        """End the pause, as the kubectl plugin does it."""
        self._status.pauses = ()
        self._clock.after(timedelta(milliseconds=300), self._reconcile)

    def abort_by_hand(self) -> None:
        """Abort, as the kubectl plugin does it."""
        self._status.aborted = True
        self._clock.after(timedelta(milliseconds=300), self._reconcile)

    def _scale(self) -> bool:
        return False if self.paused else super()._scale()

    def _advance(self) -> None:
        if not self.paused:
            super()._advance()


class Server:
    """What all actors share.

    Args:
        late: by how much the controller is behind with all that it does.
        real_journal: the project's own ``ClusterJournal`` is used, not its short model.
    """

    def __init__(
        self, clock: VirtualClock, weights: tuple[int, ...], *, by_helm: bool, late: timedelta, real_journal: bool
    ) -> None:
        self.clock = clock
        self.weights = weights
        self.reacts_within = late + timedelta(seconds=1)
        """How long it takes until the controller has done something about what was written."""
        self.by_helm = by_helm
        self.real_journal = real_journal
        self.bad: set[str] = set()
        """Pod-template hashes of versions that are bad."""
        self.release = release_of("v3", weights, by_helm=by_helm)
        environment = self.release.environments["prod"]
        steps = tuple(step for w in weights for step in (Step(kind="setWeight", weight=w), Step(kind="pause")))
        self.chart = Chart(service="api", repository=_REPOSITORY, environment=environment, steps=steps)
        self.faults = Faults(clock, weights=weights)
        specs = [self.spec(f"v{number}") for number in (1, 2, 3)]
        self.rollout = SimRollout(
            name="api",
            uid="11111111-1111-1111-1111-111111111111",
            container="api",
            spec=specs[-1],
            at_rest=True,
            clock=_Controller(clock, late),
            faults=self.faults,
            before_change=lambda: None,
            on_weight=lambda _: None,
        )
        self.place = Place(environment=environment, chart=self.chart, create=lambda _: self.rollout)
        self.place.rollout = self.rollout
        for spec in specs if by_helm else ():
            status, words = (
                ("deployed", "Upgrade complete") if spec is specs[-1] else ("superseded", "Upgrade complete")
            )
            record(self.place, status=status, description=words, updated=clock.now().isoformat(), spec=spec)
        self.places = Places({"prod": self.place})
        self.journals: dict[str, tuple[Entry, ...]] = {}
        self._texts: dict[str, str] = {}
        self.version = 1
        """Of the one ConfigMap that holds all journals: each write is a compare-and-swap of it."""
        self.holder: Process | None = None
        """Whose process wrote itself into the Lease last, and has not taken itself out."""
        self.store = ObjectStore(self.rollout, self._stored)
        self.told: Callable[[str, Process, object], None] = lambda what, process, it: None
        """Told "released" with a deploy id, and "journalled" with an entry, as they are stored."""

    def spec(self, version: str) -> Spec:
        """Return the Rollout's spec with the image of this version."""
        return self.chart.spec([*self.release.values, ("image.digest", f'"{digest_of(version)}"')])

    def journal(self, process: Process, deploy_id: str, entries: tuple[Entry, ...]) -> None:
        """Store a deploy's entries, of which the last one is new."""
        self.journals[deploy_id] = entries
        self.told("journalled", process, entries[-1])

    @property
    def lease(self) -> Mapping[str, Any]:
        """The spec of the Lease; {} where there is none."""
        spec: Mapping[str, Any] = self.store.objects.get(_LEASE, {}).get("spec", {})
        return spec

    @property
    def fence(self) -> int:
        """The number that stands on the Rollout."""
        return int(self.rollout.annotations.get(FENCE, "0"))

    def _stored(self, path: str, before: Mapping[str, Any] | None, item: Mapping[str, Any], process: Process) -> None:
        if path == _LEASE:
            if item["spec"].get("holderIdentity"):
                self.holder = process
            elif before is not None and before["spec"].get("holderIdentity"):
                self.holder = None
                self.told("released", process, before["spec"]["holderIdentity"])
            return
        for key, text in item["data"].items():
            deploy_id = key.removesuffix(".entries")
            lines = text.splitlines() if deploy_id != key else ()
            known = self.journals.get(deploy_id, ())
            if lines and self._texts.get(key) != text:
                self._texts[key] = text
                kept = known[: len(lines) - 1]
                self.journal(process, deploy_id, (*kept, from_json(Entry, json.loads(lines[-1]))))

    @property
    def image(self) -> str:
        """What is wanted now."""
        return self.rollout.spec.image("api")
