"""``pytest-deploy gate`` on real parts: deploys that Prometheus remembers, and the service that runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from tests.e2e.caller import Deploys, Running
from tests.e2e.conftest import Places
from tests.e2e.oracle import Place

pytestmark = pytest.mark.real

MAIN = "import sys; from pytest_deploy.cli import main; sys.argv[0] = 'pytest-deploy'; main()"
WINDOWS = {"w5": 6, "w25": 6, "w50": 6, "w100": 8, "after": 8}


def start(place: Place, *arguments: str) -> subprocess.Popen[str]:
    """Start the verb in the place's folder, with its deploy.yaml and the sandbox's kubeconfig."""
    return subprocess.Popen(
        (sys.executable, "-c", MAIN, "gate", *arguments),
        cwd=place.folder,
        env={"PATH": os.environ["PATH"], "HOME": str(place.folder), "KUBECONFIG": place.kubeconfig},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def gate(place: Place, *arguments: str) -> tuple[int, str, str]:
    """Run the verb to its end."""
    process = start(place, *arguments)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def backtest(place: Place, run: Running, feature: str = "prod.feature") -> Any:
    """Return what a feature would have decided of the deploys in a run's reports."""
    status, out, err = gate(place, "backtest", feature, "--reports", str(run.folder / "reports"), "--json")
    assert status == 0, err
    return json.loads(out)


def strict(place: Place, limit: str) -> str:
    """Write the place's feature with another limit for the error rate, and return its name."""
    text = (place.folder / "prod.feature").read_text("utf-8").replace("below 0.5%", f"below {limit}")
    (place.folder / "other.feature").write_text(text, "utf-8")
    return "other.feature"


def test_a_committed_deploy_is_replayed_and_judged_again(places: Places, deploys: Deploys) -> None:
    """Its own file gives its own sentences; Prometheus' memory of it passes its gates, and a stricter one aborts it."""
    place = places()
    run = deploys.start_for_real(place, windows=WINDOWS)
    assert run.end() == 0, run.out
    series = run.folder / "reports" / "latest" / "measurements.jsonl"
    status, out, err = gate(place, "check", "prod.feature", "--series", str(series), "--json")
    assert status == 0, out + err
    replayed = [verdict["sentence"] for window in json.loads(out)["windows"] for verdict in window["verdicts"]]
    assert replayed == [each["sentence"] for each in run.facts["gates"]]
    assert len(replayed) == 10
    same = backtest(place, run)
    assert same["false_aborts"] == {"count": 0, "of": 1}, same
    assert same["deploys"][0]["where"].startswith("5 %, 25 %, 50 %, 100 %")
    other = backtest(place, run, strict(place, "0.0001%"))
    assert other["false_aborts"] == {"count": 1, "of": 1}, other


def test_a_deploy_that_a_gate_took_back_is_judged_again(places: Places, deploys: Deploys) -> None:
    """The same gates stop it again, from Prometheus' memory of pods that are gone; it is no miss."""
    place = places()
    run = deploys.start_for_real(place, windows={**WINDOWS, "w5": 20})
    run.until(lambda: place.at_weight(5), "the canary is there")
    place.sandbox.spoil(place.namespace, place.rollout()["status"]["currentPodHash"])
    assert run.end() == 1, run.out
    assert "error rate at 5 %: FAIL" in run.out
    found = backtest(place, run)
    assert found["misses"] == {"count": 0, "of": 1}, found
    assert found["deploys"][0]["broke_by"] == "error rate"
    assert "error rate at 5 %: FAIL" in found["deploys"][0]["why"]


def test_a_service_that_runs_is_shadowed(places: Places, deploys: Deploys) -> None:
    """The version that runs passes; once it fails requests it does not; nothing of the cluster is changed."""
    place = places()
    deploys.write(place, real=True, windows=WINDOWS)
    before = place.untouched()
    version = place.rollout()["status"]["stableRS"]
    status, out, err = gate(place, "check", "prod.feature", "--watch")
    assert status == 0, out + err
    assert f"pods of version {version}" in out.splitlines()[0]
    assert "error rate at 100 %: PASS" in out
    place.sandbox.spoil(place.namespace, version)
    status, out, err = gate(place, "check", "prod.feature", "--watch", "--weight", "25")
    assert status == 1, out + err
    assert "error rate at 25 %: FAIL" in out
    assert out.splitlines()[-1] == "gate check: FAIL 25 %; a deploy would: roll back"
    assert place.untouched() == before
    assert not list(place.folder.glob("reports*"))


def test_ctrl_c_ends_a_shadow_without_a_verdict(places: Places, deploys: Deploys) -> None:
    """Exit status 2, with what was seen by then."""
    place = places()
    deploys.write(place, real=True, windows={"w100": 300})
    process = start(place, "check", "prod.feature", "--watch")
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(4)]
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 2, err
    assert "interrupted: no verdict" in out.splitlines()[-1]
    assert "PASS" not in "".join(lines) + out
