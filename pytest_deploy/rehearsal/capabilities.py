"""The tools around a deploy: each answers as on a good day, and says that it was rehearsed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta

from pytest_deploy.domain.fault import FaultKind
from pytest_deploy.domain.found import Found
from pytest_deploy.domain.record import Record
from pytest_deploy.domain.release import Digest, ImageRef
from pytest_deploy.errors import GateBreach, ToolFailed, Unreachable
from pytest_deploy.ports import Builder, Capability, Records, Signer
from pytest_deploy.rehearsal.clock import VirtualClock
from pytest_deploy.rehearsal.faults import Faults

__all__ = ["builder", "capabilities", "faults_that_need", "records", "signer"]

_BUILD_TAKES = timedelta(seconds=40)
_ANSWER_TAKES = timedelta(seconds=1)

_ANSWERS: Mapping[str, str] = {
    "scan": "no vulnerability in {}",
    "tests": "{} passed",
    "chart_checks": "a chart that renders {} is valid",
    "smoke": "{} answered 200",
    "incidents": "no open incident tagged {}",
    "checklist": "every item for {} is ticked",
    "tickets": "{}; no ticket was touched",
    "chat": "{}; nothing was posted",
}
_SECTIONS: Mapping[FaultKind, tuple[str, ...]] = {
    FaultKind.REGISTRY_DOWN: ("build", "sign", "record"),
    FaultKind.SCANNER_DOWN: ("scan",),
    FaultKind.INCIDENT_OPEN: ("incidents",),
    FaultKind.APPROVAL_DENIED: ("approval",),
    FaultKind.NOTIFIER_DOWN: ("chat",),
}


def builder(clock: VirtualClock, faults: Faults) -> Builder:
    """Return a builder whose digest depends on the image reference alone."""
    return _Builder(clock, faults)


def signer(clock: VirtualClock, faults: Faults) -> Signer:
    """Return a signer for whom every image is signed."""
    return _Signer(clock, faults)


def records(clock: VirtualClock, faults: Faults, there: tuple[Record, ...]) -> Records:
    """Return a registry's records: those that are there already, and those that are attached."""
    return _Records(clock, faults, list(there))


def capabilities(clock: VirtualClock, faults: Faults, sections: Collection[str]) -> dict[str, Capability]:
    """Return those capabilities that deploy.yaml has a section for."""
    return {section: _capability(clock, faults, section) for section in _ANSWERS if section in sections}


def faults_that_need(sections: Collection[str]) -> dict[FaultKind, str]:
    """Return the faults that can't be met because the section of what they break is absent, and why."""
    return {
        kind: f"deploy.yaml has no {' or '.join(map(repr, broken))} section, so nothing asks what it breaks"
        for kind, broken in _SECTIONS.items()
        if not any(section in sections for section in broken)
    }


class _Builder:
    def __init__(self, clock: VirtualClock, faults: Faults) -> None:
        self._clock = clock
        self._faults = faults

    def build(self, image: ImageRef) -> Digest:
        """Return the digest that was given, else one made from the reference."""
        self._clock.sleep(_BUILD_TAKES)
        _registry(self._faults, f"push of {image.repository}")
        return image.digest or Digest(f"sha256:{hashlib.sha256(f'built {image}'.encode()).hexdigest()}")


class _Signer:
    def __init__(self, clock: VirtualClock, faults: Faults) -> None:
        self._clock = clock
        self._faults = faults

    def sign(self, pinned: str) -> Found:
        """Say that it was signed."""
        self._clock.sleep(_ANSWER_TAKES)
        _registry(self._faults, f"signing {pinned}")
        return Found("rehearsed: signed by nobody's key")

    def verify(self, pinned: str) -> Found:
        """Say that it is signed."""
        self._clock.sleep(_ANSWER_TAKES)
        _registry(self._faults, f"verifying {pinned}")
        return Found(f"rehearsed: signature, provenance and SBOM of {pinned} agree")


class _Records:
    def __init__(self, clock: VirtualClock, faults: Faults, there: list[Record]) -> None:
        self._clock = clock
        self._faults = faults
        self._there = there

    def attach(self, pinned: str, record: Record) -> Found:
        """Keep it in this world."""
        self._clock.sleep(_ANSWER_TAKES)
        _registry(self._faults, f"attaching a record to {pinned}")
        self._there.append(record)
        return Found(f"rehearsed: record of deploy {record.deploy_id} attached to {pinned}")

    def find(self, pinned: str) -> tuple[Record, ...]:
        """Return those of this image."""
        self._clock.sleep(_ANSWER_TAKES)
        _registry(self._faults, f"looking for records of {pinned}")
        return tuple(each for each in self._there if f"{each.image}@{each.digest}" == pinned)


def _registry(faults: Faults, what: str) -> None:
    if faults.hit(FaultKind.REGISTRY_DOWN):
        raise Unreachable(
            f"{what}: the registry does not answer (rehearsed: connection refused)",
            hint="see whether the registry is up, then deploy again",
        )


def _capability(clock: VirtualClock, faults: Faults, section: str) -> Capability:
    def ask(subject: str) -> Found:
        clock.sleep(_ANSWER_TAKES)
        refuse = _REFUSALS.get(section)
        if refuse is not None:
            refuse(faults, subject)
        return Found(f"rehearsed: {_ANSWERS[section].format(subject)}")

    return ask


def _scan(faults: Faults, subject: str) -> None:
    if faults.hit(FaultKind.SCANNER_DOWN):
        raise ToolFailed(
            f"the scan of {subject} gave no answer (rehearsed: its database can't be loaded); that is not clean",
            hint="run the scan again once its database can be had",
        )


def _incidents(faults: Faults, subject: str) -> None:
    if faults.hit(FaultKind.INCIDENT_OPEN):
        raise GateBreach(f"an incident tagged {subject} is open (rehearsed: since 20 min)", cause="incident open")


def _chat(faults: Faults, subject: str) -> None:
    if faults.hit(FaultKind.NOTIFIER_DOWN):
        raise Unreachable(f"{subject}: the chat does not answer (rehearsed: connection refused)")


_REFUSALS: Mapping[str, Callable[[Faults, str], None]] = {
    "scan": _scan,
    "incidents": _incidents,
    "chat": _chat,
}
