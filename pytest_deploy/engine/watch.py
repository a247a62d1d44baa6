"""One watch: all gates that stand together, read over one window and judged at its end, or at a clear breach.

It needs no cluster and no deploy: the live canary, a replay of recorded measurements and a shadow share it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pytest_deploy.domain.event import Judged, Looked, Measured, Reporter
from pytest_deploy.domain.judge import Judge
from pytest_deploy.domain.measurement import UNANSWERED, Evidence, Kind, Objective, Reading, Role, Subject
from pytest_deploy.domain.plan import Gate
from pytest_deploy.domain.policy import Policy
from pytest_deploy.domain.verdict import Ruling, Verdict, VerdictKind
from pytest_deploy.errors import DeployError, RemoteError
from pytest_deploy.ports import Clock, Metrics, Scripts

__all__ = ["Scene", "watch"]

_LOOKS = timedelta(seconds=1)
"""The shortest time between two looks at a gate: scraping more often than each second is unusual."""

_LEAST_SCRAPES = 4
"""Scrapes that a window holds at least, however fast its requests come: a rate needs two, and one may fail."""

_BY_STATUS = {0: VerdictKind.PASS, 1: VerdictKind.FAIL}
_DECIDED = {VerdictKind.PASS, VerdictKind.FAIL}

_OLD_CONTROL = "no stable pods run beside the canary now: it is compared with what they showed at the step before"


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Where and how is watched.

    Args:
        canary: whose requests are judged; ``control``: the stable version beside it, None where there is none.
        weight: percent asked for; None outside a canary step. ``actual_percent``: as observed, None: not known.
        divisor: windows are this many times shorter (sandbox only).
        earlier: the last reading of each earlier step of the same digest, by objective.
        earlier_control: the stable version's last reading of an earlier step, for the weight that has none beside it.
        allowed_multiple: as in ``Evidence``.
        scripts: runs the programs that are gates; None where there can be none.
        between: called after each look; raises where the canary is no longer what is judged.
        moment: told when the middle of the window is reached.
    """

    metrics: Metrics
    clock: Clock
    judge: Judge
    policy: Policy
    emit: Reporter
    canary: Subject
    control: Subject | None = None
    weight: int | None = None
    actual_percent: float | None = None
    divisor: float = 1
    earlier: Mapping[Objective, Sequence[Reading]] = field(default_factory=dict)
    earlier_control: Mapping[Objective, Reading] = field(default_factory=dict)
    allowed_multiple: float | None = None
    scripts: Scripts | None = None
    between: Callable[[], None] = lambda: None
    moment: Callable[[str], None] = lambda _: None


def watch(gates: Sequence[Gate], scene: Scene) -> dict[Gate, Verdict | None]:
    """Watch the gates over their longest window and return each one's verdict.

    The window begins one scrape after the call, by the metrics server's clock, so that no sample from before
    belongs to it. A FAIL of a gate that is no dry run ends it at once; the gates that had not decided get None.
    A window that ends without an answer goes on once, for as long again, where the policy says so.

    Raises:
        DeployError: there is no gate; or what ``scene.between`` raises.
    """
    if not gates:
        raise DeployError("a step without a gate can't be judged", hint="let a Then with a limit follow the When")
    return _Watching(gates, scene).run()


@dataclass(kw_only=True)
class _Watched:
    """One gate over its window: what was read, and the ruling once there is one."""

    gate: Gate
    readings: list[Reading] = field(default_factory=list)
    control: list[Reading] = field(default_factory=list)
    unreadable: str = ""
    ruling: Ruling | None = None
    judge: str = ""

    @property
    def is_script(self) -> bool:
        return self.gate.objective.kind is Kind.SCRIPT

    @property
    def failed(self) -> bool:
        return not self.gate.dry_run and self.ruling is not None and self.ruling.kind is VerdictKind.FAIL

    def has_enough(self, elapsed: timedelta, divisor: float, times: int) -> bool:
        """Whether its own window may end: by its requests, or by its time where the feature names none.

        Args:
            times: 2 once the window is extended.
        """
        if self.gate.requests is None:
            return elapsed >= self.gate.window * times / divisor
        total = self.readings[-1].total if self.readings else None
        return total is not None and total >= self.gate.requests * times

    @property
    def words(self) -> str:
        objective = self.gate.objective
        if self.is_script:
            return f"{objective.name}: run at the window's end"
        limit = f"limit {objective.show(objective.limit)}"
        if self.unreadable:
            return f"{objective.name}: no answer ({self.unreadable}), {limit}"
        reading = self.readings[-1] if self.readings else None
        if reading is None or reading.total is None:
            return f"{objective.name}: no data yet, {limit}"
        value = "no value yet" if reading.value is None else objective.own.show(reading.value)
        return (
            f"{objective.name} {value} ({limit}), {reading.total:.0f} {'requests' if objective.counted else 'samples'}"
        )


class _Watching:
    def __init__(self, gates: Sequence[Gate], scene: Scene) -> None:
        self._scene = scene
        self._interval = scene.metrics.scrape_interval
        self._all = [_Watched(gate=gate) for gate in gates]
        self._asked = self._window = max(gate.window for gate in gates) / scene.divisor
        self._times = 1
        self._begin_s = 0.0
        self._started: datetime | None = None
        self._silent = ""

    def run(self) -> dict[Gate, Verdict | None]:
        scene, clock = self._scene, self._scene.clock
        clock.sleep(self._interval)
        self._begin_s = clock.monotonic()
        told = over = False
        while not over and not any(each.failed for each in self._all):
            if self._started is None:
                self._begin()
            if self._left > timedelta():
                clock.sleep(min(self._left, max(self._interval, _LOOKS)))
            if not told and self._left <= self._window / 2:
                told = True
                scene.moment("mid-window")
            measured = tuple(each for watched in self._all for each in self._read(watched))
            over = self._over()
            for each in self._all:
                self._rule(each, over=over)
            scene.between()
            lines = tuple(each.words for each in self._all)
            scene.emit(Looked(at=clock.now(), lines=lines, left=self._left, measured=measured))
            if over and self._goes_on():
                over, self._times, self._window = False, 2, self._window + self._asked
        return {each.gate: self._verdict(each) for each in self._all}

    @property
    def _elapsed(self) -> timedelta:
        return timedelta(seconds=self._scene.clock.monotonic() - self._begin_s)

    @property
    def _left(self) -> timedelta:
        return max(timedelta(), self._window - self._elapsed)

    def _begin(self) -> None:
        """Ask for the metrics server's now; while it does not answer the window waits for it."""
        try:
            self._started, self._silent = self._scene.metrics.now(), ""
        except RemoteError as error:
            self._silent = str(error)

    def _over(self) -> bool:
        elapsed = self._elapsed
        if elapsed >= self._window:
            return True
        if elapsed < self._interval * _LEAST_SCRAPES:
            return False
        if not all(each.has_enough(elapsed, self._scene.divisor, self._times) for each in self._all):
            return False
        self._window = elapsed
        return True

    def _goes_on(self) -> bool:
        """Whether the window is extended: once, where a gate has no answer yet and its policy says so."""
        if self._times > 1 or any(each.failed for each in self._all):
            return False
        policy = self._scene.policy
        return any(
            each.ruling is not None
            and each.ruling.kind is not VerdictKind.PASS
            and not each.gate.dry_run
            and policy.response(each.ruling.kind).extends
            for each in self._all
        )

    def _read(self, each: _Watched) -> Iterator[Measured]:
        if each.is_script:
            return
        scene, objective = self._scene, each.gate.objective
        if self._started is None:
            each.unreadable = f"the window can't begin: {self._silent}"
            yield self._unanswered(each)
            return
        try:
            reading = scene.metrics.read(objective, scene.canary, self._started)
        except RemoteError as error:
            each.unreadable = str(error)
            yield self._unanswered(each)
            return
        each.unreadable = ""
        each.readings.append(reading)
        yield self._measured(each.gate, scene.canary.role, reading)
        if scene.control is None or not objective.counted:
            return
        # A control that can't be read takes nothing away from the canary's own counts.
        with suppress(RemoteError):
            each.control.append(scene.metrics.read(objective, scene.control, self._started))
            yield self._measured(each.gate, scene.control.role, each.control[-1])

    def _unanswered(self, each: _Watched) -> Measured:
        """Return what the file of measurements keeps of a look without an answer, so that it can be replayed."""
        at = self._scene.clock.now()
        reading = Reading(
            since=self._started or at - self._elapsed,
            at=at,
            newest=None,
            total=None,
            bad=None,
            value=None,
            queries=(),
            problem=f"{UNANSWERED}{each.unreadable}",
        )
        return self._measured(each.gate, self._scene.canary.role, reading)

    def _measured(self, gate: Gate, role: Role, reading: Reading) -> Measured:
        return Measured(
            gate=gate.objective.name,
            scenario=gate.scenario,
            place=gate.place,
            weight=self._scene.weight,
            role=role,
            offset=reading.at - reading.since,
            reading=reading,
        )

    def _rule(self, each: _Watched, *, over: bool) -> None:
        scene, objective = self._scene, each.gate.objective
        if each.is_script:
            if over:
                each.judge, each.ruling = self._script(objective)
            return
        each.judge = scene.judge.name
        evidence = Evidence(
            window=self._window,
            started=self._started or scene.clock.now(),
            readings=tuple(each.readings),
            scrape_interval=self._interval,
            over=over,
            control=self._control(each),
            earlier=tuple(scene.earlier.get(objective, ())),
            unreadable=each.unreadable,
            allowed_multiple=scene.allowed_multiple,
            until=None if each.gate.requests is None else each.gate.requests * self._times,
        )
        each.ruling = scene.judge(evidence, objective)

    def _control(self, each: _Watched) -> tuple[Reading, ...]:
        """Return the stable version's readings; where none runs beside the canary, the last of an earlier step."""
        if each.control or not each.gate.objective.relative:
            return tuple(each.control)
        before = self._scene.earlier_control.get(each.gate.objective)
        return () if before is None else (before,)

    def _script(self, objective: Objective) -> tuple[str, Ruling]:
        """Run a gate's program: 0 is a yes, 1 a no, and everything else no answer."""
        scene, path = self._scene, objective.subject
        if scene.scripts is None:
            return path, Ruling(kind=VerdictKind.ERROR, rule="nothing here can run a program", cause="script")
        try:
            result = scene.scripts.check(path, scene.canary.service, scene.weight or 100)
        except DeployError as error:
            return path, Ruling(kind=VerdictKind.ERROR, rule=f"it gave no answer: {error}", cause="script")
        kind = _BY_STATUS.get(result.status, VerdictKind.ERROR)
        said = f": {result.words}" if result.words else ""
        rule = f"{result.command} ended with {result.status}{said}"
        return path, Ruling(kind=kind, rule=rule, cause="" if kind in _DECIDED else "script")

    def _verdict(self, each: _Watched) -> Verdict | None:
        if each.ruling is None:
            return None
        scene, gate = self._scene, each.gate
        started = self._started or scene.clock.now()
        reading = each.readings[-1] if each.readings else None
        asked = self._asked if self._times > 1 else self._window
        control = self._control(each)
        verdict = Verdict(
            ruling=each.ruling,
            objective=gate.objective,
            subject=scene.canary,
            weight=scene.weight,
            actual_percent=scene.actual_percent,
            window=asked,
            started=started,
            decided=reading.at if reading is not None and not each.unreadable else started + self._window,
            reading=reading,
            judge=each.judge,
            scenario=gate.scenario,
            place=gate.place,
            history=tuple(each.readings),
            control=control,
            extended=max(timedelta(), self._window - asked),
            dry_run=gate.dry_run,
            note=_OLD_CONTROL if control and not each.control else "",
        )
        scene.emit(Judged(at=scene.clock.now(), verdict=verdict))
        return verdict
