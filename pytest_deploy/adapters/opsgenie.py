"""Opsgenie: alerts that are open and carry the service's tag, or it as their alias."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pytest_deploy.domain.found import Attachment, Found
from pytest_deploy.errors import Faulted, GateBreach
from pytest_deploy.io.http import Http

if TYPE_CHECKING:
    import httpx2

    from pytest_deploy.ports import Clock

__all__ = ["Opsgenie"]

_PAGE, _MOST = 100, 20_000
"""The largest page, and how far paging reaches: https://docs.opsgenie.com/docs/alert-api#list-alerts"""
_NAMED = 5


class Opsgenie:
    """A capability that says no while an alert with the tag, or with it or the service's name as alias, is open.

    All open alerts are read and looked through here: the server's search takes words apart, and one tag that it
    misses would be taken for "none".

    Args:
        api_key: of an API integration with read access.
        timeout: for one request, its retries included.
        transport: the network's place, for tests; None: the real one.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str,
        timeout: timedelta,
        clock: Clock,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self._http = Http(
            url,
            service="Opsgenie",
            clock=clock,
            timeout=timeout,
            headers={"Authorization": f"GenieKey {api_key}"},
            transport=transport,
        )

    def __call__(self, subject: str) -> Found:
        """Return that no open alert is the service's.

        Args:
            subject: the tag, ``service:NAME``; in capitals or not.

        Raises:
            GateBreach: some are, with number, priority, age and message.
            RemoteError: no answer, or none that makes sense.
        """
        alerts = self._open()
        wanted = subject.casefold()
        aliases = {wanted, wanted.partition(":")[2]} - {""}
        found = [
            each
            for each in alerts
            if wanted in {str(tag).casefold() for tag in each["tags"]} or str(each.get("alias")).casefold() in aliases
        ]
        if not found:
            return Found(f"Opsgenie: none of {len(alerts)} open alerts is tagged {subject}, or has it as its alias")
        lines = [_line(each) for each in found]
        more = f"\n  and {len(lines) - _NAMED} more" if len(lines) > _NAMED else ""
        raise GateBreach(
            f"{len(found)} open in Opsgenie, tagged {subject} or with it as alias; 0 may be:\n  "
            + "\n  ".join(lines[:_NAMED])
            + more
            + "\n  next: close them there, or wait until they are",
            cause="incident open",
            attachments=(Attachment("open Opsgenie alerts", "\n".join(lines)),),
        )

    def _open(self) -> list[Mapping[str, Any]]:
        found: dict[str, Mapping[str, Any]] = {}
        offset = 0
        while True:
            # The oldest first: what is opened meanwhile stands at the end, and moves none between two pages.
            params = {
                "query": "status: open",
                "sort": "createdAt",
                "order": "asc",
                "limit": str(_PAGE),
                "offset": str(offset),
            }
            body = self._http.get("/v2/alerts", params).body
            page = body.get("data") if isinstance(body, dict) else None
            if not isinstance(page, list):
                raise Faulted(
                    "Opsgenie answered without a list of alerts",
                    hint="is incidents.opsgenie.url the API's address, without a path?",
                )
            for each in page:
                if not isinstance(each, dict) or not isinstance(each.get("tags"), list) or "id" not in each:
                    raise Faulted("Opsgenie answered with an alert without an id or tags")
                if each.get("status", "open") == "open":
                    found[str(each["id"])] = each
            offset += len(page)
            if len(page) < _PAGE:
                return list(found.values())
            if offset + _PAGE > _MOST:
                raise Faulted(
                    f"Opsgenie has more than {offset} open alerts, and shows no further ones",
                    hint="close what is over; or let the key belong to the team's integration alone",
                )


def _line(alert: Mapping[str, Any]) -> str:
    seen = "acknowledged" if alert.get("acknowledged") else "not acknowledged"
    message = " ".join(str(alert.get("message")).split())[:200]
    return f"#{alert.get('tinyId')} {alert.get('priority')}, {seen}, since {alert.get('createdAt')}: {message}"
