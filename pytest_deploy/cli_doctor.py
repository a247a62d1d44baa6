"""``pytest-deploy doctor``: what a deploy would need here, as a table, each failing line with its mend."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pytest_deploy.errors import DeployError, Refused

if TYPE_CHECKING:
    from pytest_deploy.config.model import DeployConfig
    from pytest_deploy.doctor import Line
    from pytest_deploy.domain.plan import Stage
    from pytest_deploy.domain.release import Release

__all__ = ["doctor"]

_COLORS = {"ok": "green", "warning": "yellow", "FAILED": "red", "off": "bright_black"}


@click.command(context_settings={"help_option_names": ["-h", "--help"]}, epilog="Example: pytest-deploy doctor prod")
@click.argument("environment", required=False)
@click.option("--feature", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Its gates; default: the slo of deploy.yaml.")  # fmt: skip
@click.option("--config", type=click.Path(path_type=Path), help="deploy.yaml; default: looked up from here upwards.")
@click.option("--deploy-set", "overrides", metavar="KEY=VALUE", multiple=True, help="As pytest's; repeatable.")
@click.option("--sandbox", "in_sandbox", is_flag=True, help="Look at the local real stack.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def doctor(
    environment: str | None,
    feature: Path | None,
    config: Path | None,
    overrides: tuple[str, ...],
    *,
    in_sandbox: bool,
    as_json: bool,
) -> None:
    """Look at all that a deploy needs, and change nothing: tools, access, permissions, release, metrics, sections.

    Each gate asks its metrics once, live. Each line that failed says how to mend it. ENVIRONMENT: of deploy.yaml;
    default: all of them. Exit status 0: nothing failed, 1: something did, 4: deploy.yaml is wrong.
    """
    from pytest_deploy import open_deploys
    from pytest_deploy.doctor import sections

    found, release = open_deploys.config_of(config, in_sandbox=in_sandbox, overrides=overrides)
    if environment is not None and environment not in release.environments:
        known = ", ".join(release.environments)
        raise Refused(f"deploy.yaml has no environment {environment!r}", hint=f"it has: {known}")
    stages = _stages(feature, config, overrides, in_sandbox=in_sandbox)
    names = [environment] if environment is not None else list(release.environments)
    lines = {"": [*_tools(found, in_sandbox=in_sandbox), *sections(found)]}
    for name in names:
        lines[name] = list(_examined(found, release, name, stages, in_sandbox=in_sandbox))
    failed = sum(line.status == "FAILED" for each in lines.values() for line in each)
    if as_json:
        rows = [
            {"environment": name or None, "area": line.area, "name": line.name, "status": line.status.lower(),
             "words": line.words, "mend": line.mend}
            for name, each in lines.items() for line in each
        ]  # fmt: skip
        click.echo(json.dumps({"service": release.service, "failed": failed, "lines": rows}, indent=2))
    else:
        _show(release.service, lines, failed)
    sys.exit(1 if failed else 0)


def _stages(
    feature: Path | None, config: Path | None, overrides: tuple[str, ...], *, in_sandbox: bool
) -> tuple[Stage, ...]:
    if feature is None:
        return ()
    from pytest_deploy.gate.feature import read

    return read(feature, config=config, overrides=overrides, sandbox=in_sandbox).plan.stages


def _tools(config: DeployConfig, *, in_sandbox: bool) -> Iterator[Line]:
    """Yield a line for each program, all asked at the same time: some take half a second to say their version."""
    from concurrent.futures import ThreadPoolExecutor

    from pytest_deploy import doctor as looks

    needed = list(looks.tools(config, _program if in_sandbox else str))
    with ThreadPoolExecutor(max_workers=len(needed)) as pool:
        yield from pool.map(looks.probe, needed)


def _program(name: str) -> str:
    from pytest_deploy.sandbox import toolbox

    return name if "/" in name else str(toolbox().find(name) or name)


def _examined(
    config: DeployConfig, release: Release, name: str, stages: tuple[Stage, ...], *, in_sandbox: bool
) -> Iterator[Line]:
    from pytest_deploy import doctor as looks
    from pytest_deploy.domain.outcome import Mode
    from pytest_deploy.report import Redactor
    from pytest_deploy.worlds import Wanted, looking

    mode = Mode.SANDBOX if in_sandbox else Mode.REAL
    # The local journal is not written by somebody who only looks; its folder must be somewhere all the same.
    with tempfile.TemporaryDirectory(prefix="pytest-deploy-doctor-") as folder:
        wanted = Wanted(
            config=config,
            release=release,
            environment=name,
            folder=Path(folder),
            deploy_id="doctor",
            environ=os.environ,
            say=lambda _: None,
            installs=(),
        )
        try:
            made = looking(mode, wanted)
        except DeployError as error:
            words, _, mend = str(error).partition("\n  next: ")
            yield looks.Line(area="access", name="configuration", status=looks.Status.FAILED, words=words, mend=mend)
            return
        redact = Redactor(made.secrets)
        yield from map(redact.value, looks.examine(config, made.release, name, made.ports, mode, stages=stages))


def _show(service: str, lines: Mapping[str, Sequence[Line]], failed: int) -> None:
    every = [line for each in lines.values() for line in each]
    areas, names = (max(len(getattr(line, key)) for line in every) for key in ("area", "name"))
    for environment, each in lines.items():
        if environment:
            click.secho(f"\n{service} in {environment}", bold=True)
        for line in each:
            mark = click.style(f"{line.status:7}", fg=_COLORS[line.status])
            first, *rest = line.words.splitlines() or [""]
            click.echo(f"{mark}  {line.area:{areas}}  {line.name:{names}}  {first}")
            indent = " " * (9 + areas + 2 + names + 2)
            for text in rest:
                click.echo(f"{indent}{text}")
            if line.mend:
                first, *rest = line.mend.splitlines()
                click.echo(f"{indent}mend: {first}")
                for text in rest:
                    click.echo(f"{indent}      {text}")
    warnings = sum(line.status == "warning" for line in every)
    click.echo(f"\n{failed} failed, {warnings} warnings" if failed else f"\nnothing failed, {warnings} warnings")
