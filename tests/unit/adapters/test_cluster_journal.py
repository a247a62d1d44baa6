"""The cluster's journal against an API server that loses answers, is slow, full or shared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pytest_deploy.adapters.cluster_journal import ClusterJournal
from pytest_deploy.adapters.journal_map import LIMIT_BYTES, JournalMap, permissions
from pytest_deploy.domain.action import External, Target, Undo, UndoKind
from pytest_deploy.domain.journal import Entry, EntryState, Milestone
from pytest_deploy.domain.policy import Answer, Decision
from pytest_deploy.errors import (
    DeployCancelled,
    DeployError,
    Faulted,
    Refused,
    Rejected,
    RemoteError,
    Throttled,
    Unreachable,
)
from tests.unit.adapters.config_map import Server

AT = datetime(2026, 11, 24, tzinfo=UTC)
LOST = Unreachable("PUT: ReadTimeoutError", hint="look")
UNDO = Undo(
    kind=UndoKind.UNINSTALL,
    release=Target(environment="e", context="c", namespace="n", name="svc"),
    rollout=None,
    container="c",
    known_good=None,
    timeout=timedelta(seconds=1),
)


@pytest.fixture
def server() -> Server:
    """An empty one."""
    return Server()


def journal_of(server: Server, deploy_id: str = "d") -> ClusterJournal:
    """Open the journal as a process of its own would."""
    return ClusterJournal(JournalMap(server, "shop", "svc"), deploy_id, by="ann at laptop")  # type: ignore[arg-type]


def milestone(seq: int, what: Milestone = Milestone.OPENED, deploy_id: str = "d", **more: Any) -> Entry:
    """Make an entry."""
    entry = Entry(seq=seq, at=AT, deploy_id=deploy_id, state=EntryState.MILESTONE, milestone=what)
    return replace(entry, **more)


def intent(seq: int, deploy_id: str = "d", **more: Any) -> Entry:
    """Make one that something is about to be changed."""
    action = External(system="registry", summary="push")
    return replace(
        Entry(seq=seq, at=AT, deploy_id=deploy_id, state=EntryState.INTENT, action=action, undo=UNDO), **more
    )


def raising(error: BaseException, *numbers: int) -> Callable[[int], None]:
    """Raise at the writes with these numbers."""

    def call(number: int) -> None:
        if number in numbers:
            raise error

    return call


@pytest.mark.parametrize("lost", [LOST, Faulted("500"), Throttled("429")])
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_answer_that_is_lost_is_looked_up(server: Server, lost: RemoteError, when: str) -> None:
    """Whether the write got through or not: after the append the entry stands there, once."""
    journal = journal_of(server)
    journal.append(milestone(1))
    setattr(server, when, raising(lost, 2))
    journal.append(intent(2))
    assert journal.entries() == (milestone(1), intent(2))
    assert server.writes == (2 if when == "after" else 3)


def test_an_answer_that_is_lost_at_the_very_first_write(server: Server) -> None:
    """The same holds for the write that makes the ConfigMap."""
    journal = journal_of(server)
    server.after = raising(LOST, 1)
    journal.append(milestone(1))
    assert (journal.entries(), server.writes) == ((milestone(1),), 1)


def test_a_server_that_stays_away_stops_the_deploy(server: Server) -> None:
    """After its patience the append fails, says that nothing is mutated, and keeps the hint."""
    journal = journal_of(server)
    server.before = raising(LOST, *range(100))
    with pytest.raises(DeployError, match=r"ConfigMap deploy-journal-svc in prod/shop: PUT.*nothing is mut") as caught:
        journal.append(milestone(1))
    assert (caught.value.hint, caught.value.cause) == ("look", "journal")
    assert server.clock.monotonic() <= 30
    assert server.object is None


def test_a_refusal_is_told_at_once_with_what_is_missing(server: Server) -> None:
    """What the server says no to is not tried again."""
    server.before = raising(Rejected("403, forbidden"), 1)
    with pytest.raises(DeployError, match="403, forbidden: nothing is mutated") as caught:
        journal_of(server).append(milestone(1))
    assert "get, create and update of configmaps" in caught.value.hint
    assert [str(each) for each in permissions("shop")] == [
        f"{v} configmaps in shop" for v in ("get", "create", "update")
    ]
    assert server.writes == 1


@pytest.mark.parametrize("stop", [LOST, DeployCancelled("SIGTERM")])
def test_an_append_that_never_returned_is_replaced(server: Server, stop: BaseException) -> None:
    """A write that landed after all, unknown to us, is no stranger's: the next entry takes its place."""
    journal = journal_of(server)
    journal.append(milestone(1))
    landed = server.object

    def lands_and_hangs(_: int) -> None:
        raise stop

    server.after = lands_and_hangs
    real, server.read = server.read, lambda *_, **__: (_ for _ in ()).throw(LOST)  # type: ignore[method-assign]
    with pytest.raises((DeployError, DeployCancelled)):
        journal.append(intent(2))
    assert server.object != landed
    server.after, server.read = lambda _: None, real  # type: ignore[method-assign]
    turned = milestone(2, Milestone.ROLLING_BACK)
    journal.append(turned)
    assert journal.entries() == (milestone(1), turned)


def test_a_conflict_is_read_again(server: Server) -> None:
    """A decision, or another deploy's pre-flight, between two entries costs one more try."""
    journal = journal_of(server)
    journal.append(milestone(1))
    journal_of(server, "other").append(milestone(1, deploy_id="other"))
    journal.append(intent(2))
    assert journal.entries() == (milestone(1), intent(2))
    assert journal_of(server, "other").entries() == (milestone(1, deploy_id="other"),)


def test_conflicts_without_end_are_an_error(server: Server) -> None:
    """Where others are always faster the append gives up, and nothing is mutated."""
    journal = journal_of(server)
    journal.append(milestone(1))
    server.before = lambda _: server.set("other", str(server.version))
    with pytest.raises(DeployError, match="changed by others again and again: nothing is mutated"):
        journal.append(intent(2))


def test_the_first_intent_decides_between_two(server: Server) -> None:
    """Two deploys that opened at the same time: the second intent is refused, with the first one's name."""
    one, two = journal_of(server, "one"), journal_of(server, "two")
    one.append(milestone(1, deploy_id="one"))
    two.append(milestone(1, deploy_id="two"))

    def first_is_faster(_: int) -> None:
        server.before = lambda _: None
        one.append(intent(2, "one"))

    server.before = first_is_faster
    with pytest.raises(DeployError, match=r"another deploy, one \(by ann at laptop\), has begun") as caught:
        two.append(intent(2, "two"))
    assert caught.value.cause == "foreign change"
    two.append(milestone(2, Milestone.CLOSED, "two"))
    one.append(intent(3, "one"))
    assert len(one.entries()) == 3


def test_what_another_one_did_before_is_no_hindrance(server: Server) -> None:
    """A deploy that died in the middle leaves its undos readable, and stops no later one by itself."""
    journal_of(server, "dead").append(milestone(1, deploy_id="dead"))
    journal_of(server, "dead").append(intent(2, "dead"))
    journal = journal_of(server)
    journal.append(milestone(1))
    journal.append(intent(2))
    assert [entry.undo for entry in journal_of(server, "dead").entries()] == [None, UNDO]


def test_the_dead_go_once_a_later_one_has_changed_something_and_ended(server: Server) -> None:
    """Its undos are kept over deploys that were only refused, and are void after one that found all at rest."""

    def deploy(name: str, minute: int, *, changes: bool) -> None:
        journal, at = journal_of(server, name), AT + timedelta(minutes=minute)
        entries = [milestone(1, deploy_id=name), *([intent(2, name)] if changes else [])]
        entries.append(milestone(len(entries) + 1, Milestone.CLOSED, name, observed="how it ended"))
        for entry in entries:
            journal.append(replace(entry, at=at))

    def kept(minute: int) -> tuple[list[str], str]:
        name = f"at {minute}"
        journal_of(server, name).append(milestone(1, deploy_id=name, at=AT + timedelta(minutes=minute)))
        page = JournalMap(server, "shop", "svc").read()  # type: ignore[arg-type]
        journal_of(server, name).append(milestone(2, Milestone.CLOSED, name, at=AT))
        return sorted(page.records), page.last["deploy_id"]

    journal_of(server, "dead").append(milestone(1, deploy_id="dead"))
    journal_of(server, "dead").append(intent(2, "dead"))
    journal_of(server, "lost").append(milestone(1, deploy_id="lost"))
    deploy("refused", 1, changes=False)
    assert kept(2) == (["at 2", "dead", "lost"], "refused")
    deploy("good", 3, changes=True)
    assert kept(4) == (["at 4", "lost"], "good")
    assert kept(2 * 24 * 60) == (["at 2880"], "at 4")


def test_a_damaged_deploy_harms_no_other_and_is_kept(server: Server) -> None:
    """What can't be read is told to whoever asks for it, and stays for a person to look at."""
    journal_of(server, "dead").append(milestone(1, deploy_id="dead"))
    server.set("dead.entries", '{"seq": 1, "at"')
    journal = journal_of(server)
    journal.append(milestone(1))
    journal.append(intent(2))
    with pytest.raises(DeployError, match="journal of deploy dead in the cluster is damaged"):
        journal_of(server, "dead").entries()
    assert server.object is not None
    assert server.object["data"]["dead.entries"] == '{"seq": 1, "at"'


@pytest.mark.parametrize("text", ["nonsense", "", '{"seq":7}\n'])
def test_our_own_entries_changed_stop_the_deploy(server: Server, text: str) -> None:
    """Whoever edits what we wrote keeps us from changing anything more."""
    journal = journal_of(server)
    journal.append(milestone(1))
    server.set("d.entries", text)
    with pytest.raises(DeployError, match=r"changed by somebody else|is damaged"):
        journal.append(intent(2))


def test_entries_out_of_order_are_damage(server: Server) -> None:
    """A missing entry is noticed: nothing is computed from the rest."""
    journal = journal_of(server)
    for entry in (milestone(1), intent(2)):
        journal.append(entry)
    assert server.object is not None
    server.set("d.entries", server.object["data"]["d.entries"].splitlines()[1])
    with pytest.raises(DeployError, match="entry 2 of d stands where entry 1 is due"):
        journal_of(server).entries()
    with pytest.raises(DeployError, match=r"entry 4 is given to ConfigMap .*, but entry 3 is due"):
        journal.append(intent(4))
    with pytest.raises(DeployError, match=r"entry 1 is given to ConfigMap .*, but entry 3 is due"):
        journal.append(milestone(1))


def test_a_full_map_takes_no_intent_and_every_end(server: Server) -> None:
    """Beyond half of the server's limit nothing new begins, and what is begun still finds room to end."""
    journal_of(server, "dead").append(milestone(1, deploy_id="dead"))
    server.set("other", "")
    server.set("dead.by", "x" * LIMIT_BYTES)
    journal = journal_of(server)
    journal.append(milestone(1))
    with pytest.raises(DeployError, match=rf"would hold 5\d+ bytes, the limit is {LIMIT_BYTES}: nothing is mutated"):
        journal.append(intent(2))
    journal.append(milestone(2, Milestone.CLOSED))
    assert [entry.milestone for entry in journal.entries()] == [Milestone.OPENED, Milestone.CLOSED]


def test_a_long_observation_is_cut_and_says_so(server: Server) -> None:
    """What a tool printed can't fill the map; its whole text is in the local journal."""
    journal = journal_of(server)
    journal.append(milestone(1, observed="a" * 5000))
    (found,) = journal.entries()
    assert found.observed == "a" * 2000 + " ... (3000 more characters)"


def test_a_config_map_of_somebody_else_is_not_touched(server: Server) -> None:
    """One of the same name without our labels is refused, not overwritten."""
    server.store({"metadata": {"name": "deploy-journal-svc"}, "data": {"d.entries": ""}})
    with pytest.raises(DeployError, match="is not ours: it has not the labels") as caught:
        journal_of(server).append(milestone(1))
    assert caught.value.cause == "journal"
    assert server.writes == 0


def test_a_summary_that_cant_be_read_is_none(server: Server) -> None:
    """It is for people: nothing depends on it."""
    journal_of(server).append(milestone(1))
    for text in ("{", "[1]"):
        server.set("last", text)
        assert JournalMap(server, "shop", "svc").read().last == {}  # type: ignore[arg-type]


HOLDING = milestone(2, Milestone.HOLDING, observed="p95 unknown | decide until 2026-11-24T00:30:00Z")
DECISION = Decision(hold=2, answer=Answer.PROMOTE, by="ann", reason="seen", at=AT)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_decision_whose_answer_is_lost_is_looked_up(server: Server, when: str) -> None:
    """It stands there once, and who gave it is not told that somebody else did."""
    journal = journal_of(server)
    journal.append(milestone(1))
    journal.append(HOLDING)
    setattr(server, when, raising(LOST, 3))
    journal_of(server).decide(DECISION)
    assert journal.decision(2) == DECISION
    assert server.object is not None
    assert len(server.object["data"]["d.decisions"].splitlines()) == 1


def test_a_decision_that_the_run_overtakes_is_refused(server: Server) -> None:
    """Between look and write the deploy moved on: the answer is not stored, and the person knows."""
    journal = journal_of(server)
    journal.append(milestone(1))
    journal.append(HOLDING)

    def overtaken(_: int) -> None:
        server.before = lambda _: None
        journal.append(milestone(3, Milestone.ROLLING_BACK))

    server.before = overtaken
    with pytest.raises(Refused, match="no gate is held"):
        journal_of(server).decide(DECISION)
    with pytest.raises(Refused, match="no deploy other is open in ConfigMap"):
        journal_of(server, "other").decide(DECISION)
    assert journal.decision(2) is None


def test_a_decision_that_cant_be_stored_is_an_error(server: Server) -> None:
    """Neither is it lost in silence where the server refuses it."""
    journal = journal_of(server)
    journal.append(milestone(1))
    journal.append(HOLDING)
    server.before = raising(Rejected("403"), 3)
    with pytest.raises(DeployError, match="can't be written"):
        journal_of(server).decide(DECISION)


def test_a_hold_without_a_deadline_is_damage(server: Server) -> None:
    """Whoever looks for holds is told which deploy's journal is wrong."""
    journal = journal_of(server)
    journal.append(milestone(1))
    journal.append(milestone(2, Milestone.HOLDING, observed="for ever"))
    record = JournalMap(server, "shop", "svc").read().records["d"]  # type: ignore[arg-type]
    with pytest.raises(DeployError, match="holds without a deadline"):
        assert record.hold
