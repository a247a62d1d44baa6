"""An API server that is a dictionary, reached over a real connection: resource versions, JSON Patch, its own time."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

from pytest_deploy.errors import Rejected
from pytest_deploy.io.kube import Connection, Wire
from pytest_deploy.rehearsal.jsonpatch import patched
from pytest_deploy.testing.clock import FakeClock

__all__ = ["ApiServer"]


class _Answered:
    def __init__(self, status: int, body: object, date: str) -> None:
        self.status = status
        self.headers = {"date": date}
        self._data = json.dumps(body).encode()

    def read(self, limit: int) -> bytes:
        return self._data[:limit]

    def release_conn(self) -> None:
        """There is none."""


class ApiServer:
    """Objects by path.

    ``before`` and ``after`` are called around each request with its method and path; what they raise is its answer.

    Args:
        ahead: of the clock of whoever asks.
    """

    def __init__(self, clock: FakeClock, *, ahead: timedelta = timedelta()) -> None:
        self.clock = clock
        self.ahead = ahead
        self.objects: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, str]] = []
        self.before: Callable[[str, str], None] = lambda _method, _path: None
        self.after: Callable[[str, str], None] = lambda _method, _path: None
        self._version = 0

    def connect(self) -> Connection:
        """Return a new connection."""
        wire = Wire(server="https://api.example.com", pool=self, headers=dict)
        return Connection(lambda: wire, context="prod", clock=self.clock, patience=timedelta(seconds=30))

    def put(self, path: str, item: dict[str, Any]) -> None:
        """Store an object under a new version."""
        self._version += 1
        made: dict[str, Any] = json.loads(json.dumps(item))
        made.setdefault("metadata", {})["resourceVersion"] = str(self._version)
        self.objects[path] = made

    def request(self, method: str, url: str, *, body: bytes | None, **_: Any) -> _Answered:
        """Answer."""
        path = url.removeprefix("https://api.example.com")
        self.asked.append((method, path))
        self.before(method, path)
        status = self._act(method, path, json.loads(body) if body else None)
        self.after(method, path)
        date = format_datetime((self.clock.now() + self.ahead).replace(microsecond=0), usegmt=True)
        found = self.objects.get(path) or {}
        return _Answered(status, found if status < 300 else {"message": f"{method} {path}"}, date)

    def _act(self, method: str, path: str, body: Any) -> int:
        if method == "POST":
            path = f"{path}/{body['metadata']['name']}"
            if path in self.objects:
                return 409
            self.put(path, body)
            self.objects[path.rpartition("/")[0]] = self.objects[path]  # what a POST answers
            return 201
        found = self.objects.get(path)
        if found is None:
            return 404
        if method == "PUT":
            if body["metadata"]["resourceVersion"] != found["metadata"]["resourceVersion"]:
                return 409
            self.put(path, body)
        elif method == "PATCH":
            try:
                self.put(path, patched(found, body, what=path))
            except Rejected:
                return 422
        return 200
