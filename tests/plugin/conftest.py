"""A small project with steps and features, for tests that run pytest in pytest."""

from __future__ import annotations

from textwrap import dedent

import pytest

CONFTEST = """
import pytest
from pytest_bdd import given, parsers, then, when
from pytest_deploy.errors import DeployError, GateBreach


def percent(text):
    if not text.endswith("%"):
        raise ValueError(f"'{text}' has no unit: write '{text}%'")
    return float(text.removesuffix("%"))


@given(parsers.parse('the release "{name}"'), target_fixture="release")
def _(name):
    return name

@when(parsers.parse("{weight} of the traffic goes to the canary"), converters={"weight": percent})
def _(weight): pass

@then(parsers.parse("the error rate stays at or below {limit}"), converters={"limit": percent})
def _(limit):
    if limit < 0.2:
        raise GateBreach("error ratio 0.031 > 0.001", cause="error rate")

@then("two is three")
def _():
    two = 2
    assert two == 3

@then("the tool breaks")
def _():
    raise DeployError("helm: exit 1", hint="read its output")
"""


COLLECTOR = """
from pytest_deploy.collect import collect_file


def pytest_collect_file(file_path, parent):
    return collect_file(file_path, parent)
"""


class Project:
    """The project under test: write files, run pytest in it."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester

    def write(self, path: str, text: str) -> None:
        """Write a file of the project."""
        file = self.pytester.path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text), encoding="utf-8")

    def run(self, *args: str) -> pytest.RunResult:
        """Run pytest there, in this process."""
        return self.pytester.runpytest_inprocess(*args)

    def problems(self, *args: str) -> list[str]:
        """Collect, and give the lines of the one collection error."""
        result = self.run("--collect-only", *args)
        result.assert_outcomes(errors=1)
        lines = result.outlines
        first = next(number for number, line in enumerate(lines) if "ERROR collecting" in line)
        last = next(number for number, line in enumerate(lines) if "short test summary" in line)
        return lines[first + 1 : last]


@pytest.fixture
def project(pytester: pytest.Pytester) -> Project:
    """Strict markers, warnings are errors, a few steps; of the plugin, nothing but collection."""
    found = Project(pytester)
    options = "--strict-markers -p no:pytest_deploy -p collector"
    found.write("pytest.ini", f"[pytest]\naddopts = {options}\nfilterwarnings = error\n")
    found.write("collector.py", COLLECTOR)
    pytester.syspathinsert()
    found.write("conftest.py", CONFTEST)
    return found
