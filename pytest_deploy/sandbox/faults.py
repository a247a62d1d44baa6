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
_KEYS = {"what", "amount", "service", "namespace", "version"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayedFault:
    """One fault of the list.

    Args:
        amount: a ratio for an error rate, seconds for a latency, as in domain.fault; None for the others.
        version: a pod-template hash, or ``newest`` until one was seen.
        bound: whether a version that it means was seen to get requests.
        shown: requests by which it could be seen, fractions included.
        began: when it first showed in what can be measured; None: it has not yet.
    """

    what: FaultKind
    amount: float | None
    service: str
    namespace: str
    version: str
    bound: bool = False
    shown: float = 0.0
    began: datetime | None = None

    def to_json(self) -> dict[str, object]:
        """Return it as ``GET /faults`` shows it."""
        return {
            "what": str(self.what),
            "amount": self.amount,
            "service": self.service,
            "namespace": self.namespace,
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
    where = {"service": "checkout-api", "namespace": "prod", "version": NEWEST}
    where |= {key: entry[key] for key in where if key in entry}
    if not all(isinstance(text, str) for text in where.values()):
        msg = f"entry {number}: service, namespace and version are texts"
        raise ValueError(msg)
    return PlayedFault(
        what=FaultKind(what),
        amount=amount,
        service=where["service"],
        namespace=where["namespace"],
        version=where["version"],
    )


class Faults:
    """The current list."""

    def __init__(self) -> None:
        self.current: tuple[PlayedFault, ...] = ()

    @property
    def stale(self) -> bool:
        """Whether scrapes are refused, so that samples stop."""
        return any(fault.what is FaultKind.STALE_DATA and fault.bound for fault in self.current)

    @property
    def hidden(self) -> frozenset[tuple[str, str]]:
        """Namespace and pod-template hash of the versions that have no data."""
        return frozenset(
            (fault.namespace, fault.version)
            for fault in self.current
            if fault.what is FaultKind.NO_DATA and fault.bound
        )

    def play(self, versions: Iterable[Version], seconds: float, now: datetime) -> list[Version]:
        """Return the versions as the faults let them behave in this span; those without data are missing.

        Args:
            seconds: length of the span.
            now: its end.
        """
        seen = list(versions)
        self.current = tuple(_shown(_bound(fault, seen), seen, seconds, now) for fault in self.current)
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
    return _same_service(fault, version) and fault.version == version.pod_template_hash


def _same_service(fault: PlayedFault, version: Version) -> bool:
    return (fault.namespace, fault.service) == (version.namespace, version.service)


def _bound(fault: PlayedFault, seen: Iterable[Version]) -> PlayedFault:
    for version in () if fault.bound else seen:
        if _meant(fault, version) or (fault.version == NEWEST and version.canary and _same_service(fault, version)):
            return replace(fault, version=version.pod_template_hash, bound=True)
    return fault


def _shown(fault: PlayedFault, seen: Iterable[Version], seconds: float, now: datetime) -> PlayedFault:
    """Note when the fault can first be seen: with the first failed or slow request, or as soon as data is missing."""
    if fault.began is not None or not fault.bound:
        return fault
    requests = sum(version.requests_per_s for version in seen if _meant(fault, version)) * seconds
    share = fault.amount if fault.what is FaultKind.ERROR_RATE and fault.amount is not None else 1.0
    shown = fault.shown + requests * share if fault.what in _WITH_AMOUNT else 1.0
    return replace(fault, shown=shown, began=now if shown >= 1 else None)
