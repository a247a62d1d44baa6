"""The gates that judge a weight: each a limit over a watch, and what is read of the step's text.

A watch is ``for 5 minutes``, or ``until 1,200 requests, at most 30 minutes,`` for a service with little traffic; with
``as a dry run, `` before it the gate is judged and told, and never blocks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import cast

from pytest_bdd import parsers, then

from pytest_deploy.domain.measurement import Kind, Objective
from pytest_deploy.domain.quantity import parse_amount, parse_duration, parse_latency, parse_points, parse_ratio
from pytest_deploy.domain.query import ALERTS, MEMORY, RESTARTS, THROTTLING
from pytest_deploy.engine import gates
from pytest_deploy.engine.deploy import Deploy

__all__ = ["OBJECTIVES", "Watch", "parse_quantile", "parse_watch"]

_DRY_RUN = "as a dry run, "
_UNTIL = re.compile(r"until ([0-9][0-9,]*) requests, at most ([^,]+),")


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """How long a gate is watched: ``window``, or until ``requests`` and at most ``window``."""

    window: timedelta
    requests: int | None = None
    dry_run: bool = False


def parse_watch(text: str) -> Watch:
    """Return the watch of ``for 5 minutes`` and its other forms; raises ValueError where it is none."""
    rest = text.removeprefix(_DRY_RUN)
    dry_run = rest != text
    if rest.startswith("for "):
        return Watch(window=parse_duration(rest.removeprefix("for ")), dry_run=dry_run)
    until = _UNTIL.fullmatch(rest)
    if until is None:
        raise ValueError(
            f"{text!r} is no watch: for 5 minutes, or until 1,200 requests, at most 30 minutes, "
            "(each may begin with: as a dry run,)"
        )
    requests = int(until[1].replace(",", ""))
    if not requests:
        raise ValueError(f"{text!r}: until at least one request")
    return Watch(window=parse_duration(until[2]), requests=requests, dry_run=dry_run)


def parse_quantile(text: str) -> float:
    """Return 0.95 for ``95``; raises ValueError outside of 1 to 99.99."""
    value = float(text)
    if not 1 <= value < 100:
        msg = f"p{text} is no quantile: between p1 and p99.99"
        raise ValueError(msg)
    return value / 100


@then(
    parsers.parse("{watch} the error rate stays at or below {limit}"),
    converters={"watch": parse_watch, "limit": parse_ratio},
)
def error_rate(deploy: Deploy, watch: Watch, limit: float) -> None:
    """Judge the share of 5xx answers over the watch.

    Example:
        Then for 5 minutes the error rate stays at or below 0.5%
    """
    _check(deploy)


@then(
    parsers.parse("{watch} the availability stays at or above {limit}"),
    converters={"watch": parse_watch, "limit": parse_ratio},
)
def availability(deploy: Deploy, watch: Watch, limit: float) -> None:
    """Judge the share of answers that are no 5xx.

    Example:
        Then until 1,200 requests, at most 30 minutes, the availability stays at or above 99.5%
    """
    _check(deploy)


@then(
    parsers.parse("{watch} the p{quantile} latency stays at or below {limit}"),
    converters={"watch": parse_watch, "quantile": parse_quantile, "limit": parse_latency},
)
def latency(deploy: Deploy, watch: Watch, quantile: float, limit: timedelta) -> None:
    """Judge a quantile of the request duration: the share of slower requests, from the bucket that ends at the limit.

    Example:
        Then for 5 minutes the p95 latency stays at or below 300 ms
    """
    _check(deploy)


@then(
    parsers.parse("{watch} the error rate is no worse than stable by more than {margin}"),
    converters={"watch": parse_watch, "margin": parse_points},
)
def relative_error_rate(deploy: Deploy, watch: Watch, margin: float) -> None:
    """Compare the share of 5xx answers with that of the stable version beside the canary.

    Example:
        Then for 5 minutes the error rate is no worse than stable by more than 0.2 points
    """
    _check(deploy)


@then(
    parsers.parse("{watch} the p{quantile} latency is no worse than stable by more than {margin}"),
    converters={"watch": parse_watch, "quantile": parse_quantile, "margin": parse_latency},
)
def relative_latency(deploy: Deploy, watch: Watch, quantile: float, margin: timedelta) -> None:
    """Compare a quantile of the request duration with that of the stable version beside the canary.

    Example:
        Then for 5 minutes the p95 latency is no worse than stable by more than 50 ms
    """
    _check(deploy)


@then(
    parsers.parse("{watch} the CPU throttling stays at or below {limit}"),
    converters={"watch": parse_watch, "limit": parse_ratio},
)
def throttling(deploy: Deploy, watch: Watch, limit: float) -> None:
    """Judge the share of CPU periods in which the canary's containers were throttled.

    Example:
        Then for 5 minutes the CPU throttling stays at or below 25%
    """
    _check(deploy)


@then(
    parsers.parse("{watch} the memory use stays at or below {limit} of its limit"),
    converters={"watch": parse_watch, "limit": parse_ratio},
)
def memory(deploy: Deploy, watch: Watch, limit: float) -> None:
    """Judge the largest working set of the canary's containers, as a share of their memory limit.

    Example:
        Then for 5 minutes the memory use stays at or below 80% of its limit
    """
    _check(deploy)


@then(parsers.parse("{watch} no container restarts"), converters={"watch": parse_watch})
def no_restart(deploy: Deploy, watch: Watch) -> None:
    """Judge that no container of the canary has restarted since its pods began; no data about it is no answer.

    Example:
        Then for 5 minutes no container restarts
    """
    _check(deploy)


@then(parsers.parse("{watch} no alert of the service fires"), converters={"watch": parse_watch})
def no_alert(deploy: Deploy, watch: Watch) -> None:
    """Judge that no alert with the service's label fires; without a loaded alerting rule there is no answer.

    Example:
        Then for 5 minutes no alert of the service fires
    """
    _check(deploy)


@then(
    parsers.parse('{watch} "{query}" stays at or below {limit}'),
    converters={"watch": parse_watch, "limit": parse_amount},
)
def at_most(deploy: Deploy, watch: Watch, query: str, limit: tuple[float, str]) -> None:
    """Judge a query of deploy.yaml (metrics.queries) against a number with its unit.

    Example:
        Then for 5 minutes "queue depth" stays at or below 100 messages
    """
    _check(deploy)


@then(
    parsers.parse('{watch} "{query}" stays at or above {limit}'),
    converters={"watch": parse_watch, "limit": parse_amount},
)
def at_least(deploy: Deploy, watch: Watch, query: str, limit: tuple[float, str]) -> None:
    """Judge a query of deploy.yaml (metrics.queries) against the least that is good.

    Example:
        Then for 5 minutes "orders per minute" stays at or above 40 orders
    """
    _check(deploy)


@then(parsers.parse('{watch} the script "{path}" finds the SLO kept'), converters={"watch": parse_watch})
def script(deploy: Deploy, watch: Watch, path: str) -> None:
    """Run a program with service and weight at the window's end: 0 is yes, 1 no, anything else no answer.

    Example:
        Then for 5 minutes the script "./scripts/check-slo.sh" finds the SLO kept
    """
    _check(deploy)


def _check(deploy: Deploy) -> None:
    deploy.run(lambda: gates.check(deploy, *deploy.standing_gate()))


def _ratio(args: Mapping[str, object], name: str = "limit") -> float:
    return cast("float", args[name])


def _seconds(args: Mapping[str, object], name: str = "limit") -> float:
    return cast("timedelta", args[name]).total_seconds()


def _quantile(args: Mapping[str, object]) -> float:
    return cast("float", args["quantile"])


def _query(args: Mapping[str, object], *, at_least: bool) -> Objective:
    limit, unit = cast("tuple[float, str]", args["limit"])
    return Objective(kind=Kind.QUERY, limit=limit, unit=unit, subject=str(args["query"]), at_least=at_least)


def _shipped(name: str, limit: float, unit: str = "") -> Objective:
    return Objective(kind=Kind.QUERY, limit=limit, unit=unit, subject=name)


OBJECTIVES: Mapping[Callable[..., object], Callable[[Mapping[str, object]], Objective]] = {
    error_rate: lambda args: Objective(kind=Kind.ERROR_RATE, limit=_ratio(args)),
    availability: lambda args: Objective(kind=Kind.AVAILABILITY, limit=round(1 - _ratio(args), 12)),
    latency: lambda args: Objective(kind=Kind.LATENCY, limit=_seconds(args), quantile=_quantile(args)),
    relative_error_rate: lambda args: Objective(kind=Kind.ERROR_RATE, limit=_ratio(args, "margin"), relative=True),
    relative_latency: lambda args: Objective(
        kind=Kind.LATENCY, limit=_seconds(args, "margin"), quantile=_quantile(args), relative=True
    ),
    throttling: lambda args: _shipped(THROTTLING, _ratio(args), "%"),
    memory: lambda args: _shipped(MEMORY, _ratio(args), "%"),
    no_restart: lambda _: _shipped(RESTARTS, 0),
    no_alert: lambda _: _shipped(ALERTS, 0),
    at_most: lambda args: _query(args, at_least=False),
    at_least: lambda args: _query(args, at_least=True),
    script: lambda args: Objective(kind=Kind.SCRIPT, limit=0, subject=str(args["path"])),
}
"""What each of these steps limits, read from its arguments before anything is done."""
