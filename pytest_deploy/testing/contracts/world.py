"""The world that the contracts are run in, and ways to look at it and move it."""

# ruff: noqa: S101 - a contract is made of assertions

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Protocol

import pytest

from pytest_deploy.domain.action import HelmRollback, HelmUpgrade, RolloutPatch, Target
from pytest_deploy.domain.patches import promote
from pytest_deploy.domain.release import Digest, Environment, ImageRef
from pytest_deploy.domain.rollout import Phase, RolloutState
from pytest_deploy.ports import Ports

__all__ = ["NEW", "OLD", "STEPS", "OnRelease", "World"]


OLD = Digest("sha256:" + "1" * 64)
NEW = Digest("sha256:" + "2" * 64)
STEPS = (5, 25, 50, 100)
"""Weights of the world's Rollout, each followed by an indefinite pause."""


class World(Protocol):
    """A world where one release is installed (revision 1), runs ``OLD`` on 10 pods or more, and is at rest.

    Its Rollout is a canary without a traffic router, with ``STEPS``; its requests fail never and have a p95 of
    about 120 ms; its service has series for each version.
    """

    @property
    def ports(self) -> Ports:
        """The ports under test."""
        ...

    @property
    def environment(self) -> Environment:
        """Where the release is; its names of release, rollout and container."""
        ...

    @property
    def service(self) -> str:
        """The service's name in the metrics."""
        ...

    @property
    def image(self) -> ImageRef:
        """The image that is deployed, without a digest."""
        ...

    def upgrade_to(self, digest: Digest, *, base_revision: int) -> HelmUpgrade:
        """Return the upgrade of the release to this image; nothing is done."""
        ...

    def bad_upgrade(self, *, base_revision: int) -> HelmUpgrade:
        """Return an upgrade that Helm will fail to do; nothing is done."""
        ...

    def strand(self) -> None:
        """Leave the release as a killed ``helm upgrade`` does: its last revision is pending-upgrade."""
        ...

    def make_crash(self) -> None:
        """From now on the pods of the version that is deployed next crash."""
        ...

    def make_bad(self, error_rate_ratio: float) -> None:
        """From now on the newest version that runs fails this share of its requests; 0 ends it."""
        ...

    def stop_samples(self) -> None:
        """From now on no new sample reaches the metrics server."""
        ...

    def let_time_pass(self, seconds: float) -> None:
        """Wait, or let the virtual clock run."""
        ...


class OnRelease:
    """What the contracts share: looks at the world, and ways to move it."""

    @pytest.fixture
    def world(self) -> World:
        """Give a fresh world; a subclass overrides it."""
        raise NotImplementedError

    def release(self, world: World) -> Target:
        """Name the Helm release."""
        env = world.environment
        if env.release is None:
            msg = "the contract's world has a Helm release"
            raise ValueError(msg)
        return self._target(env, env.release)

    def rollout(self, world: World) -> Target:
        """Name the Rollout."""
        return self._target(world.environment, world.environment.rollout)

    def state(self, world: World) -> RolloutState:
        """Look at the Rollout, which is there."""
        state = world.ports.traffic.state(self.rollout(world))
        assert state is not None, "the Rollout is gone"
        return state

    def until(self, world: World, what: str, done: Callable[[RolloutState], bool]) -> RolloutState:
        """Return the first look that is done; 60 s of the world's time is the limit."""
        clock = world.ports.clock
        end = clock.monotonic() + 60
        while True:
            state = self.state(world)
            if done(state):
                return state
            assert clock.monotonic() < end, f"{what}: not within 60 s; last seen: {state.words}"
            world.let_time_pass(0.3)

    def start_canary(self, world: World) -> RolloutState:
        """Upgrade to ``NEW`` and return the look at the first pause, all canary pods ready."""
        world.ports.helm.execute(world.upgrade_to(NEW, base_revision=1))
        return self.until(world, "the first pause", lambda seen: self.paused_at(seen, 1))

    def paused_at(self, state: RolloutState, index: int) -> bool:
        """Whether the canary stands at the pause of this step index, all its pods ready."""
        canary = state.version(state.current_hash)
        return (
            state.observed
            and state.at_our_pause
            and state.step_index == index
            and canary is not None
            and 0 < canary.wanted <= canary.ready
        )

    def promotion(self, world: World, state: RolloutState) -> RolloutPatch:
        """Return the guarded promote out of the pause where the rollout stands."""
        assert state.step_index is not None
        return promote(self.rollout(world), step_index=state.step_index, template_hash=state.current_hash, weight=None)

    def promote_through(self, world: World, state: RolloutState) -> RolloutState:
        """Promote step by step until the new version is the stable one."""
        for index in range(1, 2 * len(STEPS), 2):
            state = self.until(world, f"pause {index}", partial(self.paused_at, index=index))
            world.ports.traffic.execute(self.promotion(world, state))
        return self.until(world, "the promotion", lambda seen: seen.promoted and seen.phase is Phase.HEALTHY)

    def roll_back(self, world: World) -> None:
        """Roll the release back to revision 1."""
        timeout = timedelta(seconds=60)
        world.ports.helm.execute(HelmRollback(target=self.release(world), revision=1, timeout=timeout))

    def _target(self, env: Environment, name: str) -> Target:
        kubeconfig = None if env.kubeconfig is None else str(env.kubeconfig)
        return Target(
            environment=env.name, context=env.context, namespace=env.namespace, name=name, kubeconfig=kubeconfig
        )
