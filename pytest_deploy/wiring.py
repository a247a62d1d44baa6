"""The one file that knows both sides: a prepared feature in, a deploy with its world and reporters out."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_deploy.domain.event import DeployStarted, PlanMade
from pytest_deploy.engine import drill, plan
from pytest_deploy.engine.deploy import Deploy, Limits
from pytest_deploy.errors import ToolMissing
from pytest_deploy.prepare import Prepared

if TYPE_CHECKING:
    from pytest_deploy.report import Reporting
    from pytest_deploy.terminal import Terminal

__all__ = ["open_deploy"]


def open_deploy(
    prepared: Prepared, terminal: Terminal, labels: Mapping[str, tuple[tuple[str, str], ...]]
) -> tuple[Deploy, Reporting]:
    """Make the deploy with its world and reporters, and tell that it begins.

    Args:
        labels: of each scenario, by its title.

    Raises:
        DeployError: the world can't be had (no kube context, no sandbox, a missing tool).
    """
    from pytest_deploy.config.chart_hash import chart_hash
    from pytest_deploy.report import Console, Redactor, Reporting
    from pytest_deploy.worlds import Wanted, world

    options, release = prepared.options, prepared.release
    now = datetime.now(UTC)
    deploy_id = f"{now:%Y%m%dT%H%M%SZ}-{release.service}-{secrets.token_hex(2)}"
    console = None
    if not terminal.quiet:
        color = terminal.is_terminal and "NO_COLOR" not in os.environ
        width = shutil.get_terminal_size((120, 24)).columns
        console = Console(terminal.write, tty=terminal.is_terminal, width=width, color=color)
    commit, chart = _commit(options.root), chart_hash(prepared.config)
    made = world(
        options.mode,
        Wanted(
            config=prepared.config,
            release=release,
            environment=prepared.environment.name,
            folder=options.reports / deploy_id,
            deploy_id=deploy_id,
            environ=os.environ,
            say=terminal.line,
            commit=commit,
            chart_hash=chart,
            candidate=prepared.candidate,
            installs=prepared.installs,
        ),
    )
    reporting = Reporting(
        options.reports,
        deploy_id,
        console,
        Redactor(made.secrets),
        labels=lambda title: labels.get(title, ()),
        allure_dir=options.allure_dir,
        environ=os.environ,
    )
    deploy = Deploy(
        id=deploy_id,
        mode=options.mode,
        release=made.release,
        environment=made.release.environments[prepared.environment.name],
        slo=prepared.config.slo,
        stages=prepared.stages,
        limits=_limits(prepared),
        judge=prepared.config.gate.rules,
        policy=prepared.config.gate.policy,
        ports=made.ports,
        emit=reporting,
        labels={"deploy-id": deploy_id.lower()},
        drill=prepared.drill,
        installs=prepared.installs,
        commit=commit,
        chart_hash=chart,
        windows=prepared.config.windows.windows(prepared.environment.name),
        record_age=_record_age(prepared),
    )
    _announce(deploy, prepared)
    return deploy, reporting


def _limits(prepared: Prepared) -> Limits:
    timeouts = prepared.config.timeouts
    return Limits(
        helm=timeouts.helm,
        step=timeouts.step,
        rollback=timeouts.rollback,
        lock=prepared.config.lock.wait,
        window_divisor=prepared.options.speed,
    )


def _record_age(prepared: Prepared) -> timedelta:
    section = prepared.config.record
    return timedelta() if section is None else section.max_age


def _announce(deploy: Deploy, prepared: Prepared) -> None:
    """Tell that the deploy begins and, in a rehearsal, all that it would send; then let its faults in."""
    clock = deploy.ports.clock
    deploy.emit(
        DeployStarted(
            at=clock.now(),
            deploy_id=deploy.id,
            mode=deploy.mode,
            service=deploy.release.service,
            environment=deploy.environment.name,
            context=deploy.environment.context,
            namespace=deploy.environment.namespace,
            strategy=deploy.release.strategy,
            image=str(deploy.release.image),
            commit=deploy.commit,
            feature=prepared.feature.stem,
            feature_path=os.path.relpath(prepared.feature, prepared.options.root),
            reports=str(prepared.options.reports / deploy.id),
            window_divisor=deploy.limits.window_divisor,
            drill=deploy.drill,
        )
    )
    if deploy.stages or deploy.installs:
        deploy.emit(PlanMade(at=clock.now(), lines=tuple(plan.lines(deploy))))
    for fault in prepared.faults:
        drill.inject(deploy, fault)


def _commit(root: Path) -> str | None:
    """Return the git SHA of the source; None where there is no repository or no git."""
    from pytest_deploy.io.process import run

    try:
        done = run(("git", "-C", str(root), "rev-parse", "HEAD"), timeout_s=10)
    except ToolMissing:
        return None
    return done.stdout.strip() or None if done.status == 0 else None
