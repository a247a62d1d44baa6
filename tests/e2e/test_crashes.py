"""Deploys that die, are cut off, or race: one version is left, the journal is closed, and no human was needed."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Event, Thread

import pytest

from tests.e2e.caller import Deploys, Running
from tests.e2e.conftest import Places
from tests.e2e.kill_matrix import truth
from tests.e2e.kill_matrix.__main__ import run_all
from tests.e2e.kill_matrix.cells import cells, sample
from tests.e2e.kill_matrix.recover import recover
from tests.e2e.oracle import CLOCK, Place, Sandbox, eventually
from tests.e2e.test_interrupted import HANGS, hanging, pending

pytestmark = pytest.mark.real

LEASE = ("--deploy-set=lock.lease_s=4", "--deploy-set=lock.renew_s=1")
SLOWLY = {"w5": 90}


def until_dead(place: Place) -> None:
    """Wait until the lock of the deploy has expired, or is free."""
    eventually(lambda: (lease := truth.lease(place)) is None or lease.expired, "the lease expires", within_s=20)


def rests(place: Place) -> None:
    """Assert that the old version serves alone, and that nothing is left open: no release, journal, lock, process."""
    place.serves_only(place.old)
    assert place.history()[-1][1] == "deployed"
    assert {each: it.milestones for each, it in truth.deploys(place).items() if it.closed is None} == {}
    lease = truth.lease(place)
    assert lease is not None
    assert not lease.holder
    assert place.helm_processes() == []


def with_children(pid: int) -> Sequence[int]:
    """Return the process and all below it."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text("utf-8")
    return (pid, *(below for child in map(int, text.split()) for below in with_children(child)))


def cancelled_by_github(run: Running, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Do what a cancelled job does to the step's entry process, and to it alone: INT, TERM 7.5 s later, KILL at 10 s.

    https://docs.github.com/en/actions/reference/workflow-cancellation-reference

    Args:
        meanwhile: what is to be seen after the INT, within its 7.5 s.
    """
    for number, wait_s in ((signal.SIGINT, 7.5), (signal.SIGTERM, 2.5), (signal.SIGKILL, 0)):
        if run.process.poll() is None:
            run.send(number)
            began = CLOCK.monotonic()
            if number == signal.SIGINT:
                meanwhile()
            while run.process.poll() is None and CLOCK.monotonic() - began < wait_s:
                CLOCK.sleep(timedelta(milliseconds=50))
    run.end(within_s=5)


def test_a_sample_of_all_deaths(own_sandbox: Sandbox, tmp_path: Path) -> None:
    """Another sample in each CI run: every end is right, and each failpoint was met."""
    seed = int(os.environ.get("GITHUB_RUN_NUMBER", "1"))
    results = run_all(own_sandbox, tmp_path, sample(cells(seed), 8, seed), lanes=4)
    assert len(results) == 8
    assert [(seed, result) for result in results if result.word != "ok"] == []


def one_ended(runs: Sequence[Running]) -> bool:
    """Whether a run has ended."""
    return any(run.process.poll() is not None for run in runs)


def race(places: Places, deploys: Deploys, rounds: int) -> None:
    """Start two deploys of one release at once, so often; the one that is let in is stopped."""
    place = places()
    for number in range(rounds):
        both = [deploys.start(place, *LEASE, windows=SLOWLY) for _ in range(2)]
        eventually(partial(one_ended, both), "one is refused")
        refused, other = sorted(both, key=lambda it: it.process.poll() is None)
        assert refused.end() == 4, refused.out
        other.until(partial(other.says, "passed When 5% of the traffic"), "the other deploys")
        opened = [each for each, it in truth.deploys(place).items() if it.closed is None]
        assert len(opened) == 1, opened
        assert opened[0] in refused.out, f"round {number}: the holder {opened[0]} is not named:\n{refused.out}"
        other.send(signal.SIGTERM)
        assert other.end(within_s=30) == 2, other.out
        rests(place)


def test_two_pipelines_at_once(places: Places, deploys: Deploys) -> None:
    """Exactly one deploys; the other ends with 4 and says who does."""
    race(places, deploys, 3)


@pytest.mark.long
def test_two_pipelines_at_once_twenty_times(places: Places, deploys: Deploys) -> None:
    """Whoever comes first, and however close."""
    race(places, deploys, 20)


def test_a_stopped_deploy_that_wakes_changes_nothing(places: Places, deploys: Deploys) -> None:
    """Stopped before a promote for longer than its lease, and recovered meanwhile: woken, it writes nothing, exit 7."""
    place = places()
    stop = {"PYTEST_DEPLOY_FAILPOINT": "after-intent:2:SIGSTOP"}
    run = deploys.start(place, *LEASE, env=stop)
    eventually(partial(place.at_weight, 5), "5 % are there")
    until_dead(place)
    assert recover(place, place.folder / "recover.txt") == 1
    rests(place)
    before, lease, journal = place.untouched(), truth.lease(place), truth.deploys(place)
    run.send(signal.SIGCONT)
    assert run.end(within_s=60) == 7, run.out
    assert (place.untouched(), truth.lease(place), truth.deploys(place)) == (before, lease, journal)


def test_the_next_deploy_takes_a_dead_one_back(places: Places, deploys: Deploys) -> None:
    """Killed at 25 % and left alone: the next pipeline undoes it first, says so, and goes on."""
    place = places()
    run = deploys.start(place, *LEASE, env={"PYTEST_DEPLOY_FAILPOINT": "after-done:2:SIGKILL"})
    assert run.end() == -signal.SIGKILL, run.out
    (dead,) = truth.deploys(place)
    until_dead(place)
    run = deploys.start(place, *LEASE, windows=SLOWLY)
    run.until(partial(run.says, "passed When 5% of the traffic"), "the next one deploys")
    assert f"deploy {dead}" in run.out
    assert "had died: ROLLED BACK, verified" in run.out
    assert place.history()[-2][2] == "Rollback to 1"
    run.send(signal.SIGTERM)
    assert run.end(within_s=30) == 2, run.out
    rests(place)


def test_a_job_that_is_cancelled_in_a_window(places: Places, deploys: Deploys) -> None:
    """GitHub's INT at 25 %: traffic is back within two seconds, and all is undone before its KILL comes."""
    place = places()
    run = deploys.start(place, *LEASE, windows={"w25": 90})
    run.until(partial(run.says, "passed When 25% of the traffic"), "the window has begun", within_s=90)
    began = CLOCK.monotonic()
    run.send(signal.SIGINT)
    eventually(lambda: place.rollout()["status"].get("abort"), "traffic is back", within_s=2)
    assert CLOCK.monotonic() - began < 2
    assert run.end(within_s=7.5) == 2, run.out
    rests(place)


def test_a_job_that_is_cancelled_while_helm_hangs(places: Places, deploys: Deploys) -> None:
    """GitHub's INT, TERM and KILL during a hook that never ends: no Helm is left, and recover ends what is open."""
    place = places()
    run = deploys.start(place, *LEASE, chart=hanging(place))
    run.until(partial(pending, place), "the upgrade hangs in its hook")
    cancelled_by_github(run)
    eventually(lambda: not place.helm_processes(), "no Helm process is left", within_s=10)
    until_dead(place)
    assert recover(place, place.folder / "recover.txt") in {0, 1}
    rests(place)


def test_a_job_that_is_cancelled_and_comes_to_no_end(places: Places, deploys: Deploys) -> None:
    """GitHub's INT, TERM and KILL while Helm's rollback waits: traffic is back first, the journal says where it broke.

    Neither signal breaks the undo, and recover ends it.
    """
    place, chart = with_a_hook(places, "pre-rollback")
    run = deploys.start(place, *LEASE, windows={"w25": 90}, chart=chart)
    run.until(partial(run.says, "passed When 25% of the traffic"), "the window has begun", within_s=90)
    cancelled_by_github(
        run, lambda: eventually(lambda: place.rollout()["status"].get("abort"), "traffic is back", within_s=2)
    )
    assert run.process.returncode == -signal.SIGKILL, run.out
    assert run.says("SIGTERM again: the rollback goes on"), run.out
    eventually(lambda: not place.helm_processes(), "no Helm process is left", within_s=10)
    (dead,) = truth.deploys(place).values()
    assert dead.milestones[-1] == "rolling back"
    assert (dead.entries[-1]["state"], dead.intents[-1]) == ("intent", ("prod", "rollback"))
    until_dead(place)
    assert recovered_past_hooks(place) == 1
    rests(place)
    assert place.history()[-1][2] == "Rollback to 1"


def test_killed_with_its_helm_in_a_hook(places: Places, deploys: Deploys) -> None:
    """SIGKILL of all its processes: the release stays pending, and recover mends it by name, with no human."""
    place = places()
    run = deploys.start(place, *LEASE, chart=hanging(place))
    run.until(partial(pending, place), "the upgrade hangs in its hook")
    for pid in with_children(run.process.pid):
        os.kill(pid, signal.SIGKILL)
    run.end(within_s=5)
    assert place.history()[-1][1] == "pending-upgrade"
    until_dead(place)
    log = place.folder / "recover.txt"
    assert recover(place, log) == 1
    rests(place)
    assert "Helm: revision 3 is deployed (Rollback to 1)" in log.read_text("utf-8")
    assert place.history()[-1][2] == "Rollback to 1"


def test_killed_with_its_helm_in_a_rollback(places: Places, deploys: Deploys) -> None:
    """A rollback that is left pending has the old manifest already; the next one must change the Rollout all the same.

    Helm compares a custom resource with its last revision, not with what is there: asked again, it reports success
    and does nothing.
    """
    place, chart = with_a_hook(places, "pre-rollback")
    run = deploys.start(place, *LEASE, windows=SLOWLY, chart=chart)
    run.until(partial(run.says, "passed When 5% of the traffic"), "the canary is there")
    run.send(signal.SIGTERM)
    eventually(partial(hook_runs, place, "pending-rollback"), "the rollback waits for its hook")
    for pid in with_children(run.process.pid):
        os.kill(pid, signal.SIGKILL)
    run.end(within_s=5)
    assert place.history()[-1][1] == "pending-rollback"
    until_dead(place)
    assert recovered_past_hooks(place) == 1
    rests(place)


def with_a_hook(places: Places, hook: str) -> tuple[Place, Path]:
    """Install a copy of the chart with a hook that ends when its pod is said to have ended; return place and copy."""
    place = places(install=False)
    text = HANGS.partition("}}\n")[2].replace("{{- end }}", "").replace("pre-upgrade", hook)
    copy = place.chart(lambda _: None)
    (copy / "templates" / "hook.yaml").write_text(text, "utf-8")
    subprocess.run(place.upgrade_argv(place.old, chart=copy), check=True, capture_output=True, timeout=60)
    return place, copy


def recovered_past_hooks(place: Place) -> int:
    """Recover while each hook ends at once, and return the exit status."""
    ended = Event()
    ends_hooks = Thread(target=end_hooks, args=(place, ended))
    ends_hooks.start()
    try:
        return recover(place, place.folder / "recover.txt")
    finally:
        ended.set()
        ends_hooks.join()


def hook_runs(place: Place, status: str) -> bool:
    """Whether Helm's last revision has this status, and its hook's pod is there."""
    return place.history()[-1][1] == status and "hangs" in place.kubectl("get", "pods", "-o", "name")


def end_hooks(place: Place, ended: Event) -> None:
    """Let each hook's pod succeed as soon as it is there."""
    done = '{"status": {"phase": "Succeeded"}}'
    while not ended.wait(0.3):
        pods = place.kubectl("get", "pods", "--field-selector=status.phase=Running", "-o", "name").split()
        for pod in (name for name in pods if name.endswith("-hangs")):
            place.kubectl("patch", pod, "--subresource=status", "--type=merge", "-p", done)
