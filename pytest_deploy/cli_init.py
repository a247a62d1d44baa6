"""``pytest-deploy init``: a working set for this repository, from what can be seen of it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

__all__ = ["init"]


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: pytest-deploy init && pytest features/ --rehearse",
)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path), default=".")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def init(folder: Path, *, as_json: bool) -> None:
    """Write deploy.yaml, features, a GitHub workflow and a smoke test for the chart in FOLDER (default: here).

    Nothing is asked and nothing is overwritten; what only you know is marked CHANGE and listed. Exit status 4: this
    is no place for a deploy by this tool, with what to use instead.
    """
    from pytest_deploy.init import files, look, todo, write

    folder = folder.resolve()
    seen = look(folder, os.environ)
    made = files(seen, folder)
    done = list(write(made, folder))
    mine = {name: made[name] for name, written in done if written}
    left = list(todo(mine, seen))
    rehearse = [name for name in made if name.endswith(".feature")]
    if as_json:
        told = {
            "service": seen.service,
            "written": list(mine),
            "kept": [name for name, written in done if not written],
            "change": left,
            "rehearse": [f"pytest {name} --rehearse" for name in rehearse],
        }
        click.echo(json.dumps(told, indent=2))
        return
    click.echo(f"{seen.service}: {_what(seen.gitops, seen.workload)} of {seen.chart}")
    for name, written in done:
        click.echo(f"  {'wrote' if written else 'kept '} {name}" + ("" if written else " (it was there)"))
    click.echo("try it now, nothing is contacted:")
    for name in rehearse:
        click.echo(f"  pytest {name} --rehearse")
    if left:
        click.echo("before a real deploy:")
        for line in left:
            click.echo(f"  {line}")


def _what(gitops: str | None, workload: str) -> str:
    return f"the {workload}" if gitops is None else f"kept by {gitops}, the {workload}"
