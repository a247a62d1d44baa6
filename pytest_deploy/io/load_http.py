"""HTTP connections that make load: kept alive, used by one thread, cut by another.

Not ``io.http``: that one asks a service until it answers. Here each request is sent once, and an answer that does
not come is a result. The standard library's client is enough for a GET, and its socket can be shut down from outside,
which is the only way to end a thread that reads from a service that hangs.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from ssl import SSLContext, SSLError, create_default_context
from urllib.parse import urlsplit

__all__ = ["Connection", "NoAnswer", "tls_for"]

_BODY_LIMIT = 1024 * 1024
"""Of a longer body the rest is not read, and the connection is given up: load is requests, not downloads."""


class NoAnswer(Exception):
    """A request was not answered; its text is the reason in two or three words that can be counted."""


def tls_for(url: str) -> SSLContext | None:
    """Return what verifies the server's certificate, made once for all connections; None for plain HTTP."""
    return create_default_context() if urlsplit(url).scheme == "https" else None


class Connection:
    """One connection to the service; opened with the first request, and again after a failure.

    Args:
        url: what is asked for each time; no proxy is used.
        headers: of each request.
        timeout_s: for connecting, and for each wait for a piece of the answer.
        tls: from ``tls_for``.
    """

    def __init__(self, url: str, headers: Mapping[str, str], *, timeout_s: float, tls: SSLContext | None) -> None:
        parts = urlsplit(url)
        host = parts.hostname or ""
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._headers = dict(headers)
        self._http = (
            HTTPConnection(host, parts.port, timeout=timeout_s)
            if tls is None
            else HTTPSConnection(host, parts.port, timeout=timeout_s, context=tls)
        )
        # Ours, because the client forgets its socket as soon as the answer's head says "Connection: close".
        self._socket: socket.socket | None = None
        self._cut = False

    def get(self) -> int:
        """Send the request, read the answer to its end and return its status; a redirect is an answer.

        Raises:
            NoAnswer: there is none.
        """
        self._cut = False
        try:
            with self._head() as response:
                response.read(_BODY_LIMIT)
                if not response.isclosed():
                    self._http.close()
                return response.status
        except (OSError, HTTPException, ValueError) as error:  # ValueError: a reader of a socket that was cut
            self.close()
            raise NoAnswer(_reason(error)) from error

    def _head(self) -> HTTPResponse:
        if self._http.sock is not None:
            with suppress(ConnectionError):
                return self._ask()
            self.close()  # the server may close a kept connection at any time (RFC 9112, 9.3.1): once more, anew
        if not self._cut:
            self._http.connect()
            self._socket = self._http.sock
        return self._ask()

    def _ask(self) -> HTTPResponse:
        if self._cut:
            raise ConnectionAbortedError
        self._http.request("GET", self._path, headers=self._headers)
        return self._http.getresponse()

    def cut(self) -> None:
        """Let a ``get`` that another thread is in fail now; it never blocks."""
        self._cut = True
        if self._socket is not None:
            with suppress(OSError):
                # Not SSLSocket's own, which would take the TLS object away under the reader.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the connection up."""
        self._http.close()
        self._socket = None


def _reason(error: Exception) -> str:
    for kind, words in _REASONS:
        if isinstance(error, kind):
            return words
    return type(error).__name__


_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (TimeoutError, "timed out"),
    (ConnectionRefusedError, "connection refused"),
    (socket.gaierror, "name not found"),
    (SSLError, "TLS failure"),
    (ConnectionError, "connection broken"),
    (HTTPException, "broken answer"),
    (OSError, "network failure"),
)
