"""PagerDuty: incidents that are open on the services that stand for ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pytest_deploy.domain.found import Attachment, Found
from pytest_deploy.errors import Faulted, GateBreach, Refused
from pytest_deploy.io.http import Http

if TYPE_CHECKING:
    import httpx2

    from pytest_deploy.ports import Clock

__all__ = ["PagerDuty"]

_PAGE, _MOST = 100, 10_000
"""The largest page, and how far paging reaches: https://developer.pagerduty.com/docs/pagination"""
_BURNING = {"warning", "critical"}
"""What a service's status says of open incidents: acknowledged, triggered."""
_NAMED = 5


class PagerDuty:
    """A capability that says no while an incident is triggered or acknowledged, however old or little urgent.

    Incidents have no tags, so they are looked for by the ids of services. An id that is not known would yield an empty
    list, and a disabled service opens no incident; so each service is read, too, and its status must agree with
    the list. https://developer.pagerduty.com/api-reference/9d0b4b12e36f9-list-incidents

    Args:
        token: REST API key; a read-only one is enough.
        service_ids: at least one.
        timeout: for one request, its retries included.
        transport: the network's place, for tests; None: the real one.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str,
        service_ids: Sequence[str],
        timeout: timedelta,
        clock: Clock,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self._ids = tuple(service_ids)
        self._http = Http(
            url,
            service="PagerDuty",
            clock=clock,
            timeout=timeout,
            headers={"Authorization": f"Token token={token}", "accept": "application/vnd.pagerduty+json;version=2"},
            transport=transport,
        )

    def __call__(self, subject: str) -> Found:
        """Return that none is open on the services.

        Args:
            subject: what the feature calls the service; not known to PagerDuty.

        Raises:
            GateBreach: some are, with their number, status, age and address.
            Refused: a service does not exist, or opens no incidents.
            RemoteError: no answer, or none that makes sense.
        """
        services = {service_id: self._service(service_id) for service_id in self._ids}
        found = self._open()
        names = ", ".join(f"{name} ({service_id})" for service_id, (name, _) in services.items())
        if found:
            lines = [_line(each) for each in found]
            more = f"\n  and {len(lines) - _NAMED} more" if len(lines) > _NAMED else ""
            raise GateBreach(
                f"{len(found)} open in PagerDuty on {names}, for {subject}; 0 may be:\n  "
                + "\n  ".join(lines[:_NAMED])
                + more
                + "\n  next: resolve them there, or wait until they are",
                cause="incident open",
                attachments=(Attachment("open PagerDuty incidents", "\n".join(lines)),),
            )
        burning = [name for name, status in services.values() if status in _BURNING]
        if burning:
            raise Faulted(
                f"PagerDuty lists no open incident, and shows {', '.join(burning)} as having some: it is of two minds",
                hint="look there, then ask again",
            )
        asleep = [name for name, status in services.values() if status == "maintenance"]
        note = f"; in maintenance, so that none would be opened: {', '.join(asleep)}" if asleep else ""
        return Found(f"PagerDuty: no open incident on {names}{note}")

    def _service(self, service_id: str) -> tuple[str, str]:
        """Return a service's name and status."""
        answer = self._http.get(f"/services/{service_id}", {}, accept=(404,))
        if answer.status == 404:
            raise Refused(
                f"PagerDuty has no service {service_id}, or this token may not see it: "
                '"no incident" would prove nothing',
                hint="correct incidents.pagerduty.service_ids: the id ends the service's address there",
            )
        service = _of(answer.body, "service", dict)
        name, status = str(service.get("name") or service.get("summary")), str(service.get("status"))
        if service.get("id") != service_id:
            raise Faulted(f"PagerDuty answered with service {service.get('id')!r} when asked for {service_id}")
        if status == "disabled":
            raise Refused(
                f"{name} ({service_id}) is disabled in PagerDuty: it opens no incidents, so that none proves nothing",
                hint="enable it there, or name the service that takes its alerts",
            )
        return name, status

    def _open(self) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        while len(found) < _MOST:
            answer = self._http.get(
                "/incidents",
                {
                    "service_ids[]": self._ids,
                    "statuses[]": ("triggered", "acknowledged"),
                    "date_range": "all",  # else only the last month's, and one may be open for longer
                    "sort_by": "created_at:desc",
                    "limit": str(_PAGE),
                    "offset": str(len(found)),
                },
            )
            page = _of(answer.body, "incidents", list)
            found += page
            if not _of(answer.body, "more", bool):
                return found
            if not page:
                raise Faulted("PagerDuty answered with an empty page, and says that more follow")
        return found


def _line(incident: Mapping[str, Any]) -> str:
    try:
        urgency = f", {incident['urgency']} urgency" if incident.get("urgency") else ""
        return (
            f"#{incident['incident_number']} {incident['status']}{urgency}, since {incident['created_at']}: "
            f"{' '.join(str(incident['title']).split())[:200]} {incident.get('html_url') or ''}".rstrip()
        )
    except (KeyError, TypeError) as error:
        raise Faulted(f"PagerDuty answered with an incident without {error}") from error


def _of(body: object, key: str, kind: type) -> Any:
    found = body.get(key) if isinstance(body, dict) else None
    if not isinstance(found, kind):
        raise Faulted(
            f"PagerDuty answered without {key!r}",
            hint="is incidents.pagerduty.url the API's address, without a path?",
        )
    return found
