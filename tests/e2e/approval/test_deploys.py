"""Whole deploys on the sandbox that wait for a person: the yes, the no, and a yes that is taken back."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.approval.github_server import JOB_TOKEN, Github, serving
from tests.e2e.caller import Deploys, Running, deployer
from tests.e2e.conftest import Places
from tests.e2e.oracle import Place, digest_of

pytestmark = pytest.mark.real

APPROVAL = """\
  Scenario: Approval
    Then "prod" is approved for this digest by one of its approvers

  Scenario Outline: Canary at <weight>
"""
SIGNED = """\
approval:
  wait_minutes: 1
  file: {folder: approvals, transparency_log: false, signers: {ann: {key: ann.pub, email: ann@acme.com}}}
"""
REVIEWED = """\
approval:
  wait_minutes: 1
  github: {{repository: {host}/acme/checkout-api, workflow: deploy-prod.yml, token: "${{env:GITHUB_JOB_TOKEN}}"}}
"""


@pytest.fixture
def github(tmp_path: Path) -> Iterator[Github]:
    """A GitHub of this test's own."""
    folder = tmp_path / "github"
    folder.mkdir()
    with serving(folder) as made:
        yield made


def write(deploys: Deploys, place: Place, section: str, **files: Any) -> None:
    """Write a deploy that asks for approval before its first weight."""
    deploys.write(place, windows={"after": 2}, **files)
    feature = place.folder / "prod.feature"
    feature.write_text(
        feature.read_text("utf-8").replace("  Scenario Outline: Canary at <weight>\n", APPROVAL), "utf-8"
    )
    profile = place.folder / ("deploy.yaml" if files.get("real") else "deploy.sandbox.yaml")
    text = profile.read_text("utf-8").replace("values-prod.yaml}", 'values-prod.yaml, approvers: ["@acme/sre", "ann"]}')
    profile.write_text(text + section, "utf-8")


def start(deploys: Deploys, place: Place, github: Github, gh: str, section: str = REVIEWED, **env: str) -> Running:
    """Start it as a CI job does, against this GitHub, by an account that has the roles of ``rbac`` alone."""
    write(deploys, place, section.format(host=github.host), real=True, digest=f"@{new(place)}")
    variables = {
        "CI": "true",
        "KUBECONFIG": str(deployer(place)),
        "SSL_CERT_FILE": str(github.ca),
        "GITHUB_JOB_TOKEN": JOB_TOKEN,
        **env,
    }
    return deploys.run(place, "prod.feature", f"--deploy-set=tools.gh={gh}", env=variables)


def new(place: Place) -> str:
    """The digest that is deployed."""
    return digest_of(f"new {place.folder}")


def test_a_signed_file(places: Places, deploys: Deploys, cosign_binary: str) -> None:
    """The deploy writes the file and waits; once it is signed the canary begins, and the note names the approver."""
    place = places()
    env = {"COSIGN_PASSWORD": "", "HOME": str(place.folder)}
    prefix = str(place.folder / "ann")
    argv: tuple[str, ...] = (cosign_binary, "generate-key-pair", "--output-key-prefix", prefix)
    subprocess.run(argv, check=True, capture_output=True, timeout=60, env=env)
    before = place.untouched()
    write(deploys, place, SIGNED)
    running = deploys.run(place, "prod.feature", "--sandbox")
    folder = place.folder / "approvals"
    running.until(lambda: list(folder.glob("approval-*.json")), "the file is written", within_s=120)
    running.until(lambda: running.says("cosign sign-blob"), "the command is said")
    assert place.untouched() == before
    [file] = folder.glob("approval-*.json")
    bundle = file.with_suffix(".ann.sigstore.json")
    argv = (
        cosign_binary, "sign-blob", "--yes", "--key", f"{prefix}.key", "--use-signing-config=false",
        "--tlog-upload=false", "--bundle", str(bundle), str(file),
    )  # fmt: skip
    subprocess.run(argv, check=True, capture_output=True, timeout=60, env=env)
    assert running.end() == 0, running.out
    digest = json.loads(file.read_text("utf-8"))["approve"].partition("@")[2]
    place.serves_only(digest)
    assert running.facts["approver"] == "ann"
    assert f"ann approved {digest} for prod" in running.note


def test_dispatched_and_reviewed(places: Places, deploys: Deploys, github: Github, gh_binary: str) -> None:
    """The workflow is dispatched by the real gh, the run reviewed; the token is in no file and no output."""
    place = places()
    running = start(deploys, place, github, gh_binary)
    running.until(lambda: github.dispatched, "the workflow is dispatched", within_s=120)
    inputs = {"service": "checkout-api", "image_digest": new(place), "strategy": "canary"}
    assert github.dispatched[0]["inputs"] == inputs
    github.review(max(github.runs), "ann", f"go {new(place)}")
    assert running.end() == 0, running.out
    place.serves_only(new(place))
    assert running.facts["approver"] == "@ann"
    for path in running.folder.rglob("*"):
        assert not path.is_file() or JOB_TOKEN.encode() not in path.read_bytes(), path


def test_inside_the_protected_job(places: Places, deploys: Deploys, github: Github, gh_binary: str) -> None:
    """With no setting at all the job's own run is read; a second attempt needs a yes of its own."""
    place = places()
    before = place.untouched()
    run = github.begin_run(actor="carl")
    github.review(run, "ann", new(place))
    job = {
        "GITHUB_SERVER_URL": f"https://{github.host}",
        "GITHUB_REPOSITORY": "acme/checkout-api",
        "GITHUB_RUN_ID": str(run),
        "GITHUB_ACTOR": "carl",
        "GH_ENTERPRISE_TOKEN": JOB_TOKEN,
    }
    github.runs[run]["run_attempt"] = 2
    running = start(deploys, place, github, gh_binary, "approval: {{}}\n", **job, GITHUB_RUN_ATTEMPT="2")
    assert running.end() == 1, running.out
    assert f"write into the comment: {new(place)} attempt 2" in running.note
    assert f"next: gh run rerun {run} -R {github.host}/acme/checkout-api" in running.note
    assert place.untouched() == before
    github.review(run, "ann", f"{new(place)} attempt 2")
    running = start(deploys, place, github, gh_binary, "approval: {{}}\n", **job, GITHUB_RUN_ATTEMPT="2")
    assert running.end() == 0, running.out
    place.serves_only(new(place))
    assert f"attempt 2 of https://{github.host}/acme/checkout-api/actions/runs/{run}" in running.note


@pytest.mark.parametrize(
    ("by", "state", "words"),
    [
        ("ann", "rejected", "prod was denied by @ann: not now"),
        ("dora", "approved", "@dora is the author of c0ffee000000, and nobody approves their own work"),
    ],
)
def test_a_no(
    places: Places, deploys: Deploys, github: Github, gh_binary: str, by: str, state: str, words: str
) -> None:
    """Nothing is written to production, and the reason is told with its next move."""
    place = places()
    before = place.untouched()
    running = start(deploys, place, github, gh_binary)
    running.until(lambda: github.dispatched, "the workflow is dispatched", within_s=120)
    github.review(max(github.runs), by, new(place) if state == "approved" else "not now", state=state)
    assert running.end() == 1, running.out
    assert words in running.note
    assert "next: " in running.note
    assert running.junit["Approval"] == "failure"
    assert place.untouched() == before


def test_a_yes_that_is_taken_back(places: Places, deploys: Deploys, github: Github, gh_binary: str) -> None:
    """Between the yes and the first write the run is cancelled: the second look stops the deploy."""
    place = places()
    before = place.untouched()
    running = start(deploys, place, github, gh_binary)
    running.until(lambda: github.dispatched, "the workflow is dispatched", within_s=120)
    github.cancelled_after_yes = True
    github.review(max(github.runs), "ann", new(place))
    assert running.end() == 1, running.out
    assert f"the approval does not stand any more: https://{github.host}" in running.note
    assert "ended: cancelled; next: deploy again" in running.note
    assert running.junit["Approval"] == "passed"
    assert running.junit["5%"] == "failure"
    assert place.untouched() == before


def test_interrupted_while_waiting(places: Places, deploys: Deploys, github: Github, gh_binary: str) -> None:
    """A signal ends the wait; the run is cancelled, so that a late click approves nothing."""
    place = places()
    before = place.untouched()
    running = start(deploys, place, github, gh_binary)
    running.until(lambda: github.dispatched, "the workflow is dispatched", within_s=120)
    running.until(lambda: running.says("nobody has answered yet"), "it waits")
    running.send(signal.SIGINT)
    assert running.end() == 2, running.out
    assert github.runs[max(github.runs)]["conclusion"] == "cancelled"
    assert "the approver was told that nothing is to be approved any more" in running.out
    assert place.untouched() == before
