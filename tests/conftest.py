"""Settings of this project's own tests."""

import os
import zlib

import pytest
from hypothesis import settings

pytest_plugins = ["pytester"]

# A slow machine is no failure: nothing here is a timed test.
settings.register_profile("project", deadline=None)
settings.load_profile("project")

# Let the contracts' assertions explain themselves, as those of test files do.
pytest.register_assert_rewrite("pytest_deploy.testing.contracts")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave all but one part of the real tests out where REAL_PART is set: ``2/3`` is the second of three.

    Which part a test belongs to depends on its name alone, so that all of them are run in turn.
    """
    part, _, parts = os.environ.get("REAL_PART", "").partition("/")
    if not parts:
        return
    others = [
        item
        for item in items
        if item.get_closest_marker("real") and zlib.crc32(item.nodeid.encode()) % int(parts) != int(part) - 1
    ]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item not in set(others)]
