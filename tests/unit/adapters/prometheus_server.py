"""A Prometheus at the adapter's transport seam, which answers queries by their text."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2

from pytest_deploy.adapters.prometheus import Prometheus
from pytest_deploy.domain.measurement import Objective, Subject
from pytest_deploy.testing.clock import FakeClock

NOW_S = 1_800_000_300.25
NOW = datetime.fromtimestamp(NOW_S, UTC)
SERVICE = Subject(service="svc")


class Server:
    """Answers queries by their text; what is not known has no series."""

    def __init__(self, **more: Any) -> None:
        self.vectors: dict[str, list[tuple[dict[str, str], str]]] = {}
        self.histograms: dict[str, dict[str, Any]] = {}
        self.groups: Any = []
        self.scalars: dict[str, str] = {}
        self.extra: dict[str, Any] = {}
        self.answer: Callable[[], httpx2.Response] | None = None
        self.asked: list[httpx2.QueryParams] = []
        self.requests: list[httpx2.Request] = []
        self.port = Prometheus(
            "https://prom.example.com",
            scrape_interval=timedelta(seconds=15),
            timeout=timedelta(seconds=10),
            clock=FakeClock(),
            transport=httpx2.MockTransport(self._handle),
            **more,
        )

    def has(self, query: str, value: float | str, **labels: str) -> None:
        """Give a query one more series."""
        self.vectors.setdefault(query, []).append((labels, str(value)))

    def _handle(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        if self.answer is not None:
            return self.answer()
        if request.url.path == "/api/v1/rules":
            assert request.url.params["type"] == "alert"
            return (
                httpx2.Response(404, text="no") if self.groups == "hidden" else self._success({"groups": self.groups})
            )
        assert request.url.path == "/api/v1/query"
        self.asked.append(request.url.params)
        query = request.url.params["query"]
        if query == "time()":
            return self._success({"resultType": "scalar", "result": [NOW_S, str(NOW_S)]})
        if query in self.scalars:
            return self._success({"resultType": "scalar", "result": [NOW_S, self.scalars[query]]})
        result = [{"metric": labels, "value": [NOW_S, value]} for labels, value in self.vectors.get(query, [])]
        if query in self.histograms:
            result.append({"metric": {}, "histogram": [NOW_S, self.histograms[query]]})
        return self._success({"resultType": "vector", "result": result})

    def _success(self, data: Any) -> httpx2.Response:
        return httpx2.Response(200, json={"status": "success", "data": data, **self.extra})

    def read(self, objective: Objective, *, seconds: float = 300, subject: Subject = SERVICE) -> Any:
        """Read the last seconds."""
        return self.port.read(objective, subject, NOW - timedelta(seconds=seconds))
