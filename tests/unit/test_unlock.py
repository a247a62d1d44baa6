"""``unlock``: whose lock a person may take, and what stands written of it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from pytest_deploy.adapters.cluster_journal import ClusterJournal
from pytest_deploy.adapters.fence import Fence
from pytest_deploy.adapters.journal_map import JournalMap
from pytest_deploy.adapters.lease import Lease
from pytest_deploy.adapters.lease_object import LeaseObject
from pytest_deploy.cli_unlock import unlock
from pytest_deploy.domain.action import External, Target, Undo, UndoKind
from pytest_deploy.domain.journal import Entry, EntryState, Milestone
from pytest_deploy.domain.patches import promote
from pytest_deploy.domain.rollout import KnownGood
from pytest_deploy.errors import DeployError, Refused
from pytest_deploy.io import clock, kube
from pytest_deploy.testing.clock import FakeClock
from tests.unit.adapters.api_server import ApiServer
from tests.unit.test_decide import DEPLOY_YAML

ID = "20261124T000000Z-shop-3f2a"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/shop/leases/deploy-shop"


class World:
    """A deploy.yaml with two environments, an API server for each, and a clock."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.servers = {"acme-staging": ApiServer(self.clock), "acme-prod": ApiServer(self.clock)}
        self.prod = self.servers["acme-prod"]

    def at(self, context: str, kubeconfig: object = None) -> kube.Connection:
        """Connect to a context's server."""
        return self.servers[context].connect()

    def die(self, *, undo: Undo | None = None, opened: bool = True) -> None:
        """Let a deploy take the lock of prod, begin, and be gone."""
        connection = self.at("acme-prod")
        lock = Lease(
            LeaseObject(connection, "shop", "shop"),
            Fence(connection, "shop", "shop"),
            ID,
            by="ann at laptop",
            is_open=lambda _: True,
            lease=timedelta(seconds=60),
            renew=timedelta(seconds=5),
        )
        lock.acquire()
        lock._stop.set()
        if opened:
            begun = Entry(
                seq=1,
                at=self.clock.now(),
                deploy_id=ID,
                state=EntryState.MILESTONE,
                milestone=Milestone.OPENED,
            )
            self.journal.append(begun)
            action = External(system="registry", summary="push")
            intent = replace(begun, seq=2, state=EntryState.INTENT, milestone=None, action=action, undo=undo)
            self.journal.append(intent)

    @property
    def journal(self) -> ClusterJournal:
        """The deploy's, as another process opens it."""
        return ClusterJournal(JournalMap(self.at("acme-prod"), "shop", "shop"), ID)

    def unlock(self, *arguments: str, reason: str = "rolled back by hand, #12") -> str:
        """Call it, and return what it says; what it raises is raised."""
        given = ("--holder", ID, "--reason", reason, *arguments)
        return CliRunner().invoke(unlock, given, catch_exceptions=False).output

    @property
    def holder(self) -> object:
        """Of the Lease."""
        return self.prod.objects[LEASE]["spec"]["holderIdentity"]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Nobody holds a lock in it."""
    (tmp_path / "chart").mkdir()
    (tmp_path / "chart" / "Chart.yaml").write_text("name: shop")
    (tmp_path / "deploy.yaml").write_text(DEPLOY_YAML)
    made = World()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(kube, "KubeApi", lambda clock: made)
    monkeypatch.setattr(clock, "SystemClock", lambda: made.clock)
    for name in ("GITHUB_ACTOR", "GITLAB_USER_LOGIN", "LOGNAME", "GITHUB_RUN_ID", "CI_JOB_URL", "BUILD_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("USER", "bob")
    return made


def undo() -> Undo:
    """The way back of a canary."""
    target = Target(environment="prod", context="acme-prod", namespace="shop", name="shop")
    good = KnownGood(revision=3, image="registry.example.com/shop@sha256:1", template_hash="h")
    return Undo(
        kind=UndoKind.RESTORE_CANARY,
        release=target,
        rollout=target,
        container="shop",
        known_good=good,
        timeout=timedelta(minutes=5),
    )


def test_a_dead_deploys_lock_is_freed_with_who_and_why(world: World) -> None:
    """Its journal is closed with it, the Lease says it too, and what nobody took back is named."""
    world.die(undo=undo())
    world.clock.sleep(timedelta(seconds=61))
    said = world.unlock("--force")
    assert world.holder is None
    last = world.journal.entries()[-1]
    assert (last.seq, last.milestone) == (3, Milestone.CLOSED)
    assert last.observed.startswith("unlocked by bob at ")
    assert last.observed.endswith(": rolled back by hand, #12")
    note = world.prod.objects[LEASE]["metadata"]["annotations"]["pytest-deploy.dev/unlocked"]
    assert note.startswith(f"2026-11-24 00:01:01 UTC, deploy {ID} unlocked by bob at ")
    assert f"free; it was held by deploy {ID} (by ann at laptop)" in said
    assert "not taken back by it, yours to look at: shop in acme-prod/shop (back to registry.example.com/shop@" in said


def test_what_is_to_be_taken_back_is_recovers(world: World) -> None:
    """Refused without --force, with what that is and what to run; nothing is written."""
    world.die(undo=undo())
    world.clock.sleep(timedelta(seconds=61))
    with pytest.raises(Refused, match=rf"{ID} has changed what nobody has taken back: shop in .* .back to ") as caught:
        world.unlock()
    assert f"pytest-deploy recover --deploy {ID} --environment prod" in caught.value.hint
    assert "unlock --force" in caught.value.hint
    assert world.holder == ID
    assert len(world.journal.entries()) == 2


def test_what_was_committed_is_not_to_be_taken_back(world: World) -> None:
    """It died before its end was written down: a person may free its lock."""
    world.die(undo=undo())
    opened, intent = world.journal.entries()
    target = undo().rollout
    assert target is not None
    promoted = replace(intent, action=promote(target, step_index=1, template_hash="n", weight=None))
    verdict, commitment = (replace(opened, milestone=each) for each in (Milestone.JUDGED, Milestone.COMMITTED))
    for number, entry in enumerate((verdict, promoted, commitment), 3):
        world.journal.append(replace(entry, seq=number))
    world.clock.sleep(timedelta(seconds=61))
    assert "not taken back" not in world.unlock()
    assert world.holder is None


def test_one_that_lives_keeps_it(world: World) -> None:
    """Named or not: whoever runs it stops it."""
    world.die()
    world.clock.sleep(timedelta(seconds=59))
    with pytest.raises(Refused, match=f"held by deploy {ID} .* alive") as caught:
        world.unlock()
    assert "stop that run" in caught.value.hint
    assert world.holder == ID
    assert len(world.journal.entries()) == 2


def test_another_holder_is_named(world: World) -> None:
    """The id must be the holder's: what was meant may have ended, and another one begun."""
    with pytest.raises(Refused, match=f"deploy {ID} holds no lock; held is none at all"):
        world.unlock()
    world.die()
    world.clock.sleep(timedelta(seconds=61))
    with pytest.raises(Refused, match=rf"deploy other holds no lock; held is Lease deploy-shop in .* {ID}"):
        world.unlock("--holder", "other")
    with pytest.raises(Refused, match="held is none at all"):
        world.unlock("--environment", "staging")
    with pytest.raises(Refused, match="has no environment 'x', only: staging, prod"):
        world.unlock("--environment", "x")
    assert world.holder == ID


@pytest.mark.parametrize("reason", ["", "  ", "a\x1b[2Jb"])
def test_a_reason_is_needed(world: World, reason: str) -> None:
    """A line that people can read."""
    world.die()
    world.clock.sleep(timedelta(seconds=61))
    with pytest.raises(Refused, match="--reason must be a line of text"):
        world.unlock(reason=reason)
    assert world.holder == ID


def test_one_that_died_before_its_first_line(world: World) -> None:
    """It holds the lock, and no journal knows it: who and why stand there all the same."""
    world.die(opened=False)
    world.clock.sleep(timedelta(seconds=61))
    world.unlock("--environment", "prod")
    (only,) = world.journal.entries()
    assert (only.milestone, only.observed[:15]) == (Milestone.CLOSED, "unlocked by bob")
    assert world.holder is None


def test_one_that_was_closed_is_freed_without_a_line(world: World) -> None:
    """It died between its last entry and the release; after CLOSED nothing follows."""
    world.die()
    opened = world.journal.entries()[0]
    world.journal.append(replace(opened, seq=3, milestone=Milestone.CLOSED))
    world.clock.sleep(timedelta(seconds=61))
    world.unlock()
    assert len(world.journal.entries()) == 3
    assert world.holder is None


def test_what_can_not_be_written_down_is_not_done(world: World) -> None:
    """The journal first: without it nobody would know who let go."""
    world.die()
    world.clock.sleep(timedelta(seconds=61))

    def hook(method: str, path: str) -> None:
        if method == "PUT" and "configmaps" in path:
            msg = "unreachable"
            raise OSError(msg)

    world.prod.before = hook
    with pytest.raises(DeployError, match="the journal can't be written"):
        world.unlock()
    assert world.holder == ID


def test_one_that_comes_alive_meanwhile_keeps_it(world: World) -> None:
    """Renewed between the look and the write: it is not taken."""
    world.die()
    world.clock.sleep(timedelta(seconds=61))

    def hook(method: str, path: str) -> None:
        if (method, path) == ("PUT", LEASE):
            world.prod.put(LEASE, json.loads(json.dumps(world.prod.objects[LEASE])))

    world.prod.before = hook
    with pytest.raises(Refused, match="has changed meanwhile"):
        world.unlock()
    assert world.holder == ID
