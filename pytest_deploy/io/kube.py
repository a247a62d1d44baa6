"""The one door to Kubernetes API servers: credentials by the official client, plain JSON both ways.

Only the client's kubeconfig loader and its connection pool are used: its typed API (``CoreV1Api``) takes seconds to
import, and this knows no more than ``kubectl get --raw`` does.
"""

from __future__ import annotations

import binascii
import json
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode

from pytest_deploy.errors import DeployError, Faulted, Refused, Rejected, RemoteError, Throttled, Unreachable
from pytest_deploy.io.retry import TryAgain, patiently

if TYPE_CHECKING:
    from pytest_deploy.domain.action import Json
    from pytest_deploy.ports import Clock

__all__ = ["Connection", "KubeApi", "Reply", "Wire"]

PATIENCE = timedelta(seconds=30)
"""For one read with its retries; an API server that is restarted answers again in less."""
_CONNECT_S, _READ_S = 5.0, 10.0
_BODY_LIMIT = 32 * 1024 * 1024
_WORDS_LIMIT = 500

_JSON_PATCH = "application/json-patch+json"
_REREAD = "it may have been written all the same: look at the state before anything is repeated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An API server's answer."""

    status: int
    body: Mapping[str, Json]

    @property
    def words(self) -> str:
        """What a Kubernetes Status says, its causes included."""
        details = self.body.get("details")
        causes = details.get("causes") if isinstance(details, dict) else None
        told = [str(c.get("message", "")) for c in causes if isinstance(c, dict)] if isinstance(causes, list) else []
        message = str(self.body.get("message") or self.body.get("reason") or "no words")
        return "; ".join([message, *(text for text in told if text and text not in message)])[:_WORDS_LIMIT]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """One client of one API server.

    Args:
        pool: urllib3's pool, with the context's TLS settings.
        headers: gives the credentials' headers, renewed where the client knows how.
    """

    server: str
    pool: Any
    headers: Callable[[], Mapping[str, str]]


class KubeApi:
    """All API servers that kubeconfigs lead to; one connection for each context.

    Args:
        environ: where KUBECONFIG and HOME are looked up.
    """

    def __init__(
        self, *, clock: Clock, environ: Mapping[str, str] = os.environ, patience: timedelta = PATIENCE
    ) -> None:
        self._clock = clock
        self._environ = environ
        self._patience = patience
        self._connections: dict[tuple[str, str | None], Connection] = {}

    def at(self, context: str, kubeconfig: str | os.PathLike[str] | None = None) -> Connection:
        """Return the connection of a context; nothing is sent yet.

        Args:
            kubeconfig: None: KUBECONFIG, else ``~/.kube/config``.

        Raises:
            Refused: no kubeconfig, no such context in it, or one that can't be used.
        """
        key = (context, None if kubeconfig is None else os.fspath(kubeconfig))
        if key not in self._connections:
            paths = _paths(key[1], self._environ)
            _check_context(paths, context)
            self._connections[key] = Connection(
                lambda: _wire(paths, context), context=context, clock=self._clock, patience=self._patience
            )
        return self._connections[key]


@dataclass(kw_only=True)
class Connection:
    """A context's API server: reads are retried, writes never.

    Args:
        open_wire: makes the client anew, from the kubeconfig as it is now.
        context: for errors.
    """

    open_wire: Callable[[], Wire] = field(kw_only=False)
    context: str
    clock: Clock
    patience: timedelta
    _wire: Wire | None = field(default=None, init=False)

    @property
    def server(self) -> str:
        """The server's address."""
        return self._opened().server

    def read(self, path: str, query: Mapping[str, str] | None = None, *, accept: Collection[int] = ()) -> Reply:
        """GET; connection errors, 429 and 5xx are tried again.

        Args:
            accept: statuses beside 2xx that are an answer, not an error.

        Raises:
            Unreachable, Throttled, Rejected, Faulted: with the server's words.
        """
        full = f"{path}?{urlencode(query)}" if query else path
        return self._patiently("GET", full, None, accept)

    def ask(self, path: str, body: Mapping[str, Json]) -> Reply:
        """POST of a review, which changes nothing; tried again like a read."""
        return self._patiently("POST", path, body, ())

    def patch(self, path: str, document: Sequence[Json], *, accept: Collection[int] = ()) -> Reply:
        """Send a JSON Patch, once.

        Raises:
            Rejected: nothing was written.
            Unreachable, Throttled, Faulted: whether it was written may be unknown; the hint says so.
        """
        try:
            return self._send("PATCH", path, list(document), accept, _READ_S)
        except TryAgain as again:
            raise again.error from again.__cause__

    def _patiently(self, method: str, path: str, body: Json | Mapping[str, Json], accept: Collection[int]) -> Reply:
        return patiently(
            lambda left: self._send(method, path, body, accept, min(_READ_S, max(0.001, left.total_seconds()))),
            clock=self.clock,
            patience=self.patience,
        )

    def _opened(self) -> Wire:
        if self._wire is None:
            self._wire = self.open_wire()
        return self._wire

    def _send(
        self, method: str, path: str, body: Json | Mapping[str, Json], accept: Collection[int], timeout_s: float
    ) -> Reply:
        renewed = self._wire is None
        reply = self._exchange(method, path, body, timeout_s)
        if reply.status == 401 and not renewed:
            # A token that has expired since (a mounted one lives an hour, ours may be 10 minutes): nothing was done
            # by this request, so it is sent again with what the kubeconfig says now, once.
            self._wire = None
            reply = self._exchange(method, path, body, timeout_s)
        if reply.status < 300 or reply.status in accept:
            return reply
        raise self._refusal(method, path, reply)

    def _exchange(self, method: str, path: str, body: Json | Mapping[str, Json], timeout_s: float) -> Reply:
        import urllib3  # lazy like the client that brings it

        wire = self._opened()
        content = _JSON_PATCH if method == "PATCH" else "application/json"
        try:
            response = wire.pool.request(
                method,
                wire.server + path,
                body=None if body is None else json.dumps(body).encode(),
                headers={**wire.headers(), "accept": "application/json", "content-type": content},
                timeout=urllib3.Timeout(connect=min(_CONNECT_S, timeout_s), read=timeout_s),
                retries=False,
                redirect=False,
                preload_content=False,
            )
            try:
                data = response.read(_BODY_LIMIT + 1)
                status = response.status
            finally:
                response.release_conn()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise TryAgain(self._unanswered(method, path, error)) from error
        return self._parsed(method, path, status, data)

    def _parsed(self, method: str, path: str, status: int, data: bytes) -> Reply:
        try:
            body = json.loads(data) if len(data) <= _BODY_LIMIT else None
        except ValueError:
            body = None
        if isinstance(body, dict):
            return Reply(status=status, body=body)
        if status < 300:
            raise Faulted(
                f"{self._request(method, path)}: {len(data)} bytes that are no JSON object of at most "
                f"{_BODY_LIMIT >> 20} MiB",
                hint="is this an API server, or a proxy's page?" if method != "PATCH" else _REREAD,
            )
        text = " ".join(data[: 2 * _WORDS_LIMIT].decode(errors="replace").split())
        words = f"an HTML page of {len(data)} bytes" if text.startswith("<") else text[:_WORDS_LIMIT]
        return Reply(status=status, body={"message": words})

    def _refusal(self, method: str, path: str, reply: Reply) -> DeployError | TryAgain:
        said = f"{self._request(method, path)}: {reply.status}, {reply.words}"
        write = method == "PATCH"
        if reply.status == 429:
            return TryAgain(Throttled(said, hint="the API server asks to slow down"))
        if reply.status >= 500:
            return TryAgain(Faulted(said, hint=_REREAD if write else "see the API server's health: /readyz?verbose"))
        if reply.status < 400:
            return Faulted(said, hint="a redirect is not followed: correct the server in the kubeconfig")
        hints = {
            401: f"renew the credentials of context {self.context}",
            403: "grant what is missing (a Role in the namespace)",
        }
        return Rejected(said, hint=hints.get(reply.status, ""))

    def _unanswered(self, method: str, path: str, error: Exception) -> RemoteError:
        said = f"{self._request(method, path)}: {_plain(error)}"
        if method == "PATCH" and not _never_sent(error):
            return Unreachable(said, hint=_REREAD)
        return Unreachable(said, hint=f"see that {self._opened().server} can be reached from here")

    def _request(self, method: str, path: str) -> str:
        return f"API server of {self.context}: {method} {path.partition('?')[0]}"


def _paths(kubeconfig: str | None, environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the kubeconfig files that are there, as kubectl looks them up.

    Raises:
        Refused: there is none.
    """
    if kubeconfig is not None:
        asked = [Path(kubeconfig)]
    elif environ.get("KUBECONFIG"):
        asked = [Path(text) for text in environ["KUBECONFIG"].split(os.pathsep) if text]
    else:
        asked = [Path(environ.get("HOME") or os.path.expanduser("~"), ".kube", "config")]  # noqa: PTH111 - HOME may be unset
    found = tuple(path for path in asked if path.is_file())
    if not found:
        looked = ", ".join(map(str, asked))
        raise Refused(
            f"no kubeconfig: {looked} does not exist",
            hint="set KUBECONFIG, or environments.<name>.kubeconfig; without a cluster: --rehearse",
        )
    return found


def _check_context(paths: Sequence[Path], context: str) -> None:
    """Look the context up before the client is imported, so that a wrong name is told at once."""
    import yaml

    # 30 times faster, and there wherever PyYAML's wheel is.
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    known: list[str] = []
    for path in paths:
        try:
            config = yaml.load(path.read_bytes(), Loader=loader)  # noqa: S506 - it is a safe loader
        except (OSError, yaml.YAMLError) as error:
            raise Refused(f"kubeconfig {path} can't be read: {_plain(error)}", hint="correct or remove it") from error
        contexts = config.get("contexts") if isinstance(config, dict) else None
        named = contexts if isinstance(contexts, list) else []
        known += [str(item.get("name")) for item in named if isinstance(item, dict)]
    if context not in known:
        names = ", ".join(sorted(set(known))) or "none at all"
        raise Refused(
            f"no kube context {context!r} in {', '.join(map(str, paths))}: known are {names}",
            hint="correct environments.<name>.context, or log in to that cluster",
        )


def _wire(paths: Sequence[Path], context: str) -> Wire:
    from kubernetes.client import Configuration
    from kubernetes.client.exceptions import OpenApiException
    from kubernetes.client.rest import RESTClientObject
    from kubernetes.config import load_kube_config
    from kubernetes.config.config_exception import ConfigException

    configuration = Configuration()
    try:
        cast("Any", load_kube_config)(
            config_file=os.pathsep.join(map(str, paths)),
            context=context,
            client_configuration=configuration,
            persist_config=False,
        )
        pool = RESTClientObject(configuration).pool_manager
    except (ConfigException, OpenApiException, OSError, ValueError, KeyError, TypeError, binascii.Error) as error:
        raise Refused(
            f"kube context {context!r} can't be used: {_plain(error)}",
            hint=f"see what kubectl --context {context} version says",
        ) from error

    def headers() -> dict[str, str]:
        settings = cast("Mapping[str, Mapping[str, Any]]", configuration.auth_settings())
        return {str(s["key"]): str(s["value"]) for s in settings.values() if s.get("in") == "header" and s.get("value")}

    return Wire(server=str(configuration.host).rstrip("/"), pool=pool, headers=headers)


def _never_sent(error: Exception) -> bool:
    """Whether no connection was made, so that the server can't have seen the request."""
    import urllib3

    refused = (
        urllib3.exceptions.NewConnectionError,
        urllib3.exceptions.ConnectTimeoutError,
        urllib3.exceptions.SSLError,
    )
    return isinstance(error, refused)


def _plain(error: Exception) -> str:
    """Return an error in one line: urllib3's texts hold the pool's memory address and the whole URL."""
    text = " ".join(str(error).split())
    _, _, tail = text.partition(">: ") if ">: " in text else ("", "", text)
    tail = tail.partition("(Caused by")[0].strip() or text
    return f"{type(error).__name__}: {tail[:_WORDS_LIMIT]}"
