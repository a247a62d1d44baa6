"""What is wrong with collected features and their deploy.yaml: all that a run refuses before it contacts anybody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_deploy import prepare
from pytest_deploy.collect import FeatureModule
from pytest_deploy.errors import ConfigError
from pytest_deploy.gate.feature import reading
from pytest_deploy.steps import outline

if TYPE_CHECKING:
    import pytest

__all__ = ["Linter"]


class Linter:
    """A plugin of pytest that checks each deploy that was collected.

    Attributes:
        problems: in the order of the features, those of one deploy.yaml once.
    """

    def __init__(self) -> None:
        self.problems: list[str] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Check the deploys; what is no deploy has no deploy.yaml."""
        found: dict[str, None] = {}
        for module in dict.fromkeys(item.getparent(FeatureModule) for item in session.items):
            if module is None or not outline.is_deploy(module.resolved):
                continue
            titles = {step.title for step in module.resolved}
            try:
                prepare.prepare(reading(session.config.rootpath), module.path, module.resolved, titles)
            except ConfigError as error:
                found.update(dict.fromkeys(error.problems))
        self.problems = list(found)
