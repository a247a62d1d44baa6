"""Collect ``.feature`` files as pytest items; what is wrong with one is said before anything runs."""

from pytest_deploy.collect.failure import RunningScenario
from pytest_deploy.collect.module import LABELS, FeatureModule, collect_file

__all__ = ["LABELS", "FeatureModule", "RunningScenario", "collect_file"]
