"""``pytest-deploy unlock``: a person takes the lock from a deploy that died, and answers for what it left behind."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pytest_deploy.errors import Refused

if TYPE_CHECKING:
    from datetime import datetime

    from pytest_deploy.adapters.lease_object import LeaseObject, Seen
    from pytest_deploy.domain.action import Undo
    from pytest_deploy.domain.lock import Holder
    from pytest_deploy.domain.release import Environment, Release
    from pytest_deploy.io.kube import KubeApi

__all__ = ["unlock"]


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog='Example: pytest-deploy unlock --holder 2026...-api-3f2a --reason "rolled back by hand, see #12"',
)
@click.option("--holder", required=True, metavar="ID", help="The deploy that holds the lock (pytest-deploy status).")
@click.option("--reason", required=True, metavar="TEXT", help="Why; stands in its journal and on the Lease.")
@click.option("--force", is_flag=True, help="Even where it changed what nobody has taken back: that stays.")
@click.option("--config", type=click.Path(path_type=Path), help="deploy.yaml; default: looked up from here upwards.")
@click.option("--environment", metavar="NAME", help="Of deploy.yaml; default: all are looked at.")
@click.option("--sandbox", "in_sandbox", is_flag=True, help="Look at the local real stack.")
def unlock(
    holder: str, reason: str, config: Path | None, environment: str | None, *, force: bool, in_sandbox: bool
) -> None:
    """Free the lock of a deploy that died and that a person has ended by hand; nothing is undone by this.

    `pytest-deploy recover` is the way for all that it can end by itself. Exit status 4: that deploy does not hold
    the lock, it lives, or its journal says what is still to be taken back, and `--force` was not given.
    """
    from pytest_deploy import open_deploys
    from pytest_deploy.io import person
    from pytest_deploy.io.clock import SystemClock
    from pytest_deploy.io.kube import KubeApi

    reason = " ".join(reason.split())
    if not reason or not reason.isprintable():
        raise Refused("--reason must be a line of text", hint='add --reason "what you did, and where it is written"')
    clock = SystemClock()
    release = open_deploys.release_of(config, in_sandbox=in_sandbox)
    locked = _chosen(list(_locks(KubeApi(clock=clock), release, environment)), holder)
    why = f"unlocked by {person.who(os.environ)}: {reason}"
    left = _close(locked, clock.now(), why, force=force)
    if locked.there.free(locked.seen, why=f"{clock.now():%Y-%m-%d %H:%M:%S} UTC, deploy {holder} {why}") is None:
        raise Refused(f"{locked.there} has changed meanwhile", hint="look again: pytest-deploy status")
    click.echo(f"{locked.there}: free; it was held by {locked.holder.words}")
    for undo in left:
        click.echo(f"  not taken back by it, yours to look at: {_words(undo)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Locked:
    """A lock that somebody holds."""

    environment: Environment
    there: LeaseObject
    seen: Seen
    holder: Holder


def _locks(api: KubeApi, release: Release, environment: str | None) -> Iterator[_Locked]:
    from pytest_deploy.adapters.lease_object import LeaseObject

    if environment is not None and environment not in release.environments:
        known = ", ".join(release.environments)
        raise Refused(f"deploy.yaml has no environment {environment!r}, only: {known}")
    for env in release.environments.values():
        if environment not in {None, env.name}:
            continue
        there = LeaseObject(api.at(env.context, env.kubeconfig), env.namespace, env.release or env.rollout)
        seen = there.read()
        if seen.holder is not None:
            yield _Locked(environment=env, there=there, seen=seen, holder=seen.holder)


def _chosen(locks: Sequence[_Locked], deploy_id: str) -> _Locked:
    found = next((each for each in locks if each.holder.deploy_id == deploy_id), None)
    if found is None:
        held = "; ".join(f"{each.there} by {each.holder.words}" for each in locks) or "none at all"
        raise Refused(f"deploy {deploy_id} holds no lock; held is {held}", hint="correct --holder")
    if not found.holder.expired:
        raise Refused(
            f"{found.there} is held by {found.holder.words}",
            hint="stop that run: it takes back what it changed, and frees the lock itself",
        )
    return found


def _words(undo: Undo) -> str:
    good = undo.known_good
    return f"{undo.rollout or undo.release} ({'removed' if good is None else f'back to {good.image}'})"


def _close(locked: _Locked, now: datetime, why: str, *, force: bool) -> Sequence[Undo]:
    """Close its journal with who and why, where it is open, and return what it held to be taken back."""
    from pytest_deploy.adapters.cluster_journal import ClusterJournal
    from pytest_deploy.adapters.journal_map import JournalMap
    from pytest_deploy.domain.journal import Entry, EntryState, Milestone, is_open, open_undos
    from pytest_deploy.domain.lifecycle import Move, move, state_of

    env, deploy_id = locked.environment, locked.holder.deploy_id
    journal_map = JournalMap(locked.there.connection, env.namespace, env.release or env.rollout)
    journal = ClusterJournal(journal_map, deploy_id, by=locked.holder.by)
    entries = journal.entries()
    if entries and not is_open(entries):
        return ()
    undos = open_undos(entries)
    left = undos if move(state_of(entries), undos) is Move.UNDO else ()
    if left and not force:
        raise Refused(
            f"deploy {deploy_id} has changed what nobody has taken back: {'; '.join(map(_words, left))}",
            hint=f"pytest-deploy recover --deploy {deploy_id} --environment {env.name}; where a person has ended it "
            "by hand: unlock --force",
        )
    journal.append(
        Entry(
            seq=len(entries) + 1,
            at=now,
            deploy_id=deploy_id,
            state=EntryState.MILESTONE,
            milestone=Milestone.CLOSED,
            observed=why,
        )
    )
    return left
