"""The canary's weights and the gates that judge them."""

from __future__ import annotations

import re
from datetime import timedelta

from pytest_bdd import parsers, then, when

from pytest_deploy.domain.quantity import parse_duration, parse_latency, parse_ratio, parse_weight
from pytest_deploy.engine import canary, gates
from pytest_deploy.engine.deploy import Deploy
from pytest_deploy.errors import DeployError

__all__ = [
    "error_rate",
    "latency",
    "parse_quantile",
    "parse_weights",
    "promoted_through",
    "slo_at_every_step",
    "traffic",
]


def parse_weights(text: str) -> tuple[int, ...]:
    """Return the percents of ``5%, 25%, 50% and 100%``; raises ValueError where they do not rise."""
    weights = tuple(parse_weight(part) for part in re.split(r",\s*(?:and\s+)?|\s+and\s+", text))
    if list(weights) != sorted(set(weights)):
        msg = f"the weights must rise: {text}"
        raise ValueError(msg)
    return weights


def parse_quantile(text: str) -> float:
    """Return 0.95 for ``95``; raises ValueError outside of 1 to 99.99."""
    value = float(text)
    if not 1 <= value < 100:
        msg = f"p{text} is no quantile: between p1 and p99.99"
        raise ValueError(msg)
    return value / 100


@when(parsers.parse("{weight} of the traffic goes to the canary"), converters={"weight": parse_weight})
def traffic(deploy: Deploy, weight: int) -> None:
    """Start the canary with the first weight, promote it with each later one.

    Example:
        When 25% of the traffic goes to the canary
    """
    deploy.run(lambda: canary.raise_to(deploy, weight))


@then(
    parsers.parse("for {window} the error rate stays at or below {limit}"),
    converters={"window": parse_duration, "limit": parse_ratio},
)
def error_rate(deploy: Deploy, window: timedelta, limit: float) -> None:
    """Judge the share of 5xx answers over the window.

    Example:
        Then for 5 minutes the error rate stays at or below 0.5%
    """
    deploy.run(lambda: gates.check(deploy, *deploy.standing_gate()))


@then(
    parsers.parse("for {window} the p{quantile} latency stays at or below {limit}"),
    converters={"window": parse_duration, "quantile": parse_quantile, "limit": parse_latency},
)
def latency(deploy: Deploy, window: timedelta, quantile: float, limit: timedelta) -> None:
    """Judge a quantile of the request duration over the window.

    Example:
        Then for 5 minutes the p95 latency stays at or below 300 ms
    """
    deploy.run(lambda: gates.check(deploy, *deploy.standing_gate()))


@when(parsers.parse("the canary is promoted through {weights}"), converters={"weights": parse_weights})
def promoted_through(deploy: Deploy, weights: tuple[int, ...]) -> None:
    """Walk all weights in one step, each judged by the SLO of deploy.yaml; the Then after it gives the verdict.

    Example:
        When the canary is promoted through 5%, 25%, 50% and 100%
    """
    deploy.run(lambda: gates.walk(deploy, weights))


@then("the SLO holds at every step")
def slo_at_every_step(deploy: Deploy) -> None:
    """Give the verdict of the walk: every gate of every weight must have passed.

    Example:
        Then the SLO holds at every step
    """
    if deploy.walked is None:
        raise DeployError("no step promoted the canary before", hint="When the canary is promoted through ...")
    deploy.run(lambda: gates.verdict_of_walk(deploy))
