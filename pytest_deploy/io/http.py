"""The one door to HTTP services: limits on time and size, retries of reads, and errors that hold no secrets."""

from __future__ import annotations

import json
import weakref
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pytest_deploy.errors import Faulted, Rejected, RemoteError, Throttled, Unreachable
from pytest_deploy.io.access import Access
from pytest_deploy.io.retry import TryAgain, patiently

if TYPE_CHECKING:
    import httpx2

    from pytest_deploy.domain.action import Json
    from pytest_deploy.ports import Clock

__all__ = ["Answer", "Content", "Http"]

_CONNECT_S = 5.0
_BODY_LIMIT = 8 * 1024 * 1024
_WORDS_LIMIT = 300
_OK, _REDIRECT, _CLIENT, _TOO_MANY, _FAULT = 200, 300, 400, 429, 500
_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A service's answer, parsed."""

    status: int
    body: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A service's answer, as it came.

    Args:
        headers: their names in lower case.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class Http:
    """One service, one client; opened with the first request.

    Args:
        url: base address, no credentials in it.
        service: its name in errors.
        timeout: for one call, its retries included.
        headers: sent with each request, such as ``Authorization``; their values get into no error.
        ca_file: PEM file of the authorities that the service's certificate may come from; None: the usual ones.
        client_cert: PEM files of our certificate and of its key; None: we show none.
        transport: the network's place, for tests; None: the real one.

    Raises:
        ConfigError: a header that can't be sent; with the first request, a file that is no certificate.
    """

    def __init__(
        self,
        url: str,
        *,
        service: str,
        clock: Clock,
        timeout: timedelta,
        headers: Mapping[str, str] = _NOTHING,
        ca_file: str | Path | None = None,
        client_cert: tuple[str, str] | None = None,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        self._service = service
        self._clock = clock
        self._timeout = timeout
        self._transport = transport
        self._access = Access(headers, ca_file=ca_file, client_cert=client_cert)
        parts = urlsplit(url)
        self._where = f"{service} ({parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''})"

    @cached_property
    def _client(self) -> httpx2.Client:
        import httpx2

        client = httpx2.Client(
            transport=self._transport,
            verify=self._access.context() or True,
            follow_redirects=False,
            headers={"accept": "application/json", "user-agent": "pytest-deploy", **self._access.headers},
        )
        # Closed with us or at exit: a socket that is left to the collector is a ResourceWarning in the user's tests.
        weakref.finalize(self, client.close)
        return client

    def get(self, path: str, params: Mapping[str, str | Sequence[str]], *, accept: Collection[int] = ()) -> Answer:
        """Return the JSON that the service answers with.

        Args:
            params: one with several values is sent once for each.
            accept: statuses beside 2xx whose JSON is an answer, not an error.

        Raises:
            Unreachable: no answer in time.
            Throttled: 429 until the end of our patience.
            Rejected: any other 4xx.
            Faulted: 5xx until the end of our patience, a redirect, or a body that is no JSON or too large.
        """
        return patiently(
            lambda left: self._attempt("GET", path, params, None, accept, left),
            clock=self._clock,
            patience=self._timeout,
        )

    def post(
        self, path: str, body: Json, params: Mapping[str, str] = _NOTHING, *, accept: Collection[int] = ()
    ) -> Answer:
        """Return the JSON that the service answers a question in JSON with: a read, and tried again like ``get``.

        Args:
            accept: as for ``get``.

        Raises:
            Unreachable, Throttled, Rejected, Faulted: as ``get``.
        """
        return patiently(
            lambda left: self._attempt("POST", path, params, body, accept, left),
            clock=self._clock,
            patience=self._timeout,
        )

    def fetch(
        self,
        path: str,
        headers: Mapping[str, str] = _NOTHING,
        *,
        method: str = "GET",
        accept: Collection[int] = (),
        limit: int = _BODY_LIMIT,
    ) -> Content:
        """Return what the service answers with, whatever that is.

        Args:
            path: may hold a query.
            headers: on top of the client's own; no credential among them.
            method: one that only reads.
            accept: statuses beside 2xx that are an answer, a redirect among them: it is never followed.
            limit: bytes of the largest body that is taken.

        Raises:
            Unreachable, Throttled, Rejected, Faulted: as ``get``.
        """
        return patiently(
            lambda left: self._fetched(method, path, headers, accept, limit, left),
            clock=self._clock,
            patience=self._timeout,
        )

    def hidden(self, text: str) -> str:
        """Return a text of the service's with *** where it repeats a credential that it was sent."""
        return self._access.hidden(text)

    def _attempt(
        self,
        method: str,
        path: str,
        params: Mapping[str, str | Sequence[str]],
        body: Json,
        accept: Collection[int],
        left: timedelta,
    ) -> Answer:
        response, content = self._exchange(method, path, {"params": dict(params), "json": body}, _BODY_LIMIT, left)
        return self._judged(response, content, accept)

    def _fetched(
        self, method: str, path: str, headers: Mapping[str, str], accept: Collection[int], limit: int, left: timedelta
    ) -> Content:
        response, content = self._exchange(method, path, {"headers": dict(headers)}, limit, left)
        status = response.status_code
        if not (_OK <= status < _REDIRECT or status in accept):
            raise self._failure(response, content)
        return Content(status=status, headers={k.lower(): v for k, v in response.headers.items()}, body=content)

    def _exchange(
        self, method: str, path: str, sent: Mapping[str, Any], limit: int, left: timedelta
    ) -> tuple[httpx2.Response, bytes]:
        import httpx2

        left_s = max(0.001, left.total_seconds())
        end = self._clock.monotonic() + left_s
        timeout = httpx2.Timeout(left_s, connect=min(left_s, _CONNECT_S))
        try:
            with self._client.stream(method, self._url + path, timeout=timeout, **sent) as response:
                content = self._body(response, end, limit)
        except httpx2.TimeoutException as error:
            raise TryAgain(self._unreachable(f"no answer within {left_s:.1f} s ({_kind(error)})")) from error
        except httpx2.HTTPError as error:
            mend = self._access.mend_tls(str(error))
            failed = self._unreachable(f"{_kind(error)}: {str(error)[:_WORDS_LIMIT]}", mend)
            if mend:  # it does not pass by itself
                raise failed from error
            raise TryAgain(failed) from error
        return response, content

    def _body(self, response: httpx2.Response, end: float, limit: int) -> bytes:
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > limit:
                raise Faulted(f"{self._where}: an answer of more than {limit >> 20} MiB")
            if self._clock.monotonic() > end:
                raise self._unreachable("the answer had begun but did not end in time")
        return bytes(body)

    def _judged(self, response: httpx2.Response, body: bytes, accept: Collection[int]) -> Answer:
        status = response.status_code
        data = _parsed(body)
        if _OK <= status < _REDIRECT or status in accept:
            if data is None:
                raise Faulted(
                    self.hidden(f"{self._where} answered {status} with {_words(response, body)}, JSON was expected"),
                    hint="is this the service itself, or a proxy's or a login page?",
                )
            return Answer(status=status, body=data[0])
        raise self._failure(response, body)

    def _failure(self, response: httpx2.Response, body: bytes) -> Exception:
        status = response.status_code
        said = self.hidden(f"{self._where} answered {status}: {_words(response, body)}")
        if status == _TOO_MANY:
            return TryAgain(Throttled(said, hint="it asked us to slow down"), wait=self._retry_after(response))
        if status >= _FAULT:
            return TryAgain(Faulted(said), wait=self._retry_after(response))
        if status >= _CLIENT:
            return Rejected(said, hint=self._access.mend(status))
        return Faulted(said, hint="a redirect is not followed: give the address that it leads to")

    def _retry_after(self, response: httpx2.Response) -> timedelta | None:
        """How long the service asked to wait: seconds or a date (RFC 9110, 10.2.3); None: not said.

        Datadog says it in seconds, too, in a header of its own: https://docs.datadoghq.com/api/latest/rate-limits/
        """
        text = str(response.headers.get("retry-after") or response.headers.get("x-ratelimit-reset") or "")
        if text.isdigit():
            return timedelta(seconds=min(int(text), 86400))
        try:
            when = parsedate_to_datetime(text)
        except ValueError:
            return None
        now = self._clock.now()
        return max(timedelta(), _aware(when, now) - now)

    def _unreachable(self, what: str, mend: str = "") -> RemoteError:
        mend = mend or "check its address and the network"
        return Unreachable(self.hidden(f"{self._where} does not answer: {what}"), hint=mend)


def _aware(when: datetime, now: datetime) -> datetime:
    return when if when.tzinfo else when.replace(tzinfo=now.tzinfo)


def _kind(error: Exception) -> str:
    return type(error).__name__


def _parsed(body: bytes) -> tuple[Json] | None:
    try:
        return (json.loads(body),)
    except ValueError:
        return None


def _words(response: httpx2.Response, body: bytes) -> str:
    """What an answer says, in a line: its own error text; a page's is not repeated."""
    data = _parsed(body)
    if data is not None and isinstance(data[0], dict):
        text = data[0].get("error") or data[0].get("message")
        if isinstance(text, str):
            return " ".join(text.split())[:_WORDS_LIMIT]
    kind = response.headers.get("content-type", "").partition(";")[0] or "no content type"
    if "html" in kind or body.lstrip()[:1] == b"<":
        return f"an HTML page of {len(body)} bytes"
    text = " ".join(body[: 4 * _WORDS_LIMIT].decode(errors="replace").split())[:_WORDS_LIMIT]
    return f"{kind}, {text!r}" if text else "an empty body"
