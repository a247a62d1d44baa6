"""``decide`` and ``status``: what a person is told, and what the run reads then."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pytest_deploy import cli_decide
from pytest_deploy.adapters.cluster_journal import ClusterJournal
from pytest_deploy.adapters.journal import JsonlJournal
from pytest_deploy.adapters.journal_map import JournalMap
from pytest_deploy.domain.action import Target, Undo, UndoKind
from pytest_deploy.domain.journal import Entry, EntryState, Milestone
from pytest_deploy.domain.patches import set_image
from pytest_deploy.domain.policy import Answer
from pytest_deploy.domain.rollout import KnownGood
from pytest_deploy.errors import DeployError, Refused, Rejected, Unreachable
from pytest_deploy.io import clock, kube, person
from pytest_deploy.io.kube import Reply
from pytest_deploy.ports import Journal
from pytest_deploy.testing.clock import FakeClock
from tests.unit.adapters.config_map import Server

ID = "20261124T000000Z-shop-3f2a"
NOW = FakeClock().now()
DEPLOY_YAML = """\
service: shop
image: registry.example.com/shop
strategy: canary
canary_steps: [5, 100]
chart_path: ./chart
owner: team
slo: {error_rate_max: 0.005, p95_latency_ms: 300, window_minutes: 5}
environments:
  staging: {context: acme-staging, namespace: shop}
  prod: {context: acme-prod, namespace: shop}
metrics: {prometheus: {url: "https://prometheus.example.com"}}
"""
SENTENCE = "p95 latency of shop at 25 %: no data"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/shop/leases/deploy-shop"
ROLLOUT = "/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts/shop"


class Cluster(Server):
    """One with a Rollout at 25 %, which knows who asks."""

    server = "https://api.example.com"
    account = "oidc:ann"
    down: DeployError | None = None
    lease: dict[str, Any] | DeployError = {}  # noqa: RUF012 - only ever replaced

    def read(self, path: str, query: object = None, *, accept: Any = ()) -> Reply:
        """GET of the ConfigMap, the Rollout or its ReplicaSets."""
        if self.down is not None:
            raise self.down
        if path == ROLLOUT:
            raise Unreachable("the Rollout can't be read")
        if path == LEASE:
            if isinstance(self.lease, DeployError):
                raise self.lease
            return Reply(status=200 if self.lease else 404, body=self.lease, date=self.clock.now())
        return super().read(path, query, accept=accept)

    def ask(self, path: str, body: Mapping[str, Any]) -> Reply:
        """SelfSubjectReview."""
        assert (path, body["kind"]) == ("/apis/authentication.k8s.io/v1/selfsubjectreviews", "SelfSubjectReview")
        if not self.account:
            raise Rejected("404, no such review")
        return Reply(status=201, body={"status": {"userInfo": {"username": self.account}}})


class World:
    """A folder with a deploy.yaml, the clusters that it names, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FakeClock()
        self.clusters = {"acme-staging": Cluster(), "acme-prod": Cluster()}
        for each in self.clusters.values():
            each.clock = self.clock

    def at(self, context: str, kubeconfig: object = None) -> Cluster:
        """Give the context's API server."""
        return self.clusters[context]

    def open(self, deploy_id: str = ID, context: str = "acme-prod") -> ClusterJournal:
        """Open a deploy's journal as its run does."""
        return ClusterJournal(JournalMap(self.at(context), "shop", "shop"), deploy_id, by="ann at laptop")  # type: ignore[arg-type]

    def run(self, command: Any, *arguments: str) -> Result:
        """Call a verb; what it raises is raised."""
        return CliRunner().invoke(command, arguments, catch_exceptions=False)

    def decide(self, *arguments: str) -> Result:
        """Call ``decide`` with a reason and a name."""
        return self.run(cli_decide.decide, *arguments, "--reason", "seen in Grafana", "--by", "ann")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Nothing is open in it."""
    (tmp_path / "chart").mkdir()
    (tmp_path / "chart" / "Chart.yaml").write_text("name: shop")
    (tmp_path / "deploy.yaml").write_text(DEPLOY_YAML)
    made = World(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(kube, "KubeApi", lambda clock: made)
    monkeypatch.setattr(clock, "SystemClock", lambda: made.clock)
    for name in ("GITHUB_ACTOR", "GITLAB_USER_LOGIN", "LOGNAME", "GITHUB_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("USER", "bob")
    return made


def hold(journal: Journal, deploy_id: str = ID, *, seq: int = 2, minutes: int = 30) -> None:
    """Open a deploy that waits for a person."""
    opened = Entry(seq=1, at=NOW, deploy_id=deploy_id, state=EntryState.MILESTONE, milestone=Milestone.OPENED)
    journal.append(opened)
    words = f"{SENTENCE} | decide until {NOW + timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%SZ}"
    journal.append(replace(opened, seq=seq, milestone=Milestone.HOLDING, observed=words))


def test_the_answer_reaches_the_run(world: World) -> None:
    """It stands in the journal with account, name, reason and time; the person is told what was decided."""
    journal = world.open()
    hold(journal)
    result = world.decide("promote")
    decision = journal.decision(2)
    assert decision is not None
    assert (decision.answer, decision.by, decision.reason, decision.at) == (
        Answer.PROMOTE, "oidc:ann (ann)", "seen in Grafana", NOW,
    )  # fmt: skip
    assert result.output.splitlines() == [
        f"promote: deploy {ID}, decided by oidc:ann (ann)",
        "  held      since 2026-11-24 00:00:00 UTC in prod (acme-prod/shop)",
        f"  gate      {SENTENCE}",
        "  deadline  2026-11-24 00:30:00 UTC (30 min left); without a decision it is rolled back",
        "the run sees it within seconds",
    ]


def test_abort_is_an_answer_too(world: World) -> None:
    """A person may take it back before the deadline does."""
    journal = world.open()
    hold(journal)
    world.decide("abort")
    decision = journal.decision(2)
    assert decision is not None
    assert decision.answer is Answer.ABORT


def test_the_name_is_the_account_where_both_are_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --by the CI's actor or the user is named; a server that tells no account leaves the name alone."""
    cases = [("oidc:ann", "oidc:ann", "oidc:ann"), ("", "carl", "carl"), ("oidc:ann", "", "oidc:ann")]
    for number, (account, actor, expected) in enumerate(cases):
        deploy_id = f"{ID}{number}"
        journal = world.open(deploy_id)
        hold(journal, deploy_id)
        world.clusters["acme-prod"].account = account
        monkeypatch.setenv("GITHUB_ACTOR", actor)
        monkeypatch.setenv("USER", "")
        world.run(cli_decide.decide, "abort", "--reason", "r", "--deploy", deploy_id)
        decision = journal.decision(2)
        assert decision is not None
        assert decision.by == expected
    world.clusters["acme-prod"].account = ""
    monkeypatch.setenv("GITHUB_ACTOR", "")
    hold(world.open(f"{ID}x"), f"{ID}x")
    with pytest.raises(Refused, match="nothing says who decides"):
        world.run(cli_decide.decide, "abort", "--reason", "r", "--deploy", f"{ID}x")


@pytest.mark.parametrize(
    ("reason", "why"), [("", "needs a reason"), ("  \n", "needs a reason"), ("\x1b[2J", "printed")]
)
def test_a_reason_is_needed(world: World, reason: str, why: str) -> None:
    """An empty one is none, and one that would play tricks on a terminal is refused."""
    journal = world.open()
    hold(journal)
    with pytest.raises(Refused, match=why):
        world.run(cli_decide.decide, "promote", "--reason", reason)
    assert journal.decision(2) is None


def test_without_a_hold_there_is_nothing_to_decide(world: World) -> None:
    """Where a deploy is open that does not wait, it is named; where none is, that is said."""
    with pytest.raises(Refused, match="no gate is held: no deploy is open"):
        world.decide("promote")
    journal = world.open()
    journal.append(Entry(seq=1, at=NOW, deploy_id=ID, state=EntryState.MILESTONE, milestone=Milestone.OPENED))
    with pytest.raises(Refused, match=rf"no gate is held: deploy {ID} is open in prod .*, and waits for nobody; not"):
        world.decide("promote")


def test_too_late_is_said_with_what_waited(world: World) -> None:
    """After the deadline, and after somebody else's answer, the answer is refused with gate and deadline."""
    journal = world.open()
    hold(journal)
    world.decide("abort")
    with pytest.raises(
        Refused, match=r"decided already: abort decided by oidc:ann \(ann\) at .*Grafana\n  held "
    ) as no:
        world.decide("promote")
    assert SENTENCE in str(no.value)
    world.clock.sleep(timedelta(minutes=30))
    other = world.open(f"{ID}-b", "acme-staging")
    hold(other, f"{ID}-b")
    with pytest.raises(Refused, match=r"the deadline was 2026-11-24 00:30:00 UTC.*\n.*\n.*\n.*it has passed"):
        world.decide("promote", "--environment", "staging")
    assert other.decision(2) is None


def test_one_of_several_is_chosen_by_its_id(world: World) -> None:
    """Two that wait must be told apart; one whose deadline has passed is in nobody's way."""
    first, second = world.open("one", "acme-staging"), world.open("two")
    hold(first, "one")
    hold(second, "two", minutes=60)
    with pytest.raises(Refused, match=r"2 deploys are held: one in staging .*, two in prod"):
        world.decide("promote")
    with pytest.raises(Refused, match=r"no gate of deploy three is held; held is one in staging"):
        world.decide("promote", "--deploy", "three")
    world.decide("promote", "--deploy", "one")
    assert first.decision(2) is not None
    assert second.decision(2) is None
    world.clock.sleep(timedelta(minutes=31))
    world.decide("promote")
    assert second.decision(2) is not None


def test_an_environment_that_does_not_exist_is_refused(world: World) -> None:
    """With those that do."""
    with pytest.raises(Refused, match="no environment 'live', only: staging, prod"):
        world.decide("promote", "--environment", "live")


def test_a_cluster_that_is_away_is_not_nothing_held(world: World) -> None:
    """Where no environment can be read the error is the cluster's; one that can is enough to find a hold."""
    for cluster in world.clusters.values():
        cluster.down = Unreachable("no answer")
    with pytest.raises(Unreachable, match="no answer"):
        world.decide("promote")
    world.clusters["acme-prod"].down = None
    journal = world.open()
    hold(journal)
    world.decide("promote")
    assert journal.decision(2) is not None


def test_the_local_reports_are_the_second_place(world: World) -> None:
    """A deploy that only this machine's reports know of is decided there; damaged and ended ones are passed by."""
    for cluster in world.clusters.values():
        cluster.down = Unreachable("no answer")
    reports = world.folder / "reports"
    journal = JsonlJournal(reports / ID / "journal.jsonl")
    hold(journal)
    (reports / "latest").symlink_to(ID)
    (reports / "z").mkdir()
    (reports / "z" / "journal.jsonl").write_text('{"type":"journal","seq":7}\n')
    ended = JsonlJournal(reports / "a" / "journal.jsonl")
    hold(ended, "a")
    ended.append(Entry(seq=3, at=NOW, deploy_id="a", state=EntryState.MILESTONE, milestone=Milestone.CLOSED))
    result = world.decide("promote")
    decision = journal.decision(2)
    assert decision is not None
    assert decision.by == "ann"
    assert f"in {Path('reports') / ID / 'journal.jsonl'}" in result.output


def canary_held(journal: Journal) -> None:
    """A canary that waits for a person, with all that stands before that."""
    target = Target(environment="prod", context="acme-prod", namespace="shop", name="shop")
    undo = Undo(
        kind=UndoKind.RESTORE_CANARY,
        release=None,
        rollout=target,
        container="shop",
        known_good=KnownGood(revision=None, image="old", template_hash="x"),
        timeout=timedelta(minutes=5),
    )
    opened = Entry(seq=1, at=NOW, deploy_id=ID, state=EntryState.MILESTONE, milestone=Milestone.OPENED)
    journal.append(opened)
    start = set_image(target, index=0, container="shop", old="old", new="new")
    journal.append(Entry(seq=2, at=NOW, deploy_id=ID, state=EntryState.INTENT, action=start, undo=undo))
    journal.append(replace(opened, seq=3, milestone=Milestone.JUDGED))
    words = f"{SENTENCE} | decide until {NOW + timedelta(minutes=30):%Y-%m-%dT%H:%M:%SZ}"
    journal.append(replace(opened, seq=4, milestone=Milestone.HOLDING, observed=words))


def lease(holder: str, *, renewed: datetime) -> dict[str, Any]:
    """A Lease as the API server gives it."""
    labels = {"app.kubernetes.io/managed-by": "pytest-deploy", "app.kubernetes.io/component": "deploy-lock"}
    times = dict.fromkeys(("acquireTime", "renewTime"), f"{renewed:%Y-%m-%dT%H:%M:%S}.000000Z")
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 60, "leaseTransitions": 3, **times}
    return {"metadata": {"labels": labels, "annotations": {"pytest-deploy.dev/by": "ann"}}, "spec": spec}


def test_status_of_what_is_open(world: World) -> None:
    """Since when, by whom, how far it is, the gate that waits with its deadline and the command; exit status 0."""
    canary_held(world.open())
    world.clock.sleep(timedelta(minutes=5))
    result = world.run(cli_decide.status)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"deploy {ID} is open in prod (acme-prod/shop)",
        "  since     2026-11-24 00:00:00 UTC (5 min), by ann at laptop",
        "  state     holding; last in its journal: holding, 5 min ago",
        "  rollout   not known",
        "  lock      nobody holds it, or it can't be read",
        f"  recover   pytest-deploy recover --deploy {ID}: take it back",
        "  held      since 2026-11-24 00:00:00 UTC in prod (acme-prod/shop)",
        f"  gate      {SENTENCE}",
        "  deadline  2026-11-24 00:30:00 UTC (25 min left); without a decision it is rolled back",
        f'  decide    pytest-deploy decide promote --deploy {ID} --reason "..." (or: decide abort)',
        "shop in staging: nothing is open",
    ]
    assert "not known: the Rollout can't be read" in result.stderr
    world.decide("promote")
    assert "  decided   promote decided by oidc:ann (ann)" in world.run(cli_decide.status).stdout


def test_status_says_whether_it_lives(world: World) -> None:
    """By its lock: alive, expired, or another's; and what recover does then."""
    canary_held(world.open())
    there = world.clusters["acme-prod"]
    there.lease = lease(ID, renewed=NOW)
    said = world.run(cli_decide.status).stdout
    assert "  lock      its own, renewed 2026-11-24 00:00:00 UTC: its process is alive\n" in said
    assert "  recover   is refused while it is run; once its process is gone: take it back\n" in said
    world.clock.sleep(timedelta(minutes=5))
    said = world.run(cli_decide.status).stdout
    assert "  lock      its own, renewed 2026-11-24 00:00:00 UTC: expired, nobody runs it any more\n" in said
    assert f"  recover   pytest-deploy recover --deploy {ID}: take it back\n" in said
    there.lease = lease("another", renewed=world.clock.now())
    said = world.run(cli_decide.status).stdout
    assert "  lock      held by another: deploy another (by ann) since" in said
    there.lease = Unreachable("the Lease can't be read")
    result = world.run(cli_decide.status)
    assert "  lock      nobody holds it, or it can't be read\n" in result.stdout
    assert "not known: the Lease can't be read" in result.stderr


def test_status_of_nothing(world: World) -> None:
    """That nothing is open is an answer, with how the last deploy ended."""
    for name in ("one", "two"):
        journal = world.open(name)
        for seq, what in enumerate((Milestone.OPENED, Milestone.CLOSED), start=1):
            journal.append(
                Entry(
                    seq=seq,
                    at=world.clock.now(),
                    deploy_id=name,
                    state=EntryState.MILESTONE,
                    milestone=what,
                    observed="COMMITTED",
                )
            )
        world.clock.sleep(timedelta(minutes=1))
    result = world.run(cli_decide.status, "--environment", "prod")
    assert result.exit_code == 0
    assert result.stdout == (
        "shop in prod: nothing is open; the last deploy, two, ended 2026-11-24T00:01:00+00:00: COMMITTED\n"
    )


def test_status_for_machines(world: World) -> None:
    """The same facts as JSON; what could not be read is among them."""
    canary_held(world.open())
    world.clusters["acme-prod"].lease = lease(ID, renewed=NOW)
    (deploy,) = (found := json.loads(world.run(cli_decide.status, "--json").stdout))["open"]
    assert found["last"] == {"staging": None, "prod": None}
    assert found["problems"] == ["the Rollout can't be read"]
    held = deploy.pop("held")
    assert datetime.fromisoformat(held["deadline"]) == NOW + timedelta(minutes=30)
    assert (held["hold"], held["gate"], held["decided"]) == (4, SENTENCE, None)
    assert deploy.pop("lock").startswith(f"deploy {ID} (by ann) since 2026-11-24 00:00:00 UTC, renewed")
    assert deploy == {
        "deploy_id": ID,
        "environment": "prod",
        "by": "ann at laptop",
        "since": NOW.isoformat(),
        "state": "holding",
        "alive": True,
        "recover": "take it back",
        "journal": "holding",
        "journal_at": NOW.isoformat(),
        "weight_percent": None,
        "rollout": None,
    }


def test_a_damaged_journal_is_a_problem_not_nothing(world: World) -> None:
    """Neither verb takes a deploy that can't be read for one that is not there."""
    hold(world.open())
    world.clusters["acme-prod"].set(f"{ID}.entries", "nonsense")
    result = world.run(cli_decide.status)
    assert f"not known: the journal of deploy {ID} in the cluster is damaged" in result.stderr
    with pytest.raises(Refused, match=f"not known: the journal of deploy {ID} in the cluster is damaged"):
        world.decide("promote")


def test_who_runs_a_deploy() -> None:
    """A CI run is named by its address, anybody else by their machine."""
    github = {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "acme/shop", "GITHUB_RUN_ID": "7"}
    assert person.who({**github, "GITHUB_ACTOR": "ann"}) == "ann at https://github.com/acme/shop/actions/runs/7"
    assert person.who({"CI_JOB_URL": "https://gitlab.example.com/j/1"}) == "somebody at https://gitlab.example.com/j/1"
    assert person.who({"USER": "bob"}).startswith("bob at ")
