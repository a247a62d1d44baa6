"""The Lease where the API server does not answer, answers late, or is asked at the wrong moment; see the contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from threading import Event

import pytest
import urllib3

from pytest_deploy.adapters.fence import Fence
from pytest_deploy.adapters.lease import Lease
from pytest_deploy.adapters.lease_object import LeaseObject, permissions
from pytest_deploy.domain.lock import FENCE
from pytest_deploy.errors import DeployError, LockHeld, LockLost, RemoteError, Unreachable
from pytest_deploy.testing.clock import FakeClock
from tests.unit.adapters.api_server import ApiServer

LEASE = "/apis/coordination.k8s.io/v1/namespaces/shop/leases/deploy-shop"
ROLLOUT = "/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts/web"


class Rig:
    """A server, its clock, and processes that lock one workload; their threads never get to renew anything."""

    def __init__(self, ahead: timedelta) -> None:
        self.clock = FakeClock(datetime(2026, 11, 24, 14, 0, 0, 700000, tzinfo=UTC))
        self.server = ApiServer(self.clock, ahead=ahead)
        self.server.put(ROLLOUT, {"metadata": {"name": "web"}})
        self.open: set[str] = set()
        self.runs: dict[str, str] = {}
        self.processes: list[Lease] = []

    def process(self, deploy_id: str = "d") -> Lease:
        """One more."""
        connection = self.server.connect()
        made = Lease(
            LeaseObject(connection, "shop", "shop"),
            Fence(connection, "shop", "web"),
            deploy_id,
            by="ann",
            is_open=self.open.__contains__,
            lease=timedelta(seconds=60),
            renew=timedelta(seconds=5),
            still_runs=lambda by: self.runs.get(by, ""),
        )
        self.processes.append(made)
        return made

    def end(self) -> None:
        """Let no thread live on."""
        for each in self.processes:
            each._stop.set()

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.sleep(timedelta(seconds=seconds))

    @property
    def spec(self) -> dict[str, object]:
        """Of the Lease."""
        found: dict[str, object] = self.server.objects[LEASE]["spec"]
        return found

    @property
    def fence(self) -> str | None:
        """On the Rollout."""
        found: str | None = self.server.objects[ROLLOUT]["metadata"].get("annotations", {}).get(FENCE)
        return found

    def fails(self, *methods: str, times: int = 10**6, done: bool = False) -> None:
        """Let the next requests of these methods get no answer; ``done``: they were carried out all the same."""
        left = [times]

        def hook(method: str, path: str) -> None:
            del path
            if method in methods and left[0] > 0:
                left[0] -= 1
                raise urllib3.exceptions.ProtocolError("connection broken")

        self.server.before, self.server.after = (_nothing, hook) if done else (hook, _nothing)


def _nothing(method: str, path: str) -> None:
    """Nothing happens."""


@pytest.fixture
def rigs() -> Iterator[Callable[[timedelta], Rig]]:
    """Make rigs whose server is so much ahead; their threads end with the test."""
    made: list[Rig] = []

    def make(ahead: timedelta) -> Rig:
        made.append(Rig(ahead))
        return made[-1]

    yield make
    for each in made:
        each.end()


@pytest.fixture
def rig(rigs: Callable[[timedelta], Rig]) -> Rig:
    """Nobody holds the lock."""
    return rigs(timedelta())


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_an_acquisition_whose_answer_is_lost(rig: Rig, method: str, *, done: bool) -> None:
    """Whether it was written is looked up, never guessed: it is ours once, with one fence."""
    rig.fails(method, times=1, done=done)
    lock = rig.process()
    assert lock.acquire() == 1
    assert (rig.spec["holderIdentity"], rig.spec["leaseTransitions"], rig.fence) == ("d", 1, "1")
    lock.check()


def test_of_two_that_saw_it_free_one_has_it(rig: Rig) -> None:
    """The other one's Lease came first: it is read again, and refused."""
    first, second = rig.process("a"), rig.process("b")

    def first_is_faster(method: str, path: str) -> None:
        if method == "POST":
            rig.server.before = _nothing
            first.acquire()

    rig.server.before = first_is_faster
    with pytest.raises(LockHeld, match="held by deploy a"):
        second.acquire()
    assert rig.fence == "1"


def test_a_lease_that_others_change_again_and_again_is_given_up(rig: Rig) -> None:
    """With words, after the connection's patience."""
    lock = rig.process()
    lock.acquire()
    lock.release()

    def touch(method: str, path: str) -> None:
        if method == "PUT":
            rig.server.put(LEASE, rig.server.objects[LEASE])

    rig.server.before = touch
    with pytest.raises(RemoteError, match="Lease deploy-shop in prod/shop is changed by others again and again"):
        lock.acquire()


def test_a_fence_that_can_not_be_written_frees_the_lock(rig: Rig) -> None:
    """Nothing was begun under it, so that it is given back; who comes next has it at once."""
    rig.fails("PATCH")
    with pytest.raises(Unreachable):
        rig.process("a").acquire()
    rig.server.before = _nothing
    assert rig.process("b").acquire() == 2


def test_a_takeover_whose_fence_can_not_be_written_keeps_it_locked(rig: Rig) -> None:
    """What a dead deploy has left open is not let go: it expires again, and is recovered then."""
    rig.process("dead").acquire()
    rig.open.add("dead")
    rig.run(61)
    rig.fails("PATCH")
    with pytest.raises(Unreachable):
        rig.process("dead").acquire(takeover=True)
    rig.server.before = _nothing
    with pytest.raises(LockHeld):
        rig.process("b").acquire()
    rig.run(61)
    with pytest.raises(LockHeld, match="expired"):
        rig.process("b").acquire()
    assert rig.process("dead").acquire(takeover=True) == 3


def test_a_higher_fence_on_the_rollout_is_never_lowered(rig: Rig) -> None:
    """Somebody else has acquired it since: their number stays, and the lock is lost."""
    lock = rig.process()
    lock.acquire()
    rig.server.objects[ROLLOUT]["metadata"]["annotations"][FENCE] = "9"
    with pytest.raises(LockLost, match=r"the fence of Rollout web in prod/shop is 9, ours is 2"):
        lock.refence()
    assert rig.fence == "9"


def test_a_fence_that_is_no_number_is_told(rig: Rig) -> None:
    """It is not overwritten by a guess."""
    rig.server.objects[ROLLOUT]["metadata"]["annotations"] = {FENCE: "high", "team": "a"}
    with pytest.raises(DeployError, match="is 'high', no number") as caught:
        rig.process().acquire()
    assert "take the annotation away" in caught.value.hint


def test_annotations_of_others_stay(rig: Rig) -> None:
    """Only ours is written."""
    rig.server.objects[ROLLOUT]["metadata"]["annotations"] = {"team": "a"}
    rig.process().acquire()
    assert rig.server.objects[ROLLOUT]["metadata"]["annotations"] == {"team": "a", FENCE: "1"}


def test_a_rollout_that_moves_under_the_fence_is_read_again(rig: Rig) -> None:
    """What was seen before is not written over."""

    def move(method: str, path: str) -> None:
        if method == "PATCH":
            rig.server.before = _nothing
            rig.server.put(ROLLOUT, {"metadata": {"name": "web", "annotations": {"team": "a"}}})

    rig.server.before = move
    rig.process().acquire()
    assert rig.server.objects[ROLLOUT]["metadata"]["annotations"] == {"team": "a", FENCE: "1"}


def test_a_recent_renewal_costs_no_request(rig: Rig) -> None:
    """A check asks nobody until 35 s after it: then it renews."""
    lock = rig.process()
    lock.acquire()
    rig.server.asked.clear()
    rig.run(34)
    lock.check()
    assert rig.server.asked == []
    rig.run(2)
    lock.check()
    assert rig.server.asked == [("PUT", LEASE)]
    lock.check()
    assert len(rig.server.asked) == 1


def test_nobody_answers_for_a_while(rig: Rig) -> None:
    """Within 40 s of the last renewal it is ours still; past that nobody knows, and it is lost for good."""
    lock = rig.process()
    lock.acquire()
    rig.fails("PUT", "GET")
    rig.run(39)
    lock.check()
    assert not lock.lost.is_set()
    rig.run(2)
    with pytest.raises(LockLost, match="was not renewed for 41 s: API server of prod: PUT"):
        lock.check()
    assert lock.lost.is_set()
    rig.server.before = _nothing
    for asked in (lock.check, lock.acquire, lock.refence):
        with pytest.raises(LockLost, match="was not renewed for 41 s"):
            asked()


def test_a_renewal_whose_answer_is_lost_is_ours(rig: Rig) -> None:
    """The next one finds another version, reads it, and goes on."""
    lock = rig.process()
    lock.acquire()
    rig.run(36)
    rig.fails("PUT", times=1, done=True)
    lock.check()
    rig.run(1)
    lock.check()
    assert rig.spec["renewTime"] == "2026-11-24T14:00:37.000000Z"


def test_a_renewal_between_two_writes_of_others_is_tried_again(rig: Rig) -> None:
    """Changed twice while it is renewed: not lost as long as the last renewal is recent."""
    lock = rig.process()
    lock.acquire()
    rig.run(36)

    def touch(method: str, path: str) -> None:
        if method == "PUT":
            rig.server.put(LEASE, rig.server.objects[LEASE])

    rig.server.before = touch
    lock.check()
    rig.run(5)
    with pytest.raises(LockLost, match=r"was not renewed for 41 s: .* is changed by others again and again"):
        lock.check()


def test_a_suspended_machine_knows_that_it_slept(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A laptop's monotonic clock stands still in its sleep: the other one says that time has passed."""
    lock = rig.process()
    lock.acquire()
    stood = rig.clock.monotonic()
    rig.run(3600)
    monkeypatch.setattr(rig.clock, "monotonic", lambda: stood)
    rig.process("b").acquire()
    with pytest.raises(LockLost, match="was lost to deploy b"):
        lock.check()


def test_time_is_the_servers(rigs: Callable[[timedelta], Rig]) -> None:
    """Whatever our own clock says: acquired and renewed by the server's."""
    rig = rigs(timedelta(hours=3))
    lock = rig.process()
    lock.acquire()
    assert rig.spec["acquireTime"] == "2026-11-24T17:00:00.000000Z"
    rig.run(36)
    lock.check()
    assert str(rig.spec["renewTime"])[:19] == "2026-11-24T17:00:36"
    holder = rig.process("b").look()
    assert holder is not None
    assert not holder.expired


def test_freed_by_somebody_is_lost(rig: Rig) -> None:
    """``unlock`` took it: whoever held it finds nobody there, and is out."""
    lock = rig.process()
    lock.acquire()
    there = LeaseObject(rig.server.connect(), "shop", "shop")
    assert there.free(there.read(), why="unlocked by bob: it hangs") is not None
    notes = rig.server.objects[LEASE]["metadata"]["annotations"]
    assert notes["pytest-deploy.dev/unlocked"] == "unlocked by bob: it hangs"
    with pytest.raises(LockLost, match="lost to somebody who has freed it since"):
        lock.refence()


def test_a_release_goes_on_until_it_is_written(rig: Rig) -> None:
    """A lost answer, and a write of somebody else in between, cost a second try each."""
    lock = rig.process()
    lock.acquire()
    rig.fails("PUT", times=1)
    lock.release()
    assert rig.spec["holderIdentity"] is None
    assert rig.spec["leaseTransitions"] == 1


def test_without_an_acquisition_a_release_asks_nobody(rig: Rig) -> None:
    """A deploy that was refused before it began has nothing to give back."""
    rig.process().release()
    assert rig.server.asked == []


def test_to_leave_it_takes_no_time_where_nobody_answers(rig: Rig) -> None:
    """It expires by itself: a deploy that was cut off ends as soon as it can."""
    lock = rig.process()
    lock.acquire()
    rig.fails("GET", "PUT")
    began = rig.clock.monotonic()
    with pytest.raises(Unreachable):
        lock.leave()
    assert rig.clock.monotonic() - began <= 5
    assert lock._stop.is_set()
    assert rig.spec["leaseDurationSeconds"] == 60


def test_what_was_lost_is_not_left(rig: Rig) -> None:
    """It is somebody else's: nobody is asked."""
    lock = rig.process()
    lock.acquire()
    lock.lost.set()
    rig.fails("GET", "PUT")
    lock.leave()
    assert rig.spec["leaseDurationSeconds"] == 60


def test_the_thread_renews_until_it_is_stopped(rig: Rig) -> None:
    """Beat by beat; after the release, and once it is lost, no more."""
    lock = rig.process()
    lock.acquire()
    rig.run(50)  # so late that the next beat is due at once
    stop = Event()
    rig.server.after = lambda method, path: stop.set()
    lock._beat(stop)
    assert rig.spec["renewTime"] == "2026-11-24T14:00:50.000000Z"
    rig.run(50)
    lock.lost.set()
    rig.server.asked.clear()
    lock._beat(Event())
    assert rig.server.asked == []


def test_three_verbs_are_named() -> None:
    """What the pre-flight asks for."""
    assert [str(each) for each in permissions("shop")] == [
        f"{verb} leases.coordination.k8s.io in shop" for verb in ("get", "create", "update")
    ]


def test_a_lease_without_times_has_expired(rig: Rig) -> None:
    """Written by hand, it keeps nobody out for ever."""
    labels = {"app.kubernetes.io/managed-by": "pytest-deploy", "app.kubernetes.io/component": "deploy-lock"}
    rig.server.put(LEASE, {"metadata": {"name": "deploy-shop", "labels": labels}, "spec": {"holderIdentity": "x"}})
    holder = rig.process().look()
    assert holder is not None
    assert (holder.expired, holder.by, holder.fence) == (True, "", 0)


def test_a_reader_that_gets_no_answer_does_not_know(rig: Rig) -> None:
    """Silence is no free lock."""
    rig.fails("GET")
    with pytest.raises(Unreachable):
        rig.process().look()


def test_whose_ci_run_is_in_progress_is_not_recovered_under(rig: Rig) -> None:
    """Its lease has expired, but its runner may only be cut off: refused until the run has ended."""
    rig.process().acquire()
    rig.end()
    rig.run(61)
    rig.open.add("d")
    rig.runs["ann"] = "its CI run https://github.com/acme/web/actions/runs/7 is still in_progress"
    with pytest.raises(LockHeld, match=r"runs/7 is still in_progress: its process may only be cut off") as held:
        rig.process().acquire(takeover=True)
    assert held.value.holder == "d"
    rig.runs.clear()
    assert rig.process().acquire(takeover=True) == 2
