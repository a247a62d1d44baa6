"""What is open for a release: read from the journals beside its workloads, else from the local reports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pytest_deploy.domain.hold import Hold, open_hold
from pytest_deploy.domain.journal import Entry, is_open, open_undos
from pytest_deploy.domain.lifecycle import Move, State, move, state_of
from pytest_deploy.domain.lock import Holder
from pytest_deploy.domain.upgrade import rollout_target
from pytest_deploy.errors import ConfigError, DeployError, Refused

if TYPE_CHECKING:
    from pytest_deploy.config.model import DeployConfig
    from pytest_deploy.domain.policy import Decision
    from pytest_deploy.domain.release import Environment, Release
    from pytest_deploy.domain.rollout import RolloutState
    from pytest_deploy.io.kube import Connection, KubeApi

__all__ = ["Decidable", "Found", "OpenDeploy", "config_of", "in_cluster", "in_reports", "release_of"]

_NEWEST = 50
"""Reports that are looked at; a deploy that waits is among the newest."""


class Decidable(Protocol):
    """A journal that takes a person's answer."""

    def decide(self, decision: Decision) -> None:
        """Store it; raises Refused where it answers nothing, DeployError where it can't be stored."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDeploy:
    """A deploy that has not ended.

    Args:
        by: who runs it; "" where it is not known.
        where: the environment with its cluster and namespace, or the local journal's path.
        hold: the gate that waits; None: none does.
        decided: the answer to it that the run has not taken yet; None: there is none.
        rollout: as it is now; None where it can't be read.
        connection: of its API server; None: it is known from the local reports alone.
        holder: of its workload's lock, be it this deploy or another; None: nobody, or it can't be read.
    """

    deploy_id: str
    by: str
    where: str
    entries: Sequence[Entry]
    hold: Hold | None
    decided: Decision | None
    journal: Decidable
    environment: str | None = None
    rollout: RolloutState | None = None
    connection: Connection | None = None
    holder: Holder | None = None

    @property
    def state(self) -> State:
        """How far it is."""
        return state_of(self.entries)

    @property
    def move(self) -> Move:
        """What ``recover`` does with it once its process is gone."""
        return move(self.state, open_undos(self.entries))

    @property
    def lives(self) -> bool:
        """Whether its process, or one that recovers it, renews its lock."""
        return self.holder is not None and self.holder.deploy_id == self.deploy_id and not self.holder.expired


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a look found.

    Args:
        last: by environment, the deploy that ended last; the environments that could be read.
        problems: what could not be read, and why.
    """

    deploys: tuple[OpenDeploy, ...]
    last: Mapping[str, Mapping[str, str]]
    problems: tuple[DeployError, ...]


def release_of(path: Path | None, *, in_sandbox: bool) -> Release:
    """Return the release of deploy.yaml; arguments and errors as ``config_of``."""
    return config_of(path, in_sandbox=in_sandbox)[1]


def config_of(path: Path | None, *, in_sandbox: bool, overrides: Sequence[str] = ()) -> tuple[DeployConfig, Release]:
    """Return deploy.yaml, and its release.

    Args:
        path: None: looked up from the working folder upwards.
        in_sandbox: the sandbox's own file and clusters.
        overrides: ``KEY=VALUE`` each.

    Raises:
        ConfigError: it can't be found or is wrong.
        Refused: the sandbox is not up.
    """
    from pytest_deploy.config.load import SANDBOX_CONFIG_NAME, find, load

    if not in_sandbox:
        config = load(path or find(Path.cwd()), overrides=tuple(overrides))
        return config, config.release()
    from pytest_deploy import sandbox

    stack = sandbox.status("default")
    if stack is None:
        raise Refused("the sandbox is not up: nothing can be open in it", hint="pytest-deploy sandbox up")
    if path is None:
        try:
            path = find(Path.cwd(), SANDBOX_CONFIG_NAME)
        except ConfigError:
            path = sandbox.PROFILE
            overrides = (f"chart_path={Path.cwd() / 'charts' / 'checkout-api'}", *overrides)
    config = load(path, overrides=tuple(overrides))
    release = config.release()
    there = {name: replace(env, kubeconfig=stack.kubeconfig) for name, env in release.environments.items()}
    return config, replace(release, environments=there)


def in_cluster(api: KubeApi, release: Release, environment: str | None) -> Found:
    """Read the journals beside the release's workloads.

    Args:
        environment: the one to look at; None: all of them.

    Raises:
        Refused: deploy.yaml has no such environment.
        DeployError: no environment could be read; the first one's error.
    """
    if environment is not None and environment not in release.environments:
        known = ", ".join(release.environments)
        raise Refused(f"deploy.yaml has no environment {environment!r}, only: {known}")
    deploys: list[OpenDeploy] = []
    last: dict[str, Mapping[str, str]] = {}
    problems: list[DeployError] = []
    for env in release.environments.values():
        if environment not in {None, env.name}:
            continue
        try:
            last[env.name] = _read(api, release, env, deploys, problems)
        except DeployError as error:
            problems.append(error)
    if problems and not last:
        raise problems[0]
    return Found(deploys=tuple(deploys), last=last, problems=tuple(problems))


def in_reports(folder: Path) -> Iterator[OpenDeploy]:
    """Yield the open deploys of the local reports, the newest first; what is damaged is no open deploy."""
    from pytest_deploy.adapters.journal import JsonlJournal

    paths = sorted(folder.glob("*/journal.jsonl"), key=lambda path: path.parent.name, reverse=True)
    for path in [path for path in paths if not path.parent.is_symlink()][:_NEWEST]:
        journal = JsonlJournal(path)
        try:
            entries = journal.entries()
            hold = open_hold(entries)
            decided = None if hold is None else journal.decision(hold.seq)
        except (DeployError, ValueError):
            continue
        if is_open(entries):
            yield OpenDeploy(
                deploy_id=entries[0].deploy_id,
                by="",
                where=str(path),
                entries=entries,
                hold=hold,
                decided=decided,
                journal=journal,
            )


def _read(
    api: KubeApi, release: Release, env: Environment, deploys: list[OpenDeploy], problems: list[DeployError]
) -> Mapping[str, str]:
    """Add an environment's open deploys, and return the one that ended there last."""
    from pytest_deploy.adapters.argo import ArgoRollouts
    from pytest_deploy.adapters.cluster_journal import ClusterJournal
    from pytest_deploy.adapters.journal_map import JournalMap
    from pytest_deploy.adapters.lease_object import LeaseObject

    connection, workload = api.at(env.context, env.kubeconfig), env.release or env.rollout
    journal_map = JournalMap(connection, env.namespace, workload)
    page = journal_map.read()
    for record in page.records.values():
        try:
            if not record.open:
                continue
            hold = record.hold
            decided = None if hold is None else record.decision(hold.seq)
        except DeployError as error:
            problems.append(error)
            continue
        state, holder = None, None
        try:
            state = ArgoRollouts(api, release.environments).state(rollout_target(env))
        except DeployError as error:
            problems.append(error)
        try:
            holder = LeaseObject(connection, env.namespace, workload).read().holder
        except DeployError as error:
            problems.append(error)
        deploys.append(
            OpenDeploy(
                deploy_id=record.deploy_id,
                by=record.by,
                where=f"{env.name} ({env.context}/{env.namespace})",
                entries=record.entries,
                hold=hold,
                decided=decided,
                journal=ClusterJournal(journal_map, record.deploy_id),
                environment=env.name,
                rollout=state,
                connection=connection,
                holder=holder,
            )
        )
    return page.last
