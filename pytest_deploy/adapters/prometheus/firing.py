"""Alerts of the service that fire in Prometheus, by name, before a deploy."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pytest_deploy.adapters.prometheus.alerts import alert_problems
from pytest_deploy.adapters.prometheus.promql import Api, time_of
from pytest_deploy.domain.found import Attachment, Found
from pytest_deploy.errors import Faulted, GateBreach, Refused

__all__ = ["FiringAlerts"]

_NAMED = 5


class FiringAlerts:
    """A capability that says no while an alert with the service's label fires; pending ones do not fire.

    Rules that are not loaded, fail or are not evaluated can't fire: that is no "none".

    Args:
        service_label: its value is the service's name.
    """

    def __init__(self, api: Api, *, service_label: str) -> None:
        self._api = api
        self._label = service_label

    def __call__(self, subject: str) -> Found:
        """Return that none fires.

        Args:
            subject: ``service:NAME``.

        Raises:
            GateBreach: some do, with name, severity and age.
            Refused: no rule is at work that could fire.
            RemoteError: no answer, or none that makes sense.
        """
        service = subject.partition(":")[2] or subject
        groups = self._api.alerting_groups()
        try:
            rules = [rule for group in groups for rule in group["rules"] if rule.get("type") == "alerting"]
            alerts = [alert for rule in rules for alert in rule.get("alerts") or () if alert["state"] == "firing"]
            ours = [_line(alert) for alert in alerts if alert["labels"].get(self._label) == service]
        except (KeyError, TypeError, AttributeError) as error:
            raise Faulted("Prometheus answered with rules that make no sense") from error
        matcher = f'{self._label}="{service}"'
        if ours:
            more = f"\n  and {len(ours) - _NAMED} more" if len(ours) > _NAMED else ""
            raise GateBreach(
                f"{len(ours)} alerts with {matcher} fire in Prometheus; 0 may:\n  "
                + "\n  ".join(ours[:_NAMED])
                + more
                + "\n  next: mend what they tell of, and wait until they end",
                cause="alert firing",
                attachments=(Attachment("alerts that fire", "\n".join(ours)),),
            )
        problems = alert_problems(self._api, service, self._now())
        if problems:
            raise Refused(
                "no alert fires in Prometheus, but none could: " + "; ".join(problems),
                hint="mend the rules, or take prometheus out of incidents",
            )
        return Found(f"Prometheus: none of {len(rules)} alerting rules fires with {matcher}")

    def _now(self) -> datetime:
        """Return the server's own time."""
        result = self._api.ask("time()", None).get("result")
        try:
            return time_of(float(result[1]))  # type: ignore[index]  # what is no pair is an error here
        except (TypeError, ValueError, IndexError) as error:
            raise Faulted(f"Prometheus answered time() with {str(result)[:100]!r}") from error


def _line(alert: Mapping[str, Any]) -> str:
    labels, notes = alert["labels"], alert.get("annotations") or {}
    said = notes.get("summary") or notes.get("description") or notes.get("message") or ""
    severity = f" ({labels['severity']})" if labels.get("severity") else ""
    return f"{labels.get('alertname')}{severity}, since {alert.get('activeAt')}: {' '.join(str(said).split())[:200]}"
