"""Drills: faults, and the ends that they must have. In rehearsal and sandbox only."""

from __future__ import annotations

from datetime import timedelta

from pytest_bdd import given, parsers, then

from pytest_deploy.domain.fault import Fault, FaultKind, parse_fault
from pytest_deploy.domain.quantity import parse_duration, parse_latency, parse_ratio
from pytest_deploy.engine import drill
from pytest_deploy.engine.deploy import Deploy

__all__ = ["ENDINGS", "FAULTS"]


@given(parsers.parse('the fault "{fault}"'), converters={"fault": parse_fault})
def fault(deploy: Deploy, fault: Fault) -> None:
    """Let something go wrong, in the words of the fault grammar.

    Example:
        Given the fault "prometheus down at 25%"
    """
    deploy.run(lambda: drill.inject(deploy, fault))


@given(parsers.parse("from now on the canary fails {ratio} of its requests"), converters={"ratio": parse_ratio})
def fails(deploy: Deploy, ratio: float) -> None:
    """Let the new version answer a share of its requests with a 5xx.

    Example:
        Given from now on the canary fails 5% of its requests
    """
    made = Fault(kind=FaultKind.ERROR_RATE, amount=ratio, text=f"error rate {ratio * 100:g}%")
    deploy.run(lambda: drill.inject(deploy, made))


@given(
    parsers.parse("from now on the canary answers with a p95 latency of {limit}"),
    converters={"limit": parse_latency},
)
def slow(deploy: Deploy, limit: timedelta) -> None:
    """Let the new version answer slowly.

    Example:
        Given from now on the canary answers with a p95 latency of 900 ms
    """
    seconds = limit.total_seconds()
    made = Fault(kind=FaultKind.P95_LATENCY, amount=seconds, text=f"p95 latency {seconds * 1000:g}ms")
    deploy.run(lambda: drill.inject(deploy, made))


@then(
    parsers.parse("the deploy is rolled back within {duration} because of {cause}"),
    converters={"duration": parse_duration},
)
def rolled_back(deploy: Deploy, duration: timedelta, cause: str) -> None:
    """Watch until it is stopped, roll back, and check the cause and the time from its first sample.

    Example:
        Then the deploy is rolled back within 1 minute because of the error rate
    """
    drill.must_roll_back(deploy, cause.removeprefix("the ").removeprefix("of "), duration, deploy.place)


@then("the old version serves all traffic again, verified")
def old_serves(deploy: Deploy) -> None:
    """Look at the cluster anew: only the known-good version may serve.

    Example:
        Then the old version serves all traffic again, verified
    """
    drill.must_serve_old(deploy)


@then(parsers.parse("the deploy stops with nothing changed because of {cause}"))
def unchanged(deploy: Deploy, cause: str) -> None:
    """Check that it was stopped before the first write.

    Example:
        Then the deploy stops with nothing changed because of incident open
    """
    drill.must_stop_unchanged(deploy, cause.removeprefix("the "))


@then("the rollback fails and a human is called")
def human(deploy: Deploy) -> None:
    """Check that a way back that fails says what is left behind, and what to do next.

    Example:
        Then the rollback fails and a human is called
    """
    drill.must_call_human(deploy, deploy.place)


@then("the deploy is committed all the same")
def committed(deploy: Deploy) -> None:
    """Check that a fault that must not stop a deploy did not stop it.

    Example:
        Then the deploy is committed all the same
    """
    drill.must_commit(deploy)


FAULTS = (fault, fails, slow)
ENDINGS = (rolled_back, unchanged, human, committed)
