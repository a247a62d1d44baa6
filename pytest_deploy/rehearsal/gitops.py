"""GitOps without a repository: what would be committed where, and nothing is."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence

from pytest_deploy.domain.found import Found
from pytest_deploy.domain.pin import Pin
from pytest_deploy.domain.release import Environment
from pytest_deploy.domain.stack import Sign

__all__ = ["RehearsedGitOps", "RehearsedStack"]


class RehearsedGitOps:
    """Port ``GitOps``: the repository is as it should be, and takes what is pushed.

    Args:
        environments: that deploy.yaml gives to GitOps.
    """

    def __init__(self, environments: Collection[str]) -> None:
        self._environments = frozenset(environments)

    def covers(self, environment: str) -> bool:
        """Whether deploys to the environment are commits."""
        return environment in self._environments

    def check(self, environment: str) -> Found:
        """Return that it can be written."""
        return Found(f"rehearsed: the environment repository of {environment} can be written")

    def commit(self, pin: Pin) -> Found:
        """Return a commit that depends on what is pinned alone."""
        sha = hashlib.sha256(pin.image.encode()).hexdigest()[:40]
        facts = (("gitops_commit", sha), ("gitops_branch", pin.branch))
        return Found(f"rehearsed: {sha[:12]} on {pin.branch}; nothing was pushed", facts=facts)

    def verify(self, pin: Pin) -> Found:
        """Return that the branch is as it was made."""
        return Found(f"rehearsed: {pin.branch} changes nothing but the digest")


class RehearsedStack:
    """Port ``Stack``: the files are the real ones, the live objects are ours.

    Args:
        signs: what the files tell.
    """

    def __init__(self, signs: Sequence[Sign]) -> None:
        self._signs = tuple(signs)

    def files(self) -> tuple[Sign, ...]:
        """Return what the files tell."""
        return self._signs

    def live(self, environment: Environment) -> tuple[Sign, ...] | None:
        """Return no mark: everything is installed by Helm here."""
        del environment
        return ()
