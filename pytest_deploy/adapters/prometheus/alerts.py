"""Alerts of a service that fire, and the proof that they would: rules that are loaded and evaluated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pytest_deploy.adapters.prometheus.counts import Counts
from pytest_deploy.adapters.prometheus.promql import Api, Look, literal
from pytest_deploy.errors import Faulted, Rejected

__all__ = ["alert_problems", "firing_alerts"]

_EVALUATIONS_OLD = 2
"""How many intervals of its group a rule's last evaluation may be old; one may be late, two in a row are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Watchers:
    """Who would say that an alert fires.

    Args:
        awake: alerting rules that were evaluated in time and without error.
        asleep: why others, that name the service, were not.
    """

    awake: int
    asleep: tuple[str, ...]


def firing_alerts(look: Look, service_label: str, service: str, now: datetime) -> Counts:
    """Return how many alerts of the service fire, out of how many rules at work; no count where none is.

    Args:
        now: the server's own time, whatever time the look is at.

    https://prometheus.io/docs/prometheus/latest/configuration/alerting_rules/#inspecting-alerts-during-runtime
    """
    firing = look.one(f'count(ALERTS{{alertstate="firing",{service_label}={literal(service)}}})') or 0.0
    found = _watchers(look.api.alerting_groups(), service, now)
    look.warnings += found.asleep
    return Counts(total=float(found.awake), value=firing) if found.awake else Counts()


def alert_problems(api: Api, service: str, now: datetime) -> list[str]:
    """Return why nothing would be heard of an alert of the service."""
    try:
        found = _watchers(api.alerting_groups(), service, now)
    except Rejected as error:
        return [f"whether alerts would fire can't be told, as the server does not show its rules: {error}"]
    if not found.awake:
        return ["no alerting rule is loaded and evaluated, so that none could fire: see rule_files", *found.asleep]
    return [*found.asleep]


def _watchers(groups: Sequence[Mapping[str, Any]], service: str, now: datetime) -> _Watchers:
    """Rules that fail or wait matter where they name the service: a server that teams share always has some others."""
    awake, asleep = 0, []
    try:
        for rule, why in _looked_at(groups, now):
            if not why:
                awake += 1
            elif service in f"{rule.get('name')} {rule.get('query')} {rule.get('labels')}":
                asleep.append(f"the alerting rule {rule.get('name')!r} {why}")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Faulted("Prometheus answered with rules that make no sense") from error
    return _Watchers(awake=awake, asleep=tuple(asleep))


def _looked_at(groups: Sequence[Mapping[str, Any]], now: datetime) -> Iterator[tuple[Mapping[str, Any], str]]:
    for group in groups:
        allowed = timedelta(seconds=float(group["interval"])) * _EVALUATIONS_OLD
        for rule in group["rules"]:
            if rule.get("type") != "alerting":
                continue
            age = now - datetime.fromisoformat(rule["lastEvaluation"]).astimezone(UTC)
            if rule.get("health") != "ok":
                yield rule, f"is {rule.get('health')}: {str(rule.get('lastError') or 'not evaluated yet')[:200]}"
            elif age > allowed:
                yield rule, f"was evaluated {age.total_seconds():.0f} s ago, at most {allowed.total_seconds():.0f} s"
            else:
                yield rule, ""
