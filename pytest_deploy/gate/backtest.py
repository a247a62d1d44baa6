"""``gate backtest``: what a feature's gates would have said of past deploys, against how these ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from pytest_deploy.domain.action import Json
from pytest_deploy.domain.binomial import interval
from pytest_deploy.domain.measurement import Objective, Reading, Subject
from pytest_deploy.domain.outcome import Mode
from pytest_deploy.domain.quantity import format_ratio
from pytest_deploy.domain.release import Environment
from pytest_deploy.domain.verdict import VerdictKind
from pytest_deploy.errors import ConfigError, Unreachable
from pytest_deploy.gate import past as reports
from pytest_deploy.gate.past import End, Past
from pytest_deploy.ports import Metrics
from pytest_deploy.rehearsal.clock import VirtualClock
from pytest_deploy.replay import Judged, Plan, Setting, Window, replay, subjects

__all__ = ["AsOf", "Deemed", "Finding", "Summary", "backtest", "find"]

AsOf = Callable[[Callable[[], datetime]], Metrics]
"""Makes the provider answer as of a time in the past."""


class Deemed(StrEnum):
    """What the feature would have decided."""

    PASS = "would pass"  # noqa: S105 - a verdict, no password
    STOP = "would stop"
    UNDECIDED = "undecided"
    """The deploy had left the weight before this feature's window was over."""
    NO_DATA = "no data"
    """The provider no longer has it, or never had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One past deploy, judged again.

    Args:
        where: of the window that ended it, ``25 %``; of a PASS all windows; "" where none was judged.
        why: the verdict's sentence, or why there is none; "" for a PASS.
        holds: it would have been held for a person, and not be rolled back at once.
    """

    past: Past
    deemed: Deemed
    where: str
    why: str = ""
    holds: bool = False

    @property
    def false_abort(self) -> bool:
        """It was committed and stayed, and would have been stopped."""
        return self.past.end is End.COMMITTED and self.deemed is Deemed.STOP

    @property
    def miss(self) -> bool:
        """A gate had it rolled back, and these would have let it pass."""
        return self.past.end is End.BROKEN and self.deemed is Deemed.PASS

    @property
    def words(self) -> str:
        """The deploy in one line."""
        by = f" at {_at(self.past.broke_at)} ({self.past.broke_by})" if self.past.broke_by else ""
        flag = "  FALSE ABORT" if self.false_abort else "  MISS" if self.miss else ""
        where = f" at {self.where}" if self.where else ""
        held = " (held for a person)" if self.holds else ""
        return f"{self.past.id}: {self.past.end}{by}; {self.deemed}{where}{held}{flag}" + (
            f": {self.why}" if self.why else ""
        )


def find(root: Path, service: str, environment: str, *, since: datetime, mode: Mode) -> tuple[list[Past], list[str]]:
    """Return the past deploys of this service to this environment, oldest first, and what could not be read.

    Raises:
        ConfigError: there is none.
    """
    found: list[Past] = []
    unreadable: list[str] = []
    others = 0
    for path in sorted(root.glob("*/deploy.json")):
        if path.parent.is_symlink():
            continue
        try:
            past = reports.read(path)
        except ValueError as error:
            unreadable.append(f"{path}: {error}")
            continue
        fits = (past.mode, past.service, past.environment) == (mode.value, service, environment)
        if fits and past.started >= since:
            found.append(past)
        else:
            others += 1
    if not found:
        what = (
            f"{root}: no {mode} deploy of {service!r} to {environment!r} since {since:%Y-%m-%d %H:%M} UTC; "
            f"{others} others (rehearsals, other releases, older ones), {len(unreadable)} unreadable"
        )
        raise ConfigError(
            [what, *unreadable],
            hint="name the folder with --reports, or look further back with --since 90d",
        )
    return sorted(found, key=lambda each: each.started), unreadable


def backtest(
    plan: Plan, service: str, environment: Environment, deploys: Iterable[Past], as_of: AsOf
) -> Iterator[Finding]:
    """Yield what the plan would have decided of each deploy."""
    for past in deploys:
        spans: list[_While] = []

        def setting(window: Window, past: Past = past, spans: list[_While] = spans) -> Setting | None:
            return _setting(service, environment, past, window, as_of, spans)

        judged = list(replay(plan, setting, lambda _: None))
        if judged:
            yield _finding(past, judged, left=spans[-1].left)
        else:
            weights = ", ".join(_at(each.weight) for each in past.stays) or "none"
            why = f"its weights ({weights}) are none of this feature's"
            yield Finding(past=past, deemed=Deemed.NO_DATA, where="", why=why)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """All findings with what they add up to.

    Rates are of those alone that were decided: without data, or undecided, is no agreement.

    Args:
        unreadable: records that could not be read, with the reason.
    """

    findings: tuple[Finding, ...]
    unreadable: tuple[str, ...]

    @property
    def false_aborts(self) -> tuple[int, int]:
        """How many of how many that were committed and stayed."""
        return self._of(End.COMMITTED, [each.false_abort for each in self.findings])

    @property
    def misses(self) -> tuple[int, int]:
        """How many of how many that a gate had rolled back."""
        return self._of(End.BROKEN, [each.miss for each in self.findings])

    @property
    def lines(self) -> tuple[str, ...]:
        """The counts in words."""
        apart = {
            "no data": self._deemed(Deemed.NO_DATA),
            "undecided": self._deemed(Deemed.UNDECIDED),
            "ended otherwise": sum(each.past.end is End.OTHER for each in self.findings),
            "unreadable": len(self.unreadable),
        }
        return (
            f"false aborts: {_rate(*self.false_aborts)} that were committed and could be judged",
            f"misses: {_rate(*self.misses)} that a gate rolled back and could be judged",
            "counted apart: " + ", ".join(f"{count} {what}" for what, count in apart.items()),
            *(f"unreadable: {each}" for each in self.unreadable),
        )

    def to_json(self) -> dict[str, Json]:
        """Return the same for machines."""
        false_aborts, misses = self.false_aborts, self.misses
        return {
            "false_aborts": {"count": false_aborts[0], "of": false_aborts[1]},
            "misses": {"count": misses[0], "of": misses[1]},
            "no_data": self._deemed(Deemed.NO_DATA),
            "undecided": self._deemed(Deemed.UNDECIDED),
            "unreadable": list(self.unreadable),
            "deploys": [
                {
                    "id": each.past.id,
                    "ended": each.past.end.value,
                    "words": each.past.words,
                    "broke_at": each.past.broke_at,
                    "broke_by": each.past.broke_by,
                    "deemed": each.deemed.value,
                    "where": each.where,
                    "why": each.why,
                    "holds": each.holds,
                    "false_abort": each.false_abort,
                    "miss": each.miss,
                }
                for each in self.findings
            ],
        }

    def _of(self, end: End, bad: Sequence[bool]) -> tuple[int, int]:
        decided = {Deemed.PASS, Deemed.STOP}
        return sum(bad), sum(each.past.end is end and each.deemed in decided for each in self.findings)

    def _deemed(self, deemed: Deemed) -> int:
        return sum(each.deemed is deemed for each in self.findings)


def _rate(bad: int, total: int) -> str:
    """Return ``1 of 12 (8.33 %, 95 % interval 0.21 % to 38.48 %)``."""
    if not total:
        return "0 of 0 (nothing to tell a rate from)"
    low, high = interval(bad, total)
    return f"{bad} of {total} ({format_ratio(bad / total)}, 95 % interval {format_ratio(low)} to {format_ratio(high)})"


class _While:
    """The provider as of a clock, for as long as the weight was there."""

    def __init__(self, metrics: Metrics, clock: VirtualClock, until: datetime) -> None:
        self._metrics = metrics
        self._clock = clock
        self._until = until
        self.left = False

    @property
    def scrape_interval(self) -> timedelta:
        return self._metrics.scrape_interval

    @property
    def tells_versions_apart(self) -> bool:
        return self._metrics.tells_versions_apart

    def now(self) -> datetime:
        return self._clock.now()

    def read(self, objective: Objective, subject: Subject, since: datetime) -> Reading:
        if self._clock.now() > self._until:
            self.left = True
            raise Unreachable(f"the deploy had left this weight at {self._until:%H:%M:%S} UTC")
        return self._metrics.read(objective, subject, since)

    def problems(self, objective: Objective, subject: Subject) -> Sequence[str]:
        return self._metrics.problems(objective, subject)


def _setting(
    service: str, environment: Environment, past: Past, window: Window, as_of: AsOf, spans: list[_While]
) -> Setting | None:
    """Return the provider as it was while the weight was there; None where it never was."""
    stay = past.stay(window.weight)
    if stay is None:
        return None
    clock = VirtualClock(stay.since)
    metrics = _While(as_of(clock.now), clock, stay.until)
    spans.append(metrics)
    new_hash = past.new_hash if metrics.tells_versions_apart else None
    stable_hash = None if window.weight in {None, 100} else past.stable_hash
    canary, control = subjects(service, environment, new_hash, stable_hash)
    return Setting(
        metrics=metrics,
        clock=clock,
        canary=canary,
        control=control,
        actual_percent=stay.actual_percent,
        divisor=past.divisor,
        extends=False,
    )


def _finding(past: Past, judged: Sequence[Judged], *, left: bool) -> Finding:
    last = judged[-1]
    if last.response is None:
        where = ", ".join(each.window.where for each in judged)
        broke = None if past.end is not End.BROKEN else past.broke_at
        if past.end is End.BROKEN and broke not in [each.window.weight for each in judged]:
            why = f"this feature has no gate at {_at(broke)}"
            return Finding(past=past, deemed=Deemed.UNDECIDED, where=where, why=why)
        return Finding(past=past, deemed=Deemed.PASS, where=where)
    where, verdict = last.window.where, last.breaker
    if verdict is None:
        return Finding(past=past, deemed=Deemed.NO_DATA, where=where, why="no gate of it rests on a series")
    if verdict.kind is not VerdictKind.FAIL and left:
        return Finding(past=past, deemed=Deemed.UNDECIDED, where=where, why=verdict.sentence)
    if verdict.kind in {VerdictKind.NO_DATA, VerdictKind.ERROR}:
        return Finding(past=past, deemed=Deemed.NO_DATA, where=where, why=verdict.sentence)
    return Finding(past=past, deemed=Deemed.STOP, where=where, why=verdict.sentence, holds=last.response.holds)


def _at(weight: int | None) -> str:
    return "after promotion" if weight is None else f"{weight} %"
