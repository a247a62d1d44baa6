"""Which release goes where."""

from __future__ import annotations

from pytest_bdd import given, parsers

from pytest_deploy.engine.deploy import Deploy
from pytest_deploy.errors import Refused

__all__ = ["bound_for"]


@given(parsers.parse('the release "{service}" of deploy.yaml, bound for "{environment}"'))
def bound_for(deploy: Deploy, service: str, environment: str) -> None:
    """Name the service and the environment of this feature; both must be those of deploy.yaml.

    Example:
        Given the release "checkout-api" of deploy.yaml, bound for "prod"
    """
    if (service, environment) != (deploy.release.service, deploy.environment.name):
        msg = (
            f"the feature deploys {service} to {environment}, "
            f"deploy.yaml was read for {deploy.release.service} and {deploy.environment.name}"
        )
        raise Refused(msg)
    deploy.found(f"{deploy.release.service} to {deploy.environment.name} ({deploy.environment.context})")
