"""After the commitment: a later breach rolls back too."""

from __future__ import annotations

from datetime import timedelta

from pytest_bdd import parsers, then

from pytest_deploy.domain.quantity import parse_duration
from pytest_deploy.engine import measurable, phases
from pytest_deploy.engine.deploy import Deploy

__all__: list[str] = []


@then("the new revision is on top of the rollout history")
def on_top(deploy: Deploy) -> None:
    """Check Helm's history and the rollout's stable version.

    Example:
        Then the new revision is on top of the rollout history
    """
    deploy.run(lambda: phases.history_shows_it(deploy))


@then(parsers.parse('the SLO of "{service}" holds for {window}'), converters={"window": parse_duration})
def slo_holds(deploy: Deploy, service: str, window: timedelta) -> None:
    """Judge the SLO of deploy.yaml over the window, with the new version serving all traffic.

    Example:
        Then the SLO of "checkout-api" holds for 15 minutes
    """
    deploy.run(lambda: phases.holds_afterwards(deploy, window, deploy.place))


@then("the deploy ticket is closed with the digest and the revision")
def ticket(deploy: Deploy) -> None:
    """Close the ticket; a tracker that is down changes no outcome. Off without the section ``tickets``.

    Example:
        Then the deploy ticket is closed with the digest and the revision
    """
    deploy.run(lambda: phases.tell(deploy, "tickets", "tickets", f"close with {deploy.image.pinned}"))


@then(parsers.parse('the deploy note is posted to "{channel}"'))
def posted(deploy: Deploy, channel: str) -> None:
    """Post the note; a chat that is down changes no outcome. Off without the section ``chat``.

    Example:
        Then the deploy note is posted to "#deploys"
    """
    deploy.run(lambda: phases.tell(deploy, "chat", "chat", f"post the note to {channel}"))


@then(parsers.parse('the error budget of "{service}" does not burn'))
def budget(deploy: Deploy, service: str) -> None:
    """Check the burn rate once the new version serves all traffic; a budget that burns rolls back.

    Example:
        Then the error budget of "checkout-api" does not burn
    """
    deploy.run(lambda: measurable.budget_not_burning(deploy))
