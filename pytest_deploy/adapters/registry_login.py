"""Who we are for a registry: the logins that ``docker login`` left, and the tokens that they buy."""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from pytest_deploy.errors import Faulted, Refused, ToolFailed
from pytest_deploy.io.access import basic, bearer
from pytest_deploy.io.process import DEFAULT_INHERIT, run
from pytest_deploy.io.team_program import last_lines

if TYPE_CHECKING:
    from pytest_deploy.io.http import Http

__all__ = ["authorization", "login"]

_HUB = "registry-1.docker.io"
_HUB_KEY = "https://index.docker.io/v1/"
"""Docker Hub's logins stand under this address, whatever it is reached by."""
_HELPER = re.compile(r"[A-Za-z0-9._-]+")
_HELPER_S = 30.0
_INHERIT = (*DEFAULT_INHERIT, "DOCKER_CONFIG", "AWS_*", "AZURE_*", "GOOGLE_*", "CLOUDSDK_*", "HTTPS_PROXY", "NO_PROXY")
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


def login(host: str) -> str | None:
    """Return ``Basic ...`` for a registry; None: nobody has logged in there.

    Args:
        host: with its port.

    Raises:
        Refused: Docker's configuration can't be read.
        ToolFailed, ToolMissing: its credential helper does not answer.
    """
    config = _config()
    names = (_HUB_KEY, "docker.io", _HUB) if host == _HUB else (host, f"https://{host}")
    helper = next((config["credHelpers"][name] for name in names if name in config.get("credHelpers", {})), None)
    if helper is None and "credsStore" in config and any(name in config.get("auths", {}) for name in names):
        helper = config["credsStore"]
    if helper is not None:
        return _helped(str(helper), names[0])
    entry: Mapping[str, Any] = next((config["auths"][name] for name in names if name in config.get("auths", {})), {})
    if "auth" in entry:
        try:
            user, _, password = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError, TypeError) as error:
            raise Refused(f"Docker's login for {host} is no login", hint=f"docker login {host}") from error
        return basic(user, password)
    return None


def _config() -> Mapping[str, Any]:
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        config = json.loads((folder / "config.json").read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise Refused(
            f"Docker's configuration can't be read: {folder / 'config.json'}: {type(error).__name__}",
            hint="mend it, or point DOCKER_CONFIG elsewhere",
        ) from error
    return config if isinstance(config, dict) else {}


def _helped(name: str, server: str) -> str | None:
    """Ask a credential helper: https://github.com/docker/docker-credential-helpers#development."""
    if not _HELPER.fullmatch(name):
        raise Refused(f"Docker's configuration names no credential helper: {name!r}", hint="mend its config.json")
    program = f"docker-credential-{name}"
    done = run((program, "get"), timeout_s=_HELPER_S, inherit=_INHERIT, stdin=server)
    if done.status and "credentials not found" in done.stdout + done.stderr:
        return None
    try:
        found = json.loads(done.stdout) if done.status == 0 else {}
        return basic(found["Username"], found["Secret"])
    except (ValueError, KeyError, TypeError) as error:
        raise ToolFailed(
            f"{program} gives no login for {server}: exit {done.status}, {last_lines(done.stderr, 2) or 'no words'}",
            hint=f"docker login {server}",
        ) from error


def authorization(challenge: str, known: str | None, *, http: Callable[[str, Mapping[str, str]], Http]) -> str:
    """Return the header that a registry asks for: https://distribution.github.io/distribution/spec/auth/token/.

    Args:
        challenge: its ``WWW-Authenticate``.
        known: our login; None: anonymous, which many a registry gives a token to, too.
        http: opens a service, given its address and headers.

    Raises:
        Refused: it asks for a login, and we have none.
        RemoteError: there is no token to be had.
    """
    scheme, _, rest = challenge.partition(" ")
    if scheme.lower() == "basic":
        if known is None:
            raise Refused("the registry wants a login, and there is none")
        return known
    asked = dict(_CHALLENGE.findall(rest))
    realm = asked.pop("realm", "")
    if scheme.lower() != "bearer" or not realm.startswith(("https://", "http://127.0.0.1", "http://localhost")):
        raise Faulted(f"the registry asks for a way to log in that we don't know: {scheme} {realm}")
    headers = {} if known is None else {"Authorization": known}
    query = urlencode({name: asked[name] for name in ("service", "scope") if name in asked})
    answer = http(realm, headers).fetch(f"?{query}")
    try:
        body = json.loads(answer.body)
        return bearer(body.get("token") or body["access_token"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Faulted(f"{realm.partition('?')[0]} gave no token") from error
