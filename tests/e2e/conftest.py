"""A sandbox of these tests' own, and places in it where a service is installed and can be deployed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.e2e.oracle")

from tests.e2e.oracle import CHART, Place, Running, Sandbox, eventually

PROFILE = """\
service: checkout-api
image: registry.sandbox.invalid/checkout-api{digest}
strategy: canary
canary_steps: [5, 25, 50, 100]
chart_path: {chart}
owner: checkout-team
slo: {{error_rate_max: 0.005, p95_latency_ms: 300, window_minutes: 1}}
environments:
  prod: {{context: sandbox-prod, namespace: {namespace}, values_file: {chart}/values-prod.yaml}}
metrics:
  prometheus: {{url: {prometheus}, version_label: pod_template_hash, scrape_interval_s: 1, timeout_s: 2}}
values:
  annotations: {{sandbox.pytest-deploy.dev/rps: "2000"}}
tools: {{helm: {helm}}}
timeouts: {{helm_minutes: 1, step_minutes: 1, rollback_minutes: 1}}
"""
FEATURE = """\
@deploy @canary
Feature: checkout-api reaches production by canary

  Background:
    Given the release "checkout-api" of deploy.yaml, bound for "prod"

  Scenario: Pre-flight
    Given the stack is one that this deploy supports
    And the cluster is the one expected for "prod"
    And the Helm release is neither pending nor failed
    And the deploy account may do, and undo, everything this deploy does

  Scenario Outline: Canary at <weight>
    When <weight> of the traffic goes to the canary
    Then for <window> the error rate stays at or below 0.5%
    And for <window> the p95 latency stays at or below 300 ms

    Examples:
      | weight | window |
      | 5%     | {w5} s |
      | 25%    | {w25} s |
      | 50%    | {w50} s |
      | 100%   | {w100} s |

  Scenario: Afterwards
    Then the new revision is on top of the rollout history
    And the SLO of "checkout-api" holds for {after} s
"""

Places = Callable[..., Place]


class Deploys:
    """Starts pytest in places; whatever still runs at the end of a test is ended."""

    def __init__(self) -> None:
        self.started: list[Running] = []

    def start(
        self,
        place: Place,
        *options: str,
        windows: Mapping[str, int] | None = None,
        chart: Path = CHART,
        helm: str = "helm3",
        digest: str = "",
        real: bool = False,
        env: Mapping[str, str] | None = None,
    ) -> Running:
        """Start a deploy of the place's own feature.

        Args:
            windows: seconds, by ``w5`` to ``w100`` and ``after``; short ones where nothing is said.
            helm: of the toolchain, or a path.
            digest: ``@sha256:...`` of the new version; empty: made up, on the sandbox only.
            real: without ``--sandbox``.
        """
        profile = PROFILE.format(
            chart=chart,
            namespace=place.namespace,
            helm=place.sandbox.binaries.get(helm, helm),
            prometheus=place.sandbox.facts["prometheus_url"],
            digest=digest,
        )
        (place.folder / ("deploy.yaml" if real else "deploy.sandbox.yaml")).write_text(profile, "utf-8")
        spans = {"w5": 4, "w25": 4, "w50": 4, "w100": 4, "after": 4, **(windows or {})}
        (place.folder / "prod.feature").write_text(FEATURE.format(**spans), "utf-8")
        return self.run(place, "prod.feature", *(() if real else ("--sandbox",)), *options, env=env)

    def run(
        self, place: Place, *arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> Running:
        """Start pytest; cwd None: in the place's folder."""
        argv = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments)
        variables = {"PYTEST_DEPLOY_CACHE": str(place.sandbox.cache), **(env or {})}
        begun = Running(argv, place.folder / f"run-{len(self.started)}", cwd or place.folder, variables)
        self.started.append(begun)
        return begun


@pytest.fixture(scope="session")
def own_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Bring a sandbox named default up in a cache of its own, which shares only the toolchain with the real one."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pytest-deploy"
    toolchain = Path(os.environ.get("PYTEST_DEPLOY_CACHE") or base).absolute() / "toolchain"
    cache = tmp_path_factory.mktemp("cache")
    (cache / "toolchain").symlink_to(toolchain)
    cli = (str(Path(sys.executable).with_name("pytest-deploy")), "sandbox")
    env = {"PATH": os.environ["PATH"], "HOME": str(cache), "PYTEST_DEPLOY_CACHE": str(cache)}
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
            subprocess.run(
                place.upgrade_argv(place.old, "--set-string", r"annotations.sandbox\.pytest-deploy\.dev/rps=2000"),
                check=True,
                capture_output=True,
                timeout=60,
            )
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
