"""What kubectl and Helm say of a deployed service; none of our own code judges here."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pytest_deploy.io.clock import SystemClock

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "checkout-api"
SERVICE = "checkout-api"
CLOCK = SystemClock()


def eventually(probe: Callable[[], T], what: str, *, within_s: float = 30) -> T:
    """Poll until the probe gives something true, and return it; fail with what it gave last."""
    until = CLOCK.monotonic() + within_s
    while not (last := probe()):
        assert CLOCK.monotonic() < until, f"{what}: not within {within_s} s; last seen {last!r}"
        CLOCK.sleep(timedelta(milliseconds=200))
    return last


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """A sandbox of these tests' own, as ``pytest-deploy sandbox status --json`` tells it.

    Args:
        cache: its PYTEST_DEPLOY_CACHE.
        binaries: paths of the toolchain's programs.
    """

    cache: Path
    facts: Mapping[str, Any]
    binaries: Mapping[str, str]

    def spoil(self, namespace: str, version: str) -> None:
        """Let every second request to a version of the demo service fail from now on."""
        fault = {"what": "error rate", "amount": 0.5, "service": SERVICE, "namespace": namespace, "version": version}
        self.play([fault])

    def prometheus_answers(self) -> bool:
        """Whether Prometheus is up and ready."""
        connection = HTTPConnection(urlsplit(self.facts["prometheus_url"]).netloc, timeout=5)
        connection.request("GET", "/-/ready")
        status = connection.getresponse().status
        connection.close()
        return status == 200

    def play(self, faults: Sequence[Mapping[str, object]]) -> None:
        """Let the traffic source make requests go wrong, from now on."""
        connection = HTTPConnection(urlsplit(self.facts["control_url"]).netloc, timeout=10)
        connection.request("PUT", "/faults", body=json.dumps(list(faults)))
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        assert answer.status == 200, text


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A namespace of the sandbox with one release of the demo chart, and a folder with what deploys it."""

    sandbox: Sandbox
    namespace: str
    folder: Path

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl in the namespace and return what it prints."""
        where = ("--kubeconfig", self.kubeconfig, "--context", "sandbox-prod", "-n", self.namespace)
        return _run((self.sandbox.binaries["kubectl"], *where, *arguments), stdin=stdin)

    def helm(self, *arguments: str, binary: str = "helm3") -> str:
        """Run Helm in the namespace and return what it prints."""
        return _run(self.helm_argv(*arguments, binary=binary))

    def helm_argv(self, *arguments: str, binary: str = "helm3") -> tuple[str, ...]:
        """Return the command line of Helm in the namespace."""
        where = ("--kubeconfig", self.kubeconfig, "--kube-context", "sandbox-prod", "-n", self.namespace)
        return (self.sandbox.binaries[binary], *arguments, *where)

    def upgrade_argv(self, digest: str, *more: str, chart: Path = CHART) -> tuple[str, ...]:
        """Return the command line that a person would deploy with."""
        return self.helm_argv("upgrade", "--install", SERVICE, str(chart), *self._values(digest), *more)

    def template(self, digest: str) -> tuple[str, ...]:
        """Return the arguments with which Helm renders the chart, as ``install`` would."""
        return ("template", SERVICE, str(CHART), *self._values(digest))

    def _values(self, digest: str) -> tuple[str, ...]:
        rps = r"annotations.sandbox\.pytest-deploy\.dev/rps=2000"
        return ("-f", str(CHART / "values-prod.yaml"), "--set", f"image.digest={digest}", "--set-string", rps)

    @property
    def kubeconfig(self) -> str:
        """The path of the sandbox's kubeconfig."""
        return str(self.sandbox.facts["kubeconfig"])

    @property
    def old(self) -> str:
        """The digest that is installed at first: another one in each place, so that its pod template is, too."""
        return digest_of(f"old {self.namespace}")

    def rollout(self) -> Any:
        """Return the Rollout, whole."""
        return json.loads(self.kubectl("get", "rollout", SERVICE, "-o", "json"))

    def history(self) -> list[tuple[int, str, str]]:
        """Return number, status and description of each revision, the oldest first."""
        return [
            (int(it["revision"]), it["status"], it["description"])
            for it in json.loads(self.helm("history", SERVICE, "-o", "json"))
        ]

    def pods(self) -> Counter[str]:
        """Return how many pods are ready, by digest; one that is not, or is going, counts as another."""
        found: Counter[str] = Counter()
        for pod in json.loads(self.kubectl("get", "pods", "-l", "rollouts-pod-template-hash", "-o", "json"))["items"]:
            ready = any((c["type"], c["status"]) == ("Ready", "True") for c in pod["status"].get("conditions", ()))
            whole = ready and "deletionTimestamp" not in pod["metadata"]
            digest = pod["spec"]["containers"][0]["image"].partition("@")[2]
            found[digest if whole else f"not ready: {digest}"] += 1
        return found

    def at_weight(self, weight: int) -> bool:
        """Whether the rollout waits at the pause after this weight (of the steps 5, 25, 50 and 100)."""
        status = self.rollout().get("status", {})
        index = (5, 25, 50, 100).index(weight) * 2 + 1
        return bool(status.get("pauseConditions")) and status.get("currentStepIndex") == index

    def serves_only(self, digest: str) -> None:
        """Assert that this digest is what is wanted, what is stable, what all pods run; and nothing else is there."""
        rollout = self.rollout()
        status, spec = rollout["status"], rollout["spec"]
        assert spec["template"]["spec"]["containers"][0]["image"].partition("@")[2] == digest
        assert status["observedGeneration"] == str(rollout["metadata"]["generation"])
        assert status["stableRS"] == status["currentPodHash"]
        assert status["phase"] == "Healthy", status
        assert not status.get("abort")
        assert not status.get("pauseConditions")
        assert self.pods() == {digest: spec["replicas"]}
        sets = json.loads(self.kubectl("get", "replicasets", "-o", "json"))["items"]
        wanted = {s["metadata"]["labels"]["rollouts-pod-template-hash"]: s["spec"]["replicas"] for s in sets}
        assert {name: count for name, count in wanted.items() if count} == {status["stableRS"]: spec["replicas"]}
        for service in ("stable", "canary"):
            selector = self.kubectl("get", "service", f"{SERVICE}-{service}", "-o", "jsonpath={.spec.selector}")
            assert json.loads(selector)["rollouts-pod-template-hash"] == status["stableRS"], service

    def untouched(self) -> object:
        """Return all that a deploy could have written: equal before and after, nothing was.

        Of the status what a deploy patches or moves; counts and conditions go on changing while pods settle.
        """
        rollout = self.rollout()
        written = ("abort", "promoteFull", "pauseConditions", "currentStepIndex", "currentPodHash", "stableRS")
        status = {key: rollout["status"].get(key) for key in written}
        return self.history(), rollout["metadata"]["generation"], rollout["spec"], status

    def helm_processes(self) -> list[str]:
        """Return the command lines of Helm processes that work on this namespace."""
        return list(self.helm_pids().values())

    def helm_pids(self) -> dict[int, str]:
        """Return them by their ids; those that name another sandbox's kubeconfig are another one's."""
        found = {}
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                argv = path.read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            here = "--kubeconfig" not in argv or any(str(Path(self.kubeconfig).parent) in arg for arg in argv)
            if Path(argv[0]).name.startswith("helm") and self.namespace in argv and here:
                found[int(path.parent.name)] = " ".join(argv)
        return found

    def chart(self, edit: Callable[[Path], None]) -> Path:
        """Return a copy of the demo chart, edited."""
        copy = self.folder / "chart"
        shutil.copytree(CHART, copy, dirs_exist_ok=True)
        edit(copy)
        return copy


def digest_of(text: str) -> str:
    """Return a digest that nobody else has made up."""
    return f"sha256:{sha256(text.encode()).hexdigest()}"


def _run(argv: Sequence[str], *, stdin: str | None = None) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=90, check=False, input=stdin)
    assert done.returncode == 0, f"{' '.join(argv)}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout
