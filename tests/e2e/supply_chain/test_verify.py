"""``pytest-deploy verify``: what a person, or the second job, learns of a digest."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pytest_deploy.domain.record import STAGING, Check, Record, RecordKind
from pytest_deploy.domain.release import Digest
from tests.e2e.supply_chain.conftest import Bench, Keys

pytestmark = pytest.mark.real

_NOW = datetime.now(UTC).replace(microsecond=0)
CONFIG = """\
service: app
image: {repository}
strategy: canary
canary_steps: [50, 100]
chart_path: chart
owner: team
slo: {{error_rate_max: 0.005, p95_latency_ms: 300}}
environments:
  staging: {{context: staging, namespace: staging}}
  prod: {{context: prod, namespace: prod}}
metrics: {{prometheus: {{url: "http://prometheus.example.com"}}}}
tools: {{cosign: {cosign}}}
sign: {{key: "${{file:{private}}}", public_key: cosign.pub, transparency_log: false}}
record: {{max_age_hours: 24}}
"""


def _folder(bench: Bench, tmp_path: Path, public: Path) -> Path:
    (tmp_path / "chart").mkdir()
    (tmp_path / "chart" / "Chart.yaml").write_text("apiVersion: v2\nname: app\nversion: 0.1.0\n")
    (tmp_path / "cosign.pub").write_bytes(public.read_bytes())
    # The private key is not there: who only looks needs none.
    text = CONFIG.format(repository=bench.repository, cosign=bench.rig.programs["cosign"], private="/absent.key")
    (tmp_path / "deploy.yaml").write_text(text)
    return tmp_path


def _verify(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    cli = str(Path(sys.executable).with_name("pytest-deploy"))
    return subprocess.run(
        (cli, "verify", *arguments), cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


def _record(pinned: str) -> Record:
    repository, _, digest = pinned.partition("@")
    return Record(
        kind=RecordKind.CANDIDATE, deploy_id="d1", service="app", environment="staging", image=repository,
        digest=Digest(digest), commit="a" * 40, chart="sha256:1234", outcome="passed",
        checks=(Check(name=STAGING, subject="staging", status="passed", words="2 pods ready", at=_NOW),),
        began=_NOW - timedelta(minutes=4), ended=_NOW,
    )  # fmt: skip


def test_a_candidate_that_counts_is_shown_with_its_checks(bench: Bench, tmp_path: Path) -> None:
    """Signed, with a record of a staging that passed: exit status 0, and who signed what when."""
    pinned = bench.build()
    bench.signer().sign(pinned)
    bench.records().attach(pinned, _record(pinned))
    folder = _folder(bench, tmp_path, bench.ours.public)
    done = _verify(folder, pinned.partition("@")[2])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "signature   signed by key sha256:" in done.stdout
    assert f"passed  {STAGING} staging: 2 pods ready" in done.stdout
    told = json.loads(_verify(folder, pinned, "--json").stdout)
    assert told["verified"] is True
    assert told["records"][0]["problems"] == []


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"outcome": "failed: staging"}, "its deploy did not pass: failed: staging"),
        ({"checks": ()}, "it tells of no staging that passed"),
        ({"service": "other"}, "it is of another service: other, here it is app"),
        ({"kind": RecordKind.DEPLOY}, "it tells of a deploy, not of a release candidate"),
        (
            {"checks": (Check(name=STAGING, subject="s", status="passed", words="", at=_NOW - timedelta(hours=30)),)},
            "it is too old",
        ),
    ],
)
def test_a_record_that_does_not_count_says_why(
    bench: Bench, tmp_path: Path, changed: dict[str, object], why: str
) -> None:
    """Exit status 1, what keeps the record from counting, and how to get one that counts."""
    pinned = bench.build()
    bench.signer().sign(pinned)
    bench.records().attach(pinned, replace(_record(pinned), **changed))  # type: ignore[arg-type] - the table's values
    done = _verify(_folder(bench, tmp_path, bench.ours.public), pinned)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"DOES NOT COUNT: {why}" in done.stdout
    assert "next: pytest features/release_candidate.feature" in done.stdout


def test_what_is_signed_by_somebody_else_is_a_no(bench: Bench, tmp_path: Path, theirs: Keys) -> None:
    """Exit status 1 and the reason, for machines too; nothing else is looked at."""
    pinned = bench.build()
    bench.signer(theirs).sign(pinned)
    folder = _folder(bench, tmp_path, bench.ours.public)
    done = _verify(folder, pinned)
    assert (done.returncode, done.stdout) == (1, "")
    assert "NO: " in done.stderr
    assert "not signed by key sha256:" in done.stderr
    assert json.loads(_verify(folder, pinned, "--json").stdout)["verified"] is False


def test_a_tag_is_no_digest(bench: Bench, tmp_path: Path) -> None:
    """A tag is refused with the way to its digest, before anything is asked."""
    done = _verify(_folder(bench, tmp_path, bench.ours.public), "sha-1a2b3c4")
    assert done.returncode == 4
    assert "is no digest" in done.stderr
    assert "next: give the digest" in done.stderr
