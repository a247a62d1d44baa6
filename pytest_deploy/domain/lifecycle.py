"""A deploy as a state machine over its journal: what may follow what, and what is to be done where it broke off.

The engine asserts it, recover acts by it, the simulator checks against it. Acts that need no way back (a note posted,
each act of a way back) and the ends of acts (done, failed) change no state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum, auto

from pytest_deploy.domain.action import Purpose, RolloutPatch, Undo
from pytest_deploy.domain.journal import Entry, Milestone

__all__ = ["IllegalMove", "Move", "State", "after", "move", "state_of"]


class State(StrEnum):
    """How far a deploy is, as its journal alone says it."""

    IDLE = "idle"
    """Nothing stands there."""
    OPEN = "open"
    """Begun; nothing was changed that would have to be taken back."""
    CHANGING = "changing"
    """The new version is brought somewhere, and no verdict has been given."""
    JUDGED = "judged"
    """Verdicts stand since the last change: the weight may rise, by whoever read them."""
    RAISED = "raised"
    """The weight rose, or the last promotion was sent; no verdict since."""
    HOLDING = "holding"
    """A gate waits for a person."""
    COMMITTED = "committed"
    """The new version was seen as the stable one."""
    HELD_AFTERWARDS = "held afterwards"
    """A gate of the committed version waits for a person."""
    ROLLING_BACK = "rolling back"
    ROLLED_BACK = "rolled back"
    """The old version was seen as all that runs."""
    NEEDS_HUMAN = "needs a human"
    """A way back failed; also whatever history this model knows nothing of."""
    CLOSED = "closed"


class Move(StrEnum):
    """What is to be done with a deploy whose process is gone."""

    NOTHING = "nothing: it is not open"
    CLOSE = "close it, once what serves is seen to be what it says"
    UNDO = "take it back"
    HUMAN = "call a human: nothing says what has to be taken back"


class _Change(StrEnum):
    START = auto()
    """A mutation that has a way back, and raises no weight by a promotion."""
    PROMOTE = auto()


class IllegalMove(ValueError):
    """An entry that may not follow what stands before it."""


_Sign = Milestone | _Change

_FORWARD: Mapping[State, Mapping[_Sign, State]] = {
    State.IDLE: {Milestone.OPENED: State.OPEN},
    State.OPEN: {_Change.START: State.CHANGING, Milestone.CLOSED: State.CLOSED},
    State.CHANGING: {
        _Change.START: State.CHANGING,
        Milestone.JUDGED: State.JUDGED,
        Milestone.CLOSED: State.CLOSED,  # a feature that only installs in staging
    },
    State.JUDGED: {
        _Change.START: State.JUDGED,
        Milestone.JUDGED: State.JUDGED,
        Milestone.HOLDING: State.HOLDING,
        _Change.PROMOTE: State.RAISED,
    },
    State.HOLDING: {Milestone.DECIDED: State.JUDGED},
    State.RAISED: {
        _Change.START: State.RAISED,
        Milestone.JUDGED: State.JUDGED,
        Milestone.COMMITTED: State.COMMITTED,
    },
    State.COMMITTED: {
        _Change.START: State.COMMITTED,
        Milestone.JUDGED: State.COMMITTED,
        Milestone.HOLDING: State.HELD_AFTERWARDS,
        Milestone.CLOSED: State.CLOSED,
    },
    State.HELD_AFTERWARDS: {Milestone.DECIDED: State.COMMITTED},
    State.ROLLING_BACK: {},
    State.ROLLED_BACK: {
        # Once more, where the journal could not take that it was: what stands before it is not open any more.
        Milestone.ROLLING_BACK: State.ROLLED_BACK,
        Milestone.NEEDS_HUMAN: State.ROLLED_BACK,
        Milestone.CLOSED: State.CLOSED,
    },
    State.NEEDS_HUMAN: {},
    State.CLOSED: {},
}
_BACK: Mapping[_Sign, State] = {
    Milestone.ROLLING_BACK: State.ROLLING_BACK,
    Milestone.ROLLED_BACK: State.ROLLED_BACK,
    Milestone.NEEDS_HUMAN: State.NEEDS_HUMAN,
}
"""From wherever something may have been changed; each alone, too: a way back goes on where the journal is full."""
_UNCHANGED = frozenset({State.IDLE, State.OPEN, State.CLOSED})
_ENDED = frozenset({State.IDLE, State.CLOSED})


def after(state: State, entry: Entry) -> State:
    """Return the state that follows; the same one where the entry changes none.

    Raises:
        IllegalMove: the entry may not follow: a weight that rises without a verdict, a commitment without one,
            anything after the end.
    """
    sign = _sign(entry)
    if sign is None:
        return state
    found = _FORWARD[state].get(sign) or (None if state in _UNCHANGED else _BACK.get(sign))
    if found is None:
        msg = f"entry {entry.seq} says {sign.replace('_', ' ')!r}, which may not follow {str(state)!r}"
        raise IllegalMove(msg)
    return found


def state_of(entries: Iterable[Entry]) -> State:
    """Return how far the deploy is; a history that can't be needs a human until it is rolled back or closed."""
    state = State.IDLE
    for entry in entries:
        try:
            state = after(state, entry)
        except IllegalMove:
            state = State.CLOSED if entry.milestone is Milestone.CLOSED else State.NEEDS_HUMAN
    return state


def move(state: State, undos: Sequence[Undo]) -> Move:
    """Return what is to be done with a deploy that nobody runs any more.

    What is not committed is taken back, never continued. A hold is over with the run that waited: without a decision
    it is rolled back.

    Args:
        undos: what its journal holds open (``open_undos``).
    """
    if state in _ENDED:
        return Move.NOTHING
    if state is State.COMMITTED:
        return Move.CLOSE
    if undos:
        return Move.UNDO
    return Move.HUMAN if state is State.NEEDS_HUMAN else Move.CLOSE


def _sign(entry: Entry) -> _Sign | None:
    if entry.milestone is not None:
        return entry.milestone
    if entry.undo is None:
        return None
    action = entry.action
    raises = isinstance(action, RolloutPatch) and action.purpose is Purpose.PROMOTE
    return _Change.PROMOTE if raises else _Change.START
