"""Prints what gates would have said, look by look, or keeps it for a machine."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from pytest_deploy.domain.action import Json
from pytest_deploy.domain.event import Event, Judged, Looked, Measured
from pytest_deploy.domain.measurement import Objective, Role
from pytest_deploy.domain.verdict import Verdict
from pytest_deploy.replay import Judged as JudgedWindow
from pytest_deploy.replay import Window

__all__ = ["Shown", "verdict_json"]


class Shown:
    """A reporter for one run over a plan's windows.

    Args:
        say: prints a line.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self._window: Window | None = None
        self._at = timedelta()
        self.looks = 0
        self.windows: list[dict[str, Json]] = []

    def begin(self, window: Window) -> None:
        """Say which window comes now."""
        self._window, self._at = window, timedelta()
        length = _s(window.length)
        self.say(f"{window.where}: {window.scenario} ({window.place}), window {length}")
        for gate in window.gates:
            if gate not in window.measured:
                self.say(f"          {gate.objective.name}: not judged here, it is run by a deploy only ({gate.place})")
        self.windows.append(
            {"weight": window.weight, "scenario": window.scenario, "place": window.place, "looks": [], "verdicts": []}
        )

    def __call__(self, event: Event) -> None:
        """Take in a look or a verdict."""
        if isinstance(event, Looked):
            self._looked(event)
        elif isinstance(event, Judged):
            verdict = event.verdict
            said = " (dry run: it blocks nothing)" if verdict.dry_run else ""
            self.say(f"{_s(verdict.watched):>8}  {verdict.sentence}{said}")
            self._add("verdicts", verdict_json(verdict))

    def end(self, judged: JudgedWindow) -> None:
        """Say how the window ended."""
        if not judged.verdicts:
            self.say("          no gate of this weight rests on a series: nothing was judged")
        for gate, verdict in judged.verdicts.items():
            if verdict is None:
                self.say(f"          {gate.objective.name}: no breach by then; another gate ended the watch")

    @property
    def words(self) -> str:
        """The last look in a line, for a run that was broken off."""
        return f"{self.looks} looks in {_s(self._at)}"

    def _looked(self, event: Looked) -> None:
        self.looks += 1
        gates = self._window.measured if self._window else ()
        read = {(each.gate, each.role is Role.STABLE): each for each in event.measured}
        self._at = max((each.offset for each in event.measured), default=self._at)
        for gate, line in zip(gates, event.lines, strict=True):
            name = gate.objective.name
            own, control = read.get((name, False)), read.get((name, True))
            if own is None:
                self.say(f"{'':>8}  {line}")
                continue
            beside = f"; stable: {_counts(gate.objective, control)}" if control is not None else ""
            self.say(f"{_s(own.offset):>8}  {name} {_counts(gate.objective, own)}{beside}")
        for each in event.measured:
            self._add("looks", _look_json(each))

    def _add(self, key: str, value: dict[str, Json]) -> None:
        listed = self.windows[-1][key] if self.windows else None
        if isinstance(listed, list):
            listed.append(value)


def verdict_json(verdict: Verdict) -> dict[str, Json]:
    """Return a verdict for machines: numbers in the objective's unit, times in seconds of the window."""
    reading, objective = verdict.reading, verdict.objective
    return {
        "gate": objective.name,
        "verdict": verdict.kind.value,
        "sentence": verdict.sentence,
        "t_s": verdict.watched.total_seconds(),
        "window_s": verdict.window.total_seconds(),
        "value": reading.value if reading else None,
        "limit": objective.limit,
        "total": reading.total if reading else None,
        "bad": reading.bad if reading else None,
        "rule": verdict.ruling.rule,
        "cause": verdict.ruling.cause,
        "judge": verdict.judge,
        "dry_run": verdict.dry_run,
    }


def _look_json(each: Measured) -> dict[str, Json]:
    reading = each.reading
    return {
        "t_s": each.offset.total_seconds(),
        "gate": each.gate,
        "role": each.role.value,
        "total": reading.total,
        "bad": reading.bad,
        "value": reading.value,
        "problem": reading.problem,
    }


def _counts(objective: Objective, each: Measured) -> str:
    reading = each.reading
    value = "no value" if reading.value is None else objective.own.show(reading.value)
    if reading.total is None:
        counts = "no data"
    elif not objective.counted:
        counts = f"{reading.total:.0f} samples"
    elif reading.bad is None:
        counts = f"{reading.total:.0f} requests, the bad ones can't be told"
    else:
        counts = f"{reading.bad:.0f} bad of {reading.total:.0f}"
    problem = f" ({reading.problem})" if reading.problem else ""
    return f"{value} (limit {objective.show(objective.limit)}): {counts}{problem}"


def _s(duration: timedelta) -> str:
    return f"{duration.total_seconds():.0f} s"
