"""The smoke test against a real server, and with real scripts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from pytest_deploy.adapters.smoke import Smoke
from pytest_deploy.domain.smoke import HttpCheck
from pytest_deploy.errors import GateBreach, Refused, ToolMissing
from pytest_deploy.testing.clock import FakeClock

pytestmark = pytest.mark.enable_socket

DIGEST = "sha256:" + "b" * 64
Reply = tuple[int, Mapping[str, str], bytes]


class Service:
    """A service that answers each request with the next reply, and goes on with the last one."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.asked: list[str] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                service.asked.append(self.path)
                status, headers, body = service.replies.pop(0) if len(service.replies) > 1 else service.replies[0]
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its base names it so
                del format, args

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def subject(self) -> str:
        """As the step gives it."""
        return f"http://127.0.0.1:{self.server.server_port} registry.example.com/api@{DIGEST}"


@pytest.fixture
def service() -> Iterator[Service]:
    """A server that ends with the test."""
    made = Service()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def smoke(tmp_path: Path) -> Callable[..., Smoke]:
    """Make a smoke test in a folder of its own, whose waiting takes no time."""

    def make(*http: HttpCheck, script: str | None = None, within_s: float = 10, **options: object) -> Smoke:
        return Smoke(
            tmp_path,
            script=script,
            http=http,
            clock=FakeClock(),
            within=timedelta(seconds=within_s),
            **options,  # type: ignore[arg-type] - the caller's
        )

    return make


def script(folder: Path, body: str) -> str:
    """Write a script and return its path as a feature's author would."""
    path = folder / "smoke.sh"
    path.write_text(f"#!/bin/sh\n{body}\n", "utf-8")
    path.chmod(0o755)
    return "./smoke.sh"


def test_a_healthy_service_passes(service: Service, smoke: Callable[..., Smoke]) -> None:
    """Status, a JSON field and the version header of the deployed digest are read from one answer."""
    service.replies = [(200, {"X-Version": DIGEST}, json.dumps({"status": "ok"}).encode())]
    check = HttpCheck(path="/healthz?x=1", json_fields={"status": "ok"}, headers={"X-Version": "{digest}"})
    found = smoke(check)(service.subject)
    assert service.asked == ["/healthz?x=1"]
    assert found.words.startswith("GET /healthz?x=1: 200 after ")
    assert found.words.endswith("status, X-Version as expected")


def test_it_is_tried_again_until_it_passes(service: Service, smoke: Callable[..., Smoke]) -> None:
    """A service that warms up (503, then the old version) passes once it answers well."""
    old = (200, {"X-Version": "sha256:old"}, b"")
    service.replies = [(503, {}, b"warming up"), old, (200, {"X-Version": DIGEST}, b"")]
    assert smoke(HttpCheck(path="/", headers={"X-Version": "{digest}"}))(service.subject).words
    assert len(service.asked) == 3


def test_what_passed_is_not_asked_again(service: Service, smoke: Callable[..., Smoke]) -> None:
    """Only what failed is tried again."""
    service.replies = [(200, {}, b""), (500, {}, b""), (200, {}, b"")]
    smoke(HttpCheck(path="/a"), HttpCheck(path="/b"))(service.subject)
    assert service.asked == ["/a", "/b", "/b"]


def test_when_the_time_is_over_the_last_answer_is_told(service: Service, smoke: Callable[..., Smoke]) -> None:
    """A service that never gets well is a breach that names the check and what was seen."""
    service.replies = [(500, {}, b"no database")]
    with pytest.raises(GateBreach, match=r"fails after 10 s of 10 s: GET /: 500 .*: status 500, expected 200") as seen:
        smoke(HttpCheck(path="/"))(service.subject)
    assert seen.value.cause == "smoke"
    assert len(service.asked) == 6


def test_a_redirect_is_an_answer_and_not_followed(service: Service, smoke: Callable[..., Smoke]) -> None:
    """A login page behind a redirect is no healthy service."""
    service.replies = [(302, {"Location": "/login"}, b"")]
    with pytest.raises(GateBreach, match="status 302, expected 200"):
        smoke(HttpCheck(path="/"))(service.subject)
    assert set(service.asked) == {"/"}


def test_a_service_that_does_not_answer_is_a_breach(service: Service, smoke: Callable[..., Smoke]) -> None:
    """Nothing listens: said as such, never passed."""
    subject = service.subject
    service.server.shutdown()
    service.server.server_close()
    with pytest.raises(GateBreach, match=r"GET /: smoke .*Connect"):
        smoke(HttpCheck(path="/"), within_s=4)(subject)


def test_a_script_gets_the_address_alone(
    smoke: Callable[..., Smoke], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0 is healthy; it sees the variables that it was promised, and no deploy token."""
    monkeypatch.setenv("SMOKE_TOKEN", "known")
    monkeypatch.setenv("DEPLOY_TOKEN", "hidden")
    path = script(tmp_path, 'test "$#" = 1 && test "$SMOKE_TOKEN" = known && test -z "$DEPLOY_TOKEN"')
    found = smoke(script=path, inherit=("SMOKE_TOKEN",))(f"https://x.example.com r@{DIGEST}")
    assert found.words == "./smoke.sh https://x.example.com ended with 0"


def test_a_script_that_fails_is_run_again_and_its_log_kept(smoke: Callable[..., Smoke], tmp_path: Path) -> None:
    """Its last words are told, all of them are attached."""
    path = script(
        tmp_path, f'echo run >> {tmp_path}/runs; i=0; while [ $i -lt 9 ]; do echo "line $i"; i=$((i+1)); done; exit 3'
    )
    with pytest.raises(GateBreach, match=r"ended with 3: line 4\nline 5") as seen:
        smoke(script=path, within_s=5)(f"https://x.example.com r@{DIGEST}")
    assert "line 0" in seen.value.attachments[0].text
    assert (tmp_path / "runs").read_text("utf-8").count("run") == 3


def test_a_script_that_hangs_is_ended(smoke: Callable[..., Smoke], tmp_path: Path) -> None:
    """It is no pass."""
    path = script(tmp_path, "echo begun; sleep 60")
    with pytest.raises(GateBreach, match=r"not ended after 0\.5 s; its last words: begun"):
        smoke(script=path, within_s=0, timeout=timedelta(seconds=0.5))(f"https://x.example.com r@{DIGEST}")


def test_a_script_that_is_not_there_is_said_at_once(smoke: Callable[..., Smoke]) -> None:
    """It is not tried for two minutes."""
    with pytest.raises(ToolMissing, match=r"smoke\.sh"):
        smoke(script="./smoke.sh")(f"https://x.example.com r@{DIGEST}")


@pytest.mark.parametrize(
    ("checks", "subject", "said"),
    [
        ([HttpCheck(path="/")], f"staging r@{DIGEST}", "environments.staging in deploy.yaml has no base_url"),
        ([], f"https://x.example.com r@{DIGEST}", "nothing to check"),
    ],
)
def test_without_an_address_or_a_check_it_is_refused(
    smoke: Callable[..., Smoke], checks: list[HttpCheck], subject: str, said: str
) -> None:
    """Nothing to ask is never a pass."""
    with pytest.raises(Refused, match=said):
        smoke(*checks)(subject)
