"""GitOps: what a controller brings to the cluster is committed, not installed."""

from __future__ import annotations

from pytest_bdd import given, parsers, then, when

from pytest_deploy.engine import gitops
from pytest_deploy.engine.deploy import Deploy

__all__: list[str] = []


@given(parsers.parse('the environment repository of "{environment}" can be written'))
def writable(deploy: Deploy, environment: str) -> None:
    """Clone it, find the place of the digest in the environment's file, and try a push without pushing.

    Example:
        Given the environment repository of "prod" can be written
    """
    deploy.run(lambda: gitops.can_be_written(deploy, environment))


@when(parsers.parse('the digest is committed to the environment repository of "{environment}"'))
def committed(deploy: Deploy, environment: str) -> None:
    """Commit the digest on a branch of its own, with a pull request where deploy.yaml asks for one.

    Example:
        When the digest is committed to the environment repository of "prod"
    """
    deploy.run(lambda: gitops.commit(deploy, environment))


@then(parsers.parse('the commit for "{environment}" changes nothing but the digest'))
def only_the_digest(deploy: Deploy, environment: str) -> None:
    """Fetch the branch anew and compare it with its base.

    Example:
        Then the commit for "prod" changes nothing but the digest
    """
    deploy.run(lambda: gitops.only_the_digest(deploy, environment))
