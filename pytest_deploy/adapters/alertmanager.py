"""Alertmanager: alerts of the service that fire."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pytest_deploy.domain.found import Attachment, Found
from pytest_deploy.errors import Faulted, GateBreach
from pytest_deploy.io.http import Http

if TYPE_CHECKING:
    import httpx2

    from pytest_deploy.ports import Clock

__all__ = ["Alertmanager"]

_SUPPRESSED = "suppressed"
_STATES = {"unprocessed", "active", _SUPPRESSED}
_NOTHING: Mapping[str, str] = MappingProxyType({})
_NAMED = 5


class Alertmanager:
    """A capability that says no while an alert with the service's label fires.

    Silenced and inhibited ones are told and stop nothing: a person, or a rule, has spoken of them already. One that
    was not routed yet ("unprocessed") fires. All alerts are read, so that the answer says out of how many: one that
    holds none at all may be one that no Prometheus reaches, and is told as such.
    https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml

    Args:
        url: without ``/api/v2``.
        service_label: its value is the service's name.
        timeout: for one request, its retries included.
        headers: credentials and tenants.
        ca_file: as ``Http`` has it.
        transport: the network's place, for tests; None: the real one.
    """

    def __init__(
        self,
        url: str,
        *,
        service_label: str,
        timeout: timedelta,
        clock: Clock,
        headers: Mapping[str, str] = _NOTHING,
        ca_file: Path | None = None,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self._label = service_label
        self._http = Http(
            url,
            service="Alertmanager",
            clock=clock,
            timeout=timeout,
            headers=headers,
            ca_file=ca_file,
            transport=transport,
        )

    def __call__(self, subject: str) -> Found:
        """Return that none fires.

        Args:
            subject: ``service:NAME``.

        Raises:
            GateBreach: some do, with name, severity and age.
            RemoteError: no answer, or none that makes sense.
        """
        service = subject.partition(":")[2] or subject
        alerts = self._alerts()
        ours = [each for each in alerts if each["labels"].get(self._label) == service]
        firing = [each for each in ours if each["status"]["state"] != _SUPPRESSED]
        matcher = f'{self._label}="{service}"'
        if firing:
            lines = [_line(each) for each in firing]
            more = f"\n  and {len(lines) - _NAMED} more" if len(lines) > _NAMED else ""
            raise GateBreach(
                f"{len(firing)} alerts with {matcher} fire, as Alertmanager has it; 0 may:\n  "
                + "\n  ".join(lines[:_NAMED])
                + more
                + "\n  next: mend what they tell of; one that is known and harmless can be silenced there",
                cause="alert firing",
                attachments=(Attachment("alerts that fire", "\n".join(lines)),),
            )
        if not alerts:
            return Found("Alertmanager holds no alert, not even a watchdog's: whether it is sent any is not known")
        quiet = f", {len(ours)} silenced or inhibited: {'; '.join(map(_line, ours[:_NAMED]))}" if ours else ""
        return Found(f"Alertmanager: of {len(alerts)} alerts none with {matcher} fires{quiet}")

    def _alerts(self) -> list[Mapping[str, Any]]:
        body = self._http.get("/api/v2/alerts", {}).body
        if not isinstance(body, list):
            raise Faulted(
                f"Alertmanager answered with {type(body).__name__}, not with a list of alerts",
                hint="is incidents.alertmanager.url its address, without /api/v2?",
            )
        for each in body:
            status = each.get("status") if isinstance(each, dict) else None
            labels = each.get("labels") if isinstance(each, dict) else None
            if not isinstance(labels, dict) or not isinstance(status, dict) or status.get("state") not in _STATES:
                raise Faulted("Alertmanager answered with an alert without labels, or in a state that is not known")
        found: list[Any] = body
        return found


def _line(alert: Mapping[str, Any]) -> str:
    labels, notes = alert["labels"], alert.get("annotations") or {}
    said = notes.get("summary") or notes.get("description") or notes.get("message") or ""
    severity = f" ({labels['severity']})" if labels.get("severity") else ""
    return f"{labels.get('alertname')}{severity}, since {alert.get('startsAt')}: {' '.join(str(said).split())[:200]}"
