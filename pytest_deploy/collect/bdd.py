"""The one place that uses more of pytest and pytest-bdd than they document.

- pytest has no public way to list the fixtures that a node sees, and pytest-bdd
  keeps step definitions as fixtures: ``session._fixturemanager``, through
  pytest-bdd's own ``compat`` functions (they follow pytest's changes).
- ``pytest.register_fixture`` wants scope and params, which a ``@pytest.fixture``
  does not tell publicly: ``parsefactories``, the call behind it for conftest.py.
- pytest-bdd makes marks of Examples tags with ``getattr(pytest.mark, tag)`` and
  asks no hook: ``k:v`` tags are taken out of its model before it does.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_bdd import scenario
from pytest_bdd.compat import get_fixture_names, getfixturedefs
from pytest_bdd.feature import features, get_feature
from pytest_bdd.scenario import iterparentnodeids
from pytest_bdd.steps import step_function_context_registry

from pytest_deploy.collect.source import ENCODING, StepType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import CodeType, ModuleType

    import pytest
    from pytest_bdd.parsers import StepParser

__all__ = ["Definition", "definitions", "fixture_exists", "register_steps", "scenario_functions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A step definition that a node sees.

    Args:
        type: None: it serves all three.
        pattern: as a user would write the step, with ``<name>`` for each argument.
        rank: where it was defined, in pytest-bdd's order: of two that match, the higher one runs.
        order: among those of one rank, in pytest-bdd's order.
        place: ``file:line`` of the step function, seen from where pytest runs.
        in_conftest: a conftest.py of the root folder shares its rank with plugins, and goes before them.
    """

    type: StepType | None
    pattern: str
    parser: StepParser
    converters: Mapping[str, Callable[[str], object]]
    function: Callable[..., object]
    parameters: Mapping[str, inspect.Parameter]
    target_fixture: str | None
    rank: tuple[str, ...]
    order: int
    place: str
    in_conftest: bool

    @property
    def example(self) -> str:
        """The step as a line of a feature file."""
        return f"{self.type.title() if self.type else '*'} {self.pattern}"


def definitions(node: pytest.Collector) -> Sequence[Definition]:
    """All step definitions that a feature below ``node`` sees, in the order in which pytest-bdd does."""
    manager = _fixture_manager(node)
    here = node.config.invocation_params.dir
    found: list[Definition] = []
    for name in get_fixture_names(manager):
        for fixture in getfixturedefs(manager, name, node) or ():
            context = step_function_context_registry.get(fixture.func)
            if context is None:
                continue
            code: CodeType | None = getattr(inspect.unwrap(context.step_func), "__code__", None)
            file = Path(code.co_filename if code else "?")
            line = code.co_firstlineno if code else 0
            found.append(
                Definition(
                    type=context.type,
                    pattern=_as_written(context.parser.name),
                    parser=context.parser,
                    converters=context.converters,
                    function=context.step_func,
                    parameters=inspect.signature(context.step_func).parameters,
                    target_fixture=context.target_fixture,
                    rank=tuple(iterparentnodeids(fixture.baseid)),
                    order=len(found),
                    place=f"{_seen_from(here, file)}:{line}",
                    in_conftest=file.name == "conftest.py",
                )
            )
    return found


def fixture_exists(node: pytest.Collector, name: str) -> bool:
    """Whether a feature below ``node`` may request the fixture, and all that the fixture requests."""
    manager = _fixture_manager(node)

    def complete(wanted: str, seen: frozenset[str]) -> bool:
        if wanted == "request" or wanted in seen:
            return True
        found = getfixturedefs(manager, wanted, node) or ()
        return any(all(complete(name, seen | {wanted}) for name in last.argnames) for last in found[-1:])

    return complete(name, frozenset())


def register_steps(module: ModuleType, node: pytest.Collector) -> None:
    """Make the steps and fixtures of a module visible to everything below ``node``."""
    _fixture_manager(node).parsefactories(holder=module, node=node)


def scenario_functions(path: Path, bodies: Mapping[str, Callable[..., None]]) -> Iterator[Callable[..., None]]:
    """What ``pytest_bdd.scenario`` makes of each scenario; of Examples tags only plain ones become marks.

    Args:
        path: the feature file.
        bodies: by the scenario's name: what runs when all of its steps have passed.
    """
    features.pop(str(path), None)  # kept for the life of the process, even when the file has changed
    feature = get_feature(str(path.parent), path.name, encoding=ENCODING)
    for name, body in bodies.items():
        for table in feature.scenarios[name].examples:
            table.tags = {tag for tag in table.tags if ":" not in tag}
        decorate = scenario(path.name, name, encoding=ENCODING, features_base_dir=str(path.parent))
        yield decorate(body)


def _fixture_manager(node: pytest.Collector) -> Any:
    return node.session._fixturemanager  # noqa: SLF001 - see the module's docstring


def _seen_from(here: Path, file: Path) -> Path:
    """Relative where it is below ``here``; as it is where that would be a row of ``../``."""
    return file.relative_to(here) if file.is_relative_to(here) else file


def _as_written(pattern: str) -> str:
    """``{weight:Percent}`` and ``(?P<weight>...)`` both as ``<weight>``."""
    pattern = re.sub(r"\(\?P<(\w+)>(?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)", r"<\1>", pattern)
    pattern = re.sub(r"\{(\w*)(?::[^{}]*)?\}", lambda match: f"<{match[1] or '...'}>", pattern)
    return re.sub(r"\\(\W)", r"\1", pattern.removeprefix("^").removesuffix("$"))
