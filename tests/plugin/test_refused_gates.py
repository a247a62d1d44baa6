"""Gates that can't be meant are refused before anything is contacted: all at once, each with its place."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIG = f"""\
service: checkout-api
image: ghcr.io/acme/checkout-api@sha256:{"4d" * 32}
strategy: canary
canary_steps: [5, 25, 50, 100]
chart_path: {ROOT}/charts/checkout-api
owner: checkout-team
slo: {{error_rate_max: 0.005, p95_latency_ms: 300, window_minutes: 5}}
environments:
  prod: {{context: acme-prod, namespace: prod, values_file: values-prod.yaml}}
metrics:
  prometheus: {{url: https://prometheus.example.com}}
  queries: {{queue depth: {{query: sum(queue_depth), unit: messages}}}}
"""
HEAD = """\
@deploy
Feature: gates that can't be meant
  Background:
    Given the release "checkout-api" of deploy.yaml, bound for "prod"
"""
UNITLESS = {
    "for 5 minutes the error rate stays at or below 0.5": "'0.5' has no unit: write a share in percent, as in 0.5%",
    "for 5 the p95 latency stays at or below 300 ms": "'5' has no unit: write a duration as 5 minutes",
    "for 5 minutes the p99 latency stays at or below 300": "'300' has no unit: write a latency as 300 ms or 300 s",
    "for 5 minutes the p50 latency stays at or below 3 messages": "write it in ms or s",
    "for 5 minutes the error rate is no worse than stable by more than 0.2%": "write it in percentage points",
    "for 5 minutes the availability stays at or above 120%": "'120%' is more than the whole",
    "for 5 minutes the p100 latency stays at or below 300 ms": "p100 is no quantile: between p1 and p99.99",
    "until 0 requests, at most 5 minutes, the availability stays at or above 99%": "until at least one request",
    "until 50 requests, the availability stays at or above 99%": "is no watch",
    "for 5 minutes the memory use stays at or below 80 of its limit": "'80' has no unit: write a share in percent",
    'for 5 minutes "queue depth" stays at or below many': "'many' is no number with a unit",
    "as a dry run, for 0 s no container restarts": "'0 s' is no duration: longer than zero",
}
"""Texts of gates that no number can be read from, and what is said of each."""

UNFIT = (
    (
        5,
        "for 5 minutes the error rate stays at or below 100%",
        "error rate at 5 %: a limit of 100.00 % holds for everything: no canary could break it",
    ),
    (
        5,
        "for 20 s the p95 latency stays at or below 800 ms",
        "p95 latency at 5 %: a window of 20 s holds less than two scrapes of 15 s: nothing could be read",
    ),
    (5, "for 5 minutes the p90 latency stays at or below 900 ms", "p90 latency <= 900 ms contradicts p95 latency"),
    (5, 'for 5 minutes "orders" stays at or above 40 orders', 'orders at 5 %: there is no query "orders": name it in'),
    (25, "for 5 minutes the error rate stays at or below 0.5%", None),
    (25, "for 5 minutes the availability stays at or above 99%", "a second gate for the error rate at 25 %; the first"),
    (25, "for 5 minutes the p95 latency stays at or below 300 ms", None),
    (25, "for 2 minutes the p95 latency stays at or below 200 ms", "a second gate for the p95 latency at 25 %"),
    (
        25,
        'for 5 minutes "queue depth" stays at or below 100',
        "queue depth at 25 %: the limit has no unit, the query messages: write the limit in the query's unit",
    ),
    (
        25,
        'for 5 minutes "CPU throttling" stays at or below 20 ms',
        "CPU throttling at 25 %: the limit has ms, the query %: write the limit in the query's unit",
    ),
    (50, "as a dry run, for 5 minutes the error rate stays at or below 0.5%", None),
    (100, "for 5 minutes the error rate stays at or below 0%", "error rate at 100 %: no number of requests proves"),
    (
        100,
        "for 5 minutes the error rate is no worse than stable by more than 0.2 points",
        "error rate over stable needs series of each version: set metrics.prometheus.version_label",
    ),
)
"""Weight, text and what is said of a gate that can be read, and can't be judged; None: nothing is wrong with it."""


@pytest.fixture
def unitless(tmp_path: Path) -> list[str]:
    """Write a feature of gates without units, and return what must be said, each with its place."""
    (tmp_path / "deploy.yaml").write_text(CONFIG, "utf-8")
    lines = [HEAD, "  Scenario: Canary at 5%", "    When 5% of the traffic goes to the canary"]
    lines += [f"    Then {text}" for text in UNITLESS]
    (tmp_path / "bad.feature").write_text("\n".join(lines) + "\n", "utf-8")
    first = HEAD.count("\n") + 4
    return [
        f"bad.feature:{number}:5: Then {text}: |{said}" for number, (text, said) in enumerate(UNITLESS.items(), first)
    ]


@pytest.fixture
def unfit(tmp_path: Path) -> list[str]:
    """Write a feature of gates that can't be judged, and return what must be said, each with its place."""
    (tmp_path / "deploy.yaml").write_text(CONFIG, "utf-8")
    lines, said = HEAD.splitlines(), []
    for weight in (5, 25, 50, 100):
        lines += [f"  Scenario: Canary at {weight}%", f"    When {weight}% of the traffic goes to the canary"]
        if weight == 50:
            said.append(f"bad.feature:{len(lines)}: 50 % has dry-run gates only: nothing could stop it")
        for _, text, problem in (each for each in UNFIT if each[0] == weight):
            lines.append(f"    Then {text}")
            if problem is not None:
                said.append(f"bad.feature:{len(lines)}: {problem}")
    (tmp_path / "bad.feature").write_text("\n".join(lines) + "\n", "utf-8")
    return said


def run(folder: Path, *arguments: str) -> tuple[int, list[str]]:
    """Run a module of Python in a folder, and return its status and the lines of its output."""
    done = subprocess.run(
        (sys.executable, "-m", *arguments),
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "CI": "true"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, (done.stdout + done.stderr).splitlines()


def missing(said: list[str], lines: list[str]) -> list[str]:
    """Return what was not said, in one line of its own; ``|`` stands for anything between."""
    parts = [each.split("|") for each in said]
    return ["".join(each) for each in parts if not any(all(part in line for part in each) for line in lines)]


COLLECT = ("pytest", "-p", "no:cacheprovider", "bad.feature")


@pytest.mark.parametrize("arguments", [(*COLLECT, "--rehearse"), COLLECT], ids=["rehearsed", "real"])
def test_gates_without_units_are_not_collected(tmp_path: Path, unitless: list[str], arguments: tuple[str, ...]) -> None:
    """Exit status 4, every one with line and column, and nothing runs."""
    status, lines = run(tmp_path, *arguments)
    assert status == 4, lines
    assert missing(unitless, lines) == []
    assert f"{len(UNITLESS)} problems: nothing was run" in lines
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize("arguments", [(*COLLECT, "--rehearse"), COLLECT], ids=["rehearsed", "real"])
def test_gates_that_can_not_be_judged_are_refused(tmp_path: Path, unfit: list[str], arguments: tuple[str, ...]) -> None:
    """Exit status 4, every one with its line and no other, and nothing is contacted."""
    status, lines = run(tmp_path, *arguments)
    assert status == 4, lines
    assert missing(unfit, lines) == []
    assert [line for line in lines if "REFUSED, nothing changed, nothing contacted" in line]
    assert len([line for line in lines if line.startswith("  - bad.feature:")]) == len(unfit)
    assert [line for line in lines if line.startswith("  next: ")]
    assert not (tmp_path / "reports").exists()


def lint(folder: Path) -> tuple[int, list[str]]:
    """Run ``pytest-deploy lint`` as its entry point does."""
    main = "import sys; from pytest_deploy.cli import main; sys.argv[0] = 'pytest-deploy'; main()"
    done = subprocess.run(
        (sys.executable, "-c", main, "lint", "bad.feature"),
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, (done.stdout + done.stderr).splitlines()


def test_lint_finds_gates_without_units(tmp_path: Path, unitless: list[str]) -> None:
    """Exit status 4 and the same lines as a run."""
    status, lines = lint(tmp_path)
    assert status == 4, lines
    assert missing(unitless, lines) == []


def test_lint_finds_gates_that_can_not_be_judged(tmp_path: Path, unfit: list[str]) -> None:
    """What a run refuses before it contacts anybody, lint tells too."""
    status, lines = lint(tmp_path)
    assert status == 4, lines
    assert missing(unfit, lines) == []
