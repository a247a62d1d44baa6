"""Faults: when each begins and ends, and when it could first be seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pytest_deploy.domain.fault import Fault, FaultKind
from pytest_deploy.errors import Refused
from pytest_deploy.rehearsal.clock import VirtualClock

__all__ = ["Faults"]

_API_DELAY = timedelta(seconds=2)
_BEFORE_THE_CANARY = frozenset({
    FaultKind.HELM_UPGRADE_FAILS,
    FaultKind.REGISTRY_DOWN,
    FaultKind.SCANNER_DOWN,
    FaultKind.INCIDENT_OPEN,
    FaultKind.APPROVAL_DENIED,
})  # fmt: skip


@dataclass(kw_only=True)
class _Record:
    """One injected fault: since when it is on, whether it has ended, since when it can be seen."""

    fault: Fault
    started: datetime | None = None
    ended: bool = False
    seen: datetime | None = None


class Faults:
    """All faults of a rehearsal.

    Args:
        weights: percents that the canary goes through.
        unplayable: faults that nothing in this world would ever meet, and why.
    """

    def __init__(
        self, clock: VirtualClock, *, weights: Sequence[int], unplayable: Mapping[FaultKind, str] | None = None
    ) -> None:
        self._clock = clock
        self._weights = weights
        self._unplayable = unplayable or {}
        self._records: list[_Record] = []
        self._moments = {"now"}
        self._weight = 0
        self.before_change: Callable[[], None] = _nothing
        """Called right before a fault begins or ends: what was until then is counted as it was."""
        self.changed: Callable[[], None] = _nothing
        """Called once a fault has begun or ended."""

    def inject(self, fault: Fault) -> None:
        """Let the fault begin as its text says.

        Raises:
            Refused: it could never be met here, so a run with it would prove nothing.
        """
        why = self._why_never(fault)
        if why:
            raise Refused(f"the fault {fault.text!r} would never be met: {why}")
        record = _Record(fault=fault)
        self._records.append(record)
        if self._due(fault):
            self._begin(record)

    def began(self, fault: Fault) -> datetime | None:
        """Return when the fault first showed in what can be measured; None before."""
        times = [record.seen for record in self._records if record.fault == fault and record.seen]
        return min(times, default=None)

    def moment(self, name: str) -> None:
        """Say that a phase begins ("staging"): faults that are to begin ``from`` it do."""
        self._moments.add(name.casefold())
        self._begin_due()

    def end(self) -> None:
        """End all faults."""
        for record in self._records:
            if record.started is not None and not record.ended:
                self._end(record)
        self._records = [record for record in self._records if record.started is not None]

    def reached(self, weight: int) -> None:
        """Say that a canary goes to this weight, percent: faults that are to begin ``at`` it do."""
        self._weight = weight
        self._begin_due()

    def active(self, kind: FaultKind) -> Fault | None:
        """Return the fault of this kind that is on, the latest where there are several; None when none is."""
        record = self._active(kind)
        return None if record is None else record.fault

    def since(self, kind: FaultKind) -> datetime | None:
        """Return when the active fault of this kind began; None when none is on."""
        record = self._active(kind)
        return None if record is None else record.started

    def hit(self, kind: FaultKind) -> bool:
        """Whether a fault of this kind is on; if so, this is a moment at which it can be seen."""
        record = self._active(kind)
        if record is None:
            return False
        record.seen = record.seen or self._clock.now()
        return True

    def api_call(self) -> None:
        """Take the time that the API server takes for one call."""
        if self.hit(FaultKind.API_SERVER_SLOW):
            self._clock.sleep(_API_DELAY)

    def _active(self, kind: FaultKind) -> _Record | None:
        on = (r for r in reversed(self._records) if r.fault.kind is kind and r.started is not None and not r.ended)
        return next(on, None)

    def _why_never(self, fault: Fault) -> str:
        if fault.kind in self._unplayable:
            return self._unplayable[fault.kind]
        if fault.at_percent is None:
            return ""
        if fault.kind in _BEFORE_THE_CANARY:
            return "what it breaks happens before the canary has any weight; leave out 'at'"
        if fault.at_percent > max(self._weights, default=0):
            known = ", ".join(f"{weight}%" for weight in self._weights) or "none"
            return f"the canary never has {fault.at_percent}%, its weights are: {known}"
        return ""

    def _due(self, fault: Fault) -> bool:
        if fault.at_percent is not None:
            return self._weight >= fault.at_percent
        return fault.from_moment.casefold() in self._moments

    def _begin_due(self) -> None:
        for record in self._records:
            if record.started is None and self._due(record.fault):
                self._begin(record)

    def _begin(self, record: _Record) -> None:
        self.before_change()
        record.started = self._clock.now()
        if record.fault.lasts is not None:
            self._clock.after(record.fault.lasts, lambda: self._end(record))
        self.changed()

    def _end(self, record: _Record) -> None:
        self.before_change()
        record.ended = True
        self.changed()


def _nothing() -> None:
    """Nobody listens yet."""
