"""The real kind, as far as the machine lets it: to its own refusal without an engine, to a whole stack with one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_deploy.sandbox.tools import cache_folder, toolbox

pytestmark = [pytest.mark.real, pytest.mark.long, pytest.mark.enable_socket]

CLI = str(Path(sys.executable).with_name("pytest-deploy"))
TOOLCHAIN = cache_folder() / "toolchain"
KIND = toolbox().find("kind")


def engine() -> bool:
    """Whether a Docker engine answers."""
    argv = ("docker", "info", "--format", "{{.ServerVersion}}")
    found = shutil.which("docker") and subprocess.run(argv, capture_output=True, check=False, timeout=20)
    return bool(found) and found.returncode == 0  # type: ignore[union-attr]  # "" is false


needs_kind = pytest.mark.skipif(
    KIND is None or shutil.which("docker") is None,
    reason="no kind or no docker: python toolchain/build.py kind; install Docker's command line",
)


def cli(cache: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run pytest-deploy in a cache of its own."""
    if not (cache / "toolchain").exists():
        (cache / "toolchain").symlink_to(TOOLCHAIN)
    variables = {"PATH": os.environ["PATH"], "HOME": str(cache), "PYTEST_DEPLOY_CACHE": str(cache), **env}
    return subprocess.run((CLI, *arguments), env=variables, capture_output=True, text=True, timeout=900, check=False)


@needs_kind
def test_the_pinned_kind_is_what_runs() -> None:
    """The program says the version that pins.toml has."""
    done = subprocess.run((str(KIND), "version"), capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout.startswith("kind v0.33.0 ")


@needs_kind
def test_without_an_engine_up_says_what_kind_says_and_leaves_nothing(tmp_path: Path) -> None:
    """Nobody at the engine's socket: kind's own words, what to start, and no folder is left."""
    done = cli(tmp_path, "sandbox", "up", "--backend", "kind", DOCKER_HOST=f"unix://{tmp_path}/nobody.sock")
    assert done.returncode == 3, done.stderr
    assert "kind get clusters ended with status 1: ERROR: failed to list clusters" in done.stderr
    assert f"Cannot connect to the Docker daemon at unix://{tmp_path}/nobody.sock" in done.stderr
    assert "next: start the Docker engine" in done.stderr
    assert not any((tmp_path / "sandbox").iterdir())


@pytest.mark.skipif(not engine() or KIND is None, reason="no Docker engine answers here, or kind is not built")
def test_with_an_engine_the_stack_comes_up_and_goes(tmp_path: Path) -> None:
    """Healthy, with a real node; up again changes nothing; after down the engine has no such cluster."""
    name = f"t{os.getpid()}"
    try:
        first = cli(tmp_path, "sandbox", "up", "--backend", "kind", "--name", name, "--json")
        assert first.returncode == 0, first.stderr
        facts = json.loads(first.stdout)
        assert set(facts["components"].values()) == {"healthy"}
        again = cli(tmp_path, "sandbox", "up", "--name", name, "--json")
        assert json.loads(again.stdout) == facts
    finally:
        gone = cli(tmp_path, "sandbox", "down", "--name", name)
    assert gone.returncode == 0, gone.stderr
    left = subprocess.run((str(KIND), "get", "clusters"), capture_output=True, text=True, timeout=30, check=True)
    assert f"pytest-deploy-{name}" not in left.stdout.split()
