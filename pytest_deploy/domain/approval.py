"""Who may say yes to a release, and whether a yes holds: for this image, this attempt, by the right person, in time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pytest_deploy.domain.release import Digest, parse_digest

__all__ = ["Answer", "Asked", "Evidence", "Request", "Review", "Ruling", "judge", "same_person"]

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ATTEMPT = re.compile(r"\battempt[ #:]*(\d+)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What somebody is asked to approve.

    Args:
        pinned: ``repository@sha256:...``.
        commit: git SHA of the image's source; None where nobody knows it.
        approvers: of whom one must say yes: people (``@ann``) and teams (``@acme/sre``).
        deploy_id: the deploy that asks: the attempt.
    """

    service: str
    environment: str
    strategy: str
    pinned: str
    commit: str | None
    approvers: tuple[str, ...]
    deploy_id: str

    @property
    def digest(self) -> Digest:
        """The digest of the image."""
        return parse_digest(self.pinned.rpartition("@")[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Where and for how long an answer is waited for.

    Args:
        words: where it is given, and how.
        wait: after this time without an answer the deploy stops.
        poll: between two looks.
    """

    words: str
    wait: timedelta
    poll: timedelta


class Answer(StrEnum):
    """What is known of the answer now."""

    GRANTED = "granted"
    DENIED = "denied"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """The answer, and why it is this one.

    Args:
        words: for a report; of a denial every reason, each with its mend.
        by: who approved; "" where nobody did.
    """

    answer: Answer
    words: str
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """One person's answer.

    Args:
        by: the name that the system has checked.
        listed_as: the entry of the approvers' list that the person is, or belongs to; None: none of them.
        approved: False: the person said no.
        text: what the person wrote, or signed.
    """

    by: str
    listed_as: str | None
    approved: bool
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that is known of the answers to a request.

    Args:
        title: what the reviewers had before their eyes; a digest in it counts where a review names none.
        attempt: the number of this attempt at the same run.
        began: when this attempt began: no answer to it can be older.
        involved: what each person has to do with the release ("author of the commit"); they may not approve it.
        where: the run or the file, as a person finds it.
        again: what to do to be asked once more.
    """

    reviews: tuple[Review, ...]
    title: str
    attempt: int
    began: datetime
    involved: Mapping[str, str]
    where: str
    again: str


def judge(request: Request, evidence: Evidence, *, now: datetime, max_age: timedelta) -> Ruling:
    """Return what the reviews amount to: one that holds in every respect is enough, a no of this attempt ends it.

    Args:
        max_age: an approval may be this old. Its own time is not known everywhere: then it is as old as the attempt.
    """
    for review in evidence.reviews:
        if not review.approved and _attempt_of(review) == evidence.attempt:
            said = f": {review.text}" if review.text else ""
            return Ruling(
                answer=Answer.DENIED,
                words=f"{request.environment} was denied by {review.by}{said} ({evidence.where}); "
                f"next: settle it with {review.by}, then {evidence.again}",
            )
    found: list[str] = []
    for review in evidence.reviews:
        if not review.approved:
            continue
        problems = list(_problems(request, evidence, review, now - evidence.began, max_age))
        if not problems:
            as_member = "" if same_person(review.by, review.listed_as or "") else f" ({review.listed_as})"
            bound = f"attempt {evidence.attempt} of {evidence.where}"
            return Ruling(
                answer=Answer.GRANTED,
                words=f"{review.by}{as_member} approved {request.digest} for {request.environment}, {bound}",
                by=f"{review.by}{as_member}",
            )
        found.append(f"the approval by {review.by} does not count: {'; '.join(problems)}")
    if not found:
        return Ruling(answer=Answer.WAITING, words=f"nobody has answered yet ({evidence.where})")
    return Ruling(answer=Answer.DENIED, words=f"{'. '.join(found)} ({evidence.where}); next: {evidence.again}")


def same_person(name: str, other: str) -> bool:
    """Whether two names, with or without an ``@`` before them, are one: no system tells names apart by case."""
    return name.removeprefix("@").casefold() == other.removeprefix("@").casefold()


def _attempt_of(review: Review) -> int:
    """Return the attempt that a review is for: the first, unless it says otherwise.

    A review says neither when nor at which attempt it was given, and is listed at each later attempt too.
    """
    named = _ATTEMPT.search(review.text)
    return int(named[1]) if named else 1


def _problems(request: Request, evidence: Evidence, review: Review, age: timedelta, max_age: timedelta) -> list[str]:
    problems = []
    if review.listed_as is None:
        problems.append(f"it is by none of the approvers ({', '.join(request.approvers)})")
    problems += [
        f"{review.by} is the {role}, and nobody approves their own work"
        for person, role in evidence.involved.items()
        if same_person(person, review.by)
    ]
    named = _DIGEST.findall(review.text) or _DIGEST.findall(evidence.title)
    if not named:
        problems.append(f"it does not say for which image; write into the comment: {_comment(request, evidence)}")
    elif set(named) != {request.digest}:
        problems.append(f"it is for {', '.join(dict.fromkeys(named))}, but {request.digest} is to be deployed")
    if (attempt := _attempt_of(review)) != evidence.attempt:
        problems.append(
            f"it is for attempt {attempt}, this is attempt {evidence.attempt}; "
            f"write into the comment: {_comment(request, evidence)}"
        )
    if age > max_age:
        problems.append(f"it may be {_hours(age)} old, as old as the attempt; at most {_hours(max_age)} are allowed")
    return problems


def _comment(request: Request, evidence: Evidence) -> str:
    attempt = f" attempt {evidence.attempt}" if evidence.attempt > 1 else ""
    return f"{request.digest}{attempt}"


def _hours(duration: timedelta) -> str:
    minutes = duration.total_seconds() / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"
