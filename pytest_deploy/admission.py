"""No deploy is an accident: decides, before anything is contacted, whether what was collected may run.

A real deploy happens only when exactly one feature file is named, it runs whole, its strategy is the one of
deploy.yaml, and the caller is a CI job or a person who confirms it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_deploy.domain.outcome import Mode

__all__ = ["Asked", "confirmed", "incompatible", "reasons", "refusal"]


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


def incompatible(config: pytest.Config) -> dict[str, str]:
    """Return the options in force that a deploy can't live with, each with its reason."""
    option: Callable[..., Any] = config.getoption
    found: dict[str, str] = {}
    if option("reruns", None):
        found["--reruns"] = "a failed deploy is rolled back, never tried again blindly"
    if option("lf", default=False) or option("failedfirst", default=False):
        found["--lf/--ff"] = "a deploy runs whole and in order"
    if option("random_order", None) or option("random_order_bucket", None):
        found["random order"] = "the scenarios of a deploy are its phases"
    if (option("timeout_method", None) or _ini(config, "timeout_method")) == "thread":
        found["pytest-timeout's thread method"] = "it ends the process without a rollback; use --timeout-method signal"
    return found


def _ini(config: pytest.Config, name: str) -> object:
    """Return a setting of another plugin; None where that plugin is not installed."""
    try:
        return config.getini(name)
    except ValueError:
        return None


def refusal(no: list[str]) -> str:
    """Return the whole refusal: every reason, and the next move."""
    lines = "\n".join(f"  - {line}" for line in dict.fromkeys(no))
    return (
        f"deploy REFUSED, nothing changed, nothing contacted:\n{lines}\n"
        "  next: correct this and run one whole feature (pytest features/prod_canary.feature), or rehearse: --rehearse"
    )
