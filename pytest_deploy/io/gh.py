"""GitHub through its own command line, ``gh``: it knows host, login and proxy; we know what an answer is."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from pytest_deploy.domain.action import Json
from pytest_deploy.errors import (
    Faulted,
    Rejected,
    RemoteError,
    Throttled,
    ToolFailed,
    ToolTimedOut,
    Unreachable,
)
from pytest_deploy.io.process import DEFAULT_INHERIT, Completed, run
from pytest_deploy.io.retry import TryAgain, patiently
from pytest_deploy.io.team_program import last_lines
from pytest_deploy.ports import Clock

__all__ = ["Gh", "Repository"]

_INHERIT = (
    *DEFAULT_INHERIT,
    "GH_TOKEN",
    "GITHUB_TOKEN",
    "GH_ENTERPRISE_TOKEN",
    "GITHUB_ENTERPRISE_TOKEN",
    "GH_CONFIG_DIR",
    "HTTPS_PROXY",
    "https_proxy",
    "NO_PROXY",
    "no_proxy",
)
"""https://cli.github.com/manual/gh_help_environment; GH_HOST and GH_REPO are not in it: they are said each time."""
_QUIET = {"GH_PROMPT_DISABLED": "1", "GH_NO_UPDATE_NOTIFIER": "1", "NO_COLOR": "1", "CLICOLOR": "0"}
_VERSION = "X-GitHub-Api-Version: 2022-11-28"
_ONCE_S = 30.0
_PATIENCE = timedelta(seconds=60)
_LOGIN_NEEDED = 4
"""``gh help exit-codes``."""
_STATUS = re.compile(r"HTTP/[\d.]+ (\d{3})")
_REPOSITORY = re.compile(r"(?:(?P<host>[A-Za-z0-9.:-]+)/)?(?P<owner>[A-Za-z0-9-]+)/(?P<name>[A-Za-z0-9._-]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A repository, as ``gh`` writes it: ``[HOST/]OWNER/REPO``."""

    owner: str
    name: str
    host: str = "github.com"

    @classmethod
    def parse(cls, text: str) -> Repository:
        """Return the repository; raises ValueError where the text is none."""
        match = _REPOSITORY.fullmatch(text)
        if match is None or match["name"] in {".", ".."}:
            msg = f"{text!r} is no repository: owner/name, or host/owner/name"
            raise ValueError(msg)
        return cls(owner=match["owner"], name=match["name"], host=match["host"] or "github.com")

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Repository | None:
        """Return the repository of the job that this process runs in; None: it runs in none."""
        name = environ.get("GITHUB_REPOSITORY", "")
        host = environ.get("GITHUB_SERVER_URL", "https://github.com").partition("://")[2].rstrip("/")
        return cls.parse(f"{host}/{name}") if name else None

    @property
    def path(self) -> str:
        """As the API's paths begin."""
        return f"repos/{self.owner}/{self.name}"

    def __str__(self) -> str:
        return f"{self.host}/{self.owner}/{self.name}"


class Gh:
    """``gh``, for one host.

    Args:
        program: name on PATH, or a path.
        host: ``github.com``, or a GitHub Enterprise Server.
        token: None: the one that gh finds itself (GH_TOKEN, GITHUB_TOKEN, its own login).
    """

    def __init__(self, program: str, *, host: str, clock: Clock, token: str | None = None) -> None:
        self.program = program
        self._clock = clock
        self._env: Mapping[str, str] = {**_QUIET, "GH_HOST": host}
        if token is not None:
            # gh reads the first for github.com and ghe.com, the second for every other host.
            self._env = {**self._env, "GH_TOKEN": token, "GH_ENTERPRISE_TOKEN": token}

    def read(self, path: str, *, needs: str) -> Json:
        """Return what ``GET path`` answers; tried again for a minute where that may help.

        Args:
            needs: the permission that the token must have, for the message when it has not.

        Raises:
            Rejected: 4xx: the token may not, or there is no such thing.
            Throttled, Unreachable, Faulted: no answer, or one that makes no sense.
            ToolMissing: gh itself.
        """

        def attempt(_left: timedelta) -> Json:
            return self._call(path, needs, "--method", "GET")

        return patiently(attempt, clock=self._clock, patience=_PATIENCE)

    def write(self, path: str, fields: Mapping[str, str], *, needs: str) -> Json:
        """Send ``POST path``, once; raises as ``read``: what was sent may have happened all the same."""
        arguments = [part for name, value in fields.items() for part in ("-f", f"{name}={value}")]
        try:
            return self._call(path, needs, "--method", "POST", *arguments)
        except TryAgain as again:
            raise again.error from again.__cause__

    def run(self, *arguments: str, needs: str) -> str:
        """Run any other verb of gh once, and return what it printed.

        Raises:
            ToolFailed: gh said no, in its own words.
            ToolMissing, ToolTimedOut: gh itself.
        """
        done = self._run(arguments)
        if done.status != 0:
            raise ToolFailed(f"{self._shown(arguments)}: {_words(done)}", hint=_permission(needs))
        return done.stdout

    def _call(self, path: str, needs: str, *arguments: str) -> Json:
        try:
            done = self._run(("api", "--include", "-H", _VERSION, path, *arguments))
        except ToolTimedOut as late:
            raise TryAgain(Unreachable(late.args[0], hint=late.hint)) from late
        head, _, body = done.stdout.replace("\r\n", "\n").partition("\n\n")
        status = _STATUS.match(head)
        if status is None:
            raise self._unanswered(path, done)
        return self._answer(path, needs, int(status[1]), head, body)

    def _answer(self, path: str, needs: str, status: int, head: str, body: str) -> Json:
        said = _message(body)
        error: RemoteError
        if status < 300:
            try:
                answer: Json = json.loads(body) if body.strip() else None
            except ValueError as broken:
                raise TryAgain(
                    Faulted(
                        f"GitHub, {path}: answered {status}, but with no JSON: {last_lines(body[:300], 1)!r}",
                        hint="see whether a proxy or a login page stands between",
                    )
                ) from broken
            return answer
        if status == 429 or (status == 403 and (_header(head, "x-ratelimit-remaining") == "0" or "rate limit" in said)):
            error = Throttled(f"GitHub, {path}: {status} {said}", hint="wait for the limit's reset: gh api rate_limit")
            after = _header(head, "retry-after")
            raise TryAgain(error, wait=timedelta(seconds=int(after)) if after.isdigit() else None)
        if status >= 500:
            raise TryAgain(Faulted(f"GitHub, {path}: {status} {said}", hint="see https://www.githubstatus.com"))
        hint = "log in: gh auth login, or set GH_TOKEN" if status == 401 else _permission(needs)
        raise Rejected(f"GitHub, {path}: {status} {said}", hint=hint)

    def _unanswered(self, path: str, done: Completed) -> Exception:
        words = _words(done)
        if done.status == _LOGIN_NEEDED:
            return Rejected(f"gh is not logged in: {words}", hint="gh auth login, or set GH_TOKEN")
        host = self._env["GH_HOST"]
        return TryAgain(
            Unreachable(f"GitHub at {host}, {path}: no answer: {words}", hint=f"see whether {host} can be reached")
        )

    def _run(self, arguments: tuple[str, ...]) -> Completed:
        done = run((self.program, *arguments), timeout_s=_ONCE_S, env=self._env, inherit=_INHERIT)
        if done.timed_out:
            raise ToolTimedOut(
                f"{self._shown(arguments)} had not ended after {_ONCE_S:g} s",
                hint=f"see whether {self._env['GH_HOST']} answers: {self.program} api rate_limit",
            )
        return done

    def _shown(self, arguments: tuple[str, ...]) -> str:
        return " ".join((self.program, *arguments[:3]))


def _header(head: str, name: str) -> str:
    for line in head.splitlines()[1:]:
        key, _, value = line.partition(":")
        if key.strip().casefold() == name:
            return value.strip()
    return ""


def _message(body: str) -> str:
    """Return GitHub's own words; a page of a proxy is cut to a line."""
    try:
        answer = json.loads(body)
    except ValueError:
        return last_lines(body[:300], 1)
    return str(answer.get("message", "")) if isinstance(answer, dict) else ""


def _words(done: Completed) -> str:
    return last_lines(done.stderr, 2).replace("\n", " ") or f"exit status {done.status}"


def _permission(needs: str) -> str:
    return f"the token needs {needs}; GitHub answers 404 where it may not see a thing, too"
