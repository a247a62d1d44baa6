"""Actors as threads of which exactly one runs: which one is next is drawn from the seed, time is virtual.

Each actor hands over when it sleeps, and every call of a port is a short sleep. So the whole order of events is a
function of the seed, however the operating system schedules the threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from pytest_deploy.rehearsal.clock import VirtualClock

__all__ = ["Actor", "Dead", "Overrun", "Scheduler", "SimClock"]

START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
_SWITCHES = 20_000
"""Handovers of one schedule; a whole one takes about a thousand, so this many are a loop without an end."""


class Dead(BaseException):
    """The process is gone, with all that it knew."""


class Overrun(BaseException):
    """The schedule does not end."""


class Actor:
    """A process that takes part.

    Args:
        work: what it does; whatever it raises is kept in ``error``.
        process: whose thread it is; None: nobody's that dies or is stopped.
    """

    def __init__(self, name: str, work: Callable[[], object], process: Any = None) -> None:
        self.name = name
        self.process = process
        self.error: BaseException | None = None
        self.over = False
        self.wakes = START
        self.baton = threading.Semaphore(0)
        self._work = work

    def live(self) -> None:
        """Work until the end, or until whatever is raised."""
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - the one who looks at the end judges it
            self.error = error


class SimClock(VirtualClock):
    """The shared clock; a sleep of an actor lets others run, one of the world itself just moves time."""

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__(START)
        self._scheduler = scheduler

    def sleep(self, duration: timedelta) -> None:
        """Let time go by, for the actor that runs now."""
        if not self._scheduler.pause(duration):
            super().sleep(duration)

    def run_until(self, moment: datetime) -> None:
        """Let what is due until then happen."""
        super().sleep(max(timedelta(), moment - self.now()))


class Scheduler:
    """Runs actors one at a time, until all are over.

    Args:
        random: draws who is next where several could be.
    """

    def __init__(self, random: Random) -> None:
        self.random = random
        self.clock = SimClock(self)
        self.current: Actor | None = None
        self._actors: list[Actor] = []
        self._all_over = threading.Semaphore(0)
        self._switches = 0

    def start(self, actor: Actor, *, after: timedelta = timedelta()) -> Actor:
        """Let an actor begin; it may also be called by one that runs."""
        actor.wakes = self.clock.now() + after
        self._actors.append(actor)
        threading.Thread(target=self._main, args=(actor,), name=actor.name, daemon=True).start()
        return actor

    def run(self) -> None:
        """Let them run until all are over; raises Overrun where they never are."""
        if self._actors:
            self._next().baton.release()
            self._all_over.acquire()
        self.current = None
        if self._switches > _SWITCHES:
            raise Overrun

    def pause(self, duration: timedelta) -> bool:
        """Put the actor that runs to sleep; False where none does, so that nobody is there to hand over to."""
        actor = self.current
        if actor is None:
            return False
        actor.wakes = self.clock.now() + duration
        following = self._next()
        if following is not actor:
            following.baton.release()
            actor.baton.acquire()
        if self._switches > _SWITCHES:
            raise Overrun
        return True

    def _main(self, actor: Actor) -> None:
        actor.baton.acquire()
        actor.live()
        actor.over = True
        self._actors.remove(actor)
        if self._actors:
            self._next().baton.release()
        else:
            self._all_over.release()

    def _next(self) -> Actor:
        """Move time on until somebody can run, and return who does."""
        self._switches += 1
        self.current = None
        clock, actors = self.clock, self._actors
        earliest = min(actor.wakes for actor in actors)
        if earliest > clock.now():
            clock.run_until(earliest)
        ready = [actor for actor in actors if actor.wakes <= clock.now()]
        chosen = ready[0] if len(ready) == 1 else self.random.choice(ready)
        self.current = chosen
        return chosen
