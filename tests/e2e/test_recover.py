"""A machine that deploys is gone, and another one ends what it began: on the real parts, judged by kubectl and Helm."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.caller import Deploys, Running
from tests.e2e.conftest import Places
from tests.e2e.oracle import Place, digest_of, eventually
from tests.e2e.test_interrupted import hanging, pending

pytestmark = pytest.mark.real

SHORT_LEASE = ("--deploy-set=lock.lease_s=4", "--deploy-set=lock.renew_s=1")
"""A dead deploy is known to be dead after 4 seconds in place of a minute."""
CLI = (str(Path(sys.executable).with_name("pytest-deploy")),)


def another_machine(place: Place) -> Path:
    """Return a kubeconfig that lies elsewhere; the dead machine's stands in the journal."""
    copy = place.folder / "elsewhere" / "kubeconfig"
    copy.parent.mkdir(exist_ok=True)
    shutil.copy(place.kubeconfig, copy)
    return copy


def call(place: Place, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Call ``pytest-deploy`` as another machine does: with a deploy.yaml without a digest, and its own kubeconfig."""
    return subprocess.run(
        (*CLI, *arguments),
        cwd=place.folder,
        env={"PATH": os.environ["PATH"], "HOME": str(place.folder), "KUBECONFIG": str(another_machine(place))},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def recovered(place: Place, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Recover, and return the exit status and what JSON says of the one deploy."""
    done = call(place, "recover", "--json", *arguments)
    deploys = json.loads(done.stdout)["deploys"] if done.stdout else []
    assert len(deploys) == 1, done.stdout + done.stderr
    return done.returncode, deploys[0]


def begin(places: Places, deploys: Deploys, **files: Any) -> tuple[Place, Running]:
    """Begin a deploy that the other machine has a deploy.yaml for, too."""
    place = places()
    deploys.write(place, real=True, **files)
    return place, deploys.start(place, *SHORT_LEASE, **files)


def kill_all(place: Place, run: Running) -> None:
    """The machine is gone, with every process that it ran."""
    run.process.kill()
    run.process.wait()
    for pid in place.helm_pids():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    eventually(lambda: not place.helm_processes(), "Helm is gone, too")


def back(place: Place, revision: int) -> None:
    """Assert that the old version serves alone, by a rollback to the revision that ran before."""
    place.serves_only(place.old)
    assert place.history()[-1] == (revision, "deployed", "Rollback to 1")


def at_25(place: Place, run: Running) -> None:
    """Wait for the middle of the 25 % window."""
    run.until(lambda: place.at_weight(25) and place.pods()[place.old] == 15, "25 % are there")


def status(place: Place) -> Any:
    """What ``status --json`` says of the one open deploy."""
    (found,) = json.loads(call(place, "status", "--json", "--environment", "prod").stdout)["open"]
    return found


def test_killed_at_25_percent(places: Places, deploys: Deploys) -> None:
    """While it lives recover is refused; killed with -9, another machine takes it back; once more nothing is open."""
    place, run = begin(places, deploys, windows={"w25": 90})
    at_25(place, run)
    before = place.untouched()
    code, refused = recovered(place)
    assert (code, refused["outcome"]) == (4, None)
    assert "it lives" in refused["words"]
    assert place.untouched() == before
    living = status(place)
    assert (living["alive"], living["state"]) == (True, "raised")
    assert living["weight_percent"] == 25
    kill_all(place, run)
    eventually(lambda: not status(place)["alive"], "its lease has expired")
    assert status(place)["recover"] == "take it back"
    code, ended = recovered(place, "--wait")
    assert (code, ended["outcome"]) == (1, "ROLLED_BACK"), ended
    back(place, 3)
    note = Path(place.folder / ended["note"])
    assert "ROLLED BACK, verified" in note.read_text("utf-8").splitlines()[0]
    facts = json.loads(note.with_name("deploy.json").read_text("utf-8"))
    assert facts["image"]["old"].endswith(place.old)
    assert not [each for each in facts["actions"] if place.kubeconfig in each["command"]], "its own kubeconfig"
    again = call(place, "recover")
    assert (again.returncode, again.stdout) == (0, "checkout-api: nothing is open\n")
    back(place, 3)


@pytest.mark.parametrize("helm", ["helm3", "helm4"])
def test_killed_during_helm_upgrade(places: Places, deploys: Deploys, helm: str) -> None:
    """Helm's release is left pending by a slow hook: it is mended by its number, with no human."""
    place = places()
    chart = hanging(place)
    deploys.write(place, real=True, helm=helm, chart=chart)
    run = deploys.start(place, *SHORT_LEASE, helm=helm, chart=chart)
    run.until(partial(pending, place), "the upgrade hangs in its hook")
    kill_all(place, run)
    assert place.history()[-1][:2] == (2, "pending-upgrade")
    code, ended = recovered(place, "--wait")
    assert (code, ended["outcome"]) == (1, "ROLLED_BACK"), ended
    back(place, 3)


def test_the_next_deploy_ends_the_dead_one(places: Places, deploys: Deploys) -> None:
    """Nobody calls recover: the next deploy's pre-flight does, says so, and goes on with its own."""
    place, run = begin(places, deploys, windows={"w25": 90})
    at_25(place, run)
    dead = status(place)["deploy_id"]
    kill_all(place, run)
    eventually(lambda: not status(place)["alive"], "its lease has expired")
    run = deploys.start(place, *SHORT_LEASE, windows={"w5": 60})
    run.until(partial(run.says, "passed When 5% of the traffic"), "the next deploy has begun")
    assert f"deploy {dead}" in run.out
    assert "had died: ROLLED BACK, verified" in run.out
    run.send(signal.SIGTERM)
    assert run.end() == 2
    place.serves_only(place.old)


def by_edit(place: Place) -> None:
    """Another image, by kubectl."""
    image = f"registry.sandbox.invalid/checkout-api@{digest_of('a hotfix')}"
    path = "/spec/template/spec/containers/0/image"
    patch = json.dumps([{"op": "replace", "path": path, "value": image}])
    place.kubectl("patch", "rollout", "checkout-api", "--type", "json", "-p", patch, "--field-manager", "ann")


def by_promotion(place: Place) -> None:
    """All steps that are left are skipped, as the plugin of kubectl does it."""
    patch = json.dumps({"status": {"promoteFull": True}})
    where = ("--subresource", "status", "--field-manager", "ann")
    place.kubectl("patch", "rollout", "checkout-api", *where, "--type", "merge", "-p", patch)


def by_pause(place: Place) -> None:
    """The rollout is paused in its spec."""
    patch = json.dumps({"spec": {"paused": True}})
    place.kubectl("patch", "rollout", "checkout-api", "--type", "merge", "-p", patch, "--field-manager", "ann")


def by_helm(place: Place) -> None:
    """Another upgrade on top of ours, by Helm."""
    subprocess.run(place.upgrade_argv(digest_of("a hotfix")), check=True, capture_output=True, timeout=60)


STRANGERS: dict[str, tuple[Callable[[Place], None], str]] = {
    "edit": (by_edit, "neither ours"),
    "promotion": (by_promotion, "somebody promoted it"),
    "pause": (by_pause, "somebody paused the rollout by hand"),
    "helm": (by_helm, "neither ours"),
}


def test_what_somebody_else_did_is_left_alone(places: Places, deploys: Deploys) -> None:
    """A hotfix, a promotion, a pause, an upgrade after the death: exit 7 with who and when; nothing is changed."""
    started = {name: begin(places, deploys, windows={"w5": 90}) for name in STRANGERS}
    for place, run in started.values():
        run.until(lambda place=place: place.at_weight(5) and place.pods()[place.old] == 19, "5 % are there")
        kill_all(place, run)
    for name, (stranger, _) in STRANGERS.items():
        place, _ = started[name]
        stranger(place)
        generation = place.rollout()["metadata"]["generation"]
        eventually(
            lambda place=place, generation=generation: (
                place.rollout()["status"]["observedGeneration"] == str(generation)
            ),
            "the controller has seen it",
        )
    for name, (_, says) in STRANGERS.items():
        place, _ = started[name]
        before = place.history(), place.rollout()["spec"]
        code, ended = recovered(place, "--wait")
        assert (code, ended["outcome"]) == (7, "NEEDS_HUMAN"), (name, ended)
        assert says in ended["human"]["error"], ended
        who = {"promotion": "", "helm": "spec last written by helm at 20"}.get(name, "spec last written by ann at 20")
        assert who in ended["human"]["error"], ended
        assert (place.history(), place.rollout()["spec"]) == before
