"""Staging on real pods: what can't run ends the step in seconds, with the reason; what runs is known by its imageID."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.oracle import CHART, CLOCK, SERVICE, eventually
from tests.e2e.real_node import REPOSITORY, RealNode, real_node, requires_node

pytestmark = [pytest.mark.real, pytest.mark.long, pytest.mark.enable_socket, requires_node]

CONFIG = """\
service: checkout-api
image: {image}
strategy: canary
canary_steps: [50, 100]
chart_path: {chart}
owner: checkout-team
slo: {{error_rate_max: 0.005, p95_latency_ms: 300, window_minutes: 1}}
environments:
  staging: {{context: sandbox-staging, namespace: {namespace}{base_url}}}
  prod: {{context: sandbox-prod, namespace: {namespace}-prod}}
metrics:
  prometheus: {{url: {prometheus}}}
tools: {{helm: {helm}}}
values: {values}
smoke: {{http: [{{path: /, json: {{version: "{{digest}}"}}, headers: {{X-Version: "{{digest}}"}}}}], within_s: 20}}
timeouts: {{helm_minutes: 1, step_minutes: 1, rollback_minutes: 1}}
"""
FEATURE = """\
@deploy
Feature: checkout-api is tried in staging

  Background:
    Given the release "checkout-api" of deploy.yaml, bound for "prod"

  Scenario: Staging
    When the release is installed on "staging"
    Then every pod runs the pinned digest within {within} seconds
"""
SMOKE = "    And the smoke test passes\n"
_NUMBERS = count(1)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNode]:
    """A real node of this module's own."""
    with real_node(tmp_path_factory.mktemp("cache")) as up:
        yield up


@pytest.fixture(scope="module")
def digests(node: RealNode, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Two images of the example service that the node has."""
    folder = tmp_path_factory.mktemp("images")
    return node.image(folder, "old"), node.image(folder, "new")


@dataclass(frozen=True, kw_only=True)
class Staging:
    """A namespace with the old version installed, and a folder with what deploys another one."""

    node: RealNode
    namespace: str
    folder: Path
    old: str

    def deploy(
        self, digest: str, *, within: int = 40, base_url: str = "", **values: Any
    ) -> subprocess.CompletedProcess[str]:
        """Deploy as a CI job does, and return how it ended."""
        text = CONFIG.format(
            image=f"{REPOSITORY}@{digest}",
            chart=CHART,
            namespace=self.namespace,
            base_url=f", base_url: {base_url}" if base_url else "",
            prometheus=self.node.facts["prometheus_url"],
            helm=self.node.binaries["helm3"],
            values=json.dumps(settings(digest) | values),
        )
        (self.folder / "deploy.yaml").write_text(text, "utf-8")
        feature = FEATURE.format(within=within) + (SMOKE if base_url else "")
        (self.folder / "staging.feature").write_text(feature, "utf-8")
        env = {**self.node.env, "CI": "true", "KUBECONFIG": str(self.node.facts["kubeconfig"])}
        argv = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "staging.feature")
        return subprocess.run(argv, cwd=self.folder, env=env, capture_output=True, text=True, timeout=240, check=False)

    def get(self, what: str, *more: str) -> Any:
        """Return what kubectl reads."""
        return json.loads(self.node.kubectl("get", what, *more, "-n", self.namespace, "-o", "json"))

    def serves(self, digest: str) -> bool:
        """Whether real containers of this digest, and of nothing else, are ready."""
        status = self.get("rollout", SERVICE).get("status", {})
        pods = self.get("pods", "-l", "rollouts-pod-template-hash")["items"]
        ran = [each for pod in pods for each in pod["status"].get("containerStatuses", ())]
        return (
            status.get("phase") == "Healthy"
            and len(ran) == 2
            and all(each["ready"] and each["imageID"].endswith(digest) for each in ran)
        )

    def soon_serves(self, digest: str) -> None:
        """Fail unless it serves this digest alone, once the pods that are on their way out have gone."""
        eventually(lambda: self.serves(digest), f"only {digest} is left", within_s=10)


@pytest.fixture
def stagings(node: RealNode, digests: tuple[str, str], tmp_path: Path) -> Callable[[], Staging]:
    """Make one in a namespace of its own."""

    def make() -> Staging:
        namespace = f"staging-{next(_NUMBERS)}"
        made = Staging(node=node, namespace=namespace, folder=tmp_path, old=digests[0])
        for name in (namespace, f"{namespace}-prod"):  # the lock stands in production
            node.kubectl("create", "namespace", name)
        file = tmp_path / "installed.json"
        file.write_text(json.dumps(settings(digests[0], installed=True)), "utf-8")
        where = ("--kubeconfig", node.facts["kubeconfig"], "--namespace", namespace)
        argv = (node.binaries["helm3"], "install", SERVICE, str(CHART), *where, "--values", str(file))
        subprocess.run(argv, check=True, capture_output=True, timeout=60)
        eventually(lambda: made.serves(digests[0]), "the old version serves", within_s=60)
        return made

    return make


def settings(digest: str, *, installed: bool = False) -> dict[str, Any]:
    """Return the chart's values: two small pods, which answer with their digest as version."""
    image = {"image": {"repository": REPOSITORY, "digest": digest}} if installed else {}
    return {
        **image,
        "replicaCount": 2,
        "canary": {"steps": [50, 100]},
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
        "env": {"VERSION": digest},
    }


def test_a_good_version_is_known_by_its_image_id_and_answers(
    stagings: Callable[[], Staging], digests: tuple[str, str]
) -> None:
    """Exit 0: the kubelet's own imageIDs are the digest, and the smoke test is answered by that version."""
    staging = stagings()
    address = staging.get("service", f"{SERVICE}-stable")["spec"]["clusterIP"]
    done = staging.deploy(digests[1], base_url=f"http://{address}")
    assert done.returncode == 0, done.stdout
    assert f"2 pods ready with {REPOSITORY}@{digests[1]} (imageIDs agree)" in done.stdout
    assert "GET /: 200 after" in done.stdout
    assert "version, X-Version as expected" in done.stdout
    staging.soon_serves(digests[1])


MISSING = "sha256:" + "0" * 64
NOT_READY = "Readiness probe failed: HTTP probe failed with statuscode: 503 (it asks for /healthz on port http)"


@pytest.mark.parametrize(
    ("digest", "values", "said"),
    [
        (None, {"env": {"CRASH_AFTER_S": "0.2"}}, ("CrashLoopBackOff", "pod: ended by CRASH_AFTER_S=0.2")),
        (MISSING, {}, ("ImagePull", "registry.sandbox.invalid")),
        (
            None,
            {"resources": {"requests": {"memory": "64Ti"}, "limits": {"memory": "64Ti"}}},
            ("Unschedulable for", "Insufficient memory"),
        ),
        (
            None,
            {"resources": {"requests": {"memory": "1Gi"}}},
            ("Degraded", "must be less than or equal to memory limit"),
        ),
        (None, {"env": {"READY_AFTER_S": "never"}}, ("not within 40 s", NOT_READY)),
    ],
    ids=["crash loop", "image that is nowhere", "too big for the node", "invalid", "never ready"],
)
def test_what_can_not_run_ends_it_with_the_reason(
    stagings: Callable[[], Staging],
    digests: tuple[str, str],
    digest: str | None,
    values: Mapping[str, Any],
    said: tuple[str, ...],
) -> None:
    """Exit 1 within the step's time: Kubernetes' own words on the console, and staging runs the old version again."""
    staging = stagings()
    began = CLOCK.monotonic()
    done = staging.deploy(digest or digests[1], **values)
    took_s = CLOCK.monotonic() - began
    assert done.returncode == 1, done.stdout
    for words in said:
        assert words in done.stdout, done.stdout
    assert "ROLLED BACK, verified" in done.stdout.splitlines()[-1]
    assert took_s < 75
    staging.soon_serves(staging.old)
    assert staging.get("rollout", SERVICE)["spec"]["template"]["spec"]["containers"][0]["image"].endswith(staging.old)


def test_a_quota_ends_it_with_the_servers_words(stagings: Callable[[], Staging], digests: tuple[str, str]) -> None:
    """No pod may be created beside the old ones: said at once, and staging stays on the old version."""
    staging = stagings()
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "few", "namespace": staging.namespace},
        "spec": {"hard": {"pods": "2"}},
    }
    staging.node.kubectl("apply", "-f", "-", stdin=json.dumps(quota))
    done = staging.deploy(digests[1])
    assert done.returncode == 1, done.stdout
    assert "exceeded quota: few" in done.stdout
    staging.soon_serves(staging.old)
