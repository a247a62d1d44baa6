"""A whole world in memory: environments, clock, metrics, tools and faults, tied together."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from types import MappingProxyType
from uuid import NAMESPACE_URL, uuid5

from pytest_deploy.domain.fault import FaultKind
from pytest_deploy.domain.journal import is_open
from pytest_deploy.domain.lock import FENCE
from pytest_deploy.domain.query import Query
from pytest_deploy.domain.record import Record
from pytest_deploy.domain.release import Digest, Environment, Release
from pytest_deploy.domain.rollout import Step
from pytest_deploy.domain.slo import Slo
from pytest_deploy.domain.synthetic import Behaviour
from pytest_deploy.ports import Ports
from pytest_deploy.rehearsal.approval import RehearsedApprovals
from pytest_deploy.rehearsal.capabilities import builder, capabilities, faults_that_need, records, signer
from pytest_deploy.rehearsal.chart import Chart, Spec
from pytest_deploy.rehearsal.clock import VirtualClock
from pytest_deploy.rehearsal.cluster import RehearsedCluster, RehearsedTraffic
from pytest_deploy.rehearsal.controller import Rollout
from pytest_deploy.rehearsal.faults import Faults
from pytest_deploy.rehearsal.helm import RehearsedHelm, record
from pytest_deploy.rehearsal.journal import MemoryJournal
from pytest_deploy.rehearsal.load import RehearsedLoad, RehearsedScripts
from pytest_deploy.rehearsal.lock import RehearsedLock, StoredLease
from pytest_deploy.rehearsal.metrics import RehearsedMetrics
from pytest_deploy.rehearsal.places import Place, Places
from pytest_deploy.rehearsal.pods import STARTED_AFTER

__all__ = ["World"]

START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
HEALTHY = Behaviour(error_rate_ratio=0.0005, p95_ms=120)
STAGING = "staging"
"""The environment of this name has no users, and its Rollout has no canary steps."""

_SLO = Slo(error_rate_max_ratio=0.005, p95_latency_ms=300, window=timedelta(minutes=5))
_REVISIONS = 3
_PLAYED = frozenset({"setWeight", "pause"})


class World:
    """A world where the release is installed and at rest in each of its environments; nothing is random.

    Args:
        version_label: whether metrics tell versions apart.
        sections: of deploy.yaml that are there; a capability without one is off.
        start: the virtual time at the beginning, aware.
        steps: of the Rollout's canary strategy; None: each of the release's weights with a pause after it.
        history: the image digests of Helm's revisions so far, oldest first, the last one running.
        healthy: how a version behaves that no fault befalls.
        rate_per_s: requests of the whole service in a second.
        queries: the team's named queries, by name.
        slo: what a team's gate program is played to check.
        folder: of deploy.yaml, where gate programs are looked for; None: there are none.
        load: whether deploy.yaml has load sent; ``load_rate_per_s``: its requests in a second, None for a command,
            of which it is not known.
        records: of the image, which the registry holds from the beginning.

    Raises:
        ValueError: a step is neither ``setWeight`` nor ``pause``, the model knows no other.
    """

    def __init__(
        self,
        *,
        release: Release,
        scrape_interval: timedelta,
        version_label: bool,
        sections: Collection[str],
        start: datetime = START,
        steps: Sequence[Step] | None = None,
        history: Sequence[Digest] | None = None,
        healthy: Behaviour = HEALTHY,
        rate_per_s: float = 200,
        queries: Mapping[str, Query] = MappingProxyType({}),
        slo: Slo = _SLO,
        folder: Path | None = None,
        load: bool = False,
        load_rate_per_s: float | None = None,
        records: tuple[Record, ...] = (),
    ) -> None:
        self.clock = VirtualClock(start)
        self._release = release
        self._sections = sections
        self._slo = slo
        self._scripts = None if folder is None else RehearsedScripts(folder, broken=self.broken)
        self._load = RehearsedLoad(rate_per_s=load_rate_per_s, add=self.add_load) if load else None
        self._journal = MemoryJournal()
        self._records = records
        self._steps = tuple(steps) if steps is not None else _paused(release.canary_steps)
        unknown = {step.kind for step in self._steps} - _PLAYED
        if unknown:
            msg = f"the rehearsal can't play these steps: {', '.join(sorted(unknown))}"
            raise ValueError(msg)
        weights = [step.weight for step in self._steps if step.weight is not None]
        self.faults = Faults(self.clock, weights=weights, unplayable=self._unplayable())
        self.metrics = RehearsedMetrics(
            service=release.service,
            clock=self.clock,
            faults=self.faults,
            scrape_interval=scrape_interval,
            version_label=version_label,
            queries=queries,
            rate_per_s=rate_per_s,
            healthy=healthy,
            ready=self._ready,
            restarts=self._restarts,
            newest=self._newest,
        )
        self._serial = count(1)
        self._places = self._make_places(tuple(history or _made_up(release.service)))
        self._leases = {name: self._make_lease(name) for name in self._places}
        self.faults.before_change = self.metrics.count
        self.faults.changed = self._faults_changed

    def ports(self) -> Ports:
        """Return the ports into this world; all calls give the same world."""
        places = Places(self._places)
        return Ports(
            clock=self.clock,
            journal=self._journal,
            cluster=RehearsedCluster(places, self.faults),
            helm=RehearsedHelm(places, self.faults, self.clock),
            traffic=RehearsedTraffic(places, self.faults),
            metrics=self.metrics,
            builder=builder(self.clock, self.faults) if "build" in self._sections else None,
            signer=signer(self.clock, self.faults) if "sign" in self._sections else None,
            records=records(self.clock, self.faults, self._records) if "record" in self._sections else None,
            capabilities=capabilities(self.clock, self.faults, self._sections),
            approvals=RehearsedApprovals(self.clock, self.faults) if "approval" in self._sections else None,
            faults=self.faults,
            scripts=self._scripts,
            load=self._load,
        )

    def lock(
        self, environment: str, deploy_id: str, *, by: str = "the rehearsal", call: Callable[[], None] = lambda: None
    ) -> RehearsedLock:
        """Return a process's lock of an environment's workload; all calls for one environment contend for the same.

        Args:
            call: is called before each of its requests; raises DeployError where the server can't be reached.
        """
        return RehearsedLock(self._leases[environment], deploy_id, by=by, call=call)

    def lease(self, environment: str) -> StoredLease:
        """Return what an environment's locks share."""
        return self._leases[environment]

    def add_load(self, rate_per_s: float) -> None:
        """Let so many requests a second more go to the service from now on; fewer, where it is negative."""
        self.metrics.add_load(rate_per_s)

    def broken(self) -> bool:
        """Whether a version that was brought since the beginning, and gets requests, breaks the SLO now."""
        serve = self._newest() & self._ready().keys()
        answers = [self.metrics.behaviour(name) for name in serve]
        slo = self._slo
        return any(it.error_rate_ratio > slo.error_rate_max_ratio or it.p95_ms > slo.p95_latency_ms for it in answers)

    def _unplayable(self) -> dict[FaultKind, str]:
        found = faults_that_need(self._sections)
        if all(env.release is None for env in self._release.environments.values()):
            why = "no environment of deploy.yaml has a Helm release"
            found |= {FaultKind.HELM_UPGRADE_FAILS: why, FaultKind.ROLLBACK_FAILS: why}
        return found

    def _make_places(self, history: tuple[Digest, ...]) -> Mapping[str, Place]:
        return {name: self._place(env, history) for name, env in self._release.environments.items()}

    def _place(self, environment: Environment, history: tuple[Digest, ...]) -> Place:
        steps = () if environment.name == STAGING else self._steps
        chart = Chart(
            service=self._release.service,
            repository=self._release.image.repository,
            environment=environment,
            steps=steps,
        )
        place = Place(
            environment=environment, chart=chart, create=lambda spec: self._rollout(environment, spec, at_rest=False)
        )
        specs = [chart.spec([*self._release.values, ("image.digest", f'"{digest}"')]) for digest in history]
        place.rollout = self._rollout(environment, specs[-1], at_rest=True)
        for ago, spec in zip(reversed(range(len(specs))), specs, strict=True):
            record(
                place,
                status="superseded" if ago else "deployed",
                description="Upgrade complete" if place.revisions else "Install complete",
                updated=(self.clock.now() - timedelta(days=ago + 1)).isoformat(),
                spec=spec,
            )
        return place

    def _make_lease(self, environment: str) -> StoredLease:
        def fence() -> int:
            rollout = self._places[environment].rollout
            return 0 if rollout is None else int(rollout.annotations.get(FENCE, "0"))

        def set_fence(number: int) -> None:
            rollout = self._places[environment].rollout
            if rollout is not None:
                rollout.annotations[FENCE] = str(number)

        return StoredLease(
            clock=self.clock,
            after=self.clock.after,
            fence=fence,
            set_fence=set_fence,
            is_open=lambda deploy_id: is_open(e for e in self._journal.entries() if e.deploy_id == deploy_id),
        )

    def _rollout(self, environment: Environment, spec: Spec, *, at_rest: bool) -> Rollout:
        return Rollout(
            name=environment.rollout,
            uid=str(uuid5(NAMESPACE_URL, f"{environment.name}/{environment.rollout}/{next(self._serial)}")),
            container=environment.container,
            spec=spec,
            at_rest=at_rest,
            clock=self.clock,
            faults=self.faults,
            before_change=self.metrics.count,
            on_weight=self.faults.reached,
        )

    def _with_users(self) -> list[Rollout]:
        return [p.rollout for name, p in self._places.items() if name != STAGING and p.rollout is not None]

    def _ready(self) -> Mapping[str, int]:
        return _sum(rollout.ready for rollout in self._with_users())

    def _restarts(self) -> Mapping[str, int]:
        return _sum(rollout.restarts for rollout in self._with_users())

    def _newest(self) -> frozenset[str]:
        return frozenset(rollout.newest for rollout in self._with_users() if rollout.newest is not None)

    def _faults_changed(self) -> None:
        """Let the pods feel it, after what runs right now, and again once a crash is to be seen."""
        for place in self._places.values():
            if place.rollout is not None:
                self.clock.after(timedelta(), place.rollout.refresh)
                self.clock.after(STARTED_AFTER, place.rollout.refresh)


def _paused(weights: Sequence[int]) -> tuple[Step, ...]:
    return tuple(step for w in weights for step in (Step(kind="setWeight", weight=w), Step(kind="pause")))


def _sum(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for each in counts:
        for version, number in each.items():
            total[version] = total.get(version, 0) + number
    return total


def _made_up(service: str) -> tuple[Digest, ...]:
    texts = (f"{service} revision {number}" for number in range(1, _REVISIONS + 1))
    return tuple(Digest(f"sha256:{hashlib.sha256(text.encode()).hexdigest()}") for text in texts)
