"""What deploy.yaml says of build, signature and records becomes ports, or is off."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_deploy import supply_chain
from pytest_deploy.config.load import load
from pytest_deploy.config.model import DeployConfig
from pytest_deploy.config.secrets import Secrets
from pytest_deploy.errors import ConfigError
from pytest_deploy.testing.clock import FakeClock

BASE = """\
service: app
image: ghcr.io/acme/app
strategy: canary
canary_steps: [50, 100]
chart_path: chart
owner: team
slo: {error_rate_max: 0.005, p95_latency_ms: 300}
environments: {prod: {context: prod, namespace: prod}}
metrics: {prometheus: {url: "http://prometheus.example.com"}}
"""
SIGN = "sign: {key: '${env:ABSENT_KEY}', public_key: cosign.pub}\n"


def config(folder: Path, more: str) -> DeployConfig:
    """Load a deploy.yaml with these sections."""
    (folder / "chart").mkdir()
    for name in ("chart/Chart.yaml", "cosign.pub"):
        (folder / name).touch()
    (folder / "deploy.yaml").write_text(BASE + more)
    return load(folder / "deploy.yaml")


def test_without_their_sections_all_are_off(tmp_path: Path) -> None:
    """None stands for "off" everywhere, for who only looks, too."""
    plain, clock, secrets = config(tmp_path, ""), FakeClock(), Secrets(os.environ, tmp_path)
    assert supply_chain.builder(plain, clock) is None
    assert supply_chain.signer(plain, clock, secrets) is None
    assert supply_chain.verifier(plain, clock) is None
    assert supply_chain.records(plain, secrets) is None
    assert supply_chain.trusted_records(plain) is None


def test_who_only_looks_needs_no_key(tmp_path: Path) -> None:
    """The secret that signs is not there: signing is a configuration error, verifying is not."""
    both, secrets = config(tmp_path, SIGN + "record: {}\n"), Secrets({}, tmp_path)
    assert supply_chain.verifier(both, FakeClock()) is not None
    assert supply_chain.trusted_records(both) is not None
    for ask in (
        lambda: supply_chain.signer(both, FakeClock(), secrets),
        lambda: supply_chain.records(both, secrets),
    ):
        with pytest.raises(ConfigError, match="ABSENT_KEY"):
            ask()


def test_a_record_without_a_signature_is_a_mistake(tmp_path: Path) -> None:
    """It is told with its place, before anything is done."""
    alone = config(tmp_path, "record: {}\n")
    with pytest.raises(ConfigError, match=r"deploy\.yaml:10:1: a record is signed: write the section sign"):
        supply_chain.records(alone, Secrets({}, tmp_path))
    with pytest.raises(ConfigError, match="a record is signed"):
        supply_chain.trusted_records(alone)
