"""The one door to Kubernetes API servers: credentials by the official client, plain JSON both ways.

Only the client's kubeconfig loader and its connection pool are used: its typed API (``CoreV1Api``) takes seconds to
import, and this knows no more than ``kubectl get --raw`` does.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from pytest_deploy.errors import DeployError, Faulted, Rejected, RemoteError, Throttled, Unreachable
from pytest_deploy.io import kubeconfig as files
from pytest_deploy.io.kubeconfig import Wire
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

_JSON, _JSON_PATCH = "application/json", "application/json-patch+json"
_REREAD = "it may have been written all the same: look at the state before anything is repeated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An API server's answer.

    Args:
        date: the server's own time as it answered, in whole seconds; None: it does not tell.
    """

    status: int
    body: Mapping[str, Json]
    date: datetime | None = None

    @property
    def words(self) -> str:
        """What a Kubernetes Status says, its causes included."""
        details = self.body.get("details")
        causes = details.get("causes") if isinstance(details, dict) else None
        told = [str(c.get("message", "")) for c in causes if isinstance(c, dict)] if isinstance(causes, list) else []
        message = str(self.body.get("message") or self.body.get("reason") or "no words")
        return "; ".join([message, *(text for text in told if text and text not in message)])[:_WORDS_LIMIT]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """What is sent.

    Args:
        accept: statuses beside 2xx that are an answer, not an error.
        write: it changes something, so whoever gets no answer to it does not know.
    """

    method: str
    path: str
    body: Json | Mapping[str, Json] = None
    accept: Collection[int] = ()
    write: bool = False


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
            found = files.paths(key[1], self._environ)
            files.check_context(found, context)
            self._connections[key] = Connection(
                lambda: files.open_wire(found, context), context=context, clock=self._clock, patience=self._patience
            )
        return self._connections[key]


@dataclass(kw_only=True)
class Connection:
    """A context's API server: reads are retried, writes never.

    Args:
        open_wire: makes the client anew, from the kubeconfig as it is now.
        context: for errors.
        patience: for a read with its retries, and for a write.
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

    @property
    def ca_sha256(self) -> str | None:
        """SHA-256 of the certificate authority that vouches for the server; None: the machine's own ones."""
        return self._opened().ca_sha256

    @property
    def expires(self) -> datetime | None:
        """When the credentials end that nothing renews; None: they don't, or nobody knows."""
        return self._opened().expires

    def read(self, path: str, query: Mapping[str, str] | None = None, *, accept: Collection[int] = ()) -> Reply:
        """GET; connection errors, 429 and 5xx are tried again.

        Args:
            accept: statuses beside 2xx that are an answer, not an error.

        Raises:
            Unreachable, Throttled, Rejected, Faulted: with the server's words.
        """
        full = f"{path}?{urlencode(query)}" if query else path
        return self._patiently(_Request(method="GET", path=full, accept=accept))

    def ask(self, path: str, body: Mapping[str, Json]) -> Reply:
        """POST of a review, which changes nothing; tried again like a read."""
        return self._patiently(_Request(method="POST", path=path, body=body))

    def patch(self, path: str, document: Sequence[Json], *, accept: Collection[int] = ()) -> Reply:
        """Send a JSON Patch, once.

        Raises:
            Rejected: nothing was written.
            Unreachable, Throttled, Faulted: whether it was written may be unknown; the hint says so.
        """
        return self._once(_Request(method="PATCH", path=path, body=list(document), accept=accept, write=True))

    def create(self, path: str, body: Mapping[str, Json], *, accept: Collection[int] = ()) -> Reply:
        """POST a new object to its collection, once; raises as ``patch``, and Rejected (409) where it exists."""
        return self._once(_Request(method="POST", path=path, body=body, accept=accept, write=True))

    def replace(self, path: str, body: Mapping[str, Json], *, accept: Collection[int] = ()) -> Reply:
        """PUT an object as a whole, once; raises as ``patch``.

        With a ``metadata.resourceVersion`` in it this is a compare-and-swap: the server says 409 where the object
        has changed since.
        """
        return self._once(_Request(method="PUT", path=path, body=body, accept=accept, write=True))

    def _once(self, request: _Request) -> Reply:
        try:
            return self._send(request, min(_READ_S, self.patience.total_seconds()))
        except TryAgain as again:
            raise again.error from again.__cause__

    def _patiently(self, request: _Request) -> Reply:
        return patiently(
            lambda left: self._send(request, min(_READ_S, max(0.001, left.total_seconds()))),
            clock=self.clock,
            patience=self.patience,
        )

    def _opened(self) -> Wire:
        if self._wire is None:
            self._wire = self.open_wire()
        return self._wire

    def _send(self, request: _Request, timeout_s: float) -> Reply:
        renewed = self._wire is None
        reply = self._exchange(request, timeout_s)
        if reply.status == 401 and not renewed:
            # A token that has expired since (a mounted one lives an hour, ours may be 10 minutes): nothing was done
            # by this request, so it is sent again with what the kubeconfig says now, once.
            self._wire = None
            reply = self._exchange(request, timeout_s)
        if reply.status < 300 or reply.status in request.accept:
            return reply
        raise self._refusal(request, reply)

    def _exchange(self, request: _Request, timeout_s: float) -> Reply:
        import urllib3  # lazy like the client that brings it

        wire = self._opened()
        content = _JSON_PATCH if request.method == "PATCH" else _JSON
        try:
            response = wire.pool.request(
                request.method,
                wire.server + request.path,
                body=None if request.body is None else json.dumps(request.body).encode(),
                headers={**wire.headers(), "accept": _JSON, "content-type": content},
                timeout=urllib3.Timeout(connect=min(_CONNECT_S, timeout_s), read=timeout_s),
                retries=False,
                redirect=False,
                preload_content=False,
            )
            whole = False
            try:
                data = response.read(_BODY_LIMIT + 1)
                status, whole = response.status, len(data) <= _BODY_LIMIT
                date = _date(response.headers.get("date"))
            finally:
                # A signal may end the reading: the rest of that answer must not meet the rollback's first request.
                (response.release_conn if whole else response.close)()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise TryAgain(self._unanswered(request, error)) from error
        return replace(self._parsed(request, status, data), date=date)

    def _parsed(self, request: _Request, status: int, data: bytes) -> Reply:
        try:
            body = json.loads(data) if len(data) <= _BODY_LIMIT else None
        except ValueError:
            body = None
        if isinstance(body, dict):
            return Reply(status=status, body=body)
        if status < 300:
            raise Faulted(
                f"{self._named(request)}: {len(data)} bytes that are no JSON object of at most {_BODY_LIMIT >> 20} MiB",
                hint="is this an API server, or a proxy's page?" if not request.write else _REREAD,
            )
        text = " ".join(data[: 2 * _WORDS_LIMIT].decode(errors="replace").split())
        words = f"an HTML page of {len(data)} bytes" if text.startswith("<") else text[:_WORDS_LIMIT]
        return Reply(status=status, body={"message": words})

    def _refusal(self, request: _Request, reply: Reply) -> DeployError | TryAgain:
        said = f"{self._named(request)}: {reply.status}, {reply.words}"
        if reply.status == 429:
            return TryAgain(Throttled(said, hint="the API server asks to slow down"))
        if reply.status >= 500:
            return TryAgain(
                Faulted(said, hint=_REREAD if request.write else "see the API server's health: /readyz?verbose")
            )
        if reply.status < 400:
            return Faulted(said, hint="a redirect is not followed: correct the server in the kubeconfig")
        hints = {
            401: f"renew the credentials of context {self.context}",
            403: "grant what is missing (a Role in the namespace)",
        }
        return Rejected(said, hint=hints.get(reply.status, ""))

    def _unanswered(self, request: _Request, error: Exception) -> RemoteError:
        said = f"{self._named(request)}: {files.plain(error)}"
        if request.write and not _never_sent(error):
            return Unreachable(said, hint=_REREAD)
        return Unreachable(said, hint=f"see that {self._opened().server} can be reached from here")

    def _named(self, request: _Request) -> str:
        return f"API server of {self.context}: {request.method} {request.path.partition('?')[0]}"


def _date(header: str | None) -> datetime | None:
    """Parse RFC 9110's Date; None where there is none, or one that a proxy has garbled."""
    try:
        found = parsedate_to_datetime(header) if header else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None


def _never_sent(error: Exception) -> bool:
    """Whether no connection was made, so that the server can't have seen the request."""
    import urllib3

    refused = (
        urllib3.exceptions.NewConnectionError,
        urllib3.exceptions.ConnectTimeoutError,
        urllib3.exceptions.SSLError,
    )
    return isinstance(error, refused)
