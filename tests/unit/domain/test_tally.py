"""Tests are counted from JUnit, TAP and pytest's output."""

from __future__ import annotations

import pytest

from pytest_deploy.domain.tally import from_junit, from_output

PYTEST = """\
============================= test session starts ==============================
collected 7 items
FAILED tests/test_a.py::TestX::test_pay[1 - 2] - assert 1 == 2
FAILED tests/test_a.py::test_ship
ERROR tests/test_b.py::test_db - fixture failed
======= 2 failed, 3 passed, 1 skipped, 1 xfailed, 2 warnings, 1 error in 1.23s (0:01:02) =======
"""


def test_pytest_output_is_counted_and_named() -> None:
    """The closing line counts, the short summary names; an expected failure has passed, an error has failed."""
    tally = from_output(PYTEST)
    assert tally is not None
    assert (tally.form, tally.passed, tally.skipped, tally.failed, tally.ran) == ("pytest", 4, 1, 3, 7)
    assert tally.names == (
        "tests/test_a.py::TestX::test_pay[1 - 2]",
        "tests/test_a.py::test_ship",
        "tests/test_b.py::test_db",
    )


def test_several_pytest_runs_are_added_up() -> None:
    """A make target may run pytest more than once."""
    tally = from_output("3 passed in 0.01s\nmore\n1 failed, 2 passed in 0.5s\n")
    assert tally is not None
    assert (tally.passed, tally.failed) == (5, 1)


def test_no_tests_ran_is_a_count() -> None:
    """Pytest without tests is a tally of nothing, not an unknown output."""
    tally = from_output("no tests ran in 0.00s\n")
    assert tally is not None
    assert (tally.ran, tally.skipped) == (0, 0)


@pytest.mark.parametrize(
    ("text", "passed", "skipped", "names"),
    [
        ("TAP version 14\n1..2\nok 1 - a\nok 2 - b\n", 2, 0, ()),
        ("ok 1 - a\nnot ok 2 - b\n1..2\n", 1, 0, ("b",)),
        ("1..2\nok 1 - a # SKIP no network\nnot ok 2 - b # TODO later\n", 1, 1, ()),
        ("1..3\nok 1\nnot ok 2\n", 1, 0, ("test 2", "1 of 3 planned tests did not run")),
        ("1..1\n    not ok 1 - inner\nok 1 - outer\n", 1, 0, ()),
        ("1..2\nok 1 - a\nBail out! no disk\n", 1, 0, ("bailed out: no disk",)),
    ],
)
def test_tap_is_counted_and_named(text: str, passed: int, skipped: int, names: tuple[str, ...]) -> None:
    """Skipped, to-do, planned and nested tests are told apart as TAP says."""
    tally = from_output(text)
    assert tally is not None
    assert (tally.form, tally.passed, tally.skipped, tally.names) == ("TAP", passed, skipped, names)


@pytest.mark.parametrize("text", ["", "ok\n", "all 3 tests passed\n", "PASS\nok  \tshop/pkg\t0.01s\n"])
def test_other_output_is_not_guessed_at(text: str) -> None:
    """What is neither pytest nor TAP yields nothing."""
    assert from_output(text) is None


def test_junit_reports_are_added_up() -> None:
    """Both roots are read; failures and errors are named with their class."""
    tally = from_junit([
        ("<testsuites><testsuite><testcase classname='a.B' name='pays'><failure>x</failure></testcase>"
        "<testcase classname='a.B' name='ships'/></testsuite></testsuites>"),
        ("<?xml version='1.0' encoding='utf-8'?><testsuite><testcase name='c'><skipped/></testcase>"
        "<testcase name='d'><error/></testcase></testsuite>"),
    ])  # fmt: skip
    assert (tally.form, tally.passed, tally.skipped, tally.failed) == ("JUnit", 1, 1, 2)
    assert tally.names == ("a.B.pays", "d")


@pytest.mark.parametrize(
    ("text", "said"), [("<a", "no XML"), ("<coverage/>", "no JUnit report: its root is <coverage>")]
)
def test_what_is_no_junit_report_is_said(text: str, said: str) -> None:
    """A pattern that matches other files is an error, not zero tests."""
    with pytest.raises(ValueError, match=said):
        from_junit([text])
