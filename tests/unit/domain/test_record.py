"""Records: what keeps one from being evidence."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pytest_deploy.domain.codec import from_json, to_json
from pytest_deploy.domain.record import STAGING, Check, Record, RecordKind, problems
from pytest_deploy.domain.release import Digest

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DAY = timedelta(hours=24)


def check(name: str = STAGING, *, ago_h: float = 1, status: str = "passed") -> Check:
    """Return a check that was done so many hours ago."""
    return Check(name=name, subject="staging", status=status, words="10 pods ready", at=NOW - timedelta(hours=ago_h))


GOOD = Record(
    kind=RecordKind.CANDIDATE,
    deploy_id="d0",
    service="api",
    environment="staging",
    image="ghcr.io/acme/api",
    digest=Digest("sha256:" + "b" * 64),
    commit="1" * 40,
    chart="sha256:c",
    outcome="passed",
    checks=(check("scan", ago_h=2, status="off"), check()),
    began=NOW - timedelta(hours=3),
    ended=NOW - timedelta(hours=1),
)
WANTED = replace(GOOD, deploy_id="d1", environment="prod", checks=(), ended=NOW)


def test_a_record_that_holds() -> None:
    """Another deploy, another environment and another day change nothing."""
    assert list(problems(GOOD, WANTED, max_age=DAY)) == []


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"outcome": "STOPPED, nothing changed"}, "its deploy did not pass: STOPPED, nothing changed"),
        ({"service": "web"}, "it is of another service: web, here it is api"),
        ({"digest": Digest("sha256:" + "a" * 64)}, "it is of another image: ghcr.io/acme/api@sha256:aaa"),
        ({"image": "evil.example.com/api"}, "it is of another image: evil.example.com/api@sha256:bbb"),
        ({"commit": "2" * 40}, f"it is of another commit: {'2' * 40}, here it is {'1' * 40}"),
        ({"commit": None}, "it is of another commit: none, here it is 111"),
        ({"chart": "sha256:d"}, "it is of another chart and values: sha256:d, here it is sha256:c"),
        (
            {"checks": (check(ago_h=25),)},
            r"its oldest check was 25 h ago, and the limit is 24 h (record.max_age_hours)",
        ),
        ({"checks": (check(ago_h=-1),)}, "it is from the future: 1 h ahead of this machine's clock"),
        ({"checks": ()}, "it tells of no staging that passed"),
        ({"checks": (check(status="failed"),)}, "it tells of no staging that passed"),
    ],
)
def test_a_record_that_does_not_hold(changed: dict[str, object], says: str) -> None:
    """Each reason says what was found and what is wanted, and is the only one."""
    (told,) = problems(replace(GOOD, **changed), WANTED, max_age=DAY)  # type: ignore[arg-type]  # a table
    assert says in told


def test_two_unknown_commits_are_not_the_same() -> None:
    """Where no repository is, nothing says that the source is the same."""
    (told,) = problems(replace(GOOD, commit=None), replace(WANTED, commit=None), max_age=DAY)
    assert told == "it is of another commit: none, here it is none"


def test_evidence_taken_over_stays_as_old() -> None:
    """The age is that of the oldest check, however new the record is; without checks, of its begin."""
    assert GOOD.since == NOW - timedelta(hours=2)
    assert replace(GOOD, checks=()).since == GOOD.began


def test_a_check_is_found_by_name_and_subject() -> None:
    """Only where it passed."""
    assert GOOD.passed(STAGING) == GOOD.passed(STAGING, "staging") == GOOD.checks[1]
    assert GOOD.passed(STAGING, "qa") is None
    assert GOOD.passed("scan") is None


def test_what_was_signed_can_be_read() -> None:
    """As JSON and back."""
    assert from_json(Record, to_json(GOOD)) == GOOD
    assert GOOD.pinned == "ghcr.io/acme/api@sha256:" + "b" * 64
    assert GOOD.words == "record of d0, commit 111111111111, ended 2026-11-24 11:00 UTC"
    assert replace(GOOD, commit=None).words == "record of d0, ended 2026-11-24 11:00 UTC"
