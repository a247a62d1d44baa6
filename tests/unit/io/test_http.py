"""The door to HTTP services, at its transport seam."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import httpx2
import pytest

from pytest_deploy.errors import Faulted, Rejected, RemoteError, Throttled, Unreachable
from pytest_deploy.io.http import Http
from pytest_deploy.testing.clock import FakeClock

Handler = Callable[[httpx2.Request], httpx2.Response]


def service(handler: Handler, clock: FakeClock | None = None) -> Http:
    """Make a service whose network is the handler."""
    return Http(
        "https://metrics.example.com:8443/base/",
        service="Prometheus",
        clock=clock or FakeClock(),
        timeout=timedelta(seconds=10),
        transport=httpx2.MockTransport(handler),
    )


def answers(*responses: httpx2.Response) -> Handler:
    """Answer with one response after the other, the last one for ever."""
    left = list(responses)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


def test_an_answer_is_parsed() -> None:
    """The path is put after the base address, the parameters are escaped, the body is parsed."""
    seen = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, json={"a": [1]})

    answer = service(handler).get("/api", {"query": 'up{a="b&c"}'})
    assert (answer.status, answer.body) == (200, {"a": [1]})
    assert seen[0].url.path == "/base/api"
    assert seen[0].url.params["query"] == 'up{a="b&c"}'
    assert seen[0].method == "GET"


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429])
def test_what_may_pass_is_tried_again(status: int) -> None:
    """5xx and 429 are asked again; the answer that comes then is the answer."""
    handler = answers(httpx2.Response(status, text="busy"), httpx2.Response(200, json=1))
    assert service(handler).get("/x", {}).body == 1


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (httpx2.Response(503, json={"error": "query timed out"}), Faulted),
        (httpx2.Response(429, text="slow down"), Throttled),
        (httpx2.Response(401, text="who are you"), Rejected),
        (httpx2.Response(404, text="not here"), Rejected),
        (httpx2.Response(302, headers={"location": "https://login.example.com/?token=s3cret"}), Faulted),
        (httpx2.Response(200, html="<html><b>Sign in</b></html>"), Faulted),
        (httpx2.Response(200, text=""), Faulted),
        (httpx2.Response(200, text="x" * (9 << 20)), Faulted),
    ],
)
def test_every_other_answer_has_its_error(response: httpx2.Response, error: type[RemoteError]) -> None:
    """Each kind of answer that is none has its type; no page, token, header or query gets into its text."""
    with pytest.raises(error) as caught:
        service(lambda _: response).get("/x", {"query": "s3cret"})
    text = str(caught.value)
    assert "Prometheus (https://metrics.example.com:8443)" in text
    assert "s3cret" not in text
    assert "Sign in" not in text
    assert len(text) < 700


def test_patience_has_an_end() -> None:
    """A service that is down for good is an error within the time for one call."""
    clock = FakeClock()
    with pytest.raises(Faulted, match="503"):
        service(answers(httpx2.Response(503, text="down")), clock).get("/x", {})
    assert 5 < clock.monotonic() <= 10


def test_retry_after_is_honoured() -> None:
    """Seconds and dates are both waited for, and no longer than our patience."""
    retry, reset = "retry-after", "x-ratelimit-reset"
    for name, header, waited in ((retry, "7", 7), (retry, "Tue, 24 Nov 2026 00:00:06 GMT", 6), (reset, "5", 5)):
        clock = FakeClock()
        handler = answers(httpx2.Response(429, headers={name: header}), httpx2.Response(200, json=1))
        service(handler, clock).get("/x", {})
        assert clock.monotonic() == pytest.approx(waited, abs=0.01)
    clock = FakeClock()
    with pytest.raises(Throttled):
        service(answers(httpx2.Response(429, headers={"retry-after": "3600"})), clock).get("/x", {})
    assert clock.monotonic() == 0


@pytest.mark.parametrize(
    "failure", [httpx2.ConnectError, httpx2.ReadTimeout, httpx2.RemoteProtocolError, httpx2.ReadError]
)
def test_no_answer_is_unreachable(failure: type[httpx2.TransportError]) -> None:
    """A network that fails is tried again, and is Unreachable in the end."""
    calls = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        calls.append(request)
        raise failure("nobody there")

    with pytest.raises(Unreachable, match="does not answer"):
        service(handler).get("/x", {"query": "s3cret"})
    assert len(calls) > 2


def test_a_body_that_drips_is_cut_off() -> None:
    """An answer that begins and does not end is given up at the deadline, however steadily it drips."""
    clock = FakeClock()

    def drip() -> Iterator[bytes]:
        while True:
            clock.sleep(timedelta(seconds=3))
            yield b" "

    with pytest.raises(Unreachable, match="did not end in time"):
        service(lambda _: httpx2.Response(200, content=drip()), clock).get("/x", {})
    assert clock.monotonic() <= 15


def test_a_status_that_is_an_answer_is_returned() -> None:
    """A status that the caller accepts comes back with its JSON."""
    answer = service(lambda _: httpx2.Response(400, json={"error": "bad"})).get("/x", {}, accept=(400,))
    assert (answer.status, answer.body) == (400, {"error": "bad"})
