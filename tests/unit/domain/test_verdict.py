"""A verdict explains itself, the same everywhere."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pytest_deploy.domain.explanation import reading_interval
from pytest_deploy.domain.measurement import Bucket, Kind, Objective, Reading, Role, Subject
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
    """The assertion with its margin, the counts with their interval, whose traffic, window, queries and judge."""
    assert VERDICT.explanation.splitlines()[1:] == [
        "  assert:  3.10 % <= 0.50 % (2.60 points beyond the limit)",
        "  counts:  31 bad of 1000 requests, 3.10 %, exact 95 % interval 2.12 % to 4.37 %, 0.50 % is allowed",
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
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["assert", "whose", "window", "judge"]
    assert lines[1] == "  assert:  no value <= 0.50 %"


P95 = Objective(kind=Kind.LATENCY, limit=0.3, quantile=0.95)
QUEUE = Objective(kind=Kind.QUERY, limit=100, subject="queue length", unit="messages")


def _line(verdict: Verdict, label: str) -> str:
    """The explanation's line with a label; "" where there is none."""
    found = [line for line in verdict.explanation.splitlines() if line.startswith(f"  {label}:")]
    return found[0].partition(":")[2].strip() if found else ""


@pytest.mark.parametrize(
    ("objective", "value", "margin", "says"),
    [
        (VERDICT.objective, 0.001, 0.004, "0.10 % <= 0.50 % (0.40 points within the limit)"),
        (VERDICT.objective, 0.005, 0.0, "0.50 % <= 0.50 % (exactly at the limit)"),
        (P95, 0.417, -0.117, "417 ms <= 300 ms (117 ms beyond the limit)"),
        (QUEUE, 112, -12, "112 messages <= 100 messages (12 messages beyond the limit)"),
        (replace(QUEUE, at_least=True), 112, 12, "112 messages >= 100 messages (12 messages within the limit)"),
        (replace(QUEUE, unit="%", limit=0.9), 0.95, -0.05, "95.00 % <= 90.00 % (5.00 points beyond the limit)"),
        (
            Objective(kind=Kind.AVAILABILITY, limit=0.005),
            0.031,
            -0.026,
            "96.90 % >= 99.50 % (2.60 points beyond the limit)",
        ),
    ],
)
def test_the_margin_has_side_and_unit(objective: Objective, value: float, margin: float, says: str) -> None:
    """How far from the limit, and on which side of it, whatever is limited."""
    verdict = replace(VERDICT, objective=objective, reading=replace(READING, value=value))
    assert verdict.margin == pytest.approx(margin)
    assert _line(verdict, "assert") == says


def test_a_latency_shows_the_share_that_was_slower() -> None:
    """Beside the value: how many were slower than the limit, the interval of that share, and what is allowed."""
    verdict = replace(VERDICT, objective=P95, reading=replace(READING, value=0.25))
    assert verdict.sentence.startswith("p95 latency at 25 %: FAIL, 250 ms <= 300 ms; 31 bad of 1000 in 300 s of 300 s")
    counts = "31 slower than 300 ms of 1000 requests, 3.10 %, exact 95 % interval 2.12 % to 4.37 %, 5.00 % is allowed"
    assert _line(verdict, "counts") == counts


def test_the_buckets_beside_the_limit_are_told() -> None:
    """Both bounds with their counts, the bucket that is missing, and an interval that covers what both allow."""
    beside = (Bucket(bound_s=0.25, slower=60), Bucket(bound_s=0.5, slower=20))
    verdict = replace(VERDICT, objective=P95, reading=replace(READING, bad=None, neighbours=beside))
    assert _line(verdict, "buckets") == (
        "none ends at 0.3 s: 60 took longer than 0.25 s, 20 longer than 0.5 s; with a bucket le=0.3 it would be exact"
    )
    assert _line(verdict, "counts") == (
        "1000 requests, how many of them slower than 300 ms is not known exactly, "
        "exact 95 % interval 1.23 % to 7.66 %, 5.00 % is allowed"
    )
    over_stable = replace(verdict, objective=replace(P95, relative=True))
    assert _line(over_stable, "buckets") == "none ends: 60 took longer than 0.25 s, 20 longer than 0.5 s"


def test_the_control_stands_beside_it() -> None:
    """The stable version's last reading with value, counts and interval tells the canary from its environment."""
    first, last = replace(READING, value=0.9), replace(READING, total=4000.0, bad=4.0, value=0.001)
    verdict = replace(VERDICT, control=(first, last))
    shown = "the stable version showed 0.10 %, 4 bad of 4000 requests, exact 95 % interval 0.03 % to 0.26 %"
    assert _line(verdict, "control") == shown
    empty = replace(READING, total=None, bad=None, value=None)
    assert _line(replace(VERDICT, control=(empty,)), "control") == "the stable version showed no value, no series"


def test_a_relative_gate_compares_the_difference() -> None:
    """Its value is by how much it is worse than the stable version; without a control there is none."""
    objective = replace(VERDICT.objective, relative=True, limit=0.002)
    stable = replace(READING, total=4000.0, bad=40.0, value=0.01)
    verdict = replace(VERDICT, objective=objective, control=(stable,))
    assert verdict.value == pytest.approx(0.021)
    assert "25 %: FAIL, 2.10 points > 0.20 points; 31 bad of 1000" in verdict.sentence
    assert _line(verdict, "assert") == "2.10 points <= 0.20 points (1.90 points beyond the limit)"
    assert _line(verdict, "control").endswith("; the canary 3.10 %")
    assert "is allowed" not in _line(verdict, "counts")
    for control in ((), (replace(stable, value=None),)):
        alone = replace(verdict, control=control)
        assert alone.value is None
        assert "FAIL, no value (limit 0.20 points)" in alone.sentence
    unread = replace(verdict, reading=None)
    assert "; the canary" not in unread.explanation


@pytest.mark.parametrize(("kind", "needs"), [(Kind.SCRIPT, "exit status 0"), (Kind.STEP, "no failed assertion")])
def test_unknown_numbers_are_said_to_be(kind: Kind, needs: str) -> None:
    """A script or a step says yes or no: there is no value, no limit in percent and no count."""
    objective = Objective(kind=kind, limit=0, subject="./scripts/check-slo.sh")
    verdict = replace(
        VERDICT, objective=objective, reading=None, ruling=Ruling(kind=VerdictKind.FAIL, rule="it said no")
    )
    assert (
        verdict.sentence
        == "./scripts/check-slo.sh at 25 %: FAIL, its numbers are unknown; in 300 s of 300 s; it said no"
    )
    assert _line(verdict, "numbers") == "unknown: it says yes or no, and nothing of how often or how much"
    assert _line(verdict, "needs") == verdict.bound_text == needs
    assert "%" not in verdict.explanation.partition("\n")[2].replace("25 % asked, 25.0 % observed", "")
    assert verdict.value_text == "unknown"
    assert replace(verdict, window=timedelta()).sentence.endswith("FAIL, its numbers are unknown; it said no")


def test_a_query_shows_value_unit_and_samples() -> None:
    """It counts no requests: what it rests on are samples."""
    verdict = replace(VERDICT, objective=QUEUE, reading=replace(READING, total=20.0, bad=None, value=112.0))
    assert "FAIL, 112 messages > 100 messages; 20 samples in 300 s of 300 s" in verdict.sentence
    assert _line(verdict, "counts") == "a value over 20 samples"
    nothing = replace(verdict, reading=replace(READING, total=None, bad=None, value=None))
    assert "no value (limit 100 messages); 0 samples" in nothing.sentence
    assert _line(nothing, "counts") == "no sample"


SERVICE = Subject(service="api", role=Role.SERVICE)


@pytest.mark.parametrize(
    ("weight", "actual", "objective", "unseen"),
    [
        (5, 5.0, VERDICT.objective, "a canary that fails up to 10.00 % of its requests would not show"),
        (5, None, VERDICT.objective, "a canary that fails up to 10.00 % of its requests would not show"),
        (25, 20.0, P95, "a canary that is too slow for up to 25.00 % of its requests would not show"),
        (1, 0.1, VERDICT.objective, "a canary that fails up to 100.00 % of its requests would not show"),
        (1, 0.0, VERDICT.objective, "a canary that fails up to 100.00 % of its requests would not show"),
        (
            5,
            5.0,
            replace(P95, relative=True, limit=0.002),
            "a canary that is too slow for up to 4.00 % of its requests would not show",
        ),
        (100, 100.0, VERDICT.objective, ""),
        (None, None, VERDICT.objective, ""),
        (5, 5.0, QUEUE, ""),
    ],
)
def test_what_a_reading_of_all_pods_cant_see_is_said(
    weight: int | None, actual: float | None, objective: Objective, unseen: str
) -> None:
    """Limit divided by the canary's share: worse than that it must be before the whole service shows it."""
    verdict = replace(VERDICT, subject=SERVICE, weight=weight, actual_percent=actual, objective=objective)
    assert verdict.unseen_text == unseen
    assert _line(verdict, "unseen") == unseen
    assert verdict.sentence.endswith(f"; all pods were read: {unseen}" if unseen else verdict.ruling.rule)
    assert replace(VERDICT, weight=5).unseen_ratio is None


def test_the_rest_is_told_where_there_is_any() -> None:
    """What would have been needed, extension, dry run, gate and note each have a line, and else none."""
    told = replace(
        VERDICT,
        ruling=Ruling(kind=VerdictKind.INCONCLUSIVE, rule="90 requests", cause="few", needed="600 requests"),
        extended=timedelta(minutes=5),
        decided=END + timedelta(minutes=5),
        dry_run=True,
        scenario="Canary at 25%",
        place="x.feature:3",
        note="compared with the step before",
    )
    assert told.sentence == (
        "DRY RUN: error rate at 25 %: INCONCLUSIVE, 3.10 % > 0.50 %; "
        "31 bad of 1000 in 600 s (300 s, extended by 300 s); 90 requests"
    )
    assert _line(told, "needed") == "600 requests"
    assert _line(told, "window") == "2026-11-24T10:00:00Z to 2026-11-24T10:10:00Z, extended by 5 min"
    assert _line(told, "dry run") == "it is told, and blocks nothing"
    assert _line(told, "gate") == "Canary at 25%, x.feature:3"
    assert _line(told, "note") == "compared with the step before"
    for label in ("needed", "dry run", "gate", "note", "control", "unseen", "buckets", "problem"):
        assert _line(VERDICT, label) == ""


@pytest.mark.parametrize("total", [None, 0.0, 0.2, math.inf, math.nan])
@pytest.mark.parametrize("bad", [None, 0.0, math.inf, math.nan])
def test_impossible_counts_have_no_interval(total: float | None, bad: float | None) -> None:
    """What is no count of requests is shown as it came, never as a share, and breaks nothing."""
    verdict = replace(VERDICT, reading=replace(READING, total=total, bad=bad))
    assert reading_interval(verdict.reading) is None
    assert "interval" not in verdict.explanation
    assert verdict.samples == 0


def test_counts_that_contradict_each_other_are_bounded() -> None:
    """Extrapolated counts are no whole numbers, and bad may come out above the total: the interval stays a share."""
    assert reading_interval(replace(READING, total=10.4, bad=10.6)) == pytest.approx((0.6915, 1.0), abs=1e-3)
    assert reading_interval(None) is None
    endless = (Bucket(bound_s=0.25, slower=math.nan), Bucket(bound_s=0.5, slower=1))
    assert reading_interval(replace(READING, bad=None, neighbours=endless)) is None
