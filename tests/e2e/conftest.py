"""A sandbox of these tests' own, and places in it where a service is installed and can be deployed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.e2e.oracle")

from tests.e2e.caller import Deploys  # noqa: E402 - after the registration
from tests.e2e.oracle import Place, Sandbox, eventually  # noqa: E402 - after the registration
from tests.e2e.refusals.audit import audited  # noqa: E402 - after the registration

Places = Callable[..., Place]


@pytest.fixture(scope="session")
def own_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Bring a sandbox named default up in a cache of its own, which shares only the toolchain with the real one.

    Its API server keeps an audit log (``refusals/audit.py``).
    """
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pytest-deploy"
    toolchain = Path(os.environ.get("PYTEST_DEPLOY_CACHE") or base).absolute() / "toolchain"
    cache = tmp_path_factory.mktemp("cache")
    (cache / "toolchain").symlink_to(toolchain)
    cli = (str(Path(sys.executable).with_name("pytest-deploy")), "sandbox")
    env = {"PATH": audited(cache), "HOME": str(cache), "PYTEST_DEPLOY_CACHE": str(cache)}
    try:
        done = subprocess.run((*cli, "up", "--json"), env=env, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        binaries = json.loads((toolchain / "current.json").read_text("utf-8"))["binaries"]
        yield Sandbox(cache=cache, facts=json.loads(done.stdout), binaries=binaries)
    finally:
        subprocess.run((*cli, "down"), env=env, timeout=60, check=True)


@pytest.fixture
def places(own_sandbox: Sandbox, tmp_path: Path) -> Iterator[Places]:
    """Give new namespaces, each with the old version installed and at rest, and one for staging beside it."""
    made: list[Place] = []

    def make(*, install: bool = True) -> Place:
        namespace = f"e2e-{next(_NUMBERS)}"
        place = Place(sandbox=own_sandbox, namespace=namespace, folder=tmp_path / namespace)
        place.folder.mkdir()
        made.append(place)
        for name in (namespace, f"{namespace}-staging"):
            place.kubectl("create", "namespace", name)
        if install:
            subprocess.run(place.upgrade_argv(place.old), check=True, capture_output=True, timeout=60)
            eventually(lambda: place.pods() == {place.old: 20}, "the old version is ready")
        return place

    yield make
    own_sandbox.play([])
    for place in made:
        place.kubectl("delete", "namespace", place.namespace, f"{place.namespace}-staging", "--wait=false")


@pytest.fixture
def deploys() -> Iterator[Deploys]:
    """Start deploys that do not outlive the test."""
    made = Deploys()
    yield made
    for running in made.started:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()


_NUMBERS = count(1)
