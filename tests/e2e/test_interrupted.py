"""A deploy that is told to stop: it takes back what it changed, whenever the signal comes and however often."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.caller import Deploys, Running
from tests.e2e.conftest import Places
from tests.e2e.oracle import CHART, CLOCK, Place, digest_of, eventually

pytestmark = pytest.mark.real

HANGS = """\
{{- if ne .Values.image.digest "OLD" }}
apiVersion: v1
kind: Pod
metadata:
  name: {{ .Release.Name }}-hangs
  annotations: {helm.sh/hook: pre-upgrade}
spec:
  containers: [{name: hangs, image: registry.sandbox.invalid/hangs}]
{{- end }}
"""
"""A hook that never ends: a pod that no job owns runs for ever. The old version has none, so that it can be mended."""


def hanging(place: Place) -> Path:
    """Return a copy of the chart whose upgrade hangs in a hook."""
    chart = place.folder / "chart"
    shutil.copytree(CHART, chart)
    (chart / "templates" / "hangs.yaml").write_text(HANGS.replace("OLD", place.old), "utf-8")
    return chart


def pending(place: Place) -> bool:
    """Whether Helm says that an upgrade is under way, and the hook's pod is there."""
    return place.history()[-1][1] == "pending-upgrade" and "hangs" in place.kubectl("get", "pods", "-o", "name")


def interrupted(place: Place, run: Running, weight: str) -> None:
    """Assert exit 2 within seconds, the old version alone, and that JUnit and the note say so."""
    assert run.end(within_s=20) == 2, run.out
    assert "INTERRUPTED" in run.last
    assert "INTERNALERROR" not in run.out, run.out
    place.serves_only(place.old)
    assert place.history()[-1][1] == "deployed"
    assert place.helm_processes() == []
    assert run.junit[weight] in {"failure", "error"}, run.junit
    assert "Afterwards" not in run.junit
    assert "INTERRUPTED" in run.note.splitlines()[0]


def interrupt_at_25(places: Places, deploys: Deploys, signals: Sequence[Sequence[signal.Signals]]) -> None:
    """Run one deploy for each sequence of signals, side by side, and send them in the middle of the 25 % window."""
    started = [(place := places(), deploys.start(place, windows={"w25": 90}), numbers) for numbers in signals]
    for place, run, _ in started:
        run.until(partial(_judged_at_25, place), "25 % are there")
    CLOCK.sleep(timedelta(seconds=3))
    for place, run, numbers in started:
        run.send(numbers[0])
        eventually(partial(_no_traffic_to_the_canary, place), "traffic is back", within_s=5)
        for number in numbers[1:]:
            run.send(number)
            CLOCK.sleep(timedelta(milliseconds=200))
    for place, run, numbers in started:
        interrupted(place, run, "25%")
        assert "INTERRUPTED, rolled back, verified" in run.last
        assert place.history()[-1][2] == "Rollback to 1"
        assert numbers[0].name in run.note
        assert run.out.count("the rollback goes on") == len(numbers) - 1


def _judged_at_25(place: Place) -> bool:
    return place.at_weight(25) and place.pods()[place.old] == 15


def _no_traffic_to_the_canary(place: Place) -> bool:
    status = place.rollout()["status"]
    return bool(status.get("abort")) or status["stableRS"] == status["currentPodHash"]


def test_sigterm_in_a_window(places: Places, deploys: Deploys) -> None:
    """SIGTERM at 25 %: traffic is back and pytest ends within seconds, exit 2; impatience does not break it."""
    interrupt_at_25(places, deploys, [(signal.SIGTERM,), (signal.SIGTERM, signal.SIGTERM, signal.SIGINT)])


@pytest.mark.long
def test_sigint_and_sighup_in_a_window(places: Places, deploys: Deploys) -> None:
    """Ctrl-C and a terminal that goes away end it as SIGTERM does."""
    interrupt_at_25(places, deploys, [(signal.SIGINT,), (signal.SIGHUP,)])


def test_sigterm_during_helm_upgrade(places: Places, deploys: Deploys) -> None:
    """No Helm process and no pending release is left, with Helm 3 and 4, and the next deploy is not hindered."""
    started = []
    for helm in ("helm3", "helm4"):
        place = places()
        started.append((place, deploys.start(place, helm=helm, chart=hanging(place))))
    for place, run in started:
        run.until(partial(pending, place), "the upgrade hangs in its hook")
        assert len(place.helm_processes()) == 1
        run.send(signal.SIGTERM)
    for place, run in started:
        interrupted(place, run, "5%")


@pytest.mark.long
def test_sigterm_at_any_moment(places: Places, deploys: Deploys) -> None:
    """Before, while and after Helm starts the canary: a recorded failure, the old version, no release pending."""
    delays = [timedelta(milliseconds=60 * n) for n in range(24)]
    while delays:
        started = [
            (place := places(), deploys.start(place, helm=helm, windows={"w5": 60}), delays.pop(0))
            for helm in ("helm3", "helm4")
        ]
        for _, run, delay in started:
            run.until(partial(run.says, "Canary at 5%\n"), "the canary's scenario begins")
            CLOCK.sleep(delay)
            run.send(signal.SIGTERM)
        for place, run, _ in started:
            interrupted(place, run, "5%")


def test_a_release_left_pending_is_refused_and_mended(places: Places, deploys: Deploys, tmp_path: Path) -> None:
    """A killed Helm leaves its release pending: exit 4, nothing written; the command that is told mends it."""
    place = places()
    killed = subprocess.Popen(place.upgrade_argv(digest_of("killed"), "--timeout", "60s", chart=hanging(place)))
    eventually(partial(pending, place), "the upgrade hangs in its hook")
    killed.kill()
    killed.wait()
    before = place.untouched()
    run = deploys.start(place)
    assert run.end() == 4, run.out
    assert place.untouched() == before
    assert "pending: another operation runs or died" in run.out
    command = run.out.partition("if nobody works on it: ")[2].splitlines()[0]
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "helm").symlink_to(place.sandbox.binaries["helm3"])
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    subprocess.run(
        shlex.split(command),
        env={"PATH": path, "HOME": str(tmp_path), "KUBECONFIG": place.kubeconfig},
        check=True,
        timeout=60,
    )
    place.serves_only(place.old)
    run = deploys.start(place, windows={"w5": 60})
    run.until(partial(run.says, "passed When 5% of the traffic"), "the next deploy has begun")
    run.send(signal.SIGTERM)
    interrupted(place, run, "5%")
