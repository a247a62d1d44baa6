"""The way back: one idempotent function that reads the truth from the cluster, undoes, and proves it.

The finalizer, the signal path and (with the crash-safety work) ``recover`` call it. Traffic goes back first,
then the release, then everything is verified by observation: pod-template digests, weights, ReplicaSets and
Helm's own history.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from pytest_deploy.domain.action import HelmRollback, HelmUninstall, Target, Undo, UndoKind
from pytest_deploy.domain.event import RollbackEnded, RollbackStarted
from pytest_deploy.domain.journal import Milestone
from pytest_deploy.domain.patches import abort, promote_full, set_image
from pytest_deploy.domain.rollout import HelmVersion, KnownGood, RolloutState
from pytest_deploy.engine.deploy import Deploy
from pytest_deploy.engine.waiting import until
from pytest_deploy.errors import DeployError, Rejected, RollbackError

__all__ = ["undo_all", "verify"]

_FOREIGN = "foreign change"
_TRIES = 3
"""How often a refused guarded patch is built anew from a fresh look: the controller writes the same object."""


@dataclass(slots=True, kw_only=True)
class _Way:
    """One undo under way, and when the known-good version was first seen to have all traffic."""

    deploy: Deploy
    rollout: Target
    undo: Undo
    good: KnownGood
    began: float
    traffic_back: timedelta | None = None

    def state(self) -> RolloutState:
        state = self.deploy.ports.traffic.state(self.rollout)
        if state is None:
            raise DeployError(f"the Rollout {self.rollout} is gone")
        if self.traffic_back is None and _has_all_traffic(state, self.good):
            self.traffic_back = timedelta(seconds=self.deploy.ports.clock.monotonic() - self.began)
        return state

    def wait(self, what: str, done: Callable[[RolloutState], bool]) -> RolloutState:
        return until(
            self.state,
            done=done,
            words=lambda seen: seen.words,
            what=what,
            timeout=self.undo.timeout,
            clock=self.deploy.ports.clock,
            emit=self.deploy.emit,
        )


def undo_all(deploy: Deploy) -> bool:
    """Take back all that the journal holds open, the latest first, and verify it.

    Returns:
        Whether there was anything to take back.

    Raises:
        RollbackError: it failed or could not be verified; everything else that is open was tried all the same.
    """
    try:
        undos = deploy.tx.undos
    except DeployError as unread:
        raise _failed(deploy, deploy.undo, unread) from unread
    if not undos:
        return False
    deploy.tx.way_back = True
    cause = deploy.failure.cause if deploy.failure else "the deploy ended before its commitment"
    deploy.tx.milestone(Milestone.ROLLING_BACK, observed=cause)
    errors = [error for undo in undos if (error := _undo(deploy, undo, cause)) is not None]
    if errors:
        deploy.tx.milestone(Milestone.NEEDS_HUMAN, observed=str(errors[0]))
        raise errors[0]
    deploy.tx.milestone(Milestone.ROLLED_BACK)
    return True


def verify(state: RolloutState, good: KnownGood) -> tuple[str, ...]:
    """Return what proves that only the known-good version serves; () when anything is missing for that."""
    stable = state.stable
    others = [v for v in state.versions if v.template_hash != state.stable_hash]
    if (
        not state.observed
        or not state.promoted
        or state.aborted
        or state.image != good.image
        or state.stable_hash != good.template_hash
        or stable is None
        or stable.image != good.image
        or stable.ready < state.replicas
        or any(v.wanted or v.ready for v in others)
        or state.weight_percent not in {0.0, 100.0}
    ):
        return ()
    return (
        f"wanted and stable pod template: {good.image} (version {state.stable_hash})",
        f"pods of it ready: {stable.ready} of {state.replicas}; pods of any other version: 0",
        "traffic: all of it to this version",
    )


def _undo(deploy: Deploy, undo: Undo, cause: str) -> RollbackError | None:
    clock = deploy.ports.clock
    began = clock.monotonic()
    where = undo.rollout or undo.release
    back_to = "nothing (it was not there before)" if undo.known_good is None else undo.known_good.image
    words = f"{where} back to {back_to}"
    deploy.emit(RollbackStarted(at=clock.now(), cause=cause, target=words))
    way: _Way | None = None
    try:
        if undo.kind is UndoKind.UNINSTALL:
            verified = _uninstall(deploy, undo)
        else:
            way = _way(deploy, undo, began)
            verified = _restore(way)
    except Exception as error:  # noqa: BLE001 - whatever it is, the rest is undone and a human is told
        failed = _failed(deploy, undo, error)
        deploy.emit(
            RollbackEnded(
                at=clock.now(),
                target=words,
                verified=(),
                traffic_back=way.traffic_back if way else None,
                took=timedelta(seconds=clock.monotonic() - began),
                error=str(error) if isinstance(error, DeployError) else repr(error),
                left_behind=failed.left_behind,
                commands=failed.commands,
            )
        )
        return failed
    deploy.emit(
        RollbackEnded(
            at=clock.now(),
            target=words,
            verified=verified,
            traffic_back=way.traffic_back if way else None,
            took=timedelta(seconds=clock.monotonic() - began),
        )
    )
    return None


def _way(deploy: Deploy, undo: Undo, began: float) -> _Way:
    good, rollout = undo.known_good, undo.rollout
    if good is None or rollout is None:
        raise DeployError(f"the journal does not say where to go back to: {undo}")
    return _Way(deploy=deploy, rollout=rollout, undo=undo, good=good, began=began)


def _restore(way: _Way) -> tuple[str, ...]:
    _check_ours(way)
    _from_a_fresh_look(way, _traffic_back)
    _release_back(way)
    _from_a_fresh_look(way, _skip_steps)
    state = way.wait("the rollback to be verified", lambda seen: bool(verify(seen, way.good)))
    return (*verify(state, way.good), *_verify_release(way.deploy, way.undo, way.good))


def _check_ours(way: _Way) -> None:
    """Leave alone what somebody else deployed over us: it may be the hotfix that everybody waits for."""
    state, ours = way.state(), way.deploy.image.pinned
    if state.held_by_spec:
        raise DeployError(
            "somebody paused the rollout by hand (spec.paused), so that it obeys neither abort nor rollback: "
            f"{state.words}",
            cause=_FOREIGN,
        )
    if state.image not in {ours, way.good.image}:
        raise DeployError(
            f"the rollout wants {state.image} now, neither ours ({ours}) nor what ran before ({way.good.image}): "
            "somebody else deployed meanwhile, and that is not overwritten",
            cause=_FOREIGN,
        )


def _traffic_back(way: _Way) -> None:
    """Abort a canary that is under way: the stable version has all traffic within a second."""
    state = way.wait("the controller to see the spec", lambda seen: seen.observed)
    under_way = state.stable_hash == way.good.template_hash and not state.promoted and not state.aborted
    if under_way:
        way.deploy.tx.do(abort(way.rollout, template_hash=state.current_hash), undo=None)
        way.wait("the abort to be obeyed", lambda seen: seen.aborted or seen.promoted)


def _release_back(way: _Way) -> None:
    """Bring release and pod template back to the known-good revision; nothing is done where they are there."""
    deploy, release = way.deploy, way.undo.release
    state = way.state()
    if release is None:
        if state.image != way.good.image:
            index = deploy.ports.traffic.container_index(way.rollout, way.undo.container)
            patch = set_image(
                way.rollout, index=index, container=way.undo.container, old=state.image, new=way.good.image
            )
            deploy.tx.do(patch, undo=None)
        return
    revision = way.good.revision
    if revision is None:
        raise DeployError(f"no known-good revision of {release} was captured")
    last = deploy.last_revision(release)
    if last.number == revision and state.image == way.good.image:
        return
    if last.status == "deployed" and _rolled_back_to(last.description, revision) and state.image == way.good.image:
        return
    deploy.tx.do(HelmRollback(target=release, revision=revision, timeout=way.undo.timeout), undo=None)


def _skip_steps(way: _Way) -> None:
    """After a full promotion the controller would walk the old version through all canary steps again."""
    state = way.wait(
        "the controller to see the old template",
        lambda seen: seen.observed and seen.image == way.good.image,
    )
    if not state.promoted:
        way.deploy.tx.do(promote_full(way.rollout, observed_generation=state.observed_generation), undo=None)


def _from_a_fresh_look(way: _Way, act: Callable[[_Way], None]) -> None:
    """Act, and again where the server refused its guarded patch: the controller had just moved the rollout."""
    for _ in range(_TRIES - 1):
        with suppress(Rejected):
            act(way)
            return
    act(way)


def _has_all_traffic(state: RolloutState, good: KnownGood) -> bool:
    """Whether no request goes to any other version, although pods of one may still be ending."""
    if not state.observed or state.stable_hash != good.template_hash:
        return False
    return state.promoted or state.weight_percent == 0


def _verify_release(deploy: Deploy, undo: Undo, good: KnownGood) -> tuple[str, ...]:
    if undo.release is None:
        return ()
    last = deploy.last_revision(undo.release)
    if last.status != "deployed":
        raise DeployError(f"Helm's last revision of {undo.release} is {last.number}, {last.status}: {last.description}")
    if last.number != good.revision and not _rolled_back_to(last.description, good.revision):
        raise DeployError(
            f"Helm's last revision of {undo.release} is {last.number} ({last.description}), "
            f"not a rollback to {good.revision}"
        )
    if undo.release == deploy.release_target():
        deploy.fact("revision_after", str(last.number))
    return (f"Helm: revision {last.number} is deployed ({last.description})",)


def _rolled_back_to(description: str, revision: int | None) -> bool:
    """A rollback copies labels of the failed deploy, so that only its description tells where it went."""
    return description.strip().lower() == f"rollback to {revision}"


def _uninstall(deploy: Deploy, undo: Undo) -> tuple[str, ...]:
    release = undo.release
    if release is None:
        raise DeployError(f"the journal names no release to remove: {undo}")
    if deploy.ports.helm.history(release):
        deploy.tx.do(HelmUninstall(target=release, timeout=undo.timeout), undo=None)
    if deploy.ports.helm.history(release):
        raise DeployError(f"{release} is still there after helm uninstall")
    return (f"Helm: {release} is not installed, as before",)


def _failed(deploy: Deploy, undo: Undo, error: Exception) -> RollbackError:
    left: list[str] = []
    rollout, release = undo.rollout, undo.release
    state: RolloutState | None = None
    if rollout is not None:
        try:
            state = deploy.ports.traffic.state(rollout)
            left.append(
                f"Rollout {rollout}: {state.words if state else 'gone'}; wanted image {state.image if state else '-'}"
            )
        except Exception as unread:  # noqa: BLE001 - what is known is told all the same
            left.append(f"Rollout {rollout}: could not be read ({unread})")
    if release is not None:
        try:
            history = deploy.ports.helm.history(release)
            left += [f"Helm {release}: revision {r.number} {r.status} ({r.description})" for r in history[-3:]]
        except Exception as unread:  # noqa: BLE001 - what is known is told all the same
            left.append(f"Helm {release}: could not be read ({unread})")
    words = str(error) if isinstance(error, DeployError) else repr(error)
    paused = state is not None and state.held_by_spec
    # What a stranger deployed is looked at, never taken back by a command of ours.
    strangers = isinstance(error, DeployError) and error.cause == _FOREIGN and not paused
    commands = list(_commands(deploy, undo, paused=paused))[: 1 if strangers else None]
    return RollbackError(f"the rollback failed: {words}", left_behind=left, commands=commands)


def _commands(deploy: Deploy, undo: Undo, *, paused: bool) -> Iterator[str]:
    """Yield what a human runs next: look, then (un-pause,) abort and go back to the known-good revision."""
    rollout, release, good = undo.rollout, undo.release, undo.known_good
    if rollout is not None:
        config = f"--kubeconfig {shlex.quote(rollout.kubeconfig)} " if rollout.kubeconfig else ""
        where = f"{config}--context {rollout.context} -n {rollout.namespace}"
        patch = f"kubectl {where} patch rollouts.argoproj.io {rollout.name}"
        yield f"kubectl {where} get rollouts.argoproj.io,replicasets,pods"
        if paused:
            yield patch + ' --type merge -p \'{"spec":{"paused":false}}\''
        yield patch + ' --subresource status --type merge -p \'{"status":{"abort":true}}\''
    if release is not None and good is not None and good.revision is not None:
        back = HelmRollback(target=release, revision=good.revision, timeout=undo.timeout)
        yield shlex.join(back.argv(deploy.ports.helm_binary, _helm_version(deploy)))


def _helm_version(deploy: Deploy) -> HelmVersion:
    """Return Helm's version; where Helm is what is missing, one whose flags every Helm knows."""
    try:
        return deploy.ports.helm.version()
    except Exception:  # noqa: BLE001 - a human needs the command all the same
        return HelmVersion(major=3, minor=0)
