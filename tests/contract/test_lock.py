"""The locks pass the contract: the rehearsal's, and the Lease on a real API server, which takes more besides."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from threading import Barrier, Thread

import pytest

from pytest_deploy import rehearsal, sandbox
from pytest_deploy.adapters.argo import ArgoRollouts
from pytest_deploy.adapters.fence import Fence
from pytest_deploy.adapters.kubernetes import KubernetesCluster
from pytest_deploy.adapters.lease import Lease
from pytest_deploy.adapters.lease_object import LeaseObject, permissions
from pytest_deploy.domain.action import Target
from pytest_deploy.domain.release import Environment, ImageRef, Release, Strategy
from pytest_deploy.errors import DeployError, LockHeld
from pytest_deploy.io.clock import SystemClock
from pytest_deploy.io.kube import KubeApi
from pytest_deploy.io.process import run
from pytest_deploy.ports import Clock, Lock
from pytest_deploy.rehearsal.lock import RehearsedLock
from pytest_deploy.sandbox import Stack
from pytest_deploy.testing.contracts import LockContract

WORKLOADS = count(1)


class RehearsedLocks:
    """Locks of a rehearsed workload."""

    lease = timedelta(seconds=60)

    def __init__(self) -> None:
        env = Environment(name="prod", context="prod", namespace="n", release="shop", rollout="web", container="app")
        release = Release(
            service="shop",
            image=ImageRef.parse("registry.example.com/shop"),
            strategy=Strategy.CANARY,
            canary_steps=(5, 100),
            chart_path=Path("charts/shop"),
            owner="shop-team",
            values=(),
            environments={"prod": env},
        )
        self._world = rehearsal.World(
            release=release, scrape_interval=timedelta(seconds=15), version_label=True, sections=()
        )
        self._open: set[str] = set()
        self._world.lease("prod").is_open = self._open.__contains__
        self.traffic = self._world.ports().traffic
        self.rollout = Target(environment="prod", context="prod", namespace="n", name="web")

    def process(self, deploy_id: str) -> RehearsedLock:
        """Return the lock of one more process."""
        return self._world.lock("prod", deploy_id, by="ann")

    def open(self, deploy_id: str) -> None:
        """Let the journal hold it open."""
        self._open.add(deploy_id)

    def stop(self, lock: Lock) -> None:
        """No beat any more."""
        assert isinstance(lock, RehearsedLock)
        lock.beats = False

    def let_time_pass(self, duration: timedelta) -> None:
        """Let the virtual clock run."""
        self._world.clock.sleep(duration)


class TestRehearsed(LockContract):
    """The lock in memory."""

    @pytest.fixture
    def locks(self) -> RehearsedLocks:
        """A workload of its own."""
        return RehearsedLocks()


class RealLocks:
    """Leases beside a Rollout of its own in the sandbox's ``prod``; short ones, so that expiry can be waited for."""

    lease = timedelta(seconds=4)

    def __init__(self, stack: Stack, clock: Clock | None = None) -> None:
        self.stack = stack
        self.name = f"lock-{next(WORKLOADS)}"
        self.clock = clock or SystemClock()
        self.environment = Environment(
            name="prod",
            context="sandbox-prod",
            namespace="prod",
            release=None,
            rollout=self.name,
            container="app",
            kubeconfig=stack.kubeconfig,
        )
        self.api = KubeApi(clock=self.clock)
        self.traffic = ArgoRollouts(self.api, {"prod": self.environment})
        self.rollout = Target(
            environment="prod",
            context="sandbox-prod",
            namespace="prod",
            name=self.name,
            kubeconfig=str(stack.kubeconfig),
        )
        self.processes: list[Lease] = []
        self._open: set[str] = set()
        self.apply()

    def apply(self) -> None:
        """Create the Rollout, without pods."""
        labels = {"app": self.name}
        container = {"name": "app", "image": "registry.sandbox.invalid/app@sha256:" + "1" * 64}
        rollout = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Rollout",
            "metadata": {"name": self.name, "namespace": "prod"},
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": labels},
                "strategy": {"canary": {}},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            },
        }
        kubectl(self.stack, "apply", "-f", "-", stdin=json.dumps(rollout))

    def process(self, deploy_id: str, api: KubeApi | None = None, kubeconfig: Path | None = None) -> Lease:
        """Return the lock of one more process, with connections of its own."""
        api = api or KubeApi(clock=self.clock)
        connection = api.at("sandbox-prod", kubeconfig or self.stack.kubeconfig)
        lock = Lease(
            LeaseObject(connection, "prod", self.name),
            Fence(connection, "prod", self.name),
            deploy_id,
            by="ann",
            is_open=self._open.__contains__,
            lease=self.lease,
            renew=timedelta(seconds=1),
        )
        self.processes.append(lock)
        return lock

    def open(self, deploy_id: str) -> None:
        """Let the journal hold it open."""
        self._open.add(deploy_id)

    def stop(self, lock: Lock) -> None:
        """End the thread that renews it."""
        assert isinstance(lock, Lease)
        lock._stop.set()

    def let_time_pass(self, duration: timedelta) -> None:
        """Wait."""
        self.clock.sleep(duration)

    def stored(self) -> dict[str, dict[str, object]]:
        """The Lease as kubectl shows it."""
        found: dict[str, dict[str, object]] = json.loads(
            kubectl(self.stack, "get", "lease", f"deploy-{self.name}", "-o", "json")
        )
        return found

    def end(self) -> None:
        """End all threads, and remove the Rollout."""
        for lock in self.processes:
            self.stop(lock)
        kubectl(self.stack, "delete", "rollout", self.name, "--ignore-not-found", "--wait=false")


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A sandbox of these tests' own; gone afterwards."""
    name = f"lock-{os.getpid()}"
    try:
        yield sandbox.up(name)
    finally:
        sandbox.down(name)


class _SlowByAnHour(SystemClock):
    """A machine whose clock was never set."""

    def now(self) -> datetime:
        """Return an hour ago."""
        return super().now() - timedelta(hours=1)


@pytest.mark.real
class TestLease(LockContract):
    """The Lease on a real API server."""

    @pytest.fixture
    def locks(self, stack: Stack) -> Iterator[RealLocks]:
        """A Rollout of its own."""
        made = RealLocks(stack)
        try:
            yield made
        finally:
            made.end()

    def test_of_two_at_once_one_wins(self, locks: RealLocks) -> None:
        """Twenty rounds: exactly one has it, the other is told of exactly that one, and the fence counts them."""
        fences = []
        for number in range(20):
            both = {name: locks.process(f"{name}-{number}") for name in ("a", "b")}
            outcome = at_once(both)
            won = [name for name, result in outcome.items() if isinstance(result, int)]
            assert len(won) == 1, outcome
            (lost,) = set(both) - set(won)
            refusal = outcome[lost]
            assert isinstance(refusal, LockHeld)
            assert refusal.holder == f"{won[0]}-{number}"
            fences.append(both[won[0]].fence)
            both[won[0]].release()
            both[lost].release()
        assert fences == list(range(fences[0], fences[0] + 20))

    def test_of_two_that_recover_at_once_one_wins(self, locks: RealLocks) -> None:
        """Both by the dead deploy's own id, once it has expired: one goes on, the other is refused."""
        self._dead(locks, "d")
        locks.open("d")
        outcome = at_once({name: locks.process("d") for name in ("a", "b")}, takeover=True)
        assert sorted(type(result).__name__ for result in outcome.values()) == ["LockHeld", "int"]

    def test_kubectl_reads_what_stands_there(self, locks: RealLocks) -> None:
        """A labelled Lease that says who and since when; free it has no holder; the Rollout has the fence."""
        lock = locks.process("d")
        fence = lock.acquire()
        found = locks.stored()
        assert found["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "pytest-deploy"  # type: ignore[index]
        assert found["metadata"]["annotations"]["pytest-deploy.dev/by"] == "ann"  # type: ignore[index]
        spec = found["spec"]
        assert (spec["holderIdentity"], spec["leaseTransitions"], spec["leaseDurationSeconds"]) == ("d", fence, 4)
        shown = kubectl(locks.stack, "get", "rollout", locks.name, "-o", "jsonpath={.metadata.annotations}")
        assert json.loads(shown)["pytest-deploy.dev/fence"] == str(fence)
        lock.release()
        assert locks.stored()["spec"].get("holderIdentity") is None

    def test_time_is_the_servers(self, stack: Stack) -> None:
        """On a machine that is an hour slow a holder is seen alive, renews in the server's time, and expires by it."""
        slow = RealLocks(stack, clock=_SlowByAnHour())
        try:
            lock = slow.process("d")
            lock.acquire()
            slow.let_time_pass(timedelta(seconds=2.5))
            renewed = datetime.fromisoformat(str(slow.stored()["spec"]["renewTime"]))
            assert abs(datetime.now(UTC) - renewed) < timedelta(seconds=4)
            holder = slow.process("e").look()
            assert holder is not None
            assert not holder.expired
            slow.stop(lock)
            slow.let_time_pass(timedelta(seconds=5.5))
            assert slow.process("e").acquire() == holder.fence + 1
        finally:
            slow.end()

    def test_a_lease_that_was_deleted_begins_above_the_fence(self, locks: RealLocks) -> None:
        """Whoever removes the Lease by hand lets in no patch of an earlier holder; the one who held it has lost it."""
        lock = locks.process("a")
        fence = lock.refence() if lock.acquire() else 0
        kubectl(locks.stack, "delete", "lease", f"deploy-{locks.name}")
        locks.let_time_pass(timedelta(seconds=2))
        assert lock.lost.is_set()
        assert locks.process("b").acquire() == fence + 1

    def test_a_rollout_that_others_write_to_gets_its_fence(self, locks: RealLocks) -> None:
        """Annotations beside it stay, and cost no more than a second try."""
        lock = locks.process("a")
        ended: list[int] = []

        def annotate() -> None:
            while not ended:
                kubectl(locks.stack, "annotate", "rollout", locks.name, f"team=n{os.urandom(4).hex()}", "--overwrite")

        writer = Thread(target=annotate)
        writer.start()
        try:
            for _ in range(10):
                lock.acquire()
                lock.release()
        finally:
            ended.append(1)
            writer.join()
        shown = json.loads(kubectl(locks.stack, "get", "rollout", locks.name, "-o", "jsonpath={.metadata.annotations}"))
        assert shown["team"].startswith("n")
        assert shown["pytest-deploy.dev/fence"] == "10"

    def test_without_a_rollout_there_is_nothing_to_fence(self, locks: RealLocks) -> None:
        """The lock is taken all the same: the first deploy of all has no Rollout yet."""
        kubectl(locks.stack, "delete", "rollout", locks.name)
        assert locks.process("a").acquire() == 1

    def test_a_lease_of_somebody_else_is_left_alone(self, locks: RealLocks) -> None:
        """One without our labels is no lock of ours."""
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": f"deploy-{locks.name}", "namespace": "prod"},
            "spec": {"holderIdentity": "x"},
        }
        kubectl(locks.stack, "create", "-f", "-", stdin=json.dumps(lease))
        with pytest.raises(DeployError, match="is not ours"):
            locks.process("a").acquire()
        assert locks.stored()["spec"]["holderIdentity"] == "x"

    def test_the_named_verbs_are_enough(self, locks: RealLocks, tmp_path: Path) -> None:
        """An account with these on leases, and get and patch of Rollouts, locks and fences; without them it is told."""
        name = f"{locks.name}-account"
        kubectl(locks.stack, "create", "serviceaccount", name)
        token = kubectl(locks.stack, "create", "token", name).strip()
        config = json.loads(kubectl(locks.stack, "config", "view", "--minify", "--raw", "-o", "json"))
        config["users"][0]["user"] = {"token": token}
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(json.dumps(config))
        with pytest.raises(DeployError, match="403"):
            locks.process("a", kubeconfig=kubeconfig).acquire()
        verbs = [f"--verb={each.verb}" for each in permissions("prod")]
        kubectl(locks.stack, "create", "role", name, *verbs, "--resource=leases.coordination.k8s.io")
        patches = ("--verb=get", "--verb=patch", "--resource=rollouts.argoproj.io")
        kubectl(locks.stack, "create", "role", f"{name}-fence", *patches)
        for role in (name, f"{name}-fence"):
            kubectl(locks.stack, "create", "rolebinding", role, f"--role={role}", f"--serviceaccount=prod:{name}")
        account = Environment(
            name="prod",
            context="sandbox-prod",
            namespace="prod",
            release=None,
            rollout=locks.name,
            container="app",
            kubeconfig=kubeconfig,
        )
        cluster = KubernetesCluster(KubeApi(clock=locks.clock), {"prod": account}, clock=locks.clock)
        until = locks.clock.monotonic() + 20
        while cluster.denied(account, permissions("prod")):
            assert locks.clock.monotonic() < until
            locks.let_time_pass(timedelta(seconds=0.2))
        lock = locks.process("a", kubeconfig=kubeconfig)
        assert lock.acquire() == 1
        lock.release()

    def test_a_process_that_is_stopped_has_lost_it(self, locks: RealLocks, tmp_path: Path) -> None:
        """Another process holds it; SIGSTOP past its lease, taken over meanwhile: woken, its check says so."""
        script = tmp_path / "holds.py"
        script.write_text(HOLDS)
        argv = (sys.executable, str(script), str(locks.stack.kubeconfig), locks.name, str(tmp_path / "said"))
        pid = os.posix_spawn(sys.executable, argv, os.environ)
        try:
            said(tmp_path / "said", "held")
            os.kill(pid, signal.SIGSTOP)
            locks.open("zombie")
            locks.let_time_pass(timedelta(seconds=6))
            heir = locks.process("zombie")
            fence = heir.acquire(takeover=True)
            os.kill(pid, signal.SIGCONT)
            said(tmp_path / "said", f"lost to deploy zombie (by ann) fence {fence}")
            heir.check()
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


HOLDS = """
import re, sys, threading
from datetime import timedelta
from pathlib import Path
from pytest_deploy.adapters.fence import Fence
from pytest_deploy.adapters.lease import Lease
from pytest_deploy.adapters.lease_object import LeaseObject
from pytest_deploy.errors import LockLost
from pytest_deploy.io.clock import SystemClock
from pytest_deploy.io.kube import KubeApi

kubeconfig, name, said = sys.argv[1:]
connection = KubeApi(clock=SystemClock()).at("sandbox-prod", kubeconfig)
lock = Lease(LeaseObject(connection, "prod", name), Fence(connection, "prod", name), "zombie", by="ann",
             is_open=lambda _: True, lease=timedelta(seconds=4), renew=timedelta(seconds=1))
lock.acquire()
Path(said).write_text("held")
while True:
    threading.Event().wait(0.1)
    try:
        lock.check()
    except LockLost as lost:
        found = re.search(r"(lost to deploy zombie .by ann.) .*(fence [0-9]+), alive", str(lost))
        Path(said).write_text(" ".join(found.groups()) if found else str(lost))
        break
threading.Event().wait()
"""
"""What another process does: hold the lock, and say when it is lost."""


def said(path: Path, text: str) -> None:
    """Wait until the other process says it."""
    clock = SystemClock()
    until = clock.monotonic() + 30
    while not path.exists() or path.read_text() != text:
        assert clock.monotonic() < until, path.read_text() if path.exists() else "it said nothing"
        clock.sleep(timedelta(seconds=0.1))


def at_once(locks: dict[str, Lease], *, takeover: bool = False) -> dict[str, int | DeployError]:
    """Let all acquire at the same moment, and return what each got."""
    outcome: dict[str, int | DeployError] = {}
    barrier = Barrier(len(locks))

    def acquire(name: str, lock: Lease) -> None:
        lock.look()  # the connection stands
        barrier.wait()
        try:
            outcome[name] = lock.acquire(takeover=takeover)
        except DeployError as error:
            outcome[name] = error

    threads = [Thread(target=acquire, args=each) for each in locks.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcome


def kubectl(stack: Stack, *arguments: str, stdin: str | None = None) -> str:
    """Run kubectl in ``prod`` and return what it prints."""
    where = ("--kubeconfig", str(stack.kubeconfig), "--context", "sandbox-prod")
    done = run((sandbox.toolbox().need("kubectl"), *where, *arguments), timeout_s=60, stdin=stdin)
    assert done.status == 0, done.stderr
    return done.stdout
