"""What a way back that failed leaves behind: as it was last seen, and what a human runs next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from pytest_deploy.domain.action import HelmRollback, Undo
from pytest_deploy.domain.rollout import HelmVersion, RolloutState
from pytest_deploy.engine.deploy import Deploy
from pytest_deploy.engine.strangers import FOREIGN
from pytest_deploy.errors import DeployError, LockLost, RollbackError

__all__ = ["failed"]


def failed(
    deploy: Deploy, undo: Undo, error: Exception, *, what: str = "the rollback failed", look_only: bool = False
) -> RollbackError:
    """Look once more, and return the error with all that a human needs; what can't be read is said to be so.

    Args:
        look_only: the human is given no command that changes something.
    """
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
    # What a stranger deployed, or somebody else recovers, is looked at, never taken back by a command of ours.
    look_only |= isinstance(error, LockLost) or (
        isinstance(error, DeployError) and error.cause == FOREIGN and not paused
    )
    commands = list(_commands(deploy, undo, paused=paused))[: 1 if look_only else None]
    return RollbackError(f"{what}: {words}", left_behind=left, commands=commands)


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
