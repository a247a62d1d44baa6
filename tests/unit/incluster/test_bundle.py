"""What a pod is given is deploy.yaml as it applies there, and all that the feature needs, and no more."""

from __future__ import annotations

import io
import os
import tarfile
from datetime import timedelta
from pathlib import Path

import pytest

from pytest_deploy.config.load import load
from pytest_deploy.errors import Faulted, Refused
from pytest_deploy.incluster.bundle import CONFIG, CONTEXT, KUBECONFIG, pack, unpack

CHART = Path(__file__).parents[3] / "charts" / "checkout-api"
YAML = f"""\
service: checkout-api
image: registry.example.com/checkout-api@sha256:{"a" * 64}
strategy: canary
canary_steps: [50, 100]
chart_path: {CHART}
owner: checkout-team
slo: {{error_rate_max: 0.005, p95_latency_ms: 300, window_minutes: 5}}
environments:
  staging: {{context: elsewhere, namespace: staging}}
  prod: {{context: acme, namespace: shop, values_file: own.yaml, server: "https://api.example.com:6443"}}
metrics: {{prometheus: {{url: "https://prometheus.example.com"}}}}
"""


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository with a feature in a folder, steps of the team, and a values file beside deploy.yaml."""
    root = tmp_path / "repo"
    for folder in ("features", "steps", "scripts", "steps/__pycache__"):
        (root / folder).mkdir(parents=True)
    (root / "deploy.yaml").write_text(YAML, "utf-8")
    (root / "own.yaml").write_text("replicaCount: 7\n", "utf-8")
    (root / "features" / "prod.feature").write_text("Feature: it\n", "utf-8")
    (root / "steps" / "own.py").write_text("x = 1\n", "utf-8")
    (root / "steps" / "__pycache__" / "own.pyc").write_bytes(b"x")
    (root / "scripts" / "smoke.sh").write_text("#!/bin/sh\n", "utf-8")
    (root / "scripts" / "smoke.sh").chmod(0o755)
    (root / "secret.txt").write_text("no part of it", "utf-8")
    return root


def packed(repo: Path, *overrides: str) -> tuple[bytes, str]:
    """Pack the repository's feature, prod being in the pod's cluster."""
    release = load(repo / "deploy.yaml", overrides=overrides).release()
    return pack(repo / "deploy.yaml", overrides, release, ["prod"], repo / "features" / "prod.feature")


def test_the_pod_reads_the_same_release(repo: Path, tmp_path: Path) -> None:
    """deploy.yaml is complete in the pod: overrides applied, chart and values found, its own cluster as its context."""
    content, feature = packed(repo, "slo.window_minutes=1", "values.env.LOG_LEVEL=debug")
    there = tmp_path / "pod"
    unpack(content, there)
    assert feature == "features/prod.feature"
    assert (there / feature).read_text("utf-8") == "Feature: it\n"
    config = load(there / CONFIG)
    release, prod = config.release(), config.release().environments["prod"]
    assert config.slo.window == timedelta(minutes=1)
    assert ("env.LOG_LEVEL", '"debug"') in release.values
    assert (release.chart_path / "Chart.yaml").read_bytes() == (CHART / "Chart.yaml").read_bytes()
    assert prod.values_file is not None
    assert prod.values_file.read_text("utf-8") == "replicaCount: 7\n"
    assert (prod.context, str(prod.kubeconfig), prod.server) == (CONTEXT, KUBECONFIG, None)
    assert release.environments["staging"].context == "elsewhere"


def test_the_teams_steps_come_along_and_nothing_else(repo: Path, tmp_path: Path) -> None:
    """steps/ and scripts/ on the way up to deploy.yaml are there, executable ones too; other files are not."""
    unpack(packed(repo)[0], tmp_path / "pod")
    found = {str(path.relative_to(tmp_path / "pod")) for path in (tmp_path / "pod").rglob("*") if path.is_file()}
    assert {name for name in found if not name.startswith("chart/")} == {
        "deploy.yaml",
        "features/prod.feature",
        "scripts/smoke.sh",
        "steps/own.py",
        "values/prod.yaml",
    }
    assert os.access(tmp_path / "pod" / "scripts" / "smoke.sh", os.X_OK)


def test_equal_files_are_packed_alike(repo: Path) -> None:
    """The archive depends on the files alone, not on when they were written."""
    first = packed(repo)
    os.utime(repo / "own.yaml", (1, 1))
    assert packed(repo) == first


def test_what_is_too_large_is_refused_by_name(repo: Path) -> None:
    """More than a ConfigMap holds is refused, with the largest files named."""
    (repo / "scripts" / "model.bin").write_bytes(os.urandom(1024 * 1024))
    with pytest.raises(Refused, match=r"ConfigMap takes 900; the largest: scripts/model.bin \(1024 KiB\)"):
        packed(repo)


@pytest.mark.parametrize("name", ["../outside", "/etc/outside"])
def test_an_archive_that_leads_out_is_not_unpacked(name: str, tmp_path: Path) -> None:
    """What ``pack`` never packs, an edited ConfigMap may hold: nothing is written outside of the folder."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo(name))
    with pytest.raises(Faulted, match="not what was packed"):
        unpack(content.getvalue(), tmp_path / "pod")
    assert not (tmp_path / "outside").exists()
