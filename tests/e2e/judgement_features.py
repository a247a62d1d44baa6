"""Features for the tests of the judgement, and what a team brings with its gates: queries, a script, a step."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.e2e.caller import Deploys, Running
from tests.e2e.oracle import CHART, ROOT, SERVICE, Place

SPEED = 30
"""Windows in the features are so many times longer than they last: 2 minutes are 4 s."""
ANNOTATION = "sandbox.pytest-deploy.dev"
USUAL = (
    "for 2 minutes the error rate stays at or below 0.5%",
    "for 2 minutes the p95 latency stays at or below 300 ms",
)

# All namespaces of a sandbox share one Prometheus. So the service is called as its namespace here, and series of
# other tests' pods are no part of its service-wide numbers.
_PROFILE = """\
service: {service}
image: registry.sandbox.invalid/checkout-api
strategy: canary
canary_steps: [5, 25, 50, 100]
chart_path: {chart}
owner: checkout-team
slo: {{error_rate_max: 0.005, p95_latency_ms: 300, window_minutes: 2}}
environments:
  prod:
    context: sandbox-prod
    namespace: {namespace}
    release: {release}
    rollout: {release}
    container: checkout-api
    values_file: values-prod.yaml
metrics:
  prometheus:
    url: {prometheus}
    service_label: namespace
    version_label: pod_template_hash
    scrape_interval_s: 1
    timeout_s: 2
  queries:
    requests of a pod:
      query: avg(sum by (pod) (rate(http_requests_total{{pod=~"{{workload}}-{{version}}-.*"}}[{{window}}])))
      unit: requests/s
values:
  annotations: {{{annotation}/rps: "2000"}}
timeouts: {{helm_minutes: 1, step_minutes: 1, rollback_minutes: 1}}
"""
_HEAD = """\
@deploy @canary
Feature: {service} reaches production by canary

  Background:
    Given the release "{service}" of deploy.yaml, bound for "prod"
"""
SCRIPT = """\
#!/usr/bin/env python3
# Asks the sandbox's Prometheus for the share of 5xx answers; says how it was called, and what it was told.
import json, os, sys, urllib.parse, urllib.request

service, percent = sys.argv[1:]
requests = 'sum(rate(http_requests_total{namespace="%s"%s}[3s]))'
errors = requests % (service, ',status=~"5.."')
query = f"({errors} or vector(0)) / {requests % (service, '')}"
url = os.environ["PROMETHEUS_URL"] + "/api/v1/query?query=" + urllib.parse.quote(query)
answer = json.load(urllib.request.urlopen(url, timeout=5))["data"]["result"]
with open("script-ran.json", "w") as told:
    json.dump({"arguments": sys.argv[1:], "answer": answer}, told)
if not answer:
    sys.exit(2)
ratio = float(answer[0]["value"][1])
print(f"{ratio:.2%} of the requests to {service} fail at {percent} %")
sys.exit(0 if ratio <= 0.005 else 1)
"""
TEAM_STEP = """\
import json
import os
import urllib.request

from pytest_bdd import parsers, then


@then(parsers.parse("the metrics server scrapes {count:d} target"))
def scrapes(count):
    with urllib.request.urlopen(os.environ["PROMETHEUS_URL"] + "/api/v1/targets?state=active", timeout=5) as answer:
        targets = json.load(answer)["data"]["activeTargets"]
    assert [target["health"] for target in targets] == ["up"] * count
"""


def service_of(place: Place) -> str:
    """Return what the service of a place is called."""
    return place.namespace


def profile(place: Place, more: str = "", *, release: str = SERVICE) -> None:
    """Write the place's deploy.sandbox.yaml.

    Args:
        more: further sections, as YAML.
        release: Helm's, and the Rollout's name.
    """
    text = _PROFILE.format(
        service=service_of(place),
        chart=CHART,
        namespace=place.namespace,
        release=release,
        prometheus=place.sandbox.facts["prometheus_url"],
        annotation=ANNOTATION,
    )
    (place.folder / "deploy.sandbox.yaml").write_text(text + more, "utf-8")


def feature(
    place: Place,
    gates: Mapping[int, Sequence[str]] | None = None,
    *,
    before: Sequence[str] = (),
    after: Sequence[str] = (),
) -> None:
    """Write the place's prod.feature.

    Args:
        gates: texts of the Then steps by weight; a weight that is not named has the usual two.
        before, after: the steps of the scenarios Pre-flight and Afterwards.
    """
    lines = [_HEAD.format(service=service_of(place))]
    if before:
        lines += ["  Scenario: Pre-flight", *(f"    Given {text}" for text in before), ""]
    for weight in (5, 25, 50, 100):
        lines += [f"  Scenario: Canary at {weight}%", f"    When {weight}% of the traffic goes to the canary"]
        lines += [f"    Then {text}" for text in (gates or {}).get(weight, USUAL)] + [""]
    if after:
        lines += ["  Scenario: Afterwards", *(f"    Then {text}" for text in after)]
    (place.folder / "prod.feature").write_text("\n".join(lines) + "\n", "utf-8")


def bring_script(place: Place) -> None:
    """Put the team's check and the team's step beside the feature."""
    script = place.folder / "scripts" / "check-slo.py"
    script.parent.mkdir()
    script.write_text(SCRIPT, "utf-8")
    script.chmod(0o755)
    steps = place.folder / "steps" / "team.py"
    steps.parent.mkdir()
    steps.write_text(TEAM_STEP, "utf-8")


def start(deploys: Deploys, place: Place, *options: str, speed: int = SPEED) -> Running:
    """Start the place's feature on the sandbox."""
    env = {"PROMETHEUS_URL": str(place.sandbox.facts["prometheus_url"])}
    return deploys.run(place, "prod.feature", "--sandbox", "--sandbox-speed", str(speed), *options, env=env)


def worse(name: str, value: str) -> tuple[str, str]:
    """Return the options by which the new version behaves as an annotation of the sandbox says."""
    return ("--deploy-set", f'values.podAnnotations."{ANNOTATION}/{name}"="{value}"')


def cli(place: Place, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a verb of pytest-deploy as a person would, in the place's folder."""
    return subprocess.run(
        (str(Path(sys.executable).with_name("pytest-deploy")), *arguments),
        cwd=place.folder,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(place.folder),
            "PYTEST_DEPLOY_CACHE": str(place.sandbox.cache),
            "USER": "bob",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def rehearse(place: Place, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Rehearse the place's feature with its deploy.yaml; reports and JUnit file go to the folder."""
    argv = ("-m", "pytest", "-p", "no:cacheprovider", "prod.feature", "--rehearse", *options)
    where = ("--deploy-config", "deploy.sandbox.yaml", "--deploy-reports", str(folder / "reports"))
    return subprocess.run(
        (sys.executable, *argv, *where, "--junitxml", str(folder / "junit.xml")),
        cwd=place.folder,
        env={"PATH": os.environ["PATH"], "HOME": str(place.folder), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def beside_the_workload(place: Place) -> str:
    """Return the journal that stands in the cluster, as text."""
    found: dict[str, Any] = json.loads(place.kubectl("get", "configmap", f"deploy-journal-{SERVICE}", "-o", "json"))
    return "\n".join(found["data"].values())
