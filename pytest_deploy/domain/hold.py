"""A hold as the journal has it: which one waits now, and whether a decision answers it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from pytest_deploy.domain.journal import Entry, Milestone
from pytest_deploy.domain.policy import Decision

__all__ = ["Hold", "check_decision", "open_hold"]

_UNTIL = " | decide until "


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A gate that waits for a person.

    Args:
        seq: of the journal's entry; a decision names it.
        sentence: of the verdict that is held.
        deadline: without a decision by then it is rolled back.
    """

    seq: int
    deploy_id: str
    since: datetime
    sentence: str
    deadline: datetime


def open_hold(entries: Iterable[Entry]) -> Hold | None:
    """Return the hold that waits; None where none does. Whatever milestone follows it, it is over.

    Raises:
        ValueError: the entry does not say until when it waits.
    """
    turned = [entry for entry in entries if entry.milestone is not None]
    if not turned or turned[-1].milestone is not Milestone.HOLDING:
        return None
    entry = turned[-1]
    sentence, until, deadline = entry.observed.rpartition(_UNTIL)
    try:
        moment = datetime.fromisoformat(deadline)
    except ValueError as error:
        raise _undated(entry) from error
    if not until or moment.tzinfo is None:
        raise _undated(entry)
    return Hold(seq=entry.seq, deploy_id=entry.deploy_id, since=entry.at, sentence=sentence, deadline=moment)


def check_decision(entries: Iterable[Entry], decided: Decision | None, decision: Decision) -> None:
    """Check that the decision answers what waits.

    Args:
        decided: what stands already as the answer to the same hold.

    Raises:
        ValueError: nothing waits, something else does, it is answered, or the deadline has passed.
    """
    hold = open_hold(entries)
    if hold is None:
        msg = "no gate is held: nothing waits for a decision"
        raise ValueError(msg)
    if hold.seq != decision.hold:
        msg = f"the decision is for hold {decision.hold}, but hold {hold.seq} waits: {hold.sentence}"
        raise ValueError(msg)
    if decided is not None:
        msg = f"it is decided already: {decided.words}"
        raise ValueError(msg)
    if decision.at >= hold.deadline:
        msg = f"the deadline was {hold.deadline:%Y-%m-%d %H:%M:%S} UTC: the deploy is being rolled back"
        raise ValueError(msg)


def _undated(entry: Entry) -> ValueError:
    return ValueError(f"entry {entry.seq} holds without a deadline: {entry.observed!r}")
