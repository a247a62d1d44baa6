"""What the sandbox has no real part for: tools that ask nobody, say so, and break on demand."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from pytest_deploy.domain.approval import Answer, Asked, Request, Ruling
from pytest_deploy.domain.fault import FaultKind
from pytest_deploy.domain.found import Found
from pytest_deploy.domain.record import Record
from pytest_deploy.domain.release import Digest, ImageRef
from pytest_deploy.errors import GateBreach, Refused, ToolFailed, Unreachable
from pytest_deploy.ports import Capability

__all__ = ["STAND_INS", "Approver", "Registry", "capabilities"]

STAND_INS = ("build", "sign", "record", "scan", "smoke", "approval", "incidents", "tickets", "chat")
"""The sections of deploy.yaml for which nothing real is there: kwok's pods answer nobody, images are made up."""


class Hit(Protocol):
    """Whether a fault is on."""

    def hit(self, kind: FaultKind) -> bool:
        """Return it; if so, it can be seen from now on."""
        ...


@dataclass(frozen=True)
class Registry:
    """Ports ``Builder``, ``Signer`` and ``Records``, for images that are given by digest."""

    faults: Hit
    kept: list[Record] = field(default_factory=list)

    def build(self, image: ImageRef) -> Digest:
        """Return the digest that was given; nothing is built."""
        self._answer()
        if image.digest is None:
            raise Refused("the sandbox builds no image", hint="give it by digest")
        return image.digest

    def sign(self, pinned: str) -> Found:
        """Say that nothing was signed."""
        self._answer()
        return Found(f"{pinned}: stand-in, nothing was signed")

    def verify(self, pinned: str) -> Found:
        """Say that nothing was verified."""
        self._answer()
        return Found(f"{pinned}: stand-in, nothing was verified")

    def attach(self, pinned: str, record: Record) -> Found:
        """Keep the record for as long as this deploy lasts."""
        self._answer()
        self.kept.append(record)
        return Found(f"{pinned}: stand-in, the record of {record.deploy_id} is kept in memory")

    def find(self, pinned: str) -> tuple[Record, ...]:
        """Return what was kept."""
        self._answer()
        return tuple(record for record in self.kept if record.pinned == pinned)

    def _answer(self) -> None:
        if self.faults.hit(FaultKind.REGISTRY_DOWN):
            raise Unreachable("the registry does not answer (stand-in)", hint="see whether the registry is up")


@dataclass(frozen=True)
class Approver:
    """Port ``Approvals``, asking nobody."""

    faults: Hit

    @property
    def asks(self) -> str:
        """Nothing."""
        return ""

    def problems(self, environment: str, approvers: tuple[str, ...]) -> tuple[str, ...]:  # noqa: ARG002 - the port's parameters
        """Return (): nobody is asked."""
        return ()

    def ask(self, request: Request) -> Asked:
        """Say that nobody is asked."""
        words = f"{request.pinned}: stand-in, nobody is asked"
        return Asked(words=words, wait=timedelta(minutes=1), poll=timedelta(seconds=1))

    def look(self, request: Request) -> Ruling:
        """Return a yes, or the no of the fault."""
        if self.faults.hit(FaultKind.APPROVAL_DENIED):
            return Ruling(answer=Answer.DENIED, words=f"{request.pinned} was not approved (stand-in)")
        return Ruling(
            answer=Answer.GRANTED, words=f"{request.pinned}: stand-in, nobody was asked", by="nobody (stand-in)"
        )

    def withdraw(self, request: Request, why: str) -> str:
        """Do nothing."""
        return f"{request.environment}: stand-in, nobody is told that {why}"


def capabilities(sections: Collection[str], faults: Hit) -> dict[str, Capability]:
    """Return those that stand in for a section of deploy.yaml."""
    return {name: _stand_in(name, faults) for name in sections if name in _NO_ANSWER}


def _stand_in(section: str, faults: Hit) -> Capability:
    kind, fail = _NO_ANSWER[section]

    def ask(subject: str) -> Found:
        if kind is not None and faults.hit(kind):
            fail(subject)
        return Found(f"{subject}: stand-in, nothing was asked")

    return ask


def _no_scan(subject: str) -> None:
    raise ToolFailed(f"the scan of {subject} gave no answer (stand-in); that is not clean")


def _open(subject: str) -> None:
    raise GateBreach(f"an incident tagged {subject} is open (stand-in)", cause="incident open")


def _no_chat(subject: str) -> None:
    raise Unreachable(f"{subject}: the chat does not answer (stand-in)")


def _never(subject: str) -> None:
    raise AssertionError(subject)


_NO_ANSWER: dict[str, tuple[FaultKind | None, Callable[[str], None]]] = {
    "scan": (FaultKind.SCANNER_DOWN, _no_scan),
    "incidents": (FaultKind.INCIDENT_OPEN, _open),
    "chat": (FaultKind.NOTIFIER_DOWN, _no_chat),
    "smoke": (None, _never),
    "tickets": (None, _never),
}
"""The fault that takes the answer away, and how."""
