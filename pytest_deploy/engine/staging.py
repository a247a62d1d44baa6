"""Staging: the same image by the same chart, installed and watched before production is touched."""

from __future__ import annotations

from datetime import timedelta

from pytest_deploy.domain.action import Target, Undo, UndoKind
from pytest_deploy.domain.patches import promote_full
from pytest_deploy.domain.release import Environment
from pytest_deploy.domain.rollout import KnownGood, Phase, Pod, RolloutState
from pytest_deploy.engine import detect, pods, preflight, turn
from pytest_deploy.engine.deploy import Deploy
from pytest_deploy.engine.waiting import until
from pytest_deploy.errors import GateBreach, Refused

__all__ = ["install", "pods_run"]


def install(deploy: Deploy, name: str) -> None:
    """Install or upgrade the release in this environment, with atomic semantics.

    Raises:
        LockHeld: another deploy of this release is open.
        Refused: no such environment, or its release is pending, failed, or has no version to go back to.
        ToolFailed: Helm said no.
    """
    env = environment(deploy, name)
    release = deploy.release_target(env)
    if release is None:
        raise Refused(f"no Helm release in {name}", hint=f"set environments.{name}.release")
    detect.check(deploy)
    turn.wait(deploy)
    while not turn.take(deploy):
        turn.wait(deploy)
    history = deploy.ports.helm.history(release)
    if history and history[-1].status != "deployed":
        last = history[-1]
        raise Refused(
            f"release {release}: revision {last.number} is {last.status} ({last.description})",
            hint=f"mend it first: helm --kube-context {release.context} -n {release.namespace} history {release.name}",
        )
    base = history[-1].number if history else 0
    action = preflight.upgrade(deploy, env, digest=deploy.required_digest, base_revision=base)
    deploy.tx.do(action, undo=_undo(deploy, env, release, base))
    deploy.found(f"revision {base + 1} of {release}, {deploy.image.pinned}")


def pods_run(deploy: Deploy, name: str, within: timedelta) -> None:
    """Wait until every pod of the release in this environment runs the pinned image and is ready.

    Raises:
        GateBreach: a pod can't start.
        WaitTimedOut: they were not ready in time.
    """
    env = environment(deploy, name)
    target = deploy.rollout_target(env)

    def look() -> tuple[RolloutState | None, tuple[Pod, ...]]:
        state = deploy.ports.traffic.state(target)
        ours = state is not None and state.observed and state.image == deploy.image.pinned
        if state is not None and ours and not state.promoted and state.at_our_pause:
            deploy.tx.do(promote_full(target, observed_generation=state.observed_generation), undo=None)
        if state is not None and ours and state.phase is Phase.DEGRADED:
            raise GateBreach(f"{name}: {state.words}", cause="rollout degraded", at=name)
        return state, pods.look(deploy, target, state if ours else None, mine, which=name, at=name)

    def mine(pod: Pod) -> bool:
        return pod.image == deploy.image.pinned

    def done(seen: tuple[RolloutState | None, tuple[Pod, ...]]) -> bool:
        state, found = seen
        return (
            state is not None
            and state.observed
            and state.promoted
            and len(found) >= state.replicas > 0
            and all(pod.ready and mine(pod) for pod in found)
        )

    def words(seen: tuple[RolloutState | None, tuple[Pod, ...]]) -> str:
        state, found = seen
        good = sum(pod.ready and mine(pod) for pod in found)
        return f"{good} of {len(found)} pods ready with {deploy.image.pinned}; {state.words if state else 'no Rollout'}"

    with pods.explaining(deploy, target, mine):
        _, ready = until(
            look,
            done=done,
            words=words,
            what=f"every pod in {name} to run the pinned digest",
            timeout=within,
            clock=deploy.ports.clock,
            emit=deploy.emit,
            cause="pods never ready",
        )
    proof = (
        "imageIDs agree"
        if all(deploy.required_digest in pod.image_id for pod in ready)
        else "by pod spec; imageIDs prove nothing here"
    )
    deploy.found(f"{len(ready)} pods ready with {deploy.image.pinned} ({proof})")


def environment(deploy: Deploy, name: str) -> Environment:
    """Return the environment of this name.

    Raises:
        Refused: deploy.yaml has none.
    """
    try:
        return deploy.release.environments[name]
    except KeyError:
        known = ", ".join(deploy.release.environments)
        raise Refused(f"deploy.yaml has no environment {name!r}, only: {known}") from None


def _undo(deploy: Deploy, env: Environment, release: Target, base: int) -> Undo:
    """Capture what runs there; only what was not there before may ever be uninstalled."""
    rollout = deploy.rollout_target(env)
    good: KnownGood | None = None
    if base:
        state = deploy.ports.traffic.state(rollout)
        stable = state.stable if state is not None and state.promoted else None
        if stable is None:
            raise Refused(
                f"release {release} is installed, but its Rollout has no stable version to go back to: "
                f"{state.words if state else 'it is not there'}",
                hint=f"let it settle, or remove the release: helm --kube-context {release.context} "
                f"-n {release.namespace} uninstall {release.name}",
            )
        good = KnownGood(revision=base, image=stable.image, template_hash=stable.template_hash)
    return Undo(
        kind=UndoKind.RESTORE_CANARY if good else UndoKind.UNINSTALL,
        release=release,
        rollout=rollout if good else None,
        container=env.container,
        known_good=good,
        timeout=deploy.limits.rollback,
    )
