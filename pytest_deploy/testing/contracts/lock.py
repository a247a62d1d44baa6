"""What a lock must keep: one holder at a time, and every earlier one out."""

# ruff: noqa: S101 - a contract is made of assertions

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

import pytest

from pytest_deploy.domain.action import Purpose, RolloutPatch, Target
from pytest_deploy.errors import LockHeld, LockLost, Rejected
from pytest_deploy.ports import Lock, Traffic

__all__ = ["LockContract", "Locks"]


class Locks(Protocol):
    """A workload with a Rollout at rest, and the processes that lock it; nobody does in the beginning."""

    @property
    def lease(self) -> timedelta:
        """How long a lock lasts without a renewal."""
        ...

    @property
    def traffic(self) -> Traffic:
        """Patches the Rollout."""
        ...

    @property
    def rollout(self) -> Target:
        """The Rollout that is fenced."""
        ...

    def process(self, deploy_id: str) -> Lock:
        """Return the lock of one more process, run by ``ann``."""
        ...

    def open(self, deploy_id: str) -> None:
        """Let the journal hold this deploy open."""
        ...

    def stop(self, lock: Lock) -> None:
        """Let the lock's process renew nothing any more: it is dead, or stopped."""
        ...

    def let_time_pass(self, duration: timedelta) -> None:
        """Wait, or let the virtual clock run."""
        ...


class LockContract:
    """One deploy at a time."""

    @pytest.fixture
    def locks(self) -> Locks:
        """Give a workload of its own; a subclass overrides it."""
        raise NotImplementedError

    def test_a_free_lock_has_no_holder(self, locks: Locks) -> None:
        """Before the first acquisition, and after each release."""
        lock = locks.process("a")
        assert lock.look() is None
        lock.acquire()
        lock.release()
        assert lock.look() is None

    def test_who_holds_it_is_seen_by_all(self, locks: Locks) -> None:
        """The deploy's id, who runs it, since when, its fence, and that it lives."""
        fence = locks.process("a").acquire()
        holder = locks.process("b").look()
        assert holder is not None
        assert (holder.deploy_id, holder.by, holder.fence, holder.expired) == ("a", "ann", fence, False)
        assert holder.since <= holder.renewed

    def test_the_second_is_told_of_the_first(self, locks: Locks) -> None:
        """It is refused, as ``recover`` too, and nothing of the first one changes."""
        first = locks.process("a")
        fence = first.acquire()
        for takeover in (False, True):
            with pytest.raises(LockHeld, match=f"deploy a .by ann. .* fence {fence}, alive") as caught:
                locks.process("b").acquire(takeover=takeover)
            assert caught.value.holder == "a"
        first.check()
        assert first.fence == fence

    def test_acquired_again_it_is_the_same(self, locks: Locks) -> None:
        """Whoever holds it has it: the fence stays."""
        lock = locks.process("a")
        assert lock.acquire() == lock.acquire() == lock.fence

    def test_it_lasts_as_long_as_its_process(self, locks: Locks) -> None:
        """Renewed in the background, it outlasts its lease twice."""
        lock = locks.process("a")
        lock.acquire()
        locks.let_time_pass(2 * locks.lease)
        lock.check()
        holder = lock.look()
        assert holder is not None
        assert not holder.expired
        with pytest.raises(LockHeld):
            locks.process("b").acquire(takeover=True)

    def test_expired_and_open_it_is_for_recover_alone(self, locks: Locks) -> None:
        """A deploy that died is taken over by whoever recovers it, under the next fence; a new one is refused."""
        fence = self._dead(locks, "a")
        locks.open("a")
        with pytest.raises(LockHeld, match="expired") as caught:
            locks.process("b").acquire()
        assert "pytest-deploy recover" in caught.value.hint
        heir = locks.process("a")
        assert heir.acquire(takeover=True) == fence + 1
        heir.check()

    def test_only_one_recovers(self, locks: Locks) -> None:
        """Two recover the same deploy, by its own id: the second one waits until the first has died, too."""
        self._dead(locks, "a")
        locks.process("a").acquire(takeover=True)
        with pytest.raises(LockHeld, match="alive"):
            locks.process("a").acquire(takeover=True)

    def test_expired_and_not_open_it_is_free(self, locks: Locks) -> None:
        """Where the journal holds nothing open there is nothing to recover."""
        fence = self._dead(locks, "a")
        assert locks.process("b").acquire() == fence + 1

    def test_whoever_lost_it_is_out_for_good(self, locks: Locks) -> None:
        """Woken after somebody else had it, also when it is free again: LockLost, each time, and no new renewal."""
        zombie = locks.process("a")
        zombie.acquire()
        locks.stop(zombie)
        locks.let_time_pass(1.3 * locks.lease)
        heir = locks.process("b")
        heir.acquire(takeover=True)
        with pytest.raises(LockLost, match="was lost to deploy b"):
            zombie.check()
        heir.release()
        with pytest.raises(LockLost):
            zombie.check()
        assert heir.look() is None

    def test_one_that_slept_and_was_not_missed_goes_on(self, locks: Locks) -> None:
        """Past its lease, and nobody else has had it: the check renews it, and it is alive for all again."""
        sleeper = locks.process("a")
        sleeper.acquire()
        locks.stop(sleeper)
        locks.let_time_pass(1.3 * locks.lease)
        sleeper.check()
        holder = sleeper.look()
        assert holder is not None
        assert not holder.expired

    def test_a_release_is_never_of_anothers(self, locks: Locks) -> None:
        """A zombie's release, a second one, and one without an acquisition do nothing."""
        zombie = locks.process("a")
        zombie.acquire()
        locks.stop(zombie)
        locks.let_time_pass(1.3 * locks.lease)
        heir = locks.process("a")
        fence = heir.acquire(takeover=True)
        zombie.release()
        zombie.release()
        locks.process("c").release()
        holder = heir.look()
        assert holder is not None
        assert (holder.deploy_id, holder.fence) == ("a", fence)
        heir.check()

    def test_one_that_is_left_is_for_recover_within_seconds(self, locks: Locks) -> None:
        """Whoever leaves it open stops renewing it: recover need not wait, and a new deploy is refused as before."""
        lock = locks.process("a")
        fence = lock.acquire()
        locks.open("a")
        lock.leave()
        with pytest.raises(LockLost):
            lock.check()
        locks.let_time_pass(timedelta(seconds=2.5))  # a server may tell its time in whole seconds
        with pytest.raises(LockHeld, match=r"deploy a .by ann. .* expired"):
            locks.process("b").acquire()
        heir = locks.process("a")
        assert heir.acquire(takeover=True) == fence + 1
        lock.leave()
        heir.check()

    def test_what_is_not_held_can_not_be_checked(self, locks: Locks) -> None:
        """Neither before the acquisition nor after the release."""
        lock = locks.process("a")
        with pytest.raises(LockLost):
            lock.check()
        lock.acquire()
        lock.release()
        for asked in (lock.check, lambda: lock.fence):
            with pytest.raises(LockLost):
                asked()

    def test_each_acquisition_has_a_higher_fence(self, locks: Locks) -> None:
        """Whoever acquires it, and after a release, too."""
        fences = []
        for name in ("a", "b", "a"):
            lock = locks.process(name)
            fences.append(lock.acquire())
            lock.release()
        assert fences == sorted(set(fences))

    @pytest.mark.parametrize("on_status", [False, True])
    def test_a_patch_of_an_old_fence_is_refused(self, locks: Locks, *, on_status: bool) -> None:
        """On the Rollout and on its status: the holder's patch is taken, that of an earlier one is not."""
        first = locks.process("a")
        old = first.acquire()
        self._patch(locks, old, on_status=on_status)
        first.release()
        new = locks.process("b").acquire()
        with pytest.raises(Rejected):
            self._patch(locks, old, on_status=on_status)
        self._patch(locks, new, on_status=on_status)

    def test_the_holder_outdates_its_own_patches(self, locks: Locks) -> None:
        """After a new fence, what it sent before and gave up is refused when it arrives; the lock stays its own."""
        lock = locks.process("a")
        old = lock.acquire()
        new = lock.refence()
        assert (new, lock.fence) == (old + 1, new)
        with pytest.raises(Rejected):
            self._patch(locks, old, on_status=True)
        self._patch(locks, new, on_status=True)
        locks.let_time_pass(1.3 * locks.lease)
        lock.check()

    def test_a_zombie_gets_no_new_fence(self, locks: Locks) -> None:
        """Whoever lost the lock stays behind the fence of the one who has it."""
        zombie = locks.process("a")
        zombie.acquire()
        locks.stop(zombie)
        locks.let_time_pass(1.3 * locks.lease)
        fence = locks.process("b").acquire(takeover=True)
        with pytest.raises(LockLost):
            zombie.refence()
        self._patch(locks, fence, on_status=True)

    def _dead(self, locks: Locks, deploy_id: str) -> int:
        """Let a process acquire it and die, and wait until that shows; return its fence."""
        lock = locks.process(deploy_id)
        fence = lock.acquire()
        locks.stop(lock)
        locks.let_time_pass(locks.lease + timedelta(seconds=1.5))  # a server may tell its time in whole seconds
        return fence

    def _patch(self, locks: Locks, fence: int, *, on_status: bool) -> None:
        """Send a patch that changes nothing but may be refused by its fence."""
        pauses, replicas = ("/status/pauseConditions", "null"), ("/spec/paused", "false")
        locks.traffic.execute(
            RolloutPatch(
                target=locks.rollout,
                purpose=Purpose.PROMOTE,
                before=(),
                change=(pauses if on_status else replicas,),
                on_status=on_status,
                after="nothing",
                fence=str(fence),
            )
        )
