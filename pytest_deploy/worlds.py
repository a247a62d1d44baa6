"""The three worlds that a deploy can act on, each as ports: real, rehearsed, sandbox."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_deploy.domain.outcome import Mode
from pytest_deploy.domain.release import Digest, ImageRef, Release
from pytest_deploy.ports import Ports

if TYPE_CHECKING:
    from pytest_deploy.config.model import DeployConfig
    from pytest_deploy.io.kube import Connection
    from pytest_deploy.ports import Journal

__all__ = ["Wanted", "World", "world"]


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
    """

    config: DeployConfig
    release: Release
    environment: str
    folder: Path
    deploy_id: str
    environ: Mapping[str, str]
    say: Callable[[str], None]


def world(mode: Mode, wanted: Wanted) -> World:
    """Make the world of this mode.

    Raises:
        Refused: a kube context that does not exist.
        ConfigError: a secret that deploy.yaml names is not there.
        DeployError: the sandbox can't be started.
    """
    if mode is Mode.REHEARSAL:
        return _rehearsed(wanted)
    config, release = wanted.config, wanted.release
    if mode is Mode.SANDBOX:
        from pytest_deploy.sandbox import up
        from pytest_deploy.sandbox.drills import with_faults
        from pytest_deploy.sandbox.seed import seed

        stack = up(say=wanted.say)
        there = replace(
            release,
            image=_pinned(release, wanted.deploy_id),
            environments={
                name: replace(env, kubeconfig=stack.kubeconfig) for name, env in release.environments.items()
            },
        )
        made = _real(replace(wanted, release=there), prometheus_url=stack.prometheus_url, helm=_helm(config))
        seed(made.ports, there)
        environment = there.environments[wanted.environment]
        return replace(made, ports=with_faults(stack, made.ports, environment, release.service, config.sections))
    return _real(wanted, prometheus_url=None, helm=config.tools.helm)


def _helm(config: DeployConfig) -> str:
    """Return the Helm of deploy.yaml; by default, and by the names helm3 and helm4, one of the toolchain's."""
    from pytest_deploy.sandbox import toolbox

    name = config.tools.helm
    if "/" in name:
        return name
    return toolbox().need("helm3" if name == "helm" and toolbox().find(name) is None else name)


def _real(wanted: Wanted, *, prometheus_url: str | None, helm: str) -> World:
    from pytest_deploy import providers
    from pytest_deploy.adapters.argo import ArgoRollouts
    from pytest_deploy.adapters.helm import HelmCli
    from pytest_deploy.adapters.kubernetes import KubernetesCluster
    from pytest_deploy.adapters.script import TeamScripts
    from pytest_deploy.config.secrets import Secrets
    from pytest_deploy.io.clock import SystemClock
    from pytest_deploy.io.kube import KubeApi

    config, release, clock = wanted.config, wanted.release, SystemClock()
    secrets = Secrets(wanted.environ, config.folder)
    api = KubeApi(clock=clock)
    connections = {name: api.at(env.context, env.kubeconfig) for name, env in release.environments.items()}
    ports = Ports(
        clock=clock,
        journal=_journal(wanted, connections[wanted.environment]),
        cluster=KubernetesCluster(api, release.environments, clock=clock),
        helm=HelmCli(helm, clock=clock),
        traffic=ArgoRollouts(api, release.environments),
        metrics=providers.metrics(config, clock, secrets, prometheus_url=prometheus_url),
        scripts=TeamScripts(
            config.folder, timeout=timedelta(seconds=config.gate.script_timeout_s), inherit=config.gate.script_env
        ),
        load=providers.load(config, secrets),
        helm_binary=helm,
    )
    return World(ports=ports, release=release, secrets=frozenset(secrets.seen))


def _journal(wanted: Wanted, connection: Connection) -> Journal:
    """Return the journal beside the workload, which survives this machine, with a copy among the reports."""
    from pytest_deploy.adapters.cluster_journal import ClusterJournal
    from pytest_deploy.adapters.journal import JsonlJournal
    from pytest_deploy.adapters.journal_map import JournalMap
    from pytest_deploy.adapters.mirrored_journal import MirroredJournal
    from pytest_deploy.io import person

    env = wanted.release.environments[wanted.environment]
    beside = JournalMap(connection, env.namespace, env.release or env.rollout)
    truth = ClusterJournal(beside, wanted.deploy_id, by=person.who(wanted.environ))
    return MirroredJournal(truth, JsonlJournal(wanted.folder / "journal.jsonl"))


def _rehearsed(wanted: Wanted) -> World:
    from pytest_deploy.adapters.journal import JsonlJournal
    from pytest_deploy.rehearsal import World as Rehearsal

    config, release = wanted.config, wanted.release
    there = release if "build" in config.sections else replace(release, image=_pinned(release, wanted.deploy_id))
    made = Rehearsal(
        release=there,
        scrape_interval=config.metrics.scrape_interval,
        version_label=config.metrics.tells_versions_apart,
        queries=config.metrics.named_queries,
        sections=config.sections,
        start=datetime.now(UTC).replace(microsecond=0),
        slo=config.slo,
        folder=config.folder,
        load=config.load is not None,
        load_rate_per_s=config.load.http.rate_per_s if config.load and config.load.http else None,
    )
    ports = replace(made.ports(), journal=JsonlJournal(wanted.folder / "journal.jsonl"))
    return World(ports=ports, release=there)


def _pinned(release: Release, deploy_id: str) -> ImageRef:
    """Return the image with its digest; where none is given, and nothing is ever pulled, one made up for the deploy."""
    if release.image.digest is not None:
        return release.image
    return release.image.with_digest(Digest("sha256:" + hashlib.sha256(deploy_id.encode()).hexdigest()))
