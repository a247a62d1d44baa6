"""Docs can't drift: they are compared with the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from pytest_deploy.cli import cli
from pytest_deploy.domain.outcome import Outcome
from pytest_deploy.vocabulary import ShippedStep, shipped

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")


def console_commands() -> list[str]:
    """Return the commands of the README."""
    blocks = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def test_the_readme_shows_commands() -> None:
    """The checks below have something to check."""
    assert len(console_commands()) >= 6


@pytest.mark.parametrize("command", [c for c in console_commands() if c.startswith("make ")])
def test_each_make_target_exists(command: str) -> None:
    """Each ``make X`` of the README is a target."""
    target = command.split()[1]
    assert re.search(rf"^{re.escape(target)}:", MAKEFILE, re.MULTILINE)


@pytest.mark.parametrize("command", [c for c in console_commands() if "/pytest" in c])
def test_each_file_of_a_command_exists(command: str) -> None:
    """Features and folders that the README's commands name are there."""
    for word in command.split():
        if word.startswith("features/"):
            assert (ROOT / word).exists(), word


def test_the_exit_statuses_are_those_of_the_code() -> None:
    """Every status that a deploy can end with is in the README's table."""
    rows = {int(status) for status in re.findall(r"^\| (\d) \| ", README, re.MULTILINE)}
    assert {outcome.status for outcome in Outcome} <= rows


@pytest.mark.parametrize("step", list(shipped()), ids=lambda step: step.pattern)
def test_each_step_has_an_example_that_it_understands(step: ShippedStep) -> None:
    """The example that ``pytest-deploy steps`` prints is one that the step itself parses."""
    keyword, _, text = step.example.partition(" ")
    assert keyword == step.keyword
    assert step.understands(text)
    assert step.promise.endswith(".")


def test_steps_narrows_by_word() -> None:
    """``pytest-deploy steps latency`` shows the latency gate and not the build."""
    result = CliRunner().invoke(cli, ["steps", "latency"])
    assert result.exit_code == 0
    assert "the p{quantile} latency stays at or below {limit}" in result.output
    assert "built, pushed" not in result.output
    assert CliRunner().invoke(cli, ["steps", "gremlin"]).exit_code == 1


@pytest.mark.parametrize(
    "verb", [[], ["steps"], ["lint"], ["sandbox"], ["sandbox", "up"], ["sandbox", "down"], ["sandbox", "status"]]
)
def test_each_verb_has_help_with_an_example(verb: list[str]) -> None:
    """``--help`` of each verb ends with an example."""
    result = CliRunner().invoke(cli, [*verb, "--help"])
    assert result.exit_code == 0
    assert "Example: pytest-deploy" in result.output


def test_the_public_surface_is_what_it_says() -> None:
    """``import pytest_deploy`` exposes its ``__all__``, sorted, and no more."""
    import pytest_deploy

    assert pytest_deploy.__all__ == sorted(pytest_deploy.__all__)
