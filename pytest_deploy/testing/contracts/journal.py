"""What a journal must keep."""

# ruff: noqa: S101 - a contract is made of assertions

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pytest_deploy.domain.action import HelmRollback, HelmUninstall, HelmUpgrade, Target, Undo, UndoKind
from pytest_deploy.domain.journal import Entry, EntryState, Milestone, open_undos
from pytest_deploy.domain.patches import promote
from pytest_deploy.domain.rollout import KnownGood
from pytest_deploy.ports import Journal
from pytest_deploy.testing.contracts.world import NEW, OLD

__all__ = ["JournalContract"]


class JournalContract:
    """A durable record, in order."""

    @pytest.fixture
    def journal(self) -> Journal:
        """Give an empty journal; a subclass overrides it."""
        raise NotImplementedError

    def test_an_empty_journal_has_no_entries(self, journal: Journal) -> None:
        """Before the first append there is nothing."""
        assert list(journal.entries()) == []

    def test_what_was_appended_is_read_back(self, journal: Journal) -> None:
        """Entries of every kind come back equal and in order."""
        entries = _entries()
        for number, entry in enumerate(entries, start=1):
            journal.append(entry)
            assert list(journal.entries()) == entries[:number]

    def test_undo_is_computed_from_what_is_read_back(self, journal: Journal) -> None:
        """The undos of what was read are those of what was written."""
        entries = _entries()
        for entry in entries:
            journal.append(entry)
        assert open_undos(journal.entries()) == open_undos(entries)
        assert open_undos(entries)


def _entries() -> list[Entry]:
    """One entry of each kind, with every kind of action that is journalled."""
    target = Target(environment="prod", context="c", namespace="n", name="svc", kubeconfig="/k")
    at = datetime(2026, 11, 24, 10, 15, 0, 123456, tzinfo=UTC)
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
