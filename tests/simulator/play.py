"""Plays a schedule: begins its actors, lets recover end what they leave open, and asks what stands at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from random import seed as seed_of_jitter
from typing import Any

from pytest_deploy.domain.journal import is_open
from pytest_deploy.domain.outcome import Outcome
from pytest_deploy.engine.deploy import Deploy
from pytest_deploy.engine.recover import recover
from pytest_deploy.errors import DeployError, LockHeld
from tests.simulator.actors import by_hand, deploy, new_deploy
from tests.simulator.audit import Audit
from tests.simulator.end import look
from tests.simulator.lock import LEASE, simulated_threads
from tests.simulator.process import Blow, How, Process
from tests.simulator.schedule import Schedule
from tests.simulator.scheduler import Actor, Dead, Overrun, Scheduler
from tests.simulator.server import Server

__all__ = ["Result", "run"]

_ROUNDS = 6
"""How often recover is begun until everything must be ended; the first ones may die, too."""
_SETTLED = timedelta(minutes=3)


@dataclass(kw_only=True)
class Result:
    """What came of it.

    Args:
        problems: what may not be; () is how it should end.
        trace: every write, fault and end, where it was asked for.
        ends: by process, how it ended.
        met: the faults that came to pass.
        writes: of the workload.
    """

    schedule: Schedule
    problems: list[str] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)
    ends: dict[str, str] = field(default_factory=dict)
    met: list[How] = field(default_factory=list)
    writes: int = 0


def run(schedule: Schedule, *, traced: bool = False) -> Result:
    """Play it, end what is left open, and look at what stands then."""
    seed_of_jitter(schedule.seed)  # of the clients' retries
    made = _Play(schedule, traced=traced)
    with simulated_threads(made.scheduler):
        return made.play()


class _Play:
    def __init__(self, schedule: Schedule, *, traced: bool) -> None:
        self._schedule = schedule
        self._result = Result(schedule=schedule)
        self._traced = traced
        self.scheduler = Scheduler(Random(schedule.seed))  # noqa: S311 - an order is drawn, not a secret
        self._server = Server(
            self.scheduler.clock,
            schedule.weights,
            by_helm=schedule.by_helm,
            late=timedelta(seconds=schedule.late_s),
            real_journal=schedule.real_journal,
        )
        self._server.bad |= {self._server.spec(version).template_hash for version in schedule.bad}
        self._server.told = self._told
        self._audit = Audit(self._server)
        self._outcomes: dict[str, Outcome | None] = {}
        self._reads: dict[str, int] = {}
        self._with_human: set[str] = set()

    def play(self) -> Result:
        result, audit = self._result, self._audit
        try:
            self._begin()
            self.scheduler.run()
            self._end()
            self.scheduler.clock.sleep(_SETTLED)
            look(self._server, audit, self._schedule.pipelines, self._outcomes)
            self._again()
        except Overrun:
            audit.problems.append("it never ends")
        result.problems = list(dict.fromkeys(audit.problems))
        result.writes = len(audit.writes)
        return result

    def _begin(self) -> None:
        schedule = self._schedule
        for each in schedule.pipelines:
            self._actor(each.id, each.id, each.version, each.blows, deploy, after=each.after)
        for number, rescue in enumerate(schedule.rescues, 1):
            self._actor(f"recover-{number}", rescue.of, "v4", rescue.blows, _recovered, after=rescue.after)
        for after in schedule.hands:
            self.scheduler.start(Actor("somebody", self._by_hand), after=timedelta(seconds=after))

    def _end(self) -> None:
        """Let recover run until nothing is open, as the steps and jobs do that always run."""
        blows = [*self._schedule.last_blows, *[()] * _ROUNDS]
        for number in range(_ROUNDS):
            self.scheduler.clock.sleep(LEASE * 1.6)  # what is under way arrives by then, and every lease is over
            for key in self._open():
                name = f"recover-{key[-1]}-end-{number + 1}"
                self._actor(name, key, "v4", blows[number], _recovered)
                self.scheduler.run()
                if blows[number] or not is_open(self._server.journals[key]):
                    continue
                if self._result.ends[name].startswith(LockHeld.__name__):
                    continue  # another deploy is open, too, and comes first
                if self._audit.in_the_way and self._outcomes.get(name) is Outcome.NEEDS_HUMAN:
                    self._with_human.add(key)
                else:
                    self._audit.problems.append(f"recover does not end it: {key}: {self._result.ends[name]}")

    def _again(self) -> None:
        """Recover what is ended once more: nothing may be written."""
        journals, writes = dict(self._server.journals), len(self._audit.writes)
        for key in sorted(journals.keys() - self._with_human):
            self._actor(f"recover-{key[-1]}-again", key, "v4", (), _recovered)
            self.scheduler.run()
        if len(self._audit.writes) != writes or self._server.journals != journals:
            self._audit.problems.append("recover is not idempotent: it wrote again")

    def _open(self) -> list[str]:
        journals = self._server.journals
        return [key for key, entries in journals.items() if is_open(entries) and key not in self._with_human]

    def _actor(
        self,
        name: str,
        deploy_id: str,
        version: str,
        blows: tuple[Blow, ...],
        work: Callable[[Process, Deploy], Outcome | None],
        *,
        after: float = 0,
    ) -> None:
        process = Process(name=name, scheduler=self.scheduler, blows=blows, trace=self._trace if self._traced else None)

        def live() -> None:
            made = new_deploy(process, self._server, self._audit, deploy_id, version)
            try:
                self._ends(name, self._worked(name, lambda: work(process, made)))
            finally:
                process.kill()  # its daemon thread ends with it
                self._result.met += process.met

        process.spawn(live, after=timedelta(seconds=after))

    def _worked(self, name: str, work: Callable[[], Outcome | None]) -> str:
        """Return how a command ended, in words."""
        try:
            outcome = self._outcomes[name] = work()
        except Dead:
            return "dead"
        except DeployError as error:
            return f"{type(error).__name__}: {error}"
        except Exception as error:  # noqa: BLE001 - a bug is what is looked for
            self._audit.problems.append(f"a bug: {name}: {error!r}")
            return repr(error)
        if outcome is None and not name.startswith("recover"):
            self._audit.problems.append(f"a bug: the end of {name} broke")
        return "nothing to do" if outcome is None else outcome.words

    def _ends(self, name: str, end: str) -> None:
        self._result.ends[name] = end
        self._trace(name, f"END: {end}")

    def _by_hand(self) -> None:
        by_hand(self._server, self._audit, self.scheduler.random)
        self._trace("somebody", self._audit.by_hand[-1].what)

    def _told(self, what: str, process: Process, it: Any) -> None:
        self._audit.told(what, process, it)
        if what == "journalled" and self._schedule.real_journal:
            summary = it.action.summary if it.action is not None else ""
            self._trace(process.name, f"journal {it.seq} {it.milestone or it.state} {summary}")

    def _trace(self, name: str, text: str, plain: bool = False) -> None:
        """Keep a line; mere reads that go well are only counted."""
        if not self._traced:
            return
        if plain:
            self._reads[name] = self._reads.get(name, 0) + 1
            return
        reads = self._reads.pop(name, 0)
        before = f"({reads} reads) " if reads else ""
        self._result.trace.append(f"{self.scheduler.clock.monotonic():9.2f}  {name:16} {before}{text}")


def _recovered(process: Process, made: Deploy) -> Outcome | None:
    process.hardened = True
    return recover(made)
