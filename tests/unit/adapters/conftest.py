"""An API server that is a dictionary."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import pytest

from pytest_deploy.errors import Rejected
from pytest_deploy.io.kube import Reply, Wire


class FakeApi:
    """Answers reads from ``objects``, by path; patches and reviews from functions that a test sets."""

    server = "https://api.example.com"
    ca_sha256 = "ca"
    expires: datetime | None = None

    def __init__(self) -> None:
        self.objects: dict[str, Any] = {}
        self.asked: list[tuple[str, Any]] = []
        self.allowed: set[tuple[str, str, str]] = set()
        self.who: dict[str, Any] | None = None
        self.patch_reply = Reply(status=200, body={})
        self.logs: dict[bool, str] = {}

    def at(self, context: str, kubeconfig: object = None) -> FakeApi:
        """Every context leads here."""
        self.asked.append((context, kubeconfig))
        return self

    def read(self, path: str, query: Mapping[str, str] | None = None, *, accept: Collection[int] = ()) -> Reply:
        """Give the object; a list of them gives one after the other."""
        self.asked.append((path, query))
        found = self.objects.get(path, Reply(status=404, body={"message": "404 page not found"}))
        if isinstance(found, list):
            found = found.pop(0) if len(found) > 1 else found[0]
        reply = found if isinstance(found, Reply) else Reply(status=200, body=found)
        if reply.status >= 400 and reply.status not in accept:
            raise Rejected(reply.words)
        return reply

    def ask(self, path: str, body: Mapping[str, Any]) -> Reply:
        """Review an access."""
        if body["kind"] == "SelfSubjectReview":
            if self.who is None:
                raise Rejected("forbidden")
            return Reply(status=201, body={"status": {"userInfo": self.who}})
        attributes = body["spec"]["resourceAttributes"]
        self.asked.append((path, attributes))
        key = (attributes["verb"], attributes["resource"], attributes["subresource"])
        return Reply(status=201, body={"status": {"allowed": key in self.allowed}})

    def patch(self, path: str, document: Sequence[Any], *, accept: Collection[int] = ()) -> Reply:
        """Take a patch."""
        self.asked.append((path, document))
        return self.patch_reply

    def open_wire(self) -> Wire:
        """Lead to the logs."""
        return Wire(server=self.server, pool=_Logs(self.logs), headers=dict)


class _Logs:
    """Logs by whether they are of the run before; 404 where there is none."""

    def __init__(self, logs: Mapping[bool, str]) -> None:
        self._logs = logs

    def request(self, _method: str, url: str, **_: object) -> _Logs:
        """Answer with itself."""
        text = self._logs.get("previous=true" in url)
        self.status = 404 if text is None else 200
        self.data = b"no such container" if text is None else text.encode()
        return self

    def clear(self) -> None:
        """There is nothing to close."""


@pytest.fixture
def api() -> FakeApi:
    """An empty one."""
    return FakeApi()
