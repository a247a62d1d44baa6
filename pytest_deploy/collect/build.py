"""From a feature file to checked steps and a synthesized module."""

from __future__ import annotations

from types import FunctionType, ModuleType
from typing import TYPE_CHECKING

import pytest

from pytest_deploy.collect.bdd import scenario_functions
from pytest_deploy.collect.checks import check_file
from pytest_deploy.collect.failure import RunningScenario
from pytest_deploy.collect.known_steps import KnownSteps
from pytest_deploy.collect.problem import render
from pytest_deploy.collect.resolve import ResolvedStep, resolve
from pytest_deploy.collect.team_steps import load

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pytest_deploy.collect.source import ScenarioText

__all__ = ["check", "synthesize"]

_KNOWN = pytest.StashKey[dict[pytest.Collector, KnownSteps]]()


def check(module: pytest.Module) -> tuple[tuple[ScenarioText, ...], tuple[ResolvedStep, ...]]:
    """Load the team's steps, read the feature and look up all of its steps.

    Args:
        module: the feature's collector.

    Raises:
        pytest.Collector.CollectError: all that is wrong, a line each with its place.
    """
    folder = next(node for node in reversed(module.listchain()[:-1]) if isinstance(node, pytest.Collector))
    feature, problems = check_file(module.path)
    missing = load(folder)
    problems.extend(missing)
    closing = "nothing was run"
    steps: tuple[ResolvedStep, ...] = ()
    if feature is not None:
        resolution = resolve(module.path, feature, _known_steps(folder), incomplete=bool(missing))
        problems.extend(resolution.problems)
        steps = resolution.steps
        if resolution.undefined:
            closing += "; `pytest-deploy steps` lists the known steps"
    if missing:
        closing += "; undefined steps are listed once all steps can be imported"
    if problems or feature is None:
        here = module.config.invocation_params.dir
        raise module.CollectError(render(problems, relative_to=here, closing=closing))
    return feature.scenarios, steps


def synthesize(path: Path, scenarios: Sequence[ScenarioText]) -> ModuleType:
    """A module with a test function for each scenario, in their order.

    Args:
        path: the feature file; tracebacks, JUnit and editors are led there.
        scenarios: checked.
    """
    module = ModuleType(path.stem, f"The scenarios of {path.name}.")
    module.__file__ = str(path)
    bodies = {scenario.name: _stands_at(_body(), path, scenario.line) for scenario in scenarios}
    for scenario, made in zip(scenarios, scenario_functions(path, bodies), strict=True):
        function = _stands_at(made, path, scenario.line)
        function.__module__ = module.__name__
        function.__name__ = scenario.item_name
        setattr(module, scenario.item_name, function)
    return module


def _known_steps(folder: pytest.Collector) -> KnownSteps:
    """The features of one folder see the same steps."""
    known = folder.session.stash.setdefault(_KNOWN, {})
    if folder not in known:
        known[folder] = KnownSteps(folder)
    return known[folder]


def _body() -> Callable[..., None]:
    """What runs when all steps have passed; one line, so that it stands at one line of the feature."""
    return _announce


def _announce(request: pytest.FixtureRequest) -> None:
    """Tell whoever implements the hook; it may raise, and then the scenario has failed."""
    __tracebackhide__ = True
    hook = getattr(request.config.hook, "pytest_deploy_scenario_passed", None)
    running = RunningScenario.of(request.node)
    if hook is not None and running is not None:
        hook(request=request, title=running.scenario.name)


def _stands_at(function: Callable[..., None], path: Path, line: int) -> Callable[..., None]:
    """The function, as if it were written at that line of that file."""
    assert isinstance(function, FunctionType)  # noqa: S101 - so are both that it is given; mypy cannot know
    function.__code__ = function.__code__.replace(co_filename=str(path), co_firstlineno=line)
    return function
