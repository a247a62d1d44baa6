"""A sandbox with a real node, images for its pods, and services on it that can be deployed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from pytest_deploy.sandbox.oci import Image, write_image
from tests.e2e.oracle import CHART, ROOT, SERVICE, eventually

CLI = str(Path(sys.executable).with_name("pytest-deploy"))
REPOSITORY = "registry.sandbox.invalid/checkout-api"
NEEDED = ("containerd", "ctr", "runc", "iptables", "nsenter", "unshare", "ip", "openssl")

PROFILE = """\
service: checkout-api
image: {image}
strategy: canary
canary_steps: [50, 100]
chart_path: {chart}
owner: checkout-team
slo: {{error_rate_max: 0.005, p95_latency_ms: 300, window_minutes: 1}}
environments:
  prod: {{context: sandbox-prod, namespace: {namespace}, values_file: values-prod.yaml}}
metrics:
  prometheus: {{url: "http://replaced.invalid", version_label: pod_template_hash, scrape_interval_s: 1, timeout_s: 2}}
values:
  replicaCount: 2
  canary: {{steps: [50, 100]}}
  resources: {{requests: {{cpu: 10m, memory: 16Mi}}, limits: {{memory: 64Mi}}}}
  annotations: {{sandbox.pytest-deploy.dev/rps: "2000"}}
lock: {{lease_s: {lease_s}, renew_s: {renew_s}}}
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

    Examples:
      | weight | window |
      | 50%    | {window} s |
      | 100%   | 4 s |

  Scenario: Afterwards
    Then the new revision is on top of the rollout history
"""


def why_not() -> str:
    """Return what a real node needs that this machine lacks; "" where it has all."""
    if os.geteuid() != 0:
        return "a real node needs root: run as root on Debian, as CI does"
    missing = [program for program in NEEDED if shutil.which(program) is None]
    if missing or not Path("/usr/lib/cni").is_dir():
        packages = "containerd runc containernetworking-plugins iptables iproute2 openssl"
        return f"{', '.join(missing) or 'CNI plug-ins'} missing: apt-get install --no-install-recommends {packages}"
    record = _toolchain() / "current.json"
    built = json.loads(record.read_text("utf-8"))["binaries"] if record.exists() else {}
    parts = [name for name in ("kubelet", "kube-proxy", "pod") if not Path(built.get(name, "/nowhere")).exists()]
    return f"{', '.join(parts)} not built: python toolchain/build.py node" if parts else ""


def _toolchain() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pytest-deploy"
    return Path(os.environ.get("PYTEST_DEPLOY_CACHE") or base).absolute() / "toolchain"


@dataclass(frozen=True, kw_only=True)
class RealNode:
    """A sandbox that is up, with the back end node."""

    cache: Path
    facts: Mapping[str, Any]

    @cached_property
    def binaries(self) -> Mapping[str, str]:
        """The toolchain's programs, by name."""
        found: Mapping[str, str] = json.loads((self.cache / "toolchain/current.json").read_text("utf-8"))["binaries"]
        return found

    @property
    def env(self) -> dict[str, str]:
        """What each command of ours is given."""
        more = {"PYTHONPATH": os.environ["PYTHONPATH"]} if "PYTHONPATH" in os.environ else {}
        return {"PATH": os.environ["PATH"], "HOME": str(self.cache), "PYTEST_DEPLOY_CACHE": str(self.cache), **more}

    def cli(self, *arguments: str) -> str:
        """Run pytest-deploy to its end, which must be good, and return what it prints."""
        done = subprocess.run((CLI, *arguments), env=self.env, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl, which must succeed, and return what it prints."""
        argv = (self.binaries["kubectl"], "--kubeconfig", self.facts["kubeconfig"], *arguments)
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def image(self, folder: Path, tag: str) -> str:
        """Make an image of the example service, give it to the node, and return its digest."""
        archive = folder / f"{tag}.tar"
        image = Image(name=f"{REPOSITORY}:{tag}", entrypoint=("/pod",), user="65535:65535", labels={"tag": tag})
        digest = write_image(archive, image, {"/pod": Path(self.binaries["pod"])})
        self.cli("sandbox", "load", str(archive))
        return digest

    def play(self, faults: Sequence[Mapping[str, object]]) -> None:
        """Let the traffic source make requests go wrong, from now on."""
        connection = HTTPConnection(urlsplit(self.facts["control_url"]).netloc, timeout=10)
        connection.request("PUT", "/faults", body=json.dumps(list(faults)))
        assert connection.getresponse().status == 200
        connection.close()


@contextmanager
def real_node(cache: Path) -> Iterator[RealNode]:
    """Bring one up in a cache of its own, and take it down."""
    (cache / "toolchain").symlink_to(_toolchain())
    node = RealNode(cache=cache, facts={})
    try:
        yield RealNode(cache=cache, facts=json.loads(node.cli("sandbox", "up", "--backend", "node", "--json")))
    finally:
        node.cli("sandbox", "down")


@dataclass(frozen=True, kw_only=True)
class Service:
    """A namespace with the old version of the example service, at rest, and a folder with what deploys the new one."""

    node: RealNode
    namespace: str
    folder: Path
    old: str
    new: str

    def install(self) -> None:
        """Install the old version and wait until it is ready."""
        self.node.kubectl("create", "namespace", self.namespace)
        values = {
            "image": {"repository": REPOSITORY, "digest": self.old},
            "replicaCount": 2,
            "canary": {"steps": [50, 100]},
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
            "annotations": {"sandbox.pytest-deploy.dev/rps": "2000"},
        }
        file = self.folder / "installed.json"
        file.write_text(json.dumps(values), "utf-8")
        where = ("--kubeconfig", self.node.facts["kubeconfig"], "--namespace", self.namespace)
        argv = (self.node.binaries["helm3"], "install", SERVICE, str(CHART), *where, "--values", str(file))
        subprocess.run(argv, check=True, capture_output=True, timeout=60)
        eventually(lambda: self.serves(self.old), "the old version serves", within_s=60)

    def write(self, *, window: int, lease_s: int) -> None:
        """Write the feature and its deploy.yaml.

        Args:
            window: seconds of the first gate.
            lease_s: how long a deploy that is gone keeps the lock; one whose API server is away, too.
        """
        image = f"{REPOSITORY}@{self.new}"
        lock = {"lease_s": lease_s, "renew_s": lease_s // 5}
        profile = PROFILE.format(image=image, chart=CHART, namespace=self.namespace, **lock)
        (self.folder / "deploy.sandbox.yaml").write_text(profile, "utf-8")
        (self.folder / "prod.feature").write_text(FEATURE.format(window=window), "utf-8")

    def serves(self, digest: str) -> bool:
        """Whether the rollout is at rest on this digest, and real containers of it and of nothing else answer."""
        rollout = json.loads(self.node.kubectl("get", "rollout", SERVICE, "-n", self.namespace, "-o", "json"))
        status, template = rollout.get("status", {}), rollout["spec"]["template"]
        pods = json.loads(
            self.node.kubectl("get", "pods", "-n", self.namespace, "-l", "rollouts-pod-template-hash", "-o", "json")
        )["items"]
        ran = [each for pod in pods for each in pod["status"].get("containerStatuses", ())]
        return (
            status.get("phase") == "Healthy"
            and status.get("stableRS") == status.get("currentPodHash")
            and template["spec"]["containers"][0]["image"].endswith(digest)
            and len(ran) == 2
            and all(each["ready"] and each["imageID"].endswith(digest) for each in ran)
        )


class Client:
    """``pytest-deploy run --in-cluster`` beside the test."""

    def __init__(self, service: Service, *arguments: str) -> None:
        self._log = service.folder / f"client-{len(list(service.folder.glob('client-*')))}.txt"
        self.reports = self._log.with_suffix(".reports")
        argv = (CLI, "run", "--in-cluster", "--sandbox", "--reports", str(self.reports), *arguments)
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                argv, cwd=service.folder, env=service.node.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    @property
    def out(self) -> str:
        """What it has printed so far."""
        return self._log.read_text("utf-8", "replace")

    def until(self, words: str, *, within_s: float = 60) -> None:
        """Wait until it has printed these words; fail when it ends before."""

        def printed() -> bool:
            found = words in self.out
            assert found or self.process.poll() is None, f"the client ended before it said {words!r}:\n{self.out}"
            return found

        eventually(printed, f"the client says {words!r}", within_s=within_s)

    def end(self, *, within_s: float = 120) -> int:
        """Wait for its end and return its exit status."""
        return self.process.wait(within_s)

    @property
    def id(self) -> str:
        """The Job's id, as it was printed."""
        return next(line.split()[2] for line in self.out.splitlines() if line.startswith("pytest-deploy: deploy "))

    @property
    def note(self) -> str:
        """The note of the one report that was fetched."""
        (found,) = self.reports.glob("*/deploy-note.md")
        return found.read_text("utf-8")


def build_own_image(archive: Path) -> None:
    """Build the image of pytest-deploy as it stands here."""
    argv = (sys.executable, str(ROOT / "toolchain" / "image.py"), "--output", str(archive))
    done = subprocess.run(argv, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr


requires_node = pytest.mark.skipif(bool(why_not()), reason=why_not())
