"""A deploy as a Kubernetes Job, on a real node: what the cluster and a client that comes and goes see of it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from tests.e2e.oracle import SERVICE, eventually
from tests.e2e.real_node import Client, RealNode, Service, build_own_image, real_node, requires_node

pytestmark = [pytest.mark.real, pytest.mark.long, pytest.mark.enable_socket, requires_node]

Services = Callable[..., Service]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNode]:
    """A real node that has the image of pytest-deploy."""
    with real_node(tmp_path_factory.mktemp("cache")) as up:
        archive = up.cache / "pytest-deploy.oci.tar"
        build_own_image(archive)
        up.cli("sandbox", "load", str(archive))
        archive.unlink()
        yield up


@pytest.fixture(scope="module")
def digests(node: RealNode, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The old and the new version of the example service, on the node."""
    folder = tmp_path_factory.mktemp("images")
    return node.image(folder, "old"), node.image(folder, "new")


@pytest.fixture
def services(node: RealNode, digests: tuple[str, str], tmp_path: Path) -> Iterator[Services]:
    """Give services at rest, each in a namespace of its own."""
    made: list[Service] = []

    def make(*, window: int = 4, lease_s: int = 60) -> Service:
        namespace = f"in-cluster-{next(_NUMBERS)}"
        folder = tmp_path / namespace
        folder.mkdir()
        service = Service(node=node, namespace=namespace, folder=folder, old=digests[0], new=digests[1])
        made.append(service)
        service.install()
        service.write(window=window, lease_s=lease_s)
        return service

    yield make
    node.play([])
    for service in made:
        node.kubectl("delete", "namespace", service.namespace, "--wait=false")


def test_a_job_deploys_and_its_report_comes_back(services: Services) -> None:
    """Exit status, log and report are the deploy's; containers of its digest serve; its account can do no more."""
    service = services()
    client = Client(service, "prod.feature")
    assert client.end() == 0, client.out
    assert service.serves(service.new)
    assert "COMMITTED" in client.out
    assert service.new in client.note
    account = f"system:serviceaccount:{service.namespace}:pytest-deploy-{SERVICE}"
    for verb, resource, namespace in (
        ("create", "pods", service.namespace),
        ("get", "secrets", "kube-system"),
        ("patch", "rollouts.argoproj.io", "prod"),
        ("create", "rolebindings.rbac.authorization.k8s.io", service.namespace),
    ):
        argv = ("auth", "can-i", verb, resource, "-n", namespace, "--as", account)
        with pytest.raises(AssertionError, match="can-i"):
            service.node.kubectl(*argv)


def test_a_killed_client_changes_nothing(services: Services) -> None:
    """SIGKILL of the client in the middle: the deploy ends well by itself, and --attach gives its status and report."""
    service = services(window=8)
    client = Client(service, "prod.feature")
    client.until("sent: helm upgrade")
    client.process.send_signal(signal.SIGKILL)
    client.end()
    assert not service.serves(service.new)
    job = f"deploy-{client.id}"
    service.node.kubectl("wait", "--for=condition=Complete", "--timeout=50s", "-n", service.namespace, f"job/{job}")
    assert service.serves(service.new)
    again = Client(service, "--attach", client.id)
    assert again.end() == 0, again.out
    assert "COMMITTED" in again.out
    assert service.new in again.note


def test_a_gate_that_says_no_is_the_clients_exit_status(services: Services) -> None:
    """The canary fails its gate: the Job takes it back, the client ends with 1, the old containers serve."""
    service = services(window=10)
    client = Client(service, "prod.feature")
    client.until("50.0 % observed")
    rollout = service.node.kubectl("get", "rollout", SERVICE, "-n", service.namespace, "-o", "json")
    where = {"service": SERVICE, "namespace": service.namespace}
    version = json.loads(rollout)["status"]["currentPodHash"]
    service.node.play([{"what": "error rate", "amount": 0.5, "version": version, **where}])
    assert client.end() == 1, client.out
    eventually(lambda: service.serves(service.old), "the old version alone serves", within_s=10)
    assert "ROLLED BACK" in client.note.upper()


def test_a_pod_that_is_told_to_end_takes_its_deploy_back(services: Services) -> None:
    """The Job's pod is deleted in the middle: it takes the canary back in its grace period, and the report is there."""
    service = services(window=30)
    client = Client(service, "prod.feature")
    client.until("sent: helm upgrade")
    client.until("50.0 % observed")
    job = f"batch.kubernetes.io/job-name=deploy-{client.id}"
    service.node.kubectl("delete", "pod", "-n", service.namespace, "-l", job, "--wait=false")
    assert client.end() == 2, client.out
    eventually(lambda: service.serves(service.old), "the old version alone serves", within_s=10)
    assert "INTERRUPTED" in client.note.upper()


def test_several_at_once_and_one_per_release(services: Services) -> None:
    """Two releases deploy side by side; a second deploy of one of them is refused, with the first one's id."""
    first, second = services(window=10), services(window=10)
    clients = [Client(service, "prod.feature") for service in (first, second)]
    for client in clients:
        client.until("sent: helm upgrade")
    late = Client(first, "prod.feature")
    assert late.end() == 4, late.out
    assert f"--attach {clients[0].id}" in late.out
    assert [client.end() for client in clients] == [0, 0], "\n".join(client.out for client in clients)
    assert first.serves(first.new)
    assert second.serves(second.new)


def test_a_lost_connection_is_taken_up_again(services: Services) -> None:
    """The API server dies and comes back: the client goes on with the next line, and prints none twice."""
    service = services(window=25)
    client = Client(service, "prod.feature")
    client.until("50.0 % observed")
    os.kill(service.node.facts["daemons"]["kube-apiserver"]["pid"], signal.SIGKILL)
    client.until("connection lost")
    service.node.cli("sandbox", "up")
    assert client.end() == 0, client.out
    assert service.serves(service.new)
    assert client.out.count("50.0 % observed") == 1
    lines = [line for line in client.out.splitlines() if "sent:" in line or "passed When" in line]
    assert len(lines) == len(set(lines)), client.out


def test_a_job_whose_image_is_nowhere_is_given_up(services: Services) -> None:
    """No pull succeeds: the client says so and ends with 4, and the Job fails rather than begin later."""
    service = services()
    client = Client(service, "prod.feature", "--image", "registry.sandbox.invalid/nowhere:1")
    client.until("ErrImagePull")
    assert client.end(within_s=180) == 4, client.out
    assert "nothing was changed" in client.out
    where = ("-n", service.namespace, f"job/deploy-{client.id}")
    eventually(
        lambda: json.loads(service.node.kubectl("get", *where, "-o", "json"))["status"].get("failed"), "the Job fails"
    )
    eventually(lambda: service.serves(service.old), "the old version alone serves", within_s=10)


def test_a_watchdog_takes_back_what_died(services: Services) -> None:
    """SIGKILL of the deploy in its pod, and no human: the watchdog takes the canary back, and the journal says so."""
    service = services(window=60, lease_s=10)
    config = ("--config", str(service.folder / "deploy.sandbox.yaml"))
    objects = service.node.cli("watchdog", "--manifest", "--sandbox", *config)
    service.node.kubectl("apply", "-f", "-", stdin=objects)
    dog = ("-n", service.namespace, f"deployment/deploy-watchdog-{SERVICE}")
    service.node.kubectl("rollout", "status", "--timeout=60s", *dog)
    client = Client(service, "prod.feature")
    client.until("50.0 % observed")
    for pid in processes_with(f"DEPLOY_JOB=deploy-{client.id}"):
        os.kill(pid, signal.SIGKILL)
    assert client.end() == 137, client.out
    assert "left no report" in client.out
    eventually(lambda: service.serves(service.old), "the watchdog takes it back", within_s=90)
    eventually(lambda: "ended with 1" in service.node.kubectl("logs", *dog), "the watchdog says so")
    journal = service.node.kubectl(
        "get", "configmap", f"deploy-journal-{SERVICE}", "-n", service.namespace, "-o", "yaml"
    )
    assert "rolled back" in journal.lower()


def processes_with(variable: str) -> Iterator[int]:
    """Yield the processes of this machine whose environment has this variable, in containers too."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if variable.encode() in (folder / "environ").read_bytes().split(b"\0"):
                yield int(folder.name)


_NUMBERS = count(1)
