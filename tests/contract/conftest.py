"""Let the contracts' assertions explain themselves, as those of test files do."""

import pytest

pytest.register_assert_rewrite("pytest_deploy.testing.contracts")
