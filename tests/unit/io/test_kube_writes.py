"""Writes of whole objects: sent once, as what they are, and never with the rest of an old answer."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
import urllib3

from pytest_deploy.errors import DeployCancelled, DeployError, Faulted, Rejected, Throttled, Unreachable
from pytest_deploy.io.kube import Connection, Wire
from pytest_deploy.testing.clock import FakeClock


class Answered:
    """A response as urllib3 gives it; an exception instead of a body is raised while it is read."""

    def __init__(self, status: int, body: object) -> None:
        self.status = status
        self.headers: dict[str, str] = {}
        self.body = body
        self.ended = ""

    def read(self, limit: int) -> bytes:
        """Return the body."""
        if isinstance(self.body, BaseException):
            raise self.body
        return json.dumps(self.body).encode()

    def release_conn(self) -> None:
        """Note that the connection may be used again."""
        self.ended = "released"

    def close(self) -> None:
        """Note that it may not."""
        self.ended = "closed"


class Pool:
    """Gives one answer again and again."""

    def __init__(self, answer: Answered | Exception) -> None:
        self.answer = answer
        self.calls: list[tuple[str, str, Any]] = []

    def request(self, method: str, url: str, **rest: Any) -> Answered:
        """Answer, or fail."""
        self.calls.append((method, url, rest))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def connect(pool: Pool) -> Connection:
    """Connect to a server that is the pool."""
    wire = Wire(server="https://api.example.com", pool=pool, headers=dict)
    return Connection(lambda: wire, context="prod", clock=FakeClock(), patience=timedelta(seconds=30))


@pytest.mark.parametrize(("verb", "method"), [("create", "POST"), ("replace", "PUT")])
def test_a_whole_object_is_sent_as_json(verb: str, method: str) -> None:
    """The object is the body, and a conflict is an answer where it is expected."""
    pool = Pool(Answered(409, {"message": "changed"}))
    reply = getattr(connect(pool), verb)("/x", {"a": 1}, accept=(409,))
    assert reply.status == 409
    ((sent, url, rest),) = pool.calls
    assert (sent, url, json.loads(rest["body"])) == (method, "https://api.example.com/x", {"a": 1})
    assert rest["headers"]["content-type"] == "application/json"
    with pytest.raises(Rejected, match="409, changed"):
        getattr(connect(pool), verb)("/x", {"a": 1})


@pytest.mark.parametrize("verb", ["create", "replace"])
@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (Answered(429, {"message": "slow down"}), Throttled),
        (Answered(500, {"message": "etcd"}), Faulted),
        (Answered(200, [1]), Faulted),
        (urllib3.exceptions.ReadTimeoutError(None, "/x", "Read timed out."), Unreachable),  # type: ignore[arg-type]
    ],
)
def test_it_is_sent_once(verb: str, failure: Answered | Exception, error: type[DeployError]) -> None:
    """No write is repeated; where it may have been done, the hint is to look first."""
    pool = Pool(failure)
    with pytest.raises(error) as caught:
        getattr(connect(pool), verb)("/x", {})
    assert len(pool.calls) == 1
    assert error is Throttled or "look at the state" in caught.value.hint


def test_a_connection_with_half_an_answer_is_not_used_again() -> None:
    """A signal that ends the reading leaves no bytes for the request that takes the traffic back."""
    answer = Answered(200, DeployCancelled("SIGTERM"))
    with pytest.raises(DeployCancelled):
        connect(Pool(answer)).read("/x")
    assert answer.ended == "closed"
    whole = Answered(200, {})
    connect(Pool(whole)).read("/x")
    assert whole.ended == "released"
