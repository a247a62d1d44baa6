"""The three worlds that a deploy can act on, each as ports: real, rehearsed, sandbox."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_deploy.domain.outcome import Mode
from pytest_deploy.domain.release import Digest, ImageRef, Release
from pytest_deploy.ports import Ports

if TYPE_CHECKING:
    from pytest_deploy.config.model import DeployConfig

__all__ = ["World", "world"]


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Ports, and the release as this world sees it (contexts, kubeconfig, digest)."""

    ports: Ports
    release: Release


def world(
    mode: Mode,
    config: DeployConfig,
    release: Release,
    environment: str,
    folder: Path,
    deploy_id: str,
    say: Callable[[str], None],
) -> World:
    """Make the world of this mode.

    Args:
        environment: the one that the deploy is bound for.
        folder: the deploy's reports; its journal stands there.
        say: is told what takes long.

    Raises:
        Refused: a kube context that does not exist.
        DeployError: the sandbox can't be started.
    """
    if mode is Mode.REHEARSAL:
        return _rehearsed(config, release, folder, deploy_id)
    if mode is Mode.SANDBOX:
        from pytest_deploy.sandbox import up
        from pytest_deploy.sandbox.drills import with_faults
        from pytest_deploy.sandbox.seed import seed

        stack = up(say=say)
        there = replace(
            release,
            image=_pinned(release, deploy_id),
            environments={
                name: replace(env, kubeconfig=stack.kubeconfig) for name, env in release.environments.items()
            },
        )
        ports = _real(config, there, folder, prometheus_url=stack.prometheus_url, helm=_helm(config))
        seed(ports, there)
        faulty = with_faults(stack, ports, there.environments[environment], release.service, config.sections)
        return World(ports=faulty, release=there)
    return World(
        ports=_real(config, release, folder, prometheus_url=config.metrics.prometheus.url, helm=config.tools.helm),
        release=release,
    )


def _helm(config: DeployConfig) -> str:
    """Return the Helm of deploy.yaml; by default, and by the names helm3 and helm4, one of the toolchain's."""
    from pytest_deploy.sandbox import toolbox

    name = config.tools.helm
    if "/" in name:
        return name
    return toolbox().need("helm3" if name == "helm" and toolbox().find(name) is None else name)


def _real(config: DeployConfig, release: Release, folder: Path, *, prometheus_url: str, helm: str) -> Ports:
    from pytest_deploy.adapters.argo import ArgoRollouts
    from pytest_deploy.adapters.helm import HelmCli
    from pytest_deploy.adapters.journal import JsonlJournal
    from pytest_deploy.adapters.kubernetes import KubernetesCluster
    from pytest_deploy.adapters.prometheus import Prometheus
    from pytest_deploy.io.clock import SystemClock
    from pytest_deploy.io.kube import KubeApi

    clock = SystemClock()
    api = KubeApi(clock=clock)
    for env in release.environments.values():
        api.at(env.context, env.kubeconfig)
    section = config.metrics.prometheus
    return Ports(
        clock=clock,
        journal=JsonlJournal(folder / "journal.jsonl"),
        cluster=KubernetesCluster(api, release.environments, clock=clock),
        helm=HelmCli(helm, clock=clock),
        traffic=ArgoRollouts(api, release.environments),
        metrics=Prometheus(
            prometheus_url,
            requests_metric=section.requests_metric,
            duration_metric=section.duration_metric,
            service_label=section.service_label,
            status_label=section.status_label,
            version_label=section.version_label,
            scrape_interval=timedelta(seconds=section.scrape_interval_s),
            timeout=timedelta(seconds=section.timeout_s),
            clock=clock,
        ),
        helm_binary=helm,
    )


def _rehearsed(config: DeployConfig, release: Release, folder: Path, deploy_id: str) -> World:
    from pytest_deploy.adapters.journal import JsonlJournal
    from pytest_deploy.rehearsal import World as Rehearsal

    section = config.metrics.prometheus
    there = release if "build" in config.sections else replace(release, image=_pinned(release, deploy_id))
    made = Rehearsal(
        release=there,
        scrape_interval=timedelta(seconds=section.scrape_interval_s),
        version_label=section.version_label is not None,
        sections=config.sections,
        start=datetime.now(UTC).replace(microsecond=0),
    )
    ports = replace(made.ports(), journal=JsonlJournal(folder / "journal.jsonl"))
    return World(ports=ports, release=there)


def _pinned(release: Release, deploy_id: str) -> ImageRef:
    """Return the image with its digest; where none is given, and nothing is ever pulled, one made up for the deploy."""
    if release.image.digest is not None:
        return release.image
    return release.image.with_digest(Digest("sha256:" + hashlib.sha256(deploy_id.encode()).hexdigest()))
