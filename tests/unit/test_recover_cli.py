"""``recover`` as a person or a CI job calls it: what is printed, what stands in JSON, and the exit status."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pytest_deploy import cli_recover, open_deploys, worlds
from pytest_deploy.config.load import load
from pytest_deploy.domain.hold import open_hold
from pytest_deploy.domain.journal import is_open
from pytest_deploy.domain.patches import set_image
from pytest_deploy.engine import canary
from pytest_deploy.errors import DeployError, Refused
from pytest_deploy.io import clock
from pytest_deploy.rehearsal.lock import RehearsedLock
from tests.unit.engine.conftest import NEW, WEIGHTS, Bench

DEPLOY_YAML = """\
service: api
image: ghcr.io/acme/api
strategy: canary
canary_steps: [5, 25, 50, 100]
chart_path: ./chart
owner: team
slo: {error_rate_max: 0.005, p95_latency_ms: 300, window_minutes: 5}
environments:
  staging: {context: acme-staging, namespace: staging}
  prod: {context: acme-prod, namespace: prod}
metrics: {prometheus: {url: "https://prometheus.example.com"}}
"""


class Cluster:
    """A cluster with a deploy of d1, as ``recover`` finds it from a machine of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bench = Bench()
        self.lock: RehearsedLock = self.bench.world.lock("prod", "d1")
        self.bench.use(replace(self.bench.world.ports(), lock=self.lock))
        self.problems: list[DeployError] = []
        self.looks = 0
        self.at_look: Callable[[int], None] = lambda _: None

    def dies(self) -> None:
        """Nobody renews the lock any more."""
        self.lock.beats = False
        self.bench.run(70)

    def in_cluster(self, api: object, release: object, environment: str | None) -> open_deploys.Found:
        """What stands in its journal."""
        self.looks += 1
        self.at_look(self.looks)
        ports = self.bench.world.ports()
        entries = ports.journal.entries()
        found = open_deploys.OpenDeploy(
            deploy_id="d1",
            by="ann",
            where="prod (acme-prod/prod)",
            entries=entries,
            hold=open_hold(entries),
            decided=None,
            journal=ports.journal,  # type: ignore[arg-type]  # nobody decides here
            environment="prod",
            holder=self.bench.world.lock("prod", "x").look(),
        )
        deploys = (found,) if is_open(entries) else ()
        return open_deploys.Found(deploys=deploys, last={}, problems=tuple(self.problems))

    def recovering(self, mode: object, wanted: worlds.Wanted) -> worlds.World:
        """The world as this machine reaches it."""
        ports = replace(self.bench.world.ports(), lock=self.bench.world.lock("prod", wanted.deploy_id))
        return worlds.World(ports=ports, release=self.bench.release)

    def recover(self, *arguments: str) -> Result:
        """Call the verb."""
        return CliRunner().invoke(cli_recover.recover, arguments)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """One in which a deploy has been begun, or not."""
    (tmp_path / "chart").mkdir()
    (tmp_path / "chart" / "Chart.yaml").write_text("name: api")
    (tmp_path / "deploy.yaml").write_text(DEPLOY_YAML)
    made = Cluster(tmp_path)
    monkeypatch.chdir(tmp_path)
    config = load(tmp_path / "deploy.yaml")

    def config_of(path: object, *, in_sandbox: bool, overrides: object = ()) -> tuple[Any, Any]:
        return config, made.bench.release

    monkeypatch.setattr(open_deploys, "config_of", config_of)
    monkeypatch.setattr(open_deploys, "in_cluster", made.in_cluster)
    monkeypatch.setattr(worlds, "recovering", made.recovering)
    monkeypatch.setattr(clock, "SystemClock", lambda: made.bench.world.clock)
    return made


def only(result: Result) -> dict[str, Any]:
    """The one deploy of the JSON."""
    (deploy,) = json.loads(result.stdout)["deploys"]
    assert isinstance(deploy, dict)
    return deploy


def test_nothing_is_open(cluster: Cluster) -> None:
    """That is an answer, and no failure."""
    result = cluster.recover()
    assert (result.exit_code, result.output) == (0, "api: nothing is open\n")
    assert json.loads(cluster.recover("--json").stdout) == {"deploys": [], "problems": []}


def test_it_is_taken_back(cluster: Cluster) -> None:
    """Exit status 1: the old version serves, the note says what was done and why, and once more nothing is open."""
    cluster.bench.pass_through(5, 25)
    cluster.dies()
    result = cluster.recover()
    assert result.exit_code == 1, result.output
    assert cluster.bench.old_serves()
    assert "deploy d1: ROLLED BACK, verified - note: " in result.output.splitlines()[-1]
    note = (cluster.folder / "reports" / "d1-recover" / "deploy-note.md").read_text()
    assert "ROLLED BACK, verified" in note.splitlines()[0]
    assert "the process that ran it is gone" in note
    assert NEW.partition("@")[2][:12] in note
    assert "helm rollback api 3" in note
    assert cluster.recover().output == "api: nothing is open\n"


def test_committed(cluster: Cluster) -> None:
    """Exit status 0, and JSON says so."""
    cluster.bench.pass_through(*WEIGHTS)
    canary.commit(cluster.bench.deploy)
    cluster.dies()
    result = cluster.recover("--json")
    assert result.exit_code == 0
    found = only(result)
    assert (found["outcome"], found["status"], found["human"]) == ("COMMITTED", 0, None)
    assert Path(found["note"]).is_file()


def test_a_human_is_needed(cluster: Cluster) -> None:
    """Exit status 7; what is wrong, how things stand and what to run next stand in JSON and in the note."""
    cluster.bench.pass_through(5)
    target = cluster.bench.deploy.rollout_target()
    other = set_image(target, index=0, container="api", old=NEW, new=NEW[:-1] + "8")
    cluster.bench.world.ports().traffic.execute(other)
    cluster.dies()
    result = cluster.recover("--json")
    assert result.exit_code == 7
    found = only(result)
    assert found["outcome"] == "NEEDS_HUMAN"
    assert "neither ours" in found["human"]["error"]
    assert found["human"]["left_behind"][0].startswith("Rollout api in acme-prod/prod")
    assert found["human"]["commands"] == [
        "kubectl --context acme-prod -n prod get rollouts.argoproj.io,replicasets,pods"
    ]
    assert "A human is needed now" in Path(found["note"]).read_text()


def test_it_lives(cluster: Cluster) -> None:
    """Exit status 4 with who runs it; nothing is written, no report either."""
    cluster.bench.pass_through(5)
    entries = cluster.bench.world.ports().journal.entries()
    result = cluster.recover()
    assert result.exit_code == 4
    assert "REFUSED, it lives: deploy d1 (by the rehearsal)" in result.output
    assert cluster.bench.world.ports().journal.entries() == entries
    assert not (cluster.folder / "reports").exists()


def test_waiting_until_it_has_died(cluster: Cluster) -> None:
    """With --wait it is looked at until its lock expires, and recovered then."""
    cluster.bench.pass_through(5)

    def stops(look: int) -> None:
        if look == 3:
            cluster.lock.beats = False

    cluster.at_look = stops
    result = cluster.recover("--wait")
    assert result.exit_code == 1
    assert 20 < cluster.looks < 40, "every two seconds until a minute has passed"
    assert cluster.bench.old_serves()


def test_somebody_is_faster(cluster: Cluster) -> None:
    """Between the look and the take-over another recover begins: refused, or ended meanwhile."""
    cluster.bench.pass_through(5)
    cluster.dies()
    other = cluster.bench.world.lock("prod", "d1")
    original = cluster.recovering

    def late(mode: object, wanted: worlds.Wanted) -> worlds.World:
        other.acquire(takeover=True)
        return original(mode, wanted)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worlds, "recovering", late)
        result = cluster.recover()
    assert result.exit_code == 4
    assert "REFUSED, nothing changed: the lock is held by deploy d1" in result.output


def test_ended_meanwhile(cluster: Cluster) -> None:
    """It closed its journal between the look and the take-over: nothing is open."""
    cluster.bench.pass_through(5)
    cluster.dies()
    found = cluster.in_cluster(None, None, None)
    assert cluster.recover().exit_code == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(open_deploys, "in_cluster", lambda *_: found)
        result = cluster.recover("--json")
    assert (result.exit_code, only(result)["words"]) == (0, "it has ended meanwhile")


def test_another_one_is_asked_for(cluster: Cluster) -> None:
    """Of several only the one that is named is touched."""
    cluster.bench.pass_through(5)
    cluster.dies()
    assert cluster.recover("--deploy", "d9").output == "api: nothing is open\n"
    assert not cluster.bench.old_serves()


@pytest.mark.parametrize(("error", "status"), [(DeployError("no route to host"), 3), (Refused("no such context"), 4)])
def test_it_cant_be_reached(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, error: DeployError, status: int) -> None:
    """It is said, and is no recovery."""
    cluster.bench.pass_through(5)
    cluster.dies()

    def unreachable(mode: object, wanted: worlds.Wanted) -> worlds.World:
        raise error

    monkeypatch.setattr(worlds, "recovering", unreachable)
    result = cluster.recover()
    assert result.exit_code == status
    assert str(error) in result.output


def test_what_cant_be_read_is_no_all_clear(cluster: Cluster) -> None:
    """A journal that is damaged may hold an open deploy: exit status 3."""
    cluster.problems.append(DeployError("the journal of deploy d7 in the cluster is damaged"))
    result = cluster.recover()
    assert result.exit_code == 3
    assert "not known: the journal of deploy d7" in result.stderr
    assert "nothing is open" not in result.output


def test_waiting_ends_when_nothing_lives(cluster: Cluster) -> None:
    """With --wait and nothing open it ends at once."""
    began = cluster.bench.world.clock.monotonic()
    assert cluster.recover("--wait").exit_code == 0
    assert timedelta(seconds=cluster.bench.world.clock.monotonic() - began) == timedelta()
