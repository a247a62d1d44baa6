"""``timeouts`` and ``tools``: how long each part may take, and which programs are run."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from pytest_deploy.config.fields import Minutes
from pytest_deploy.config.paths import Program
from pytest_deploy.config.section import Section

__all__ = ["TimeoutsSection", "ToolsSection"]


class TimeoutsSection(Section):
    """``timeouts``: how long each part may take."""

    helm_minutes: Minutes = Field(default=5, examples=[5])
    """Minutes for one Helm operation. 5: Helm's own default."""
    step_minutes: Minutes = Field(default=10, examples=[10])
    """Minutes until a weight is there and its pods are ready. 10: Kubernetes' own progress deadline."""
    rollback_minutes: Minutes = Field(default=5, examples=[5])
    """Minutes for the whole way back. 5: past that, a human is needed anyway."""

    @property
    def helm(self) -> timedelta:
        """One Helm operation."""
        return timedelta(minutes=self.helm_minutes)

    @property
    def step(self) -> timedelta:
        """Until a weight is there."""
        return timedelta(minutes=self.step_minutes)

    @property
    def rollback(self) -> timedelta:
        """The whole way back."""
        return timedelta(minutes=self.rollback_minutes)


class ToolsSection(Section):
    """``tools``: the programs that are run."""

    helm: Program = Field(default="helm", examples=["helm"])
    """Name on PATH, or a path from deploy.yaml's folder. Default: what PATH has; so are those below."""
    gh: Program = Field(default="gh", examples=["gh"])
    """GitHub's own command line, where approval or gitops need it."""
    cosign: Program = Field(default="cosign", examples=["cosign"])
    """Signs and verifies: for sign, record and approval.file."""
    trivy: Program = Field(default="trivy", examples=["trivy"])
    """For scan."""
    kubeconform: Program = Field(default="kubeconform", examples=["kubeconform"])
    """For chart_checks."""
