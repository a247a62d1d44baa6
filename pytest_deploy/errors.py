"""Every error that pytest-deploy raises, in one tree.

A gate that said no is not a malfunction, so the two are told apart by type,
by their Allure status (failed against broken) and by their wording::

    AssertionError
     └── GateBreach            an SLO gate, a scan, a test run ... said no
    BaseException
     └── DeployCancelled       INT, TERM or HUP; never caught by ``except Exception``
    Exception
     └── DeployError           something did not work
          ├── ConfigError      deploy.yaml, an option or a feature is wrong; all problems at once
          ├── Refused          pre-flight said no: nothing was changed
          ├── ToolError        a program on this machine
          │    ├── ToolMissing
          │    ├── ToolFailed
          │    └── ToolTimedOut
          ├── RemoteError      a server
          │    ├── Unreachable
          │    ├── Rejected    it understood, and said no (4xx)
          │    ├── Throttled   429
          │    └── Faulted     5xx, or an answer that makes no sense
          ├── MeasurementError a query that is wrong; missing data is a verdict, not an error
          ├── WaitTimedOut     what was waited for did not come
          ├── RollbackError    the way back failed or could not be verified
          ├── LockHeld         another deploy of this release is open
          └── LockLost         the lock is no longer ours: nothing may be written any more

Each message says what was observed, the limit with its unit, where, and what
to do next (the ``hint``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_deploy.domain.found import Attachment

__all__ = [
    "ConfigError",
    "DeployCancelled",
    "DeployError",
    "Faulted",
    "GateBreach",
    "LockHeld",
    "LockLost",
    "MeasurementError",
    "Refused",
    "Rejected",
    "RemoteError",
    "RollbackError",
    "Throttled",
    "ToolError",
    "ToolFailed",
    "ToolMissing",
    "ToolTimedOut",
    "Unreachable",
    "WaitTimedOut",
    "blamed_on",
]


class DeployCancelled(BaseException):
    """A signal asked the deploy to stop; what was changed is undone during teardown.

    Not a ``KeyboardInterrupt``: pytest then records a failed call and runs its
    normal teardown (with a ``KeyboardInterrupt`` there is no call report).

    Args:
        signal_name: ``SIGINT``, ``SIGTERM`` or ``SIGHUP``.
    """

    def __init__(self, signal_name: str) -> None:
        super().__init__(f"{signal_name} received: the deploy stops and is undone")
        self.signal_name = signal_name


class GateBreach(AssertionError):
    """A gate said no; the message is the whole explanation, in the gate's own numbers.

    Args:
        message: what was observed, the limit, the window and the rule that decided.
        cause: the gate's name in short ("error rate", "p95 latency", "approval"),
            which drills and the rollback's reason refer to.
        at: where in the deploy it happened ("25%"); None outside a canary step.
        attachments: the evidence: a log, a table of findings.
    """

    def __init__(
        self, message: str, *, cause: str, at: str | None = None, attachments: Sequence[Attachment] = ()
    ) -> None:
        super().__init__(message)
        self.cause = cause
        self.at = at
        self.attachments = tuple(attachments)


class DeployError(Exception):
    """Something did not work; the base of every error that is not a gate's no.

    Args:
        message: what was observed, where.
        hint: the next move; empty when there is none to offer.
        cause: in short what broke ("prometheus down"); None: the class says enough.
        attachments: what a tool printed, whole.
    """

    def __init__(
        self, message: str, *, hint: str = "", cause: str | None = None, attachments: Sequence[Attachment] = ()
    ) -> None:
        super().__init__(message)
        self.hint = hint
        self.cause = cause
        self.attachments = tuple(attachments)

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message}\n  next: {self.hint}" if self.hint else message


class ConfigError(DeployError):
    """Configuration or a feature is wrong: every problem found, each with its place.

    Args:
        problems: one line each, ``file:line:column: what is wrong, what would be right``.
    """

    def __init__(self, problems: Sequence[str], *, hint: str = "") -> None:
        super().__init__("\n".join(problems), hint=hint)
        self.problems = tuple(problems)


class Refused(DeployError):
    """Pre-flight said no; nothing was changed."""


class ToolError(DeployError):
    """A program on this machine did not do its work."""


class ToolMissing(ToolError):
    """A program is not installed, or not on PATH."""


class ToolFailed(ToolError):
    """A program ended with a status that its adapter takes for a failure."""


class ToolTimedOut(ToolError):
    """A program ran past its limit and was ended."""


class RemoteError(DeployError):
    """A server did not do what it was asked."""


class Unreachable(RemoteError):
    """No answer: name not found, connection refused, TLS failure or time-out."""


class Rejected(RemoteError):
    """The server understood and said no (4xx), a failed ``test`` of a patch included."""


class Throttled(RemoteError):
    """The server asked to slow down (429)."""


class Faulted(RemoteError):
    """The server failed (5xx), or answered with something that makes no sense."""


class MeasurementError(DeployError):
    """A query is wrong: it can never yield evidence. Missing data is a verdict instead."""


class WaitTimedOut(DeployError):
    """What was waited for did not come within its limit.

    Args:
        last_seen: the last observation, in words.
    """

    def __init__(self, message: str, *, last_seen: str, hint: str = "", cause: str | None = None) -> None:
        super().__init__(f"{message}; last seen: {last_seen}", hint=hint, cause=cause)
        self.last_seen = last_seen

    def add(self, words: str, attachments: Sequence[Attachment]) -> None:
        """Say more of what was seen last."""
        self.last_seen += f"; {words}"
        self.args = (f"{self.args[0]}; {words}",)
        self.attachments += tuple(attachments)


class RollbackError(DeployError):
    """The way back failed or could not be verified: a human is needed now.

    Args:
        left_behind: the state that was last observed, one line each.
        commands: what a human runs next, in order.
    """

    def __init__(self, message: str, *, left_behind: Sequence[str], commands: Sequence[str]) -> None:
        super().__init__(message, hint="; ".join(commands))
        self.left_behind = tuple(left_behind)
        self.commands = tuple(commands)


class LockHeld(DeployError):
    """Another deploy of this release is open.

    Args:
        holder: the id of the deploy that holds it; the message says more.
    """

    def __init__(self, message: str, *, holder: str, hint: str = "") -> None:
        super().__init__(message, hint=hint, cause="lock held")
        self.holder = holder


class LockLost(DeployError):
    """The lock is no longer ours: nothing may be written any more, not even the way back.

    Whoever holds it now, or ``recover`` once it has expired, ends what this deploy began.
    """

    def __init__(self, message: str, *, hint: str = "pytest-deploy recover finishes it") -> None:
        super().__init__(message, hint=hint, cause="lock lost")


@contextmanager
def blamed_on(cause: str) -> Iterator[None]:
    """Name in short what broke, on a DeployError that passes and that has no cause of its own."""
    try:
        yield
    except DeployError as error:
        error.cause = error.cause or cause
        raise
