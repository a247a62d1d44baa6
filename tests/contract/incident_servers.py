"""PagerDuty, Opsgenie and Alertmanager on this machine: they answer as their public references say, or badly on demand.

They refuse what the references don't know: a wrong scheme of credentials, a page that is too large, a parameter that
is no parameter. https://developer.pagerduty.com/api-reference/, https://docs.opsgenie.com/docs/alert-api and
https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml
"""

from __future__ import annotations

import json
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.contract.vendor_servers import Bad

TOKEN = "s3cret-incident-t0ken"  # noqa: S105 - it opens nothing but these servers

Query = Mapping[str, Sequence[str]]


@dataclass(kw_only=True)
class Server(ABC):
    """A service at ``url``; the answers in ``bad`` are given first, the last of them for ever where ``stuck``."""

    url: str = ""
    bad: list[Bad] = field(default_factory=list)
    stuck: bool = False
    asked: list[tuple[str, Query]] = field(default_factory=list)

    def answer(self, path: str, headers: Mapping[str, str]) -> Bad:
        """Return what is answered."""
        parts = urlsplit(path)
        query = parse_qs(parts.query, keep_blank_values=True)
        self.asked.append((parts.path, query))
        if self.bad:
            return self.bad[0] if self.stuck and len(self.bad) == 1 else self.bad.pop(0)
        return self.good(parts.path, query, headers)

    @abstractmethod
    def good(self, path: str, query: Query, headers: Mapping[str, str]) -> Bad:
        """Return what the reference says."""


@dataclass(kw_only=True)
class PagerDutyServer(Server):
    """Services by id, and incidents of all times."""

    services: dict[str, str] = field(default_factory=lambda: {"PIJ90N7": "active"})
    incidents: list[dict[str, Any]] = field(default_factory=list)

    def open(self, service: str = "PIJ90N7", status: str = "triggered", **more: Any) -> None:
        """Open an incident, as a monitor does; the service's status follows."""
        number = 1234 + len(self.incidents)
        self.incidents.append(
            {
                "id": f"PT{number}",
                "type": "incident",
                "incident_number": number,
                "title": "The server is on fire.",
                "created_at": "2026-11-24T09:30:42Z",
                "status": status,
                "urgency": "high",
                "html_url": f"https://acme.pagerduty.com/incidents/PT{number}",
                "service": {"id": service, "type": "service_reference"},
                **more,
            }
        )
        if status != "resolved":
            self.services[service] = "critical" if status == "triggered" else "warning"

    def good(self, path: str, query: Query, headers: Mapping[str, str]) -> Bad:
        """Return what the reference says."""
        if headers.get("authorization") != f"Token token={TOKEN}":
            return Bad(status=401, body=b"")
        assert headers["accept"] == "application/vnd.pagerduty+json;version=2"
        if path.startswith("/services/"):
            service_id = path.removeprefix("/services/")
            if service_id not in self.services:
                return Bad(status=404, body={"error": {"message": "Not Found", "code": 2100}})
            status = self.services[service_id]
            return Bad(body={"service": {"id": service_id, "name": "Checkout", "status": status, "type": "service"}})
        assert path == "/incidents"
        known = {
            "service_ids[]",
            "statuses[]",
            "date_range",
            "since",
            "until",
            "sort_by",
            "limit",
            "offset",
            "urgencies[]",
        }
        assert set(query) <= known, set(query) - known
        limit, offset = int(query.get("limit", ["25"])[0]), int(query.get("offset", ["0"])[0])
        if not 1 <= limit <= 100 or limit + offset > 10_000:
            return Bad(status=400, body={"error": {"message": "Invalid Input Provided", "code": 2001}})
        found = [
            each
            for each in self.incidents
            if each["service"]["id"] in query["service_ids[]"]
            and each["status"] in query.get("statuses[]", ["triggered", "acknowledged", "resolved"])
            and (query.get("date_range") == ["all"] or each["created_at"] > "2026-10-25")
        ]
        page = found[offset : offset + limit]
        more = len(found) > offset + limit
        return Bad(body={"incidents": page, "limit": limit, "offset": offset, "total": None, "more": more})


@dataclass(kw_only=True)
class OpsgenieServer(Server):
    """Alerts, open and closed."""

    alerts: list[dict[str, Any]] = field(default_factory=list)

    def open(self, *tags: str, **more: Any) -> None:
        """Open an alert, as an integration does."""
        number = len(self.alerts) + 1
        self.alerts.append(
            {
                "id": f"70413a06-{number}",
                "tinyId": str(number),
                "alias": f"event_{number}",
                "message": "Our servers are in danger",
                "status": "open",
                "acknowledged": False,
                "tags": list(tags),
                "priority": "P1",
                "createdAt": f"2026-11-24T09:{number // 60 % 60:02}:{number % 60:02}Z",
                **more,
            }
        )

    def good(self, path: str, query: Query, headers: Mapping[str, str]) -> Bad:
        """Return what the reference says."""
        if headers.get("authorization") != f"GenieKey {TOKEN}":
            return Bad(status=401, body={"message": "Could not authenticate", "took": 0.001, "requestId": "d90a5c3b"})
        assert path == "/v2/alerts"
        assert set(query) <= {"query", "sort", "order", "limit", "offset"}
        limit, offset = int(query.get("limit", ["20"])[0]), int(query.get("offset", ["0"])[0])
        if not 1 <= limit <= 100 or offset + limit > 20_000:
            return Bad(status=422, body={"message": "Request body is not processable. Please check the errors."})
        assert query["query"] == ["status: open"]
        found = [each for each in self.alerts if each["status"] == "open"]
        if query.get("order", ["desc"]) == ["desc"]:
            found.reverse()
        body: dict[str, Any] = {"data": found[offset : offset + limit], "took": 0.3, "requestId": "37daec35"}
        if len(found) > offset + limit:
            following = {"query": "status: open", "limit": limit, "offset": offset + limit}
            body["paging"] = {"next": f"https://api.opsgenie.com/v2/alerts?{urlencode(following)}"}
        return Bad(body=body)


@dataclass(kw_only=True)
class AlertmanagerServer(Server):
    """Alerts in any state."""

    alerts: list[dict[str, Any]] = field(default_factory=list)

    def fire(self, name: str, *, state: str = "active", **labels: str) -> None:
        """Let an alert fire, as Prometheus posts it."""
        self.alerts.append(
            {
                "labels": {"alertname": name, **labels},
                "annotations": {"summary": "5xx above 5 %"},
                "startsAt": "2026-11-24T09:30:00.000Z",
                "endsAt": "2026-11-24T10:00:00.000Z",
                "updatedAt": "2026-11-24T09:55:00.000Z",
                "fingerprint": "375eab7b59892505",
                "receivers": [{"name": "team"}],
                "status": {"state": state, "silencedBy": ["s1"] if state == "suppressed" else [], "inhibitedBy": []},
            }
        )

    def good(self, path: str, query: Query, headers: Mapping[str, str]) -> Bad:
        """Return what the reference says."""
        if headers.get("authorization") != f"Bearer {TOKEN}":
            return Bad(status=401, body=b"Unauthorized", headers={"content-type": "text/plain"})
        assert path == "/api/v2/alerts"
        assert set(query) <= {"active", "silenced", "inhibited", "unprocessed", "filter", "receiver"}
        return Bad(body=self.alerts)


@contextmanager
def serve(server: Server) -> Iterator[None]:
    """Let the server answer on a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            answer = server.answer(self.path, {k.lower(): v for k, v in self.headers.items()})
            time.sleep(answer.hang_s)
            raw = isinstance(answer.body, bytes)
            content = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            self.send_response_only(answer.status)
            headers = {"content-type": "text/html" if raw else "application/json", **answer.headers}
            for header, value in headers.items():
                self.send_header(header, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            try:
                self.wfile.write(content)
            except OSError:  # the client has gone, as it does when we hang
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{http.server_port}"
    try:
        yield
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
