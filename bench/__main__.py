"""``make bench``: what pytest-deploy costs, as ratios in one run. It prints what is, also where it falls short."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from bench import dying

ROOT = Path(__file__).parent.parent
RUNS = 7
SCRAPE_S = 1
"""Of the sandbox's Prometheus."""

BARE_FEATURE = """Feature: bare
  Scenario: a
    Given nothing
"""
BARE_TEST = """from pytest_bdd import given, scenarios
scenarios("bare.feature")
@given("nothing")
def nothing(): pass
"""


def wall_s(argv: Sequence[str], folder: Path) -> float:
    """Return the seconds that a command takes; its exit status must be 0."""
    began = time.perf_counter()
    subprocess.run(argv, cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - began


def side_by_side(a: Callable[[], float], b: Callable[[], float]) -> tuple[float, float, float]:
    """Return the medians of a and b, run in turn, and the median of their ratios pair by pair."""
    a(), b()
    pairs = [(a(), b()) for _ in range(RUNS)]
    return (
        statistics.median(x for x, _ in pairs),
        statistics.median(y for _, y in pairs),
        statistics.median(x / y for x, y in pairs),
    )


def row(what: str, measured: str, goal: str, *, met: bool) -> None:
    """Print one line of the table."""
    print(f"{what:58} {measured:>34}   goal {goal:24} {'met' if met else 'MISSED'}", flush=True)


def start_up(folder: Path) -> None:
    """Rehearsal against a bare pytest-bdd start, and what the plugin adds where no feature is collected."""
    pytest = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    (folder / "bare.feature").write_text(BARE_FEATURE)
    (folder / "test_bare.py").write_text(BARE_TEST)
    (folder / "test_plain.py").write_text("def test_nothing(): pass\n")
    (folder / "pytest.ini").write_text("[pytest]\n")
    rehearsal = (*pytest, "features/prod_canary.feature", "--rehearse", "--deploy-reports", str(folder / "reports"))
    bare = (*pytest, "-p", "no:pytest_deploy", "test_bare.py")
    ours, theirs, ratio = side_by_side(lambda: wall_s(rehearsal, ROOT), lambda: wall_s(bare, folder))
    row(
        "rehearsed 35-minute canary / bare pytest-bdd start",
        f"{ratio:.2f}x ({ours:.2f} s / {theirs:.2f} s)",
        "<= 2x",
        met=ratio <= 2,
    )
    plain = (*pytest, "test_plain.py")
    with_us, without, ratio = side_by_side(
        lambda: wall_s(plain, folder), lambda: wall_s((*plain, "-p", "no:pytest_deploy"), folder)
    )
    added = (with_us - without) * 1000
    row(
        "start-up with no feature collected, with / without plugin",
        f"{ratio:.3f}x ({added:+.0f} ms)",
        "<= 30 ms",
        met=added <= 30,
    )


def memory(folder: Path) -> None:
    """Peak resident memory of a rehearsal."""
    argv = [sys.executable, "-m", "pytest", "-q", "features/prod_canary.feature", "--rehearse"]
    report_peak("peak RSS, rehearsal", [*argv, "--deploy-reports", str(folder / "reports")])


def report_peak(what: str, argv: Sequence[str]) -> None:
    """Print the peak resident memory of a command, by the operating system's own account."""
    child = os.fork()
    if child == 0:
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, 1)
        os.dup2(devnull, 2)
        os.chdir(ROOT)
        os.execv(argv[0], list(argv))
    _, status, usage = os.wait4(child, 0)
    peak_mb = usage.ru_maxrss / 1024
    note = "" if os.waitstatus_to_exitcode(status) == 0 else " (exit status not 0)"
    row(what, f"{peak_mb:.0f} MB{note}", "<= 120 MB", met=peak_mb <= 120)


def latest(reports: Path) -> dict[str, Any]:
    """Return the facts of the newest deploy."""
    facts: dict[str, Any] = json.loads((reports / "latest" / "deploy.json").read_text("utf-8"))
    return facts


def sandbox(folder: Path) -> None:
    """Overhead of a deploy on the sandbox, and the time from a visible breach to the stable version."""
    pytest = [sys.executable, "-m", "pytest", "-q"]
    reports = folder / "sandbox-reports"
    options = ["--sandbox", "--sandbox-speed", "20", "--deploy-reports", str(reports)]
    canary = [*pytest, "features/prod_canary.feature", *options]
    subprocess.run(canary, cwd=ROOT, check=False, capture_output=True)  # warms the stack up
    began = time.perf_counter()
    done = subprocess.run(canary, cwd=ROOT, check=False, capture_output=True)
    wall = time.perf_counter() - began
    facts = latest(reports)
    windows = sum({(gate["where"], gate["started"]): gate["watched_s"] for gate in facts["gates"]}.values())
    overhead = wall - windows
    row(
        "deploy overhead on the sandbox, wall - windows, 4 steps",
        f"{overhead:.1f} s of {wall:.1f} s, exit {done.returncode}",
        "<= 5 s",
        met=done.returncode == 0 and overhead <= 5,
    )
    drill = [*pytest, "features/drills/error_rate.feature", *options]
    done = subprocess.run(drill, cwd=ROOT, check=False, capture_output=True)
    facts = latest(reports)
    failed = next(gate for gate in facts["gates"] if gate["verdict"] == "FAIL")
    rollback = facts["rollbacks"][0]
    visible = datetime.fromisoformat(failed["newest_sample"])
    restored = datetime.fromisoformat(rollback["started"]["at"]).timestamp() + rollback["ended"]["traffic_back"]
    restore = restored - visible.timestamp()
    row(
        "breach visible in Prometheus -> stable weight restored",
        f"{restore:.1f} s at a scrape of {SCRAPE_S} s, exit {done.returncode}",
        "<= one scrape + 1 s",
        met=done.returncode == 0 and restore <= SCRAPE_S + 1,
    )
    report_peak("peak RSS, sandbox deploy", canary)


def main() -> None:
    """Print the table."""
    # As users run it: with Python's compiled files kept.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start_up(folder)
        memory(folder)
        sandbox(folder)
    dying.measure(row)


if __name__ == "__main__":
    main()
