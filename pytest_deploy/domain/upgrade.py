"""How a release's image is brought to an environment: the one place that builds the ``helm upgrade``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta

from pytest_deploy.domain.action import HelmUpgrade, Target
from pytest_deploy.domain.release import Digest, Environment, Release

__all__ = ["release_target", "rollout_target", "upgrade"]


def rollout_target(environment: Environment) -> Target:
    """Return the rollout of the environment."""
    return _target(environment, environment.rollout)


def release_target(environment: Environment) -> Target | None:
    """Return the Helm release of the environment; None where no release owns the rollout."""
    return None if environment.release is None else _target(environment, environment.release)


def upgrade(
    release: Release,
    environment: Environment,
    target: Target,
    *,
    digest: Digest,
    base_revision: int,
    timeout: timedelta,
    labels: Mapping[str, str],
) -> HelmUpgrade:
    """Return the ``helm upgrade`` that brings the image to the environment.

    Args:
        target: the Helm release.
        base_revision: its last revision as it was seen; 0: not installed.
    """
    return HelmUpgrade(
        target=target,
        chart=str(release.chart_path),
        values_files=() if environment.values_file is None else (str(environment.values_file),),
        values=(
            *release.values,
            ("image.repository", json.dumps(release.image.repository)),
            ("image.digest", json.dumps(digest)),
        ),
        base_revision=base_revision,
        timeout=timeout,
        labels=tuple(labels.items()),
    )


def _target(environment: Environment, name: str) -> Target:
    return Target(
        environment=environment.name,
        context=environment.context,
        namespace=environment.namespace,
        name=name,
        kubeconfig=str(environment.kubeconfig) if environment.kubeconfig else None,
    )
