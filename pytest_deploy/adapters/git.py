"""git, on a bare clone: no working tree, so that no filter, hook or link of the repository has any effect."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from pathlib import Path

from pytest_deploy.errors import Refused, ToolFailed, ToolTimedOut
from pytest_deploy.io.process import DEFAULT_INHERIT, Completed, run
from pytest_deploy.io.team_program import last_lines

__all__ = ["Git", "origin"]

_INHERIT = (*DEFAULT_INHERIT, "SSH_AUTH_SOCK", "GIT_SSH_COMMAND", "GIT_SSH", "HTTPS_PROXY", "https_proxy", "NO_PROXY")
_TIMEOUT_S = 120.0
_LOCAL_S = 10.0
_PLAIN = ("100644", "100755")
_REMOTE = "refs/remotes/origin/"
_SAFE = (
    "-c", "core.hooksPath=/dev/null", "-c", "protocol.ext.allow=never", "-c", "advice.detachedHead=false",
    "-c", "gc.auto=0", "-c", "init.defaultBranch=main",
)  # fmt: skip


class Git:
    """A bare clone of one branch, thrown away after use.

    Args:
        folder: empty, of the clone.
        token: sent to the host of an https address only; None: git's own credentials.
    """

    def __init__(self, url: str, folder: Path, *, token: str | None) -> None:
        self.url = url
        self._folder = folder
        self._env = {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true", "LC_ALL": "C", **_header(url, token)}

    def clone(self, branch: str) -> None:
        """Fetch the branch's newest commit, as HEAD; raises ToolFailed."""
        self._git("clone", "--quiet", "--bare", "--depth=1", "--single-branch", "--no-tags", "--branch", branch,
                  "--", self.url, str(self._folder), inside=False)  # fmt: skip

    def commit(self, name: str) -> str:
        """Return the SHA of a commit."""
        return self._git("rev-parse", "--verify", "--end-of-options", f"{name}^{{commit}}").stdout.strip()

    def file(self, commit: str, path: str) -> tuple[str, str | None]:
        """Return mode and text of a file; ("", None) where there is none, no text of what is no plain UTF-8 file."""
        listed = self._git("ls-tree", "-z", commit, "--", path).stdout
        entry = re.match(r"(\d+) (\w+) ([0-9a-f]+)\t", listed)
        if entry is None:
            return "", None
        mode, kind, blob = entry.groups()
        if kind != "blob" or mode not in _PLAIN:
            return mode, None
        text = self._git("cat-file", "blob", blob).stdout
        return mode, None if "\ufffd" in text or "\0" in text else text

    def fetch(self, branch: str) -> str | None:
        """Fetch another branch and return its commit; None where the repository has no such branch."""
        listed = self._git("ls-remote", "--exit-code", "--", self.url, f"refs/heads/{branch}", accept=(2,))
        if listed.status == 2:
            return None
        self._git("fetch", "--quiet", "--no-tags", "--depth=2", "origin", f"+refs/heads/{branch}:{_REMOTE}{branch}")
        return self.commit(f"{_REMOTE}{branch}")

    def with_file(self, path: str, text: str, *, mode: str, message: str, author: str) -> str:
        """Return the SHA of a new commit on HEAD that changes this file and no other; nothing is pushed yet."""
        name, _, address = author.rstrip(">").partition(" <")
        who = {f"GIT_{role}_{part}": value for role in ("AUTHOR", "COMMITTER")
               for part, value in (("NAME", name), ("EMAIL", address))}  # fmt: skip
        blob = self._git("hash-object", "-w", "--stdin", stdin=text).stdout.strip()
        self._git("read-tree", "HEAD")
        self._git("update-index", "--cacheinfo", f"{mode},{blob},{path}")
        tree = self._git("write-tree").stdout.strip()
        made = self._git("commit-tree", tree, "-p", self.commit("HEAD"), stdin=message, env=who)
        return made.stdout.strip()

    def push(self, sha: str, branch: str) -> None:
        """Push a commit as a new branch, never by force; raises ToolFailed."""
        self._git("push", "--quiet", "--porcelain", "origin", f"{sha}:refs/heads/{branch}")

    def try_push(self, branch: str) -> None:
        """Ask whether a branch may be pushed, and push nothing; raises ToolFailed where not."""
        self._git("push", "--quiet", "--dry-run", "--porcelain", "origin", f"HEAD:refs/heads/{branch}")

    def merge_base(self, one: str, other: str) -> str | None:
        """Return the commit where two branches part, fetching more of their history where that takes it."""
        found = self._git("merge-base", one, other, accept=(1,))
        if found.status == 1 and self._git("rev-parse", "--is-shallow-repository").stdout.strip() == "true":
            self._git("fetch", "--quiet", "--no-tags", "--unshallow", "origin")
            found = self._git("merge-base", one, other, accept=(1,))
        return found.stdout.strip() or None

    def changed(self, one: str, other: str) -> list[str]:
        """Return the paths of all files that differ."""
        out = self._git("diff-tree", "-r", "-z", "--name-only", "--no-renames", one, other).stdout
        return [path for path in out.split("\0") if path]

    def diff(self, one: str, other: str) -> str:
        """Return the difference as a person reads it."""
        return self._git("diff", "--no-color", "--no-ext-diff", "--no-textconv", one, other).stdout

    def _git(
        self,
        *arguments: str,
        stdin: str | None = None,
        env: Mapping[str, str] | None = None,
        accept: tuple[int, ...] = (),
        inside: bool = True,
    ) -> Completed:
        where = ("--git-dir", str(self._folder)) if inside else ()
        done = _run(("git", *_SAFE, *where, *arguments), env={**self._env, **(env or {})}, stdin=stdin)
        if done.timed_out:
            raise ToolTimedOut(
                f"git {arguments[0]} of {self.url} had no end after {_TIMEOUT_S:.0f} s",
                hint="see whether its host answers",
            )
        if done.cut:
            raise ToolFailed(f"git {arguments[0]} of {self.url}: too much output to be read whole")
        if done.status and done.status not in accept:
            words = last_lines(done.stderr or done.stdout, 4).replace("\n", "; ")
            raise ToolFailed(
                f"git {arguments[0]} of {self.url} ended with status {done.status}: {words or 'no words'}",
                hint=_hint(arguments[0], words),
            )
        return done


def origin(folder: Path) -> str:
    """Return the address of the origin of the repository that the folder is in.

    Raises:
        Refused: it has none.
    """
    done = _run(("git", "-C", str(folder), "remote", "get-url", "origin"), env={}, timeout_s=_LOCAL_S)
    if done.status or not done.stdout.strip():
        raise Refused(
            "the repository of deploy.yaml has no remote 'origin', and gitops.repository names no other",
            hint="set gitops.repository",
        )
    return done.stdout.strip()


def _run(
    argv: tuple[str, ...], *, env: Mapping[str, str], stdin: str | None = None, timeout_s: float = _TIMEOUT_S
) -> Completed:
    return run(argv, timeout_s=timeout_s, env=env, inherit=_INHERIT, stdin=stdin)


def _header(url: str, token: str | None) -> dict[str, str]:
    """Return git's settings that send the token, in its environment: an argument could be seen by everybody.

    The same header as https://github.com/actions/checkout sets.
    """
    host = re.match(r"(https://[^/]+/)", url)
    if token is None or host is None:
        return {}
    basic = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"http.{host[1]}.extraHeader",
        "GIT_CONFIG_VALUE_0": f"Authorization: Basic {basic}",
    }


def _hint(command: str, words: str) -> str:
    if "Authentication failed" in words or "could not read Username" in words or "403" in words:
        return "give a token that may read and push (gitops.token), or an SSH key"
    if command == "clone" and "Remote branch" in words:
        return "correct gitops.branch"
    if command == "push":
        return "see who may push branches deploy/* there"
    return "see whether its host can be reached from here"
