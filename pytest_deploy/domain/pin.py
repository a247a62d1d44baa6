"""What a GitOps deploy commits: one image's digest for one environment."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_deploy.domain.release import Digest

__all__ = ["Pin"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A digest to be committed to the environment repository.

    Args:
        repository: of the image, without tag or digest.
        commit: git SHA of the source it was built from; None: nobody knows.
        deploy_id: for the commit's message, as ``commit`` is.
        after: the environment whose file must hold this digest already; None: staging has been done otherwise.
    """

    service: str
    environment: str
    repository: str
    digest: Digest
    commit: str | None
    deploy_id: str
    after: str | None = None

    @property
    def image(self) -> str:
        """``repository@sha256:...``."""
        return f"{self.repository}@{self.digest}"

    @property
    def branch(self) -> str:
        """The branch of its commit: the same digest for the same environment has the same one."""
        return f"deploy/{self.service}-{self.environment}-{self.digest.partition(':')[2][:12]}"
