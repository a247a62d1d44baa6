"""Whether a yes holds: by whom, for what, for which attempt, how old."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pytest_deploy.domain.approval import Answer, Evidence, Request, Review, Ruling, judge, same_person

DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DAY = timedelta(hours=24)
REQUEST = Request(
    service="api",
    environment="prod",
    strategy="canary",
    pinned=f"ghcr.io/acme/api@{DIGEST}",
    commit="c0ffee",
    approvers=("@acme/sre", "@ann"),
    deploy_id="d1",
)
YES = Review(by="@bob", listed_as="@acme/sre", approved=True, text=f"go {DIGEST}")
NO = Review(by="@bob", listed_as="@acme/sre", approved=False, text="")
EVIDENCE = Evidence(
    reviews=(YES,),
    title="Deploy",
    attempt=1,
    began=NOW - timedelta(hours=1),
    involved={"dora": "author of c0ffee"},
    where="run 7",
    again="deploy again",
)


def ruled(*reviews: Review, request: Request = REQUEST, max_age: timedelta = DAY, **changed: object) -> Ruling:
    """Judge these reviews, with what was changed in the evidence."""
    evidence = replace(EVIDENCE, reviews=reviews, **changed)  # type: ignore[arg-type]  # a table of fields
    return judge(request, evidence, now=NOW, max_age=max_age)


def test_one_good_review_is_enough() -> None:
    """It says who approved what, as whom, and where it stands."""
    assert ruled(YES) == Ruling(
        answer=Answer.GRANTED,
        words=f"@bob (@acme/sre) approved {DIGEST} for prod, attempt 1 of run 7",
        by="@bob (@acme/sre)",
    )


def test_a_person_of_the_list_is_named_once() -> None:
    """Who stands in the list themselves needs no team."""
    assert ruled(replace(YES, by="@Ann", listed_as="@ann")).by == "@Ann"


def test_nobody_yet() -> None:
    """No review is neither yes nor no."""
    assert ruled() == Ruling(answer=Answer.WAITING, words="nobody has answered yet (run 7)")


def test_a_no_ends_it() -> None:
    """A no of this attempt outweighs a yes, and its reason is told."""
    assert ruled(YES, NO).words == "prod was denied by @bob (run 7); next: settle it with @bob, then deploy again"
    assert ruled(YES, NO).answer is Answer.DENIED
    assert "denied by @bob: not on a Friday (run 7)" in ruled(replace(NO, text="not on a Friday")).words


def test_a_no_of_an_earlier_attempt_is_over() -> None:
    """The yes to this attempt counts, and without one nobody has answered."""
    second = replace(YES, text=f"{DIGEST} attempt 2")
    assert ruled(NO, second, attempt=2).answer is Answer.GRANTED
    assert ruled(NO, attempt=2).answer is Answer.WAITING
    assert ruled(replace(NO, text="Attempt #2: no"), second, attempt=2).answer is Answer.DENIED


def test_a_good_one_beside_a_bad_one() -> None:
    """What does not count takes nothing away."""
    assert ruled(replace(YES, by="@dora"), YES).by == "@bob (@acme/sre)"


@pytest.mark.parametrize(
    ("review", "changed", "words"),
    [
        (replace(YES, listed_as=None), {}, "it is by none of the approvers (@acme/sre, @ann)"),
        (replace(YES, by="@Dora"), {}, "@Dora is the author of c0ffee, and nobody approves their own work"),
        (replace(YES, text="go"), {}, f"it does not say for which image; write into the comment: {DIGEST};"),
        (replace(YES, text=f"go {OTHER}"), {}, f"it is for {OTHER}, but {DIGEST} is to be deployed"),
        (replace(YES, text=f"{DIGEST} or {OTHER}"), {}, f"it is for {DIGEST}, {OTHER}, but {DIGEST} is to be deployed"),
        (replace(YES, text="go"), {"title": f"Deploy {OTHER}"}, f"it is for {OTHER}, but {DIGEST}"),
        (YES, {"attempt": 2}, f"it is for attempt 1, this is attempt 2; write into the comment: {DIGEST} attempt 2"),
        (YES, {"began": NOW - DAY * 1.5}, "it may be 36.0 h old, as old as the attempt; at most 24.0 h are allowed"),
    ],
)
def test_what_does_not_count(review: Review, changed: dict[str, object], words: str) -> None:
    """Each reason is told, in its own numbers, with the next move."""
    if "write into the comment" in words:
        words = words.removesuffix(";")
    ruling = ruled(review, **changed)
    assert ruling.answer is Answer.DENIED
    assert ruling.by == ""
    assert f"the approval by {review.by} does not count: " in ruling.words
    assert words in ruling.words
    assert ruling.words.endswith("(run 7); next: deploy again")


def test_all_reasons_at_once() -> None:
    """Of every review, all that is wrong with it."""
    stranger = replace(YES, by="@dora", listed_as=None, text="")
    words = ruled(stranger, replace(YES, text=OTHER)).words
    assert words.count("does not count") == 2
    assert "by none of the approvers" in words
    assert "nobody approves their own work" in words


def test_the_title_counts_where_the_review_names_no_digest() -> None:
    """The reviewer had it before their eyes."""
    assert ruled(replace(YES, text="go"), title=f"Deploy api {DIGEST}").answer is Answer.GRANTED


def test_a_short_limit_is_told_in_minutes() -> None:
    """Below two hours, hours say little."""
    words = ruled(YES, max_age=timedelta(minutes=30)).words
    assert "it may be 60 min old, as old as the attempt; at most 30 min are allowed" in words


def test_names_are_told_apart_by_no_case() -> None:
    """With or without the sign that some write before them."""
    assert same_person("@Ann", "ann")
    assert not same_person("@acme/ann", "ann")
