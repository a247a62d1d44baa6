"""``pytest-deploy``: the verbs beside the deploy itself."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pytest_deploy.sandbox import Stack

from pytest_deploy.cli_decide import decide
from pytest_deploy.cli_decide import status as open_status
from pytest_deploy.cli_doctor import doctor
from pytest_deploy.cli_gate import gate
from pytest_deploy.cli_init import init
from pytest_deploy.cli_plan import plan
from pytest_deploy.cli_rbac import rbac
from pytest_deploy.cli_recover import recover
from pytest_deploy.cli_run import run
from pytest_deploy.cli_unlock import unlock
from pytest_deploy.cli_verify import verify
from pytest_deploy.cli_watchdog import watchdog
from pytest_deploy.errors import ConfigError, DeployError, Refused

__all__ = ["main"]


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: pytest-deploy steps canary",
)
@click.version_option(package_name="pytest-deploy")
def cli() -> None:
    """A deploy is a Gherkin feature that pytest runs; these are the verbs beside it.

    The deploy itself is: pytest features/prod_canary.feature
    """


@cli.command(epilog="Example: pytest-deploy steps latency")
@click.argument("word", required=False, default="")
def steps(word: str) -> None:
    """List the steps that ship, with an example each; WORD narrows the list.

    A team's own steps in steps/*.py are listed by pytest: pytest --fixtures features/
    """
    from pytest_deploy.vocabulary import shipped

    found = [step for step in shipped() if word.lower() in f"{step.pattern} {step.promise}".lower()]
    if not found:
        click.echo(f"no step has {word!r} in it; all of them: pytest-deploy steps", err=True)
        sys.exit(1)
    for step in found:
        click.secho(f"{step.keyword} {step.pattern}", bold=True)
        click.echo(f"    {step.promise}")
        click.echo(f"    e.g. {step.example}")


@cli.command(epilog="Example: pytest-deploy lint features/")
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
def lint(paths: tuple[Path, ...]) -> None:
    """Check features and their deploy.yaml without running anything: every problem with its place.

    PATHS are features or folders; default: features/. Exit status 0: clean, 4: problems.
    """
    import pytest

    from pytest_deploy.gate.lint import Linter

    given, linter = [str(path) for path in paths] or ["features"], Linter()
    # No assertion is ever run here; rewriting would warn of modules that are imported already.
    status = pytest.main(["--collect-only", "-q", "--assert=plain", *given], plugins=[linter])
    for problem in linter.problems:
        click.echo(problem)
    sys.exit(0 if status in {0, 5} and not linter.problems else 4)


cli.add_command(gate)
cli.add_command(verify)
cli.add_command(doctor)
cli.add_command(init)
cli.add_command(plan)
cli.add_command(decide)
cli.add_command(open_status, "status")
cli.add_command(run)
cli.add_command(watchdog)
cli.add_command(rbac)
cli.add_command(recover)
cli.add_command(unlock)


@cli.group(epilog="Example: pytest-deploy sandbox up --name mine")
def sandbox() -> None:
    """A real local stack: Kubernetes API server, Argo Rollouts, Prometheus, traffic."""


_name = click.option("--name", default="default", show_default=True, help="Several stand side by side.")
_as_json = click.option("--json", "as_json", is_flag=True, help="For machines.")


@sandbox.command(epilog="Example: pytest-deploy sandbox up --backend node --name real")
@_name
@click.option(
    "--backend",
    type=click.Choice(["kwok", "node", "kind"]),
    help="kwok: pods that only seem to run; node: one real node with containers, for root on Debian; "
    "kind: one in a container, where a Docker engine runs. "
    "Default: that of the stack that is up, else kwok.",
)
@_as_json
def up(name: str, backend: str | None, as_json: bool) -> None:
    """Start the stack, or reuse and heal the one that is up."""
    from pytest_deploy.sandbox import up as start

    stack = start(name, backend=backend, say=lambda text: click.echo(text, err=True))
    _show(stack, as_json=as_json)


@sandbox.command(epilog="Example: pytest-deploy sandbox load build/pytest-deploy.oci.tar --name real")
@click.argument("archive", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_name
def load(archive: Path, name: str) -> None:
    """Give an OCI image archive to the real node: its pods run it without pulling it."""
    from pytest_deploy.sandbox import load_image

    load_image(archive, name)
    click.echo(f"sandbox {name}: {archive.name} is loaded")


@sandbox.command(epilog="Example: pytest-deploy sandbox down")
@_name
def down(name: str) -> None:
    """Stop what `up` started, and leave nothing."""
    from pytest_deploy.sandbox import down as stop

    stop(name, say=lambda text: click.echo(text, err=True))
    click.echo(f"sandbox {name}: down")


@sandbox.command(epilog="Example: pytest-deploy sandbox status --json")
@_name
@_as_json
def status(name: str, as_json: bool) -> None:
    """Show where the stack is reached and whether its parts are healthy; exit status 1: it is not up."""
    from pytest_deploy.sandbox import status as look

    stack = look(name)
    if stack is None:
        click.echo(json.dumps(None) if as_json else f"sandbox {name}: not up (start it: pytest-deploy sandbox up)")
        sys.exit(1)
    _show(stack, as_json=as_json)


def _show(stack: Stack, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(stack.to_json(), indent=2))
        return
    click.echo(
        f"sandbox {stack.name}: {'healthy' if stack.healthy else 'NOT HEALTHY: pytest-deploy sandbox up heals it'}"
    )
    click.echo(f"  kubeconfig  {stack.kubeconfig} (contexts sandbox-staging, sandbox-prod)")
    click.echo(f"  API server  {stack.server}")
    click.echo(f"  Prometheus  {stack.prometheus_url}")
    for name, how in stack.components.items():
        click.echo(f"  {name:24} {how} (pid {stack.daemons[name].pid})")


def main() -> None:
    """Run the command line; errors are told without a traceback, with the exit statuses of the README."""
    try:
        sys.exit(cli(standalone_mode=False))
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(4)
    except click.Abort:
        click.echo("pytest-deploy: interrupted", err=True)
        sys.exit(2)
    except (Refused, ConfigError) as error:
        click.echo(f"pytest-deploy: {error}", err=True)
        sys.exit(4)
    except DeployError as error:
        click.echo(f"pytest-deploy: {error}", err=True)
        sys.exit(3)
