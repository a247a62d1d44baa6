"""No deploy is an accident: decides, before anything is contacted, whether what was collected may run.

A real deploy happens only when exactly one feature file is named, it runs whole, its strategy is the one of
deploy.yaml, and the caller is a CI job or a person who confirms it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_deploy.domain.outcome import Mode

__all__ = ["Asked", "confirmed", "reasons"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the caller asked pytest for.

    Args:
        arguments: paths and node ids of the command line, as given.
        features: deploy features that were collected.
        selected, collected: scenarios that would run, and all that these features have.
        plugins: names of options in force that a deploy can't live with, with the reason.
    """

    mode: Mode
    arguments: Sequence[str]
    features: Sequence[Path]
    selected: int
    collected: int
    plugins: Mapping[str, str]
    invocation_dir: Path


def reasons(asked: Asked) -> Iterator[str]:
    """Yield each reason why this may not run; none when it may."""
    if asked.mode is Mode.REHEARSAL:
        return
    for option, why in asked.plugins.items():
        yield f"{option}: {why}"
    if asked.mode is Mode.SANDBOX:
        return
    named = [argument for argument in asked.arguments if argument.partition("::")[0].endswith(".feature")]
    if len(asked.features) != 1 or len(asked.arguments) != 1 or not named:
        found = ", ".join(sorted(os.path.relpath(path, asked.invocation_dir) for path in asked.features))
        yield f"a real deploy names exactly one feature file on the command line; collected were: {found}"
    elif "::" in asked.arguments[0] or asked.selected != asked.collected:
        yield (
            f"a real deploy runs whole: {asked.selected} of {asked.collected} scenarios are selected "
            "(by a node id, -k, -m, --lf or --deselect)"
        )


def confirmed(
    service: str,
    environment: str,
    *,
    environ: Mapping[str, str],
    yes: bool,
    ask: Callable[[str], str | None],
) -> str | None:
    """Return why a real deploy is not confirmed; None when it is.

    Args:
        yes: ``--deploy-yes`` was given.
        ask: puts a question to a person and returns the answer; None where nobody is there to be asked.
    """
    if environ.get("CI", "").lower() not in {"", "0", "false"} or yes:
        return None
    answer = ask(f"This deploys {service} to {environment}, for real. Type the service's name to go on: ")
    if answer is None:
        return (
            f"nobody confirmed the deploy of {service} to {environment}: CI is not set, --deploy-yes was not given, "
            "and there is no terminal to ask"
        )
    return None if answer.strip() == service else f"not confirmed: {answer.strip()!r} is not {service!r}"
