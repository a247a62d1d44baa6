"""A deploy in the rehearsed world, driven by the engine alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import pytest

from pytest_deploy.domain.action import RolloutPatch
from pytest_deploy.domain.event import Event
from pytest_deploy.domain.fault import parse_fault
from pytest_deploy.domain.journal import EntryState
from pytest_deploy.domain.judge import Contract
from pytest_deploy.domain.outcome import Mode
from pytest_deploy.domain.plan import Gate, Stage
from pytest_deploy.domain.release import Environment, ImageRef, Release, Strategy
from pytest_deploy.domain.rollout import HelmRevision, RolloutState
from pytest_deploy.domain.slo import Slo
from pytest_deploy.domain.upgrade import release_target, rollout_target
from pytest_deploy.engine import canary, drill, gates
from pytest_deploy.engine.deploy import Deploy, Limits
from pytest_deploy.ports import Ports
from pytest_deploy.rehearsal import World

E = TypeVar("E")

SLO = Slo(error_rate_max_ratio=0.005, p95_latency_ms=300, window=timedelta(minutes=5))
WEIGHTS = (5, 25, 50, 100)
NEW = "ghcr.io/acme/api@sha256:" + "9" * 64


def environment(name: str, release: str | None = "api") -> Environment:
    """An environment of this name with its own context."""
    return Environment(
        name=name, context=f"acme-{name}", namespace=name, release=release, rollout="api", container="api"
    )


RELEASE = Release(
    service="api",
    image=ImageRef.parse(NEW),
    strategy=Strategy.CANARY,
    canary_steps=WEIGHTS,
    chart_path=Path("charts/api"),
    owner="team",
    values=(),
    environments=MappingProxyType({name: environment(name) for name in ("staging", "prod")}),
)

PATCHED = replace(RELEASE, environments=MappingProxyType({"prod": environment("prod", None)}))
"""No Helm release owns the rollout: it is driven by image patch."""


def stages(weights: tuple[int, ...] = WEIGHTS, window: timedelta = SLO.window) -> tuple[Stage, ...]:
    """Return a stage for each weight."""
    made = []
    for weight in weights:
        title = f"Canary at {weight}%"
        gates = tuple(
            Gate(objective=objective, window=window, place=f"x.feature:{10 + index}", scenario=title)
            for index, objective in enumerate(SLO.objectives)
        )
        made.append(Stage(weight=weight, gates=gates, scenario=title, place="x.feature:9"))
    return tuple(made)


class Altered:
    """A port of which some methods are replaced; each gets the original one as its first argument."""

    def __init__(self, port: object, methods: dict[str, Callable[..., Any]]) -> None:
        self._port = port
        self._methods = methods

    def __getattr__(self, name: str) -> Any:
        original = getattr(self._port, name)
        return partial(self._methods[name], original) if name in self._methods else original


class Bench:
    """A deploy, its world, and what it told."""

    def __init__(self, *, release: Release = RELEASE, drill: bool = False, **world: object) -> None:
        self.events: list[Event] = []
        self.release = release
        settings: dict[str, object] = {
            "release": release,
            "scrape_interval": timedelta(seconds=15),
            "version_label": True,
            "sections": (),
        }
        self.world = World(**(settings | world))  # type: ignore[arg-type]  # a table of keyword arguments
        self.deploy = Deploy(
            id="d1",
            mode=Mode.REHEARSAL,
            release=release,
            environment=release.environments["prod"],
            slo=SLO,
            stages=stages(),
            limits=Limits(),
            judge=Contract(),
            ports=self.world.ports(),
            emit=self.events.append,
            drill=drill,
        )
        self.old = self.state().image

    # What is done

    def use(self, ports: Ports) -> None:
        """Let deploy and transaction act through these ports."""
        self.deploy.ports = self.deploy.tx.ports = ports

    def alter(self, port: str, **methods: Callable[..., Any]) -> None:
        """Replace methods of a port: ``alter("helm", history=lambda original, release: ())``."""
        ports = self.deploy.ports
        self.use(replace(ports, **{port: Altered(getattr(ports, port), methods)}))

    def mend(self) -> None:
        """Take back all that ``alter`` did, and end all faults."""
        self.use(self.world.ports())
        self.world.faults.end()

    def fault(self, text: str) -> None:
        """Let a fault begin, in the words of the grammar."""
        drill.inject(self.deploy, parse_fault(text))

    def at(self, weight: int) -> Deploy:
        """Enter the scenario of a weight, at its first gate."""
        self.deploy.scenario, self.deploy.place = f"Canary at {weight}%", "x.feature:10"
        return self.deploy

    def raise_to(self, weight: int) -> None:
        """Enter the weight's scenario and bring the canary there."""
        canary.raise_to(self.at(weight), weight)

    def judge(self, weight: int) -> None:
        """Let the gates of a weight speak, one after the other, as their steps do."""
        for gate in canary.stage_of(self.at(weight), weight).gates:
            self.deploy.place = gate.place
            gates.check(self.deploy, *self.deploy.standing_gate())

    def pass_through(self, *weights: int) -> None:
        """Bring the canary through the weights, each with its verdicts."""
        for weight in weights:
            self.raise_to(weight)
            self.judge(weight)

    def committed(self) -> Deploy:
        """Go all the way."""
        self.pass_through(*WEIGHTS)
        canary.commit(self.deploy)
        return self.deploy

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.world.clock.sleep(timedelta(seconds=seconds))

    # What is seen, by the world's own ports: whatever ``alter`` did to the deploy's

    def told(self, kind: type[E]) -> list[E]:
        """What was told of this kind, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    def state(self, name: str = "prod") -> RolloutState:
        """One look at the Rollout of an environment, which is there."""
        state = self.world.ports().traffic.state(rollout_target(self.release.environments[name]))
        assert state is not None
        return state

    def history(self, name: str = "prod") -> tuple[HelmRevision, ...]:
        """The Helm history of an environment."""
        release = release_target(self.release.environments[name])
        assert release is not None
        return self.world.ports().helm.history(release)

    def old_serves(self, name: str = "prod") -> bool:
        """Whether every pod is a ready one of the old version, and Helm's deployed revision wants that version too."""
        env, ports = self.release.environments[name], self.world.ports()
        pods = ports.cluster.pods(rollout_target(env), self.release.service)
        release = release_target(env)
        wanted = {self.state(name).image}
        if release is not None:
            if self.history(name)[-1].status != "deployed":
                return False
            rollout: Any = next(m for m in ports.helm.manifest(release) if m["kind"] == "Rollout")
            wanted |= {each["image"] for each in rollout["spec"]["template"]["spec"]["containers"]}
        images = {pod.image for pod in pods}
        return len(pods) == 20 and all(pod.ready for pod in pods) and images == wanted == {self.old}

    def done(self) -> list[str]:
        """Every mutation that was tried, in short: ``helm upgrade``, ``promote``, ``abort`` ..."""
        entries = self.world.ports().journal.entries()
        actions = [e.action for e in entries if e.state is EntryState.INTENT and e.action is not None]
        return [str(a.purpose) if isinstance(a, RolloutPatch) else " ".join(a.summary.split()[:2]) for a in actions]


@pytest.fixture
def bench() -> Callable[..., Bench]:
    """Make a bench; keyword arguments go to the world."""
    return Bench
