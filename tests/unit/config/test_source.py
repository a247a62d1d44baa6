"""YAML text: surprises are problems with a place, and no text can do harm."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_deploy.config.load import load
from pytest_deploy.config.source import MAX_BYTES, read, read_value
from pytest_deploy.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "line", "column", "said"),
    [
        ("a: 1\nb: [\n", 3, 1, "this is no YAML: did not find expected node content"),
        ("a: 1\n b: 2", 2, 3, "this is no YAML: mapping values are not allowed"),
        ("a: *x", 1, 4, "found undefined alias"),
        ("é: 1\nb: \x01", 2, 4, "control characters are not allowed"),
        ("a: 1\n---\nb: 2", 2, 1, "found another document"),
        ("", 1, 1, "the file is empty"),
        ("- a", 1, 1, "a mapping is wanted"),
        ("a: " + "[" * 40, 1, 35, "more than 32 levels"),
        ("x" * (MAX_BYTES + 1), 1, 1, "bytes are too many: at most 262144"),
    ],
)
def test_unreadable(text: str, line: int, column: int, said: str) -> None:
    """Text that is no configuration at all is one problem with its place."""
    (problem,) = read(text.encode()).problems
    assert (problem.line, problem.column) == (line, column)
    assert said in problem.text


def test_half_a_character() -> None:
    """Text that can't be encoded, as a command line can bring it, is a problem."""
    (problem,) = read_value("a: \udcff").problems
    assert problem.text == "this is no Unicode text"


def test_no_utf8() -> None:
    """The place of the first byte that is no text is told, in characters."""
    (problem,) = read("a: 1\né: ".encode() + b"\xff").problems
    assert (problem.line, problem.column, problem.text) == (2, 4, "this byte is no UTF-8: save the file as UTF-8")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\na: 2", "second time, first in line 1"),
        ("on: 1", "on is text for some YAML readers and a boolean for others: quote it"),
        ("a: yes", "yes is text for some"),
        ("a: 010", "010 is read as different numbers"),
        ("a: 1:30", "1:30 is read as different numbers"),
        ("a: 1_000", "1_000 is read as different numbers"),
        ("a: .nan", ".nan is read as different numbers"),
        ("a: " + "9" * 5000, "at most 18 digits"),
        ("a: !!python/name:os.system x", "the tag !!python/name:os.system has no meaning here"),
        ("a: !mine {b: 1}", "the tag !mine has no meaning here"),
        ("a: &x {b: 1}\nc:\n  <<: *x", "merge keys are not supported"),
        ("? [a]\n: 1", "a key must be text"),
    ],
)
def test_surprises(text: str, said: str) -> None:
    """What YAML readers read differently, or drop in silence, is a problem."""
    (problem,) = read(text.encode()).problems
    assert said in problem.text


def test_plain_values() -> None:
    """What is beyond doubt is read as it stands; dates and other words are text."""
    text = "a: [1, -2.5, true, null, 2026-01-01, 'on', x]\n8080: &s {b: 1}\nc: *s"
    document = read(text.encode())
    assert document.problems == []
    assert document.value == {"a": [1, -2.5, True, None, "2026-01-01", "on", "x"], "8080": {"b": 1}, "c": {"b": 1}}
    assert document.places["a", 1] == (1, 8)


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True)),
        "a: &a [*a]",
        f"a: &a {'x' * 200_000}\nb: [{'*a, ' * 5_000}]",
    ],
    ids=["laughs", "circle", "long text"],
)
def test_bombs(text: str) -> None:
    """Aliases that blow up are refused before they cost anything."""
    (problem,) = read(text.encode()).problems
    assert "aliases counted where they are used" in problem.text


_PIECES = st.sampled_from(
    [
        *"{}[]:,-&*!|>'\"%@`#?~\n\t \\",
        ": ",
        "\n  ",
        "- ",
        "&a ",
        "*a",
        "<<: *a",
        "!!python/object:x ",
        "on",
        "0x1f",
        "1e999",
        ".inf",
        "---\n",
        "service",
        "slo:",
        "environments: {prod: ",
        "canary_steps: [5, 100]",
        "values: {",
        "chat: {token: ",
        "\x00",
        "\ud7ff",
    ]
)
_YAMLISH = st.lists(_PIECES | st.text(string.printable, max_size=5), max_size=25).map("".join)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(inserted=_YAMLISH, at=st.integers(0, 300), replaced=st.integers(0, 80), alone=st.booleans())
def test_load_raises_nothing_but_config_errors(
    folder: Path, inserted: str, at: int, replaced: int, alone: bool
) -> None:
    """Whatever stands in the file, alone or in the middle of a good one: a model, or problems with places."""
    good = (folder / "deploy.yaml").read_text(encoding="utf-8")
    path = folder / "tried.yaml"
    text = inserted if alone else good[:at] + inserted + good[at + replaced :]
    path.write_text(text, encoding="utf-8", newline="")
    try:
        shown = [load(path).place("service")]
    except ConfigError as error:
        shown = list(error.problems)
    assert shown
    assert all(re.match(r"tried\.yaml:\d+:\d+", problem) for problem in shown)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200))
def test_bytes_never_hurt(raw: bytes) -> None:
    """Any bytes are data or problems."""
    document = read(raw)
    assert document.problems or isinstance(document.value, dict)
