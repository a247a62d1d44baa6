"""Ends a deploy whose process is gone, from its journal and from what is seen: on any machine, as often as it takes.

It is taken back unless it was committed; never continued. What was only intended is looked at, what somebody else did
since is left alone. Killed at any line, it is begun anew, and does what is still to be done.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from pytest_deploy.domain.action import HelmUpgrade, Purpose, RolloutPatch, Undo
from pytest_deploy.domain.journal import Entry, Milestone, open_undos
from pytest_deploy.domain.lifecycle import Move, State, move, state_of
from pytest_deploy.domain.outcome import Outcome
from pytest_deploy.domain.release import ImageRef
from pytest_deploy.domain.rollout import KnownGood, RolloutState
from pytest_deploy.engine import finish, rollback, strangers
from pytest_deploy.engine.deploy import Deploy
from pytest_deploy.engine.left_behind import failed
from pytest_deploy.engine.waiting import until
from pytest_deploy.errors import DeployError, Refused, RollbackError

__all__ = ["before_deploy", "brought", "recover"]


def recover(deploy: Deploy) -> Outcome | None:
    """End the dead deploy, and say how; None where it has ended already.

    Args:
        deploy: made anew, with the dead one's id, and ports that lead to its journal and lock.

    Raises:
        LockHeld: its process lives, or somebody recovers it right now; nothing was changed.
        Refused: deploy.yaml has not the environments that it changed; nothing was changed.
        DeployError: lock or journal can't be read, or are damaged; nothing was changed.
    """
    lock = deploy.ports.lock
    if lock is not None:
        lock.acquire(takeover=True)
    entries = deploy.tx.resume()
    state, undos = state_of(entries), open_undos(entries)
    what = move(state, undos)
    if what is Move.NOTHING:
        if lock is not None:
            lock.release()
        return None
    try:
        _remember(deploy, entries, undos)
    except Refused:
        raise
    except DeployError as error:
        _needs_human(deploy, error, "nothing could be done")
    else:
        _END[what](deploy, entries, state)
    return finish.close(deploy)


def before_deploy(deploy: Deploy) -> str | None:
    """Recover the deploy that died and left the lock behind; return in a line what was done, None: there is none.

    Raises:
        LockHeld: somebody else recovers it right now.
        Refused: it needs a human.
        DeployError: lock or journal can't be read.
    """
    lock, of_deploy = deploy.ports.lock, deploy.ports.of_deploy
    holder = None if lock is None else lock.look()
    if of_deploy is None or holder is None or not holder.expired:
        return None
    dead = Deploy(
        id=holder.deploy_id,
        mode=deploy.mode,
        release=deploy.release,
        environment=deploy.environment,
        slo=deploy.slo,
        stages=(),
        limits=deploy.limits,
        judge=deploy.judge,
        ports=of_deploy(holder.deploy_id),
        emit=lambda _: None,  # what it tells is of another deploy, and belongs in no record of this one
    )
    outcome = recover(dead)
    if outcome is Outcome.NEEDS_HUMAN:
        raise Refused(
            f"deploy {dead.id} (by {holder.by or 'nobody known'}) died and can't be taken back without a human: "
            f"{dead.rollback_error.args[0] if dead.rollback_error else outcome.words}",
            hint="mend what it says, then: pytest-deploy recover",
        )
    if outcome is None:
        return None
    return f"deploy {dead.id} (by {holder.by or 'nobody known'}) had died: {outcome.words}"


def brought(entries: Sequence[Entry], environment: str) -> ImageRef | None:
    """Return the image that the deploy brought to the environment, or else to another one; None: it brought none.

    It is the journal's word, never a guess: deploy.yaml may name another one by now.

    Raises:
        DeployError: the journal does not say it in a way that can be read.
    """
    found: dict[str, ImageRef] = {}
    for entry in entries:
        action = entry.action
        if entry.undo is None:
            continue
        try:
            if isinstance(action, HelmUpgrade):
                values = {key: json.loads(text) for key, text in action.values}
                reference = f"{values['image.repository']}@{values['image.digest']}"
                found[action.target.environment] = ImageRef.parse(reference)
            elif isinstance(action, RolloutPatch) and action.purpose is Purpose.SET_IMAGE:
                found[action.target.environment] = ImageRef.parse(str(json.loads(action.change[0][1])))
        except (KeyError, ValueError) as error:
            raise DeployError(
                f"entry {entry.seq} of the journal does not say which image it brought: {error!r}",
                hint="look at the rollout and at helm history",
                cause="journal",
            ) from error
    return found.get(environment) or next(iter(found.values()), None)


def _remember(deploy: Deploy, entries: Sequence[Entry], undos: Sequence[Undo]) -> None:
    """Let the new deploy know what the dead one knew, as far as it needs it to find its way back."""
    targets = [target for undo in undos for target in (undo.release, undo.rollout) if target is not None]
    unknown = {target.environment for target in targets} - {*deploy.release.environments, deploy.environment.name}
    if unknown:
        raise Refused(
            f"deploy {deploy.id} changed {', '.join(sorted(unknown))}, which this deploy.yaml does not describe",
            hint="recover it with the deploy.yaml that it was made with",
        )
    image = brought(entries, deploy.environment.name)
    if image is not None:
        deploy.release, deploy.digest = replace(deploy.release, image=image), image.digest
        deploy.fact("new_image", str(image))
    for undo in undos:
        good = undo.known_good
        if good is not None and undo.rollout is not None and undo.rollout.environment == deploy.environment.name:
            deploy.known_good, deploy.base_revision = good, good.revision or 0
            deploy.fact("old_image", good.image)
            deploy.fact("revision_before", str(good.revision or "none"))
    deploy.new_hash = strangers.promoted_hash(entries)


def _take_back(deploy: Deploy, entries: Sequence[Entry], state: State) -> None:
    last = entries[-1]
    why = next((entry.observed for entry in reversed(entries) if entry.milestone is Milestone.ROLLING_BACK), "")
    deploy.fail(
        DeployError(
            f"the process that ran it is gone: its journal ends at {last.at:%Y-%m-%d %H:%M:%S} UTC, {state}",
            cause=why or "process gone",
        )
    )
    with suppress(RollbackError):  # which the deploy keeps
        finish.roll_back(deploy)


def _close(deploy: Deploy, entries: Sequence[Entry], state: State) -> None:
    """Nothing is to be taken back; a committed one must be seen to serve."""
    del entries
    if state is not State.COMMITTED:
        deploy.rolled_back = state is State.ROLLED_BACK
        return
    deploy.committed = True
    try:
        _check_serves(deploy)
    except DeployError as error:
        _needs_human(deploy, error, "it is committed, and something else is seen")
    else:
        deploy.all_passed = True


def _check_serves(deploy: Deploy) -> None:
    """Check that the committed version is all that serves, and what Helm has on top."""
    target, ours = deploy.rollout_target(), deploy.image.pinned

    def look() -> RolloutState:
        state = deploy.ports.traffic.state(target)
        if state is None or state.image != ours:
            raise DeployError(
                f"the rollout {target} {f'wants {state.image}' if state else 'is gone'}, committed was {ours}"
                + (f" ({state.written_by})" if state and state.written_by else ""),
                cause=strangers.FOREIGN,
            )
        return state

    def alone(seen: RolloutState) -> bool:
        return bool(rollback.verify(seen, KnownGood(revision=None, image=ours, template_hash=seen.stable_hash)))

    until(
        look,
        done=alone,
        words=lambda seen: seen.words,
        what="the committed version to be all that serves",
        timeout=deploy.limits.step,
        clock=deploy.ports.clock,
        emit=deploy.emit,
    )
    release = deploy.release_target()
    if release is None:
        return
    last = deploy.last_revision(release)
    deploy.fact("revision_after", str(last.number))
    if (last.number, last.status) != (deploy.base_revision + 1, "deployed"):
        raise DeployError(
            f"revision {deploy.base_revision + 1} of {release} was committed, the last is {last.number}, "
            f"{last.status} ({last.description}, {last.updated})",
            cause=strangers.FOREIGN,
        )


def _call_human(deploy: Deploy, entries: Sequence[Entry], state: State) -> None:
    error = DeployError(f"its journal ends {state} with {len(entries)} entries, and none says what to take back")
    _needs_human(deploy, error, "nothing could be done")


def _needs_human(deploy: Deploy, error: DeployError, what: str) -> None:
    deploy.rollback_error = failed(deploy, deploy.undo, error, what=what, look_only=True)
    deploy.fail(deploy.rollback_error)


_END: Mapping[Move, Callable[[Deploy, Sequence[Entry], State], None]] = {
    Move.UNDO: _take_back,
    Move.CLOSE: _close,
    Move.HUMAN: _call_human,
}
