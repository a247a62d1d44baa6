"""A failpoint is met once, where it says, and only by what goes to the cluster."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_deploy.domain.action import HelmRollback, Target
from pytest_deploy.domain.journal import Entry, EntryState, Milestone
from pytest_deploy.errors import Refused, Unreachable
from pytest_deploy.io import kubeconfig
from pytest_deploy.io.kubeconfig import Wire
from pytest_deploy.ports import Journal, Ports
from pytest_deploy.rehearsal.journal import MemoryJournal
from pytest_deploy.sandbox.failpoints import Failpoint, How, Point, chosen
from pytest_deploy.testing.clock import FakeClock

AT = datetime(2026, 1, 1, tzinfo=UTC)
SHOP = Target(environment="prod", context="sandbox-prod", namespace="prod", name="shop")


def entries(mutations: int) -> list[Entry]:
    """Return the journal of a deploy with so many mutations and a verdict after each."""
    found = [Entry(seq=1, at=AT, deploy_id="d", state=EntryState.MILESTONE, milestone=Milestone.OPENED)]
    for _ in range(mutations):
        intent = len(found) + 1
        found.append(Entry(seq=intent, at=AT, deploy_id="d", state=EntryState.INTENT))
        found.append(Entry(seq=intent + 1, at=AT, deploy_id="d", state=EntryState.DONE, intent=intent))
        judged = Entry(seq=intent + 2, at=AT, deploy_id="d", state=EntryState.MILESTONE, milestone=Milestone.JUDGED)
        found.append(judged)
    return found


def write(journal: Journal, lines: list[Entry]) -> None:
    """Write them into the journal."""
    for entry in lines:
        journal.append(entry)


class Died(BaseException):
    """Stands for the death of the process."""


def ports(**given: Any) -> Ports:
    """Return ports of which only the named ones are there."""
    missing = dict.fromkeys(("clock", "journal", "cluster", "helm", "traffic", "metrics"))
    return Ports(**{**missing, **given})


@pytest.mark.parametrize(
    ("point", "stands", "last"),
    [
        (Point.BEFORE_INTENT, 4, EntryState.MILESTONE),
        (Point.AFTER_INTENT, 5, EntryState.INTENT),
        (Point.AFTER_ACT, 5, EntryState.INTENT),
        (Point.AFTER_DONE, 6, EntryState.DONE),
    ],
)
def test_the_process_gets_its_signal_between_the_two_lines(point: Point, stands: int, last: EntryState) -> None:
    """At the second mutation, with exactly that much in the journal as the point says."""
    sent: list[tuple[int, int]] = []

    def kill(pid: int, number: int) -> None:
        sent.append((pid, number))
        raise Died

    journal = MemoryJournal()
    failpoint = Failpoint(point=point, number=2, how=How.SIGKILL, kill=kill)
    armed = failpoint.armed(ports(journal=journal)).journal
    with pytest.raises(Died):
        write(armed, entries(3))
    assert sent == [(os.getpid(), signal.SIGKILL)]
    assert (len(journal.entries()), journal.entries()[-1].state) == (stands, last)


def test_a_dead_deploys_journal_has_it_too() -> None:
    """A deploy that first takes a dead one back may die there."""
    sent: list[int] = []
    failpoint = Failpoint(point=Point.AFTER_DONE, number=1, how=How.SIGSTOP, kill=lambda _, number: sent.append(number))
    dead = ports(journal=MemoryJournal())
    of_deploy = failpoint.armed(ports(of_deploy=lambda _: dead)).of_deploy
    assert of_deploy is not None
    write(of_deploy("d").journal, entries(1))
    assert sent == [signal.SIGSTOP]


def test_it_is_met_once() -> None:
    """A process that survives its signal is left alone from then on, and its journal is whole."""
    sent: list[int] = []
    journal = MemoryJournal()
    failpoint = Failpoint(point=Point.AFTER_ACT, number=2, how=How.SIGSTOP, kill=lambda _, number: sent.append(number))
    armed = failpoint.armed(ports(journal=journal)).journal
    write(armed, entries(3))
    assert sent == [signal.SIGSTOP]
    assert list(armed.entries()) == entries(3)


def test_an_action_that_failed_is_not_after_its_act() -> None:
    """A mutation that ended in an error has no such moment."""
    sent: list[int] = []
    failpoint = Failpoint(point=Point.AFTER_ACT, number=1, how=How.SIGTERM, kill=lambda _, n: sent.append(n))
    armed = failpoint.armed(ports(journal=MemoryJournal())).journal
    _, intent, done, _ = entries(1)
    armed.append(replace(intent, seq=1))
    armed.append(replace(done, seq=2, intent=1, state=EntryState.FAILED))
    assert not sent


def test_a_partition_cuts_off_every_request_from_then_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it the API server and Helm answer; after it neither does, over connections that are open, too."""
    asked: list[str] = []

    def request(method: str, url: str, **_: object) -> object:
        asked.append(f"{method} {url}")
        return SimpleNamespace(status=200, headers={}, read=lambda _: b"{}", release_conn=lambda: None)

    wire = Wire(server="http://api", pool=SimpleNamespace(request=request), headers=dict)
    monkeypatch.setattr(kubeconfig, "open_wire", lambda *_: wire)
    config = tmp_path / "kubeconfig"
    config.write_text("contexts: [{name: sandbox-prod}]", "utf-8")
    failpoint = Failpoint(point=Point.AFTER_ACT, number=1, how=How.PARTITION)
    connection = failpoint.api(FakeClock()).at("sandbox-prod", config)
    done: list[object] = []
    helm = SimpleNamespace(execute=done.append, history=done.append, manifest=done.append)
    armed = failpoint.armed(ports(journal=MemoryJournal(), helm=helm))
    rollback = HelmRollback(target=SHOP, revision=1, timeout=timedelta(minutes=1))
    calls: list[Callable[[], object]] = [
        lambda: connection.patch("/x", []),
        lambda: connection.read("/x"),
        lambda: armed.helm.execute(rollback),
        lambda: armed.helm.history(SHOP),
        lambda: armed.helm.manifest(SHOP),
    ]
    for call in calls:
        call()
    assert (len(asked), len(done)) == (2, 3)
    write(armed.journal, entries(1))
    for call in calls:
        with pytest.raises(Unreachable, match="cut off"):
            call()
    assert (len(asked), len(done)) == (2, 3)


def test_the_variable_names_it() -> None:
    """Point, number and way; not set, there is none."""
    found = chosen({"PYTEST_DEPLOY_FAILPOINT": "before-intent:12:partition"})
    assert found is not None
    assert (found.point, found.number, found.how) == (Point.BEFORE_INTENT, 12, How.PARTITION)
    assert chosen({}) is None


@pytest.mark.parametrize("text", ["after-act:0:SIGKILL", "after-act:1:SIGHUP", "later:1:SIGKILL", "after-act:SIGKILL"])
def test_a_wrong_one_is_refused(text: str) -> None:
    """A misspelt failpoint that is never met would prove nothing."""
    with pytest.raises(Refused, match="is no failpoint"):
        chosen({"PYTEST_DEPLOY_FAILPOINT": text})
