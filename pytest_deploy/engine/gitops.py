"""GitOps: a commit in the environment repository in the place of an install."""

from __future__ import annotations

from dataclasses import replace

from pytest_deploy.domain.action import External
from pytest_deploy.domain.found import Found
from pytest_deploy.domain.pin import Pin
from pytest_deploy.domain.stack import SignKind
from pytest_deploy.engine import approval, windows
from pytest_deploy.engine.deploy import Deploy
from pytest_deploy.errors import DeployError, Refused
from pytest_deploy.ports import GitOps

__all__ = ["can_be_written", "commit", "only_the_digest"]

STAGING = "staging"


def can_be_written(deploy: Deploy, environment: str) -> None:
    """Check that the environment repository can be read and pushed to, and that its file has a place for the digest.

    Raises:
        Refused: it has none, or deploy.yaml says nothing of it.
        DeployError: it can't be reached or written.
    """
    _tell(deploy, _gitops(deploy, environment).check(environment))


def commit(deploy: Deploy, environment: str) -> None:
    """Commit the digest on a branch of its own, push it, and say what to watch; nothing else is written anywhere.

    Raises:
        Refused: nobody knows the digest, it stands there already, it has not been through staging, nobody approved it
            where somebody must, or deploys are frozen.
        GateBreach: the approval does not stand any more.
        DeployError: the branch is not there as it should be.
    """
    gitops, pin = _gitops(deploy, environment), _pin(deploy, environment)
    windows.not_frozen(deploy)
    approval.recheck(deploy)
    kept: list[Found] = []

    def act() -> str:
        kept.append(gitops.commit(pin))
        return kept[-1].words

    action = External(system="git", summary=f"branch {pin.branch}: {pin.image} for {environment}")
    deploy.tx.do(action, undo=None, act=act)
    watch = "; ".join(_watch(deploy, environment))
    deploy.fact("watch", watch)
    _tell(deploy, kept[-1], after=f"; watch: {watch}")


def only_the_digest(deploy: Deploy, environment: str) -> None:
    """Fetch the branch anew and check that it changes nothing but the digest.

    Raises:
        GateBreach: it changes something else, or not this.
        DeployError: there is no answer.
    """
    _tell(deploy, _gitops(deploy, environment).verify(_pin(deploy, environment)))


def _gitops(deploy: Deploy, environment: str) -> GitOps:
    gitops = deploy.ports.gitops
    if gitops is None or not gitops.covers(environment):
        raise Refused(
            f"deploy.yaml says nothing of an environment repository for {environment!r}",
            hint=f"add gitops.environments.{environment}: {{file: ..., key: image.digest}}",
        )
    if environment not in {STAGING, deploy.environment.name}:
        raise Refused(
            f"this feature is bound for {deploy.environment.name!r}, so that is what was checked and approved, "
            f"not {environment!r}",
            hint=f'let a feature of its own be bound for "{environment}"',
        )
    return gitops


def _pin(deploy: Deploy, environment: str) -> Pin:
    """Return what to commit; past staging only what staging holds, whichever way it was brought there."""
    after = None
    gitops = _gitops(deploy, environment)
    if environment != STAGING and STAGING not in deploy.installs:
        if not gitops.covers(STAGING):
            raise Refused(
                f"{environment} can't get a digest that has not been through staging",
                hint="name staging's file in gitops.environments.staging, or install on staging in this feature",
            )
        after = STAGING
    return Pin(
        service=deploy.release.service,
        environment=environment,
        repository=deploy.release.image.repository,
        digest=deploy.required_digest,
        commit=deploy.commit,
        deploy_id=deploy.id,
        after=after,
    )


def _watch(deploy: Deploy, environment: str) -> list[str]:
    """Return how to see that the commit arrives: by the controller that marks the live objects, where they say so."""
    stack, env = deploy.ports.stack, deploy.release.environments.get(environment)
    general = f"what your GitOps controller makes of it in {environment}"
    if stack is None or env is None:
        return [general]
    try:
        live = stack.live(env) or ()
    except DeployError:  # many that commit may not look into the cluster
        return [general]
    return list(dict.fromkeys(sign.instead for sign in live if sign.kind is SignKind.GITOPS)) or [general]


def _tell(deploy: Deploy, found: Found, *, after: str = "") -> None:
    deploy.found_all(replace(found, words=found.words + after))
