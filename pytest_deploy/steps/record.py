"""The signed record that a release candidate leaves with its image, and that a deploy to production believes."""

from __future__ import annotations

from pytest_bdd import given, then

from pytest_deploy.engine import record
from pytest_deploy.engine.deploy import Deploy

__all__ = ["verified"]


@given("the release candidate's record is verified")
def verified(deploy: Deploy) -> None:
    """Find the signed record of this image; what passed there is not done again. Off without ``record``.

    Example:
        Given the release candidate's record is verified
    """
    deploy.run(lambda: record.require(deploy))


@then("its evidence is signed and attached to the digest")
def attached(deploy: Deploy) -> None:
    """Sign what was done so far, and attach it to the image for a later deploy. Off without ``record``.

    Example:
        Then its evidence is signed and attached to the digest
    """
    deploy.run(lambda: record.attach(deploy))
