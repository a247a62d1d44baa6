"""The lock on real parts: who comes second, what happens when it is taken away, and how a person frees it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.caller import Deploys
from tests.e2e.conftest import Places
from tests.e2e.kill_matrix import truth
from tests.e2e.kill_matrix.recover import recover
from tests.e2e.oracle import CLOCK, SERVICE, Place
from tests.e2e.test_crashes import LEASE, SLOWLY, rests, until_dead
from tests.e2e.test_interrupted import hanging, pending
from tests.e2e.test_strangers import pauses

pytestmark = pytest.mark.real

THIEF = '{"spec": {"holderIdentity": "thief", "leaseTransitions": 99}}'


def unlock(place: Place, holder: str) -> subprocess.CompletedProcess[str]:
    """Call ``pytest-deploy unlock`` as a person does."""
    cli = str(Path(sys.executable).with_name("pytest-deploy"))
    where = ("--sandbox", "--config", str(place.folder / "deploy.sandbox.yaml"), "--environment", "prod")
    env = {"PATH": os.environ["PATH"], "HOME": str(place.folder), "PYTEST_DEPLOY_CACHE": str(place.sandbox.cache)}
    argv = (cli, "unlock", "--holder", holder, "--reason", "the e2e test is the thief", *where)
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)


def test_a_lock_that_is_taken_away_ends_helm_and_the_deploy(places: Places, deploys: Deploys) -> None:
    """While an upgrade hangs: Helm is killed, nothing is written any more, exit 7; unlock and recover end it."""
    place = places()
    run = deploys.start(place, *LEASE, chart=hanging(place))
    run.until(partial(pending, place), "the upgrade hangs in its hook")
    (deploy_id,) = truth.deploys(place)
    before = truth.deploys(place)
    place.kubectl("patch", "lease", truth.LEASE, "--type", "merge", "-p", THIEF)
    assert run.end(within_s=30) == 7, run.out
    assert "was lost to deploy thief" in run.out
    assert f"pytest-deploy recover --deploy {deploy_id}" in run.out
    assert place.helm_processes() == []
    assert place.history()[-1][1] == "pending-upgrade"
    assert truth.deploys(place) == before
    refused = unlock(place, deploy_id)
    assert (refused.returncode, "holds no lock" in refused.stderr) == (4, True), refused.stderr
    until_dead(place)
    freed = unlock(place, "thief")
    assert freed.returncode == 0, freed.stderr
    lease = json.loads(place.kubectl("get", "lease", truth.LEASE, "-o", "json"))
    assert "the e2e test is the thief" in lease["metadata"]["annotations"]["pytest-deploy.dev/unlocked"]
    assert recover(place, place.folder / "recover.txt") == 1
    rests(place)


def test_the_second_one_waits_in_line(places: Places, deploys: Deploys) -> None:
    """With ``lock.wait_minutes`` it says for whom it waits, and deploys as soon as that one has ended."""
    place = places()
    first = deploys.start(place, *LEASE, windows=SLOWLY)
    first.until(partial(first.says, "passed When 5% of the traffic"), "the first one deploys")
    (first_id,) = truth.deploys(place)
    second = deploys.start(place, *LEASE, "--deploy-set=lock.wait_minutes=5")
    second.until(partial(second.says, first_id), "the second one says for whom it waits")
    assert not second.says("passed Given the stack")
    first.send(signal.SIGTERM)
    assert first.end(within_s=60) == 2, first.out
    assert second.end() == 0, second.out
    found, lease = truth.look(place), truth.lease(place)
    assert found.running == {found.wanted: found.replicas}
    assert found.wanted != place.old
    assert found.fence == "2"
    assert lease is not None
    assert (lease.holder, lease.transitions) == ("", 2)


@pytest.mark.long
def test_all_in_line_get_their_turn(places: Places, deploys: Deploys) -> None:
    """Two wait for a third: whoever is slower when it ends waits again, and deploys on top of what the quicker did."""
    place = places()
    first = deploys.start(place, *LEASE, windows=SLOWLY)
    first.until(partial(first.says, "passed When 5% of the traffic"), "the first one deploys")
    (first_id,) = truth.deploys(place)
    line = [deploys.start(place, *LEASE, "--deploy-set=lock.wait_minutes=5") for _ in range(2)]
    for each in line:
        each.until(partial(each.says, first_id), "it says for whom it waits")
    first.send(signal.SIGTERM)
    assert first.end(within_s=60) == 2, first.out
    assert [each.end() for each in line] == [0, 0], "\n".join(each.out for each in line)
    found = truth.look(place)
    assert found.running == {found.wanted: found.replicas}
    assert found.fence == "3"
    assert [row[1:] for row in place.history()[-2:]] == [
        ("superseded", "Upgrade complete"),
        ("deployed", "Upgrade complete"),
    ]


def test_what_needs_a_human_stays_locked(places: Places, deploys: Deploys) -> None:
    """Paused by hand, exit 7: the next deploy is told whose it is; once it may, recover ends it, and need not wait.

    The lease is good for a minute, and nobody waits for its end.
    """
    place = places()
    quickly = "--deploy-set=timeouts.rollback_minutes=0.25"
    run = deploys.start(place, quickly, windows=SLOWLY)
    run.until(partial(run.says, "passed When 5% of the traffic"), "the canary is there")
    (deploy_id,) = truth.deploys(place)
    pauses(place)
    assert run.end(within_s=60) == 7, run.out
    began = CLOCK.monotonic()
    second = deploys.start(place, quickly)
    assert second.end(within_s=60) == 4, second.out
    assert f"deploy {deploy_id} (by" in second.out
    assert "died and can't be taken back without a human" in second.out
    until_dead(place)
    refused = unlock(place, deploy_id)
    assert (refused.returncode, "has changed what nobody has taken back" in refused.stderr) == (4, True), refused.stderr
    assert f"pytest-deploy recover --deploy {deploy_id}" in refused.stderr
    place.kubectl("patch", "rollout", SERVICE, "--type=merge", "-p", '{"spec":{"paused":false}}')
    assert recover(place, place.folder / "recover.txt") == 1
    assert CLOCK.monotonic() - began < 50
    rests(place)
