"""A deploy in the rehearsed world, driven by the engine alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType

import pytest

from pytest_deploy.domain.event import Event
from pytest_deploy.domain.judge import Contract
from pytest_deploy.domain.outcome import Mode
from pytest_deploy.domain.plan import Gate, Stage
from pytest_deploy.domain.release import Environment, ImageRef, Release, Strategy
from pytest_deploy.domain.slo import Slo
from pytest_deploy.engine.deploy import Deploy, Limits
from pytest_deploy.rehearsal import World

SLO = Slo(error_rate_max_ratio=0.005, p95_latency_ms=300, window=timedelta(minutes=5))
WEIGHTS = (5, 25, 50, 100)
NEW = "ghcr.io/acme/api@sha256:" + "9" * 64


def environment(name: str) -> Environment:
    """Return an environment of this name."""
    return Environment(name=name, context=f"acme-{name}", namespace=name, release="api", rollout="api", container="api")


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


class Bench:
    """A deploy, its world, and what it told."""

    def __init__(self, *, release: Release = RELEASE, drill: bool = False, **world: object) -> None:
        self.events: list[Event] = []
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

    def at(self, weight: int) -> Deploy:
        """Enter the scenario of a weight, at its first gate."""
        self.deploy.scenario, self.deploy.place = f"Canary at {weight}%", "x.feature:10"
        return self.deploy

    def told(self, kind: type) -> list[Event]:
        """Return the events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def bench() -> Callable[..., Bench]:
    """Make a bench; keyword arguments go to the world."""
    return Bench
