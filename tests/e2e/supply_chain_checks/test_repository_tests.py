"""The repository's own tests on real parts: make, pytest, and a TAP stream."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_deploy.adapters.test_runs import TestRuns
from pytest_deploy.errors import GateBreach, ToolFailed

pytestmark = pytest.mark.real

GOOD = "def test_one(): assert True\ndef test_two(): assert True\n"
BAD = "def test_one(): assert True\ndef test_price(): assert 1 == 2, 'too dear'\n"
Repository = Callable[..., Path]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Write a repository with a Makefile whose ``test`` runs pytest, and whose ``integration-test`` prints TAP."""

    def make(tests: str = GOOD, *, options: str = "-q", tap: str = "1..1\\nok 1 - up\\n", after: str = "") -> Path:
        (tmp_path / "test_shop.py").write_text(tests)
        (tmp_path / "Makefile").write_text(
            f"test:\n\t{sys.executable} -m pytest -p no:cacheprovider {options}{after}\n"
            f"integration-test:\n\t@printf '{tap}'\n"
        )
        return tmp_path

    return make


BOTH = '"make test" and "make integration-test"'


def runs(folder: Path, **settings: str) -> TestRuns:
    """The capability, for both commands."""
    return TestRuns(folder, ["make test", "make integration-test"], **settings)


def test_both_pass(repository: Repository) -> None:
    """Passing tests are counted by what the tools print, and both logs are kept whole."""
    found = runs(repository())(BOTH)
    first, second = found.words.split("; ")
    assert first.startswith('"make test": 2 passed in ')
    assert first.endswith("(pytest)")
    assert second.startswith('"make integration-test": 1 passed in ')
    assert second.endswith("(TAP)")
    assert [each.name for each in found.attachments] == ["make test", "make integration-test"]
    assert "2 passed" in found.attachments[0].text


def test_failing_tests_are_named(repository: Repository) -> None:
    """The message names each failing test; the log holds its assertion; what comes after it is not run."""
    with pytest.raises(GateBreach, match=r'(?s)"make test" ended with 2 .*: 1 of 2 tests failed \(pytest\): '
                       r"test_shop\.py::test_price\n  next: .*make test") as refused:  # fmt: skip
        runs(repository(BAD))(BOTH)
    assert refused.value.cause == "tests"
    assert [each.name for each in refused.value.attachments] == ["make test"]
    assert "too dear" in refused.value.attachments[0].text


def test_failing_tests_of_a_junit_report_are_named(repository: Repository) -> None:
    """A JUnit report counts before what is printed; the report of an older run does not count."""
    folder = repository(BAD, options="-q --tb=no -rN --junitxml=reports/unit.xml")
    (folder / "reports").mkdir()
    (folder / "reports" / "old.xml").write_text(
        "<testsuites><testsuite><testcase name='gone'><failure/></testcase></testsuite></testsuites>"
    )
    with pytest.raises(GateBreach, match=r"1 of 2 tests failed \(JUnit\): test_shop\.test_price") as refused:
        runs(folder, junit="reports/**/*.xml")(BOTH)
    assert "gone" not in str(refused.value)


@pytest.mark.parametrize(
    ("world", "said"),
    [
        ({"tests": BAD, "after": " || true"}, "ended with 0 .*, although tests failed: 1 of 2 tests failed"),
        ({"tests": "", "after": " || true"}, "but ran no test"),
        ({"tap": "1..2\\nok 1 - up\\nnot ok 2 - pays\\n"}, r"1 of 2 tests failed \(TAP\): pays"),
        ({"tap": "1..5\\nok 1 - up\\n"}, r"4 of 5 planned tests did not run"),
        ({"tests": "import nothing_there\n"}, r"1 of 1 tests failed \(pytest\): test_shop\.py"),
    ],
)
def test_a_green_status_hides_nothing(repository: Repository, world: dict[str, str], said: str) -> None:
    """Tests that failed or never ran are no pass, whatever the exit status says."""
    with pytest.raises(GateBreach, match=said):
        runs(repository(**world))(BOTH)


def test_a_target_that_is_missing_is_no_answer(repository: Repository) -> None:
    """``make`` ends with 2 here as for red tests, but nothing was tested."""
    folder = repository()
    (folder / "Makefile").write_text("build:\n\ttrue\n")
    with pytest.raises(ToolFailed, match=r"ran no test to its end: exit 2 .*No rule to make target"):
        runs(folder)(BOTH)
