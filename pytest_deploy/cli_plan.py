"""``pytest-deploy plan``: what a deploy would send, and a diff of its manifests against those that are live."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pytest_deploy.plan.whole import Whole

__all__ = ["plan"]

_COLORS = {"+": "green", "-": "red", "@": "cyan"}


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: pytest-deploy plan features/prod_canary.feature",
)
@click.argument("feature", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--deploy-config", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Default: deploy.yaml upwards.")  # fmt: skip
@click.option("--deploy-set", multiple=True, metavar="KEY=VALUE", help="Override one key of deploy.yaml.")
@click.option("--sandbox", is_flag=True, help="Look at the local real stack.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def plan(
    feature: Path, deploy_config: Path | None, deploy_set: tuple[str, ...], *, sandbox: bool, as_json: bool
) -> None:
    """Show what FEATURE would do, and do nothing: its commands and patches in order, then what would change.

    The diff is that of the rendered chart against the revision that Helm has deployed, in each environment that the
    feature touches. The values of Secrets are masked: the same number is the same value. Nothing is written, no lock
    is taken. Exit status 0: shown, 3: an environment could not be looked at, 4: a deploy would be refused at once.
    """
    from pytest_deploy.domain.outcome import Mode
    from pytest_deploy.plan.read import read
    from pytest_deploy.plan.whole import made

    mode = Mode.SANDBOX if sandbox else Mode.REAL
    prepared = read(feature, mode=mode, config=deploy_config, overrides=deploy_set)
    whole = made(prepared)
    if as_json:
        click.echo(json.dumps(whole.to_json(), indent=2))
    else:
        _print(whole)
    sys.exit(whole.status)


def _print(whole: Whole) -> None:
    _say(whole.title, bold=True)
    for text in whole.words:
        _say(text)
    if whole.lines:
        _say("in order:", bold=True)
    for line in whole.lines:
        _say(f"  {line}")
    for told in whole.environments:
        env = told.environment
        _say("")
        _say(f"{env.name} ({env.context}/{env.namespace}):", bold=True)
        for text in told.words:
            _say(f"  {text}", color="yellow" if text.startswith("warning: ") else None)
        for number, text in enumerate(told.problem.splitlines()):
            _say(f"  {text}" if number else f"  NOT LOOKED AT: {text}", color="red")
        for change in told.changes:
            _say(f"  {change.name}: {change.kind}", bold=True)
            for line in change.diff:
                _say(line, color=_COLORS.get(line[0]))


def _say(text: str, *, color: str | None = None, bold: bool = False) -> None:
    """Print a line: it stays one, keeps its indentation, and no escape sequence of a manifest reaches the terminal."""
    from pytest_deploy.report.text import plain

    clean = text[: len(text) - len(text.lstrip(" "))] + plain(text)
    click.echo(click.style(clean, fg=color, bold=bold or None) if _colored() else clean)


def _colored() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ
