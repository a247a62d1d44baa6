"""The sandbox's ports with faults: here around the rehearsal's, so that nothing has to run."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pytest_deploy.domain.fault import parse_fault
from pytest_deploy.domain.measurement import Kind, Objective, Subject
from pytest_deploy.domain.release import Environment, ImageRef, Release, Strategy
from pytest_deploy.ports import Ports
from pytest_deploy.rehearsal import World
from pytest_deploy.sandbox import Stack
from pytest_deploy.sandbox.drills import with_faults

PROD = Environment(
    name="prod", context="sandbox-prod", namespace="prod", release="shop", rollout="web", container="app"
)
ERRORS = Objective(kind=Kind.ERROR_RATE, limit=0.005)
SHOP = Subject(service="shop")


@pytest.fixture
def world() -> World:
    """Give a rehearsed world."""
    release = Release(
        service="shop",
        image=ImageRef.parse("registry.example.com/shop"),
        strategy=Strategy.CANARY,
        canary_steps=(5, 100),
        chart_path=Path("charts/shop"),
        owner="shop-team",
        values=(),
        environments={"prod": PROD},
    )
    return World(release=release, scrape_interval=timedelta(seconds=1), version_label=True, sections=())


@pytest.fixture
def ports(world: World, tmp_path: Path) -> Ports:
    """Give its ports with the sandbox's faults around them."""
    nowhere = "http://127.0.0.1:1"
    stack = Stack(
        name="mine",
        backend="kwok",
        folder=tmp_path,
        kubeconfig=tmp_path / "kubeconfig",
        server=nowhere,
        prometheus_url=nowhere,
        control_url=nowhere,
        controller_url=nowhere,
        kwok_workdir=tmp_path,
        daemons={},
    )
    return with_faults(stack, world.ports(), PROD, "shop", ())


def test_without_a_fault_metrics_are_the_real_ones(world: World, ports: Ports) -> None:
    """Readings and problems pass through as they are, at once."""
    since = ports.metrics.now()
    world.clock.sleep(timedelta(seconds=10))
    before_s = world.clock.monotonic()
    assert ports.metrics.read(ERRORS, SHOP, since) == world.metrics.read(ERRORS, SHOP, since)
    for service in ("shop", "other"):
        objective = replace(ERRORS, kind=Kind.LATENCY, limit=0.27, quantile=0.95)
        found = ports.metrics.problems(objective, Subject(service=service))
        assert found == world.metrics.problems(objective, Subject(service=service))
        assert found
    assert world.clock.monotonic() == before_s


def test_a_slow_server_is_slow_whatever_is_asked(world: World, ports: Ports) -> None:
    """Its problems, too; and the fault can be seen from the first question on."""
    assert ports.faults is not None
    fault = parse_fault("prometheus slow")
    ports.faults.inject(fault)
    assert ports.faults.began(fault) is None
    since, began_s = ports.metrics.now(), world.clock.monotonic()
    assert ports.metrics.problems(ERRORS, SHOP) == ()
    assert ports.faults.began(fault) is not None
    ports.metrics.read(ERRORS, SHOP, since)
    assert world.clock.monotonic() == began_s + 2
