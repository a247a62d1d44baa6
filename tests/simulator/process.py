"""A process of a schedule: each of its calls of the API server meets the faults that the seed has drawn for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from pytest_deploy.errors import DeployCancelled, DeployError, Faulted, Unreachable
from tests.simulator.scheduler import Actor, Dead, Scheduler

__all__ = ["Blow", "How", "Process", "running"]

T = TypeVar("T")

LATENCY = timedelta(milliseconds=20)
"""Of one call; meanwhile all others may run."""


class How(StrEnum):
    """What befalls a call."""

    KILLED_BEFORE = "killed before it"
    KILLED_AFTER = "killed after it, before its answer"
    CANCELLED = "cancelled by a signal"
    REFUSED = "no answer, and it had no effect"
    FAULTED = "the server failed, and it had no effect"
    LOST = "its answer is lost, it had its effect"
    LATE = "given up by the client, it has its effect later"
    SLOW = "slow, the process lives on"
    STOPPED_BEFORE = "the process is stopped before it, and wakes"
    STOPPED_AFTER = "the process is stopped after it, and wakes"
    CUT_OFF = "the API server is out of reach from here on, for a while"


@dataclass(frozen=True, slots=True, kw_only=True)
class Blow:
    """A fault at the n-th call, or at the n-th write; renewals of the lock are calls, and not counted as writes.

    Args:
        seconds: how long it lasts, where it lasts.
    """

    how: How
    nth: int
    write: bool
    seconds: float

    def __str__(self) -> str:
        lasts = f" ({self.seconds:g} s)" if self.how in _LASTING else ""
        return f"{'write' if self.write else 'call'} {self.nth}: {self.how}{lasts}"


_LASTING = frozenset({How.LATE, How.SLOW, How.STOPPED_BEFORE, How.STOPPED_AFTER, How.CUT_OFF})
_KILLS = frozenset({How.KILLED_BEFORE, How.KILLED_AFTER})
_PATIENCE = timedelta(seconds=10)
"""How long a client waits for an answer until it gives up, its own retries included."""


@dataclass(eq=False, kw_only=True)
class Process:
    """What stands between an engine and the simulated API server.

    Args:
        blows: what befalls it.
        trace: told each call, and whether it is a mere read that went well; None: nobody wants to know.
    """

    name: str
    scheduler: Scheduler
    blows: Sequence[Blow] = ()
    trace: Callable[[str, str, bool], None] | None = None
    calls: int = 0
    writes: int = 0
    dead: bool = False
    hardened: bool = False
    """Its way back is under way: signals are only counted from here on, as the session does it."""
    met: list[How] = field(default_factory=list)
    """The faults that came to pass."""
    looked: datetime | None = None
    """When it last looked at the rollout."""
    _cut_off_until: datetime | None = field(default=None, init=False)
    _main: Actor | None = field(default=None, init=False)
    _stopped_until: datetime | None = field(default=None, init=False)

    @property
    def reaches_server(self) -> bool:
        """Whether what it sends arrives now: it is alive, and not cut off."""
        now = self.scheduler.clock.now()
        return not (self.dead or (self._cut_off_until is not None and now < self._cut_off_until))

    def spawn(self, work: Callable[[], object], *, after: timedelta = timedelta()) -> Actor:
        """Begin a thread of it; the first one is the one whose writes are counted."""
        actor = self.scheduler.start(Actor(self.name, work, self), after=after)
        self._main = self._main or actor
        return actor

    def sleep(self, duration: timedelta) -> None:
        """Let time go by; a process that is stopped does not wake before it is let go on, in none of its threads."""
        clock = self.scheduler.clock
        if self.dead:
            raise Dead
        clock.sleep(duration)
        while self._stopped_until is not None and clock.now() < self._stopped_until:
            clock.sleep(self._stopped_until - clock.now())
        if self.dead:
            raise Dead

    def call(
        self, what: str, effect: Callable[[], T], *, write: bool = False, late: Callable[[], object] | None = None
    ) -> T:
        """Call the server.

        Args:
            write: it changes something there.
            late: what the request does where it arrives after its client has given it up; None: it can't (a child
                sent it, and is ended with what it had under way).
        """
        self.sleep(LATENCY)
        counted = write and self.scheduler.current is self._main
        self.calls += 1
        self.writes += counted
        blow = next(
            (b for b in self.blows if (b.nth == self.writes and counted if b.write else b.nth == self.calls)), None
        )
        if blow is not None:
            self.met.append(blow.how)
        try:
            result = self._meet(blow, effect, late)
        except BaseException as error:
            self._tell(what, f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}", blow)
            raise
        self._tell(what, str(getattr(result, "status", "ok")), blow, plain=not counted and blow is None)
        return result

    def kill(self) -> None:
        """End it, with all that it knows."""
        self.dead = True

    def _meet(self, blow: Blow | None, effect: Callable[[], T], late: Callable[[], object] | None) -> T:
        how = blow.how if blow is not None else None
        lasts = timedelta(seconds=blow.seconds if blow is not None else 0)
        self._before(how, lasts)
        if how is How.LATE and late is not None:
            self.scheduler.clock.after(lasts, lambda: _unheard(late))
            self.sleep(_PATIENCE)
            raise Unreachable("no answer within 10 s (simulated)")
        result = effect()
        if how is How.KILLED_AFTER:
            self.kill()
            raise Dead
        if how is How.STOPPED_AFTER:
            self._stop(lasts)
        if how in {How.LOST, How.LATE}:
            raise Unreachable("connection reset before the answer (simulated)")
        return result

    def _before(self, how: How | None, lasts: timedelta) -> None:
        """Let what comes before the effect happen; raises where there is to be none."""
        if how is How.KILLED_BEFORE:
            self.kill()
            raise Dead
        if how is How.CANCELLED and not self.hardened:
            raise DeployCancelled("SIGTERM")
        if how is How.CUT_OFF:
            self._cut_off_until = self.scheduler.clock.now() + lasts
        if how is How.STOPPED_BEFORE:
            self._stop(lasts)
        if how is How.SLOW:
            self.sleep(lasts)
        if how is How.REFUSED or not self.reaches_server:
            self.sleep(_PATIENCE / 10)
            raise Unreachable("connection refused (simulated)")
        if how is How.FAULTED:
            raise Faulted("etcdserver: request timed out (simulated)")

    def _stop(self, lasts: timedelta) -> None:
        self._stopped_until = self.scheduler.clock.now() + lasts
        self.sleep(timedelta())

    def _tell(self, what: str, result: str, blow: Blow | None, *, plain: bool = False) -> None:
        if self.trace is not None:
            self.trace(self.name, f"{what}: {result}{f'   <== {blow}' if blow is not None else ''}", plain)


def running(scheduler: Scheduler) -> Process | None:
    """Return the process whose thread runs now; None: nobody's does."""
    actor = scheduler.current
    process = None if actor is None else actor.process
    return process if isinstance(process, Process) else None


def _unheard(effect: Callable[[], object]) -> None:
    """Let it happen; what the server says to it nobody hears."""
    try:
        effect()
    except DeployError:
        return
