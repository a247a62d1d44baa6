"""Staging, smoke test and approval: before production is touched."""

from __future__ import annotations

from datetime import timedelta

from pytest_bdd import parsers, then, when

from pytest_deploy.domain.quantity import parse_duration
from pytest_deploy.domain.record import STAGING
from pytest_deploy.engine import asking, phases, record, staging
from pytest_deploy.engine.deploy import Deploy

__all__: list[str] = []


@when(parsers.parse('the release is installed on "{environment}"'), target_fixture="installed_on")
def installed(deploy: Deploy, environment: str) -> str:
    """Install or upgrade the release by Helm, with atomic semantics.

    Example:
        When the release is installed on "staging"
    """
    deploy.run(lambda: record.once(deploy, "install", environment, lambda: staging.install(deploy, environment)))
    return environment


@then(
    parsers.parse("every pod runs the pinned digest within {duration}"),
    converters={"duration": parse_duration},
)
def pods_run(deploy: Deploy, installed_on: str, duration: timedelta) -> None:
    """Watch the pods until each is ready with the pinned image; a pod that can't start ends it at once.

    Example:
        Then every pod runs the pinned digest within 5 minutes
    """
    deploy.run(
        lambda: record.once(deploy, STAGING, installed_on, lambda: staging.pods_run(deploy, installed_on, duration))
    )


@then("the smoke test passes")
def smoke(deploy: Deploy, installed_on: str) -> None:
    """Run the smoke test against the environment's base_url. Off without the section ``smoke``.

    Example:
        Then the smoke test passes
    """
    url = staging.environment(deploy, installed_on).base_url or installed_on
    deploy.run(lambda: phases.check(deploy, "smoke", f"{url} {deploy.image.pinned}"))


@then(parsers.parse('"{environment}" is approved for this digest by one of its approvers'))
def approved(deploy: Deploy, environment: str) -> None:
    """Ask whether one of the approvers said yes to this digest. Off without the section ``approval``.

    Example:
        Then "prod" is approved for this digest by one of its approvers
    """
    deploy.run(lambda: asking.ask(deploy, environment))
