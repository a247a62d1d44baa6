"""A folder with a chart and a deploy.yaml that is right, to be made wrong by each test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_deploy.config.load import load
from pytest_deploy.config.model import DeployConfig
from pytest_deploy.errors import ConfigError

GOOD = """\
service: checkout-api
image: ghcr.io/acme/checkout-api
strategy: canary
canary_steps: [5, 25, 100]
chart_path: ./chart
owner: checkout-team
slo: {error_rate_max: 0.005, p95_latency_ms: 300, window_minutes: 5}
environments:
  prod:
    context: acme-prod
    namespace: prod
    values_file: values-prod.yaml
metrics:
  prometheus:
    url: https://prometheus.example.com
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a chart, its values and a good deploy.yaml."""
    chart = tmp_path / "chart"
    chart.mkdir()
    (chart / "Chart.yaml").touch()
    (chart / "values-prod.yaml").touch()
    (tmp_path / "deploy.yaml").write_text(GOOD, encoding="utf-8")
    return tmp_path


@pytest.fixture
def good(folder: Path) -> Callable[..., DeployConfig]:
    """Load the good file, with pairs of (what stands there, what is to stand there) exchanged."""

    def change(*changes: tuple[str, str], overrides: tuple[str, ...] = ()) -> DeployConfig:
        text = GOOD
        for old, new in changes:
            assert text.count(old) == 1, f"{old!r} must stand in the file exactly once"
            text = text.replace(old, new)
        (folder / "deploy.yaml").write_text(text, encoding="utf-8")
        return load(folder / "deploy.yaml", overrides=overrides)

    return change


@pytest.fixture
def refused(good: Callable[..., DeployConfig]) -> Callable[..., list[str]]:
    """Return the problems of a changed file."""

    def problems(*changes: tuple[str, str], overrides: tuple[str, ...] = ()) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            good(*changes, overrides=overrides)
        return list(caught.value.problems)

    return problems
