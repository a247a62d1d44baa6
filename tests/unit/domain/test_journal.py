"""The journal alone says what has to be undone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pytest_deploy.domain.action import External, Target, Undo, UndoKind
from pytest_deploy.domain.journal import Entry, EntryState, Milestone, is_open, open_undos
from pytest_deploy.domain.rollout import KnownGood

AT = datetime(2026, 11, 24, tzinfo=UTC)


def undo(environment: str) -> Undo:
    """Return the way back of an environment."""
    target = Target(environment=environment, context="c", namespace="n", name="api")
    return Undo(
        kind=UndoKind.RESTORE_CANARY,
        release=target,
        rollout=target,
        container="api",
        known_good=KnownGood(revision=3, image="i@a", template_hash="old"),
        timeout=timedelta(minutes=5),
    )


def intent(seq: int, taken_back_by: Undo | None) -> Entry:
    """Return an intent."""
    action = External(system="x", summary="x")
    return Entry(seq=seq, at=AT, deploy_id="d", state=EntryState.INTENT, action=action, undo=taken_back_by)


def milestone(seq: int, which: Milestone) -> Entry:
    """Return a milestone."""
    return Entry(seq=seq, at=AT, deploy_id="d", state=EntryState.MILESTONE, milestone=which)


def test_an_intent_alone_is_to_be_undone() -> None:
    """A mutation whose end was never written may have happened."""
    assert open_undos([intent(1, undo("prod"))]) == (undo("prod"),)


def test_the_latest_is_undone_first_and_each_once() -> None:
    """Many promotes of one canary share one way back, and production goes before staging."""
    entries = [intent(1, undo("staging")), intent(2, undo("prod")), intent(3, undo("prod")), intent(4, None)]
    assert open_undos(entries) == (undo("prod"), undo("staging"))


def test_nothing_is_open_after_a_rollback() -> None:
    """What was taken back and verified is not taken back again; what follows it is."""
    entries = [intent(1, undo("prod")), milestone(2, Milestone.ROLLED_BACK)]
    assert open_undos(entries) == ()
    assert open_undos([*entries, intent(3, undo("staging"))]) == (undo("staging"),)


def test_a_commitment_leaves_the_way_back_open() -> None:
    """A breach after the commitment rolls back too."""
    assert open_undos([intent(1, undo("prod")), milestone(2, Milestone.COMMITTED)]) == (undo("prod"),)


def test_open_until_closed() -> None:
    """A journal is open from its first milestone until CLOSED."""
    assert not is_open([])
    assert not is_open([intent(1, None)])
    assert is_open([milestone(1, Milestone.OPENED), intent(2, None)])
    assert is_open([milestone(1, Milestone.OPENED), milestone(2, Milestone.NEEDS_HUMAN)])
    assert not is_open([milestone(1, Milestone.OPENED), milestone(2, Milestone.CLOSED)])
