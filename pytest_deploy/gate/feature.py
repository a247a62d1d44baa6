"""Reads a feature and its deploy.yaml as a deploy would, and runs nothing."""

from __future__ import annotations

import io
from collections.abc import Iterable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest

from pytest_deploy import prepare
from pytest_deploy.collect import FeatureModule
from pytest_deploy.domain.outcome import Mode
from pytest_deploy.domain.plan import gates_of
from pytest_deploy.domain.slo import Slo
from pytest_deploy.errors import ConfigError
from pytest_deploy.prepare import Options, Prepared
from pytest_deploy.replay import Plan, Window
from pytest_deploy.steps import afterwards, outline

__all__ = ["Asked", "read", "reading"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the gates of a feature need: its plan, and what it was read from."""

    prepared: Prepared
    plan: Plan


class _Collected:
    """A plugin of pytest that keeps what was collected."""

    def __init__(self) -> None:
        self.modules: dict[Path, FeatureModule] = {}
        self.root = Path()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.root = session.config.rootpath
        for item in session.items:
            module = item.getparent(FeatureModule)
            if module is not None:
                self.modules[module.path] = module


def read(feature: Path, *, config: Path | None, overrides: tuple[str, ...], sandbox: bool) -> Asked:
    """Return the plan of a feature; steps of the team are loaded as pytest loads them.

    Args:
        config: deploy.yaml; None: looked up from the feature's folder upwards.
        overrides: ``KEY=VALUE`` texts, as of ``--deploy-set``.
        sandbox: with the sandbox's profile in deploy.yaml's place.

    Raises:
        ConfigError: with every problem of feature and deploy.yaml.
    """
    collected, said = _Collected(), io.StringIO()
    arguments = ["--collect-only", "-q", "-s", "--color=no", "--assert=plain", "-p", "no:cacheprovider", str(feature)]
    with redirect_stdout(said), redirect_stderr(said):
        status = pytest.main(arguments, plugins=[collected])
    module = collected.modules.get(feature.resolve())
    if status != 0 or module is None:
        words = said.getvalue().strip()
        raise ConfigError([words or f"{feature}: pytest collects nothing from it"])
    options = reading(collected.root, config=config, overrides=overrides, sandbox=sandbox)
    steps = module.resolved
    prepared = prepare.prepare(options, module.path, steps, {step.title for step in steps})
    if not prepared.stages:
        raise ConfigError([f"{feature}: no step of it gives a weight of the traffic to a canary: it has no gate"])
    slo = prepared.config.slo
    plan = Plan(
        stages=prepared.stages,
        afterwards=tuple(_afterwards(steps, slo, options.root)),
        judge=prepared.config.gate.rules,
        policy=prepared.config.gate.policy,
        window=slo.window,
    )
    return Asked(prepared=prepared, plan=plan)


def reading(
    root: Path, *, config: Path | None = None, overrides: tuple[str, ...] = (), sandbox: bool = False
) -> Options:
    """Return the options of a deploy that is read and never run."""
    return Options(
        # A rehearsal asks nothing of the real world, and takes every feature.
        mode=Mode.SANDBOX if sandbox else Mode.REHEARSAL,
        config=config,
        faults=(),
        overrides=overrides,
        reports=Path("reports"),
        yes=False,
        speed=1,
        root=root,
        allure_dir=None,
    )


def _afterwards(steps: Iterable[outline.StepAsked], slo: Slo, root: Path) -> Iterable[Window]:
    """Yield the windows after the promotion, as ``engine.phases.holds_afterwards`` makes them."""
    for step in steps:
        if step.function is afterwards.slo_holds:
            place = outline.place_of(step.path, step.line, root)
            window = cast("timedelta", step.args["window"])
            gates = gates_of(slo, window, scenario=step.title, place=place)
            yield Window(weight=None, gates=gates, scenario=step.title, place=place)
