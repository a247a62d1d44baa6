"""What follows a verdict: declared per outcome; nothing but PASS, or a person's decision, raises a weight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

from pytest_deploy.domain.verdict import VerdictKind

__all__ = ["Answer", "Decision", "Policy", "Response"]


class Response(StrEnum):
    """What is done after a verdict that is not PASS, as deploy.yaml writes it."""

    ROLL_BACK = "roll back"
    HOLD = "hold"
    EXTEND_THEN_ROLL_BACK = "extend, then roll back"
    EXTEND_THEN_HOLD = "extend, then hold"

    @property
    def extends(self) -> bool:
        """Whether the window goes on once, for as long again."""
        return self in {Response.EXTEND_THEN_ROLL_BACK, Response.EXTEND_THEN_HOLD}

    @property
    def holds(self) -> bool:
        """Whether a person may decide before anything is taken back."""
        return self in {Response.HOLD, Response.EXTEND_THEN_HOLD}


_SAFE: Mapping[VerdictKind, Response] = MappingProxyType(
    {
        VerdictKind.FAIL: Response.ROLL_BACK,
        VerdictKind.INCONCLUSIVE: Response.EXTEND_THEN_HOLD,
        VerdictKind.NO_DATA: Response.EXTEND_THEN_HOLD,
        VerdictKind.ERROR: Response.EXTEND_THEN_HOLD,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The response to each verdict that is not PASS.

    Args:
        responses: the default rolls a breach back at once, and gives everything that is not known a second window
            and then a person's eyes: no data is no reason to take a good version back, and none to go on.
        hold: after so long without a decision it is rolled back. 30 minutes: a person who is paged has answered by
            then, or nobody will.
    """

    responses: Mapping[VerdictKind, Response] = field(default_factory=lambda: _SAFE)
    hold: timedelta = timedelta(minutes=30)

    def response(self, kind: VerdictKind) -> Response:
        """Return what follows; for an outcome that is not declared: back."""
        return self.responses.get(kind, Response.ROLL_BACK)


class Answer(StrEnum):
    """What a person says to a held gate."""

    PROMOTE = "promote"
    ABORT = "abort"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A person's answer to one hold; it stands in the journal, the report and the note.

    Args:
        hold: sequence number of the journal's entry that it answers: an old answer fits no new question.
        by: who, as the cluster knows the account, or as they call themselves.
        reason: why; never empty.
    """

    hold: int
    answer: Answer
    by: str
    reason: str
    at: datetime

    @property
    def words(self) -> str:
        """The decision in one line."""
        return f"{self.answer} decided by {self.by} at {self.at:%Y-%m-%d %H:%M:%S} UTC: {self.reason}"
