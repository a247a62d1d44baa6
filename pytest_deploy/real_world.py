"""Ports on real clusters: Helm, Kubernetes, Argo Rollouts, with journal and lock beside the workload."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from pytest_deploy.ports import Ports

if TYPE_CHECKING:
    from threading import Event

    from pytest_deploy.adapters.cluster_journal import ClusterJournal
    from pytest_deploy.adapters.lease import Lease
    from pytest_deploy.io.kube import KubeApi
    from pytest_deploy.ports import Load, Metrics
    from pytest_deploy.wanted import Wanted

__all__ = ["real"]


def real(wanted: Wanted, *, metrics: Metrics, load: Load | None, helm: str, api: KubeApi) -> Ports:
    """Return them; what stands around the deploy (``capabilities``) is not among them.

    Args:
        helm: the binary.

    Raises:
        Refused: a kube context that does not exist, or a service that runs on another platform.
    """
    from pytest_deploy.adapters.argo import ArgoRollouts
    from pytest_deploy.adapters.helm import HelmCli
    from pytest_deploy.adapters.journal import JsonlJournal
    from pytest_deploy.adapters.kubernetes import KubernetesCluster
    from pytest_deploy.adapters.mirrored_journal import MirroredJournal
    from pytest_deploy.adapters.repository import signs
    from pytest_deploy.adapters.script import TeamScripts
    from pytest_deploy.engine import detect
    from pytest_deploy.io.clock import SystemClock
    from pytest_deploy.io.process import Leash

    config, release, clock = wanted.config, wanted.release, SystemClock()
    detect.check_files(signs(config.folder))  # before anything is asked of a cluster that there may not be
    committed = frozenset(config.gitops.environments) if config.gitops is not None else frozenset[str]()
    for name in sorted(frozenset(wanted.touched) - committed):
        env = release.environments[name]
        api.at(env.context, env.kubeconfig)  # one that does not exist is found before anything is done

    def helm_until(lost: Event | None) -> HelmCli:
        # Ended before anybody may take the lock over; the API server tells its time in whole seconds.
        silence_s = config.lock.lease.total_seconds() - 1
        return HelmCli(helm, clock=clock, leash=Leash(let_go=lost, silence_s=silence_s) if lost is not None else None)

    local = JsonlJournal(wanted.folder / "journal.jsonl")
    ports = Ports(
        clock=clock,
        journal=local,
        cluster=KubernetesCluster(api, release.environments, clock=clock),
        helm=helm_until(None),
        traffic=ArgoRollouts(api, release.environments),
        metrics=metrics,
        scripts=TeamScripts(
            config.folder, timeout=timedelta(seconds=config.gate.script_timeout_s), inherit=config.gate.script_env
        ),
        load=load,
        helm_binary=helm,
    )
    if wanted.environment in committed:
        return ports  # nothing is written beside a workload that a controller keeps as git has it
    journal, lock = _beside(wanted, api, wanted.deploy_id)
    # A copy stands among the reports; the one beside the workload survives this machine.
    mirrored = MirroredJournal(journal, local)

    def of_deploy(deploy_id: str) -> Ports:
        # Not mirrored: on another machine the copy would have gaps.
        other_journal, other_lock = _beside(wanted, api, deploy_id)
        return replace(ports, journal=other_journal, lock=other_lock, helm=helm_until(other_lock.lost))

    return replace(ports, journal=mirrored, lock=lock, helm=helm_until(lock.lost), of_deploy=of_deploy)


def _beside(wanted: Wanted, api: KubeApi, deploy_id: str) -> tuple[ClusterJournal, Lease]:
    """Return a deploy's journal and lock beside the workload."""
    from pytest_deploy.adapters import github_run
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
        still_runs=partial(
            github_run.still_runs,
            environ=wanted.environ,
            program=wanted.config.tools.gh,
            clock=connection.clock,
            say=wanted.say,
        ),
    )
    return ClusterJournal(journal_map, deploy_id, by=by), lock
