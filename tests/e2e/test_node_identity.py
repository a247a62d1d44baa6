"""One image from Dockerfile to pod: what buildx reported and cosign verified is what the node pulled and runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from shutil import copy
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.e2e.oracle import CHART, SERVICE, eventually
from tests.e2e.real_node import RealNode, real_node, requires_node
from tests.e2e.supply_chain.conftest import Bench, Keys
from tests.e2e.supply_chain.rig import Rig, registry_front, standing
from tests.e2e.test_node import run, show, state, waits

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
  staging: {{context: sandbox-staging, namespace: staging}}
metrics:
  prometheus: {{url: {prometheus}}}
tools: {{helm: {helm}, cosign: {cosign}}}
build: {{buildx: [{buildx}], sbom_generator: "{scanner}"}}
sign: {{key: "${{env:COSIGN_KEY}}", public_key: cosign.pub, transparency_log: false}}
values: {values}
timeouts: {{helm_minutes: 1, step_minutes: 1, rollback_minutes: 1}}
"""
FEATURE = """\
@deploy
Feature: checkout-api is built, and tried in staging

  Background:
    Given the release "checkout-api" of deploy.yaml, bound for "staging"

  Scenario: Build
    When the image is built, pushed and signed
    Then it is pinned by digest
    And its signature, provenance and SBOM are verified

  Scenario: Staging
    When the release is installed on "staging"
    Then every pod runs the pinned digest within 1 minute
"""
DOCKERFILE = 'FROM scratch\nCOPY pod /pod\nENV BUILD="{build}"\nUSER 65535:65535\nENTRYPOINT ["/pod"]\n'
BUILDX = """\
#!/bin/sh
# The real buildx; a copy of what it reports is kept for the test.
{buildx} "$@" || exit
while [ $# -gt 0 ]; do [ "$1" = --metadata-file ] && cp "$2" {reported}; shift; done
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNode]:
    """A real node of this module's own."""
    with real_node(tmp_path_factory.mktemp("cache")) as up:
        yield up


@pytest.fixture(scope="module")
def bench(node: RealNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Registry, BuildKit and keys; the node's containerd reaches the registry by this machine's address."""
    machine = str(urlsplit(node.facts["server"]).hostname)
    with standing(tmp_path_factory.mktemp("supply")) as rig, registry_front(rig, machine) as address:
        told = Path(node.facts["folder"], "node", "registries", rig.registry)
        told.mkdir()
        # https://github.com/containerd/containerd/blob/main/docs/hosts.md: read at each pull. The name of the image is
        # the same for buildx, cosign and the pod; only the way to it is another.
        hosts = f'server = "http://{address}"\n[host."http://{address}"]\ncapabilities = ["pull", "resolve"]\n'
        (told / "hosts.toml").write_text(hosts)
        private, public = rig.keys("ours")
        yield Bench(rig=rig, repository=f"{rig.registry}/checkout-api", ours=Keys(private=private, public=public))


def test_what_cosign_verified_is_what_the_kubelet_runs(node: RealNode, bench: Bench, tmp_path: Path) -> None:
    """What buildx reports, what cosign claims, the registry and each pod's imageID: four witnesses, one digest."""
    old = bench.plain(folder=source(bench.rig, node, "old"))
    install(node, old, tmp_path)
    folder = source(bench.rig, node, "new")
    reported, wrapper = tmp_path / "reported.json", tmp_path / "buildx"
    wrapper.write_text(BUILDX.format(buildx=bench.rig.programs["buildx"], reported=reported))
    wrapper.chmod(0o755)
    write_deploy(folder, node, bench, wrapper)
    commit(bench.rig, folder)

    done = deploy(node, bench, folder)

    assert done.returncode == 0, done.stdout
    digest = json.loads(reported.read_text())["containerimage.digest"]
    pinned = f"{bench.repository}@{digest}"
    assert f"2 pods ready with {pinned} (imageIDs agree)" in done.stdout
    verify = ("cosign", "verify", "--key", str(bench.ours.public), "--insecure-ignore-tlog", pinned)
    (claim,) = json.loads(bench.rig.run(*verify).stdout)
    assert claim["critical"]["image"]["docker-manifest-digest"] == digest
    tag = f"sha-{bench.rig.commit(folder)[:7]}"
    assert bench.rig.ask("HEAD", f"checkout-api/manifests/{tag}")[1]["docker-content-digest"] == digest
    ran = [each for pod in pods(node) for each in pod["status"]["containerStatuses"]]
    assert [each["imageID"] for each in ran] == [pinned, pinned]
    assert all(each["ready"] for each in ran)
    events = json.loads(node.kubectl("get", "events", "-n", "staging", "-o", "json"))["items"]
    assert any(
        each["reason"] == "Pulled" and each["message"].startswith(f'Successfully pulled image "{pinned}"')
        for each in events
    )


def test_other_bytes_under_that_digest_never_run(node: RealNode, bench: Bench) -> None:
    """Layer changed in the registry after it was signed: cosign still says yes, and the node runs none of it."""
    pinned = bench.plain("--provenance=false", folder=source(bench.rig, node, "tampered"))
    bench.signer().sign(pinned)
    digest = pinned.partition("@")[2]
    # The last one: the node may have the others already, from images that share them.
    layer = bench.rig.manifest("checkout-api", digest)["layers"][-1]["digest"].partition(":")[2]
    blob = bench.rig.folder / "registry/docker/registry/v2/blobs/sha256" / layer[:2] / layer / "data"
    bytes_of = bytearray(blob.read_bytes())
    bytes_of[len(bytes_of) // 2] ^= 1
    blob.write_bytes(bytes_of)
    verify = ("cosign", "verify", "--key", str(bench.ours.public), "--insecure-ignore-tlog", pinned)
    assert digest in bench.rig.run(*verify).stdout  # a signature covers the manifest; its layers, by their digests only

    run(node, "tampered", digest, repository=bench.repository)

    eventually(lambda: waits(node, "tampered") in {"ErrImagePull", "ImagePullBackOff"}, "it is not pulled", within_s=40)
    why = node.kubectl("get", "events", "-n", "prod", "--field-selector", "involvedObject.name=tampered")
    assert layer in why, why
    assert "Pulled" not in why
    assert "running" not in state(node, "tampered")
    assert show(node, "tampered")["status"]["containerStatuses"][0]["imageID"] == ""


def source(rig: Rig, node: RealNode, name: str) -> Path:
    """Return a git checkout of the example service; each name is another image."""
    folder = rig.source(name)
    copy(node.binaries["pod"], folder / "pod")
    # Its own layer for each, or one that was pulled before would be taken.
    (folder / "Dockerfile").write_text(DOCKERFILE.format(build=name) + f"COPY var/lib/dpkg/status /{name}\n")
    commit(rig, folder)
    return folder


def commit(rig: Rig, folder: Path) -> None:
    """Commit all that is there."""
    for words in (("add", "."), ("-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-qm", "more")):
        rig.run("git", *words, cwd=folder)


def settings() -> dict[str, Any]:
    """Return the chart's values: two small pods."""
    return {
        "replicaCount": 2,
        "canary": {"steps": [50, 100]},
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
    }


def install(node: RealNode, pinned: str, folder: Path) -> None:
    """Install the old version, and wait until its pods are ready."""
    repository, _, digest = pinned.partition("@")
    file = folder / "installed.json"
    file.write_text(json.dumps({"image": {"repository": repository, "digest": digest}, **settings()}))
    where = ("--kubeconfig", node.facts["kubeconfig"], "--namespace", "staging", "--values", str(file))
    argv = (node.binaries["helm3"], "install", SERVICE, str(CHART), *where)
    subprocess.run(argv, check=True, capture_output=True, timeout=60)

    def ready() -> bool:
        seen = [each for pod in pods(node) for each in pod["status"].get("containerStatuses", ())]
        rollout = json.loads(node.kubectl("get", "rollout", SERVICE, "-n", "staging", "-o", "json"))
        healthy = rollout.get("status", {}).get("phase") == "Healthy"
        return healthy and len(seen) == 2 and all(each["imageID"] == pinned for each in seen)

    eventually(ready, "the old version, pulled from the registry, is ready", within_s=60)


def write_deploy(folder: Path, node: RealNode, bench: Bench, buildx: Path) -> None:
    """Write deploy.yaml and the feature into the checkout."""
    text = CONFIG.format(
        image=bench.repository,
        chart=CHART,
        prometheus=node.facts["prometheus_url"],
        helm=node.binaries["helm3"],
        cosign=bench.rig.programs["cosign"],
        buildx=buildx,
        scanner=bench.rig.scanner,
        values=json.dumps(settings()),
    )
    (folder / "deploy.yaml").write_text(text)
    (folder / "staging.feature").write_text(FEATURE)
    (folder / "cosign.pub").write_bytes(bench.ours.public.read_bytes())
    (folder / ".gitignore").write_text("reports\n__pycache__\n")


def deploy(node: RealNode, bench: Bench, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the feature as a CI job does, and return how it ended."""
    env = {
        **node.env,
        **bench.rig.env,
        "CI": "true",
        "KUBECONFIG": str(node.facts["kubeconfig"]),
        "COSIGN_KEY": bench.ours.private.read_text(),
        "COSIGN_PASSWORD": "",
    }
    argv = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "staging.feature")
    return subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, timeout=240, check=False)


def pods(node: RealNode) -> list[Any]:
    """Return the service's pods in staging."""
    seen = node.kubectl("get", "pods", "-n", "staging", "-l", "rollouts-pod-template-hash", "-o", "json")
    items: list[Any] = json.loads(seen)["items"]
    return [pod for pod in items if "deletionTimestamp" not in pod["metadata"]]
