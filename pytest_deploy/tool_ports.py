"""The tools around a deploy: build, signature, records, checks, approval, GitOps; each may be off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from pytest_deploy.domain.approval import Asked, Request, Ruling
from pytest_deploy.domain.found import Found
from pytest_deploy.domain.pin import Pin
from pytest_deploy.domain.record import Record
from pytest_deploy.domain.release import Digest, Environment, ImageRef
from pytest_deploy.domain.stack import Sign

__all__ = ["CAPABILITIES", "Approvals", "Builder", "Capability", "GitOps", "Images", "Records", "Signer", "Stack"]


class Builder(Protocol):
    """Makes the image; where deploy.yaml has no ``build`` section the image is given by digest instead."""

    def build(self, image: ImageRef) -> Digest:
        """Build and push, and return the digest that the registry holds; raises DeployError."""
        ...


class Images(Protocol):
    """What the registry holds."""

    def digest(self, image: ImageRef) -> Digest | None:
        """Return the digest of the image; None: there is no such image. Raises DeployError: there is no answer."""
        ...


class Signer(Protocol):
    """Signs images, and says whether one is signed by who may; images are named ``repository@sha256:...``."""

    def sign(self, pinned: str) -> Found:
        """Sign the image; raises DeployError where it is not signed then."""
        ...

    def verify(self, pinned: str) -> Found:
        """Verify signature, provenance and SBOM of the image, all for this same digest.

        Raises:
            GateBreach: it is unsigned, signed by somebody else, or what is signed is something else.
            DeployError: there is no answer; never taken for a yes.
        """
        ...


class Records(Protocol):
    """Signed records of what was done with an image, attached to its digest in the registry."""

    def attach(self, pinned: str, record: Record) -> Found:
        """Sign the record and attach it to the image; raises DeployError where it is not there then."""
        ...

    def find(self, pinned: str) -> tuple[Record, ...]:
        """Return the records of this image whose signature holds, oldest first; () where there are none.

        Raises:
            GateBreach: there are some, and none of them is signed by who may.
            DeployError: there is no answer; never taken for "none".
        """
        ...


class Capability(Protocol):
    """A phase's tool that may be off: scanner, tests, approval, incidents, tickets, chat."""

    def __call__(self, subject: str) -> Found:
        """Do or check it for the subject and return what was found.

        Raises:
            GateBreach: the answer is no (red tests, a dirty scan, a denied approval, an open incident).
            DeployError: there is no answer; never taken for a yes. Both carry their evidence as attachments.
        """
        ...


class Approvals(Protocol):
    """Asks people whether an image may go to an environment; who waits for the answer is the engine."""

    @property
    def asks(self) -> str:
        """What asking writes outside, in a line (``gh workflow run ...``); "" where it writes nothing there."""
        ...

    def problems(self, environment: str, approvers: tuple[str, ...]) -> tuple[str, ...]:
        """Return what would keep an answer from ever counting, each with its mend; asks nobody.

        Raises:
            DeployError: nobody knows.
        """
        ...

    def ask(self, request: Request) -> Asked:
        """Begin to ask, and return where the answer is given; raises Refused where no answer could ever count."""
        ...

    def look(self, request: Request) -> Ruling:
        """Return what the answer is now; raises DeployError where there is none to be had: never a yes."""
        ...

    def withdraw(self, request: Request, why: str) -> str:
        """Take the question back and tell the approver why; returns what was done, never raises DeployError."""
        ...


class Stack(Protocol):
    """What says that this service is not ours to install: files of its repository, marks on its live objects."""

    def files(self) -> tuple[Sign, ...]:
        """Return what the files of the repository tell."""
        ...

    def live(self, environment: Environment) -> tuple[Sign, ...] | None:
        """Return the marks on the live objects; None where nothing is installed yet. Raises RemoteError, Refused."""
        ...


class GitOps(Protocol):
    """The environment repository, whose controller brings to a cluster what is committed there."""

    def covers(self, environment: str) -> bool:
        """Whether this environment gets a commit and no install."""
        ...

    def check(self, environment: str) -> Found:
        """Make sure that its file can be changed and pushed, without doing it; raises Refused, ToolFailed."""
        ...

    def commit(self, pin: Pin) -> Found:
        """Commit the digest on a branch of its own and push it; done already, nothing is. Raises DeployError."""
        ...

    def verify(self, pin: Pin) -> Found:
        """Fetch the branch anew: it changes nothing but the digest; raises GateBreach where it does."""
        ...


CAPABILITIES: Mapping[str, str] = {
    "build": "building and pushing the image",
    "sign": "signing, and verifying signature, provenance and SBOM",
    "record": "looking for the release candidate's signed record",
    "scan": "the scan for vulnerabilities",
    "tests": "running the repository's tests",
    "chart_checks": "lint and validation of the chart",
    "smoke": "the smoke test",
    "approval": "asking for approval",
    "incidents": "looking for open incidents",
    "checklist": "reading the deployment checklist",
    "tickets": "closing the deploy ticket",
    "chat": "posting the deploy note",
}
"""Each section of deploy.yaml that may be absent, and the work that is then not done."""
