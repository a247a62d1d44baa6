"""A rehearsed world with production and staging, and a hand that drives deploys through it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import pytest

from pytest_deploy.domain.action import HelmRollback, HelmUpgrade, Target
from pytest_deploy.domain.fault import Fault, parse_fault
from pytest_deploy.domain.measurement import Kind, Objective, Reading, Subject
from pytest_deploy.domain.patches import abort, promote
from pytest_deploy.domain.release import Digest, Environment, ImageRef, Release, Strategy
from pytest_deploy.domain.rollout import RolloutState
from pytest_deploy.ports import CAPABILITIES
from pytest_deploy.rehearsal import World

OLD = Digest("sha256:" + "a" * 64)
NEW = Digest("sha256:" + "b" * 64)
SCRAPE = timedelta(seconds=15)
TIMEOUT = timedelta(minutes=5)
ERRORS = Objective(kind=Kind.ERROR_RATE, limit=0.005)
P95 = Objective(kind=Kind.LATENCY, limit=0.3, quantile=0.95)


def environment(name: str, *, release: str | None = "shop") -> Environment:
    """Return an environment of this name, with its own context."""
    return Environment(
        name=name, context=f"acme-{name}", namespace=f"{name}-ns", release=release, rollout="shop", container="app"
    )


RELEASE = Release(
    service="shop",
    image=ImageRef.parse("registry.example.com/shop"),
    strategy=Strategy.CANARY,
    canary_steps=(5, 25, 50, 100),
    chart_path=Path("charts/shop"),
    owner="shop-team",
    values=(("env.LOG_LEVEL", '"info"'),),
    environments={name: environment(name) for name in ("staging", "prod")},
)


@dataclass(kw_only=True)
class Drive:
    """What a deploy does to the world, in short words."""

    world: World
    name: str = "prod"

    def __post_init__(self) -> None:
        self.ports = self.world.ports()
        self.target = Target(
            environment=self.name, context=f"acme-{self.name}", namespace=f"{self.name}-ns", name="shop"
        )

    @property
    def state(self) -> RolloutState:
        """The Rollout, which is there."""
        state = self.ports.traffic.state(self.target)
        assert state is not None
        return state

    @property
    def history(self) -> list[tuple[int, str, str]]:
        """Helm's history: number, status and description."""
        return [(r.number, r.status, r.description) for r in self.ports.helm.history(self.target)]

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.world.clock.sleep(timedelta(seconds=seconds))

    def until(self, done: Callable[[RolloutState], bool], within_s: float = 60) -> RolloutState:
        """Look three times a second until it is done."""
        for _ in range(int(within_s / 0.3)):
            if done(self.state):
                return self.state
            self.run(0.3)
        raise AssertionError(self.state.words)

    def upgrade(self, digest: Digest = NEW, *values: tuple[str, str]) -> HelmUpgrade:
        """Return the upgrade of what is there to this image."""
        history = self.ports.helm.history(self.target)
        return HelmUpgrade(
            target=self.target,
            chart="charts/shop",
            values_files=(),
            values=(*RELEASE.values, *values, ("image.digest", f'"{digest}"')),
            base_revision=history[-1].number if history else 0,
            timeout=TIMEOUT,
        )

    def canary(self) -> RolloutState:
        """Start the canary and wait for its first pause."""
        self.ports.helm.execute(self.upgrade())
        return self.until(lambda seen: seen.observed and seen.at_our_pause)

    def promote(self) -> None:
        """Send the guarded promote."""
        state = self.state
        assert state.step_index is not None
        self.ports.traffic.execute(
            promote(self.target, step_index=state.step_index, template_hash=state.current_hash, weight=None)
        )

    def raise_to(self, weight: int) -> RolloutState:
        """Promote until the canary stands at this weight."""
        state = self.canary()
        while state.steps[(state.step_index or 0) - 1].weight != weight:
            before = state.step_index
            self.promote()
            state = self.until(lambda seen, b=before: seen.at_our_pause and seen.step_index != b)
        return state

    def commit(self) -> RolloutState:
        """Promote through all weights and one last time."""
        self.raise_to(100)
        self.promote()
        return self.until(lambda seen: seen.promoted and seen.phase == "Healthy")

    def abort(self) -> RolloutState:
        """Abort, and wait until the controller obeys."""
        self.ports.traffic.execute(abort(self.target, template_hash=self.state.current_hash))
        return self.until(lambda seen: seen.phase == "Degraded")

    def roll_back(self, revision: int = 3) -> str:
        """Roll the release back."""
        return self.ports.helm.execute(HelmRollback(target=self.target, revision=revision, timeout=TIMEOUT))

    def fault(self, text: str) -> Fault:
        """Inject a fault."""
        fault = parse_fault(text)
        self.world.faults.inject(fault)
        return fault

    def began_s(self, fault: Fault) -> float | None:
        """Return the seconds since the start at which the fault could first be seen."""
        began = self.world.faults.began(fault)
        return None if began is None else self.seconds(began)

    def seconds(self, at: datetime) -> float:
        """Return the seconds since the world's start."""
        return round(self.world.clock.monotonic() - (self.world.clock.now() - at).total_seconds(), 6)

    def read(self, seconds: float, objective: Objective = ERRORS, version: str | None = None) -> Reading:
        """Watch for some seconds, then read."""
        since = self.ports.metrics.now()
        self.run(seconds)
        return self.ports.metrics.read(objective, Subject(service="shop", template_hash=version), since)


class MakeDrive(Protocol):
    """Makes a world, and the hand that drives it."""

    def __call__(self, name: str = "prod", *, release: Release = RELEASE, **others: object) -> Drive:
        """Make both."""
        ...


def make(name: str = "prod", *, release: Release = RELEASE, **others: object) -> Drive:
    """Return a fresh world with all capabilities on, unless said otherwise."""
    given = {
        "scrape_interval": SCRAPE,
        "version_label": True,
        "sections": frozenset(CAPABILITIES) | {"build"},
        "history": (Digest("sha256:" + "1" * 64), Digest("sha256:" + "2" * 64), OLD),
        **others,
    }
    return Drive(world=World(release=release, **given), name=name)  # type: ignore[arg-type]  # by keyword


@pytest.fixture
def make_drive() -> MakeDrive:
    """Give what makes worlds."""
    return make


@pytest.fixture
def prod() -> Drive:
    """Give a fresh world's production."""
    return make()


@pytest.fixture
def staging() -> Drive:
    """Give a fresh world's staging."""
    return make("staging")


@pytest.fixture
def bare_release() -> Release:
    """Give a release whose rollout no Helm release owns."""
    return replace(RELEASE, environments={"prod": environment("prod", release=None)})
