"""``doctor``: every piece is looked at, whatever the others say, each failing line has its mend, nothing is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pytest_deploy import worlds
from pytest_deploy.cli_doctor import doctor
from pytest_deploy.config.load import load
from pytest_deploy.config.model import DeployConfig
from pytest_deploy.doctor import Line, Status, Tool, examine, probe, sections, tools
from pytest_deploy.domain.outcome import Mode
from pytest_deploy.domain.release import Release
from pytest_deploy.engine import preflight
from pytest_deploy.errors import GateBreach, Refused, Unreachable
from pytest_deploy.ports import Ports
from pytest_deploy.rehearsal import World
from pytest_deploy.worlds import Wanted

DEPLOY_YAML = """\
service: api
image: ghcr.io/acme/api@sha256:{digest}
strategy: canary
canary_steps: [5, 25, 50, 100]
chart_path: ./chart
owner: team
slo: {{error_rate_max: 0.005, p95_latency_ms: 300, window_minutes: 5}}
environments:
  prod: {{context: acme-prod, namespace: prod, approvers: ["@acme/sre"]}}
metrics: {{prometheus: {{url: "https://prometheus.example.com", version_label: pod_template_hash}}}}
"""


class Patient:
    """A deploy.yaml, its rehearsed world, and what is wrong with it."""

    def __init__(self, folder: Path, more: str = "checklist: list.md\nincidents: {prometheus: {}}\n") -> None:
        (folder / "chart").mkdir()
        (folder / "list.md").write_text("- [x] one\n", "utf-8")
        (folder / "chart" / "Chart.yaml").touch()
        self.path = folder / "deploy.yaml"
        self.path.write_text(DEPLOY_YAML.format(digest="9" * 64) + more, "utf-8")
        self.config: DeployConfig = load(self.path)
        self.release: Release = self.config.release()
        self.world = World(
            release=self.release, scrape_interval=timedelta(seconds=15), version_label=True, sections=("checklist",)
        )
        self.ports: Ports = self.world.ports()
        self.ports.clock.sleep(timedelta(minutes=10))

    def alter(self, port: str, **methods: Callable[..., Any]) -> None:
        """Replace methods of a port."""
        whole = getattr(self.ports, port)
        made = type("Altered", (), {"__getattr__": lambda _, name: getattr(whole, name)})()
        for name, method in methods.items():
            setattr(made, name, method)
        self.ports = replace(self.ports, **{port: made})

    def lines(self) -> dict[str, Line]:
        """Look at prod; by area and name, the last of each."""
        found = examine(self.config, self.release, "prod", self.ports, Mode.REHEARSAL)
        return {f"{line.area} {line.name}": line for line in found}


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    """Give one that is well."""
    return Patient(tmp_path)


def failed(lines: dict[str, Line]) -> list[str]:
    """Return which lines have failed."""
    return [name for name, line in lines.items() if line.status is Status.FAILED]


def refuse(text: str, error: type[Exception] = Refused, **more: Any) -> Callable[..., Any]:
    """Return a method that raises."""

    def method(*_: object, **__: object) -> Any:
        raise error(text, **more)

    return method


def test_one_that_is_well(patient: Patient) -> None:
    """Nothing failed; each gate of the slo shows its value, its requests and its limit, live."""
    lines = patient.lines()
    assert failed(lines) == []
    assert lines["metrics error rate"].words.startswith("0.05 % of ")
    assert lines["metrics error rate"].words.endswith(" requests in the last 5 min, limit 0.50 %")
    assert "limit 300 ms" in lines["metrics p95 latency"].words
    assert lines["release release"].words.startswith("known good: Helm revision")
    assert lines["release lock"].words == "free"
    assert lines["section checklist"].words == "rehearsed: every item for api is ticked"
    assert lines["section incidents"].status is Status.OFF  # this world has none


def test_it_writes_nothing(patient: Patient) -> None:
    """Neither journal nor lock nor traffic nor Helm."""
    never = refuse("it must not", AssertionError)
    patient.alter("helm", execute=never)
    patient.alter("traffic", execute=never)
    patient.alter("journal", append=never)
    lock = type("Lock", (), {"look": lambda _: None, "acquire": never, "release": never, "refence": never})()
    patient.ports = replace(patient.ports, lock=lock)
    assert failed(patient.lines()) == []


def test_each_piece_is_looked_at(patient: Patient) -> None:
    """One that fails keeps no other from being looked at; words and mend are told apart."""
    patient.alter("cluster", denied=lambda _, asked: tuple(asked))
    patient.alter("metrics", now=refuse("prometheus is down", Unreachable, hint="start it"))
    capabilities = {
        **patient.ports.capabilities,
        "incidents": refuse("one is open\n  next: end it", GateBreach, cause="x"),
    }
    patient.ports = replace(patient.ports, capabilities=capabilities)
    lines = patient.lines()
    assert failed(lines) == ["permission account", "metrics server", "section incidents"]
    assert lines["permission account"].words.startswith("the deploy account may not: ")
    assert "pytest-deploy rbac prod" in lines["permission account"].mend
    assert (lines["metrics server"].words, lines["metrics server"].mend) == ("prometheus is down", "start it")
    assert (lines["section incidents"].words, lines["section incidents"].mend) == ("one is open", "end it")
    assert all(line.mend for line in lines.values() if line.status is Status.FAILED)


def test_a_cluster_that_does_not_answer_is_asked_once(patient: Patient) -> None:
    """What it would have had to tell is not waited for; the metrics are looked at all the same."""
    patient.alter("cluster", identity=refuse("no route", Unreachable, hint="see the network"))
    lines = patient.lines()
    assert failed(lines) == ["access cluster"]
    assert lines["access the rest"].status is Status.WARNING
    assert "permission account" not in lines
    assert lines["metrics error rate"].status is Status.OK


def test_what_several_checks_are_told_is_said_once(patient: Patient) -> None:
    """A Rollout that is not there is missed by three checks."""
    patient.alter("traffic", state=lambda _: None)
    lines = patient.lines()
    missing = [line for line in lines.values() if line.area == "release" and line.status is Status.FAILED]
    assert [line.words.startswith("there is no Rollout") for line in missing] == [True, False, False]
    assert {line.words for line in missing[1:]} == {"as above"}


def test_a_gate_without_data_fails_with_its_mend(patient: Patient) -> None:
    """Its problems, as pre-flight would tell them; a note is a warning."""
    patient.alter("metrics", problems=lambda *_: ("note: no bucket at 0.3", "no such series: correct the name"))
    lines = list(examine(patient.config, patient.release, "prod", patient.ports, Mode.REHEARSAL))
    gates = [line for line in lines if line.area == "metrics" and line.name != "server"]
    assert {(line.status, line.mend or line.words) for line in gates} == {
        (Status.FAILED, "no such series: correct the name"),
        (Status.WARNING, "no bucket at 0.3"),
    }


def test_a_freeze_is_told(tmp_path: Path) -> None:
    """As a refusal where a deploy would be refused."""
    patient = Patient(tmp_path, "windows: {freeze: [{from: 2020-01-01, to: 2099-01-01, reason: ice age}]}\n")
    (line,) = (
        line
        for line in examine(patient.config, patient.release, "prod", patient.ports, Mode.REAL)
        if line.name == "freeze"
    )
    assert line.status is Status.FAILED
    assert "ice age" in line.words
    assert "windows.freeze=[]" in line.mend


def test_what_a_deploy_asks_its_doctor_asks(patient: Patient) -> None:
    """Each check of pre-flight has a line; the gates have one each instead of "metrics" and "requests"."""
    names = {line.name for line in patient.lines().values()}
    assert set(preflight.CHECKS) - names == {"metrics", "requests"}


def test_which_sections_are_off(tmp_path: Path) -> None:
    """Each capability once; those that only read are asked in each environment instead."""
    (tmp_path / "deployment-checklist.md").write_text("- [x] one\n", "utf-8")
    patient = Patient(tmp_path, "checklist: deployment-checklist.md\nscan: {}\n")
    lines = {line.name: line for line in sections(patient.config)}
    assert lines["scan"].status is Status.OK
    assert lines["approval"].status is Status.OFF
    assert "checklist" not in lines


def test_which_programs_are_needed(tmp_path: Path) -> None:
    """Those of the sections that are there, each with what needs it."""
    needed = list(tools(Patient(tmp_path, "scan: {}\nchart_checks: {}\n").config, lambda name: f"/tools/{name}"))
    assert {tool.argv[0]: tool.why for tool in needed} == {
        "git": "the commit that is deployed",
        "/tools/trivy": "scan",
        "/tools/kubeconform": "chart_checks",
    }


def test_every_program_of_a_deploy_with_everything(tmp_path: Path) -> None:
    """Each once, with the key that names another one."""
    config = Patient(tmp_path, "build: {}\nscan: {}\nchart_checks: {}\napproval: {}\n").config
    assert {tool.argv: tool.key for tool in tools(config, str)} == {
        ("git", "--version"): "",
        ("docker", "buildx", "version"): "build.buildx",
        ("trivy", "version"): "tools.trivy",
        ("kubeconform", "-v"): "tools.kubeconform",
        ("gh", "--version"): "tools.gh",
    }


@pytest.mark.parametrize(
    ("script", "status", "told"),
    [
        ("echo tool version v1.22.3-rc.1 built today", Status.OK, "1.22.3-rc.1, for scan"),
        ("echo 'Version: 0.70.0' >&2", Status.OK, "0.70.0, for scan"),
        ("echo hello", Status.FAILED, "told no version"),
        ("echo 1.2.3; exit 3", Status.FAILED, "ended with 3"),
    ],
)
def test_a_program_tells_its_version(tmp_path: Path, script: str, status: Status, told: str) -> None:
    """From either stream; one that fails or tells none is no program to rely on."""
    path = tmp_path / "tool"
    path.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
    path.chmod(0o755)
    line = probe(Tool(argv=(str(path), "version"), why="scan", key="tools.trivy"))
    assert (line.name, line.status) == ("tool", status)
    assert told in line.words
    assert bool(line.mend) == (status is Status.FAILED)


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    """Which section needs it, and which key names another."""
    line = probe(Tool(argv=(str(tmp_path / "gone"), "version"), why="scan", key="tools.trivy"))
    assert line.status is Status.FAILED
    assert "needed for scan" in line.words
    assert line.mend == "install it, or name another one as tools.trivy"


class TestVerb:
    """The command line."""

    def run(self, patient: Patient, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
        """Run it on the patient's world."""

        def looking(mode: Mode, wanted: Wanted) -> worlds.World:
            assert mode is Mode.REAL
            return worlds.World(ports=patient.ports, release=patient.release, secrets=frozenset({"pl4nted-secret"}))

        monkeypatch.setattr(worlds, "looking", looking)
        return CliRunner().invoke(doctor, ["--config", str(patient.path), *arguments])

    def test_a_table(self, patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
        """Exit status 0 where nothing failed."""
        result = self.run(patient, monkeypatch, "prod")
        assert result.exit_code == 0, result.output
        assert "api in prod" in result.output
        assert "nothing failed, " in result.output

    def test_what_failed_stands_above_its_mend(self, patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
        """Exit status 1, and a secret that a server repeats is not printed."""
        patient.alter("metrics", now=refuse("no: pl4nted-secret", Unreachable, hint="use another than pl4nted-secret"))
        result = self.run(patient, monkeypatch)
        assert result.exit_code == 1
        assert "FAILED   metrics" in result.output
        assert "no: [secret]" in result.output
        assert "mend: use another than [secret]" in result.output
        assert "1 failed, " in result.output
        assert "pl4nted" not in result.output

    def test_for_machines(self, patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
        """The same lines; what belongs to no environment has null there."""
        result = self.run(patient, monkeypatch, "--json")
        body = json.loads(result.output)
        assert (body["service"], body["failed"]) == ("api", 0)
        assert {line["environment"] for line in body["lines"]} == {None, "prod"}
        assert {line["status"] for line in body["lines"]} <= {"ok", "warning", "off"}

    def test_a_world_that_can_not_be_had_is_a_line(self, patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
        """Such as a context that does not exist, or a secret that is not set: the tools are told all the same."""
        result = CliRunner().invoke(doctor, ["--config", str(patient.path)], env={"KUBECONFIG": "/nowhere/config"})
        assert result.exit_code == 1
        assert "FAILED   access" in result.output
        assert "git" in result.output

    def test_an_environment_that_is_none(self, patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
        """Refused, with those there are."""
        result = self.run(patient, monkeypatch, "production")
        assert isinstance(result.exception, Refused)
        assert "it has: prod" in str(result.exception)


@pytest.mark.parametrize(
    ("approvers", "problems", "status", "told"),
    [
        (
            ("@acme/sre",),
            ("it has no required reviewers; next: mend it",),
            Status.FAILED,
            "it has no required reviewers",
        ),
        (("@acme/sre",), (), Status.OK, "would be asked of @acme/sre"),
        ((), ("not asked",), Status.OK, "nobody has to approve"),
    ],
)
def test_an_approval_that_could_never_count(
    patient: Patient, approvers: tuple[str, ...], problems: tuple[str, ...], status: Status, told: str
) -> None:
    """Told before somebody waits for one; nobody is asked."""
    release = patient.release
    prod = replace(release.environments["prod"], approvers=approvers)
    patient.release = replace(release, environments={"prod": prod})
    asked = type("Approvals", (), {"problems": lambda *_: problems, "ask": refuse("it must not", AssertionError)})()
    patient.ports = replace(patient.ports, approvals=asked)
    line = patient.lines()["section approval"]
    assert line.status is status
    assert told in line.words
    assert line.mend == ("mend it" if status is Status.FAILED else "")
