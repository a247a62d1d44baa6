"""What `run` and `watchdog` refuse before anything is contacted, each with the next move."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from pytest_deploy.cli_run import run
from pytest_deploy.cli_watchdog import watchdog
from pytest_deploy.errors import Refused

CHART = Path(__file__).parents[2] / "charts" / "checkout-api"
YAML = f"""\
service: checkout-api
image: registry.example.com/checkout-api
strategy: canary
canary_steps: [100]
chart_path: {CHART}
owner: checkout-team
slo: {{error_rate_max: 0.005, p95_latency_ms: 300, window_minutes: 5}}
environments:
  prod: {{context: acme, namespace: shop, server: "https://api.example.com:6443"}}
metrics: {{prometheus: {{url: "https://prometheus.example.com"}}}}
"""
KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://other.example.com:6443"}}]
users: [{name: u, user: {token: t}}]
contexts: [{name: acme, context: {cluster: c, user: u}}]
"""


@pytest.fixture(autouse=True)
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose context leads to another cluster than deploy.yaml expects, and no sandbox."""
    (tmp_path / "deploy.yaml").write_text(YAML, "utf-8")
    (tmp_path / "deploy.sandbox.yaml").write_text(YAML, "utf-8")
    (tmp_path / "kubeconfig").write_text(KUBECONFIG, "utf-8")
    text = 'Feature: it\n  Scenario: x\n    Given the release "checkout-api" of deploy.yaml, bound for "prod"\n'
    (tmp_path / "prod.feature").write_text(text, "utf-8")
    (tmp_path / "unbound.feature").write_text("Feature: it\n", "utf-8")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    monkeypatch.setenv("PYTEST_DEPLOY_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(command: click.Command, *arguments: str) -> str:
    """Run it and return what it refuses, the next move included."""
    result = CliRunner().invoke(command, arguments, standalone_mode=False)
    assert isinstance(result.exception, Refused), result.exception
    return str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("prod.feature",), "add --in-cluster\n  next: from here: pytest FEATURE"),
        (("--in-cluster",), "either FEATURE or --attach ID is wanted"),
        (("--in-cluster", "prod.feature", "--attach", "x"), "either FEATURE or --attach ID is wanted"),
        (("--in-cluster", "prod.feature"), "which image the Job runs is not said\n  next: make image"),
        (("--in-cluster", "unbound.feature"), "environment None is none of deploy.yaml's: prod\n  next: add --environ"),
        (("--in-cluster", "prod.feature", "--environment", "qa"), "environment 'qa' is none of deploy.yaml's: prod"),
        (("--in-cluster", "prod.feature", "--sandbox"), "not up\n  next: pytest-deploy sandbox up --backend node"),
        (
            ("--in-cluster", "prod.feature", "--image", "x@sha256:0"),
            "context acme leads to https://other.example.com:6443, deploy.yaml expects https://api.example.com:6443",
        ),
    ],
)
def test_run_says_what_is_missing(arguments: tuple[str, ...], words: str) -> None:
    """Each refusal names what was seen and what to do next."""
    assert words in refused(run, *arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--image", "x"), "belong to --manifest\n  next: add --manifest"),
        (("--manifest",), "which image the watchdog runs is not said\n  next: make image"),
        (("--manifest", "--environment", "qa"), "environment 'qa' is none of deploy.yaml's: prod"),
        (("--environment", "qa"), "deploy.yaml has no environment qa, only: prod"),
        (("--manifest", "--sandbox"), "not up\n  next: pytest-deploy sandbox up --backend node"),
    ],
)
def test_watchdog_says_what_is_missing(arguments: tuple[str, ...], words: str) -> None:
    """Each refusal names what was seen and what to do next."""
    assert words in refused(watchdog, *arguments)
