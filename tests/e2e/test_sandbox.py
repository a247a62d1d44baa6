"""The sandbox on real parts: it comes up, measures what the cluster serves, heals, and leaves nothing."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest

from pytest_deploy.io import daemon
from pytest_deploy.io.clock import SystemClock
from pytest_deploy.io.process import Completed, run
from pytest_deploy.sandbox import Stack, down, local, pause, resume, status, toolbox, up
from pytest_deploy.sandbox.parts import MARK
from pytest_deploy.sandbox.place import folder_of

pytestmark = pytest.mark.real

CHART = Path(__file__).parents[2] / "charts" / "checkout-api"
NAME = f"e2e-{os.getpid()}"
CLOCK = SystemClock()
OLD, NEW, BAD = (f"sha256:{letter * 64}" for letter in "abc")


def eventually(probe: Callable[[], object], what: str, *, within_s: float = 30) -> None:
    """Poll until the probe gives something true; fail with what it gave last."""
    until = CLOCK.monotonic() + within_s
    while not (last := probe()):
        assert CLOCK.monotonic() < until, f"{what}: not within {within_s} s; last seen {last!r}"
        CLOCK.sleep(timedelta(milliseconds=200))


class World:
    """A sandbox with the clients that a person would use on it."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def kubectl(self, *arguments: str, env: str = "prod") -> str:
        """Run kubectl in one of the two contexts."""
        where = ("--kubeconfig", str(self.stack.kubeconfig), "--context", f"sandbox-{env}")
        return self._ok(run((toolbox().need("kubectl"), *where, *arguments), timeout_s=30)).stdout

    def helm(self, binary: str, digest: str, *more: str, env: str = "prod") -> None:
        """Install or upgrade the demo chart."""
        where = ("--kubeconfig", str(self.stack.kubeconfig), "--kube-context", f"sandbox-{env}")
        values = ("-f", str(CHART / f"values-{env}.yaml"), "--set", f"image.digest={digest}")
        argv = (toolbox().need(binary), "upgrade", "--install", "checkout-api", str(CHART), *where, *values, *more)
        self._ok(run(argv, timeout_s=60))

    def rollout(self, env: str = "prod") -> dict[str, object]:
        """Return the Rollout's status."""
        found: dict[str, object] = json.loads(self.kubectl("get", "rollout", "checkout-api", "-o", "json", env=env))
        status_seen = found.get("status", {})
        assert isinstance(status_seen, dict)
        return status_seen

    def promote(self) -> None:
        """Promote by one step, as a client does."""
        self.kubectl(
            "patch", "rollout", "checkout-api", "--subresource=status", "--type=merge",
            '-p={"status":{"pauseConditions":null}}',
        )  # fmt: skip

    def query(self, text: str) -> dict[str, float]:
        """Return an instant vector of Prometheus by its version label; empty key: it has none."""
        answer = json.loads(local.get(f"{self.stack.prometheus_url}/api/v1/query?query={quote(text)}"))
        return {it["metric"].get("pod_template_hash", ""): float(it["value"][1]) for it in answer["data"]["result"]}

    def faults(self, method: str, body: object = None) -> list[dict[str, object]]:
        """Talk to the control endpoint."""
        connection = local.connect(self.stack.control_url)
        connection.request(method, "/faults", body=None if body is None else json.dumps(body))
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        assert answer.status == 200, text
        found: list[dict[str, object]] = json.loads(text)
        return found

    @staticmethod
    def _ok(done: Completed) -> Completed:
        assert done.status == 0, done
        return done


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Bring a sandbox up for this module, and see that nothing of it is left."""
    began = CLOCK.monotonic()
    stack = up(NAME)
    seconds = CLOCK.monotonic() - began
    try:
        assert seconds < 30, f"up took {seconds:.1f} s; 15 s on a machine that does nothing else"
        yield World(stack)
    finally:
        down(NAME)
    assert_nothing_left(stack)


def assert_nothing_left(stack: Stack) -> None:
    """Fail when a process, a file or a port of the sandbox is still there."""
    assert [name for name, it in stack.daemons.items() if it.alive] == []
    assert daemon.started_with(MARK, str(stack.folder)) == []
    assert list(stack.folder.parent.glob(f"*{stack.folder.name}*")) == []
    listening = run(("ss", "-Hltn"), timeout_s=10).stdout
    ports = [url.rpartition(":")[2] for url in (stack.server, stack.prometheus_url, stack.control_url)]
    assert [port for port in ports if f":{port} " in listening] == []


@pytest.fixture
def canary(world: World) -> Iterator[tuple[str, str]]:
    """Give the hashes of a stable version and of a canary that waits at 5 %."""
    world.helm("helm3", OLD)
    eventually(lambda: world.rollout().get("phase") == "Healthy", "the old version is Healthy")
    world.helm("helm3", BAD, "-f", str(CHART / "values-bad.yaml"))
    eventually(lambda: world.rollout().get("phase") == "Paused", "the canary waits at its first step")
    seen = world.rollout()
    yield str(seen["stableRS"]), str(seen["currentPodHash"])
    world.faults("DELETE")
    world.kubectl("delete", "rollout,replicaset,pod", "--all", "--wait=true")
    run(
        (toolbox().need("helm3"), "uninstall", "checkout-api", "--kubeconfig", str(world.stack.kubeconfig),
         "--kube-context", "sandbox-prod"),
        timeout_s=60,
    )  # fmt: skip


def test_up_again_changes_nothing(world: World) -> None:
    """A second up returns the same processes, and every component is healthy."""
    said: list[str] = []
    again = up(NAME, say=said.append)
    assert again.daemons == world.stack.daemons
    assert set(again.components.values()) == {"healthy"}
    assert said == [f"sandbox {NAME} is up"]


@pytest.mark.parametrize("binary", ["helm3", "helm4"])
def test_both_helms_install_on_staging(world: World, binary: str) -> None:
    """Helm 3 and Helm 4 install the chart, and its pods become ready in namespace staging."""
    world.helm(binary, NEW, env="staging")
    eventually(lambda: world.rollout("staging").get("phase") == "Healthy", "the release is Healthy")
    image = world.kubectl("get", "pods", "-o", "jsonpath={.items[*].spec.containers[*].image}", env="staging")
    assert image.split() == [f"ghcr.io/acme/checkout-api@{NEW}"] * 2
    where = ("--kubeconfig", str(world.stack.kubeconfig), "--kube-context", "sandbox-staging")
    assert run((toolbox().need(binary), "uninstall", "checkout-api", *where), timeout_s=60).status == 0
    # The garbage collector knows a CRD some 30 s after it was applied, and then only removes what it had owned.
    left = "rollout,replicaset,pod"
    eventually(lambda: not world.kubectl("get", left, "-o", "name", env="staging"), "it is gone", within_s=90)


@pytest.mark.parametrize("binary", ["helm3", "helm4"])
def test_the_chart_is_clean(binary: str) -> None:
    """Both Helms lint the chart with each values file; without a digest, or with a tag, nothing is rendered."""
    helm = toolbox().need(binary)
    for env in ("staging", "prod", "bad"):
        values = ("-f", str(CHART / f"values-{env}.yaml"), "--set", f"image.digest={NEW}")
        done = run((helm, "lint", "--strict", str(CHART), *values), timeout_s=60)
        assert done.status == 0, done.stdout
    missing = run((helm, "template", "x", str(CHART)), timeout_s=60)
    assert missing.status != 0
    assert "image.digest is required" in missing.stderr
    tag = run((helm, "template", "x", str(CHART), "--set", "image.digest=v1.2.3"), timeout_s=60)
    assert tag.status != 0
    assert "match pattern" in tag.stderr


def test_counters_follow_the_weight(world: World, canary: tuple[str, str]) -> None:
    """Requests per version follow the ready pods at 5 % and after a promote at 25 %; errors are the canary's alone."""
    stable, new = canary
    rate = 'sum by (pod_template_hash) (rate(http_requests_total{namespace="prod"}[5s]))'

    def share() -> float:
        found = world.query(rate)
        return found.get(new, 0.0) / (sum(found.values()) or 1)

    pods = world.kubectl(
        "get", "pods", "-o", r"jsonpath={.items[*].metadata.labels.rollouts-pod-template-hash}"
    ).split()
    assert (pods.count(new), len(pods)) == (1, 20)
    eventually(lambda: share() == pytest.approx(0.05, abs=0.01), "5 % of the requests reach the canary")
    world.promote()
    eventually(lambda: share() == pytest.approx(0.25, abs=0.02), "25 % of the requests reach the canary")
    assert sum(world.query(rate).values()) == pytest.approx(100, rel=0.1)
    errors = 'sum by (pod_template_hash) (rate(http_requests_total{namespace="prod",status=~"5.."}[5s]))'
    eventually(lambda: world.query(errors).get(new), "the canary's errors are seen")
    assert stable not in world.query(errors)
    # The rate leaves out the first 5xx of each new pod, so that it is too low for some seconds.
    eventually(
        lambda: world.query(f"{errors} / {rate}").get(new) == pytest.approx(0.05, abs=0.02), "5 % of them are errors"
    )


def test_faults_show_in_prometheus(world: World, canary: tuple[str, str]) -> None:
    """A latency fault moves the canary's p95 only; no data removes its series; stale data stops the scrapes."""
    stable, new = canary
    entry = {"service": "checkout-api", "version": "newest"}
    quantile = (
        "histogram_quantile(0.95, sum by (le, pod_template_hash) "
        '(rate(http_request_duration_seconds_bucket{namespace="prod"}[5s])))'
    )
    world.faults("PUT", [{"what": "p95 latency", "amount": 0.9, **entry}])
    eventually(lambda: world.faults("GET")[0]["version"] == new, "the fault is bound to the canary")
    eventually(lambda: world.query(quantile).get(new) == pytest.approx(0.9, rel=0.1), "the canary's p95 is 900 ms")
    (played,) = world.faults("GET")
    assert played["began"]
    assert world.query(quantile)[stable] == pytest.approx(0.12, rel=0.05)

    world.faults("PUT", [{"what": "no data", **entry}])
    eventually(lambda: new not in world.query('http_request_duration_seconds_count{namespace="prod"}'), "it is gone")
    assert stable in world.query('http_request_duration_seconds_count{namespace="prod"}')

    world.faults("PUT", [{"what": "stale data", **entry}])
    eventually(lambda: world.query('up{job="traffic"}') == {"": 0.0}, "scrapes fail")
    world.faults("DELETE")
    eventually(lambda: world.query('up{job="traffic"}') == {"": 1.0}, "scrapes are back")
    eventually(lambda: world.query(quantile).get(new) == pytest.approx(0.12, rel=0.1), "the canary is as it was")


def test_pods_crash_and_start_slowly(world: World) -> None:
    """The pod template's annotations make pods crash again and again, and become ready late."""
    world.helm("helm3", OLD, "--set-string", r"podAnnotations.sandbox\.pytest-deploy\.dev/crash=true", env="staging")
    reason = "jsonpath={.items[*].status.containerStatuses[*].state.waiting.reason}"
    eventually(lambda: "CrashLoopBackOff" in world.kubectl("get", "pods", "-o", reason, env="staging"), "it crashes")
    world.helm(
        "helm3", BAD, "--set-string", r"podAnnotations.sandbox\.pytest-deploy\.dev/ready-after-s=3", env="staging"
    )

    def ready_after_s() -> list[float]:
        script = (
            "import json,sys; from datetime import datetime as d; i=json.load(sys.stdin)['items']; "
            "print(*[(d.fromisoformat(c['lastTransitionTime']) - d.fromisoformat(p['status']['startTime'])).seconds "
            "for p in i if 'sandbox.pytest-deploy.dev/ready-after-s' in p['metadata'].get('annotations',{}) "
            "for c in p['status'].get('conditions',()) if (c['type'],c['status'])==('Ready','True')])"
        )
        pods = world.kubectl("get", "pods", "-o", "json", env="staging")
        return [float(it) for it in run((sys.executable, "-c", script), timeout_s=30, stdin=pods).stdout.split()]

    eventually(ready_after_s, "a slow pod is ready")
    assert all(3 <= seconds <= 8 for seconds in ready_after_s())


def test_a_paused_component_does_not_answer(world: World) -> None:
    """A paused Prometheus is told as not answering, and is healthy again when it goes on."""
    pause("prometheus", NAME)
    try:
        found = status(NAME)
        assert found is not None
        assert "does not answer" in found.components["prometheus"]
    finally:
        resume("prometheus", NAME)
    again = status(NAME)
    assert again is not None
    assert again.healthy


@pytest.mark.parametrize(
    "component", ["traffic", "prometheus", "rollouts-controller", "kwok-controller", "kube-apiserver"]
)
def test_up_heals_what_died(world: World, component: str) -> None:
    """A component that was killed is told by status, and up starts it again on the same addresses and the same data."""
    before = world.kubectl("get", "namespace", "prod", "-o", "jsonpath={.metadata.uid}")
    found = status(NAME)
    assert found is not None
    os.kill(found.daemons[component].pid, signal.SIGKILL)
    eventually(lambda: not found.daemons[component].alive, "it is dead")
    ill = status(NAME)
    assert ill is not None
    assert ill.components[component] == "gone"
    healed = up(NAME)
    assert healed.healthy
    assert (healed.server, healed.prometheus_url) == (found.server, found.prometheus_url)
    assert world.kubectl("get", "namespace", "prod", "-o", "jsonpath={.metadata.uid}") == before


def test_two_stand_side_by_side(world: World) -> None:
    """A second sandbox shares no port and no process with the first, and its end leaves the first alone."""
    other = up(f"{NAME}-b")
    try:
        assert other.server != world.stack.server
        assert other.prometheus_url != world.stack.prometheus_url
    finally:
        down(f"{NAME}-b")
    assert_nothing_left(other)
    still = status(NAME)
    assert still is not None
    assert still.healthy


@pytest.mark.parametrize("after_s", [0.3, 2.0, 4.5])
def test_a_killed_up_is_cleared_away(after_s: float) -> None:
    """Whenever an up is killed by SIGKILL, down finds all that it had started; nothing is left."""
    name = f"{NAME}-k"
    code = f"from pytest_deploy.sandbox import up; up({name!r})"
    process = subprocess.Popen((sys.executable, "-c", code))
    CLOCK.sleep(timedelta(seconds=after_s))
    process.kill()
    process.wait()
    folder = folder_of(name)
    assert status(name) is None
    assert daemon.started_with(MARK, str(folder)), "nothing was started yet: nothing is proved"
    down(name)
    assert daemon.started_with(MARK, str(folder)) == []
    assert not folder.exists()


def test_up_after_a_killed_up_builds_anew() -> None:
    """An up that finds a half-built sandbox removes its processes and brings up a whole one."""
    name = f"{NAME}-h"
    process = subprocess.Popen((sys.executable, "-c", f"from pytest_deploy.sandbox import up; up({name!r})"))
    CLOCK.sleep(timedelta(seconds=4))
    process.kill()
    process.wait()
    before = daemon.started_with(MARK, str(folder_of(name)))
    said: list[str] = []
    stack = up(name, say=said.append)
    try:
        assert stack.healthy
        assert before
        assert not any(it.alive for it in before)
        assert said[0] == f"sandbox {name} is half built, it is removed and built anew"
    finally:
        down(name)
    assert_nothing_left(stack)


def test_an_interrupted_up_leaves_nothing() -> None:
    """SIGINT in mid-build ends in a removed sandbox."""
    name = f"{NAME}-i"
    code = f"from pytest_deploy.sandbox import up; up({name!r})"
    process = subprocess.Popen((sys.executable, "-c", code), stderr=subprocess.PIPE)
    CLOCK.sleep(timedelta(seconds=2))
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert b"KeyboardInterrupt" in stderr
    assert daemon.started_with(MARK, str(folder_of(name))) == []
    assert not folder_of(name).exists()
