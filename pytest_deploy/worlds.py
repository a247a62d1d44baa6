"""The three worlds that a deploy can act on, each as ports: real, rehearsed, sandbox."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, cast

from pytest_deploy.domain.outcome import Mode
from pytest_deploy.domain.release import Digest, ImageRef, Release
from pytest_deploy.errors import DeployError
from pytest_deploy.ports import Ports

if TYPE_CHECKING:
    from threading import Event

    from pytest_deploy.adapters.cluster_journal import ClusterJournal
    from pytest_deploy.adapters.lease import Lease
    from pytest_deploy.config.model import DeployConfig
    from pytest_deploy.io.kube import KubeApi
    from pytest_deploy.ports import Load, Metrics
    from pytest_deploy.sandbox.failpoints import Failpoint

__all__ = ["Wanted", "World", "recovering", "world"]


class _Unasked:
    """In the place of what a way back never asks, so that it needs no secrets: metrics."""

    def __getattr__(self, name: str) -> NoReturn:
        raise DeployError(f"a recovery judges nothing, but was to ask for metrics ({name})")


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
        from pytest_deploy.sandbox import failpoints, up
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
        point = failpoints.chosen(wanted.environ)
        made = _judging(
            replace(wanted, release=there), prometheus_url=stack.prometheus_url, helm=_helm(config), api=_api(point)
        )
        seed(made.ports, there)
        environment = there.environments[wanted.environment]
        ports = with_faults(stack, made.ports, environment, release.service, config.sections)
        return replace(made, ports=point.armed(ports) if point else ports)
    return _judging(wanted, prometheus_url=None, helm=config.tools.helm, api=_api(None))


def recovering(mode: Mode, wanted: Wanted) -> World:
    """Make the world of a deploy that died, to be recovered: journal and lock are those of ``wanted.deploy_id``.

    The sandbox is left as it is: neither started nor seeded, and its faults stay; the release's environments have
    its kubeconfig already.

    Raises:
        Refused: a kube context that does not exist.
    """
    point: Failpoint | None = None
    helm = wanted.config.tools.helm
    if mode is Mode.SANDBOX:
        from pytest_deploy.sandbox import failpoints

        point, helm = failpoints.chosen(wanted.environ), _helm(wanted.config)
    unasked = cast("Metrics", _Unasked())
    made = _real(wanted, metrics=unasked, load=None, helm=helm, api=_api(point))
    if made.of_deploy is None:
        raise AssertionError  # real worlds have it
    ports = made.of_deploy(wanted.deploy_id)
    return World(ports=point.armed(ports) if point else ports, release=wanted.release)


def _helm(config: DeployConfig) -> str:
    """Return the Helm of deploy.yaml; by default, and by the names helm3 and helm4, one of the toolchain's."""
    from pytest_deploy.sandbox import toolbox

    name = config.tools.helm
    if "/" in name:
        return name
    return toolbox().need("helm3" if name == "helm" and toolbox().find(name) is None else name)


def _api(point: Failpoint | None) -> KubeApi:
    from pytest_deploy.io.clock import SystemClock
    from pytest_deploy.io.kube import KubeApi

    clock = SystemClock()
    return KubeApi(clock=clock) if point is None else point.api(clock)


def _judging(wanted: Wanted, *, prometheus_url: str | None, helm: str, api: KubeApi) -> World:
    """Return the world of a deploy that judges: with metrics and load, and the secrets that they need."""
    from pytest_deploy import providers
    from pytest_deploy.config.secrets import Secrets
    from pytest_deploy.io.clock import SystemClock

    secrets = Secrets(wanted.environ, wanted.config.folder)
    metrics = providers.metrics(wanted.config, SystemClock(), secrets, prometheus_url=prometheus_url)
    ports = _real(wanted, metrics=metrics, load=providers.load(wanted.config, secrets), helm=helm, api=api)
    return World(ports=ports, release=wanted.release, secrets=frozenset(secrets.seen))


def _real(wanted: Wanted, *, metrics: Metrics, load: Load | None, helm: str, api: KubeApi) -> Ports:
    from pytest_deploy.adapters.argo import ArgoRollouts
    from pytest_deploy.adapters.helm import HelmCli
    from pytest_deploy.adapters.journal import JsonlJournal
    from pytest_deploy.adapters.kubernetes import KubernetesCluster
    from pytest_deploy.adapters.mirrored_journal import MirroredJournal
    from pytest_deploy.adapters.script import TeamScripts
    from pytest_deploy.io.clock import SystemClock
    from pytest_deploy.io.process import Leash

    config, release, clock = wanted.config, wanted.release, SystemClock()
    for env in release.environments.values():
        api.at(env.context, env.kubeconfig)  # one that does not exist is found before anything is done
    journal, lock = _beside(wanted, api, wanted.deploy_id)

    def helm_until(lost: Event) -> HelmCli:
        # Ended before anybody may take the lock over; the API server tells its time in whole seconds.
        silence_s = config.lock.lease.total_seconds() - 1
        return HelmCli(helm, clock=clock, leash=Leash(let_go=lost, silence_s=silence_s))

    ports = Ports(
        clock=clock,
        # A copy stands among the reports; the one beside the workload survives this machine.
        journal=MirroredJournal(journal, JsonlJournal(wanted.folder / "journal.jsonl")),
        cluster=KubernetesCluster(api, release.environments, clock=clock),
        helm=helm_until(lock.lost),
        traffic=ArgoRollouts(api, release.environments),
        metrics=metrics,
        scripts=TeamScripts(
            config.folder, timeout=timedelta(seconds=config.gate.script_timeout_s), inherit=config.gate.script_env
        ),
        load=load,
        lock=lock,
        helm_binary=helm,
    )

    def of_deploy(deploy_id: str) -> Ports:
        # Not mirrored: on another machine the copy would have gaps.
        other_journal, other_lock = _beside(wanted, api, deploy_id)
        return replace(ports, journal=other_journal, lock=other_lock, helm=helm_until(other_lock.lost))

    return replace(ports, of_deploy=of_deploy)


def _beside(wanted: Wanted, api: KubeApi, deploy_id: str) -> tuple[ClusterJournal, Lease]:
    """Return a deploy's journal and lock beside the workload."""
    from pytest_deploy.adapters.cluster_journal import ClusterJournal
    from pytest_deploy.adapters.fence import Fence
    from pytest_deploy.adapters.journal_map import JournalMap
    from pytest_deploy.adapters.lease import Lease
    from pytest_deploy.adapters.lease_object import LeaseObject
    from pytest_deploy.io import person

    env, settings = wanted.release.environments[wanted.environment], wanted.config.lock
    connection = api.at(env.context, env.kubeconfig)
    workload, by = env.release or env.rollout, person.who(wanted.environ)
    journal_map = JournalMap(connection, env.namespace, workload)

    def is_open(other: str) -> bool:
        record = journal_map.read().records.get(other)
        return record is not None and record.open

    lock = Lease(
        LeaseObject(connection, env.namespace, workload),
        Fence(connection, env.namespace, env.rollout),
        deploy_id,
        by=by,
        is_open=is_open,
        lease=settings.lease,
        renew=settings.renew,
    )
    return ClusterJournal(journal_map, deploy_id, by=by), lock


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
    ports = replace(
        made.ports(),
        journal=JsonlJournal(wanted.folder / "journal.jsonl"),
        lock=made.lock(wanted.environment, wanted.deploy_id),
    )
    return World(ports=ports, release=there)


def _pinned(release: Release, deploy_id: str) -> ImageRef:
    """Return the image with its digest; where none is given, and nothing is ever pulled, one made up for the deploy."""
    if release.image.digest is not None:
        return release.image
    return release.image.with_digest(Digest("sha256:" + hashlib.sha256(deploy_id.encode()).hexdigest()))
