"""The toolchain's programs that an approval needs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest


def _built(name: str) -> str:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pytest-deploy"
    current = Path(os.environ.get("PYTEST_DEPLOY_CACHE") or base) / "toolchain" / "current.json"
    binaries = json.loads(current.read_text("utf-8"))["binaries"] if current.is_file() else {}
    if name not in binaries:
        pytest.fail(f"{name} is not there: .venv/bin/python toolchain/build.py {name}")
    return str(binaries[name])


@pytest.fixture(scope="session")
def gh_binary() -> str:
    """The real gh."""
    return _built("gh")


@pytest.fixture(scope="session")
def cosign_binary() -> str:
    """The real cosign."""
    return _built("cosign")
