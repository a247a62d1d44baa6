"""The one file that knows both sides: a prepared feature in, a deploy with its world and reporters out."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_deploy.domain.event import DeployStarted, PlanMade
from pytest_deploy.domain.evidence_judge import EvidenceJudge
from pytest_deploy.domain.journal import Milestone
from pytest_deploy.domain.judge import Contract, Judge, RuleBook
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
    from pytest_deploy.report import Console, Redactor, Reporting
    from pytest_deploy.worlds import world

    options, release = prepared.options, prepared.release
    now = datetime.now(UTC)
    deploy_id = f"{now:%Y%m%dT%H%M%SZ}-{release.service}-{secrets.token_hex(2)}"
    console = None
    if not terminal.quiet:
        color = terminal.is_terminal and "NO_COLOR" not in os.environ
        width = shutil.get_terminal_size((120, 24)).columns
        console = Console(terminal.write, tty=terminal.is_terminal, width=width, color=color)
    reporting = Reporting(
        options.reports,
        deploy_id,
        console,
        Redactor(()),
        labels=lambda title: labels.get(title, ()),
        allure_dir=options.allure_dir,
        environ=os.environ,
    )
    made = world(
        options.mode,
        prepared.config,
        release,
        prepared.environment.name,
        options.reports / deploy_id,
        deploy_id,
        terminal.line,
    )
    deploy = Deploy(
        id=deploy_id,
        mode=options.mode,
        release=made.release,
        environment=made.release.environments[prepared.environment.name],
        slo=prepared.config.slo,
        stages=prepared.stages,
        limits=_limits(prepared),
        judge=_judge(prepared),
        ports=made.ports,
        emit=reporting,
        labels={"deploy-id": deploy_id.lower()},
        drill=prepared.drill,
        installs=prepared.installs,
    )
    _announce(deploy, prepared)
    deploy.tx.milestone(Milestone.OPENED, observed=f"{release.service} to {prepared.environment.name}")
    return deploy, reporting


def _judge(prepared: Prepared) -> Judge:
    gate = prepared.config.gate
    return EvidenceJudge() if gate.judge is RuleBook.EVIDENCE else Contract(min_requests=gate.min_requests)


def _limits(prepared: Prepared) -> Limits:
    timeouts = prepared.config.timeouts
    return Limits(
        helm=timeouts.helm,
        step=timeouts.step,
        rollback=timeouts.rollback,
        window_divisor=prepared.options.speed,
    )


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
            commit=_commit(prepared.options.root),
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
