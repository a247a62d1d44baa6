"""The checks of a feature's text, without pytest and without steps."""

from __future__ import annotations

from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from pytest_deploy.collect.checks import check_file

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def problems(tmp_path: Path):
    """Check a text; give ``line:column: text`` of each problem."""

    def check(text: str | bytes) -> list[str]:
        path = tmp_path / "x.feature"
        path.write_bytes(text if isinstance(text, bytes) else dedent(text).encode())
        return [f"{found.line}:{found.column}: {found.text}" for found in sorted(check_file(path)[1])]

    return check


def test_a_sound_feature_has_no_problems(problems) -> None:
    """Rules, Backgrounds, outlines, tables, doc strings and a byte-order mark are all fine."""
    text = """\
    @deploy @epic:Checkout
    Feature: f
      Prose that tells why.

      Background:
        Given a

      Rule: one
        Background:
          Given b <x>

        @slow
        Scenario Outline: o <case>
          When c
            | <y> |
          And d
            \"\"\"
            <z> <b>markup</b>
            \"\"\"
          Examples:
            | case | x | y | z |
            | 1    | 2 | 3 | 4 |
            | 1    | 2 | 3 | 5 |
    """
    assert problems(b"\xef\xbb\xbf" + dedent(text).encode()) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", "1:1: no Feature: the file is empty, or all comments", id="empty"),
        pytest.param("# c\n", "1:1: no Feature: the file is empty, or all comments", id="comments"),
        pytest.param("Feature: f\n", "1:1: no scenario: nothing would run", id="no-scenario"),
        pytest.param(
            "Feature: f\nScenario: a\n  Given x\n  Background:\n    Given y\n",
            "4:3: unexpected 'Background:': a Background comes once, before the first Scenario",
            id="late-background",
        ),
        pytest.param(
            "Feature: f\nScenario: a\n Given x\nFeature: g\n",
            "4:1: unexpected 'Feature: g': a file holds one Feature",
            id="second-feature",
        ),
        pytest.param(
            "Scenario: a\n  Given b\n",
            "1:1: unexpected 'Scenario: a': expected a tag, Feature:",
            id="no-feature-line",
        ),
        pytest.param("# language: xx\nFeature: f\n", "1:1: Language not supported: xx", id="unknown-language"),
        pytest.param(
            'Feature: f\nScenario: a\n Given x\n """\n open',
            '6:1: unexpected end of file, expected """',
            id="open-doc-string",
        ),
        pytest.param(
            "Feature: f\nScenario: a\n  Whn b\n",
            "2:1: scenario 'a' has no steps: it would pass; 'Whn b' (line 3) is read as prose: did you mean 'When'?",
            id="mistyped-keyword",
        ),
        pytest.param(
            "# language: de\nFunktionalität: f\nSzenario: a\n  Wen b\n",
            "3:1: scenario 'a' has no steps: it would pass; 'Wen b' (line 4) is read as prose: did you mean 'Wenn'?",
            id="mistyped-german-keyword",
        ),
        pytest.param("Feature: f\nScenario: a\n", "2:1: scenario 'a' has no steps: it would pass", id="no-steps"),
        pytest.param(
            "Feature: f\nScenario: a\n  And b\n",
            "3:3: 'And b' continues nothing: begin with Given, When or Then",
            id="and-first",
        ),
        pytest.param(
            "Feature: f\nRule: r\n Scenario: a\n  Given x\nRule: s\n Scenario: a\n  Given y\n",
            "6:2: a second scenario named 'a' (the first: line 3): only one would run",
            id="one-name-under-two-rules",
        ),
        pytest.param(
            "Feature: f\nScenario: a [1]\n  Given x\nScenario: a (1)\n  Given y\n",
            "4:1: a second scenario named 'a (1)' (the first: line 2): only one would run",
            id="one-node-id",
        ),
        pytest.param("Feature: f\nScenario:\n  Given x\n", "2:1: a Scenario without a name", id="no-name"),
        pytest.param(
            "Feature: f\nScenario Outline: a\n  Given <x>\n",
            "2:1: outline 'a' has no Examples: it would run once, as it is written",
            id="outline-without-examples",
        ),
        pytest.param(
            "Feature: f\nScenario Outline: a\n Given <x>\n Examples:\n  | x |\n",
            "4:2: Examples of 'a' have no rows",
            id="empty-examples",
        ),
        pytest.param(
            "Feature: f\nScenario Outline: a\n Given <x>\n Examples:\n  | x |\n  | 1 |\n Examples:\n",
            "7:2: Examples of 'a' have no rows",
            id="second-examples-empty",
        ),
        pytest.param(
            "Feature: f\nScenario Outline: a\n Given <x>\n Examples:\n  | x | x |\n  | 1 | 2 |\n",
            "5:9: a second Examples column named 'x'",
            id="column-twice",
        ),
        pytest.param(
            "Feature: f\nScenario Outline: a\n Given <x> <y>\n Examples:\n  | x | y |\n  | 1 | 2 |\n  | 1 | 2 |\n",
            "7:3: Examples row '1-2' was there before (line 6)",
            id="row-twice",
        ),
        pytest.param(
            "Feature: f\nScenario: a\n Given <x>\n",
            "3:8: no Examples column of 'a' fills <x>",
            id="placeholder-in-plain-scenario",
        ),
        pytest.param(
            "Feature: f\nBackground:\n Given <x>\nScenario: a\n Given y\n",
            "3:8: no Examples column of 'a' fills <x>",
            id="placeholder-in-background",
        ),
        pytest.param(
            "Feature: f\n@xfail\nScenario: a\n Given y\n",
            "2:1: @xfail is pytest's own mark: a gate that fails would pass",
            id="xfail",
        ),
        pytest.param(
            "Feature: f\n@_x\nScenario: a\n Given y\n",
            "2:1: @_x cannot be a pytest mark: begin with a letter, and use no '('",
            id="no-mark",
        ),
        pytest.param(
            b"Feature: f\nScenario: \xe9\n",
            "2:1: not UTF-8 (invalid continuation byte): save it as UTF-8",
            id="latin-1",
        ),
    ],
)
def test_each_mistake_is_one_problem_at_its_place(problems, text, expected) -> None:
    """One mistake, one problem, with the line and column to go to and what would be right."""
    assert problems(text) == [expected]


def test_a_column_and_a_placeholder_that_miss_each_other_point_at_each_other(problems) -> None:
    """A typo in either is shown from both ends."""
    text = """\
    Feature: f
    Scenario Outline: a
      Given <wieght>
      Examples:
        | weight |
        | 5%     |
    """
    assert problems(text) == [
        "3:9: no Examples column of 'a' fills <wieght>: did you mean <weight>?",
        "5:7: no step of 'a' uses <weight>: did you mean <wieght>?",
    ]


def test_every_syntax_error_is_shown(problems) -> None:
    """Not only the first, as the parser's own exception is usually read."""
    text = """\
    Feature: f
      Scenario: a
        Given b
        Whn c
        nonsense
      Scenaro: d
        Given e
        Examples:
          | x | y |
          | 1 |
    """
    found = problems(text)
    assert found[:3] == [
        "4:5: unexpected 'Whn c': did you mean 'When'?",
        '5:5: unexpected \'nonsense\': expected a table row, """, a step, a tag, Examples:, Scenario:, Rule:',
        "6:3: unexpected 'Scenaro: d': did you mean 'Scenario:'?",
    ]
    assert found[3:] == ["10:7: inconsistent cell count within the table"]
