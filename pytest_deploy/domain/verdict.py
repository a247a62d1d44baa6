"""A verdict and everything that explains it: the one object behind console, report, note and exit status."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pytest_deploy.domain.explanation import explain
from pytest_deploy.domain.measurement import Kind, Objective, Reading, Role, Subject
from pytest_deploy.domain.quantity import format_ms, format_ratio

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
        needed: what would have been needed for another answer, in words; "" where nothing would.
    """

    kind: VerdictKind
    rule: str
    cause: str = ""
    needed: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A ruling with all that is needed to understand it without asking.

    Args:
        weight: percent asked for at the step; None outside a canary step.
        actual_percent: the share that was really observed; None where it is not known.
        window: as asked for; ``extended``: how much longer it went on.
        reading: the counts that decided; None when there were none.
        judge: the name of the rule book that spoke.
        scenario, place: of the gate in the feature; a verdict's key, as rows of an outline share their lines.
        history: all readings of the window, in order of time; () where nobody kept them.
        control: the stable version's readings beside them; () where there were none.
        dry_run: it is told and never blocks.
        note: what else a reader must know (only the whole service could be read); "" for nothing.
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
    scenario: str = ""
    place: str = ""
    history: tuple[Reading, ...] = ()
    control: tuple[Reading, ...] = ()
    extended: timedelta = timedelta()
    dry_run: bool = False
    note: str = ""

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
        return round(total) if total is not None and math.isfinite(total) else 0

    @property
    def value(self) -> float | None:
        """What is held against the limit; None when it is not known.

        For a relative objective it is by how much the reading is worse than the stable version's last one.
        """
        value = self.reading.value if self.reading else None
        if value is None or not self.objective.relative:
            return value
        stable = self.control[-1].value if self.control else None
        return None if stable is None else value - stable

    @property
    def margin(self) -> float | None:
        """How far the value is inside the limit, in the objective's unit; negative: beyond it."""
        if self.value is None:
            return None
        distance = self.objective.limit - self.value
        return -distance if self.objective.at_least else distance

    @property
    def unseen_ratio(self) -> float | None:
        """The share of the canary's requests that may be bad before a reading of all pods shows it, 1 at most.

        That is the limit divided by the canary's share of the traffic, where the stable pods fail nothing. None
        where the canary's own series was read, where all traffic is the canary's, and for what counts no requests.
        """
        whole = self.subject.template_hash is None and self.subject.role is Role.SERVICE
        if not whole or not self.objective.counted or self.weight is None or self.weight >= 100:
            return None
        share = (self.weight if self.actual_percent is None else self.actual_percent) / 100
        limit = self.objective.limit if self.objective.relative else self.objective.bad_limit_ratio
        return min(1.0, limit / share) if share > 0 else 1.0

    @property
    def value_text(self) -> str:
        """The measured value with its unit, or ``no value``; ``unknown`` for a script and a step."""
        if self.objective.kind in {Kind.SCRIPT, Kind.STEP}:
            return "unknown"
        return "no value" if self.value is None else self.objective.show(self.value)

    @property
    def limit_text(self) -> str:
        """The limit with its unit; what a script or a step must do where it has no number."""
        own = {Kind.SCRIPT: "exit status 0", Kind.STEP: "no failed assertion"}
        return own.get(self.objective.kind) or self.objective.show(self.objective.limit)

    @property
    def bound_text(self) -> str:
        """The limit and its side: ``<= 0.50 %``, ``>= 99.50 %``."""
        if self.objective.kind in {Kind.SCRIPT, Kind.STEP}:
            return self.limit_text
        least = self.objective.at_least or (self.objective.kind is Kind.AVAILABILITY and not self.objective.relative)
        return f"{'>=' if least else '<='} {self.limit_text}"

    @property
    def margin_text(self) -> str:
        """How far the value is from the limit: ``2.60 points beyond the limit``; "" where that is not known."""
        if self.margin is None:
            return ""
        if self.margin == 0:
            return "exactly at the limit"
        far, objective = abs(self.margin), self.objective
        if objective.kind is Kind.LATENCY:
            shown = format_ms(far * 1000)
        elif objective.kind is Kind.QUERY and objective.unit != "%":
            shown = objective.show(far)
        else:
            shown = f"{format_ratio(far).removesuffix(' %')} points"
        return f"{shown} {'within' if self.margin > 0 else 'beyond'} the limit"

    @property
    def unseen_text(self) -> str:
        """What a reading of all pods can't show; "" where the canary's own was read."""
        if self.unseen_ratio is None:
            return ""
        what = "is too slow for" if self.objective.quantile is not None else "fails"
        return f"a canary that {what} up to {format_ratio(self.unseen_ratio)} of its requests would not show"

    @property
    def where(self) -> str:
        """``at 25 %`` or ``after promotion``."""
        return "after promotion" if self.weight is None else f"at {self.weight} %"

    @property
    def headline(self) -> str:
        """``error rate at 25 %: FAIL``, with what only a dry run said marked as such."""
        return f"{'DRY RUN: ' if self.dry_run else ''}{self.objective.name} {self.where}: {self.kind}"

    @property
    def sentence(self) -> str:
        """The verdict in one line: the same in the console, the report, the note and the exception."""
        parts = [f"{self.headline}, {self._compared}", f"{self._counts}{self._time}", self.ruling.rule]
        if self.unseen_text:
            parts.append(f"all pods were read: {self.unseen_text}")
        return "; ".join(part for part in parts if part)

    @property
    def explanation(self) -> str:
        """The verdict in full, as a failed assertion shows it."""
        return explain(self)

    @property
    def _compared(self) -> str:
        if self.objective.kind in {Kind.SCRIPT, Kind.STEP}:
            return "its numbers are unknown"
        if self.value is None:
            return f"no value (limit {self.limit_text})"
        return self.objective.compare(self.value)

    @property
    def _counts(self) -> str:
        if self.objective.kind in {Kind.SCRIPT, Kind.STEP}:
            return ""
        if not self.objective.counted:
            return f"{self.samples} samples "
        bad = self.reading.bad if self.reading else None
        return f"{bad:.0f} bad of {self.samples} " if bad is not None else f"{self.samples} requests "

    @property
    def _time(self) -> str:
        seen, window, more = (each.total_seconds() for each in (self.watched, self.window, self.extended))
        if more:
            return f"in {seen:.0f} s ({window:.0f} s, extended by {more:.0f} s)"
        return f"in {seen:.0f} s of {window:.0f} s" if window else ""
