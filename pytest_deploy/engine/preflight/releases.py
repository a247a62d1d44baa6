"""Is Helm's release at rest, and what would undo go back to?"""

from __future__ import annotations

from collections.abc import Sequence

from pytest_deploy.domain.action import HelmRollback, HelmUninstall, Target
from pytest_deploy.domain.event import KnownGoodCaptured
from pytest_deploy.domain.permissions import Resource
from pytest_deploy.domain.release import ImageRef
from pytest_deploy.domain.rollout import HelmRevision, KnownGood
from pytest_deploy.domain.tree import at
from pytest_deploy.engine import turn
from pytest_deploy.engine.deploy import Deploy
from pytest_deploy.engine.preflight import stacks
from pytest_deploy.errors import DeployError, Refused

__all__ = ["at_rest", "old_image"]

_SECRETS = Resource(group="", version="v1", plural="secrets")


def at_rest(deploy: Deploy) -> None:
    """Check that nothing is pending or failed, and capture the known-good version.

    Raises:
        LockHeld: another deploy of this release is open.
        Refused: the release is pending or failed, or was never installed; with the command that mends it.
    """
    turn.wait(deploy)
    release = deploy.release_target()
    revision = None if release is None else _revision_at_rest(deploy, release)
    state = stacks.live_rollout(deploy)
    stable = state.stable
    if stable is None or not state.promoted:
        raise Refused(f"{state.name} has no stable version to go back to: {state.words}", hint="let it settle first")
    deploy.base_revision = revision or 0
    deploy.known_good = KnownGood(revision=revision, image=stable.image, template_hash=stable.template_hash)
    clock = deploy.ports.clock
    deploy.emit(KnownGoodCaptured(at=clock.now(), known_good=deploy.known_good, environment=deploy.environment.name))
    deploy.fact("old_image", stable.image)
    if revision is not None:
        deploy.fact("revision_before", str(revision))
    name = "no Helm release" if revision is None else f"Helm revision {revision}, deployed"
    deploy.found(f"known good: {name}, {stable.image}, {stable.ready} of {state.replicas} pods ready")


def old_image(deploy: Deploy) -> None:
    """Check that the registry still has the image that the way back would start: a new node pulls it again.

    Raises:
        Refused: it is gone.
    """
    images, good = deploy.ports.images, deploy.known_good
    if images is None or good is None:
        return
    try:
        image = ImageRef.parse(good.image)
        there = images.digest(image) is not None
    except (DeployError, ValueError) as error:
        deploy.warn(f"not looked at: whether {good.image} can still be pulled; {error}")
        return
    if not there:
        raise Refused(
            f"the registry has no {good.image} any more: that is what runs, and what a rollback would start",
            hint="push it again, and let the registry keep what is deployed (retention)",
            cause="old image gone",
        )
    deploy.found("the registry still has it")


def _revision_at_rest(deploy: Deploy, release: Target) -> int:
    history = deploy.ports.helm.history(release)
    if not history:
        first = stacks.planned(deploy, deploy.environment)
        raise Refused(
            f"Helm has no release {release}",
            hint="a first deploy has nothing to compare with or to go back to: declare it by installing it once, "
            f"{deploy.ports.describe(first)}",
        )
    last, good = history[-1], _last_good(history)
    if last.status == "deployed":
        return last.number
    way_out = (
        HelmRollback(target=release, revision=good.number, timeout=deploy.limits.rollback)
        if good is not None
        else HelmUninstall(target=release, timeout=deploy.limits.rollback)
    )
    state = "pending: another operation runs or died" if last.pending else "not at rest"
    raise Refused(
        f"release {release} is {state}: revision {last.number} is {last.status} "
        f"({last.description}, {last.updated}; {_whose(deploy, release, last.number)})",
        hint=f"if nobody works on it: {deploy.ports.describe(way_out)}",
    )


def _last_good(history: Sequence[HelmRevision]) -> HelmRevision | None:
    return next((r for r in reversed(history) if r.status in {"deployed", "superseded"}), None)


def _whose(deploy: Deploy, release: Target, revision: int) -> str:
    """Say whose it is: a deploy of ours has put its id on the record that Helm keeps."""
    name = f"sh.helm.release.v1.{release.name}.v{revision}"
    found = deploy.ports.cluster.objects(deploy.environment, _SECRETS, name)
    if not found:
        return f"whose it is can't be told, Secret {name} is not readable"
    owner = at(found[0], "metadata", "labels", "deploy-id")
    return (
        f"of deploy {owner}: pytest-deploy status" if owner else "begun by hand or by another tool: it has no deploy-id"
    )
