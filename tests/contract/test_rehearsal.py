"""The rehearsal passes the contracts that the real adapters pass."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pytest_deploy import rehearsal
from pytest_deploy.domain.action import HelmUpgrade, Target
from pytest_deploy.domain.fault import parse_fault
from pytest_deploy.domain.release import Digest, Environment, ImageRef, Release, Strategy
from pytest_deploy.domain.synthetic import Behaviour
from pytest_deploy.ports import Journal
from pytest_deploy.testing.contracts import (
    OLD,
    STEPS,
    ClusterContract,
    HelmContract,
    JournalContract,
    MetricsContract,
    TrafficContract,
)

PROD = Environment(name="prod", context="acme-prod", namespace="shop", release="shop", rollout="web", container="app")
HELM_TIMEOUT = timedelta(seconds=60)


class RehearsedWorld:
    """The rehearsal as the contracts want it: one revision, no errors."""

    environment = PROD
    service = "shop"
    image = ImageRef.parse("registry.example.com/shop")

    def __init__(self) -> None:
        release = Release(
            service=self.service,
            image=self.image,
            strategy=Strategy.CANARY,
            canary_steps=STEPS,
            chart_path=Path("charts/shop"),
            owner="shop-team",
            values=(),
            environments={"prod": PROD},
        )
        self._world = rehearsal.World(
            release=release,
            scrape_interval=timedelta(seconds=15),
            version_label=True,
            sections=(),
            history=(OLD,),
            healthy=Behaviour(error_rate_ratio=0, p95_ms=120),
        )
        self.ports = self._world.ports()
        self._target = Target(environment="prod", context="acme-prod", namespace="shop", name="shop")

    def upgrade_to(self, digest: Digest, *, base_revision: int) -> HelmUpgrade:
        """Return the upgrade to this image."""
        return HelmUpgrade(
            target=self._target,
            chart="charts/shop",
            values_files=(),
            values=(("image.digest", f'"{digest}"'),),
            base_revision=base_revision,
            timeout=HELM_TIMEOUT,
        )

    def bad_upgrade(self, *, base_revision: int) -> HelmUpgrade:
        """Return an upgrade that the API server will refuse."""
        self._world.faults.inject(parse_fault("helm upgrade fails"))
        return self.upgrade_to(Digest("sha256:" + "9" * 64), base_revision=base_revision)

    def strand(self) -> None:
        """Kill an upgrade in the middle."""
        self._world.clock.after(timedelta(seconds=0.5), self._die)
        with pytest.raises(KeyboardInterrupt):
            self.ports.helm.execute(self.upgrade_to(Digest("sha256:" + "9" * 64), base_revision=1))

    def make_crash(self) -> None:
        """Let the next version's pods crash."""
        self._world.faults.inject(parse_fault("pods crash"))

    def make_bad(self, error_rate_ratio: float) -> None:
        """Let the version that runs fail this share of its requests."""
        state = self.ports.traffic.state(replace(self._target, name=PROD.rollout))
        assert state is not None
        self._world.metrics.behave(state.current_hash, Behaviour(error_rate_ratio=error_rate_ratio, p95_ms=120))

    def stop_samples(self) -> None:
        """Stop the scrapes."""
        self._world.faults.inject(parse_fault("stale data"))

    def let_time_pass(self, seconds: float) -> None:
        """Let the virtual clock run."""
        self._world.clock.sleep(timedelta(seconds=seconds))

    @staticmethod
    def _die() -> None:
        raise KeyboardInterrupt


class _Rehearsed:
    @pytest.fixture
    def world(self) -> RehearsedWorld:
        """Give a fresh world."""
        return RehearsedWorld()


class TestCluster(_Rehearsed, ClusterContract):
    """Reads of the cluster."""


class TestTraffic(_Rehearsed, TrafficContract):
    """The rollout and its controller."""


class TestHelm(_Rehearsed, HelmContract):
    """Helm."""


class TestMetrics(_Rehearsed, MetricsContract):
    """Metrics."""


class TestJournal(JournalContract):
    """The journal in memory."""

    @pytest.fixture
    def journal(self) -> Journal:
        """Give an empty journal."""
        return rehearsal.MemoryJournal()
