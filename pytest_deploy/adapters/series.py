"""A file of measurements as values, and the port that plays a window of them back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pytest_deploy.domain.measurement import UNANSWERED, Objective, Reading, Role, Subject
from pytest_deploy.errors import Unreachable

__all__ = ["NOBODYS_TIME", "Measurement", "Series", "Tape"]

"""A reading whose ``problem`` begins so is an attempt that failed; what follows is why."""

NOBODYS_TIME = datetime(1970, 1, 1, tzinfo=UTC)
"""When a window of a hand-written file begins that names no time of day."""

_SAME_S = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One line of the file.

    Args:
        gate: the objective's name.
        weight: percent asked for; None outside a canary step.
        scenario: of the gate; "" where the file does not say.
        offset: since the window's begin.
        recorded: by a deploy, with the server's time; else a person wrote it.
        place: ``file:line``.
    """

    gate: str
    weight: int | None
    scenario: str
    role: Role
    offset: timedelta
    reading: Reading
    place: str
    recorded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A whole file.

    Args:
        divisor: windows were this many times shorter when it was recorded; 1 where it does not say.
    """

    name: str
    measurements: tuple[Measurement, ...]
    divisor: float = 1

    def of(self, weight: int | None, scenario: str) -> tuple[Measurement, ...]:
        """Return the lines of one window: a weight's, or a scenario's outside of the weights."""
        return tuple(
            each
            for each in self.measurements
            if each.weight == weight and (weight is not None or each.scenario in {"", scenario})
        )


class Tape:
    """Ports ``Metrics`` and ``Clock`` over one window of a series: its time is the only one.

    It stands one scrape before the window's begin, where a watch starts. A sleep ends at the file's next look, so
    that a watch looks when the file's did, but never misses the window's end. A look for which the file has no new
    reading gets no answer, as from a server that is down; a gate that the file never names has no data.

    Args:
        window: how long it is watched; once extended, twice as long.
        name: of the file, for messages.
    """

    def __init__(
        self, measurements: Sequence[Measurement], scrape_interval: timedelta, window: timedelta, *, name: str
    ) -> None:
        self._all = measurements
        self._interval = scrape_interval
        self._window = window
        self._name = name
        self._begin = min((each.reading.since for each in measurements), default=NOBODYS_TIME)
        self._looks = _looks(measurements, scrape_interval)
        self._at = -scrape_interval
        self._given: dict[tuple[str, Role], timedelta] = {}

    @property
    def scrape_interval(self) -> timedelta:
        """How often the server took samples."""
        return self._interval

    @property
    def tells_versions_apart(self) -> bool:
        """Whether the file holds the canary's own numbers."""
        return any(each.role is Role.CANARY for each in self._all)

    @property
    def end(self) -> timedelta:
        """When the last reading was made, since the window's begin; zero when there is none."""
        return self._looks[-1][1] if self._looks else timedelta()

    def now(self) -> datetime:
        """Return the time."""
        return self._begin + self._at

    def monotonic(self) -> float:
        """Return seconds since the window's begin."""
        return self._at.total_seconds()

    def sleep(self, duration: timedelta) -> None:
        """Move on at once, to the end of the next look that is not much earlier."""
        if self._at < timedelta():
            self._at += max(timedelta(), duration)
            return
        near, target = self._interval / 2, self._at + duration
        end = self._window * (self._at // self._window + 1)
        following = [(first, last) for first, last in self._looks if last > self._at and first <= end + self._interval]
        looks = [last for _, last in following if last >= target - near]
        self._at = looks[0] if looks else end
        if looks[1:] or self._at >= end or end - self._at > near:
            return
        self._at = end  # the window's last look: an answer is older than the moment at which it arrives

    def read(self, objective: Objective, subject: Subject, since: datetime) -> Reading:
        """Return the newest reading of this gate and role up to now.

        Raises:
            Unreachable: there is none since the last look, or that one was not answered.
        """
        key = (objective.name, subject.role)
        mine = [each for each in self._all if (each.gate, each.role) == key]
        if not mine:
            return Reading(since=since, at=self.now(), newest=None, total=None, bad=None, value=None, queries=())
        before = self._given.get(key, timedelta(-1))
        new = [each for each in mine if before < each.offset <= self._at + timedelta(seconds=_SAME_S)]
        if not new:
            raise Unreachable(
                f"{self._name} has no reading of the {objective.name} from {_s(before)} to {_s(self._at)}"
            )
        self._given[key] = new[-1].offset
        reading = new[-1].reading
        if reading.problem.startswith(UNANSWERED):
            raise Unreachable(reading.problem.removeprefix(UNANSWERED))
        return reading

    def problems(self, objective: Objective, subject: Subject) -> Sequence[str]:  # noqa: ARG002 - the port's
        """Return nothing: the file was checked when it was read."""
        return ()


def _looks(measurements: Sequence[Measurement], scrape_interval: timedelta) -> list[tuple[timedelta, timedelta]]:
    """Return when each look began and ended: one after the other, a deploy asks for its gates in the same order.

    In a file whose times a person wrote, what is of one look has nearly one time.
    """
    order: dict[tuple[str, Role], int] = {}
    found: list[tuple[timedelta, timedelta]] = []
    before = -1
    for each in sorted(measurements, key=lambda each: each.offset):
        number = order.setdefault((each.gate, each.role), len(order))
        near = each.recorded or not found or each.offset - found[-1][0] <= scrape_interval / 2
        if found and number > before and near:
            found[-1] = (found[-1][0], each.offset)
        else:
            found.append((each.offset, each.offset))
        before = number
    return found


def _s(offset: timedelta) -> str:
    return f"{max(offset, timedelta()).total_seconds():.0f} s"
