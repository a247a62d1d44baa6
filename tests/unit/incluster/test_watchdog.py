"""A deploy is recovered when its lock has expired, and never because nobody could look."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pytest_deploy.domain.lock import Holder
from pytest_deploy.errors import Unreachable
from pytest_deploy.incluster.watchdog import Recovered, Watchdog
from pytest_deploy.testing.clock import FakeClock

AT = datetime(2026, 11, 24, 12, tzinfo=UTC)
ALIVE = Holder(deploy_id="d1", by="ann", since=AT, renewed=AT, fence=3, expired=False)
DEAD = replace(ALIVE, expired=True)


class World:
    """A lock that the test sets, and a recover that notes when it is called.

    Args:
        status: what recover ends with; 0 and 1 free the lock, as it does.
    """

    def __init__(self, *, status: int = 1) -> None:
        self.clock = FakeClock()
        self.holder: Holder | Unreachable | None = None
        self.recovered: list[tuple[str, float]] = []
        self.said: list[str] = []
        self.status = status
        self.dog = Watchdog(["prod"], look=self.look, recover=self.recover, clock=self.clock, say=self.said.append)

    def look(self, name: str) -> Holder | None:
        """Give the holder, or fail as the API server does."""
        assert name == "prod"
        if isinstance(self.holder, Unreachable):
            raise self.holder
        return self.holder

    def recover(self, name: str, deploy_id: str) -> Recovered:
        """Note the call."""
        assert name == "prod"
        self.recovered.append((deploy_id, self.clock.monotonic()))
        if self.status in {0, 1}:
            self.holder = None
        return Recovered(status=self.status, words="ROLLED BACK, verified")

    def pass_time(self, seconds: int) -> None:
        """Let it look every five seconds."""
        for _ in range(0, seconds, 5):
            self.dog.look()
            self.clock.sleep(timedelta(seconds=5))


def test_an_expired_lock_is_recovered_once() -> None:
    """The holder is gone: recover is run at once, and once; who held it and what came of it is told."""
    world = World()
    world.holder = DEAD
    world.pass_time(600)
    assert world.recovered == [("d1", 0.0)]
    assert "deploy d1 (by ann)" in world.said[1]
    assert world.said[2] == "prod: recover of d1 ended with 1: ROLLED BACK, verified"


def test_a_deploy_that_lives_is_left_alone() -> None:
    """A lock that is renewed, or that nobody holds, is only looked at; a change is told, not each look."""
    world = World()
    world.pass_time(600)
    world.holder = ALIVE
    world.pass_time(3600)
    assert world.recovered == []
    assert world.said == ["prod: no deploy runs", "prod: deploy d1 runs"]


def test_silence_of_the_api_server_is_nobodys_death() -> None:
    """While the lock can't be read nothing is done, and it is told once."""
    world = World()
    world.holder = Unreachable("the API server is away")
    world.pass_time(600)
    assert world.recovered == []
    assert world.said == ["prod: the lock can't be read: the API server is away"]


def test_what_was_refused_is_tried_again_later() -> None:
    """Where recover could not end it, it is run again each minute, not at each look."""
    world = World(status=4)
    world.holder = DEAD
    world.pass_time(180)
    assert [at for _, at in world.recovered] == [0, 60, 120]


def test_what_needs_a_human_is_left_to_them() -> None:
    """After a 7 the same deploy is not tried again; the next one that dies is."""
    world = World(status=7)
    world.holder = DEAD
    world.pass_time(600)
    world.holder = replace(DEAD, deploy_id="d2")
    world.pass_time(600)
    assert [deploy for deploy, _ in world.recovered] == ["d1", "d2"]
