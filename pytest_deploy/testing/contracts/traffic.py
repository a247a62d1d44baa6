"""What the rollout and its controller must do."""

# ruff: noqa: S101 - a contract is made of assertions

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_deploy.domain.patches import abort, promote_full, set_image
from pytest_deploy.domain.rollout import Phase, RolloutState
from pytest_deploy.errors import Refused, Rejected
from pytest_deploy.testing.contracts.world import NEW, OLD, STEPS, OnRelease, World

__all__ = ["TrafficContract"]


class TrafficContract(OnRelease):
    """The rollout and its controller."""

    def test_a_missing_rollout_has_no_state(self, world: World) -> None:
        """Where there is no Rollout, ``state`` is None."""
        assert world.ports.traffic.state(replace(self.rollout(world), name="not-there")) is None

    def test_at_rest_one_version_has_all_traffic(self, world: World) -> None:
        """At rest the wanted version is the stable one, alone, ready, with 100 % of the traffic."""
        state = self.state(world)
        assert (state.observed, state.promoted, state.phase, state.aborted) == (True, True, Phase.HEALTHY, False)
        assert state.image == world.image.with_digest(OLD).pinned
        assert state.weight_percent == 100
        assert [(v.digest, v.wanted, v.ready) for v in state.versions] == [(OLD, state.replicas, state.replicas)]
        assert [step.weight for step in state.steps[::2]] == list(STEPS)
        assert all(step.holds for step in state.steps[1::2])

    def test_an_upgrade_starts_a_canary_that_waits(self, world: World) -> None:
        """After ``helm upgrade`` the new version has the first weight, rounded to pods, and waits for us."""
        state = self.start_canary(world)
        assert not state.promoted
        assert state.image == world.image.with_digest(NEW).pinned
        canary, stable = state.version(state.current_hash), state.stable
        assert canary is not None
        assert stable is not None
        assert (canary.digest, stable.digest) == (NEW, OLD)
        assert state.weight_percent == pytest.approx(100 * canary.ready / (canary.ready + stable.ready))
        assert 0 < state.weight_percent < 25

    def test_the_pause_lasts_until_it_is_promoted(self, world: World) -> None:
        """Time alone moves no canary: after 5 s it stands where it stood."""
        before = self.start_canary(world)
        world.let_time_pass(5)
        after = self.state(world)
        assert (after.step_index, after.at_our_pause) == (before.step_index, True)

    def test_a_promote_ends_one_pause_once(self, world: World) -> None:
        """A promote that is sent twice is rejected the second time, and no step is skipped."""
        patch = self.promotion(world, self.start_canary(world))
        world.ports.traffic.execute(patch)
        with pytest.raises(Rejected) as caught:
            world.ports.traffic.execute(patch)
        assert "currentStepIndex" in str(caught.value) or "pauseConditions" in str(caught.value)
        state = self.until(world, "the second pause", lambda seen: self.paused_at(seen, 3))
        with pytest.raises(Rejected):
            world.ports.traffic.execute(patch)
        world.let_time_pass(3)
        assert self.paused_at(self.state(world), 3)
        assert state.steps[2].weight == STEPS[1]

    def test_a_promote_of_another_version_is_rejected(self, world: World) -> None:
        """A promote names the version that it means; where another is under way nothing is written."""
        state = self.start_canary(world)
        with pytest.raises(Rejected):
            world.ports.traffic.execute(replace(self.promotion(world, state), before=_of_version("ffffffffff")))
        world.let_time_pass(2)
        assert self.paused_at(self.state(world), 1)

    def test_an_abort_takes_all_traffic_back(self, world: World) -> None:
        """An abort brings the weight to 0, and leaves the wanted image the new one: it is no rollback."""
        state = self.start_canary(world)
        world.ports.traffic.execute(abort(self.rollout(world), template_hash=state.current_hash))
        state = self.until(
            world,
            "the abort",
            lambda seen: seen.aborted and seen.weight_percent == 0 and seen.version(seen.current_hash) is None,
        )
        assert state.phase is Phase.DEGRADED
        assert state.image == world.image.with_digest(NEW).pinned

    def test_a_release_is_rolled_back_after_an_abort_without_steps(self, world: World) -> None:
        """After abort and ``helm rollback`` the old version is the stable one at once, no step is run again."""
        state = self.start_canary(world)
        world.ports.traffic.execute(abort(self.rollout(world), template_hash=state.current_hash))
        self.roll_back(world)
        state = self.until(world, "the old version", lambda seen: seen.promoted and seen.phase is Phase.HEALTHY)
        assert (state.image, state.aborted) == (world.image.with_digest(OLD).pinned, False)
        assert state.step_index == len(state.steps)

    def test_the_last_promote_makes_the_new_version_stable(self, world: World) -> None:
        """Promoted through all pauses, only the new version has pods."""
        self.promote_through(world, self.start_canary(world))
        state = self.until(world, "only new pods", lambda seen: len(seen.versions) == 1)
        assert [(v.digest, v.ready) for v in state.versions] == [(NEW, state.replicas)]

    def test_after_the_commitment_the_way_back_skips_the_steps(self, world: World) -> None:
        """A rollback of what is promoted starts the steps anew; promote-full, sent once observed, skips them."""
        self.promote_through(world, self.start_canary(world))
        self.roll_back(world)
        state = self.until(world, "a canary of the old version", lambda seen: self.paused_at(seen, 1))
        assert state.image == world.image.with_digest(OLD).pinned
        target = self.rollout(world)
        with pytest.raises(Rejected):
            world.ports.traffic.execute(promote_full(target, observed_generation=state.observed_generation - 1))
        assert not self.state(world).promoted
        state = self._promote_full(world, state)
        assert [(v.digest, v.ready) for v in state.versions] == [(OLD, state.replicas)]

    def test_the_image_of_a_rollout_is_set_only_from_the_one_expected(self, world: World) -> None:
        """An image patch names the old image: from another one it is rejected, from this one a canary starts."""
        traffic, target, container = world.ports.traffic, self.rollout(world), world.environment.container
        index = traffic.container_index(target, container)
        old, new = (world.image.with_digest(digest).pinned for digest in (OLD, NEW))
        with pytest.raises(Rejected):
            traffic.execute(set_image(target, index=index, container=container, old=new, new=new))
        assert self.state(world).promoted
        traffic.execute(set_image(target, index=index, container=container, old=old, new=new))
        state = self.until(world, "the first pause", lambda seen: self.paused_at(seen, 1))
        assert state.image == new

    def test_an_unknown_container_is_refused(self, world: World) -> None:
        """A container that the pod template does not have has no index."""
        with pytest.raises(Refused, match="not-there"):
            world.ports.traffic.container_index(self.rollout(world), "not-there")

    def test_a_patch_of_a_missing_rollout_is_rejected(self, world: World) -> None:
        """What is not there can't be patched, and says so."""
        with pytest.raises(Rejected, match="not-there"):
            world.ports.traffic.execute(abort(replace(self.rollout(world), name="not-there"), template_hash="x"))

    def _promote_full(self, world: World, state: RolloutState) -> RolloutState:
        """Send it from a fresh look as often as the controller was faster."""
        for _ in range(5):
            try:
                world.ports.traffic.execute(
                    promote_full(self.rollout(world), observed_generation=state.observed_generation)
                )
                break
            except Rejected:
                state = self.state(world)
        return self.until(
            world, "only old pods", lambda seen: seen.promoted and len(seen.versions) == 1 and seen.observed
        )


def _of_version(template_hash: str) -> tuple[tuple[str, str], ...]:
    return (("/status/currentPodHash", f'"{template_hash}"'),)
