"""The tools around a deploy: each answers as on a good day, and says that it was rehearsed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta

from pytest_deploy.domain.fault import FaultKind
from pytest_deploy.domain.release import Digest, ImageRef
from pytest_deploy.errors import GateBreach, ToolFailed, Unreachable
from pytest_deploy.ports import Builder, Capability
from pytest_deploy.rehearsal.clock import VirtualClock
from pytest_deploy.rehearsal.faults import Faults

__all__ = ["builder", "capabilities", "faults_that_need"]

_BUILD_TAKES = timedelta(seconds=40)
_ANSWER_TAKES = timedelta(seconds=1)

_ANSWERS: Mapping[str, str] = {
    "sign": "signature, provenance and SBOM of {} agree",
    "scan": "no vulnerability in {}",
    "tests": "{} passed",
    "chart_checks": "{} is valid",
    "smoke": "{} answered 200",
    "approval": "{} approved; nobody was asked",
    "incidents": "no open incident tagged {}",
    "checklist": "every item for {} is ticked",
    "tickets": "{}; no ticket was touched",
    "chat": "{}; nothing was posted",
}
_SECTIONS: Mapping[FaultKind, str] = {
    FaultKind.REGISTRY_DOWN: "build",
    FaultKind.SCANNER_DOWN: "scan",
    FaultKind.INCIDENT_OPEN: "incidents",
    FaultKind.APPROVAL_DENIED: "approval",
    FaultKind.NOTIFIER_DOWN: "chat",
}


def builder(clock: VirtualClock, faults: Faults) -> Builder:
    """Return a builder whose digest depends on the image reference alone."""
    return _Builder(clock, faults)


def capabilities(clock: VirtualClock, faults: Faults, sections: Collection[str]) -> dict[str, Capability]:
    """Return those capabilities that deploy.yaml has a section for."""
    return {section: _capability(clock, faults, section) for section in _ANSWERS if section in sections}


def faults_that_need(sections: Collection[str]) -> dict[FaultKind, str]:
    """Return the faults that can't be met because the section of what they break is absent, and why."""
    return {
        kind: f"deploy.yaml has no {section!r} section, so nothing asks what it breaks"
        for kind, section in _SECTIONS.items()
        if section not in sections
    }


class _Builder:
    def __init__(self, clock: VirtualClock, faults: Faults) -> None:
        self._clock = clock
        self._faults = faults

    def build(self, image: ImageRef) -> Digest:
        """Return the digest that was given, else one made from the reference."""
        self._clock.sleep(_BUILD_TAKES)
        if self._faults.hit(FaultKind.REGISTRY_DOWN):
            raise Unreachable(
                f"push of {image.repository}: the registry does not answer (rehearsed: connection refused)",
                hint="see whether the registry is up, then deploy again",
            )
        return image.digest or Digest(f"sha256:{hashlib.sha256(f'built {image}'.encode()).hexdigest()}")


def _capability(clock: VirtualClock, faults: Faults, section: str) -> Capability:
    def ask(subject: str) -> str:
        clock.sleep(_ANSWER_TAKES)
        refuse = _REFUSALS.get(section)
        if refuse is not None:
            refuse(faults, subject)
        return f"rehearsed: {_ANSWERS[section].format(subject)}"

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


def _approval(faults: Faults, subject: str) -> None:
    if faults.hit(FaultKind.APPROVAL_DENIED):
        raise GateBreach(f"{subject} was not approved (rehearsed: an approver said no)", cause="approval denied")


def _chat(faults: Faults, subject: str) -> None:
    if faults.hit(FaultKind.NOTIFIER_DOWN):
        raise Unreachable(f"{subject}: the chat does not answer (rehearsed: connection refused)")


_REFUSALS: Mapping[str, Callable[[Faults, str], None]] = {
    "scan": _scan,
    "incidents": _incidents,
    "approval": _approval,
    "chat": _chat,
}
