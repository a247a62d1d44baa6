"""The faults of a drill, as the traffic source plays them on what the cluster really serves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pytest_deploy.domain.fault import FaultKind
from pytest_deploy.sandbox.weights import Version

__all__ = ["NEWEST", "Faults", "PlayedFault", "parse"]

NEWEST = "newest"
"""The canary: the newest version that is not the stable one. Once seen, it stays the one that is meant."""

_PLAYED = (FaultKind.ERROR_RATE, FaultKind.P95_LATENCY, FaultKind.NO_DATA, FaultKind.STALE_DATA)
_WITH_AMOUNT = (FaultKind.ERROR_RATE, FaultKind.P95_LATENCY)
_KEYS = {"what", "amount", "service", "version"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayedFault:
    """One fault of the list.

    Args:
        amount: a ratio for an error rate, seconds for a latency, as in domain.fault; None for the others.
        version: a pod-template hash, or ``newest`` until one was seen.
        began: when it first touched a version that gets requests; None: it has not yet.
    """

    what: FaultKind
    amount: float | None
    service: str
    version: str
    began: datetime | None = None

    def to_json(self) -> dict[str, object]:
        """Return it as ``GET /faults`` shows it."""
        return {
            "what": str(self.what),
            "amount": self.amount,
            "service": self.service,
            "version": self.version,
            "began": self.began.isoformat() if self.began else None,
        }


def parse(body: object) -> tuple[PlayedFault, ...]:
    """Read the list that ``PUT /faults`` was given.

    Raises:
        ValueError: it is no such list; the message says what is wrong with which entry.
    """
    if not isinstance(body, list):
        msg = 'a JSON list is wanted: [{"what": "error rate", "amount": 0.05, "service": "...", "version": "newest"}]'
        raise ValueError(msg)  # noqa: TRY004 - one kind of error for all that a client can get wrong
    return tuple(_parse_one(number, entry) for number, entry in enumerate(body, 1))


def _parse_one(number: int, entry: Any) -> PlayedFault:
    if not isinstance(entry, dict) or not entry.keys() <= _KEYS or "what" not in entry:
        msg = f"entry {number}: an object with the keys {', '.join(sorted(_KEYS))} is wanted, not {entry!r}"
        raise ValueError(msg)
    what, amount = entry["what"], entry.get("amount")
    if what not in _PLAYED:
        msg = f"entry {number}: the traffic source can't play {what!r}, only: {', '.join(_PLAYED)}"
        raise ValueError(msg)
    if (what in _WITH_AMOUNT) != (isinstance(amount, int | float) and not isinstance(amount, bool)):
        need = "a ratio or seconds as its amount" if what in _WITH_AMOUNT else "no amount"
        msg = f"entry {number}: {what} takes {need}, not {amount!r}"
        raise ValueError(msg)
    if amount is not None and not (0 <= amount <= 1 if what == FaultKind.ERROR_RATE else 0 < amount < 3600):
        msg = f"entry {number}: {amount!r} is out of range: an error rate from 0 to 1, a latency in seconds"
        raise ValueError(msg)
    service, version = entry.get("service", "checkout-api"), entry.get("version", NEWEST)
    if not isinstance(service, str) or not isinstance(version, str):
        msg = f"entry {number}: service and version are texts"
        raise ValueError(msg)  # noqa: TRY004 - as above
    return PlayedFault(what=FaultKind(what), amount=amount, service=service, version=version)


class Faults:
    """The current list."""

    def __init__(self) -> None:
        self.current: tuple[PlayedFault, ...] = ()

    @property
    def stale(self) -> bool:
        """Whether scrapes are refused, so that samples stop."""
        return any(fault.what is FaultKind.STALE_DATA and fault.began for fault in self.current)

    def play(self, versions: Iterable[Version], now: datetime) -> list[Version]:
        """Return the versions as the faults let them behave; those without data are missing."""
        seen = list(versions)
        self.current = tuple(_bound(fault, seen, now) for fault in self.current)
        return [changed for version in seen if (changed := self._changed(version)) is not None]

    def _changed(self, version: Version) -> Version | None:
        changes: Mapping[str, float] = {}
        for fault in self.current:
            if not _meant(fault, version):
                continue
            if fault.what is FaultKind.NO_DATA:
                return None
            if fault.amount is not None:
                in_ms = fault.what is FaultKind.P95_LATENCY
                name, amount = ("p95_ms", fault.amount * 1000) if in_ms else ("error_rate_ratio", fault.amount)
                changes = {**changes, name: amount}
        return replace(version, behaviour=replace(version.behaviour, **changes)) if changes else version


def _meant(fault: PlayedFault, version: Version) -> bool:
    return (fault.service, fault.version) == (version.service, version.pod_template_hash)


def _bound(fault: PlayedFault, seen: Iterable[Version], now: datetime) -> PlayedFault:
    if fault.began is not None:
        return fault
    for version in seen:
        if _meant(fault, version) or (fault.version == NEWEST and version.canary and version.service == fault.service):
            return replace(fault, version=version.pod_template_hash, began=now)
    return fault
