"""The source that is checked out here, as git tells it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pytest_deploy.errors import Refused, ToolFailed
from pytest_deploy.io.process import Completed, run
from pytest_deploy.io.team_program import last_lines

__all__ = ["Source", "read_source"]

_TIMEOUT_S = 30.0
_SHORT = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What an image is built from.

    Args:
        commit: the whole SHA.
        changed: paths that differ from the commit or that it lacks; ignored files are not among them.
        url: of the remote ``origin``, without credentials; None where there is none.
    """

    commit: str
    changed: tuple[str, ...]
    url: str | None

    @property
    def revision(self) -> str:
        """The commit, marked where what is here is something else, as BuildKit marks it."""
        return f"{self.commit}-dirty" if self.changed else self.commit

    @property
    def tag(self) -> str:
        """``sha-1a2b3c4``, as docker/metadata-action makes it."""
        return f"sha-{self.commit[:_SHORT]}{'-dirty' if self.changed else ''}"


def read_source(folder: Path) -> Source:
    """Return what is checked out in the folder's repository.

    Raises:
        Refused: it is in no repository, or there is no commit yet.
        ToolMissing, ToolFailed: git is not here, or does not answer.
    """
    head = _git(folder, "rev-parse", "--verify", "HEAD")
    if head.status:
        raise Refused(
            f"{folder} is no checkout with a commit: {last_lines(head.stderr, 2)}",
            hint="build from a git checkout: an image without a commit is nobody's; git init, then commit",
        )
    state = _git(folder, "status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all")
    if state.status:
        raise ToolFailed(f"git status of {folder} failed: {last_lines(state.stderr, 2)}")
    origin = _git(folder, "remote", "get-url", "origin")
    return Source(
        commit=head.stdout.strip(),
        changed=tuple(entry[3:] for entry in state.stdout.split("\0") if entry),
        url=_without_credentials(origin.stdout.strip()) or None if origin.status == 0 else None,
    )


def _git(folder: Path, *arguments: str) -> Completed:
    done = run(("git", "-C", str(folder), *arguments), timeout_s=_TIMEOUT_S, env={"LC_ALL": "C"})
    if done.timed_out:
        raise ToolFailed(f"git {arguments[0]} of {folder} had no end after {_TIMEOUT_S:.0f} s")
    return done


def _without_credentials(url: str) -> str:
    return re.sub(r"^([a-z+]+://)[^/@]*@", r"\1", url)
