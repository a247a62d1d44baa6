"""What crash safety costs, how fast a killed deploy is ended, and fifty deploys at once on one sandbox."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.e2e.caller import FEATURE, PROFILE
from tests.e2e.kill_matrix.__main__ import sandbox
from tests.e2e.kill_matrix.recover import recover
from tests.e2e.oracle import CHART, ROOT, SERVICE, Place, Sandbox, digest_of, eventually

MANY = 50
WINDOW_S = 10
_MORE = """\
lock: {lease_s: 4, renew_s: 1}
gate: {inconclusive: "extend, then roll back", no_data: "extend, then roll back", error: "extend, then roll back"}
"""
Row = Callable[..., None]


def measure(row: Row) -> None:
    """Print the rows of a sandbox of its own."""
    with sandbox() as (found, folder):
        one = _installed(found, folder, "one")
        _cost(one, row)
        _recovery(one, row)
        _many(found, folder, row)


def _cost(place: Place, row: Row) -> None:
    """The share of a deploy's overhead in which it waits for its journal and its lock."""
    waited = place.folder / "waited.json"
    process, began = _start(place, ("-p", "bench.clocked"), {"BENCH_CLOCKED": str(waited)}), time.perf_counter()
    status = process.wait()
    wall = time.perf_counter() - began
    facts = json.loads((place.folder / "reports" / "latest" / "deploy.json").read_text("utf-8"))
    windows = sum({(gate["where"], gate["started"]): gate["watched_s"] for gate in facts["gates"]}.values())
    found = json.loads(waited.read_text("utf-8"))
    waits = found["journal"] + found["lock"]
    share = waits / (wall - windows)
    row(
        "journal and lock, share of a deploy's overhead",
        f"{share:.1%} ({waits:.2f} s of {wall - windows:.1f} s), exit {status}",
        "<= 5 %",
        met=status == 0 and share <= 0.05,
    )


def _recovery(place: Place, row: Row) -> None:
    """From the call of recover to the old version alone, seen by kubectl; the deploy was killed at 25 %."""
    took = []
    for number in range(3):
        stable = _image(place)
        env = {"PYTEST_DEPLOY_FAILPOINT": "after-done:2:SIGKILL"}
        status = _start(place, (), env, text=f"killed {number}").wait()
        if status != -signal.SIGKILL:
            row("recover of a deploy killed at 25 %", f"it ended with {status}", "<= 5 s", met=False)
            return
        time.sleep(5)  # the lease of 4 s
        began = time.perf_counter()
        status = recover(place, place.folder / "recover.txt")
        took.append(time.perf_counter() - began)
        if status != 1 or place.pods() != {stable: 20}:
            row("recover of a deploy killed at 25 %", f"exit {status}, {place.pods()}", "<= 5 s", met=False)
            return
    median = statistics.median(took)
    row("recover of a deploy killed at 25 %, to verified", f"{median:.1f} s", "<= 5 s", met=median <= 5)


def _many(found: Sandbox, folder: Path, row: Row) -> None:
    """So many deploys of as many releases at once, against one alone."""
    places = [_installed(found, folder, f"many-{number}") for number in range(MANY)]
    alone, _, status = _run([places[0]], "alone")
    took, peak_mb, ended = _run(places, "at once")
    row(
        f"{MANY} deploys of {MANY} releases at once / one",
        f"{took / alone:.1f}x ({took:.0f} s / {alone:.0f} s), {ended.count(0)} committed, {status}",
        "all committed",
        met=ended == [0] * MANY,
    )
    row("peak memory of each of them", f"{peak_mb:.0f} MB", "<= 120 MB", met=peak_mb <= 120)


def _run(places: Sequence[Place], text: str) -> tuple[float, float, list[int]]:
    """Return how long the last one took, the highest peak memory, and each one's exit status."""
    began = time.perf_counter()
    running = {_start(place, (), {}, text=text).pid for place in places}
    peak_kb, ended = 0, []
    while running:
        pid, status, usage = os.wait4(-1, 0)
        if pid in running:
            running.remove(pid)
            peak_kb = max(peak_kb, usage.ru_maxrss)
            ended.append(os.waitstatus_to_exitcode(status))
    return time.perf_counter() - began, peak_kb / 1024, ended


def _installed(found: Sandbox, folder: Path, namespace: str) -> Place:
    place = Place(sandbox=found, namespace=namespace, folder=folder / namespace)
    place.folder.mkdir()
    place.kubectl("create", "namespace", namespace)
    digest = f"image.digest={digest_of(f'old {namespace}')}"
    place.helm("upgrade", "--install", SERVICE, str(CHART), "-f", str(CHART / "values-prod.yaml"), "--set", digest)
    eventually(lambda: place.pods() == {place.old: 20}, f"{namespace} is ready", within_s=120)
    return place


def _start(
    place: Place, options: Sequence[str], env: Mapping[str, str], *, text: str = "new"
) -> subprocess.Popen[bytes]:
    digest = f"@{digest_of(f'{text} {place.namespace}')}"
    profile = PROFILE.format(
        chart=CHART,
        namespace=place.namespace,
        release=SERVICE,
        helm=place.sandbox.binaries["helm3"],
        prometheus=place.sandbox.facts["prometheus_url"],
        digest=digest,
    )
    (place.folder / "deploy.sandbox.yaml").write_text(profile + _MORE, "utf-8")
    spans = dict.fromkeys(("w5", "w25", "w50", "w100", "after"), WINDOW_S)
    (place.folder / "prod.feature").write_text(FEATURE.format(**spans), "utf-8")
    argv = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, "prod.feature", "--sandbox")
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": str(place.folder),
        "PYTHONPATH": str(ROOT),
        "PYTEST_DEPLOY_CACHE": str(place.sandbox.cache),
    }
    with (place.folder / "output.txt").open("ab") as log:
        return subprocess.Popen(
            argv, cwd=place.folder, env={**variables, **env}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )


def _image(place: Place) -> str:
    template = place.rollout()["spec"]["template"]["spec"]["containers"][0]
    return str(template["image"]).partition("@")[2]
