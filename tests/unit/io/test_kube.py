"""The door to API servers, with urllib3's pool replaced."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml

from pytest_deploy.errors import DeployError, Faulted, Refused, Rejected, RemoteError, Throttled, Unreachable
from pytest_deploy.io.kube import Connection, KubeApi, Wire
from pytest_deploy.io.process import run
from pytest_deploy.testing.clock import FakeClock

TOKEN = "t0ken-that-nobody-may-see"  # noqa: S105 - a planted one


class Answered:
    """A response as urllib3 gives it when nothing is preloaded."""

    def __init__(self, status: int, body: object, date: str | None = None) -> None:
        self.status = status
        self.headers = {} if date is None else {"date": date}
        self._data = body if isinstance(body, bytes) else json.dumps(body).encode()

    def read(self, limit: int) -> bytes:
        """Return the body."""
        return self._data[:limit]

    def release_conn(self) -> None:
        """There is none."""


class Pool:
    """Answers in order, the last one for ever; an exception is raised."""

    def __init__(self, *answers: Answered | Exception) -> None:
        self.answers = list(answers)
        self.calls: list[tuple[str, str, dict[str, Any]]] = []

    def request(self, method: str, url: str, **rest: Any) -> Answered:
        """Answer, or fail."""
        self.calls.append((method, url, rest))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def connect(pool: Pool, clock: FakeClock | None = None, opened: Callable[[], None] = lambda: None) -> Connection:
    """Connect to a server that is the pool."""

    def wire() -> Wire:
        opened()
        return Wire(server="https://api.example.com", pool=pool, headers=lambda: {"authorization": f"Bearer {TOKEN}"})

    return Connection(wire, context="prod", clock=clock or FakeClock(), patience=timedelta(seconds=30))


def kubeconfig(folder: Path, *contexts: str, server: str = "https://127.0.0.1:1") -> Path:
    """Write a kubeconfig with these contexts."""
    path = folder / "config"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": TOKEN}}],
        "contexts": [{"name": name, "context": {"cluster": "c", "user": "u"}} for name in contexts],
    }
    path.write_text(yaml.safe_dump(document))
    return path


def test_a_read_is_a_get_with_the_credentials() -> None:
    """Path and query are put together, the answer is parsed."""
    pool = Pool(Answered(200, {"kind": "List"}))
    reply = connect(pool).read("/api/v1/pods", {"labelSelector": "a=b,c in (d)"})
    assert reply.body == {"kind": "List"}
    method, url, rest = pool.calls[0]
    assert (method, url) == ("GET", "https://api.example.com/api/v1/pods?labelSelector=a%3Db%2Cc+in+%28d%29")
    assert rest["headers"]["authorization"] == f"Bearer {TOKEN}"
    assert rest["retries"] is False
    assert rest["timeout"].read_timeout == 10


@pytest.mark.parametrize(
    "failure",
    [
        Answered(429, {"message": "slow down"}),
        Answered(503, {"message": "no leader"}),
        urllib3.exceptions.ProtocolError("Connection aborted."),
        urllib3.exceptions.ReadTimeoutError(None, "/x", "Read timed out."),
    ],
)
def test_a_read_is_tried_again(failure: Answered | Exception) -> None:
    """What may pass is asked again."""
    pool = Pool(failure, failure, Answered(200, {"a": 1}))
    assert connect(pool).read("/x").body == {"a": 1}
    assert len(pool.calls) == 3


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (Answered(429, {"message": "slow down"}), Throttled),
        (Answered(500, {"message": "etcd"}), Faulted),
        (Answered(504, b"<html>gateway</html>"), Faulted),
        (urllib3.exceptions.ProtocolError("Connection aborted."), Unreachable),
        (urllib3.exceptions.ReadTimeoutError(None, "/x", "Read timed out."), Unreachable),
    ],
)
def test_a_write_is_sent_once(failure: Answered | Exception, error: type[RemoteError]) -> None:
    """No write is repeated; where it may have been done, the hint is to look first."""
    pool = Pool(failure, Answered(200, {}))
    with pytest.raises(error) as caught:
        connect(pool).patch("/x", [])
    assert len(pool.calls) == 1
    assert error is Throttled or "look at the state" in caught.value.hint


def test_a_write_that_was_never_sent_says_so() -> None:
    """Where no connection was made there is nothing to look at: the hint is the way to the server."""
    pool = Pool(urllib3.exceptions.NewConnectionError(None, "Connection refused"))  # type: ignore[arg-type]
    with pytest.raises(Unreachable) as caught:
        connect(pool).patch("/x", [])
    assert caught.value.hint == "see that https://api.example.com can be reached from here"


def test_a_patch_is_json_patch() -> None:
    """The document goes out as it is, with RFC 6902's media type."""
    pool = Pool(Answered(200, {}))
    connect(pool).patch("/x", [{"op": "test", "path": "/a", "value": 1}])
    method, _, rest = pool.calls[0]
    assert method == "PATCH"
    assert rest["headers"]["content-type"] == "application/json-patch+json"
    assert json.loads(rest["body"]) == [{"op": "test", "path": "/a", "value": 1}]


def test_an_expired_token_is_renewed_once() -> None:
    """A 401 on a connection that worked makes it anew from the kubeconfig; a second 401 is the answer."""
    opened: list[int] = []
    pool = Pool(Answered(200, {}), Answered(401, {"message": "Unauthorized"}), Answered(200, {"a": 1}))
    connection = connect(pool, opened=lambda: opened.append(1))
    connection.read("/x")
    assert connection.read("/x").body == {"a": 1}
    assert len(opened) == 2
    refused = Pool(Answered(401, {"message": "Unauthorized"}))
    with pytest.raises(Rejected) as caught:
        connect(refused).read("/x")
    assert caught.value.hint == "renew the credentials of context prod"
    assert len(refused.calls) == 1


def test_a_refusal_holds_the_servers_words() -> None:
    """Message and causes of the Status are in the error, bounded; no header and no query is."""
    status = {"message": "no " * 400, "details": {"causes": [{"message": "x"}]}}
    with pytest.raises(Rejected) as caught:
        connect(Pool(Answered(403, status))).read("/api", {"secret": "hidden"})
    text = str(caught.value)
    assert text.startswith("API server of prod: GET /api: 403, no no")
    assert "hidden" not in text
    assert TOKEN not in text
    assert len(text) < 700
    short = {"message": "the server rejected our request", "details": {"causes": [{"message": "testing /a failed"}]}}
    with pytest.raises(Rejected, match="rejected our request; testing /a failed"):
        connect(Pool(Answered(422, short))).patch("/x", [])


@pytest.mark.parametrize("body", [b"<html>login</html>", b"", b"[1]"])
def test_an_answer_that_is_no_object_is_a_fault(body: bytes) -> None:
    """A proxy's page with status 200 is no answer."""
    with pytest.raises(Faulted, match="no JSON object"):
        connect(Pool(Answered(200, body))).read("/x")


def _urllib3_errors() -> list[type[Exception]]:
    found = [cls for _, cls in inspect.getmembers(urllib3.exceptions, inspect.isclass)]
    return [cls for cls in found if issubclass(cls, urllib3.exceptions.HTTPError)]


@pytest.mark.parametrize("kind", _urllib3_errors(), ids=lambda kind: kind.__name__)
def test_every_error_of_the_connection_is_translated(kind: type[Exception]) -> None:
    """Each class of urllib3's errors becomes Unreachable, and none leaks its text's memory addresses."""
    text = "<urllib3.connection.HTTPSConnection object at 0x7f>: Failed to resolve (Caused by X)"
    error = kind.__new__(kind)
    Exception.__init__(error, text)
    # Two of them make up their text themselves, from what their constructors were given.
    vars(error).update(partial=1, expected=2, length=b"x", response=text)
    with pytest.raises(Unreachable) as caught:
        connect(Pool(error)).read("/x")
    assert "0x7f" not in str(caught.value)
    assert caught.value.__cause__ is error


def test_every_error_of_the_client_is_translated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the client raises while it reads credentials becomes Refused, with the context's name."""
    from kubernetes import config
    from kubernetes.client import exceptions
    from kubernetes.config.config_exception import ConfigException

    kinds = [cls for _, cls in inspect.getmembers(exceptions, inspect.isclass)]
    assert exceptions.ApiException in kinds
    path = kubeconfig(tmp_path, "prod")
    for kind in [*kinds, ConfigException, KeyError, OSError, ValueError, TypeError]:
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            continue

        def fail(kind: type[Exception] = kind, **_: object) -> None:
            raise kind("broken")

        monkeypatch.setattr(config, "load_kube_config", fail)
        with pytest.raises(DeployError, match="prod") as caught:
            KubeApi(clock=FakeClock()).at("prod", path).read("/x")
        assert isinstance(caught.value, Refused)


def test_no_kubeconfig_is_told_before_the_client_is_imported(tmp_path: Path) -> None:
    """Where there is no kubeconfig the places that were looked at are named."""
    api = KubeApi(clock=FakeClock(), environ={"HOME": str(tmp_path)})
    with pytest.raises(Refused, match=r"no kubeconfig: .*\.kube/config does not exist") as caught:
        api.at("prod")
    assert "--rehearse" in caught.value.hint
    two = f"{tmp_path}/a:{tmp_path}/b"
    with pytest.raises(Refused, match=r"/a, .*/b does not exist"):
        KubeApi(clock=FakeClock(), environ={"KUBECONFIG": two}).at("prod")


def test_a_wrong_context_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    """The names that would be right are in the message; all files of KUBECONFIG count."""
    first = kubeconfig(tmp_path, "staging", "acme")
    (tmp_path / "more").mkdir()
    second = kubeconfig(tmp_path / "more", "other")
    api = KubeApi(clock=FakeClock(), environ={"KUBECONFIG": f"{first}:{second}"})
    with pytest.raises(Refused, match=r"no kube context 'prod' in .*: known are acme, other, staging"):
        api.at("prod")
    assert api.at("other") is api.at("other")


@pytest.mark.parametrize("text", ["{", "- 1", "contexts: 3", "", "contexts: [{name: 1}]"])
def test_a_broken_kubeconfig_is_refused(tmp_path: Path, text: str) -> None:
    """A file that is no kubeconfig is refused, whatever is in it."""
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(Refused):
        KubeApi(clock=FakeClock()).at("prod", path)


def test_the_real_client_is_made_from_the_kubeconfig(tmp_path: Path) -> None:
    """Server and token come from the context; nothing is sent for that."""
    path = kubeconfig(tmp_path, "prod", server="https://10.0.0.1:6443/")
    connection = KubeApi(clock=FakeClock()).at("prod", path)
    assert connection.server == "https://10.0.0.1:6443"
    wire = connection.open_wire()
    assert wire.headers() == {"authorization": f"Bearer {TOKEN}"}
    assert type(wire.pool).__name__ == "PoolManager"


def test_credentials_that_are_missing_are_refused(tmp_path: Path) -> None:
    """A context whose certificate file is gone can't be used, and says so."""
    path = kubeconfig(tmp_path, "prod")
    document = yaml.safe_load(path.read_text())
    document["clusters"][0]["cluster"]["certificate-authority"] = "/not/there.pem"
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(Refused, match="kube context 'prod' can't be used"):
        KubeApi(clock=FakeClock()).at("prod", path).read("/x")


def test_a_wrong_context_is_told_without_the_client(tmp_path: Path) -> None:
    """Neither a missing kubeconfig nor a wrong context waits for the client's import."""
    code = f"""
import sys
from pytest_deploy.errors import Refused
from pytest_deploy.io.clock import SystemClock
from pytest_deploy.io.kube import KubeApi
for kubeconfig in ("/not/there", {str(kubeconfig(tmp_path, "staging"))!r}):
    try:
        KubeApi(clock=SystemClock()).at("prod", kubeconfig)
    except Refused:
        print("refused", "kubernetes" in sys.modules)
"""
    done = run((sys.executable, "-c", code), timeout_s=30)
    assert (done.stdout.split("\n")[:2], done.stderr) == (["refused False"] * 2, "")


def test_importing_the_door_does_not_import_the_client() -> None:
    """The client is heavy: the module alone does not bring it."""
    code = "import sys, pytest_deploy.io.kube, pytest_deploy.adapters.argo, pytest_deploy.adapters.kubernetes, \
pytest_deploy.adapters.prometheus, pytest_deploy.adapters.helm; \
print([m for m in ('kubernetes', 'httpx2', 'urllib3', 'yaml', 'pydantic') if m in sys.modules])"
    done = run((sys.executable, "-c", code), timeout_s=30)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@pytest.mark.parametrize(
    ("header", "date"),
    [
        ("Tue, 24 Nov 2026 14:00:07 GMT", datetime(2026, 11, 24, 14, 0, 7, tzinfo=UTC)),
        (None, None),
        ("yesterday", None),
        ("Tue, 24 Nov 2026 14:00:07 -0000", None),
    ],
)
def test_an_answer_has_the_servers_time(header: str | None, date: datetime | None) -> None:
    """As its Date says it; one that is missing, is none, or has no zone says nothing."""
    assert connect(Pool(Answered(200, {}, header))).read("/version").date == date


def test_a_write_waits_no_longer_than_the_connections_patience() -> None:
    """A renewal that gets no answer gives up before its lease has expired."""
    pool = Pool(Answered(200, {}))
    replace(connect(pool), patience=timedelta(seconds=1)).replace("/x", {})
    connect(pool).replace("/x", {})
    assert [rest["timeout"].read_timeout for _, _, rest in pool.calls] == [1, 10]
