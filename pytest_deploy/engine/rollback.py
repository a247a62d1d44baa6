"""The way back: one idempotent function that reads the truth from the cluster, undoes, and proves it.

The finalizer, the signal path and (with the crash-safety work) ``recover`` call it. Traffic goes back first,
then the release, then everything is verified by observation: pod-template digests, weights, ReplicaSets and
Helm's own history.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta

from pytest_deploy.domain.action import HelmRollback, HelmUninstall, Target, Undo, UndoKind
from pytest_deploy.domain.event import RollbackEnded, RollbackStarted
from pytest_deploy.domain.journal import Entry, Milestone, open_undos
from pytest_deploy.domain.patches import abort, promote_full, set_image
from pytest_deploy.domain.rollout import KnownGood, RolloutState
from pytest_deploy.engine import strangers
from pytest_deploy.engine.deploy import Deploy
from pytest_deploy.engine.left_behind import failed
from pytest_deploy.engine.waiting import until
from pytest_deploy.errors import DeployError, Rejected, RollbackError

__all__ = ["undo_all", "verify"]

_TRIES = 5
"""How often a refused guarded patch is built anew from a fresh look: the controller writes the same object."""


@dataclass(slots=True, kw_only=True)
class _Way:
    """One undo under way, and when the known-good version was first seen to have all traffic."""

    deploy: Deploy
    rollout: Target
    undo: Undo
    good: KnownGood
    began: float
    entries: Sequence[Entry]
    traffic_back: timedelta | None = None

    def state(self) -> RolloutState:
        state = self.deploy.ports.traffic.state(self.rollout)
        if state is None:
            raise DeployError(f"the Rollout {self.rollout} is gone")
        # At each look: whoever moves it between two of ours is not overwritten.
        strangers.check_rollout(self.deploy, self.undo, self.good, state, self.entries)
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
        RollbackError: it failed or could not be verified; everything else that is open was tried all the same. Nothing
            is written where a stranger moved it, or where this deploy has no say any more (``_check_mandate``).
    """
    if deploy.tx.untouched:
        return False  # an API server that does not answer has nothing to tell of a way back either
    try:
        if deploy.ports.lock is not None and deploy.tx.opened:
            deploy.ports.lock.check()  # else its journal may say that all is back: whoever has the lock did that
        entries = deploy.tx.acted_on(deploy.ports.journal.entries())
    except DeployError as unread:
        if isinstance(unread, Rejected) and not deploy.tx.opened:
            return False  # who may not read the journal has written nothing into it, and so changed nothing
        raise failed(deploy, deploy.undo, unread) from unread
    undos = [_from_here(deploy, undo) for undo in open_undos(entries)]
    if not undos:
        return False
    deploy.tx.way_back = True
    cause = deploy.failure.cause if deploy.failure else "the deploy ended before its commitment"
    with suppress(DeployError):  # somebody else's by now: each undo finds that, too, and says so
        deploy.tx.milestone(Milestone.ROLLING_BACK, observed=cause)
    errors = [error for undo in undos if (error := _undo(deploy, undo, cause, entries)) is not None]
    if errors:
        with suppress(DeployError):
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


def _from_here(deploy: Deploy, undo: Undo) -> Undo:
    """Return the undo as this machine reaches its targets: the journal may have been written on another one."""

    def here(target: Target | None) -> Target | None:
        if target is None:
            return None
        known = {**deploy.release.environments, deploy.environment.name: deploy.environment}
        env = known.get(target.environment)
        if env is None:
            return target
        return replace(target, context=env.context, kubeconfig=str(env.kubeconfig) if env.kubeconfig else None)

    return replace(undo, release=here(undo.release), rollout=here(undo.rollout))


def _check_mandate(deploy: Deploy) -> None:
    """Check that this deploy is still its own: one that was taken for dead, and wakes up, changes nothing any more.

    A journal that can't be read or written for another reason stops no way back.

    Raises:
        DeployError: its lock is lost, or somebody else writes in its journal: what it did is ended without it.
    """
    if deploy.ports.lock is not None:
        deploy.ports.lock.check()
    try:
        deploy.ports.journal.entries()
    except DeployError as error:
        if error.cause == strangers.FOREIGN:
            raise


def _undo(deploy: Deploy, undo: Undo, cause: str, entries: Sequence[Entry]) -> RollbackError | None:
    clock = deploy.ports.clock
    began = clock.monotonic()
    where = undo.rollout or undo.release
    back_to = "nothing (it was not there before)" if undo.known_good is None else undo.known_good.image
    words = f"{where} back to {back_to}"
    deploy.emit(RollbackStarted(at=clock.now(), cause=cause, target=words))
    way: _Way | None = None
    try:
        _check_mandate(deploy)
        if undo.kind is UndoKind.UNINSTALL:
            verified = _uninstall(deploy, undo)
        else:
            way = _way(deploy, undo, began, entries)
            verified = _restore(way)
    except Exception as error:  # noqa: BLE001 - whatever it is, the rest is undone and a human is told
        wanting = failed(deploy, undo, error)
        deploy.emit(
            RollbackEnded(
                at=clock.now(),
                target=words,
                verified=(),
                traffic_back=way.traffic_back if way else None,
                took=timedelta(seconds=clock.monotonic() - began),
                error=str(error) if isinstance(error, DeployError) else repr(error),
                left_behind=wanting.left_behind,
                commands=wanting.commands,
            )
        )
        return wanting
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


def _way(deploy: Deploy, undo: Undo, began: float, entries: Sequence[Entry]) -> _Way:
    good, rollout = undo.known_good, undo.rollout
    if good is None or rollout is None:
        raise DeployError(f"the journal does not say where to go back to: {undo}")
    return _Way(deploy=deploy, rollout=rollout, undo=undo, good=good, began=began, entries=entries)


def _restore(way: _Way) -> tuple[str, ...]:
    _from_a_fresh_look(way, _traffic_back)
    _release_back(way)
    _from_a_fresh_look(way, _skip_steps)
    state = way.wait("the rollback to be verified", lambda seen: bool(verify(seen, way.good)))
    return (*verify(state, way.good), *_verify_release(way.deploy, way.undo, way.good))


def _traffic_back(way: _Way) -> None:
    """Abort a canary that is under way: the stable version has all traffic within a second."""
    state = way.wait("the controller to see the spec", lambda seen: seen.observed)
    under_way = state.stable_hash == way.good.template_hash and not state.promoted and not state.aborted
    if under_way:
        patch = abort(way.rollout, template_hash=state.current_hash, step_index=state.step_index)
        way.deploy.tx.do(patch, undo=None)
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
    last = strangers.last_revision(deploy, way.undo, release, way.good.image, revision, state, way.entries)
    there = last.number == revision or (last.status == "deployed" and strangers.is_way_back(last, revision))
    if there and state.image == way.good.image:
        return
    back = HelmRollback(target=release, revision=revision, timeout=way.undo.timeout)
    deploy.tx.do(back, undo=None)
    if way.state().image != way.good.image:
        # Helm compares a custom resource with its last revision, not with what is there: after a rollback that was
        # broken off it reports success and does nothing. So what is there is made its last revision first.
        deploy.tx.do(replace(back, revision=revision + 1), undo=None)
        deploy.tx.do(back, undo=None)


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
    if last.number != good.revision and not strangers.is_way_back(last, good.revision):
        raise DeployError(
            f"Helm's last revision of {undo.release} is {last.number} ({last.description}), "
            f"not a rollback to {good.revision}"
        )
    if undo.release == deploy.release_target():
        deploy.fact("revision_after", str(last.number))
    return (f"Helm: revision {last.number} is deployed ({last.description})",)


def _uninstall(deploy: Deploy, undo: Undo) -> tuple[str, ...]:
    release = undo.release
    if release is None:
        raise DeployError(f"the journal names no release to remove: {undo}")
    if deploy.ports.helm.history(release):
        deploy.tx.do(HelmUninstall(target=release, timeout=undo.timeout), undo=None)
    if deploy.ports.helm.history(release):
        raise DeployError(f"{release} is still there after helm uninstall")
    return (f"Helm: {release} is not installed, as before",)
