"""Unit tests use no sockets; one that must look for a free port says so with ``enable_socket``."""

import pytest


@pytest.fixture(autouse=True)
def _no_sockets(request: pytest.FixtureRequest) -> None:
    """Fail a test that opens one."""
    if request.node.get_closest_marker("enable_socket") is None:
        request.getfixturevalue("socket_disabled")
