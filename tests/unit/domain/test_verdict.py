"""A verdict explains itself, the same everywhere."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pytest_deploy.domain.measurement import Kind, Objective, Reading, Subject
from pytest_deploy.domain.verdict import Ruling, Verdict, VerdictKind

START = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
END = START + timedelta(minutes=5)
READING = Reading(
    since=START,
    at=END,
    newest=END - timedelta(seconds=5),
    total=1000.0,
    bad=31.0,
    value=0.031,
    queries=("total", "errors"),
)
VERDICT = Verdict(
    ruling=Ruling(kind=VerdictKind.FAIL, rule="the value is above the limit at the window's end"),
    objective=Objective(kind=Kind.ERROR_RATE, limit=0.005),
    subject=Subject(service="api", template_hash="new"),
    weight=25,
    actual_percent=25.0,
    window=timedelta(minutes=5),
    started=START,
    decided=END,
    reading=READING,
    judge="contract",
)


def test_the_sentence_has_all_that_decided() -> None:
    """Objective, place, verdict, value against limit, counts, time watched and the rule."""
    assert VERDICT.sentence == (
        "error rate at 25 %: FAIL, 3.10 % > 0.50 %; 31 bad of 1000 in 300 s of 300 s; "
        "the value is above the limit at the window's end"
    )


@pytest.mark.parametrize(
    ("reading", "says", "samples"),
    [
        (None, "no value (limit 0.50 %); 0 requests", 0),
        (replace(READING, total=None, bad=None, value=None), "no value (limit 0.50 %); 0 requests", 0),
        (replace(READING, bad=None), "3.10 % > 0.50 %; 1000 requests", 1000),
        (replace(READING, bad=5.0, value=0.005), "0.50 % <= 0.50 %; 5 bad of 1000", 1000),
    ],
)
def test_what_is_not_known_is_not_made_up(reading: Reading | None, says: str, samples: int) -> None:
    """No value is never shown as zero."""
    verdict = replace(VERDICT, reading=reading)
    assert says in verdict.sentence
    assert verdict.samples == samples
    assert verdict.value_text == ("no value" if "no value" in says else verdict.objective.show(reading.value))


def test_the_explanation_answers_every_question() -> None:
    """Whose traffic, asked and observed weight, window, newest sample, queries and judge."""
    assert VERDICT.explanation.splitlines()[1:] == [
        "  whose:   api, pods of version new",
        "  weight:  25 % asked, 25.0 % observed",
        "  window:  2026-11-24T10:00:00Z to 2026-11-24T10:05:00Z",
        "  sample:  the newest is of 10:04:55Z, read at 10:05:00Z",
        "  query:   total",
        "  query:   errors",
        "  judge:   contract",
    ]


def test_what_was_wrong_with_the_answer_is_told() -> None:
    """A partial answer says so; one without any sample has no time of one."""
    partial = replace(READING, newest=None, problem="1 of 2 stores did not answer")
    lines = replace(VERDICT, reading=partial, weight=None).explanation.splitlines()
    assert "  sample:  the newest is of none, read at 10:05:00Z" in lines
    assert "  problem: 1 of 2 stores did not answer" in lines
    assert lines[0].startswith("error rate after promotion: FAIL")
    assert not any(line.startswith("  weight:") for line in lines)


def test_nothing_read_nothing_shown() -> None:
    """Without a reading there is no sample and no query, and the judge speaks all the same."""
    lines = replace(VERDICT, reading=None, actual_percent=None).explanation.splitlines()
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["whose", "window", "judge"]
