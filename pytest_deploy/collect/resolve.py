"""Every step of a feature, as it will run: rendered, found, parsed and converted."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_deploy.collect.checks import similar_keyword
from pytest_deploy.collect.problem import Problem
from pytest_deploy.collect.source import PLACEHOLDER, FeatureText, Row, ScenarioText, StepText, StepType, fill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from pytest_deploy.collect.known_steps import KnownSteps

__all__ = ["Resolution", "ResolvedStep", "resolve"]

_CERTAINLY_A_STEP = 0.75


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedStep:
    """One step of one scenario or Examples row, ready to run.

    Args:
        scenario: the name as written, with its placeholders.
        title: the name with the row's values.
        example: the row's values by column; empty without Examples.
        keyword: as written, ``And`` included.
        type: what the keyword stands for.
        text: with the row's values.
        path: the feature file.
        line: from 1.
        column: from 1.
        function: the step function.
        args: what its pattern and converters made of the text.
    """

    scenario: str
    title: str
    example: Mapping[str, str]
    keyword: str
    type: StepType
    text: str
    path: Path
    line: int
    column: int
    function: Callable[..., object]
    args: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """What became of a feature's steps.

    Args:
        steps: those that were found, in the order in which they run.
        problems: what is wrong with any.
        undefined: some are not known at all.
    """

    steps: tuple[ResolvedStep, ...]
    problems: tuple[Problem, ...]
    undefined: bool


def resolve(path: Path, feature: FeatureText, known: KnownSteps, *, incomplete: bool) -> Resolution:
    """Look up every step of every scenario and Examples row, in the order in which they run.

    Args:
        path: the feature file.
        feature: its text.
        known: the steps that it can use.
        incomplete: some could not be imported, so nothing is said about what is missing.
    """
    resolver = _Resolver(path, known, incomplete=incomplete)
    for scenario in feature.scenarios:
        resolver.scenario(scenario)
    resolver.prose(feature)
    return Resolution(steps=tuple(resolver.steps), problems=tuple(resolver.problems), undefined=resolver.undefined)


class _Resolver:
    def __init__(self, path: Path, known: KnownSteps, *, incomplete: bool) -> None:
        self._path = path
        self._known = known
        self._incomplete = incomplete
        self.undefined = False
        self.steps: list[ResolvedStep] = []
        self.problems: list[Problem] = []

    def scenario(self, scenario: ScenarioText) -> None:
        """Resolve each row; a mistake that is the same in all rows is said once, without a row."""
        rows = [pair for table in scenario.examples for pair in table.contexts()]
        runs: list[tuple[Row | None, dict[str, str]]] = [*rows] if rows else [(None, {})]
        said: dict[tuple[StepText, str], list[tuple[Row | None, str]]] = {}
        for row, values in runs:
            for step, mistake in self._run(scenario, values):
                said.setdefault((step, mistake), []).append((row, fill(step.text, values)))
        for (step, mistake), where in said.items():
            row, rendered = where[0]
            if row is None or len(where) == len(runs):
                text = f"{step.keyword} {step.text}: {mistake}"
            else:
                more = f" and {len(where) - 1} more" if len(where) > 1 else ""
                text = f"{step.keyword} {rendered}: {mistake} (Examples row in line {row.line}{more})"
            self.problems.append(Problem(path=self._path, line=step.line, column=step.column, text=text))

    def prose(self, feature: FeatureText) -> None:
        """Find steps that Gherkin took for prose (where there are no steps at all, that is said already)."""
        lines = [*feature.prose]
        for scenario in feature.scenarios:
            lines.extend(scenario.prose if scenario.steps else ())
        for line in lines:
            keyword = similar_keyword(line.text, feature.step_keywords)
            rest = line.text.partition(" ")[2]
            step = self._known.nearest(None, rest, at_least=_CERTAINLY_A_STEP) if keyword else None
            if step:
                text = f"'{line.text}' is read as prose: did you mean '{keyword}'? A known step is: {step}"
                self.problems.append(Problem(path=self._path, line=line.line, column=line.column, text=text))

    def _run(self, scenario: ScenarioText, values: dict[str, str]) -> Iterator[tuple[StepText, str]]:
        """One run of the scenario; yields each mistake with its step."""
        injected: set[str] = set()
        title = fill(scenario.name, values)
        for step in scenario.all_steps:
            if step.type is None or any(name not in values for name in PLACEHOLDER.findall(step.text)):
                continue  # said by the checks of the text
            text = fill(step.text, values)
            match = self._known.match(step.type, text)
            if match.definition is None:
                if not self._incomplete:
                    self.undefined = True
                    yield step, match.mistakes[0]
                continue
            for mistake in match.mistakes:
                yield step, mistake
            if not self._incomplete:
                for mistake in self._missing(step, match.definition.parameters, match.args, injected):
                    yield step, mistake
            if match.definition.target_fixture:
                injected.add(match.definition.target_fixture)
            self.steps.append(
                ResolvedStep(
                    scenario=scenario.name,
                    title=title,
                    example=values,
                    keyword=step.keyword,
                    type=step.type,
                    text=text,
                    path=self._path,
                    line=step.line,
                    column=step.column,
                    function=match.definition.function,
                    args=match.args,
                )
            )

    def _missing(
        self,
        step: StepText,
        parameters: Mapping[str, inspect.Parameter],
        args: Mapping[str, object],
        injected: set[str],
    ) -> Iterator[str]:
        """What pytest-bdd could not give to the step function, and what it would drop."""
        below = {"datatable": step.cells, "docstring": step.docstring}
        attached = {name for name, value in below.items() if value is not None}
        for name in sorted(attached - set(parameters)):
            yield f"its step function takes no {name}: what stands below the step would be ignored"
        for name, parameter in parameters.items():
            if parameter.default is not parameter.empty or parameter.kind in {
                parameter.VAR_POSITIONAL,
                parameter.VAR_KEYWORD,
            }:
                continue
            if name in {*args, *attached} and parameter.kind is not parameter.POSITIONAL_ONLY:
                continue
            by_fixture = parameter.kind is parameter.POSITIONAL_OR_KEYWORD
            if not by_fixture or not (name in injected or self._known.has_fixture(name)):
                yield f"its step function needs '{name}': no argument of its pattern, no known fixture"
