"""What a journal must keep."""

# ruff: noqa: S101 - a contract is made of assertions

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest

from pytest_deploy.domain.action import HelmRollback, HelmUninstall, HelmUpgrade, Target, Undo, UndoKind
from pytest_deploy.domain.journal import Entry, EntryState, Milestone, open_undos
from pytest_deploy.domain.patches import promote
from pytest_deploy.domain.policy import Answer, Decision
from pytest_deploy.domain.rollout import KnownGood
from pytest_deploy.errors import Refused
from pytest_deploy.ports import Journal
from pytest_deploy.testing.contracts.world import NEW, OLD

__all__ = ["Decides", "JournalContract"]

AT = datetime(2026, 11, 24, 10, 15, 0, 123456, tzinfo=UTC)


class Decides(Journal, Protocol):
    """A journal by which a person's answer reaches the deploy, too."""

    def decide(self, decision: Decision) -> None:
        """Store the answer to the hold that waits; raises Refused where it answers none."""
        ...


class JournalContract:
    """A durable record, in order, and the answers to its holds."""

    @pytest.fixture
    def journal(self) -> Decides:
        """Give an empty journal of deploy ``d``; a subclass overrides it."""
        raise NotImplementedError

    @pytest.fixture
    def elsewhere(self, journal: Decides) -> Decides:
        """Give the same journal as another process opens it; one that is in memory has no other."""
        return journal

    def test_an_empty_journal_has_no_entries(self, journal: Decides) -> None:
        """Before the first append there is nothing."""
        assert list(journal.entries()) == []

    def test_what_was_appended_is_read_back(self, journal: Decides) -> None:
        """Entries of every kind come back equal and in order."""
        entries = _entries()
        for number, entry in enumerate(entries, start=1):
            journal.append(entry)
            assert list(journal.entries()) == entries[:number]

    def test_another_process_reads_the_same(self, journal: Decides, elsewhere: Decides) -> None:
        """What was appended is there for everybody who opens the journal."""
        for entry in _entries():
            journal.append(entry)
        assert list(elsewhere.entries()) == _entries()

    def test_a_number_given_again_replaces_the_last(self, journal: Decides) -> None:
        """Whoever gives a number again has not acted on the entry that had it: it is as if it never was."""
        first, intent, *_ = _entries()
        journal.append(first)
        journal.append(intent)
        turned = replace(first, seq=2, milestone=Milestone.ROLLING_BACK)
        journal.append(turned)
        assert list(journal.entries()) == [first, turned]

    def test_a_hold_waits_until_it_is_decided(self, journal: Decides, elsewhere: Decides) -> None:
        """There is no decision before one is given, and it answers its own hold only."""
        for entry in _held():
            journal.append(entry)
        assert journal.decision(2) is None
        elsewhere.decide(DECISION)
        assert journal.decision(2) == DECISION
        assert journal.decision(1) is None

    def test_decisions_stand_between_no_entries(self, journal: Decides, elsewhere: Decides) -> None:
        """The deploy's entries go on by their numbers, whoever has decided meanwhile."""
        opened, hold = _held()
        journal.append(opened)
        journal.append(hold)
        elsewhere.decide(DECISION)
        decided = replace(hold, seq=3, milestone=Milestone.DECIDED, observed=DECISION.words)
        journal.append(decided)
        assert list(journal.entries()) == [opened, hold, decided]

    def test_the_first_answer_stands(self, journal: Decides, elsewhere: Decides) -> None:
        """A second person is refused, and told what the first one said."""
        for entry in _held():
            journal.append(entry)
        elsewhere.decide(DECISION)
        with pytest.raises(Refused, match="it is decided already: promote decided by ann"):
            elsewhere.decide(replace(DECISION, answer=Answer.ABORT, by="bob"))
        assert journal.decision(2) == DECISION

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            ({"hold": 1}, "for hold 1, but hold 2 waits: p95 latency unknown"),
            ({"at": AT + timedelta(minutes=30)}, r"the deadline was 2026-11-24 10:45:00 UTC"),
        ],
    )
    def test_an_answer_that_fits_no_question_is_refused(
        self, journal: Decides, elsewhere: Decides, change: dict[str, object], why: str
    ) -> None:
        """The answer to another hold, or one that comes too late, is not stored."""
        for entry in _held():
            journal.append(entry)
        with pytest.raises(Refused, match=why):
            elsewhere.decide(replace(DECISION, **change))  # type: ignore[arg-type]  # parametrized
        assert journal.decision(2) is None

    def test_without_a_hold_there_is_nothing_to_decide(self, journal: Decides, elsewhere: Decides) -> None:
        """A hold that is over takes no answer any more."""
        entries = _held()
        entries.append(replace(entries[1], seq=3, milestone=Milestone.ROLLING_BACK, observed="the deadline passed"))
        for entry in entries:
            journal.append(entry)
        with pytest.raises(Refused, match="no gate is held"):
            elsewhere.decide(DECISION)

    def test_undo_is_computed_from_what_is_read_back(self, journal: Decides) -> None:
        """The undos of what was read are those of what was written."""
        entries = _entries()
        for entry in entries:
            journal.append(entry)
        assert open_undos(journal.entries()) == open_undos(entries)
        assert open_undos(entries)


DECISION = Decision(hold=2, answer=Answer.PROMOTE, by="ann", reason='seen, "fine"\nby eye: ü', at=AT)


def _held() -> list[Entry]:
    """A deploy that waits for a person for half an hour."""
    opened = Entry(seq=1, at=AT, deploy_id="d", state=EntryState.MILESTONE, milestone=Milestone.OPENED)
    words = "p95 latency unknown | decide until 2026-11-24T10:45:00Z"
    return [opened, replace(opened, seq=2, milestone=Milestone.HOLDING, observed=words)]


def _entries() -> list[Entry]:
    """One entry of each kind, with every kind of action that is journalled."""
    target = Target(environment="prod", context="c", namespace="n", name="svc", kubeconfig="/k")
    at = AT
    timeout = timedelta(seconds=300.5)
    upgrade = HelmUpgrade(
        target=target,
        chart="charts/svc",
        values_files=("a.yaml", "b.yaml"),
        values=(("image.digest", f'"{NEW}"'),),
        base_revision=6,
        timeout=timeout,
        labels=(("deploy-id", "x"),),
    )
    undo = Undo(
        kind=UndoKind.RESTORE_CANARY,
        release=target,
        rollout=replace(target, kubeconfig=None),
        container="svc",
        known_good=KnownGood(revision=6, image=f"r@{OLD}", template_hash="abc"),
        timeout=timeout,
    )
    actions = (
        promote(target, step_index=1, template_hash="abc", weight=25),
        HelmRollback(target=target, revision=6, timeout=timeout),
        HelmUninstall(target=target, timeout=timeout),
    )
    entries = [
        Entry(seq=1, at=at, deploy_id="d", state=EntryState.MILESTONE, milestone=Milestone.OPENED),
        Entry(seq=2, at=at, deploy_id="d", state=EntryState.INTENT, action=upgrade, undo=undo),
        Entry(seq=3, at=at, deploy_id="d", state=EntryState.DONE, action=upgrade, intent=2, observed='it "said"\nyes'),
    ]
    for action in actions:
        entries.append(Entry(seq=len(entries) + 1, at=at, deploy_id="d", state=EntryState.INTENT, action=action))
    return entries
