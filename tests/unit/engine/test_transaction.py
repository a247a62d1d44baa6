"""The one door for mutations: nothing is done that could not be undone from the journal alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_deploy.domain import lifecycle
from pytest_deploy.domain.action import External
from pytest_deploy.domain.event import ActionDone, ActionFailed, ActionStarted, Warned
from pytest_deploy.domain.journal import EntryState, Milestone
from pytest_deploy.domain.patches import abort
from pytest_deploy.errors import DeployCancelled, DeployError, ToolFailed
from tests.unit.engine.conftest import Bench

Benches = Callable[..., Bench]
NOTE = External(system="chat", summary="post the note")


def states(bench: Bench) -> list[EntryState]:
    """What the journal says of each entry."""
    return [entry.state for entry in bench.world.ports().journal.entries()]


def test_the_intent_is_durable_before_anything_is_done(bench: Benches) -> None:
    """While the act runs its intent is in the journal already, and nothing more."""
    made = bench()
    seen: list[list[EntryState]] = []

    def act() -> str:
        seen.append(states(made))
        return "posted"

    assert made.deploy.tx.do(NOTE, undo=None, act=act) == "posted"
    assert seen == [[EntryState.MILESTONE, EntryState.INTENT]]
    assert states(made) == [EntryState.MILESTONE, EntryState.INTENT, EntryState.DONE]
    first, _, last = made.world.ports().journal.entries()
    assert (first.milestone, first.observed) == (Milestone.OPENED, "api to prod")
    assert (last.intent, last.observed) == (2, "posted")
    assert [type(event) for event in made.events] == [ActionStarted, ActionDone]


def test_what_the_journal_cant_hold_is_not_done(bench: Benches) -> None:
    """A journal that can't be written keeps the act from running; its number is used again."""
    made = bench()
    full = DeployError("the journal can't be written: no space left on device")

    def no_space(original: object, entry: object) -> None:
        raise full

    made.alter("journal", append=no_space)
    with pytest.raises(DeployError, match="no space left"):
        made.deploy.tx.do(NOTE, undo=None, act=lambda: pytest.fail("it was done without an intent"))
    assert not made.deploy.tx.opened
    assert made.events == []
    made.mend()
    made.deploy.tx.do(NOTE, undo=None, act=lambda: "posted")
    assert [entry.seq for entry in made.world.ports().journal.entries()] == [1, 2, 3]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ToolFailed("helm said no"), "helm said no"),
        (DeployCancelled("SIGTERM"), "SIGTERM received: the deploy stops and is undone"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
    ],
)
def test_an_act_that_fails_is_journalled_as_such(bench: Benches, error: BaseException, text: str) -> None:
    """Any error, a signal's included, leaves a FAILED entry that answers its intent, and goes on unchanged."""
    made = bench()

    def act() -> str:
        raise error

    with pytest.raises(type(error)) as raised:
        made.deploy.tx.do(NOTE, undo=None, act=act)
    assert raised.value is error
    last = made.world.ports().journal.entries()[-1]
    assert (last.state, last.intent, last.observed) == (EntryState.FAILED, 2, text)
    assert [event.error for event in made.told(ActionFailed)] == [text]


def test_what_failed_is_told_also_where_it_cant_be_noted(bench: Benches) -> None:
    """The disk fills up while the act fails: the act's own error goes on, not the journal's."""
    made = bench()

    def full(original: Callable[[object], None], entry: Any) -> None:
        if entry.state is EntryState.FAILED:
            raise DeployError("no space left on device")
        original(entry)

    def act() -> str:
        raise DeployCancelled("SIGTERM")

    made.alter("journal", append=full)
    with pytest.raises(DeployCancelled):
        made.deploy.tx.do(NOTE, undo=None, act=act)
    assert made.told(Warned)[0].text == "not in the journal (failed): no space left on device"
    assert made.told(ActionFailed)


def test_what_was_done_and_cant_be_noted_stops_the_deploy(bench: Benches) -> None:
    """Its intent is there, so that it is taken back."""
    made = bench()

    def full(original: Callable[[object], None], entry: Any) -> None:
        if entry.state is EntryState.DONE:
            raise DeployError("no space left on device")
        original(entry)

    made.alter("journal", append=full)
    with pytest.raises(DeployError, match="no space left"):
        made.raise_to(5)
    assert made.deploy.tx.undos


def test_an_action_outside_the_cluster_needs_somebody_to_do_it(bench: Benches) -> None:
    """Without a way to do it, it is an error of ours, and journalled as failed."""
    made = bench()
    with pytest.raises(TypeError, match="no way to execute 'post the note'"):
        made.deploy.tx.do(NOTE, undo=None)
    assert states(made) == [EntryState.MILESTONE, EntryState.INTENT, EntryState.FAILED]


def test_a_patch_goes_to_the_rollout_as_it_is_shown(bench: Benches) -> None:
    """What is told as the command is what the port gets."""
    made = bench()
    sent: list[object] = []
    made.alter("traffic", execute=lambda original, patch: sent.append(patch))
    patch = abort(made.deploy.rollout_target(), template_hash="x")
    made.deploy.tx.do(patch, undo=None)
    assert sent == [patch]
    assert "--subresource status" in made.told(ActionStarted)[0].command


def test_what_may_not_follow_is_not_written(bench: Benches) -> None:
    """A commitment of nothing is a mistake of ours: it is raised before the journal has it."""
    made = bench()
    with pytest.raises(lifecycle.IllegalMove, match="'committed', which may not follow 'idle'"):
        made.deploy.tx.milestone(Milestone.COMMITTED)
    assert states(made) == []
    made.deploy.tx.way_back = True
    made.deploy.tx.milestone(Milestone.ROLLING_BACK)
    assert len(states(made)) == 1, "on the way back nothing of ours stops it"
