"""The plan: every command and patch that a deploy would send, in order, made by the code that sends them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import replace

from pytest_deploy.domain.action import HelmRollback, RolloutPatch
from pytest_deploy.domain.measurement import Kind
from pytest_deploy.domain.patches import abort, promote
from pytest_deploy.domain.plan import Gate, Stage
from pytest_deploy.domain.quantity import format_duration
from pytest_deploy.domain.release import Digest
from pytest_deploy.engine import preflight
from pytest_deploy.engine.deploy import Deploy
from pytest_deploy.engine.enough import least

__all__ = ["lines"]


def lines(deploy: Deploy) -> Iterator[str]:
    """Yield the plan, one command a line; what is only known later stands in angle brackets.

    Nothing is contacted except for Helm's version, which decides its flags.
    """
    describe = deploy.ports.describe
    digest = deploy.digest or Digest("<digest>")
    for name in deploy.installs:
        if name in deploy.release.environments:
            env = deploy.release.environments[name]
            yield describe(preflight.upgrade(deploy, env, digest=digest, base_revision=0))
    if not deploy.stages:
        return
    target = deploy.rollout_target()
    version = "<version>"
    release = deploy.release_target()
    if release is None:
        image = f"{deploy.release.image.repository}@{digest}"
        yield f"# {target}: JSON Patch of the image of {deploy.environment.container} to {image}"
    else:
        yield describe(preflight.upgrade(deploy, deploy.environment, digest=digest, base_revision=0))
    for index, stage in enumerate(deploy.stages):
        if index:
            yield _patch(deploy, promote(target, step_index=2 * index - 1, template_hash=version, weight=stage.weight))
        yield from _watch(deploy, stage)
    yield "# commitment, when all gates have passed:"
    yield _patch(deploy, promote(target, step_index=2 * len(deploy.stages) - 1, template_hash=version, weight=None))
    yield "# on any failure or signal, at any point:"
    yield _patch(deploy, abort(target, template_hash=version))
    if release is not None:
        undo = HelmRollback(target=release, revision=0, timeout=deploy.limits.rollback)
        yield shlex.join(undo.argv(deploy.ports.helm_binary, deploy.ports.helm.version())).replace(
            f" {release.name} 0 ", f" {release.name} <known-good revision> "
        )


def _patch(deploy: Deploy, patch: RolloutPatch) -> str:
    """Return the patch as it is sent under the lock, whose number is not known yet."""
    return deploy.ports.describe(patch if deploy.ports.lock is None else replace(patch, fence="<fence>"))


def _watch(deploy: Deploy, stage: Stage) -> Iterator[str]:
    """Yield what is watched at a weight, and how many of the canary's requests its verdict takes."""
    window = format_duration(stage.window / deploy.limits.window_divisor)
    judged = " and ".join(_gate(gate) for gate in stage.gates)
    yield f"# at {stage.weight} %: watch {window}, {judged or 'the SLO of deploy.yaml'}"
    for gate in stage.gates:
        need = least(deploy, gate.objective, stage)
        if need is not None:
            yield f"#   {gate.objective.name}: needs {need:,} requests of the canary at least"


def _gate(gate: Gate) -> str:
    objective = gate.objective
    if objective.kind in {Kind.SCRIPT, Kind.STEP}:
        return objective.name
    sign = ">=" if objective.at_least or objective.kind is Kind.AVAILABILITY else "<="
    dry_run = " (dry run)" if gate.dry_run else ""
    return f"{objective.name} {sign} {objective.show(objective.limit)}{dry_run}"
