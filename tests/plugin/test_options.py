"""The options of group "deploy" and what the README says of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


def test_the_option_table_is_the_help(pytester: pytest.Pytester) -> None:
    """Each option of the group stands in the README with the text of --help, and no other does."""
    result = pytester.runpytest_inprocess("--help")
    section = result.stdout.str().partition("deploy: a feature is a deploy")[2].split("\n\n")[0]
    helped = {}
    for match in re.finditer(r"^  (--[a-z-]+)(?:[ =](\S+))?(.*?)(?=^  --|\Z)", section, re.DOTALL | re.MULTILINE):
        helped[match[1]] = " ".join(match[3].split())
    rows = dict(re.findall(r"^\| `(--[a-z-]+)[^`]*` \| (.*?) \|$", README, re.MULTILINE))
    assert helped
    assert {name: text.replace("`", "") for name, text in rows.items()} == helped
