"""An API server that holds one ConfigMap, with resource versions as the real one has them."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from copy import deepcopy
from datetime import timedelta
from typing import Any

from pytest_deploy.io.kube import Reply
from pytest_deploy.testing.clock import FakeClock


class Server:
    """One ConfigMap with resource versions.

    ``before`` and ``after`` are called around each write with its number; what they raise is its answer.
    """

    context = "prod"
    patience = timedelta(seconds=30)

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.object: dict[str, Any] | None = None
        self.version = 0
        self.writes = 0
        self.before: Callable[[int], None] = lambda _: None
        self.after: Callable[[int], None] = lambda _: None

    def read(self, path: str, query: object = None, *, accept: Collection[int] = ()) -> Reply:
        """GET."""
        if self.object is None:
            assert 404 in accept
            return Reply(status=404, body={})
        return Reply(status=200, body=deepcopy(self.object))

    def create(self, path: str, body: Mapping[str, Any], *, accept: Collection[int] = ()) -> Reply:
        """POST."""
        return self._write(body, accept, fits=lambda: self.object is None)

    def replace(self, path: str, body: Mapping[str, Any], *, accept: Collection[int] = ()) -> Reply:
        """PUT with a resource version."""
        return self._write(body, accept, fits=lambda: body["metadata"]["resourceVersion"] == str(self.version))

    def _write(self, body: Mapping[str, Any], accept: Collection[int], *, fits: Callable[[], bool]) -> Reply:
        self.writes += 1
        self.before(self.writes)
        if not fits():
            assert 409 in accept
            return Reply(status=409, body={})
        self.store(body)
        self.after(self.writes)
        return Reply(status=200, body=deepcopy(self.object or {}))

    def store(self, body: Mapping[str, Any]) -> None:
        """Keep it under a new version."""
        self.version += 1
        self.object = json.loads(json.dumps({**body, "metadata": {**body["metadata"], "resourceVersion": "x"}}))
        self.object["metadata"]["resourceVersion"] = str(self.version)  # type: ignore[index]  # just made

    def set(self, key: str, text: str) -> None:
        """Edit a key by hand."""
        assert self.object is not None
        self.store({**self.object, "data": {**self.object["data"], key: text}})
