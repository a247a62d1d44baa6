"""Hooks that pytest-deploy calls."""

from __future__ import annotations

import pytest

LEFT_OUT = "pytest_deploy_left_out"
"""Under this key a worker of pytest-xdist tells its controller that it ran no deploy."""


def pytest_deploy_scenario_passed(request: pytest.FixtureRequest, title: str) -> None:
    """Called when all steps of a scenario have passed, within the scenario's own call phase."""
