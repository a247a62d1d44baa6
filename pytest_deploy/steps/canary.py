"""The canary's weights."""

from __future__ import annotations

import re

from pytest_bdd import parsers, then, when

from pytest_deploy.domain.quantity import parse_weight
from pytest_deploy.engine import canary, gates
from pytest_deploy.engine.deploy import Deploy
from pytest_deploy.errors import DeployError

__all__ = [
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


@when(parsers.parse("{weight} of the traffic goes to the canary"), converters={"weight": parse_weight})
def traffic(deploy: Deploy, weight: int) -> None:
    """Start the canary with the first weight, promote it with each later one.

    Example:
        When 25% of the traffic goes to the canary
    """
    deploy.run(lambda: canary.raise_to(deploy, weight))


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
