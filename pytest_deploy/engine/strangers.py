"""Whose is what stands there: a way back touches what this deploy left, or what ran before it, and nothing else.

Evidence of a stranger is what only a stranger can have brought about: a pause in the spec, an image or a pod template
that is neither ours nor the known-good one, a step that no promotion of ours leads to, a Helm revision that is neither
ours nor a way back. A scale (an HPA's) or a pod that comes and goes is none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from pytest_deploy.domain.action import HelmRollback, Purpose, RolloutPatch, Target, Undo
from pytest_deploy.domain.journal import Entry
from pytest_deploy.domain.manifests import container_image, find_rollout
from pytest_deploy.domain.rollout import HelmRevision, KnownGood, RolloutState, Step
from pytest_deploy.engine.deploy import Deploy
from pytest_deploy.errors import DeployError

__all__ = ["FOREIGN", "check_rollout", "is_way_back", "last_revision", "promoted_hash"]

FOREIGN = "foreign change"
_STEP, _HASH = "/status/currentStepIndex", "/status/currentPodHash"


def check_rollout(deploy: Deploy, undo: Undo, good: KnownGood, state: RolloutState, entries: Iterable[Entry]) -> None:
    """Check that the rollout is as this deploy can have left it.

    Args:
        entries: of the deploy's journal: how far it has promoted.

    Raises:
        DeployError: a stranger has moved it; with who and when, where the API server says so. It may be the hotfix
            that everybody waits for.
    """
    ours = deploy.image.pinned
    by = f" ({state.written_by})" if state.written_by else ""
    if state.held_by_spec:
        raise _foreign(
            "somebody paused the rollout by hand (spec.paused), so that it obeys neither abort nor rollback: "
            f"{state.words}{by}"
        )
    if state.image not in {ours, good.image}:
        raise _foreign(
            f"the rollout wants {state.image} now, neither ours ({ours}) nor what ran before ({good.image}): "
            f"somebody else deployed meanwhile, and that is not overwritten{by}"
        )
    if not state.observed:
        return
    production = undo.rollout == deploy.rollout_target()
    mine = (production and deploy.new_hash) or state.current_hash
    known = {good.template_hash, mine} if state.image == ours else {good.template_hash}
    if state.current_hash not in known:
        raise _foreign(
            f"the rollout's pod template is {state.current_hash} now, which is not of this deploy "
            f"({', '.join(sorted(known))}): somebody edited it, and that is not overwritten{by}"
        )
    if not production or state.current_hash == good.template_hash or state.step_index is None:
        return
    allowed = _farthest(entries, state.steps)
    if state.step_index > allowed:
        raise _foreign(
            f"the rollout is at step {state.step_index}, and no promotion of this deploy leads past step {allowed}: "
            f"somebody promoted it, and that is not taken back: {state.words}"
        )


def last_revision(
    deploy: Deploy, undo: Undo, release: Target, old: str, base: int, state: RolloutState, entries: Iterable[Entry]
) -> HelmRevision:
    """Return Helm's last revision, once all since the known-good one are seen to be this deploy's, or ways back.

    Args:
        old: the known-good image.
        base: the known-good revision.
        entries: of the deploy's journal: where it has rolled back to.

    Raises:
        DeployError: one is a stranger's, or the release is gone.
    """
    history = deploy.ports.helm.history(release)
    last = history[-1] if history else deploy.last_revision(release)
    targets = {base, *_rolled_back_to(entries, release)}
    for each in history:
        if each.number > base + 1 and not any(is_way_back(each, target) for target in targets):
            raise _foreign(
                f"Helm's revision {each.number} of {release} is somebody else's: {each.status} "
                f"({each.description}), {each.updated}; it is not overwritten"
            )
    if undo.rollout is None or (last.number, last.status, state.image) != (base + 1, "deployed", old):
        return last
    rollout = find_rollout(deploy.ports.helm.manifest(release), undo.rollout.name)
    image = None if rollout is None else container_image(rollout, undo.container)
    if image not in {None, deploy.image.pinned}:
        raise _foreign(
            f"Helm's revision {last.number} of {release} brought {image}, not ours ({deploy.image.pinned}): somebody "
            f"else deployed ({last.description}, {last.updated}), and that is not overwritten"
        )
    return last


def is_way_back(revision: HelmRevision, target: int | None) -> bool:
    """Whether it is a rollback to the target, or one that failed.

    A rollback copies labels of the failed deploy, so that only its description tells where it went.
    """
    words = revision.description.strip().lower()
    return words == f"rollback to {target}" or words.startswith('rollback "')


def promoted_hash(entries: Iterable[Entry]) -> str | None:
    """Return the pod-template hash that this deploy promoted; None where it has promoted nothing."""
    return next((str(value) for value in _promotions(entries, _HASH)), None)


def _farthest(entries: Iterable[Entry], steps: Sequence[Step]) -> int:
    """The step where the rollout stops by itself after the last promotion that was ever sent, or begun."""
    sent = max((int(str(value)) for value in _promotions(entries, _STEP)), default=-1)
    return next((index for index, step in enumerate(steps) if step.holds and index > sent), len(steps))


def _rolled_back_to(entries: Iterable[Entry], release: Target) -> Iterable[int]:
    """The revisions that this deploy has asked Helm to go back to."""
    for entry in entries:
        action = entry.action
        if isinstance(action, HelmRollback) and action.target.environment == release.environment:
            yield action.revision


def _promotions(entries: Iterable[Entry], path: str) -> Iterable[object]:
    """What the promotions of this deploy expected to find there."""
    for entry in entries:
        action = entry.action
        if entry.undo is not None and isinstance(action, RolloutPatch) and action.purpose is Purpose.PROMOTE:
            yield json.loads(dict(action.before)[path])


def _foreign(text: str) -> DeployError:
    return DeployError(text, cause=FOREIGN)
