"""A log is printed once, whatever happens to the connection; the end is the pod's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest

from pytest_deploy.errors import Unreachable, WaitTimedOut
from pytest_deploy.incluster.follow import Pod, follow
from pytest_deploy.testing.clock import FakeClock

LINES = [("2026-11-24T12:00:00.1Z", "one"), ("2026-11-24T12:00:00.1Z", "two"), ("2026-11-24T12:00:02.0Z", "three")]
RUNS = Pod(name="p", started=True, status=None, waits="")
WAITS = Pod(name="p", started=False, status=None, waits="ContainerCreating")
Moment = Callable[[], None]


class World:
    """A cluster of which each look is written down beforehand.

    Args:
        pods: what is seen, the last again and again.
        breaks: after how many lines each reading of the log breaks off; beyond the list none does.
    """

    def __init__(self, pods: Sequence[Pod | None], *, breaks: Sequence[int] = (), over_after: int = 3) -> None:
        self.pods, self.breaks, self.looks, self.over_after = list(pods), list(breaks), 0, over_after
        self.read_from: list[str | None] = []

    def pod(self) -> Pod | None:
        """See Watched."""
        self.looks += 1
        return self.pods.pop(0) if len(self.pods) > 1 else self.pods[0]

    def over(self) -> str:
        """See Watched."""
        return "Complete (no words)" if self.looks >= self.over_after else ""

    def lines(self, pod: str, since: str | None) -> Iterator[tuple[str, str]]:
        """See Watched."""
        self.read_from.append(since)
        # sinceTime counts whole seconds: the lines of that second come again.
        shown = [line for line in LINES if since is None or line[0][:19] >= since[:19]]
        count = self.breaks.pop(0) if self.breaks else len(shown)
        yield from shown[:count]
        if count < len(shown):
            raise Unreachable("the log broke off")


def followed(world: World) -> tuple[int | None, list[str], list[str]]:
    """Follow, and return the status, the lines, and what was said."""
    out: list[str] = []
    said: list[str] = []
    status = follow(world, clock=FakeClock(), out=out.append, say=said.append)
    return status, out, said


def test_the_whole_log_and_the_exit_status() -> None:
    """All lines once, in order, and the container's status."""
    ended = Pod(name="p", started=True, status=1, waits="")
    status, out, said = followed(World([WAITS, RUNS, ended]))
    assert (status, out) == (1, ["one", "two", "three"])
    assert said == ["the Job's pod waits: ContainerCreating"]


@pytest.mark.parametrize("breaks", [[0], [1], [2], [1, 1], [2, 1, 0], [1, 2, 1, 0, 0]])
def test_a_connection_that_breaks_loses_and_repeats_no_line(breaks: list[int]) -> None:
    """Wherever it breaks, between two lines of one moment too, each line is printed once; the loss is said once."""
    ended = Pod(name="p", started=True, status=0, waits="")
    status, out, said = followed(World([RUNS] * 8 + [ended], breaks=breaks, over_after=9))
    assert (status, out) == (0, ["one", "two", "three"])
    assert said == ["connection lost, the deploy goes on by itself: the log broke off"]


def test_a_pod_that_is_gone_has_no_status() -> None:
    """A Job whose pod was removed ends the watch without a status."""
    status, _, said = followed(World([RUNS, None], over_after=2))
    assert status is None
    assert said == ["the Job has ended, and its pod does not tell how: Complete (no words)"]


def test_an_image_that_can_not_be_pulled_ends_the_watch() -> None:
    """Two minutes without an image are an error that says what the node says; other waits are not."""
    missing = Pod(name="p", started=False, status=None, waits="ImagePullBackOff: not found")
    clock = FakeClock()
    with pytest.raises(WaitTimedOut, match="ImagePullBackOff: not found"):
        follow(World([missing], over_after=10_000), clock=clock, out=print, say=lambda _: None)
    assert 120 <= clock.monotonic() <= 125
    scarce = Pod(name="p", started=False, status=None, waits="Unschedulable: 0/3 nodes")
    assert followed(World([scarce], over_after=500))[0] is None


def test_a_cluster_that_is_away_for_long_ends_the_watch() -> None:
    """After ten minutes without an answer: an error whose hint is that the deploy goes on."""
    world = World([RUNS], breaks=[0] * 10_000, over_after=10_000)
    clock = FakeClock()
    with pytest.raises(Unreachable, match="could not be read for 10 min") as caught:
        follow(world, clock=clock, out=print, say=lambda _: None)
    assert "goes on by itself" in caught.value.hint
    assert 600 <= clock.monotonic() <= 610
