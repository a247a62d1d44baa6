"""Hooks that pytest-deploy calls."""

from __future__ import annotations

import pytest


def pytest_deploy_scenario_passed(request: pytest.FixtureRequest, title: str) -> None:
    """Called when all steps of a scenario have passed, within the scenario's own call phase."""
