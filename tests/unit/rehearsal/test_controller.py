"""The Rollout and its controller: what Argo Rollouts does with a basic canary."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_deploy.domain.patches import abort, promote, promote_full, set_image
from pytest_deploy.domain.release import Digest
from pytest_deploy.domain.rollout import Phase, Step
from pytest_deploy.errors import Rejected
from tests.unit.rehearsal.conftest import NEW, OLD, Drive, MakeDrive

NEW_IMAGE = f"registry.example.com/shop@{NEW}"


def pods(drive: Drive) -> dict[str | None, tuple[int, int]]:
    """Wanted and ready pods by digest."""
    return {version.digest: (version.wanted, version.ready) for version in drive.state.versions}


def test_the_controller_sees_a_new_spec_later_than_the_api_does(prod: Drive) -> None:
    """Right after the upgrade the generation has moved and the status is the old one; then it is observed."""
    before = prod.state
    prod.ports.helm.execute(prod.upgrade())
    state = prod.state
    assert (state.generation, state.observed_generation) == (before.generation + 1, before.observed_generation)
    assert (state.phase, state.current_hash) == (Phase.PROGRESSING, before.current_hash)
    assert state.message == "waiting for rollout spec update to be observed"
    prod.run(1)
    assert prod.state.observed
    assert prod.state.current_hash != before.current_hash


def test_a_canary_pauses_once_its_pods_are_ready(prod: Drive) -> None:
    """It stands at step 0 while its pod starts, some 8 s; then at the pause, with exactly 5 %."""
    prod.ports.helm.execute(prod.upgrade())
    prod.run(5)
    assert (prod.state.step_index, prod.state.phase, prod.state.weight_percent) == (0, Phase.PROGRESSING, 0)
    assert prod.state.message == "more replicas need to be updated"
    prod.run(5)
    state = prod.state
    assert (state.step_index, state.phase, state.message) == (1, Phase.PAUSED, "CanaryPauseStep")
    assert state.weight_percent == 5
    assert pods(prod) == {OLD: (19, 19), NEW: (1, 1)}


@pytest.mark.parametrize(("weight", "canary", "stable"), [(25, 5, 15), (50, 10, 10)])
def test_each_weight_is_that_many_pods(prod: Drive, weight: int, canary: int, stable: int) -> None:
    """Weights are pods of 20."""
    assert prod.raise_to(weight).weight_percent == weight
    assert pods(prod) == {OLD: (stable, stable), NEW: (canary, canary)}


def test_at_100_percent_no_stable_pod_is_left_before_the_commitment(prod: Drive) -> None:
    """A basic canary at setWeight 100 has already scaled the stable version to 0, though it is not promoted."""
    state = prod.raise_to(100)
    assert (state.promoted, state.weight_percent) == (False, 100)
    assert pods(prod) == {NEW: (20, 20)}


def test_the_last_promote_makes_it_stable(prod: Drive) -> None:
    """Healthy, at the end of the steps, the new version is the stable one."""
    state = prod.commit()
    assert (state.step_index, state.stable_hash == state.current_hash, state.image) == (8, True, NEW_IMAGE)


def test_a_second_promote_is_rejected_before_and_after_the_controller_saw_the_first(prod: Drive) -> None:
    """The guard holds at once, since the pause is gone, and later, since the step has moved on."""
    state = prod.canary()
    patch = promote(prod.target, step_index=1, template_hash=state.current_hash, weight=25)
    prod.ports.traffic.execute(patch)
    with pytest.raises(Rejected, match=r"pauseConditions/0/reason must be .* but is not there"):
        prod.ports.traffic.execute(patch)
    prod.until(lambda seen: seen.at_our_pause and seen.step_index == 3)
    with pytest.raises(Rejected, match="currentStepIndex must be 1, but is 3"):
        prod.ports.traffic.execute(patch)
    prod.run(30)
    assert prod.state.step_index == 3


def test_an_abort_takes_traffic_back_at_once_and_leaves_the_template(prod: Drive) -> None:
    """At 5 % all canary pods go within a second; Degraded, weight 0, the new image is still wanted."""
    prod.canary()
    began = prod.world.clock.monotonic()
    state = prod.abort()
    assert prod.world.clock.monotonic() - began <= 1
    assert (state.aborted, state.weight_percent, state.step_index, state.pauses) == (True, 0, 0, ())
    assert state.message.startswith("RolloutAborted: Rollout aborted update to revision 2")
    assert (state.image, state.promoted) == (NEW_IMAGE, False)
    prod.run(10)
    assert pods(prod) == {OLD: (20, 20)}


def test_an_abort_at_100_percent_costs_the_time_that_pods_need(prod: Drive) -> None:
    """The stable pods must start again, and 15 of 20 are ready at any time."""
    prod.raise_to(100)
    prod.abort()
    began, least = prod.world.clock.monotonic(), 20
    while pods(prod) != {OLD: (20, 20)}:
        prod.run(0.3)
        least = min(least, sum(ready for _, ready in pods(prod).values()))
        assert prod.world.clock.monotonic() - began < 60
    assert 8 <= prod.world.clock.monotonic() - began < 40
    assert least >= 15


def test_a_rollback_of_an_aborted_canary_runs_no_step(prod: Drive) -> None:
    """The stable template's steps are skipped: Healthy, the index at the end, the abort gone."""
    prod.canary()
    prod.abort()
    prod.roll_back()
    state = prod.until(lambda seen: seen.phase is Phase.HEALTHY, within_s=10)
    assert (state.step_index, state.aborted, state.promoted) == (8, False, True)
    assert prod.world.clock.monotonic() < 60


def test_a_rollback_after_promotion_is_a_canary_of_the_old_version(prod: Drive) -> None:
    """Paused at the first step with one old pod, until promote-full skips the rest."""
    prod.commit()
    prod.roll_back()
    state = prod.until(lambda seen: seen.observed and seen.at_our_pause)
    assert pods(prod) == {NEW: (19, 19), OLD: (1, 1)}
    prod.ports.traffic.execute(promote_full(prod.target, observed_generation=state.observed_generation))
    state = prod.until(lambda seen: seen.phase is Phase.HEALTHY)
    assert (pods(prod), state.step_index, state.promoted) == ({OLD: (20, 20)}, 8, True)


def test_promote_full_before_the_spec_is_seen_is_no_promotion(prod: Drive) -> None:
    """Its test names the generation that must be seen; where that is the old one the new spec undoes it."""
    prod.commit()
    prod.roll_back()
    state = prod.state
    with pytest.raises(Rejected, match='observedGeneration must be "3", but is "2"'):
        prod.ports.traffic.execute(promote_full(prod.target, observed_generation=state.generation))
    prod.ports.traffic.execute(promote_full(prod.target, observed_generation=state.observed_generation))
    state = prod.until(lambda seen: seen.observed and seen.at_our_pause)
    assert state.step_index == 1


def test_promote_full_of_an_aborted_canary_ends_the_abort(prod: Drive) -> None:
    """As Argo has it: the version that was aborted is promoted."""
    prod.canary()
    state = prod.abort()
    prod.ports.traffic.execute(promote_full(prod.target, observed_generation=state.observed_generation))
    state = prod.until(lambda seen: seen.phase is Phase.HEALTHY)
    assert (state.aborted, state.image) == (False, NEW_IMAGE)


def test_an_abort_of_what_is_promoted_is_forgotten(prod: Drive) -> None:
    """There is nothing to abort."""
    state = prod.state
    prod.ports.traffic.execute(abort(prod.target, template_hash=state.current_hash))
    prod.run(2)
    assert (prod.state.aborted, prod.state.phase) == (False, Phase.HEALTHY)


def test_an_image_patch_starts_a_canary_and_touches_no_status(prod: Drive) -> None:
    """A patch of the spec raises the generation; its status part would be ignored."""
    image = prod.state.image
    patch = set_image(prod.target, index=0, container="app", old=image, new=NEW_IMAGE)
    prod.ports.traffic.execute(replace(patch, change=(*patch.change, ("/status/abort", "true"))))
    state = prod.until(lambda seen: seen.observed and seen.at_our_pause)
    assert (state.image, state.aborted) == (NEW_IMAGE, False)


def test_a_third_version_in_mid_canary_replaces_the_second(prod: Drive) -> None:
    """A foreign deploy begins the steps anew; the version that was under way loses its pods."""
    prod.raise_to(25)
    third = Digest("sha256:" + "c" * 64)
    prod.ports.helm.execute(prod.upgrade(third))
    prod.run(1)
    assert prod.state.step_index == 0
    prod.until(lambda seen: seen.observed and seen.at_our_pause)
    assert pods(prod) == {OLD: (19, 19), third: (1, 1)}


def test_without_steps_a_new_version_gets_everything_at_once(staging: Drive) -> None:
    """Staging: no pause, no index; promoted when all its pods are ready."""
    staging.ports.helm.execute(staging.upgrade())
    state = staging.until(lambda seen: seen.observed and seen.phase is Phase.HEALTHY)
    assert (state.promoted, state.image, state.step_index, state.steps) == (True, NEW_IMAGE, None, ())


def test_a_pause_with_a_duration_ends_by_itself(make_drive: MakeDrive) -> None:
    """Ten seconds, then the next weight; a first pause comes before any weight."""
    steps = (Step(kind="pause", pause_s=10), Step(kind="setWeight", weight=50), Step(kind="pause"))
    drive = make_drive(steps=steps)
    drive.ports.helm.execute(drive.upgrade())
    drive.run(5)
    assert (drive.state.at_our_pause, drive.state.step_index, drive.state.weight_percent) == (True, 0, 0)
    state = drive.until(lambda seen: seen.step_index == 2 and seen.at_our_pause)
    assert state.weight_percent == 50


def test_a_canary_that_makes_no_progress_for_ten_minutes_is_degraded(prod: Drive) -> None:
    """progressDeadlineSeconds; and it can still turn good once its pods do."""
    prod.fault("pods never ready for 15 minutes")
    prod.ports.helm.execute(prod.upgrade())
    prod.run(595)
    assert prod.state.phase is Phase.PROGRESSING
    prod.run(10)
    assert (prod.state.phase, prod.state.aborted) == (Phase.DEGRADED, False)
    assert prod.state.message.startswith("ProgressDeadlineExceeded")
    prod.run(15 * 60)
    assert prod.state.at_our_pause


def test_a_long_pause_is_no_lack_of_progress(prod: Drive) -> None:
    """A promote after a quarter of an hour goes on without ever being called degraded."""
    prod.canary()
    prod.run(900)
    prod.promote()
    state = prod.until(lambda seen: seen.step_index == 3 or seen.phase is Phase.DEGRADED)
    assert state.phase is not Phase.DEGRADED


def test_what_is_promoted_has_no_deadline(prod: Drive) -> None:
    """Pods that crash long after the promotion are waited for, as the controller does."""
    prod.commit()
    prod.run(900)
    prod.fault("pods crash")
    prod.run(900)
    assert (prod.state.phase, prod.state.weight_percent) == (Phase.PROGRESSING, 0)
    assert prod.state.message == "updated replicas are still becoming available"


def test_the_same_template_is_the_same_version_everywhere(prod: Drive, staging: Drive) -> None:
    """The hash comes from the template alone, so two worlds and two environments agree on it."""
    assert prod.state.current_hash == staging.state.current_hash
    assert prod.state.uid != staging.state.uid
