"""The registry, at its transport seam: logins, tokens, redirects, and what is not believed."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from pytest_deploy.adapters.registry import Registry
from pytest_deploy.domain.release import Digest, ImageRef
from pytest_deploy.errors import Faulted, Refused, Rejected, ToolFailed
from pytest_deploy.testing.clock import FakeClock

Handler = Callable[[httpx2.Request], httpx2.Response]
BODY = b'{"manifests": []}'
DIGEST = Digest("sha256:" + hashlib.sha256(BODY).hexdigest())
REPOSITORY = "ghcr.io/acme/app"
BASIC = "Basic " + base64.b64encode(b"me:secret").decode()


@pytest.fixture(autouse=True)
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[object], None]:
    """Write Docker's configuration; there is none at first."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return lambda config: (tmp_path / "config.json").write_text(json.dumps(config)) and None


def registry(handler: Handler) -> Registry:
    """Return one whose network is the handler."""
    return Registry(clock=FakeClock(), transport=httpx2.MockTransport(handler))


def with_token(request: httpx2.Request) -> httpx2.Response:
    """Answer as ghcr.io does: what is asked for without a token is asked for again with one."""
    if request.url.path == "/token":
        assert dict(request.url.params) == {"service": "ghcr.io", "scope": "repository:acme/app:pull"}
        anonymous = "authorization" not in request.headers
        return httpx2.Response(200, json={"token": "anonymous" if anonymous else "mine"})
    given = request.headers.get("authorization")
    if given not in {"Bearer anonymous", "Bearer mine"}:
        challenge = 'Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:acme/app:pull"'
        return httpx2.Response(401, headers={"www-authenticate": challenge}, json={})
    return httpx2.Response(200, content=BODY)


def test_a_token_is_asked_for_as_the_registry_says() -> None:
    """Nobody has logged in: a public image is read with an anonymous token."""
    assert registry(with_token).digest(ImageRef(repository=REPOSITORY, tag="1")) == DIGEST


@pytest.mark.parametrize("key", ["ghcr.io", "https://ghcr.io"])
def test_a_login_buys_a_token(docker: Callable[[object], None], key: str) -> None:
    """The login that ``docker login`` left goes to the token's server, the token to the registry."""
    docker({"auths": {key: {"auth": base64.b64encode(b"me:secret").decode()}}})
    seen: list[tuple[str, str | None]] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append((request.url.path, request.headers.get("authorization")))
        return with_token(request)

    assert registry(handler).manifest(REPOSITORY, DIGEST) == {"manifests": []}
    path = f"/v2/acme/app/manifests/{DIGEST}"
    assert seen == [(path, None), ("/token", BASIC), (path, "Bearer mine")]


def test_a_registry_may_take_the_login_itself(docker: Callable[[object], None]) -> None:
    """Basic instead of a token, as small registries do."""
    docker({"auths": {"ghcr.io": {"auth": BASIC.removeprefix("Basic ")}}})

    def handler(request: httpx2.Request) -> httpx2.Response:
        if request.headers.get("authorization") != BASIC:
            return httpx2.Response(401, headers={"www-authenticate": 'Basic realm="x"'})
        return httpx2.Response(200, content=BODY)

    assert registry(handler).digest(ImageRef(repository=REPOSITORY, tag="1")) == DIGEST


def test_a_credential_helper_is_asked(
    docker: Callable[[object], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clouds' logins are short-lived and come from a program of theirs, which hears the registry's name."""
    helper = tmp_path / "docker-credential-ours"
    helper.write_text(
        '#!/bin/sh\nread server\n[ "$1 $server" = "get ghcr.io" ] && echo \'{"Username": "me", "Secret": "secret"}\'\n'
    )
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    docker({"credHelpers": {"ghcr.io": "ours"}})
    seen = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers.get("authorization"))
        return with_token(request)

    assert registry(handler).digest(ImageRef(repository=REPOSITORY, tag="1")) == DIGEST
    assert BASIC in seen
    helper.write_text("#!/bin/sh\necho no such login >&2\nexit 1\n")
    with pytest.raises(ToolFailed, match=r"docker-credential-ours gives no login for ghcr\.io: exit 1, no such login"):
        registry(with_token).digest(ImageRef(repository=REPOSITORY, tag="1"))


def test_docker_hub_has_names_of_its_own() -> None:
    """A reference without a host is Docker Hub's, one without a slash is in its library."""
    seen = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(f"{request.url.host}{request.url.path}")
        return httpx2.Response(404, json={})

    for name in ("nginx", "acme/app", "docker.io/acme/app"):
        assert registry(handler).digest(ImageRef(repository=name, tag="1")) is None
    library, *others = seen
    assert library == "registry-1.docker.io/v2/library/nginx/manifests/1"
    assert set(others) == {"registry-1.docker.io/v2/acme/app/manifests/1"}


def test_a_blob_that_lies_elsewhere_is_fetched_there_without_our_login() -> None:
    """Clouds redirect to their storage; what we show the registry is not shown to it."""

    def handler(request: httpx2.Request) -> httpx2.Response:
        if request.url.host == "ghcr.io":
            answer = with_token(request)
            moved = answer.status_code == 200 and request.url.path != "/token"
            return httpx2.Response(307, headers={"location": "https://store.example.com/b?sig=1"}) if moved else answer
        assert (request.url.host, request.url.query) == ("store.example.com", b"sig=1")
        assert "authorization" not in request.headers
        return httpx2.Response(200, content=BODY)

    assert registry(handler).blob(REPOSITORY, DIGEST) == {"manifests": []}


def test_what_has_another_digest_is_not_believed() -> None:
    """By tag it is told as it is; by digest it is refused, index, blob and look-up alike."""
    other = Digest("sha256:" + "0" * 64)
    there = registry(lambda _: httpx2.Response(200, content=BODY))
    for ask in (
        lambda: there.manifest(REPOSITORY, other),
        lambda: there.blob(REPOSITORY, other),
        lambda: there.digest(ImageRef(repository=REPOSITORY, digest=other)),
    ):
        with pytest.raises(Faulted, match=rf"sent {DIGEST} for {other}"):
            ask()


def _challenge(text: str) -> httpx2.Response:
    return httpx2.Response(401, headers={"www-authenticate": text})


@pytest.mark.parametrize(
    ("response", "error", "told"),
    [
        (httpx2.Response(403, json={}), Rejected, r"ghcr\.io does not let us read acme/app: 403(?s:.*)docker login"),
        (httpx2.Response(404, json={}), Rejected, "the registry has no ghcr"),
        (httpx2.Response(200, content=b"<html>"), Faulted, "for sha256"),
        (httpx2.Response(500, json={}), Faulted, "answered 500"),
        (httpx2.Response(307, headers={"location": "http://store.example.com/b"}), Faulted, "only https is followed"),
        (_challenge("Negotiate"), Faulted, "a way to log in that we don't know"),
        (_challenge('Basic realm="x"'), Refused, r"wants a login(?s:.*)docker login ghcr\.io"),
        (_challenge('Bearer realm="http://evil.example.com/t"'), Faulted, "a way to log in that we don't know"),
    ],
)  # fmt: skip
def test_no_answer_is_no_image(response: httpx2.Response, error: type[Exception], told: str) -> None:
    """Whatever is in the way is told, with the way out; only 404 means that it is not there."""
    with pytest.raises(error, match=told):
        registry(lambda _: response).manifest(REPOSITORY, DIGEST)


def test_a_configuration_that_is_broken_is_told(docker: Callable[[object], None], tmp_path: Path) -> None:
    """Neither ignored nor shown: it may hold a password."""
    docker({"auths": {"ghcr.io": {"auth": "???hunter2"}}})
    with pytest.raises(Refused, match=r"login for ghcr\.io is no login(?s:.*)docker login ghcr\.io") as refused:
        registry(with_token).manifest(REPOSITORY, DIGEST)
    assert "hunter2" not in str(refused.value)
    (tmp_path / "config.json").write_text("{hunter2")
    with pytest.raises(Refused, match="configuration can't be read") as refused:
        registry(with_token).manifest(REPOSITORY, DIGEST)
    assert "hunter2" not in str(refused.value)
