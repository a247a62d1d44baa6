"""The hash of what Helm would render."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pytest_deploy.config.chart_hash import chart_hash
from pytest_deploy.config.model import DeployConfig

Load = Callable[..., DeployConfig]


def test_what_is_rendered_is_hashed(good: Load, folder: Path) -> None:
    """A byte in a template, the name of a file, a value on top: each makes another hash; the same again the same."""
    before = chart_hash(good())
    assert before.startswith("sha256:")
    assert chart_hash(good()) == before
    assert chart_hash(good(overrides=("values.env.LOG_LEVEL=debug",))) != before
    template = folder / "chart" / "templates" / "x.yaml"
    template.parent.mkdir(exist_ok=True)
    template.write_text("a: 1\n")
    with_file = chart_hash(good())
    assert with_file != before
    template.write_text("a: 2\n")
    changed = chart_hash(good())
    assert changed not in {before, with_file}
    template.rename(template.with_name("y.yaml"))
    assert chart_hash(good()) not in {before, with_file, changed}


def test_a_values_file_of_any_environment_counts(good: Load, folder: Path) -> None:
    """A change of production's configuration alone goes through staging, too."""
    beside = ("environments.prod.values_file=mine.yaml",)
    (folder / "mine.yaml").write_text("a: 1\n")
    before = chart_hash(good(overrides=beside))
    assert before != chart_hash(good())
    (folder / "mine.yaml").write_text("a: 2\n")
    assert chart_hash(good(overrides=beside)) != before


def test_where_it_goes_does_not_count(good: Load) -> None:
    """Another namespace, owner or time-out renders nothing else."""
    elsewhere = ("environments.prod.namespace=other", "owner=somebody", "timeouts.helm_minutes=9")
    assert chart_hash(good(overrides=elsewhere)) == chart_hash(good())
