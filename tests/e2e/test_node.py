"""The sandbox's real node: what its pods prove that fake ones can't, and that it leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.oracle import eventually
from tests.e2e.real_node import REPOSITORY, RealNode, real_node, requires_node

pytestmark = [pytest.mark.real, pytest.mark.long, pytest.mark.enable_socket, requires_node]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNode]:
    """A real node; what this machine shows of it is the same afterwards as before."""
    before = traces()
    with real_node(tmp_path_factory.mktemp("cache")) as up:
        yield up
    assert traces() == before


@pytest.fixture(scope="module")
def digest(node: RealNode, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image of the example service that the node has."""
    return node.image(tmp_path_factory.mktemp("images"), "app")


def test_a_container_answers_and_is_known_by_its_digest(node: RealNode, digest: str) -> None:
    """A good image: Ready, its imageID is the digest, a Service leads to it, and its log is the program's own."""
    run(node, "good", digest, VERSION="v1")
    pod = eventually(lambda: state(node, "good").get("running") and show(node, "good"), "it runs", within_s=30)
    assert pod["status"]["containerStatuses"][0]["imageID"] == f"{REPOSITORY}@{digest}"
    node.kubectl("expose", "pod", "good", "--port=80", "--target-port=8080", "-n", "prod")
    address = node.kubectl("get", "service", "good", "-n", "prod", "-o", "jsonpath={.spec.clusterIP}")

    def answer() -> str:
        argv = ("curl", "--silent", "--max-time", "2", f"http://{address}/")
        return subprocess.run(argv, capture_output=True, text=True, check=False).stdout

    assert json.loads(eventually(answer, "its Service answers", within_s=20))["version"] == "v1"
    assert 'serving version "v1"' in node.kubectl("logs", "good", "-n", "prod")


def test_a_crash_loop_has_its_last_words(node: RealNode, digest: str) -> None:
    """A container that crashes: CrashLoopBackOff, its exit status and the last line of its log."""
    run(node, "crash", digest, CRASH_AFTER_S="0.2")
    eventually(lambda: waits(node, "crash") == "CrashLoopBackOff", "it crashes again and again", within_s=40)
    last = show(node, "crash")["status"]["containerStatuses"][0]["lastState"]["terminated"]
    assert last["exitCode"] == 1
    assert "ended by CRASH_AFTER_S=0.2" in node.kubectl("logs", "crash", "-n", "prod", "--previous")


def test_an_image_that_is_nowhere_is_told_at_once(node: RealNode) -> None:
    """An image in no registry: ErrImagePull within seconds, then ImagePullBackOff."""
    run(node, "nowhere", "sha256:" + "0" * 64)
    eventually(lambda: waits(node, "nowhere") == "ErrImagePull", "the pull fails", within_s=15)
    eventually(lambda: waits(node, "nowhere") == "ImagePullBackOff", "it backs off", within_s=40)


def test_a_pod_that_is_never_ready_and_one_that_is_too_big(node: RealNode, digest: str) -> None:
    """A readiness that fails keeps a running container unready; what the node has no room for stays Pending."""
    run(node, "unready", digest, READY_AFTER_S="never")
    run(node, "big", digest, memory="10Ti")
    eventually(lambda: state(node, "unready").get("running"), "it runs", within_s=30)
    eventually(
        lambda: "Readiness probe failed" in node.kubectl("get", "events", "-n", "prod"), "its probe fails", within_s=20
    )
    assert not show(node, "unready")["status"]["containerStatuses"][0]["ready"]
    eventually(
        lambda: any(c.get("reason") == "Unschedulable" for c in show(node, "big")["status"].get("conditions", ())),
        "it finds no node",
    )


def test_up_heals_what_died(node: RealNode, digest: str) -> None:
    """Its kubelet killed, then all of its namespaces: `up` starts what is gone, and pods run again."""
    for component in ("kubelet", "space"):
        facts = json.loads(node.cli("sandbox", "status", "--json"))
        os.killpg(facts["daemons"][component]["pid"], signal.SIGKILL)
        node.cli("sandbox", "up")
        name = f"after-{component}"
        run(node, name, digest)
        eventually(lambda name=name: state(node, name).get("running"), "a new pod runs", within_s=60)  # type: ignore[misc]


def traces() -> dict[str, Any]:
    """Return what a node could leave on a machine."""
    links = json.loads(_output("ip", "-json", "link"))
    return {
        "links": [link["ifname"] for link in links],
        "routes": _output("ip", "route"),
        "rules": [line for line in _output("iptables-save").splitlines() if not line.startswith("#")],
        "mounts": Path("/proc/self/mountinfo").read_text("utf-8"),
        "groups": [str(path) for path in Path("/sys/fs/cgroup").glob("**/pytest-deploy-*")],
        "sysctl": [
            Path("/proc/sys", name).read_text("utf-8")
            for name in ("net/ipv4/ip_forward", "vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops")
        ],
    }


def _output(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def run(
    node: RealNode, name: str, digest: str, *, memory: str = "16Mi", repository: str = REPOSITORY, **env: str
) -> None:
    """Start a pod of the example service."""
    container = {
        "name": "app",
        "image": f"{repository}@{digest}",
        "env": [{"name": key, "value": value} for key, value in env.items()],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1},
        "resources": {"requests": {"memory": memory}},
    }
    metadata = {"name": name, "namespace": "prod", "labels": {"app": name}}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 1}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    node.kubectl("apply", "-f", "-", stdin=json.dumps(pod))


def show(node: RealNode, name: str) -> Any:
    """Return the pod as the API has it."""
    return json.loads(node.kubectl("get", "pod", name, "-n", "prod", "-o", "json"))


def state(node: RealNode, name: str) -> Any:
    """Return its container's state."""
    statuses = show(node, name)["status"].get("containerStatuses")
    return statuses[0]["state"] if statuses else {}


def waits(node: RealNode, name: str) -> str:
    """Return the reason why its container waits."""
    return str(state(node, name).get("waiting", {}).get("reason", ""))
