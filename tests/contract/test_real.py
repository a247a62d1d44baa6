"""The real adapters pass the contracts on real parts: API server, both Helm majors, Argo Rollouts, Prometheus."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path

import httpx2
import pytest

from pytest_deploy import sandbox
from pytest_deploy.adapters.argo import ArgoRollouts
from pytest_deploy.adapters.helm import HelmCli
from pytest_deploy.adapters.journal import JsonlJournal
from pytest_deploy.adapters.kubernetes import KubernetesCluster
from pytest_deploy.adapters.prometheus import Prometheus
from pytest_deploy.domain import query
from pytest_deploy.domain.action import HelmUpgrade, Target
from pytest_deploy.domain.measurement import Kind, Objective, Role, Subject
from pytest_deploy.domain.release import Digest, Environment, ImageRef
from pytest_deploy.domain.rollout import Permission
from pytest_deploy.errors import MeasurementError, Refused, Rejected
from pytest_deploy.io.clock import SystemClock
from pytest_deploy.io.kube import KubeApi
from pytest_deploy.io.process import run
from pytest_deploy.ports import Ports
from pytest_deploy.sandbox import Stack
from pytest_deploy.sandbox.platform import MEMORY, RESTARTS, THROTTLED
from pytest_deploy.testing.contracts import (
    NEW,
    OLD,
    ClusterContract,
    HelmContract,
    MetricsContract,
    TrafficContract,
)
from pytest_deploy.testing.contracts.metrics import ERROR_RATE, NAMED

pytestmark = pytest.mark.real

CHART = Path(__file__).parents[2] / "charts" / "checkout-api"
SERVICES = count(1)
TIMEOUT = timedelta(seconds=60)

HANGS = """{{- if hasKey .Values.podAnnotations "contract/hangs" }}
apiVersion: v1
kind: Pod
metadata:
  name: {{ .Release.Name }}-hangs
  annotations: {helm.sh/hook: pre-upgrade}
spec:
  containers: [{name: hangs, image: registry.sandbox.invalid/hangs}]
{{- end }}
"""
"""A hook that never ends: a pod that no job owns runs for ever."""
BREAKS = """{{- if hasKey .Values.podAnnotations "contract/breaks" }}
apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ .Release.Name }}_is_no_name"}
{{- end }}
"""


class RealWorld:
    """One release of the demo chart in the sandbox's ``prod``, named anew each time."""

    def __init__(self, stack: Stack, helm: str, folder: Path) -> None:
        self.stack = stack
        self.service = f"svc-{next(SERVICES)}"
        self.image = ImageRef.parse("registry.sandbox.invalid/svc")
        self.environment = Environment(
            name="prod",
            context="sandbox-prod",
            namespace="prod",
            release=self.service,
            rollout=self.service,
            container="checkout-api",
            kubeconfig=stack.kubeconfig,
        )
        self.chart = folder / "checkout-api"
        shutil.copytree(CHART, self.chart)
        (self.chart / "templates" / "hangs.yaml").write_text(HANGS)
        (self.chart / "templates" / "breaks.yaml").write_text(BREAKS)
        self.annotations: dict[str, str] = {}
        self.clock = SystemClock()
        self.binary = sandbox.toolbox().need(helm)
        api = KubeApi(clock=self.clock)
        environments = {"prod": self.environment}
        self.ports = Ports(
            clock=self.clock,
            journal=JsonlJournal(folder / "journal.jsonl"),
            cluster=KubernetesCluster(api, environments, clock=self.clock),
            helm=HelmCli(self.binary, clock=self.clock),
            traffic=ArgoRollouts(api, environments),
            metrics=Prometheus(
                stack.prometheus_url,
                version_label="pod_template_hash",
                scrape_interval=timedelta(seconds=1),
                timeout=timedelta(seconds=10),
                clock=self.clock,
            ),
        )
        self.release = Target(
            environment="prod",
            context="sandbox-prod",
            namespace="prod",
            name=self.service,
            kubeconfig=str(stack.kubeconfig),
        )

    def upgrade_to(self, digest: Digest, *, base_revision: int) -> HelmUpgrade:
        """Return the upgrade."""
        values = {
            "image.repository": self.image.repository,
            "image.digest": digest,
            "podAnnotations": self.annotations,
        }
        return HelmUpgrade(
            target=self.release,
            chart=str(self.chart),
            values_files=(),
            values=tuple((key, json.dumps(value)) for key, value in values.items()),
            base_revision=base_revision,
            timeout=TIMEOUT,
            labels=(("deploy-id", "contract"),),
        )

    def bad_upgrade(self, *, base_revision: int) -> HelmUpgrade:
        """Return one with a resource that the API server refuses."""
        world = replace_annotations(self, {"contract/breaks": "x"})
        return world.upgrade_to(NEW, base_revision=base_revision)

    def strand(self) -> None:
        """Kill a real Helm in the middle of an upgrade."""
        world = replace_annotations(self, {"contract/hangs": "x"})
        argv = world.upgrade_to(NEW, base_revision=1).argv(self.binary, self.ports.helm.version())
        sink = os.open(os.devnull, os.O_RDWR)
        to_sink = [(os.POSIX_SPAWN_DUP2, sink, fd) for fd in (0, 1, 2)]
        pid = os.posix_spawn(self.binary, argv, os.environ, file_actions=to_sink, setpgroup=0)
        os.close(sink)
        try:
            self.eventually(lambda: self.ports.helm.history(self.release)[-1].pending)
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def make_crash(self) -> None:
        """The next version's pods are told to crash."""
        self.annotations["sandbox.pytest-deploy.dev/crash"] = "true"

    def make_bad(self, error_rate_ratio: float) -> None:
        """The traffic source lets the version that is wanted now fail."""
        self._fault("error rate", error_rate_ratio)

    def stop_samples(self) -> None:
        """The traffic source refuses scrapes."""
        self._fault("stale data", None)

    def let_time_pass(self, seconds: float) -> None:
        """Wait."""
        self.clock.sleep(timedelta(seconds=seconds))

    def eventually(self, done: Callable[[], object]) -> None:
        """Wait for it, 60 s at most."""
        end = self.clock.monotonic() + 60
        while not done():
            assert self.clock.monotonic() < end, "not within 60 s"
            self.let_time_pass(0.2)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl in ``prod``."""
        where = ("--kubeconfig", str(self.stack.kubeconfig), "--context", "sandbox-prod")
        done = run((sandbox.toolbox().need("kubectl"), *where, *arguments), timeout_s=60, stdin=stdin)
        assert done.status == 0, done.stderr
        return done.stdout

    def begin(self) -> None:
        """Install the release, and wait until it is at rest and has samples."""
        self.ports.helm.execute(self.upgrade_to(OLD, base_revision=0))

        def rests() -> bool:
            state = self.ports.traffic.state(replace(self.release))
            return state is not None and state.promoted and state.stable is not None and state.stable.ready == 10

        self.eventually(rests)

    def end(self) -> None:
        """Remove all of it."""
        httpx2.delete(f"{self.stack.control_url}/faults")
        uninstall = (self.binary, "uninstall", self.service, "--kubeconfig", str(self.stack.kubeconfig))
        run((*uninstall, "--kube-context", "sandbox-prod", "--ignore-not-found"), timeout_s=60)
        self.kubectl("delete", "pod", f"{self.service}-hangs", "--ignore-not-found", "--wait=false")

    def _fault(self, what: str, amount: float | None) -> None:
        state = self.ports.traffic.state(self.release)
        assert state is not None
        fault = {
            "what": what,
            "amount": amount,
            "service": self.service,
            "namespace": "prod",
            "version": state.current_hash,
        }
        httpx2.put(f"{self.stack.control_url}/faults", json=[fault]).raise_for_status()


def replace_annotations(world: RealWorld, annotations: dict[str, str]) -> RealWorld:
    """Return a world that differs in its next version's annotations."""
    other = object.__new__(RealWorld)
    vars(other).update(vars(world), annotations={**world.annotations, **annotations})
    return other


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """A sandbox of its own; gone afterwards."""
    name = f"contract-{os.getpid()}"
    try:
        yield sandbox.up(name)
    finally:
        sandbox.down(name)


def _world(stack: Stack, helm: str, folder: Path) -> Iterator[RealWorld]:
    world = RealWorld(stack, helm, folder)
    try:
        world.begin()
        yield world
    finally:
        world.end()


class _Helm3:
    @pytest.fixture
    def world(self, stack: Stack, tmp_path: Path) -> Iterator[RealWorld]:
        """Installed by Helm 3."""
        yield from _world(stack, "helm3", tmp_path)


class _Helm4:
    @pytest.fixture
    def world(self, stack: Stack, tmp_path: Path) -> Iterator[RealWorld]:
        """Installed by Helm 4."""
        yield from _world(stack, "helm4", tmp_path)


class TestHelm3(_Helm3, HelmContract):
    """Helm 3."""


class TestHelm4(_Helm4, HelmContract):
    """Helm 4."""


class TestArgoRollouts(_Helm4, TrafficContract):
    """Argo Rollouts, its canaries started by Helm 4."""


class TestKubernetes(_Helm3, ClusterContract):
    """The API server."""

    def test_what_a_role_lacks_is_denied(self, world: RealWorld, tmp_path: Path) -> None:
        """An account with half of the verbs is denied exactly the other half, and its writes are rejected."""
        name = f"{world.service}-deployer"
        role = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": name, "namespace": "prod"},
            "rules": [
                {"apiGroups": ["argoproj.io"], "resources": ["rollouts"], "verbs": ["get", "patch"]},
                {"apiGroups": ["apps"], "resources": ["replicasets"], "verbs": ["list"]},
            ],
        }
        world.kubectl("create", "serviceaccount", name)
        world.kubectl("apply", "-f", "-", stdin=json.dumps(role))
        world.kubectl("create", "rolebinding", name, f"--role={name}", f"--serviceaccount=prod:{name}")
        token = world.kubectl("create", "token", name).strip()
        config = json.loads(world.kubectl("config", "view", "--minify", "--raw", "-o", "json"))
        config["users"][0]["user"] = {"token": token}
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(json.dumps(config))
        account = replace(world.environment, kubeconfig=kubeconfig)
        asked = [
            Permission(verb=verb, group=group, resource=resource, namespace="prod")
            for verb, group, resource in (
                ("get", "argoproj.io", "rollouts"),
                ("patch", "argoproj.io", "rollouts"),
                ("patch", "argoproj.io", "rollouts/status"),
                ("list", "apps", "replicasets"),
                ("list", "", "secrets"),
            )
        ]
        denied = world.ports.cluster.denied(account, asked)
        assert [str(each) for each in denied] == [
            "patch rollouts/status.argoproj.io in prod",
            "list secrets in prod",
        ]
        assert world.ports.cluster.identity(account).uid is None
        from pytest_deploy.domain.patches import abort

        target = replace(world.release, kubeconfig=str(kubeconfig))
        with pytest.raises(Rejected, match="403") as caught:
            world.ports.traffic.execute(abort(target, template_hash="x"))
        assert token not in str(caught.value)


class TestPrometheus(_Helm3, MetricsContract):
    """Prometheus, scraping what the traffic source counts."""

    def test_a_counter_without_a_status_is_a_wrong_query(self, world: RealWorld) -> None:
        """Where no series has the label that tells errors apart there will never be evidence."""
        metrics = Prometheus(
            world.stack.prometheus_url,
            status_label="code",
            scrape_interval=timedelta(seconds=1),
            timeout=timedelta(seconds=10),
            clock=world.clock,
        )
        since = metrics.now()
        world.let_time_pass(5)
        with pytest.raises(MeasurementError, match="none has a label 'code'"):
            metrics.read(Objective(kind=Kind.ERROR_RATE, limit=0.01), Subject(service=world.service), since)

    def test_versions_are_told_apart_by_their_pods_names(self, world: RealWorld) -> None:
        """By the pods' names, or by a label of the version: the same requests are read, of canary and of stable."""
        by_pod = Prometheus(
            world.stack.prometheus_url,
            pod_label="pod",
            scrape_interval=timedelta(seconds=1),
            timeout=timedelta(seconds=10),
            clock=world.clock,
        )
        state = self.start_canary(world)
        world.make_bad(0.3)
        self._scrapes(world, 3)
        since = by_pod.now()
        self._scrapes(world, 8)
        for role, template_hash, bad in (
            (Role.CANARY, state.current_hash, 0.3),
            (Role.STABLE, state.stable_hash, 0),
        ):
            subject = self._of(world, template_hash, role)
            one, other = by_pod.read(ERROR_RATE, subject, since), world.ports.metrics.read(ERROR_RATE, subject, since)
            assert one.total == pytest.approx(other.total, rel=0.3)
            assert one.value == pytest.approx(bad, rel=0.15)
            assert other.value == pytest.approx(bad, rel=0.15)

    def test_saturation_is_that_of_the_version_s_own_pods(self, world: RealWorld) -> None:
        """Throttling, memory and restarts of a canary that has too much of each; the stable version has not."""
        bad = replace_annotations(world, {THROTTLED: "0.3", MEMORY: "0.95", RESTARTS: "2"})
        state = self.start_canary(bad)
        canary = state.version(state.current_hash)
        assert canary is not None
        since = world.ports.metrics.now()
        self._scrapes(world, 13)
        found = {
            role: [
                world.ports.metrics.read(objective, self._of(world, template_hash, role), since).value
                for objective in (NAMED[query.THROTTLING], NAMED[query.MEMORY], NAMED[query.RESTARTS])
            ]
            for role, template_hash in ((Role.CANARY, state.current_hash), (Role.STABLE, state.stable_hash))
        }
        assert found[Role.CANARY] == [pytest.approx(0.3, abs=0.05), pytest.approx(0.95), 2 * canary.ready]
        assert found[Role.STABLE] == [0, pytest.approx(0.5), 0]

    @pytest.mark.parametrize("name", ['a"b', "a\\", "a\nb", "a{b}", "a'b", "ä €"])
    def test_a_strange_name_is_one_literal(self, world: RealWorld, name: str) -> None:
        """A name that holds quotes, backslashes or line ends is asked for as it is, and has no series."""
        metrics = world.ports.metrics
        reading = metrics.read(
            Objective(kind=Kind.LATENCY, limit=0.3, quantile=0.95),
            Subject(service=name, template_hash=name),
            metrics.now() - timedelta(seconds=10),
        )
        assert (reading.total, reading.problem) == (None, "")


def test_a_cluster_without_argo_is_refused(stack: Stack, tmp_path: Path) -> None:
    """An API server that has no such resource is told from a Rollout that is not there."""
    world = RealWorld(stack, "helm4", tmp_path)
    connection = KubeApi(clock=world.clock).at("sandbox-prod", stack.kubeconfig)
    missing = connection.read("/apis/argoproj.io/v1alpha1/namespaces/prod/rollouts/x", accept=(404,))
    assert missing.body["details"] == {"name": "x", "group": "argoproj.io", "kind": "rollouts"}
    unknown = connection.read("/apis/example.com/v1/namespaces/prod/things/x", accept=(404,))
    assert "details" not in unknown.body or "name" not in unknown.body["details"]
    with pytest.raises(Refused, match="no kube context 'not-there'"):
        KubeApi(clock=world.clock).at("not-there", stack.kubeconfig)
