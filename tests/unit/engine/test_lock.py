"""What the engine does with the lock: taken before the first write, checked before each, given back at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pytest_deploy.domain.action import HelmRollback, RolloutPatch
from pytest_deploy.domain.event import ActionFailed, Waited, Warned
from pytest_deploy.domain.journal import Entry, EntryState, Milestone
from pytest_deploy.domain.lock import FENCE, Holder, blocks
from pytest_deploy.domain.outcome import Outcome
from pytest_deploy.domain.patches import promote_full
from pytest_deploy.engine import finish, plan, preflight, staging, turn
from pytest_deploy.errors import (
    DeployError,
    LockHeld,
    LockLost,
    Refused,
    Rejected,
    RollbackError,
    ToolFailed,
    Unreachable,
)
from pytest_deploy.rehearsal.lock import RehearsedLock
from tests.unit.engine.conftest import Bench

Benches = Callable[..., Bench]


def locked(made: Bench, deploy_id: str = "d1") -> RehearsedLock:
    """Give the deploy a lock, and return it."""
    lock = made.world.lock("prod", deploy_id, by="ann")
    made.use(replace(made.deploy.ports, lock=lock))
    return lock


def other(made: Bench) -> RehearsedLock:
    """Another deploy's lock of the same workload."""
    return made.world.lock("prod", "d0", by="bob at https://ci.example.com/7")


def entries(made: Bench) -> list[Entry]:
    """What stands in the journal."""
    return list(made.world.ports().journal.entries())


def fences(made: Bench) -> list[str | None]:
    """The fence of each patch that was begun, in order."""
    begun = [e.action for e in entries(made) if e.state is EntryState.INTENT]
    return [action.fence for action in begun if isinstance(action, RolloutPatch)]


def taken_over(made: Bench, lock: RehearsedLock) -> RehearsedLock:
    """Let the process sleep past its lease, and another one take the lock."""
    lock.beats = False
    made.run(70)
    heir = made.world.lock("prod", lock.deploy_id, by="recover")
    heir.acquire(takeover=True)
    return heir


# The first mutation


def test_nothing_is_written_before_the_lock_is_had(bench: Benches) -> None:
    """Who comes second writes nothing at all, not even into the journal, and is told who came first."""
    made = bench()
    locked(made)
    preflight.ensure(made.deploy)
    other(made).acquire()
    with pytest.raises(LockHeld, match=r"deploy d0 \(by bob at https://ci.example.com/7\) since 2026-.* alive") as held:
        made.raise_to(5)
    made.deploy.fail(held.value)
    assert entries(made) == []
    assert finish.close(made.deploy) is Outcome.REFUSED
    assert other(made).look() is not None


def test_pre_flight_alone_takes_no_lock(bench: Benches) -> None:
    """A deploy that is refused leaves no trace."""
    made = bench()
    lock = locked(made)
    preflight.ensure(made.deploy)
    assert lock.look() is None


def test_what_moved_since_pre_flight_is_seen_under_the_lock(bench: Benches) -> None:
    """Another deploy came and went in between: its revision is the last, and nothing is begun on top of it."""
    made = bench()
    lock = locked(made)
    preflight.ensure(made.deploy)
    made.deploy.base_revision -= 1
    with pytest.raises(Refused, match=r"revision 3 of .* is the last now .*, pre-flight saw 2") as refused:
        made.raise_to(5)
    assert refused.value.cause == "foreign change"
    made.deploy.fail(refused.value)
    assert entries(made) == []
    assert finish.close(made.deploy) is Outcome.REFUSED
    assert lock.look() is None


def test_patches_carry_the_fence(bench: Benches) -> None:
    """Every patch of the rollout that is locked, those of the way back too; one of staging can't."""
    made = bench()
    lock = locked(made)
    made.pass_through(5, 25)
    assert fences(made) == ["1"]
    finish.roll_back(made.deploy)
    assert fences(made) == ["1", "1"]
    rollout = made.deploy.rollout_target()
    patch = next(e.action for e in entries(made) if isinstance(e.action, RolloutPatch))
    assert patch.target == rollout
    assert patch.document()[0] == {"op": "test", "path": "/metadata/annotations/pytest-deploy.dev~1fence", "value": "1"}
    other_rollout = made.deploy.rollout_target(made.release.environments["staging"])
    assert made.deploy.tx._fenced(replace(patch, target=other_rollout, fence=None)) == replace(
        patch, target=other_rollout, fence=None
    )
    assert lock.fence == 1


def test_staging_is_changed_under_the_lock_too(bench: Benches) -> None:
    """The lock of the release is taken with the first mutation, wherever that is; pre-flight finds it is our own."""
    made = bench()
    lock = locked(made)
    staging.install(made.deploy, "staging")
    holder = lock.look()
    assert holder is not None
    assert holder.deploy_id == "d1"
    made.raise_to(5)


def test_the_plan_shows_the_fence(bench: Benches) -> None:
    """Each patch as it is sent; where nobody locks there is none."""
    made = bench()
    assert FENCE.partition("/")[2] + '","value"' not in "\n".join(plan.lines(made.deploy))
    locked(made)
    patches = [line for line in plan.lines(made.deploy) if " patch rollouts" in line]
    assert len(patches) == 5
    assert all('"path":"/metadata/annotations/pytest-deploy.dev~1fence","value":"<fence>"' in line for line in patches)


# Lost


def test_after_the_lock_is_lost_nothing_is_written(bench: Benches) -> None:
    """Neither the next step nor the way back, nor a line in the journal: exit 7, and recover is what is named."""
    made = bench()
    lock = locked(made)
    made.pass_through(5)
    heir = taken_over(made, lock)
    before = entries(made)
    with pytest.raises(LockLost, match=r"was lost to deploy d1 \(by recover\)") as lost:
        made.raise_to(25)
    made.deploy.fail(lost.value)
    with pytest.raises(RollbackError, match="writes nothing any more, its way back included") as error:
        finish.roll_back(made.deploy)
    assert error.value.commands == ("pytest-deploy recover --deploy d1 --environment prod",)
    assert finish.close(made.deploy) is Outcome.NEEDS_HUMAN
    assert entries(made) == before
    assert made.state().weight_percent == 5
    heir.check()


def test_lost_between_intent_and_act_the_act_is_not_done(bench: Benches) -> None:
    """The last check is right before the act."""
    made = bench()
    lock = locked(made)
    made.pass_through(5)

    def append(original: Any, entry: Entry) -> None:
        original(entry)
        if entry.state is EntryState.INTENT:
            taken_over(made, lock)

    made.alter("journal", append=append)
    with pytest.raises(LockLost):
        made.raise_to(25)
    assert entries(made)[-1].state is EntryState.INTENT
    assert made.state().weight_percent == 5
    assert "was lost to" in made.told(ActionFailed)[-1].error


def test_lost_while_helm_runs(bench: Benches) -> None:
    """Helm is killed then: it is the lock that is told of, not Helm, and no FAILED is written for the heir."""
    made = bench()
    lock = locked(made)

    def execute(original: Any, action: Any) -> str:
        taken_over(made, lock)
        raise ToolFailed("killed by us, because the lock was lost")

    made.alter("helm", execute=execute)
    with pytest.raises(LockLost) as lost:
        made.raise_to(5)
    assert isinstance(lost.value.__context__, ToolFailed)
    assert [e.state for e in entries(made)] == [EntryState.MILESTONE, EntryState.INTENT]


def test_lost_on_the_way_back(bench: Benches) -> None:
    """The way back stops where it is: whoever has the lock goes on with it."""
    made = bench()
    lock = locked(made)
    made.pass_through(5)

    def execute(original: Any, patch: Any) -> None:
        taken_over(made, lock)
        original(patch)

    made.alter("traffic", execute=execute)
    with pytest.raises(RollbackError, match=r"was lost to deploy d1 \(by recover\)") as error:
        finish.roll_back(made.deploy)
    assert error.value.commands[0].startswith("pytest-deploy recover --deploy d1")
    assert made.state().image == made.deploy.image.pinned
    assert not made.state().aborted
    assert finish.close(made.deploy) is Outcome.NEEDS_HUMAN


# Patches that may arrive late


def test_a_patch_without_an_answer_is_outdated_before_the_next(bench: Benches) -> None:
    """It may be under way still: what follows has the next fence, so that the server refuses the late one."""
    made = bench()
    locked(made)
    made.pass_through(5)
    sent: list[RolloutPatch] = []

    def execute(original: Any, patch: RolloutPatch) -> None:
        if not sent:
            sent.append(patch)
            raise Unreachable("no answer")
        original(patch)

    made.alter("traffic", execute=execute)
    with pytest.raises(Unreachable):
        made.raise_to(25)
    finish.roll_back(made.deploy)
    assert fences(made) == ["1", "2"]
    with pytest.raises(Rejected, match="fence"):
        made.world.ports().traffic.execute(sent[0])
    assert made.old_serves()


def test_a_patch_that_was_refused_is_not_outdated(bench: Benches) -> None:
    """The server has answered: nothing of it is under way."""
    made = bench()
    lock = locked(made)
    made.pass_through(5)
    made.fault("promote refused")
    with pytest.raises(Rejected):
        made.raise_to(25)
    finish.roll_back(made.deploy)
    assert lock.fence == 1


def test_an_intent_whose_answer_was_lost_was_never_acted_on(bench: Benches) -> None:
    """It may stand in the journal: its number is given again, and nothing is taken back for it."""
    made = bench()
    locked(made)

    def append(original: Any, entry: Entry) -> None:
        original(entry)
        if entry.state is EntryState.INTENT:
            raise DeployError("the journal can't be written: no answer")

    made.alter("journal", append=append)
    with pytest.raises(DeployError, match="no answer") as lost:
        made.raise_to(5)
    made.deploy.fail(lost.value)
    finish.roll_back(made.deploy)
    assert finish.close(made.deploy) is Outcome.REFUSED
    assert [entry.milestone for entry in entries(made)] == [Milestone.OPENED, Milestone.CLOSED]
    assert made.done() == []
    assert other(made).look() is None


# The end


def test_the_lock_is_given_back_once_the_journal_is_closed(bench: Benches) -> None:
    """Committed, or rolled back: free for the next one, in this order."""
    made = bench()
    lock = locked(made)
    seen: list[Milestone | None] = []

    def release(original: Any) -> None:
        seen.append(entries(made)[-1].milestone)
        original()

    made.alter("lock", release=release)
    made.committed().all_passed = True
    assert finish.close(made.deploy) is Outcome.COMMITTED
    assert seen == [Milestone.CLOSED]
    assert lock.look() is None


def test_what_needs_a_human_stays_locked(bench: Benches) -> None:
    """Nobody deploys over it: the next one is refused, until recover or unlock."""
    made = bench()
    lock = locked(made)
    made.pass_through(5)
    made.fault("rollback fails")
    with pytest.raises(RollbackError):
        finish.roll_back(made.deploy)
    assert finish.close(made.deploy) is Outcome.NEEDS_HUMAN
    lock.beats = False
    made.run(120)
    with pytest.raises(LockHeld, match="expired"):
        other(made).acquire()


def test_what_can_not_be_closed_stays_locked(bench: Benches) -> None:
    """Its journal says that it is open, so the lock says so too."""
    made = bench()
    lock = locked(made)
    made.pass_through(5)
    finish.roll_back(made.deploy)

    def append(original: Any, entry: Entry) -> None:
        raise DeployError("the journal can't be written")

    made.alter("journal", append=append)
    finish.close(made.deploy)
    assert any("could not be closed" in each.text for each in made.told(Warned))
    assert lock.look() is not None


def test_a_lock_that_can_not_be_given_back_is_told(bench: Benches) -> None:
    """It changes no outcome: it expires, and its deploy is closed."""
    made = bench()
    lock = locked(made)

    def release(original: Any) -> None:
        raise Unreachable("no answer")

    made.alter("lock", release=release)
    made.committed().all_passed = True
    assert finish.close(made.deploy) is Outcome.COMMITTED
    assert any("expires by itself" in each.text for each in made.told(Warned))
    lock.beats = False
    made.run(70)
    assert other(made).acquire() == 2


# The second one


def test_the_second_deploy_is_refused_by_its_pre_flight(bench: Benches) -> None:
    """Before anything else is looked at: who, where, since when, and that one can wait in line."""
    made = bench()
    locked(made)
    other(made).acquire()
    for check in (preflight.stack, preflight.release_status):
        made.deploy.checked.clear()
        with pytest.raises(LockHeld, match=r"held by deploy d0 .by bob at https://ci\.example\.com/7\)") as held:
            check(made.deploy)
        assert "lock.wait_minutes" in held.value.hint
    made.deploy.fail(held.value)
    assert finish.close(made.deploy) is Outcome.REFUSED


def test_it_is_asked_once(bench: Benches) -> None:
    """Each check of pre-flight asks; the answer is the first one's."""
    made = bench()
    locked(made)
    preflight.stack(made.deploy)
    other(made).acquire()
    preflight.release_status(made.deploy)


def test_it_waits_in_line(bench: Benches) -> None:
    """As long as deploy.yaml says, telling whom it waits for; then it is its turn."""
    made = bench()
    locked(made)
    made.deploy.limits = replace(made.deploy.limits, lock=timedelta(minutes=10))
    first = other(made)
    first.acquire()
    made.world.clock.after(timedelta(minutes=7), first.release)
    turn.wait(made.deploy)
    waited = made.told(Waited)
    assert {each.what for each in waited} == {"the deploy that holds the lock to end"}
    assert "deploy d0 (by bob at https://ci.example.com/7)" in waited[0].seen
    assert made.world.clock.monotonic() == pytest.approx(420, abs=3)
    assert first.look() is None


@pytest.mark.parametrize("where", ["prod", "staging"])
def test_of_two_in_line_the_slower_waits_again(bench: Benches, where: str) -> None:
    """Another one takes the lock between our turn and our first write: once it has ended, all is looked at anew."""
    made = bench()
    locked(made)
    made.deploy.limits = replace(made.deploy.limits, lock=timedelta(minutes=10))
    preflight.ensure(made.deploy)
    quicker = other(made)
    quicker.acquire()
    made.world.clock.after(timedelta(minutes=4), quicker.release)
    if where == "prod":
        made.raise_to(5)
    else:
        staging.install(made.deploy, "staging")
    assert made.world.clock.monotonic() == pytest.approx(240, abs=15)
    assert made.deploy.limits.lock == pytest.approx(timedelta(minutes=6), abs=timedelta(seconds=5))
    assert "deploy d0" in made.told(Waited)[0].seen
    assert entries(made)[0].milestone is Milestone.OPENED


def test_what_the_quicker_one_brought_is_the_known_good(bench: Benches) -> None:
    """It was committed: our way back goes to its version, never to the one from before."""
    made = bench()
    locked(made)
    made.deploy.limits = replace(made.deploy.limits, lock=timedelta(minutes=10))
    preflight.ensure(made.deploy)
    quicker = other(made)
    quicker.acquire()

    rollout, release, ports = made.deploy.rollout_target(), made.deploy.release_target(), made.world.ports()
    assert release is not None
    ports.helm.execute(HelmRollback(target=release, revision=2, timeout=timedelta(minutes=1)))
    made.run(10)
    ports.traffic.execute(promote_full(rollout, observed_generation=made.state().observed_generation))
    made.run(60)
    made.world.clock.after(timedelta(minutes=1), quicker.release)
    theirs = made.state().image
    made.raise_to(5)
    (undo,) = made.deploy.tx.undos
    assert undo.known_good is not None
    assert (undo.known_good.revision, undo.known_good.image) == (4, theirs)
    assert theirs != made.old


def test_the_line_has_an_end(bench: Benches) -> None:
    """It says how long it waited."""
    made = bench()
    locked(made)
    made.deploy.limits = replace(made.deploy.limits, lock=timedelta(minutes=2))
    other(made).acquire()
    with pytest.raises(LockHeld, match=r"alive \(waited 120 s in line\)"):
        turn.wait(made.deploy)


def test_one_that_dies_while_others_wait_is_recovered(bench: Benches) -> None:
    """Whoever waits in line for it takes back what it left, says so, and goes on."""
    made = bench()
    lock = locked(made)
    made.pass_through(5)
    made.world.clock.after(timedelta(seconds=30), lambda: setattr(lock, "beats", False))
    after = bench()
    after.world, after.old = made.world, made.old
    after.deploy.id = "d2"

    def of_deploy(deploy_id: str) -> Any:
        return replace(made.world.ports(), lock=made.world.lock("prod", deploy_id))

    after.use(replace(made.world.ports(), lock=made.world.lock("prod", "d2"), of_deploy=of_deploy))
    after.deploy.limits = replace(after.deploy.limits, lock=timedelta(minutes=5))
    turn.wait(after.deploy)
    assert "deploy d1 (by ann) had died: ROLLED BACK, verified" in [each.text for each in after.told(Warned)]
    assert made.old_serves()
    assert made.world.lock("prod", "d2").look() is None


def test_the_words_of_a_holder() -> None:
    """Who, since when, alive or not; and what to do about it."""
    made = Bench()
    now = made.world.clock.now()
    holder = Holder(deploy_id="d", by="", since=now, renewed=now, fence=7, expired=True)
    assert holder.words == (
        "deploy d (by nobody known) since 2026-01-05 09:00:00 UTC, renewed 2026-01-05 09:00:00 UTC, fence 7, expired"
    )
    assert "pytest-deploy recover" in holder.hint
    assert turn._words(None) == "free"


@pytest.mark.parametrize(
    ("expired", "takeover", "is_open", "blocked"),
    [
        (False, False, False, True),
        (False, True, True, True),
        (True, False, True, True),
        (True, False, False, False),
        (True, True, True, False),
    ],
)
def test_when_a_holder_is_in_the_way(*, expired: bool, takeover: bool, is_open: bool, blocked: bool) -> None:
    """Alive always; expired only where its deploy is open and no recovery asks; a free lock never."""
    now = Bench().world.clock.now()
    holder = Holder(deploy_id="d", by="ann", since=now, renewed=now, fence=1, expired=expired)
    assert blocks(holder, deploy_id="d", takeover=takeover, is_open=lambda _: is_open) is blocked
    assert not blocks(None, deploy_id="d", takeover=takeover, is_open=lambda _: is_open)
    another = blocks(holder, deploy_id="e", takeover=takeover, is_open=lambda _: is_open)
    assert another is (not expired or is_open), "a recovery ends its own deploy, and takes no other one from the next"


def test_without_a_lock_a_deploy_goes_as_ever(bench: Benches) -> None:
    """A world that nobody else can reach needs none: no patch has a fence."""
    made = bench()
    made.pass_through(5, 25)
    assert fences(made) == [None]
