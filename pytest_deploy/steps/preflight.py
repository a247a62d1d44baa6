"""Pre-flight: what must be true before anything is changed."""

from __future__ import annotations

from pytest_bdd import given, parsers

from pytest_deploy.engine import measurable, phases, preflight, windows
from pytest_deploy.engine.deploy import Deploy

__all__: list[str] = []


@given("the stack is one that this deploy supports")
def stack(deploy: Deploy) -> None:
    """Check strategy, Helm, the chart's Rollout and its canary steps.

    Example:
        Given the stack is one that this deploy supports
    """
    deploy.run(lambda: preflight.stack(deploy))


@given(parsers.parse('the cluster is the one expected for "{environment}"'))
def cluster(deploy: Deploy, environment: str) -> None:
    """Check that the expected API server answers, and record which cluster it is.

    Example:
        Given the cluster is the one expected for "prod"
    """
    deploy.run(lambda: preflight.cluster(deploy))


@given("the Helm release is neither pending nor failed")
def release_at_rest(deploy: Deploy) -> None:
    """Check Helm's last revision, and capture the known-good one: the target of every way back.

    Example:
        Given the Helm release is neither pending nor failed
    """
    deploy.run(lambda: preflight.release_status(deploy))


@given(parsers.parse('no open incident is tagged "{tag}"'))
def no_incident(deploy: Deploy, tag: str) -> None:
    """Ask the incident tool; unreachable is not "none". Off without the section ``incidents``.

    Example:
        Given no open incident is tagged "service:checkout-api"
    """
    deploy.run(lambda: preflight.run(deploy, "incidents", lambda it: phases.check(it, "incidents", tag)))


@given("the deploy account may do, and undo, everything this deploy does")
def account(deploy: Deploy) -> None:
    """Ask the API server for each verb of the plan, rollback's included.

    Example:
        Given the deploy account may do, and undo, everything this deploy does
    """
    deploy.run(lambda: preflight.account(deploy))


@given("the deployment checklist is complete")
def checklist(deploy: Deploy) -> None:
    """Read deployment-checklist.md; each unticked item is named. Off without the section ``checklist``.

    Example:
        Given the deployment checklist is complete
    """
    deploy.run(
        lambda: preflight.run(deploy, "checklist", lambda it: phases.check(it, "checklist", deploy.release.service))
    )


@given("no freeze is in force")
def no_freeze(deploy: Deploy) -> None:
    """Check the freezes of deploy.yaml's windows; one that begins before the gates are done counts, too.

    Example:
        Given no freeze is in force
    """
    deploy.run(lambda: preflight.run(deploy, "freeze", windows.not_frozen))


@given("every gate of this feature can be judged")
def measurable_gates(deploy: Deploy) -> None:
    """Check that each gate finds its metrics on the version that runs, and will have requests enough.

    Example:
        Given every gate of this feature can be judged
    """
    deploy.run(lambda: preflight.metrics(deploy))


@given(parsers.parse('the error budget of "{service}" is not burning'))
def budget(deploy: Deploy, service: str) -> None:
    """Check the burn rate over 1 h & 5 min and 6 h & 30 min before anything is changed.

    Example:
        Given the error budget of "checkout-api" is not burning
    """
    deploy.run(lambda: preflight.run(deploy, "budget", measurable.budget_not_burning))
