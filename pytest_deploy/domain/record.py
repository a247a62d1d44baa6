"""What a signed record says: what was done with one image, from which source, and when; and whether it still holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pytest_deploy.domain.quantity import format_duration
from pytest_deploy.domain.release import Digest

__all__ = ["LASTING", "STAGING", "Check", "Record", "RecordKind", "problems"]

STAGING = "staging"
"""The check that no record may lack: every pod ran the image in another environment."""
LASTING = frozenset({"build", "tests", "scan", "chart_checks", "install", STAGING, "smoke"})
"""The checks whose answer stays true of an image for a while; an incident or an approval is asked for anew."""
_SKEW = timedelta(minutes=5)
"""By how much the clocks of two machines may differ; arbitrary, far above what NTP leaves."""


class RecordKind(StrEnum):
    """Which kind of deploy it tells of."""

    CANDIDATE = "candidate"
    """Everything up to staging: another deploy may take it as its own evidence."""
    DEPLOY = "deploy"
    """A deploy to production, with its approval, its verdicts and how it ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was done or asked for, and what came of it.

    Args:
        name: stable: those of ``LASTING``, other sections of deploy.yaml, and of a deploy ``gate`` and ``rollback``.
        subject: what was asked about: the tests' commands, the environment, the gate and its weight.
        status: ``passed``, ``off`` (deploy.yaml has no section for it) or ``failed``.
        words: what was found, in a line.
    """

    name: str
    subject: str
    status: str
    words: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The record of one deploy feature, for one image.

    Args:
        image: the repository, without tag or digest.
        commit: git SHA of the source that was checked out; None where there was no repository.
        chart: hash of the chart with all values that deploy.yaml gives it.
        outcome: ``passed``, or how it ended instead.
    """

    kind: RecordKind
    deploy_id: str
    service: str
    environment: str
    image: str
    digest: Digest
    commit: str | None
    chart: str
    outcome: str
    checks: tuple[Check, ...]
    began: datetime
    ended: datetime

    @property
    def pinned(self) -> str:
        """``repository@sha256:...``."""
        return f"{self.image}@{self.digest}"

    @property
    def since(self) -> datetime:
        """When the oldest of its checks was done: evidence that was taken over from another record stays as old."""
        return min((check.at for check in self.checks), default=self.began)

    def passed(self, name: str, subject: str | None = None) -> Check | None:
        """Return the check of this name (and subject) where it passed; None: it did not, or was never done."""
        found = (c for c in self.checks if c.name == name and c.status == "passed" and subject in {None, c.subject})
        return next(found, None)

    @property
    def words(self) -> str:
        """Name it in short."""
        commit = f", commit {self.commit[:12]}" if self.commit else ""
        return f"record of {self.deploy_id}{commit}, ended {self.ended:%Y-%m-%d %H:%M} UTC"


def problems(record: Record, wanted: Record, *, max_age: timedelta) -> Iterator[str]:
    """Yield what keeps the record from being evidence, each with what was found and what is wanted; none: it holds.

    Args:
        wanted: the record that would be made now: same service, image, commit and chart, ``ended`` now.
        max_age: of its oldest check.
    """
    if record.outcome != "passed":
        yield f"its deploy did not pass: {record.outcome}"
    for what, theirs, ours in (
        ("service", record.service, wanted.service),
        ("image", record.pinned, wanted.pinned),
        ("commit", record.commit, wanted.commit),
        ("chart and values", record.chart, wanted.chart),
    ):
        if not theirs or theirs != ours:
            yield f"it is of another {what}: {theirs or 'none'}, here it is {ours or 'none'}"
    age = wanted.ended - record.since
    if age > max_age:
        old, limit = format_duration(age), format_duration(max_age)
        yield f"it is too old: its oldest check was {old} ago, and the limit is {limit} (record.max_age_hours)"
    if age < -_SKEW:
        yield f"it is from the future: {format_duration(-age)} ahead of this machine's clock"
    if record.passed(STAGING) is None:
        yield "it tells of no staging that passed"
