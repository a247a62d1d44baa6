"""``doctor`` on real parts: an account with the printed roles is well, each ill is named with its mend, all is left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.caller import Deploys, deployer
from tests.e2e.conftest import Places
from tests.e2e.oracle import SERVICE, Place, eventually

pytestmark = pytest.mark.real


def examine(place: Place, *options: str, kubeconfig: str | None = None) -> tuple[int, dict[str, Any]]:
    """Run ``doctor prod --json`` as the deploy account, or by another kubeconfig; by area and name."""
    argv = (str(Path(sys.executable).with_name("pytest-deploy")), "doctor", "prod", "--json", *options)
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(place.folder),
        "KUBECONFIG": kubeconfig or str(deployer(place)),
        "PYTEST_DEPLOY_CACHE": str(place.sandbox.cache),
    }
    done = subprocess.run(argv, cwd=place.folder, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode in {0, 1}, done.stderr
    return done.returncode, {f"{it['area']} {it['name']}": it for it in json.loads(done.stdout)["lines"]}


def kept(place: Place) -> list[str]:
    """Return the names of what a deploy would write to, with their versions."""
    kinds = "leases,configmaps,secrets"
    found = json.loads(place.kubectl("get", kinds, "-o", "json"))["items"]
    return sorted(f"{it['kind']} {it['metadata']['name']} {it['metadata']['resourceVersion']}" for it in found)


def test_one_that_is_well(places: Places, deploys: Deploys) -> None:
    """Nothing fails, each gate shows live requests, and nothing was written beside the workload."""
    place = places()
    deploys.write(place, real=True)
    deployer(place)
    before, spec = kept(place), place.rollout()["spec"]
    # The version was installed just now: Prometheus has to see it first, and doctor rightly says so.
    eventually(lambda: examine(place)[0] == 0, "doctor finds all well", within_s=60)
    status, lines = examine(place)
    assert status == 0, [line for line in lines.values() if line["status"] == "failed"]
    assert "requests in the last 1 min" in lines["metrics error rate"]["words"]
    assert lines["release release"]["words"].startswith("known good: Helm revision 1, deployed")
    assert (kept(place), place.rollout()["spec"]) == (before, spec)
    assert not list(place.folder.glob("reports*"))


def test_an_administrator_is_no_deploy_account(places: Places, deploys: Deploys) -> None:
    """It is refused by name, and the mend prints the roles of one that is."""
    place = places()
    deploys.write(place, real=True)
    status, lines = examine(place, kubeconfig=place.kubeconfig)
    assert status == 1
    assert "system:masters" in lines["permission privilege"]["words"]
    assert "pytest-deploy rbac prod" in lines["permission privilege"]["mend"]


def test_several_ills_are_named_at_once(places: Places, deploys: Deploys) -> None:
    """A verb that was taken away, and a metric of another name: each with its mend, in one run."""
    place = places()
    deploys.write(place, real=True)
    deployer(place)
    role = json.loads(place.kubectl("get", "role", f"pytest-deploy-{SERVICE}", "-o", "json"))
    role["rules"] = [rule for rule in role["rules"] if "leases" not in rule["resources"]]
    place.kubectl("apply", "-f", "-", stdin=json.dumps(role))
    status, lines = examine(place, "--deploy-set", "metrics.prometheus.requests_metric=other_requests_total")
    assert status == 1
    assert "leases" in lines["permission account"]["words"]
    assert "other_requests_total" in lines["metrics error rate"]["mend"]
    assert all(line["mend"] for line in lines.values() if line["status"] == "failed")
