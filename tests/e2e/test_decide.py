"""``decide`` and ``status`` as a person calls them, from a machine that has nothing but access to the cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pytest_deploy.adapters.cluster_journal import ClusterJournal
from pytest_deploy.adapters.journal_map import JournalMap
from pytest_deploy.domain.journal import Entry, EntryState, Milestone
from pytest_deploy.domain.policy import Answer
from pytest_deploy.io.kube import KubeApi
from tests.e2e.caller import Deploys
from tests.e2e.conftest import Places
from tests.e2e.oracle import CLOCK, SERVICE, Place

pytestmark = pytest.mark.real

ID = "20261124T101500Z-checkout-api-3f2a"
SENTENCE = "p95 latency of checkout-api at 25 %: no data"


class Caller:
    """Calls the verbs in the place's folder, and opens journals as a run does."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._api = KubeApi(clock=CLOCK)

    def journal(self, deploy_id: str = ID) -> ClusterJournal:
        """Open the journal beside the workload."""
        connection = self._api.at("sandbox-prod", self.place.kubeconfig)
        return ClusterJournal(JournalMap(connection, self.place.namespace, SERVICE), deploy_id, by="ann at laptop")

    def holds(self, journal: ClusterJournal, minutes: int = 30) -> None:
        """Open a deploy whose gate waits for a person from now on."""
        now = CLOCK.now()
        opened = Entry(seq=1, at=now, deploy_id=ID, state=EntryState.MILESTONE, milestone=Milestone.OPENED)
        journal.append(opened)
        words = f"{SENTENCE} | decide until {now + timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%SZ}"
        journal.append(replace(opened, seq=2, milestone=Milestone.HOLDING, observed=words))

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Call a verb on the sandbox."""
        return subprocess.run(
            (str(Path(sys.executable).with_name("pytest-deploy")), *arguments, "--sandbox"),
            cwd=self.place.folder,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.place.folder),
                "PYTEST_DEPLOY_CACHE": str(self.place.sandbox.cache),
                "USER": "bob",
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def caller(places: Places, deploys: Deploys) -> Caller:
    """The old version is installed and at rest; nothing is open."""
    place = places()
    deploys.write(place)
    return Caller(place)


def test_a_held_gate_is_decided_from_outside(caller: Caller) -> None:
    """Nothing held is refused with 4; what is held is shown with its weight; the answer names the account."""
    quiet = caller("status")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "checkout-api in prod: nothing is open\n", "")
    none = caller("decide", "promote", "--reason", "r")
    assert (none.returncode, none.stdout) == (4, "")
    assert "no gate is held: no deploy is open" in none.stderr

    journal = caller.journal()
    caller.holds(journal)
    shown = caller("status", "--json")
    assert shown.returncode == 0, shown.stderr
    (deploy,) = json.loads(shown.stdout)["open"]
    assert (deploy["deploy_id"], deploy["by"], deploy["weight_percent"]) == (ID, "ann at laptop", 100)
    assert (deploy["held"]["gate"], deploy["held"]["decided"]) == (SENTENCE, None)

    empty = caller("decide", "promote")
    assert (empty.returncode, journal.decision(2)) == (4, None)
    assert "a decision needs a reason" in empty.stderr
    done = caller("decide", "promote", "--reason", "seen in Grafana")
    assert done.returncode == 0, done.stderr
    assert f"since {journal.entries()[1].at:%Y-%m-%d %H:%M:%S} UTC in prod" in done.stdout
    decision = journal.decision(2)
    assert decision is not None
    # The account as kubectl tells it: the sandbox's administrator, by a client certificate.
    account = json.loads(caller.place.kubectl("auth", "whoami", "-o", "json"))["status"]["userInfo"]["username"]
    assert (decision.answer, decision.by, decision.reason) == (Answer.PROMOTE, f"{account} (bob)", "seen in Grafana")

    again = caller("decide", "abort", "--reason", "r")
    assert again.returncode == 4
    assert f"it is decided already: promote decided by {account} (bob)" in again.stderr
    assert SENTENCE in again.stderr


def test_an_answer_after_the_deadline_is_refused(caller: Caller) -> None:
    """Nobody is told that it was decided when the deploy goes back anyway."""
    journal = caller.journal()
    caller.holds(journal, minutes=0)
    late = caller("decide", "promote", "--reason", "r")
    assert (late.returncode, late.stdout, journal.decision(2)) == (4, "", None)
    assert "the deadline was" in late.stderr
