"""Load for services that have too little traffic of their own: a command, or GETs at a fixed rate."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from pytest_deploy.adapters.open_loop import Asker, OpenLoop, Tally
from pytest_deploy.domain.quantity import format_duration, format_ms
from pytest_deploy.io.background import Background
from pytest_deploy.io.load_http import Connection, tls_for
from pytest_deploy.io.process import DEFAULT_INHERIT
from pytest_deploy.io.team_program import last_lines

__all__ = ["LABEL_HEADER", "LABEL_VARIABLE", "CommandLoad", "HttpLoad"]

LABEL_HEADER = "X-Deploy-Load"
LABEL_VARIABLE = "DEPLOY_LOAD_LABEL"
_USER_AGENT = "pytest-deploy-load"
_LINES = 3


class HttpLoad:
    """Port ``Load``: GETs at a fixed rate, which does not fall when the service gets slow.

    Each carries ``X-Deploy-Load: <label>`` and the user agent ``pytest-deploy-load``, so that the service can tell
    it from its users. No proxy is used, no redirect followed, and certificates are verified.

    Args:
        url: what is asked for, a query included; no credentials in it.
        rate_per_s: requests in a second.
        headers: of each request, secrets resolved.
        timeout: for one request.
        connect: makes a connection with these headers, for tests; None: to ``url``.
    """

    def __init__(
        self,
        url: str,
        *,
        rate_per_s: float,
        headers: Mapping[str, str] | None = None,
        timeout: timedelta = timedelta(seconds=10),
        connect: Callable[[Mapping[str, str]], Asker] | None = None,
    ) -> None:
        parts = urlsplit(url)
        self._where = f"{parts.scheme}://{parts.netloc}{parts.path}"
        self._rate_per_s = rate_per_s
        self._headers = dict(headers or {})
        self._timeout_s = timeout.total_seconds()
        self._connect = connect or partial(Connection, url, timeout_s=self._timeout_s, tls=tls_for(url))
        self._loop: OpenLoop | None = None

    def start(self, label: str) -> None:
        """Begin; what runs already is ended first. It raises nothing: what fails is told by ``stop``."""
        self.stop()
        shown = "".join(c if c.isascii() and c.isprintable() else "?" for c in label)
        headers = {"User-Agent": _USER_AGENT, **self._headers, LABEL_HEADER: shown}
        self._loop = OpenLoop(lambda: self._connect(headers), rate_per_s=self._rate_per_s, timeout_s=self._timeout_s)
        self._loop.start()

    def stop(self) -> str:
        """End within two seconds, and return in words what was sent and how it was answered; "" when nothing ran."""
        loop, self._loop = self._loop, None
        return "" if loop is None else self._words(loop.stop())

    def _words(self, tally: Tally) -> str:
        actual_per_s = tally.sent / tally.seconds if tally.seconds else 0.0
        duration = format_duration(timedelta(seconds=tally.seconds))
        parts = [
            f"{tally.sent:,} requests in {duration} ({actual_per_s:.3g}/s of {self._rate_per_s:g}/s wanted)",
            f"answers: {_counts(tally.classes)}",
        ]
        if tally.failures:
            parts.append(f"without an answer: {_counts(tally.failures)}")
        parts.append(f"dropped: {tally.dropped:,}")
        if tally.p95_s is not None:
            parts.append(f"p95 {format_ms(tally.p95_s * 1000)} of the answers")
        return f"load on {self._where}: {'; '.join(parts)}"


class CommandLoad:
    """Port ``Load``: a program that makes the requests, run for the window.

    It stays in the foreground and in its process group, is ended by TERM and a second later by KILL, and finds the
    label in ``DEPLOY_LOAD_LABEL``. It does not outlive us, even when we are killed.

    Args:
        argv: a name on PATH, or a path from ``folder``, and the arguments; no shell.
        folder: of deploy.yaml; it runs there.
        inherit: names of our variables that it sees beside PATH, HOME, LANG and the like.
    """

    def __init__(self, argv: Sequence[str], *, folder: Path, inherit: Sequence[str] = ()) -> None:
        self._argv = tuple(argv)
        self._folder = folder
        self._inherit = (*DEFAULT_INHERIT, *inherit)
        self._running: Background | None = None

    def start(self, label: str) -> None:
        """Begin; what runs already is ended first.

        Raises:
            ToolMissing: the program is not there.
            ToolFailed: the system could not start it.
        """
        self.stop()
        self._running = Background(self._argv, folder=self._folder, env={LABEL_VARIABLE: label}, inherit=self._inherit)

    def stop(self) -> str:
        """End it within some two seconds, and return how it went and its last words; "" when nothing ran."""
        running, self._running = self._running, None
        if running is None:
            return ""
        ended = running.stop()
        ran = f"load command {shlex.join(self._argv)}: ran for {format_duration(timedelta(seconds=ended.seconds))}"
        if ended.status is None:
            how = "is still there 2 s after TERM and KILL: look for it"
        elif ended.by_itself:
            how = f"ended by itself with exit status {ended.status}, and the rest of the time had no load"
        else:
            how = "was ended"
        said = last_lines(ended.output, _LINES)
        return f"{ran}, {how}; its last words: {said}" if said else f"{ran}, {how}; it printed nothing"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {kind}" for kind, count in counts.items()) or "none"
