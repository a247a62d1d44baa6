"""What makes load must do."""

# ruff: noqa: S101 - a contract is made of assertions

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from pytest_deploy.ports import Load

__all__ = ["LoadContract", "LoadWorld"]


@dataclass(frozen=True, kw_only=True)
class LoadWorld:
    """Something that makes load, and a look at the load that there is.

    Args:
        flows: whether load reaches the service now; it may wait a moment for it to begin.
        ended: whether none reaches it any more; it may wait a moment, too.
        labels: the labels of the load that was seen so far.
    """

    load: Load
    flows: Callable[[], bool]
    ended: Callable[[], bool]
    labels: Callable[[], set[str]]


class LoadContract:
    """Requests between start and stop."""

    @pytest.fixture
    def world(self) -> LoadWorld:
        """Give a load that does not run; a subclass overrides it."""
        raise NotImplementedError

    def test_nothing_runs_before_start(self, world: LoadWorld) -> None:
        """A stop without a start says nothing, and does nothing."""
        assert world.load.stop() == ""
        assert world.labels() == set()

    def test_it_runs_from_start_to_stop(self, world: LoadWorld) -> None:
        """Load flows after start, carries the label, and has ended when stop has returned words about it."""
        world.load.start("d1 25%")
        try:
            assert world.flows()
        finally:
            words = world.load.stop()
        assert "load" in words
        assert world.ended()
        assert world.labels() == {"d1 25%"}

    def test_stop_may_be_called_again(self, world: LoadWorld) -> None:
        """The second stop says nothing, so that nothing is told twice."""
        world.load.start("d1 25%")
        assert world.load.stop()
        assert world.load.stop() == ""

    def test_it_can_begin_again(self, world: LoadWorld) -> None:
        """The next window has its own label; a start while it runs takes the place of what ran, and adds nothing."""
        for label in ("5%", "25%"):
            world.load.start(label)
            assert world.flows()
        world.load.stop()
        assert world.ended()
        assert world.labels() == {"5%", "25%"}
