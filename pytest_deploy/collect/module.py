"""A feature file as a pytest module, its scenarios as test functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_deploy.collect.failure import ScenarioHooks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from types import ModuleType

    from pytest_deploy.collect.resolve import ResolvedStep
    from pytest_deploy.collect.source import ScenarioText, TagText

__all__ = ["LABELS", "FeatureModule", "collect_file"]

LABELS = pytest.StashKey[tuple[tuple[str, str], ...]]()
"""On each item: its ``k:v`` tags as (k, v), from the feature down to its Examples table."""

_MARKS = pytest.StashKey[set[str]]()
_HOOKS = "pytest_deploy.collect"


def collect_file(file_path: Path, parent: pytest.Collector) -> FeatureModule | None:
    """Collect a ``.feature`` file; None for any other.

    Args:
        file_path: the file that pytest asks about.
        parent: its folder's collector.
    """
    if file_path.suffix != ".feature":
        return None
    plugins = parent.config.pluginmanager
    if not plugins.has_plugin(_HOOKS):
        plugins.register(ScenarioHooks(), _HOOKS)
    module: FeatureModule = FeatureModule.from_parent(parent, path=file_path)
    return module


class FeatureModule(pytest.Module):
    """A feature: a module, so that fixtures of module scope live as long as the feature runs.

    Attributes:
        resolved: after a collection without problems: every step of every scenario
            and Examples row, in the order in which they run.
    """

    resolved: tuple[ResolvedStep, ...] = ()
    _scenarios: tuple[ScenarioText, ...] = ()
    _module: ModuleType | None = None

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        """Check the whole feature, then make its scenarios test functions, in the file's order.

        Raises:
            pytest.Collector.CollectError: all that is wrong, a line each with its place.
        """
        # With no .feature file there is no need of pytest-bdd's and Gherkin's parsers.
        from pytest_deploy.collect.build import check

        self._scenarios, self.resolved = check(self)
        self._register_marks()
        items = [item for item in super().collect() if isinstance(item, pytest.Function)]
        self._nothing_lost(items)
        by_name = {scenario.item_name: scenario for scenario in self._scenarios}
        for item in items:
            item.stash[LABELS] = tuple(dict.fromkeys(_labels(item, by_name[item.originalname])))
        return items

    def funcnamefilter(self, name: str) -> bool:  # noqa: ARG002 - pytest's signature
        """Every scenario is a test, whatever its name."""
        return True

    def _register_marks(self) -> None:
        """Tags are marks of the user's own making: ``--strict-markers`` is about marks in Python files."""
        registered = self.config.stash.setdefault(_MARKS, set())
        tags = (tag for scenario in self._scenarios for tag in _all_tags(scenario))
        for name in dict.fromkeys(tag.name for tag in tags if ":" not in tag.name):
            if name not in registered:
                registered.add(name)
                self.config.addinivalue_line("markers", f"{name}: a tag of a feature file")

    def _getobj(self) -> ModuleType:
        """The synthesized module: pytest asks for it once for each function, so it is made once."""
        from pytest_deploy.collect.build import synthesize

        if self._module is None:
            self._module = synthesize(self.path, self._scenarios)
        return self._module

    def _nothing_lost(self, items: list[pytest.Function]) -> None:
        """A scenario whose name means something to Python or pytest (``__doc__``) would vanish."""
        collected = {item.originalname for item in items}
        lost = [scenario for scenario in self._scenarios if scenario.item_name not in collected]
        if lost:
            names = ", ".join(f"'{scenario.name}' (line {scenario.line})" for scenario in lost)
            msg = f"{self.nodeid}: pytest does not take as a test: {names}; give it another name"
            raise self.CollectError(msg)


def _labels(item: pytest.Function, scenario: ScenarioText) -> Iterator[tuple[str, str]]:
    callspec = getattr(item, "callspec", None)
    example = callspec.params.get("_pytest_bdd_example") if callspec else None
    tables = [table for table in scenario.examples if example in [values for _, values in table.contexts()]]
    for tag in (*scenario.tags, *(tag for table in tables for tag in table.tags)):
        key, separator, value = tag.name.partition(":")
        if separator:
            yield key, value


def _all_tags(scenario: ScenarioText) -> Iterator[TagText]:
    yield from scenario.tags
    for table in scenario.examples:
        yield from table.tags
