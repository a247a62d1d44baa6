"""What can be wrong with the text of a feature file, found without pytest and without steps.

Each check closes a hole through which pytest-bdd lets a gate pass unjudged, or
a mistake that it would show only after the deploy has begun.
"""

from __future__ import annotations

import difflib
from collections import defaultdict
from typing import TYPE_CHECKING, cast

from gherkin.errors import CompositeParserException
from gherkin.parser import Parser

from pytest_deploy.collect.problem import Problem
from pytest_deploy.collect.source import (
    ENCODING,
    PLACEHOLDER,
    FeatureText,
    ScenarioText,
    StepText,
    TagText,
    read,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from gherkin.errors import ParserException
    from gherkin.parser_types import GherkinDocument

__all__ = ["check_file", "similar_keyword"]

_PYTEST_MARKS = {
    "xfail": "a gate that fails would pass",
    "skipif": "it means nothing without its arguments",
    "parametrize": "it means nothing without its arguments",
    "usefixtures": "it means nothing without its arguments",
    "filterwarnings": "it means nothing without its arguments",
}
_EXPECTED = {
    "#FeatureLine": "Feature:",
    "#BackgroundLine": "Background:",
    "#ScenarioLine": "Scenario:",
    "#ExamplesLine": "Examples:",
    "#RuleLine": "Rule:",
    "#StepLine": "a step",
    "#TableRow": "a table row",
    "#DocStringSeparator": '"""',
    "#TagLine": "a tag",
}
_STRUCTURE = ("Feature", "Background", "Scenario", "Scenario Outline", "Examples", "Rule")
_STEP_KEYWORDS = ("Given", "When", "Then", "And", "But")


def check_file(path: Path) -> tuple[FeatureText | None, list[Problem]]:
    """Find every mistake that the text alone shows.

    Returns:
        The feature, or None where it does not parse (then each syntax error is a
        problem), and the problems; none of them: the text is sound.
    """
    try:
        text = path.read_text(encoding=ENCODING)
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        text = f"not UTF-8 ({error.reason}): save it as UTF-8"
        return None, [Problem(path=path, line=line, column=1, text=text)]
    try:
        document: Mapping[str, object] = Parser().parse(text)
    except CompositeParserException as error:
        return None, _syntax_errors(path, error.errors)
    if "feature" not in document:
        text = "no Feature: the file is empty, or all comments"
        return None, [Problem(path=path, line=1, column=1, text=text)]
    feature = read(cast("GherkinDocument", document), text)
    return feature, [*_TextCheck(path, feature).problems()]


def similar_keyword(text: str, keywords: Sequence[str]) -> str | None:
    """The keyword that the first word of ``text`` looks like, case aside; None: none of them."""
    word, _, _ = text.partition(" ")
    by_lower = {keyword.lower(): keyword for keyword in keywords}
    found = difflib.get_close_matches(word.rstrip(":").lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def _syntax_errors(path: Path, errors: Sequence[ParserException]) -> list[Problem]:
    problems = []
    for error in errors:
        line, column = error.location["line"], error.location.get("column", 1)
        detail = str(error).partition(": ")[2]
        problems.append(Problem(path=path, line=line, column=column, text=_plainly(detail)))
        if "#FeatureLine" in detail:  # all that follows is unexpected for the same reason
            break
    return problems


def _plainly(detail: str) -> str:
    """The parser's ``expected: #EOF, #TableRow, ..., got 'Whn x'`` in a reader's words."""
    before, separator, rest = detail.partition("expected: ")
    if not separator:
        return detail
    tokens, _, found = rest.partition(", got ")
    wanted = ", ".join(_EXPECTED[token] for token in tokens.split(", ") if token in _EXPECTED)
    if not found:
        return f"{before}expected {wanted}"
    found = found.strip("'")
    hint = f"expected {wanted}"
    if "#FeatureLine" in tokens:
        pass
    elif found.startswith("Feature:"):
        hint = "a file holds one Feature"
    elif found.startswith("Background:"):
        hint = "a Background comes once, before the first Scenario"
    elif ":" in found and (keyword := similar_keyword(found.partition(":")[0], _STRUCTURE)):
        hint = f"did you mean '{keyword}:'?"
    elif keyword := similar_keyword(found, _STEP_KEYWORDS if "#StepLine" in tokens else ()):
        hint = f"did you mean '{keyword}'?"
    return f"unexpected '{found}': {hint}"


class _TextCheck:
    """The checks on a feature that parsed; each yields its problems."""

    def __init__(self, path: Path, feature: FeatureText) -> None:
        self._path = path
        self._feature = feature

    def problems(self) -> Iterator[Problem]:
        if not self._feature.scenarios:
            yield self._at(self._feature.line, self._feature.column, "no scenario: nothing would run")
        yield from self._names()
        for scenario in self._feature.scenarios:
            yield from self._steps(scenario)
            yield from self._examples(scenario)
            yield from self._placeholders(scenario)
            for tag in (*scenario.tags, *(tag for table in scenario.examples for tag in table.tags)):
                yield from self._tag(tag)

    def _at(self, line: int, column: int, text: str) -> Problem:
        return Problem(path=self._path, line=line, column=column, text=text)

    def _names(self) -> Iterator[Problem]:
        """pytest-bdd keeps scenarios by name: of two with one name only the last runs."""
        first: dict[str, int] = {}
        for scenario in self._feature.scenarios:
            name = scenario.item_name
            if not name:
                yield self._at(scenario.line, scenario.column, f"a {scenario.keyword} without a name")
            elif name in first:
                text = f"a second scenario named '{name}' (the first: line {first[name]}): only one would run"
                yield self._at(scenario.line, scenario.column, text)
            else:
                first[name] = scenario.line

    def _steps(self, scenario: ScenarioText) -> Iterator[Problem]:
        if not scenario.steps:
            text = f"scenario '{scenario.name}' has no steps: it would pass"
            for prose in scenario.prose:
                if keyword := similar_keyword(prose.text, self._feature.step_keywords):
                    where = f"'{prose.text}' (line {prose.line})"
                    text += f"; {where} is read as prose: did you mean '{keyword}'?"
                    break
            yield self._at(scenario.line, scenario.column, text)
        for step in scenario.all_steps:
            if step.type is None:
                text = f"'{step.keyword} {step.text}' continues nothing: begin with Given, When or Then"
                yield self._at(step.line, step.column, text)

    def _examples(self, scenario: ScenarioText) -> Iterator[Problem]:
        if not scenario.examples and scenario.keyword in self._feature.outline_keywords:
            text = f"outline '{scenario.name}' has no Examples: it would run once, as it is written"
            yield self._at(scenario.line, scenario.column, text)
        seen: dict[str, int] = {}
        for table in scenario.examples:
            if not table.rows:
                yield self._at(table.line, table.column, f"Examples of '{scenario.name}' have no rows")
            columns: defaultdict[str, int] = defaultdict(int)
            for name, (line, column) in zip(table.columns, table.column_places, strict=True):
                columns[name] += 1
                if columns[name] == 2:
                    yield self._at(line, column, f"a second Examples column named '{name}'")
            for row in table.rows:
                identity = "-".join(row.values)
                if identity in seen:
                    text = f"Examples row '{identity}' was there before (line {seen[identity]})"
                    yield self._at(row.line, row.column, text)
                seen.setdefault(identity, row.line)

    def _placeholders(self, scenario: ScenarioText) -> Iterator[Problem]:
        for table in scenario.examples:
            used = {name for text in _texts(scenario) for name in PLACEHOLDER.findall(text)}
            for name, (line, column) in zip(table.columns, table.column_places, strict=True):
                if name not in used:
                    hint = _nearest(name, sorted(used - set(table.columns)))
                    yield self._at(line, column, f"no step of '{scenario.name}' uses <{name}>{hint}")
        columns = [table.columns for table in scenario.examples if table.columns]
        if not columns and not scenario.examples and scenario.keyword not in self._feature.outline_keywords:
            columns = [()]
        for step in scenario.all_steps:
            texts = " ".join((step.text, *(step.cells or ())))
            for name in dict.fromkeys(PLACEHOLDER.findall(texts)):
                missing = next((known for known in columns if name not in known), None)
                if missing is not None:
                    text = f"no Examples column of '{scenario.name}' fills <{name}>{_nearest(name, missing)}"
                    yield self._at(step.line, _column(step, name), text)

    def _tag(self, tag: TagText) -> Iterator[Problem]:
        if tag.name in _PYTEST_MARKS:
            text = f"@{tag.name} is pytest's own mark: {_PYTEST_MARKS[tag.name]}"
            yield self._at(tag.line, tag.column, text)
        elif ":" not in tag.name and (tag.name.startswith("_") or "(" in tag.name):
            text = f"@{tag.name} cannot be a pytest mark: begin with a letter, and use no '('"
            yield self._at(tag.line, tag.column, text)


def _texts(scenario: ScenarioText) -> Iterator[str]:
    """Where a placeholder counts as used; in a doc string it may be mark-up, so no column need fill it."""
    yield scenario.name
    for step in scenario.all_steps:
        yield from (step.text, *(step.cells or ()), step.docstring or "")


def _column(step: StepText, name: str) -> int:
    at = step.text.find(f"<{name}>")
    return step.column if at < 0 else step.column + len(step.keyword) + 1 + at


def _nearest(name: str, known: Sequence[str]) -> str:
    found = difflib.get_close_matches(name, known, n=1)
    return f": did you mean <{found[0]}>?" if found else ""
