"""What a caller does: writes a feature and its deploy.yaml, runs pytest, reads what it leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from tests.e2e.oracle import CHART, CLOCK, ROOT, SERVICE, Place, digest_of, eventually

PROFILE = """\
service: checkout-api
image: registry.sandbox.invalid/checkout-api{digest}
strategy: canary
canary_steps: [5, 25, 50, 100]
chart_path: {chart}
owner: checkout-team
slo: {{error_rate_max: 0.005, p95_latency_ms: 300, window_minutes: 1}}
environments:
  prod: {{context: sandbox-prod, namespace: {namespace}, release: {release}, values_file: values-prod.yaml}}
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


class Running:
    """One call of pytest that runs beside the test; what it prints can be read at any time.

    Args:
        folder: its reports, JUnit file and output go there.
        env: on top of PATH; a home of its own keeps the machine's kubeconfig out.
    """

    def __init__(self, argv: Sequence[str], folder: Path, cwd: Path, env: Mapping[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._log = folder / "output.txt"
        more = ("--deploy-reports", str(folder / "reports"), "--junitxml", str(folder / "junit.xml"))
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                (*argv, *more),
                cwd=cwd,
                env={"PATH": os.environ["PATH"], "HOME": str(folder), **env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def out(self) -> str:
        """What it has printed so far."""
        return self._log.read_text("utf-8", "replace")

    def says(self, words: str) -> bool:
        """Whether it has printed these words."""
        return words in self.out

    def until(self, probe: Callable[[], object], what: str, *, within_s: float = 60) -> None:
        """Wait for something while it runs; fail at once when it ends before."""
        began = CLOCK.monotonic()
        while not probe():
            assert self.process.poll() is None, f"pytest ended before {what}:\n{self.out}"
            assert CLOCK.monotonic() - began < within_s, f"{what}: not within {within_s} s\n{self.out}"
            CLOCK.sleep(timedelta(milliseconds=150))

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def end(self, *, within_s: float = 180) -> int:
        """Wait for its end and return its exit status."""
        return self.process.wait(within_s)

    @property
    def last(self) -> str:
        """The last line that it printed."""
        return [line for line in self.out.splitlines() if line.strip()][-1]

    @property
    def junit(self) -> dict[str, str]:
        """How each scenario ended, by its name; those of the canary by their weight alone ("25%")."""
        found = {}
        for case in ET.parse(self.folder / "junit.xml").iter("testcase"):
            title, _, row = case.get("name", "").partition("[")
            kinds = [child.tag for child in case if child.tag in {"failure", "error", "skipped"}]
            found[row.partition("-")[0] or title] = kinds[0] if kinds else "passed"
        return found

    @property
    def note(self) -> str:
        """The deploy note."""
        return (self.folder / "reports" / "latest" / "deploy-note.md").read_text("utf-8")

    @property
    def facts(self) -> Any:
        """deploy.json."""
        return json.loads((self.folder / "reports" / "latest" / "deploy.json").read_text("utf-8"))


class Deploys:
    """Starts pytest in places; whatever still runs at the end of a test is ended."""

    def __init__(self) -> None:
        self.started: list[Running] = []

    def write(
        self,
        place: Place,
        *,
        windows: Mapping[str, int] | None = None,
        chart: Path = CHART,
        helm: str = "helm3",
        digest: str = "",
        release: str | None = SERVICE,
        real: bool = False,
    ) -> None:
        """Write a feature and its deploy.yaml into the place's folder.

        Args:
            windows: seconds, by ``w5`` to ``w100`` and ``after``; 4 where nothing is said.
            helm: of the toolchain.
            digest: ``@sha256:...`` of the new version; empty: made up, on the sandbox only.
            release: Helm's; None: no release owns the Rollout.
            real: for a deploy without ``--sandbox``.
        """
        profile = _profile(place, chart=chart, release=json.dumps(release), helm=helm, digest=digest)
        (place.folder / ("deploy.yaml" if real else "deploy.sandbox.yaml")).write_text(profile, "utf-8")
        spans = dict.fromkeys(("w5", "w25", "w50", "w100", "after"), 4) | dict(windows or {})
        (place.folder / "prod.feature").write_text(FEATURE.format(**spans), "utf-8")

    def start(self, place: Place, *options: str, env: Mapping[str, str] | None = None, **files: Any) -> Running:
        """Start a deploy of the place's own feature on the sandbox; ``files`` go to ``write``."""
        self.write(place, **files)
        return self.run(place, "prod.feature", "--sandbox", *options, env=env)

    def start_for_real(self, place: Place, *options: str, **files: Any) -> Running:
        """Start it as a CI job does: without ``--sandbox``, by an account that has the roles of ``rbac`` alone."""
        self.write(place, real=True, digest=f"@{digest_of(f'new {place.folder}')}", **files)
        env = {"CI": "true", "KUBECONFIG": str(deployer(place))}
        return self.run(place, "prod.feature", *options, env=env)

    def run_feature(self, place: Place, feature: str, *options: str) -> Running:
        """Start one of the repository's own features on the sandbox, in the place's namespaces."""
        where = (
            f"--deploy-set=environments.prod.namespace={place.namespace}",
            f"--deploy-set=environments.staging.namespace={place.namespace}-staging",
        )
        return self.run(place, feature, "--sandbox", *where, *options, cwd=ROOT)

    def run(
        self, place: Place, *arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> Running:
        """Start pytest; cwd None: in the place's folder."""
        argv = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments)
        variables = {"PYTEST_DEPLOY_CACHE": str(place.sandbox.cache), **(env or {})}
        begun = Running(argv, place.folder / f"run-{len(self.started)}", cwd or place.folder, variables)
        self.started.append(begun)
        return begun


def _profile(
    place: Place, *, chart: Path = CHART, release: str = SERVICE, helm: str = "helm3", digest: str = ""
) -> str:
    return PROFILE.format(
        chart=chart,
        namespace=place.namespace,
        release=release,
        helm=place.sandbox.binaries[helm],
        prometheus=place.sandbox.facts["prometheus_url"],
        digest=digest,
    )


def deployer(place: Place, *, chart: Path = CHART, profile: str = "") -> Path:
    """Make an account with what ``pytest-deploy rbac`` prints for the chart here, and return its kubeconfig.

    Args:
        profile: text of a deploy.yaml; empty: that of ``Deploys.write``.
    """
    account, path = "deployer", place.folder / "deployer.kubeconfig"
    if path.exists():
        return path
    (place.folder / "rbac.yaml").write_text(profile or _profile(place, chart=chart), "utf-8")
    made = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account, "namespace": place.namespace}}
    place.kubectl("apply", "-f", "-", stdin=json.dumps(made))
    argv = ("rbac", "--config", "rbac.yaml", "--to", f"serviceaccount:{place.namespace}/{account}")
    done = subprocess.run(
        (str(Path(sys.executable).with_name("pytest-deploy")), *argv),
        cwd=place.folder,
        env={"PATH": os.environ["PATH"], "HOME": str(place.folder), "KUBECONFIG": place.kubeconfig},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    place.kubectl("apply", "--namespace=", "-f", "-", stdin=done.stdout)  # each of them says where it belongs
    eventually(lambda: _may(place, account, "patch", "rollouts.argoproj.io"), "the role is in force")
    facts = json.loads(Path(place.kubeconfig).read_text("utf-8"))
    facts["users"] = [{"name": account, "user": {"token": place.kubectl("create", "token", account).strip()}}]
    for each in facts["contexts"]:
        each["context"]["user"] = account
    path.write_text(json.dumps(facts), "utf-8")
    return path


def _may(place: Place, account: str, verb: str, resource: str) -> bool:
    who = f"system:serviceaccount:{place.namespace}:{account}"
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": who,
            "resourceAttributes": {
                "namespace": place.namespace,
                "verb": verb,
                "group": resource.partition(".")[2],
                "resource": resource.partition(".")[0],
            },
        },
    }
    answer = json.loads(place.kubectl("create", "-f", "-", "-o", "json", stdin=json.dumps(review)))
    return bool(answer["status"]["allowed"])
