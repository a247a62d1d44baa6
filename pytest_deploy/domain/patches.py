"""The guarded patches of a rollout: what each tests before it writes."""

from __future__ import annotations

import json

from pytest_deploy.domain.action import Purpose, RolloutPatch, Target

__all__ = ["abort", "promote", "promote_full", "set_image"]


def promote(target: Target, *, step_index: int, template_hash: str, weight: int | None) -> RolloutPatch:
    """Return the patch that ends the pause at ``step_index``, once: sent twice, the server refuses the second.

    The kubectl plugin's promote is not idempotent: after the pause is gone it skips a step
    (https://github.com/argoproj/argo-rollouts/blob/master/pkg/kubectl-argo-rollouts/cmd/promote/promote.go).

    Args:
        step_index: the pause step where the rollout must stand.
        template_hash: the version that must be the one under way.
        weight: percent that comes next; None for the last promote, the commitment.
    """
    goal = "the new version is the stable one" if weight is None else f"{weight} % of the traffic to the canary"
    return RolloutPatch(
        target=target,
        purpose=Purpose.PROMOTE,
        before=(
            ("/status/currentStepIndex", json.dumps(step_index)),
            ("/status/currentPodHash", json.dumps(template_hash)),
            ("/status/pauseConditions/0/reason", '"CanaryPauseStep"'),
        ),
        change=(("/status/pauseConditions", "null"),),
        on_status=True,
        after=goal,
    )


def abort(target: Target, *, template_hash: str, step_index: int | None = None) -> RolloutPatch:
    """Return the patch that sends all traffic back to the stable version.

    Args:
        template_hash: the version under way that is to be aborted.
        step_index: where the rollout was seen to stand, so that one which somebody has promoted since is not aborted;
            None: wherever it stands.
    """
    step = () if step_index is None else (("/status/currentStepIndex", json.dumps(step_index)),)
    return RolloutPatch(
        target=target,
        purpose=Purpose.ABORT,
        before=(*step, ("/status/currentPodHash", json.dumps(template_hash))),
        change=(("/status/abort", "true"),),
        on_status=True,
        after="all traffic goes to the stable version",
    )


def promote_full(target: Target, *, observed_generation: int) -> RolloutPatch:
    """Return the patch that skips the remaining steps: for the way back only, and for staging.

    Sent before the controller has seen the new spec it would be a no-op, hence the test.

    Args:
        observed_generation: the generation that the controller must have seen; the API holds it as text.
    """
    return RolloutPatch(
        target=target,
        purpose=Purpose.PROMOTE_FULL,
        before=(("/status/observedGeneration", json.dumps(str(observed_generation))),),
        change=(("/status/promoteFull", "true"),),
        on_status=True,
        after="all steps are skipped, the wanted version is the stable one",
    )


def set_image(target: Target, *, index: int, container: str, old: str, new: str) -> RolloutPatch:
    """Return the patch that changes one container's image: for a rollout that no Helm release owns.

    Args:
        index: of the container in the pod template.
        old, new: full image references.
    """
    path = f"/spec/template/spec/containers/{index}"
    return RolloutPatch(
        target=target,
        purpose=Purpose.SET_IMAGE,
        before=((f"{path}/name", json.dumps(container)), (f"{path}/image", json.dumps(old))),
        change=((f"{path}/image", json.dumps(new)),),
        on_status=False,
        after=f"{container} runs {new}",
    )
