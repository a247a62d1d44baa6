"""The steps that a feature can use, and what becomes of a step's text."""

from __future__ import annotations

import difflib
import inspect
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from pytest_bdd.parsers import parse, string

from pytest_deploy.collect import bdd

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

    from pytest_deploy.collect.source import StepType

__all__ = ["KnownSteps", "Match"]

_SIMILAR = 0.6
_RESERVED = ("datatable", "docstring")


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """What a step's text leads to.

    Args:
        definition: the one that pytest-bdd will run; None: the step is undefined.
        args: parsed from the text and converted.
        mistakes: why it must not run; empty when all is well.
    """

    definition: bdd.Definition | None
    args: Mapping[str, object]
    mistakes: tuple[str, ...]


class KnownSteps:
    """All step definitions that the features of one folder see; each text is looked up once.

    Args:
        node: the features' parent: its conftest.py files and team steps are loaded.
    """

    def __init__(self, node: pytest.Collector) -> None:
        self._all = bdd.definitions(node)
        self._exact: dict[str, list[bdd.Definition]] = {}
        self._patterns: list[bdd.Definition] = []
        for definition in self._all:
            if type(definition.parser) is string:
                self._exact.setdefault(definition.parser.name, []).append(definition)
            else:
                self._patterns.append(definition)
        self.match = cache(self._match)
        self.has_fixture = cache(lambda name: bdd.fixture_exists(node, name))

    def _match(self, type_: StepType, text: str) -> Match:
        found = [
            definition
            for definition in (*self._exact.get(text, ()), *self._patterns)
            if definition.type in {None, type_} and definition.parser.is_matching(text)
        ]
        if not found:
            return Match(definition=None, args={}, mistakes=(self._undefined(type_, text),))
        found.sort(key=lambda definition: (definition.rank, definition.order))
        chosen = found[-1]
        mistakes = _ambiguous(chosen, found)
        if inspect.iscoroutinefunction(chosen.function) or inspect.isasyncgenfunction(chosen.function):
            mistakes.append(f"its step function is async: nothing would await it, so it would pass ({chosen.place})")
        args, wrong = _arguments(chosen, text)
        return Match(definition=chosen, args=args, mistakes=(*mistakes, *wrong))

    def _undefined(self, type_: StepType, text: str) -> str:
        for definition in self._patterns:
            refusal = _refusal(definition, text) if definition.type in {None, type_} else None
            if refusal:
                return f"{refusal} (in '{definition.example}')"
        nearest = self.nearest(type_, text)
        return "undefined step" + (f"; nearest known: {nearest}" if nearest else "; no known step is like it")

    def nearest(self, type_: StepType | None, text: str, *, at_least: float = _SIMILAR) -> str | None:
        """The known step most like the text, as a line of a feature file; None: none is like it.

        Args:
            type_: preferred where two are equally near.
            text: without its keyword.
            at_least: how like, from 0 to 1.
        """
        matcher = difflib.SequenceMatcher(b=_skeleton(text))
        best: tuple[float, bool, str] | None = None
        for definition in self._all:
            matcher.set_seq1(_skeleton(definition.pattern))
            if matcher.real_quick_ratio() < at_least or matcher.quick_ratio() < at_least:
                continue
            candidate = (matcher.ratio(), definition.type == type_, definition.example)
            if candidate[0] >= at_least and (best is None or candidate > best):
                best = candidate
        return best[2] if best else None


def _skeleton(text: str) -> str:
    """The words without what varies, so that "5%" is as near to "<weight>" as any."""
    return re.sub(r'"[^"]*"|<[^>]*>|\S*\d\S*', "<>", text.lower())


def _ambiguous(chosen: bdd.Definition, found: list[bdd.Definition]) -> list[str]:
    """Rivals are those of the same folder that are not the same function imported twice."""
    rivals = {
        other.place
        for other in found
        if other.rank == chosen.rank
        and other.place != chosen.place
        and (other.in_conftest or not chosen.in_conftest or len(chosen.rank) > 1)
    }
    return [f"ambiguous step: defined at {' and at '.join(sorted([*rivals, chosen.place]))}"] if rivals else []


def _refusal(definition: bdd.Definition, text: str) -> str | None:
    """pytest-bdd takes a ValueError of a ``parse`` type for "does not match": here its message is kept."""
    if not isinstance(definition.parser, parse):
        return None
    try:
        definition.parser.parser.parse(text)
    except ValueError as error:
        return str(error) or None
    return None


def _arguments(definition: bdd.Definition, text: str) -> tuple[Mapping[str, object], list[str]]:
    """Parse and convert as pytest-bdd does when the step runs; say all that would fail or be lost then."""
    parsed = definition.parser.parse_arguments(text) or {}
    args: dict[str, object] = {}
    mistakes = []
    for name, value in parsed.items():
        if name in _RESERVED:
            mistakes.append(f"its pattern names an argument '{name}', which pytest-bdd reserves ({definition.place})")
            continue
        if name not in definition.parameters:
            mistakes.append(f"its step function does not take '{name}' of its pattern ({definition.place})")
        args[name] = value
        try:
            if name in definition.converters:
                args[name] = definition.converters[name](value)
        except Exception as error:  # noqa: BLE001 - a team's converter may raise anything, and would do it in mid-deploy
            mistakes.append(str(error) or f"{name} '{value}': {type(error).__name__}")
    return args, mistakes
