"""Reads a feature as its deploy would, with every refusal that it would meet before it contacts anybody."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from pytest_deploy import prepare
from pytest_deploy.collect import FeatureModule
from pytest_deploy.domain.outcome import Mode
from pytest_deploy.errors import ConfigError
from pytest_deploy.prepare import Options, Prepared

__all__ = ["read"]


class _Collected:
    """A plugin of pytest that keeps the feature, resolved against the team's steps."""

    def __init__(self, feature: Path) -> None:
        self._feature = feature.resolve()
        self.module: FeatureModule | None = None
        self.root = Path()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.root = session.config.rootpath
        modules = (item.getparent(FeatureModule) for item in session.items)
        self.module = next((each for each in modules if each is not None and each.path == self._feature), None)


def read(feature: Path, *, mode: Mode, config: Path | None, overrides: tuple[str, ...]) -> Prepared:
    """Return the feature with its configuration; nothing is contacted.

    Args:
        config: deploy.yaml; None: looked up from the feature's folder upwards.
        overrides: ``KEY=VALUE`` texts, as of ``--deploy-set``.

    Raises:
        ConfigError: with every problem of feature and deploy.yaml.
    """
    collected, said = _Collected(feature), io.StringIO()
    arguments = ["--collect-only", "-q", "-s", "--color=no", "--assert=plain", "-p", "no:cacheprovider", str(feature)]
    with redirect_stdout(said), redirect_stderr(said):
        status = pytest.main(arguments, plugins=[collected])
    if status != 0 or collected.module is None:
        raise ConfigError([said.getvalue().strip() or f"{feature}: pytest collects nothing from it"])
    options = Options(
        mode=mode,
        config=config,
        faults=(),
        overrides=overrides,
        reports=Path("reports"),
        yes=False,
        speed=1,
        root=collected.root,
        allure_dir=None,
    )
    steps = collected.module.resolved
    return prepare.prepare(options, collected.module.path, steps, {step.title for step in steps})
