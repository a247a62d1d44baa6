"""A release candidate and its deploy as two jobs run them: the second believes the first's signed record, or refuses.

The first job has no context of production, the second none of staging; each runs as an account that has what
``pytest-deploy rbac`` prints for its environment alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_deploy.domain.record import Record, RecordKind
from pytest_deploy.domain.release import Digest
from pytest_deploy.errors import DeployError
from tests.e2e.caller import FEATURE, Deploys, Running
from tests.e2e.conftest import Places
from tests.e2e.oracle import CHART, SERVICE, Place, eventually
from tests.e2e.supply_chain.conftest import Bench, Keys

pytestmark = pytest.mark.real

CANDIDATE = """\
@deploy
Feature: checkout-api becomes a release candidate

  Background:
    Given the release "checkout-api" of deploy.yaml, bound for "staging"

  Scenario: Pre-flight
    Given the stack is one that this deploy supports
    And the cluster is the one expected for "staging"
    And the deploy account may do, and undo, everything this deploy does

  Scenario: Build
    When the image is built, pushed and signed
    Then it is pinned by digest
    And its signature, provenance and SBOM are verified
    And "make test" pass

  Scenario: Staging
    When the release is installed on "staging"
    Then every pod runs the pinned digest within 1 minute
    And its evidence is signed and attached to the digest
"""
BELIEVED = """\
  Scenario: Release candidate
    Given the release candidate's record is verified
    Then it is pinned by digest
    And its signature, provenance and SBOM are verified
    And "make test" pass

"""


@dataclass(kw_only=True)
class Team:
    """A repository with both features, and the two jobs' accounts."""

    deploys: Deploys
    place: Place
    bench: Bench
    folder: Path
    commit: str

    def start(self, environment: str, *options: str, **env: str) -> Running:
        """Run the job of this environment."""
        feature = "candidate.feature" if environment == "staging" else "prod.feature"
        variables = {
            **self.bench.rig.env,
            "CI": "true",
            "KUBECONFIG": str(self.place.folder / f"{environment}.kubeconfig"),
            "COSIGN_KEY": str(self.bench.ours.private.read_text()),
            "COSIGN_PASSWORD": "",
            **env,
        }
        return self.deploys.run(self.place, feature, *options, cwd=self.folder, env=variables)

    def deploy(self, digest: str, *options: str) -> Running:
        """Run the deploy of this digest, as the protected job does."""
        return self.start("prod", f"--deploy-set=image={self.bench.repository}@{digest}", *options)


@pytest.fixture
def team(places: Places, deploys: Deploys, bench: Bench) -> Team:
    """Prepare it: the old version runs in both environments."""
    place = places()
    folder = bench.rig.source(f"two-{place.namespace}")
    staging = f"{place.namespace}-staging"
    argv = [each if each != place.namespace else staging for each in place.upgrade_argv(place.old)]
    subprocess.run(argv, check=True, capture_output=True, timeout=60)
    (folder / "cosign.pub").write_bytes(bench.ours.public.read_bytes())
    (folder / "Makefile").write_text("test:\n\t@printf '1..1\\nok 1 - adds\\n'\n")
    (folder / ".gitignore").write_text("reports\nrun-*\n__pycache__\n")
    (folder / "candidate.feature").write_text(CANDIDATE)
    head, outline, rest = FEATURE.format(w5=4, w25=4, w50=4, w100=4, after=2).partition("  Scenario Outline:")
    (folder / "prod.feature").write_text(f"{head}{BELIEVED}{outline}{rest}")
    (folder / "deploy.yaml").write_text(yaml.safe_dump(_profile(place, bench)))
    git = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    for words in (("add", "."), (*git, "commit", "-qm", "both features")):
        bench.rig.run("git", *words, cwd=folder)
    for environment, namespace in (("staging", staging), ("prod", place.namespace)):
        _account(place, folder, environment, namespace)
    return Team(deploys=deploys, place=place, bench=bench, folder=folder, commit=bench.rig.commit(folder))


def _profile(place: Place, bench: Bench) -> Mapping[str, Any]:
    where = {"release": SERVICE, "values_file": "values-prod.yaml"}
    return {
        "service": SERVICE,
        "image": bench.repository,
        "strategy": "canary",
        "canary_steps": [5, 25, 50, 100],
        "chart_path": str(CHART),
        "owner": "checkout-team",
        "slo": {"error_rate_max": 0.005, "p95_latency_ms": 300, "window_minutes": 1},
        "environments": {
            "staging": {"context": "sandbox-staging", "namespace": f"{place.namespace}-staging", **where},
            "prod": {"context": "sandbox-prod", "namespace": place.namespace, **where},
        },
        "metrics": {
            "prometheus": {
                "url": place.sandbox.facts["prometheus_url"],
                "version_label": "pod_template_hash",
                "scrape_interval_s": 1,
                "timeout_s": 2,
            }
        },
        "values": {
            "annotations": {"sandbox.pytest-deploy.dev/rps": "2000"},
        },
        "tools": {"helm": place.sandbox.binaries["helm3"], "cosign": bench.rig.programs["cosign"]},
        "timeouts": {"helm_minutes": 1, "step_minutes": 1, "rollback_minutes": 1},
        "tests": {"commands": ["make test"]},
        "build": {"buildx": [bench.rig.programs["buildx"]], "sbom_generator": bench.rig.scanner},
        "sign": {"key": "${env:COSIGN_KEY}", "public_key": "cosign.pub", "transparency_log": False},
        "record": {},
    }


def _account(place: Place, folder: Path, environment: str, namespace: str) -> None:
    """Make an account with what rbac prints for the environment, and a kubeconfig with its context alone."""
    admin = ("--kubeconfig", place.kubeconfig, "--context", f"sandbox-{environment}", "-n", namespace)
    kubectl = place.sandbox.binaries["kubectl"]

    def run(*argv: str, stdin: str = "") -> str:
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=60, check=False, cwd=folder,
                              env={**os.environ, "KUBECONFIG": place.kubeconfig})  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(kubectl, *admin, "create", "serviceaccount", "job")
    cli = str(Path(sys.executable).with_name("pytest-deploy"))
    printed = run(cli, "rbac", environment, "--to", f"serviceaccount:{namespace}/job")
    run(kubectl, *admin, "apply", "-f", "-", stdin=printed)
    facts = json.loads(Path(place.kubeconfig).read_text("utf-8"))
    facts["users"] = [{"name": "job", "user": {"token": run(kubectl, *admin, "create", "token", "job").strip()}}]
    facts["contexts"] = [each for each in facts["contexts"] if each["name"] == f"sandbox-{environment}"]
    for each in facts["contexts"]:
        each["context"]["user"] = "job"
    path = place.folder / f"{environment}.kubeconfig"
    path.write_text(json.dumps(facts), "utf-8")
    ask = (kubectl, "--kubeconfig", str(path), "--context", f"sandbox-{environment}", "-n", namespace, "auth", "can-i")
    asked = (*ask, "patch", "rollouts.argoproj.io")
    eventually(lambda: subprocess.run(asked, capture_output=True, check=False).returncode == 0, "the role is in force")


def test_two_features_in_a_row(team: Team) -> None:
    """Built, signed, staged and recorded by one job; verified, not done again, and deployed by the other."""
    first = team.start("staging")
    assert first.end() == 0, first.out
    assert "PASSED" in first.out
    digest = first.facts["image"]["digest"]
    pinned = f"{team.bench.repository}@{digest}"
    (left,) = team.bench.records().find(pinned)
    assert (left.kind, left.outcome, left.commit) == (RecordKind.CANDIDATE, "passed", team.commit)
    passed = [check.name for check in left.checks if check.status == "passed"]
    assert passed == ["build", "sign", "tests", "install", "staging"]

    second = team.deploy(digest)
    assert second.end() == 0, second.out
    team.place.serves_only(digest)
    assert "signed: build, sign, tests, install, staging passed" in second.note
    assert f"in {left.deploy_id}, by its signed record" in second.note
    (_, told) = team.bench.records().find(pinned)
    assert (told.kind, told.outcome) == (RecordKind.DEPLOY, "COMMITTED")
    assert {check.subject for check in told.checks if check.name == "gate"} >= {
        "error rate at 5 %",
        "p95 latency at 100 %",
    }
    for run in (first, second):
        for path in run.folder.rglob("*"):
            secret = team.bench.ours.private.read_text().splitlines()[1].encode()
            assert not path.is_file() or secret not in path.read_bytes(), path


def test_records_that_are_refused(team: Team, theirs: Keys) -> None:
    """Missing, of a foreign signer, another commit, too old, of a failed staging: production is not written to."""
    before = team.place.untouched()
    missing = team.bench.build(team.folder)
    team.bench.signer(commit=team.commit).sign(missing)
    digest = missing.partition("@")[2]

    def refused(*options: str, says: str, status: int = 4) -> None:
        run = team.deploy(digest, *options)
        assert run.end() == status, run.out
        assert says in run.note, run.note
        assert team.place.untouched() == before

    refused(says="has no record of a release candidate")
    now = datetime.now(UTC)
    foreign = Record(
        kind=RecordKind.CANDIDATE,
        deploy_id="theirs",
        service=SERVICE,
        environment="staging",
        image=team.bench.repository,
        digest=Digest(digest),
        commit=team.commit,
        chart="sha256:any",
        outcome="passed",
        checks=(),
        began=now,
        ended=now,
    )
    with pytest.raises(DeployError, match="was signed, and is not believed"):
        team.bench.records(theirs).attach(missing, foreign)
    refused(says="has 1 record, none signed by key", status=1)
    candidate = team.start("staging", f"--deploy-set=image={missing}")
    assert candidate.end() == 0, candidate.out
    (good,) = team.bench.records().find(missing)
    old = timedelta(hours=30)

    def leave(record: Record) -> None:
        newer = team.bench.records().find(missing)[-1].ended + timedelta(seconds=1)
        team.bench.records().attach(missing, replace(record, ended=newer))

    refused("--deploy-set=record.max_age_hours=0.0001", says="it is too old: its oldest check was")
    leave(replace(good, commit="f" * 40))
    refused(says=f"it is of another commit: {'f' * 40}, here it is {team.commit}")
    leave(replace(good, outcome="ROLLED BACK"))
    refused(says="its deploy did not pass: ROLLED BACK")
    leave(replace(good, checks=tuple(replace(check, at=check.at - old) for check in good.checks)))
    refused(says="and the limit is 24 h (record.max_age_hours)")
    leave(good)
    accepted = team.deploy(digest, "--deploy-set=values.env.LOG_LEVEL=debug")
    assert accepted.end() == 4, accepted.out
    assert "it is of another chart and values" in accepted.note
    assert team.place.untouched() == before
