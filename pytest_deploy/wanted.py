"""What world is asked for, and what a world is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_deploy.domain.release import Digest, ImageRef, Release
from pytest_deploy.ports import Ports

if TYPE_CHECKING:
    from pytest_deploy.config.model import DeployConfig

__all__ = ["Wanted", "World", "pinned"]


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Ports, and the release as this world sees it (contexts, kubeconfig, digest).

    Args:
        secrets: what was looked up to make it, to be taken out of all text.
    """

    ports: Ports
    release: Release
    secrets: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What world is wanted.

    Args:
        environment: the one that the deploy is bound for.
        folder: the deploy's reports; its local journal stands there.
        environ: of the process, for named secrets and for who deploys.
        say: is told what takes long.
        commit, chart_hash: of what is deployed, as ``Deploy`` has them.
        candidate: the feature asks for a release candidate's record.
        installs: environments where the release is installed before this one; None: whatever deploy.yaml has.
    """

    config: DeployConfig
    release: Release
    environment: str
    folder: Path
    deploy_id: str
    environ: Mapping[str, str]
    say: Callable[[str], None]
    commit: str | None = None
    chart_hash: str = ""
    candidate: bool = False
    installs: tuple[str, ...] | None = None

    @property
    def touched(self) -> tuple[str, ...]:
        """The environments that the deploy may reach for: a release candidate's job has no context of production."""
        known = self.release.environments
        return tuple(
            name for name in (*(known if self.installs is None else self.installs), self.environment) if name in known
        )


def pinned(release: Release, deploy_id: str) -> ImageRef:
    """Return the image with its digest; where none is given, and nothing is ever pulled, one made up for the deploy."""
    if release.image.digest is not None:
        return release.image
    return release.image.with_digest(Digest("sha256:" + hashlib.sha256(deploy_id.encode()).hexdigest()))
