"""The canary: started by Helm (or by an image patch), promoted step by step with guards, committed last."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from pytest_deploy.domain.event import WeightReached
from pytest_deploy.domain.journal import Milestone
from pytest_deploy.domain.patches import promote, set_image
from pytest_deploy.domain.plan import Stage
from pytest_deploy.domain.rollout import Phase, Pod, RolloutState
from pytest_deploy.engine import approval, pods, preflight, record, turn
from pytest_deploy.engine.deploy import Deploy
from pytest_deploy.engine.waiting import until
from pytest_deploy.errors import DeployError, Refused, blamed_on

__all__ = ["commit", "look", "raise_to", "scenario_passed", "stage_of", "watched"]


def raise_to(deploy: Deploy, weight: int) -> None:
    """Bring the canary to this weight: the first one starts it, each later one is a guarded promote.

    Raises:
        Refused: pre-flight says no; nothing was changed.
        DeployError: the weight is out of order or was not passed before, or the rollout did not get there.
        GateBreach: the canary's pods can't start.
    """
    stage = stage_of(deploy, weight)
    index = deploy.stages.index(stage)
    began = deploy.ports.clock.monotonic()
    if index == 0:
        preflight.ensure(deploy)
    deploy.moment(f"{weight}%")
    if index == 0:
        record.staged(deploy)
        approval.recheck(deploy)
        _start(deploy)
    else:
        before = deploy.stages[index - 1].weight
        if before not in deploy.passed_weights:
            raise DeployError(
                f"{weight} % may not follow: the gates of {before} % have not passed",
                hint="let a gate stand after each weight",
            )
        if deploy.reached != before:
            raise DeployError(
                f"{weight} % may not follow {deploy.reached} %: the promote would go past it",
                hint="let each weight stand once, in the order of the Rollout's steps",
            )
        _promote(deploy, at=before, to=weight)
    with pods.explaining(deploy, deploy.rollout_target(), partial(_is_ours, deploy)):
        state = until(
            lambda: _looked(deploy),
            done=lambda seen: _stands_at(seen, weight),
            words=lambda seen: seen.words,
            what=f"{weight} % of the traffic to the canary",
            timeout=deploy.limits.step,
            clock=deploy.ports.clock,
            emit=deploy.emit,
            hint="see why its pods are not ready: kubectl get pods, events",
            cause="pods never ready",
        )
    deploy.reached = weight
    deploy.actual_percent = state.weight_percent
    took = timedelta(seconds=deploy.ports.clock.monotonic() - began)
    deploy.emit(WeightReached(at=deploy.ports.clock.now(), asked=weight, state=state, took=took))
    deploy.found(f"{state.weight_percent:.1f} % observed after {took.total_seconds():.1f} s: {state.words}")


def commit(deploy: Deploy) -> None:
    """Promote the last time: the new version becomes the stable one, and is verified to be all that runs.

    Raises:
        DeployError: not every weight has passed its gates, or the promotion was not observed.
    """
    missing = [stage.weight for stage in deploy.stages if stage.weight not in deploy.passed_weights]
    if missing or not deploy.stages:
        raise DeployError(f"no commitment: the gates of {missing or 'no weight at all'} have not passed")
    began = deploy.ports.clock.monotonic()
    _promote(deploy, at=deploy.stages[-1].weight, to=None)
    with pods.explaining(deploy, deploy.rollout_target(), partial(_is_ours, deploy)):
        state = until(
            lambda: _looked(deploy),
            done=lambda seen: _all_new(deploy, seen),
            words=lambda seen: seen.words,
            what="the new version to be the stable one",
            timeout=deploy.limits.step,
            clock=deploy.ports.clock,
            emit=deploy.emit,
        )
    deploy.committed = True
    deploy.tx.milestone(Milestone.COMMITTED, observed=state.words)
    stable = state.stable
    deploy.fact("pods_ready", f"{stable.ready if stable else 0} of {state.replicas}")
    _record_revision(deploy)
    took = timedelta(seconds=deploy.ports.clock.monotonic() - began)
    deploy.emit(WeightReached(at=deploy.ports.clock.now(), asked=100, state=state, took=took, final=True))


def scenario_passed(deploy: Deploy) -> None:
    """Commit once all weights have passed their gates; no step names it, the plan shows it."""
    weights = {stage.weight for stage in deploy.stages}
    if weights and weights == deploy.passed_weights and not deploy.committed and deploy.failure is None:
        commit(deploy)


def look(deploy: Deploy) -> RolloutState:
    """Return the rollout as it is now.

    Raises:
        DeployError: it is gone.
    """
    target = deploy.rollout_target()
    state = deploy.ports.traffic.state(target)
    if state is None:
        raise DeployError(f"the Rollout {target} is gone", hint="find out who deleted it")
    return state


def watched(deploy: Deploy) -> None:
    """Look once while a window lasts: the canary must still be ours, at its weight, and its pods alive.

    Raises:
        GateBreach: its pods can't run.
        DeployError: somebody else moved the rollout.
    """
    state = _looked(deploy)
    if not deploy.committed and deploy.reached is not None and not _stands_at(state, deploy.reached):
        canary = state.version(state.current_hash)
        if state.at_our_pause and canary is not None and canary.ready < canary.wanted:
            return
        raise DeployError(
            f"the rollout left our pause of {deploy.reached} % while it was judged: {state.words}",
            hint="somebody or something else promoted, paused or aborted it",
            cause="foreign change",
        )


def stage_of(deploy: Deploy, weight: int) -> Stage:
    """Return the stage with this weight.

    Raises:
        DeployError: the feature was planned without it.
    """
    for stage in deploy.stages:
        if stage.weight == weight:
            return stage
    known = ", ".join(f"{stage.weight} %" for stage in deploy.stages) or "none"
    raise DeployError(f"{weight} % is no step of this feature; its weights are: {known}")


def _start(deploy: Deploy) -> None:
    image = deploy.image
    deploy.fact("new_image", image.pinned)
    # From here on nobody else deploys; but somebody may have, since pre-flight has looked.
    while not turn.take(deploy):
        preflight.ensure(deploy)
    state, good = look(deploy), deploy.known_good
    if good is None or (state.current_hash, state.image) != (good.template_hash, good.image):
        raise Refused(
            f"the rollout is not what pre-flight saw ({good.image if good else 'nothing'}): {state.words}, "
            f"wanted image {state.image}",
            hint="somebody else deployed meanwhile: begin anew",
            cause="foreign change",
        )
    release = deploy.release_target()
    if release is not None:
        last = deploy.last_revision(release)
        if last.number != deploy.base_revision:
            raise Refused(
                f"revision {last.number} of {release} is the last now ({last.status}: {last.description}), "
                f"pre-flight saw {deploy.base_revision}",
                hint="somebody else deployed meanwhile: begin anew",
                cause="foreign change",
            )
        action = preflight.upgrade(
            deploy, deploy.environment, digest=deploy.required_digest, base_revision=deploy.base_revision
        )
        with blamed_on("helm upgrade"):
            deploy.tx.do(action, undo=deploy.undo)
        return
    target, env = deploy.rollout_target(), deploy.environment
    index = deploy.ports.traffic.container_index(target, env.container)
    deploy.tx.do(
        set_image(target, index=index, container=env.container, old=state.image, new=image.pinned),
        undo=deploy.undo,
    )


def _promote(deploy: Deploy, *, at: int, to: int | None) -> None:
    """End the pause that follows the weight ``at``; at any other one the promote would skip a verdict."""
    state = _looked(deploy)
    index = state.step_index
    if not index or not state.at_our_pause or state.steps[index - 1].weight != at:
        raise DeployError(
            f"the rollout does not stand at our pause of {at} %: {state.words}",
            hint="somebody or something else promoted, paused or aborted it",
            cause="foreign change",
        )
    patch = promote(deploy.rollout_target(), step_index=index, template_hash=state.current_hash, weight=to)
    with blamed_on("promote refused"):
        deploy.tx.do(patch, undo=deploy.undo)


def _looked(deploy: Deploy) -> RolloutState:
    """Look, and end at once what no waiting will mend."""
    state = look(deploy)
    good = deploy.known_good
    ours = state.image == deploy.image.pinned
    if good is not None and ours and state.observed and state.current_hash != good.template_hash:
        deploy.new_hash = deploy.new_hash or state.current_hash
    if state.aborted or (state.observed and state.phase is Phase.DEGRADED):
        raise DeployError(f"the rollout's controller gave up: {state.words}; {state.message}", cause="rollout degraded")
    if state.held_by_spec:
        raise DeployError(
            f"somebody paused the rollout by hand (spec.paused): {state.words}",
            hint="never un-paused by a deploy: talk to who did it",
            cause="foreign change",
        )
    _check_ours(deploy, state)
    pods.look(deploy, deploy.rollout_target(), state, partial(_is_ours, deploy), which="the new version")
    return state


def _is_ours(deploy: Deploy, pod: Pod) -> bool:
    return pod.template_hash == deploy.new_hash


def _check_ours(deploy: Deploy, state: RolloutState) -> None:
    if state.image != deploy.image.pinned:
        raise DeployError(
            f"the rollout wants {state.image} now, ours is {deploy.image.pinned}",
            hint="somebody else deployed meanwhile",
            cause="foreign change",
        )
    if deploy.new_hash is not None and state.current_hash != deploy.new_hash:
        raise DeployError(
            f"the rollout is under another version now ({state.current_hash}), ours is {deploy.new_hash}",
            hint="somebody else deployed meanwhile",
            cause="foreign change",
        )


def _stands_at(state: RolloutState, weight: int) -> bool:
    """Whether the rollout waits at the pause that follows this weight, with all canary pods ready."""
    index = state.step_index
    if not state.observed or not state.at_our_pause or not index or index >= len(state.steps):
        return False
    canary = state.version(state.current_hash)
    return (
        state.steps[index - 1].weight == weight
        and not state.promoted
        and canary is not None
        and canary.wanted > 0
        and canary.ready >= canary.wanted
    )


def _all_new(deploy: Deploy, state: RolloutState) -> bool:
    stable = state.stable
    return (
        state.observed
        and state.promoted
        and state.phase is Phase.HEALTHY
        and state.stable_hash == deploy.new_hash
        and stable is not None
        and stable.image == deploy.image.pinned
        and stable.ready >= state.replicas
        and all(v.wanted == 0 for v in state.versions if v is not stable)
    )


def _record_revision(deploy: Deploy) -> None:
    release = deploy.release_target()
    if release is None:
        return
    last = deploy.last_revision(release)
    deploy.fact("revision_after", str(last.number))
    if last.number != deploy.base_revision + 1 or last.status != "deployed":
        raise DeployError(
            f"revision {deploy.base_revision + 1} of {release} was to be deployed, "
            f"the last is {last.number}, {last.status}",
            hint="somebody else changed the release meanwhile",
            cause="foreign change",
        )
