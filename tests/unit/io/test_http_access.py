"""How a service lets us in, and that no text tells how."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from pytest_deploy.errors import ConfigError, DeployError, Faulted, Rejected, Unreachable
from pytest_deploy.io.access import basic, bearer
from pytest_deploy.io.http import Http
from pytest_deploy.testing.clock import FakeClock
from tests.unit.io.test_http import Handler, answers


def service(handler: Handler, **more: Any) -> Http:
    """Make a service that is shown something."""
    return Http(
        "https://metrics.example.com",
        service="Prometheus",
        clock=FakeClock(),
        timeout=timedelta(seconds=10),
        transport=httpx2.MockTransport(handler),
        **more,
    )


def test_a_question_by_post_is_a_read() -> None:
    """Its body is JSON, its parameters are escaped, and what may pass is tried again like a get."""
    seen = []
    left = answers(httpx2.Response(503), httpx2.Response(429), httpx2.Response(200, json={"a": 1}))

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return left(request)

    answer = service(handler).post("/query", {"data": [1, "x"]}, {"p": "a&b"})
    assert (answer.status, answer.body) == (200, {"a": 1})
    assert len(seen) == 3
    assert all(request.method == "POST" and request.url.params["p"] == "a&b" for request in seen)
    assert all(json.loads(request.content) == {"data": [1, "x"]} for request in seen)
    assert seen[0].headers["content-type"] == "application/json"
    accepted = service(answers(httpx2.Response(422, json=2))).post("/query", {}, accept=(422,))
    assert (accepted.status, accepted.body) == (422, 2)


def test_headers_are_sent() -> None:
    """With each request, beside our own."""
    seen = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers)
        return httpx2.Response(200, json=1)

    http = service(handler, headers={"Authorization": basic("me", "pässword"), "X-Scope-OrgID": "shop"})
    http.get("/x", {})
    http.post("/x", {})
    assert [(h["authorization"], h["x-scope-orgid"], h["accept"]) for h in seen] == [
        ("Basic bWU6cMOkc3N3b3Jk", "shop", "application/json")
    ] * 2


@pytest.mark.parametrize(
    ("status", "headers", "words"),
    [
        (401, {}, "no credentials were sent"),
        (401, {"Authorization": bearer("s3cret-token")}, "that were sent (Authorization) are wrong or have expired"),
        (403, {}, "a request without credentials is known, but may not read there"),
        (403, {"X-Key": "s3cret-token"}, "the account behind X-Key is known, but may not read there"),
        (404, {}, "check the address"),
    ],
)
def test_a_refusal_names_the_mend(status: int, headers: dict[str, str], words: str) -> None:
    """Other credentials, or more rights for the same ones; which were sent is named, never their values."""
    with pytest.raises(Rejected) as caught:
        service(answers(httpx2.Response(status, text="no")), headers=headers).get("/x", {})
    assert words in caught.value.hint
    assert "s3cret" not in str(caught.value)


BASIC = basic("me", "s3cret-token")


@pytest.mark.parametrize(
    ("value", "repeated"),
    [
        (bearer("s3cret-token"), "Bearer s3cret-token"),
        (bearer("s3cret-token"), "s3cret-token"),
        ("s3cret-token", "s3cret-token"),
        (BASIC, BASIC),
        (BASIC, BASIC.removeprefix("Basic ")),
        (BASIC, "me:s3cret-token"),
        (BASIC, "s3cret-token"),
    ],
)
@pytest.mark.parametrize(
    "answer",
    [
        lambda said: httpx2.Response(401, json={"error": said}),
        lambda said: httpx2.Response(403, text=said),
        lambda said: httpx2.Response(500, json={"message": said}),
        lambda said: httpx2.Response(200, text=said),
        lambda said: httpx2.Response(302, text=said),
    ],
)
def test_a_credential_that_is_repeated_is_hidden(
    value: str, repeated: str, answer: Callable[[str], httpx2.Response]
) -> None:
    """Raw, without its scheme, and decoded, whatever the answer is; nor does the object's own text hold one."""
    http = service(answers(answer(f"no <<{repeated}>>")), headers={"Authorization": value})
    with pytest.raises(DeployError) as caught:
        http.get("/x", {})
    assert "no <<***>>" in str(caught.value)
    assert "s3cret" not in str(caught.value) + repr(http)


def test_a_network_error_that_repeats_a_credential_hides_it() -> None:
    """Whoever words it."""

    def handler(_: httpx2.Request) -> httpx2.Response:
        raise httpx2.ProxyError("proxy says: s3cret-token is unknown")

    with pytest.raises(Unreachable, match=r"proxy says: \*\*\* is unknown"):
        service(handler, headers={"X-Key": "s3cret-token"}).get("/x", {})


@pytest.mark.parametrize(
    ("name", "value"), [("A", "s3cret\n"), ("A", ""), ("A", "s3crét"), ("A b", "s3cret"), ("", "s")]
)
def test_a_header_that_can_not_be_sent_is_a_wrong_setting(name: str, value: str) -> None:
    """It is told before anything is sent, without its value."""
    with pytest.raises(ConfigError, match="can't be sent") as caught:
        service(answers(httpx2.Response(200)), headers={name: value})
    assert "s3cr" not in str(caught.value)


def test_files_that_are_no_certificates_are_a_wrong_setting(tmp_path: Path) -> None:
    """A missing file and one that holds something else name the file; nothing is asked on the terminal."""
    odd = tmp_path / "odd.pem"
    odd.write_text("no certificate")
    missing = tmp_path / "missing.pem"
    for more in ({"ca_file": missing}, {"ca_file": odd}, {"client_cert": (str(missing), str(odd))}):
        with pytest.raises(ConfigError, match=r"(odd|missing)\.pem.*: (No such file|.+)"):
            service(answers(httpx2.Response(200)), **more).get("/x", {})


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate", "as ca_file"),
        ("[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] alert", "it wants a client certificate: set cert_file and key_file"),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number", "the right one of http and https"),
    ],
)
def test_tls_that_fails_is_no_matter_of_patience(said: str, words: str) -> None:
    """It is told at once, with the setting that mends it."""
    calls = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        calls.append(request)
        raise httpx2.ConnectError(said)

    with pytest.raises(Unreachable) as caught:
        service(handler).get("/x", {})
    assert words in caught.value.hint
    assert len(calls) == 1


def test_an_answer_that_is_no_json_is_a_fault_by_post_too() -> None:
    """The same door, the same errors."""
    with pytest.raises(Faulted, match="an HTML page"):
        service(answers(httpx2.Response(200, html="<html></html>"))).post("/x", {})
