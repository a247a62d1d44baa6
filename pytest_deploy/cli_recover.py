"""``pytest-deploy recover``: ends the deploys that died, on any machine that reaches their cluster."""

from __future__ import annotations

import json
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pytest_deploy.errors import DeployError, LockHeld, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_deploy.config.model import DeployConfig
    from pytest_deploy.domain.action import Json
    from pytest_deploy.domain.release import Release
    from pytest_deploy.engine.deploy import Deploy
    from pytest_deploy.open_deploys import Found, OpenDeploy
    from pytest_deploy.report import Reporting

__all__ = ["recover"]

_POLL = timedelta(seconds=2)
"""Between two looks at a deploy that lives."""


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: pytest-deploy recover --environment prod --json",
)
@click.option("--deploy", "deploy_id", metavar="ID", help="Which deploy; default: all that are open.")
@click.option("--environment", metavar="NAME", help="Of deploy.yaml; default: all are looked at.")
@click.option("--config", type=click.Path(path_type=Path), help="deploy.yaml; default: looked up from here upwards.")
@click.option("--sandbox", "in_sandbox", is_flag=True, help="Look at the local real stack.")
@click.option("--reports", default=Path("reports"), show_default=True, type=click.Path(path_type=Path))
@click.option("--wait", is_flag=True, help="Wait for a deploy that lives: until it has ended, or its process has died.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def recover(
    deploy_id: str | None,
    environment: str | None,
    config: Path | None,
    in_sandbox: bool,
    reports: Path,
    wait: bool,
    as_json: bool,
) -> None:
    """End deploys whose process is gone: what is not committed is taken back and verified, never continued.

    Everything is read from the journal beside the workload, from the cluster and from Helm, so that this works on
    every machine with access; where it is killed itself, call it again. A note is written to reports/ID-recover/.
    Exit status 0: nothing is open any more, or what was is committed; 1: taken back, verified; 4: refused, since the
    deploy lives; 7: a human is needed, and told why.
    """
    from pytest_deploy import open_deploys
    from pytest_deploy.domain.outcome import exit_status
    from pytest_deploy.io.clock import SystemClock
    from pytest_deploy.io.kube import KubeApi

    clock = SystemClock()
    file, release = open_deploys.config_of(config, in_sandbox=in_sandbox)

    def look() -> Found:
        found = open_deploys.in_cluster(KubeApi(clock=clock), release, environment)
        asked = tuple(each for each in found.deploys if deploy_id in {None, each.deploy_id})
        return open_deploys.Found(deploys=asked, last=found.last, problems=found.problems)

    def say(text: str) -> None:
        click.echo(text, err=as_json)

    found = look()
    while wait and any(each.lives for each in found.deploys):
        clock.sleep(_POLL)
        found = look()
    recovery = _Recovery(file, release, reports, in_sandbox=in_sandbox, say=say)
    ends = [recovery.end(each) for each in found.deploys]
    for problem in found.problems:
        click.echo(f"not known: {problem}", err=True)
    if as_json:
        click.echo(json.dumps({"deploys": ends, "problems": [str(each) for each in found.problems]}, indent=2))
    elif not ends and not found.problems:
        click.echo(f"{release.service}: nothing is open")
    sys.exit(exit_status([*(int(str(each["status"])) for each in ends), *(3 for _ in found.problems)]))


class _Recovery:
    """Ends open deploys, one after the other.

    Args:
        say: is told what is done, line by line.
    """

    def __init__(
        self, config: DeployConfig, release: Release, reports: Path, *, in_sandbox: bool, say: Callable[[str], None]
    ) -> None:
        from pytest_deploy.domain.outcome import Mode

        self._config = config
        self._release = release
        self._reports = reports
        self._mode = Mode.SANDBOX if in_sandbox else Mode.REAL
        self._say = say

    def end(self, found: OpenDeploy) -> dict[str, Json]:
        """End it, and return how, with the exit status that says so."""
        if found.lives and found.holder is not None:
            return self._told(found, status=4, words=f"REFUSED, it lives: {found.holder.words}")
        from pytest_deploy.engine import recover as engine

        try:
            deploy, reporting = self._open(found)
            outcome = engine.recover(deploy)
        except (LockHeld, Refused) as error:
            return self._told(found, status=4, words=f"REFUSED, nothing changed: {error}")
        except DeployError as error:
            return self._told(found, status=3, words=f"NOT RECOVERED: {error}")
        if outcome is None:
            return self._told(found, status=0, words="it has ended meanwhile")
        needed = deploy.rollback_error
        status = outcome.status or (3 if reporting.problems else 0)
        return {
            "deploy_id": found.deploy_id,
            "environment": found.environment,
            "outcome": outcome.name,
            "status": status,
            "words": outcome.words,
            "note": str(reporting.note),
            "human": None
            if needed is None
            else {
                "error": needed.args[0],
                "left_behind": list(needed.left_behind),
                "commands": list(needed.commands),
            },
        }

    def _told(self, found: OpenDeploy, *, status: int, words: str) -> dict[str, Json]:
        self._say(f"deploy {found.deploy_id} in {found.where}: {words}")
        return {
            "deploy_id": found.deploy_id,
            "environment": found.environment,
            "outcome": None,
            "status": status,
            "words": words,
            "note": None,
            "human": None,
        }

    def _open(self, found: OpenDeploy) -> tuple[Deploy, Reporting]:
        """Make the dead deploy anew, with reporters of its own: what it reported itself stays as it is."""
        from pytest_deploy.domain.event import DeployStarted
        from pytest_deploy.engine.deploy import Deploy, Limits
        from pytest_deploy.report import Console, Redactor, Reporting
        from pytest_deploy.worlds import Wanted, recovering

        name = f"{found.deploy_id}-recover"
        wanted = Wanted(
            config=self._config,
            release=self._release,
            environment=str(found.environment),
            folder=self._reports / name,
            deploy_id=found.deploy_id,
            environ=os.environ,
            say=self._say,
            installs=(),  # where it installed before, if at all, is reached for when something is to be undone there
        )
        made = recovering(self._mode, wanted)
        console = Console(lambda text: self._say(text.removesuffix("\n")), tty=False)
        reporting = Reporting(self._reports, name, console, Redactor(made.secrets), environ=os.environ)
        timeouts, env = self._config.timeouts, made.release.environments[wanted.environment]
        deploy = Deploy(
            id=found.deploy_id,
            mode=self._mode,
            release=made.release,
            environment=env,
            slo=self._config.slo,
            stages=(),
            limits=Limits(helm=timeouts.helm, step=timeouts.step, rollback=timeouts.rollback),
            judge=self._config.gate.rules,
            ports=made.ports,
            emit=reporting,
        )
        deploy.emit(
            DeployStarted(
                at=made.ports.clock.now(),
                deploy_id=found.deploy_id,
                mode=self._mode,
                service=made.release.service,
                environment=env.name,
                context=env.context,
                namespace=env.namespace,
                strategy=made.release.strategy,
                image=str(made.release.image),
                commit=None,
                feature="recover",
                feature_path="pytest-deploy recover",
                reports=str(self._reports / name),
            )
        )
        return deploy, reporting
