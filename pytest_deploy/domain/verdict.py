"""A verdict and everything that explains it: the one object behind console, report, note and exit status."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pytest_deploy.domain.measurement import Objective, Reading, Subject

__all__ = ["Ruling", "Verdict", "VerdictKind"]


class VerdictKind(StrEnum):
    """What a judge can say; only PASS lets the weight rise."""

    PASS = "PASS"  # noqa: S105 - a verdict, no password
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    NO_DATA = "NO_DATA"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """A judge's answer.

    Args:
        rule: the rule that decided, in words with its numbers.
        cause: in short why it is not PASS ("stale data"); "" for PASS, and for FAIL: the objective's name says it.
    """

    kind: VerdictKind
    rule: str
    cause: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A ruling with all that is needed to understand it without asking.

    Args:
        weight: percent asked for at the step; None outside a canary step.
        actual_percent: the share that was really observed; None where it is not known.
        reading: the counts that decided; None when there were none.
        watched: how long was looked at until the ruling; at most the window.
        judge: the name of the rule book that spoke.
    """

    ruling: Ruling
    objective: Objective
    subject: Subject
    weight: int | None
    actual_percent: float | None
    window: timedelta
    started: datetime
    decided: datetime
    reading: Reading | None
    judge: str

    @property
    def kind(self) -> VerdictKind:
        """What was said."""
        return self.ruling.kind

    @property
    def watched(self) -> timedelta:
        """How long was looked at until the ruling."""
        return self.decided - self.started

    @property
    def samples(self) -> int:
        """Requests behind it."""
        total = self.reading.total if self.reading else None
        return round(total) if total is not None else 0

    @property
    def value_text(self) -> str:
        """The measured value with its unit, or ``no value``."""
        value = self.reading.value if self.reading else None
        return "no value" if value is None else self.objective.show(value)

    @property
    def limit_text(self) -> str:
        """The limit with its unit."""
        return self.objective.show(self.objective.limit)

    @property
    def where(self) -> str:
        """``at 25 %`` or ``after promotion``."""
        return "after promotion" if self.weight is None else f"at {self.weight} %"

    @property
    def sentence(self) -> str:
        """The verdict in one line: the same in the console, the report, the note and the exception."""
        value = self.reading.value if self.reading else None
        if value is None:
            compared = f"no value (limit {self.limit_text})"
        else:
            compared = f"{self.value_text} {'>' if value > self.objective.limit else '<='} {self.limit_text}"
        bad = self.reading.bad if self.reading else None
        counts = f"{bad:.0f} bad of {self.samples}" if bad is not None else f"{self.samples} requests"
        seen, window = self.watched.total_seconds(), self.window.total_seconds()
        return (
            f"{self.objective.name} {self.where}: {self.kind}, {compared}; "
            f"{counts} in {seen:.0f} s of {window:.0f} s; {self.ruling.rule}"
        )

    @property
    def explanation(self) -> str:
        """The verdict in full, as a failed assertion shows it."""
        reading = self.reading
        lines = [self.sentence, f"  whose:   {self.subject.words}"]
        if self.actual_percent is not None and self.weight is not None:
            lines.append(f"  weight:  {self.weight} % asked, {self.actual_percent:.1f} % observed")
        lines.append(f"  window:  {self.started:%Y-%m-%dT%H:%M:%SZ} to {self.decided:%Y-%m-%dT%H:%M:%SZ}")
        if reading is not None:
            newest = f"{reading.newest:%H:%M:%S}Z" if reading.newest else "none"
            lines.append(f"  sample:  the newest is of {newest}, read at {reading.at:%H:%M:%S}Z")
            lines.extend(f"  query:   {query}" for query in reading.queries)
            if reading.problem:
                lines.append(f"  problem: {reading.problem}")
        lines.append(f"  judge:   {self.judge}")
        return "\n".join(lines)
