"""The text of a feature file as plain values that know their places.

pytest-bdd's own model forgets columns, Examples lines, descriptions and, of two
scenarios with one name, the first: what the checks are about. So the tree of
the official Gherkin parser is read here, with types and rendering as pytest-bdd
gives them (``And`` continues the step before it; ``<name>`` is replaced in
Background steps too, and stays as it is where no column has that name).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from gherkin.dialect import Dialect

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gherkin.parser_types import Background, Examples, Feature, GherkinDocument, Rule, Scenario, Step, Tag

__all__ = [
    "ENCODING",
    "PLACEHOLDER",
    "ExamplesText",
    "FeatureText",
    "Prose",
    "Row",
    "ScenarioText",
    "StepText",
    "StepType",
    "TagText",
    "fill",
    "read",
]

ENCODING = "utf-8-sig"
"""UTF-8, with the byte-order mark that editors on Windows write."""

PLACEHOLDER = re.compile(r"<(.+?)>")

StepType = Literal["given", "when", "then"]
_TYPES: Mapping[str, StepType] = {"Context": "given", "Action": "when", "Outcome": "then"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TagText:
    """A tag without its ``@``."""

    name: str
    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Prose:
    """One line of a description: what Gherkin takes for prose, and a mistyped step lands in."""

    text: str
    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepText:
    """A step as written.

    Args:
        type: what ``And``, ``But`` and ``*`` continue; None: there is nothing before them.
        cells: of its data table; None: it has none.
        docstring: None: it has none.
    """

    keyword: str
    type: StepType | None
    text: str
    line: int
    column: int
    cells: tuple[str, ...] | None
    docstring: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of an Examples table."""

    values: tuple[str, ...]
    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamplesText:
    """One Examples table; without a header line it has no columns."""

    columns: tuple[str, ...]
    column_places: tuple[tuple[int, int], ...]
    rows: tuple[Row, ...]
    tags: tuple[TagText, ...]
    line: int
    column: int

    def contexts(self) -> Iterator[tuple[Row, dict[str, str]]]:
        """Each row with what it puts in the place of each ``<column>``."""
        for row in self.rows:
            yield row, dict(zip(self.columns, row.values, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioText:
    """A scenario or outline.

    Args:
        background: the steps that run before its own: the feature's, then its rule's.
        tags: its own, its rule's and the feature's.
    """

    keyword: str
    name: str
    line: int
    column: int
    prose: tuple[Prose, ...]
    background: tuple[StepText, ...]
    steps: tuple[StepText, ...]
    examples: tuple[ExamplesText, ...]
    tags: tuple[TagText, ...]

    @property
    def item_name(self) -> str:
        """The name in node ids: ``[``, ``]`` and ``::`` mean something there."""
        return self.name.replace("[", "(").replace("]", ")").replace("::", ":")

    @property
    def all_steps(self) -> tuple[StepText, ...]:
        """In the order in which they run."""
        return self.background + self.steps


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureText:
    """A feature that parsed.

    Args:
        prose: the description lines of the feature, its rules and backgrounds.
        step_keywords: of its language, stripped, without ``*``.
        outline_keywords: of its language.
    """

    name: str
    line: int
    column: int
    prose: tuple[Prose, ...]
    scenarios: tuple[ScenarioText, ...]
    step_keywords: tuple[str, ...]
    outline_keywords: tuple[str, ...]


def fill(text: str, values: Mapping[str, str]) -> str:
    """Put the values in the place of their ``<name>``; an unknown one stays."""
    return PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), text)


def read(document: GherkinDocument, text: str) -> FeatureText:
    """Read the Gherkin parser's tree of a document that has a Feature.

    Args:
        document: the tree.
        text: what was parsed: the tree does not say where descriptions stand.
    """
    feature = document["feature"]
    dialect = Dialect.for_name(feature["language"])
    if dialect is None:
        msg = f"the Gherkin parser accepted a language that it does not have: {feature['language']}"
        raise LookupError(msg)
    reader = _Reader(text.split("\n"))
    keywords = (
        *dialect.given_keywords,
        *dialect.when_keywords,
        *dialect.then_keywords,
        *dialect.and_keywords,
        *dialect.but_keywords,
    )
    scenarios = tuple(reader.scenarios(feature, (), ()))
    return FeatureText(
        name=feature["name"],
        line=feature["location"]["line"],
        column=feature["location"].get("column", 1),
        prose=tuple(reader.outer_prose),
        scenarios=scenarios,
        step_keywords=tuple(dict.fromkeys(word.strip() for word in keywords if word.strip() != "*")),
        outline_keywords=tuple(dialect.scenario_outline_keywords),
    )


class _Reader:
    """Walks the tree once; gathers the prose outside scenarios on the way."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self.outer_prose: list[Prose] = []

    def scenarios(
        self, parent: Feature | Rule, background: tuple[StepText, ...], tags: tuple[TagText, ...]
    ) -> Iterator[ScenarioText]:
        self.outer_prose.extend(self._prose(parent))
        tags += _tags(parent["tags"])
        for child in parent["children"]:
            # An envelope holds one of the three; the parser's types do not say so.
            part = cast("dict[str, Any]", child)
            if "background" in part:
                self.outer_prose.extend(self._prose(part["background"]))
                background += _steps(part["background"]["steps"])
            elif "rule" in part:
                yield from self.scenarios(part["rule"], background, tags)
            elif "scenario" in part:
                yield self._scenario(part["scenario"], background, tags)

    def _scenario(
        self, scenario: Scenario, background: tuple[StepText, ...], tags: tuple[TagText, ...]
    ) -> ScenarioText:
        return ScenarioText(
            keyword=scenario["keyword"],
            name=scenario["name"],
            line=scenario["location"]["line"],
            column=scenario["location"].get("column", 1),
            prose=tuple(self._prose(scenario)),
            background=background,
            steps=_steps(scenario["steps"]),
            examples=tuple(_examples(table) for table in scenario["examples"]),
            tags=tags + _tags(scenario["tags"]),
        )

    def _prose(self, node: Feature | Rule | Background | Scenario) -> Iterator[Prose]:
        """The description follows its keyword line; only comments can stand between its lines."""
        number = node["location"]["line"]
        for wanted in node["description"].split("\n"):
            stripped = wanted.strip()
            if not stripped:
                continue
            while self._lines[number].strip() != stripped:
                number += 1
            line = self._lines[number]
            number += 1
            yield Prose(text=stripped, line=number, column=len(line) - len(line.lstrip()) + 1)


def _tags(tags: list[Tag]) -> tuple[TagText, ...]:
    return tuple(
        TagText(
            name=tag["name"].lstrip("@"),
            line=tag["location"]["line"],
            column=tag["location"].get("column", 1),
        )
        for tag in tags
    )


def _steps(steps: list[Step]) -> tuple[StepText, ...]:
    result = []
    current: StepType | None = None
    for step in steps:
        current = _TYPES.get(step["keywordType"], current)
        table, docstring = step.get("dataTable"), step.get("docString")
        result.append(
            StepText(
                keyword=step["keyword"].strip(),
                type=current,
                text=step["text"],
                line=step["location"]["line"],
                column=step["location"].get("column", 1),
                cells=tuple(cell["value"] for row in table["rows"] for cell in row["cells"]) if table else None,
                docstring=docstring["content"] if docstring else None,
            )
        )
    return tuple(result)


def _examples(table: Examples) -> ExamplesText:
    header = table.get("tableHeader")
    cells = header["cells"] if header else []
    return ExamplesText(
        columns=tuple(cell["value"] for cell in cells),
        column_places=tuple((cell["location"]["line"], cell["location"].get("column", 1)) for cell in cells),
        rows=tuple(
            Row(
                values=tuple(cell["value"] or "" for cell in row["cells"]),
                line=row["location"]["line"],
                column=row["location"].get("column", 1),
            )
            for row in table.get("tableBody", [])
        ),
        tags=_tags(table["tags"]),
        line=table["location"]["line"],
        column=table["location"].get("column", 1),
    )
