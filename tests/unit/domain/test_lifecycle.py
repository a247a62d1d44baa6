"""The state machine of a deploy: read once as a table here, and held against every history that it allows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.domain.action import Action, External, Target, Undo, UndoKind
from pytest_deploy.domain.journal import Entry, EntryState, Milestone, is_open, open_undos
from pytest_deploy.domain.lifecycle import IllegalMove, Move, State, after, move, state_of
from pytest_deploy.domain.patches import abort, promote, set_image
from pytest_deploy.domain.rollout import KnownGood
from tests.unit.domain.test_journal import undo

TARGET = Target(environment="prod", context="c", namespace="n", name="api")
UNDO = undo("prod")
SIGNS = ("start", "promote", "act", *Milestone)
"""What an entry can be: a first change, a promotion, an act without a way back, or a milestone."""


def entry(seq: int, sign: str) -> Entry:
    """Return the entry that says this."""
    at = datetime(2026, 11, 24, tzinfo=UTC)
    if sign in set(Milestone):
        return Entry(seq=seq, at=at, deploy_id="d", state=EntryState.MILESTONE, milestone=Milestone(sign))
    actions: dict[str, Action] = {
        "start": set_image(TARGET, index=0, container="api", old="a", new="b"),
        "promote": promote(TARGET, step_index=1, template_hash="x", weight=25),
        "act": abort(TARGET, template_hash="x"),
    }
    taken_back_by = None if sign == "act" else UNDO
    return Entry(seq=seq, at=at, deploy_id="d", state=EntryState.INTENT, action=actions[sign], undo=taken_back_by)


def entries(*signs: str) -> list[Entry]:
    """Return a journal that says this."""
    return [entry(number, sign) for number, sign in enumerate(signs, 1)]


@st.composite
def histories(draw: st.DrawFn) -> list[str]:
    """Any history that the model allows."""
    state, signs = State.IDLE, list[str]()
    for _ in range(draw(st.integers(0, 25))):
        legal = [sign for sign in SIGNS if _allowed(state, sign)]
        if not legal:
            break
        sign = draw(st.sampled_from(legal))
        state = after(state, entry(len(signs) + 1, sign))
        signs.append(sign)
    return signs


def _allowed(state: State, sign: str) -> bool:
    try:
        after(state, entry(1, sign))
    except IllegalMove:
        return False
    return True


WHOLE = ("opened", "start", "start", "judged", "promote", "judged", "holding", "decided", "promote", "committed")


@pytest.mark.parametrize(
    ("signs", "state", "what"),
    [
        ((), State.IDLE, Move.NOTHING),
        (("opened",), State.OPEN, Move.CLOSE),
        (("opened", "act"), State.OPEN, Move.CLOSE),
        (("opened", "closed"), State.CLOSED, Move.NOTHING),
        (("opened", "start"), State.CHANGING, Move.UNDO),
        (("opened", "start", "closed"), State.CLOSED, Move.NOTHING),
        (("opened", "start", "judged"), State.JUDGED, Move.UNDO),
        (("opened", "start", "judged", "start"), State.JUDGED, Move.UNDO),
        (("opened", "start", "judged", "promote"), State.RAISED, Move.UNDO),
        (("opened", "start", "judged", "promote", "start"), State.RAISED, Move.UNDO),
        (("opened", "start", "judged", "holding"), State.HOLDING, Move.UNDO),
        (WHOLE, State.COMMITTED, Move.CLOSE),
        ((*WHOLE, "judged", "start"), State.COMMITTED, Move.CLOSE),
        ((*WHOLE, "holding"), State.HELD_AFTERWARDS, Move.UNDO),
        ((*WHOLE, "holding", "decided"), State.COMMITTED, Move.CLOSE),
        ((*WHOLE, "closed"), State.CLOSED, Move.NOTHING),
        ((*WHOLE, "rolling back"), State.ROLLING_BACK, Move.UNDO),
        (("opened", "start", "rolling back", "act"), State.ROLLING_BACK, Move.UNDO),
        (("opened", "start", "rolling back", "needs a human"), State.NEEDS_HUMAN, Move.UNDO),
        (("opened", "start", "rolling back", "needs a human", "rolling back"), State.ROLLING_BACK, Move.UNDO),
        (("opened", "start", "rolling back", "rolled back"), State.ROLLED_BACK, Move.CLOSE),
        (("opened", "start", "rolled back"), State.ROLLED_BACK, Move.CLOSE),
        (("opened", "start", "rolled back", "rolling back"), State.ROLLED_BACK, Move.CLOSE),
        (("opened", "start", "rolled back", "closed"), State.CLOSED, Move.NOTHING),
        (("opened", "start", "rolled back", "needs a human"), State.ROLLED_BACK, Move.CLOSE),
    ],
)
def test_where_a_deploy_is_and_what_is_to_be_done(signs: Sequence[str], state: State, what: Move) -> None:
    """Each state by a history that leads there, and the move when its process is gone."""
    found = entries(*signs)
    assert state_of(found) is state
    assert move(state, open_undos(found)) is what


@pytest.mark.parametrize(
    ("signs", "sign"),
    [
        ((), "start"),
        (("opened",), "opened"),
        (("opened",), "rolling back"),
        (("opened",), "judged"),
        (("opened", "start"), "promote"),
        (("opened", "start"), "committed"),
        (("opened", "start", "judged"), "committed"),
        (("opened", "start", "judged", "promote"), "promote"),
        (("opened", "start", "judged", "promote"), "closed"),
        (("opened", "start", "judged", "holding"), "promote"),
        ((*WHOLE,), "committed"),
        ((*WHOLE, "holding"), "closed"),
        (("opened", "start", "rolling back"), "closed"),
        (("opened", "start", "rolling back"), "promote"),
        (("opened", "start", "rolled back"), "start"),
        (("opened", "start", "rolling back", "needs a human"), "closed"),
        (("opened", "closed"), "opened"),
    ],
)
def test_what_may_not_follow(signs: Sequence[str], sign: str) -> None:
    """A weight without a verdict, a commitment without one, an end with something open: none of it is written."""
    found = entries(*signs)
    with pytest.raises(IllegalMove, match=rf"entry 9 says '{sign}', which may not follow '{state_of(found)}'"):
        after(state_of(found), entry(9, sign))


def test_ends_of_acts_change_nothing() -> None:
    """Done and failed are no states of the deploy: an intent counts as if it had happened."""
    begun = entry(2, "start")
    for state in (EntryState.DONE, EntryState.FAILED):
        done = Entry(seq=3, at=begun.at, deploy_id="d", state=state, action=begun.action, intent=2)
        assert all(after(each, done) is each for each in State)


def test_a_history_that_cant_be_needs_a_human() -> None:
    """What no version of this model can have written is taken back where it can be, and never called committed."""
    odd = entries("opened", "start", "committed")
    assert state_of(odd) is State.NEEDS_HUMAN
    assert move(State.NEEDS_HUMAN, open_undos(odd)) is Move.UNDO
    assert state_of(entries("opened", "start", "committed", "rolling back", "rolled back")) is State.ROLLED_BACK
    assert state_of(entries("opened", "start", "committed", "closed")) is State.CLOSED
    assert move(State.NEEDS_HUMAN, ()) is Move.HUMAN


@given(histories())
def test_every_history_has_a_defined_move(signs: list[str]) -> None:
    """Nothing is left open without a move, nothing that is open is called ended, and what was changed is known."""
    found = entries(*signs)
    state, undos = state_of(found), open_undos(found)
    what = move(state, undos)
    assert (what is Move.NOTHING) == (not is_open(found)) == (state in {State.IDLE, State.CLOSED})
    if state in {State.CHANGING, State.JUDGED, State.RAISED, State.HOLDING, State.HELD_AFTERWARDS}:
        assert (what, undos) == (Move.UNDO, (UNDO,))
    assert what is not Move.HUMAN, "that is for histories that can't be"


@given(histories())
def test_each_promotion_and_each_commitment_had_its_verdict(signs: list[str]) -> None:
    """Between two promotions, and before the first, there is a verdict; a commitment follows a promotion."""
    judged = promoted = False
    for sign in signs:
        if sign == "promote":
            assert judged
            judged, promoted = False, True
        elif sign == "committed":
            assert promoted
        judged |= sign == "judged"


@given(histories(), st.integers(0, 25))
def test_the_move_brings_it_to_its_end(signs: list[str], cut: int) -> None:
    """Cut off anywhere: what recover writes for the move is legal, and once it is written there is nothing to do."""
    signs = signs[:cut]
    found = entries(*signs)
    state, undos = state_of(found), open_undos(found)
    ends: dict[Move, tuple[str, ...]] = {
        Move.CLOSE: ("closed",),
        Move.UNDO: ("rolling back", "act", "rolled back", "closed"),
    }
    for sign in ends.get(move(state, undos), ()):
        state = after(state, entry(len(signs) + 1, sign))
        signs.append(sign)
    assert move(state, open_undos(entries(*signs))) is Move.NOTHING


def test_an_outside_act_is_no_change() -> None:
    """A note that is posted moves nothing."""
    note = Entry(
        seq=2,
        at=datetime(2026, 11, 24, tzinfo=UTC),
        deploy_id="d",
        state=EntryState.INTENT,
        action=External(system="chat", summary="post"),
    )
    assert after(State.COMMITTED, note) is State.COMMITTED


def test_an_uninstall_is_a_way_back_like_any_other() -> None:
    """What was not there before is removed."""
    gone = Undo(
        kind=UndoKind.UNINSTALL,
        release=TARGET,
        rollout=None,
        container="api",
        known_good=KnownGood(revision=None, image="a", template_hash="x"),
        timeout=UNDO.timeout,
    )
    assert move(State.CHANGING, (gone,)) is Move.UNDO
