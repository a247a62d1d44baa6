"""The journals that outlive their process pass the contract: on a disk, and on a real API server."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from pytest_deploy import sandbox
from pytest_deploy.adapters.cluster_journal import ClusterJournal
from pytest_deploy.adapters.journal import JsonlJournal
from pytest_deploy.adapters.journal_map import JournalMap, permissions
from pytest_deploy.adapters.kubernetes import KubernetesCluster
from pytest_deploy.adapters.mirrored_journal import MirroredJournal
from pytest_deploy.domain.action import External
from pytest_deploy.domain.journal import Entry, EntryState, Milestone
from pytest_deploy.domain.release import Environment
from pytest_deploy.errors import DeployError
from pytest_deploy.io.clock import SystemClock
from pytest_deploy.io.kube import KubeApi
from pytest_deploy.io.process import run
from pytest_deploy.sandbox import Stack
from pytest_deploy.testing.contracts import JournalContract
from pytest_deploy.testing.contracts.journal import AT

Open = Callable[[str], ClusterJournal]
WORKLOADS = count(1)


class TestJsonlJournal(JournalContract):
    """``journal.jsonl``."""

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        """In a folder that does not exist yet."""
        return tmp_path / "reports" / "id" / "journal.jsonl"

    @pytest.fixture
    def journal(self, path: Path) -> JsonlJournal:
        """Give an empty one."""
        return JsonlJournal(path)

    @pytest.fixture
    def elsewhere(self, path: Path) -> JsonlJournal:
        """Open the same file."""
        return JsonlJournal(path)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A sandbox of these tests' own; gone afterwards."""
    name = f"journal-{os.getpid()}"
    try:
        yield sandbox.up(name)
    finally:
        sandbox.down(name)


@pytest.fixture
def journal_map(stack: Stack) -> JournalMap:
    """Give the place of a new workload's journal."""
    connection = KubeApi(clock=SystemClock()).at("sandbox-prod", stack.kubeconfig)
    return JournalMap(connection, "prod", f"svc-{next(WORKLOADS)}")


@pytest.fixture
def opened(journal_map: JournalMap) -> Open:
    """Open the workload's journal for a deploy, as a process of its own would."""
    return lambda deploy_id: ClusterJournal(journal_map, deploy_id, by=f"by {deploy_id}")


def milestone(deploy_id: str, seq: int, what: Milestone) -> Entry:
    """Make an entry."""
    return Entry(seq=seq, at=AT, deploy_id=deploy_id, state=EntryState.MILESTONE, milestone=what, observed="words")


def intent(deploy_id: str, seq: int) -> Entry:
    """Make an entry of something that changes the workload."""
    action = External(system="registry", summary="push")
    return Entry(seq=seq, at=AT, deploy_id=deploy_id, state=EntryState.INTENT, action=action)


@pytest.mark.real
class TestClusterJournal(JournalContract):
    """A ConfigMap on a real API server."""

    @pytest.fixture
    def journal(self, opened: Open) -> ClusterJournal:
        """Give an empty one."""
        return opened("d")

    @pytest.fixture
    def elsewhere(self, opened: Open) -> ClusterJournal:
        """Open the same deploy's from another process."""
        return opened("d")

    def test_kubectl_reads_what_stands_there(self, journal: ClusterJournal, stack: Stack, opened: Open) -> None:
        """It is a labelled ConfigMap, one JSON object in each line, that says who deploys."""
        journal.append(milestone("d", 1, Milestone.OPENED))
        found = json.loads(kubectl(stack, "get", "configmap", str(journal._map.name), "-o", "json"))
        assert found["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "pytest-deploy"
        assert found["data"]["d.by"] == "by d"
        assert [json.loads(line)["milestone"] for line in found["data"]["d.entries"].splitlines()] == ["opened"]

    def test_an_edit_by_hand_is_a_foreign_change(self, journal: ClusterJournal, stack: Stack) -> None:
        """Whoever changes our entries, or removes them, keeps us from changing anything more."""
        journal.append(milestone("d", 1, Milestone.OPENED))
        kubectl(stack, "patch", "configmap", journal._map.name, "--type=merge", "-p", '{"data": {"d.entries": ""}}')
        with pytest.raises(DeployError, match="changed by somebody else: 0 stand there, 1 were written") as caught:
            journal.append(intent("d", 2))
        assert caught.value.cause == "foreign change"
        kubectl(stack, "delete", "configmap", journal._map.name)
        with pytest.raises(DeployError, match="changed by somebody else"):
            journal.append(intent("d", 2))

    def test_a_label_by_hand_is_no_foreign_change(self, journal: ClusterJournal, stack: Stack) -> None:
        """What others write beside our entries stays, and costs no more than a second try."""
        journal.append(milestone("d", 1, Milestone.OPENED))
        kubectl(stack, "annotate", "configmap", journal._map.name, "team=checkout")
        journal.append(intent("d", 2))
        found = json.loads(kubectl(stack, "get", "configmap", journal._map.name, "-o", "json"))
        assert found["metadata"]["annotations"]["team"] == "checkout"
        assert [entry.seq for entry in journal.entries()] == [1, 2]

    def test_of_two_deploys_one_changes_the_workload(self, opened: Open) -> None:
        """Both may open; whoever writes the first intent goes on, the other one is stopped and told by whom."""
        first, second = opened("one"), opened("two")
        first.append(milestone("one", 1, Milestone.OPENED))
        second.append(milestone("two", 1, Milestone.OPENED))
        first.append(intent("one", 2))
        with pytest.raises(DeployError, match=r"another deploy, one \(by by one\), has begun to change") as caught:
            second.append(intent("two", 2))
        assert caught.value.cause == "foreign change"
        second.append(milestone("two", 2, Milestone.CLOSED))
        first.append(intent("one", 3))
        assert [entry.seq for entry in first.entries()] == [1, 2, 3]
        assert [entry.milestone for entry in second.entries()] == [Milestone.OPENED, Milestone.CLOSED]

    def test_what_ended_makes_room_for_what_begins(self, opened: Open, journal_map: JournalMap) -> None:
        """When a deploy opens those that ended go, the last of them stays as a summary."""
        for number, name in enumerate(("one", "two"), start=1):
            at = AT.replace(minute=number)
            for seq, what in enumerate((Milestone.OPENED, Milestone.CLOSED), start=1):
                opened_here = opened(name)
                opened_here.append(replace(milestone(name, seq, what), at=at))
        opened("three").append(milestone("three", 1, Milestone.OPENED))
        page = journal_map.read()
        assert list(page.records) == ["three"]
        assert (page.last["deploy_id"], page.last["words"]) == ("two", "words")

    def test_three_verbs_are_enough(self, journal_map: JournalMap, stack: Stack, tmp_path: Path) -> None:
        """An account with the permissions that are named keeps a journal and decides; without them nothing is."""
        name = f"{journal_map.name}-account"
        kubectl(stack, "create", "serviceaccount", name)
        token = kubectl(stack, "create", "token", name).strip()
        config = json.loads(kubectl(stack, "config", "view", "--minify", "--raw", "-o", "json"))
        config["users"][0]["user"] = {"token": token}
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(json.dumps(config))
        api = KubeApi(clock=SystemClock())
        journal = ClusterJournal(
            JournalMap(api.at("sandbox-prod", kubeconfig), "prod", name.removesuffix("-account")), "d"
        )
        with pytest.raises(DeployError, match="403") as caught:
            journal.append(milestone("d", 1, Milestone.OPENED))
        assert token not in str(caught.value)
        verbs = [f"--verb={each.verb}" for each in permissions("prod")]
        kubectl(stack, "create", "role", name, *verbs, "--resource=configmaps")
        kubectl(stack, "create", "rolebinding", name, f"--role={name}", f"--serviceaccount=prod:{name}")
        env = Environment(
            name="prod",
            context="sandbox-prod",
            namespace="prod",
            release=None,
            rollout="x",
            container="x",
            kubeconfig=kubeconfig,
        )
        cluster = KubernetesCluster(api, {"prod": env}, clock=SystemClock())
        eventually_allowed(lambda: not cluster.denied(env, permissions("prod")))
        journal.append(milestone("d", 1, Milestone.OPENED))
        journal.append(intent("d", 2))
        assert len(journal.entries()) == 2


@pytest.mark.real
class TestMirroredJournal(JournalContract):
    """Both at once; whoever decides writes to one of them."""

    @pytest.fixture
    def journal(self, opened: Open, tmp_path: Path) -> MirroredJournal:
        """Give an empty one."""
        return MirroredJournal(opened("d"), JsonlJournal(tmp_path / "journal.jsonl"))

    @pytest.fixture
    def elsewhere(self, opened: Open) -> ClusterJournal:
        """Open the cluster's from another process."""
        return opened("d")


def kubectl(stack: Stack, *arguments: str) -> str:
    """Run kubectl in ``prod`` and return what it prints."""
    where = ("--kubeconfig", str(stack.kubeconfig), "--context", "sandbox-prod")
    done = run((sandbox.toolbox().need("kubectl"), *where, *arguments), timeout_s=60)
    assert done.status == 0, done.stderr
    return done.stdout


def eventually_allowed(probe: Callable[[], bool]) -> None:
    """Wait until the API server has seen a new role; it takes it a moment."""
    clock = SystemClock()
    until = clock.monotonic() + 20
    while not probe():
        assert clock.monotonic() < until
        clock.sleep(AT.resolution * 200_000)
