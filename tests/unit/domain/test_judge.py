"""The contract judge: exact, never vacuous, monotone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.domain.judge import Contract
from pytest_deploy.domain.measurement import Bucket, Evidence, Kind, Objective, Reading
from pytest_deploy.domain.verdict import Ruling, VerdictKind

START = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
WINDOW = timedelta(minutes=5)
SCRAPE = timedelta(seconds=15)
ERRORS = Objective(kind=Kind.ERROR_RATE, limit=0.005)
P95 = Objective(kind=Kind.LATENCY, limit=0.3, quantile=0.95)


def reading(
    total: float | None = 10_000,
    bad: float | None = 0,
    *,
    value: float | None = None,
    seen: timedelta = WINDOW,
    age: timedelta | None = timedelta(seconds=5),
    problem: str = "",
) -> Reading:
    """Return a reading; by default whole, fresh and without errors."""
    if value is None and total and bad is not None:
        value = bad / total
    return Reading(
        since=START,
        at=START + seen,
        newest=None if age is None else START + seen - age,
        total=total,
        bad=bad,
        value=value,
        queries=("q",),
        problem=problem,
    )


def evidence(
    *readings: Reading,
    over: bool = True,
    unreadable: str = "",
    control: tuple[Reading, ...] = (),
    until: int | None = None,
) -> Evidence:
    """Return the evidence of one step."""
    return Evidence(
        window=WINDOW,
        started=START,
        readings=readings,
        scrape_interval=SCRAPE,
        over=over,
        unreadable=unreadable,
        control=control,
        until=until,
    )


def rule(given: Evidence, objective: Objective = ERRORS) -> Ruling | None:
    """Ask the judge."""
    return Contract()(given, objective)


@pytest.mark.parametrize(
    ("given", "kind", "says"),
    [
        (evidence(), VerdictKind.NO_DATA, "nothing was ever read"),
        (evidence(reading(None, None, age=timedelta(minutes=2))), VerdictKind.NO_DATA, "120 s old"),
        (evidence(reading(None, None)), VerdictKind.NO_DATA, "no series"),
        (evidence(reading(0, 0)), VerdictKind.NO_DATA, "not one request"),
        (evidence(reading(float("nan"), 0, value=0.0)), VerdictKind.NO_DATA, "nan requests are no count"),
        (evidence(reading(value=float("nan"))), VerdictKind.NO_DATA, "no value"),
        (evidence(reading(value=float("inf"))), VerdictKind.NO_DATA, "no value"),
        (evidence(reading(10_000, None)), VerdictKind.NO_DATA, "no value"),
        (evidence(reading(age=timedelta(seconds=31))), VerdictKind.NO_DATA, "31 s old"),
        (evidence(reading(age=None)), VerdictKind.NO_DATA, "no time of any sample"),
        (evidence(reading(seen=timedelta(minutes=3))), VerdictKind.INCONCLUSIVE, "60% of the window"),
        (
            evidence(reading(10_000, seen=timedelta(minutes=3)), reading(10_000)),
            VerdictKind.INCONCLUSIVE,
            "no request in the last 120 s",
        ),
        (evidence(reading(6_000, seen=timedelta(minutes=3)), reading(10_000)), VerdictKind.PASS, "within"),
        (evidence(reading(None, None, seen=timedelta(minutes=3)), reading(10_000)), VerdictKind.PASS, "within"),
        (
            evidence(reading(20_000, seen=timedelta(minutes=2)), reading(10_000)),
            VerdictKind.INCONCLUSIVE,
            "the requests fell from 20000 to 10000",
        ),
        (evidence(reading(99)), VerdictKind.INCONCLUSIVE, "99 requests, a verdict needs 100"),
        (evidence(reading(problem="partial response")), VerdictKind.INCONCLUSIVE, "partial response"),
        (evidence(reading(), unreadable="connection refused"), VerdictKind.ERROR, "connection refused"),
        (evidence(reading(10_000, 51)), VerdictKind.FAIL, "above the limit"),
        (evidence(reading(10_000, 50)), VerdictKind.PASS, "within the limit"),
        (evidence(reading(10_000, 0)), VerdictKind.PASS, "within the limit"),
    ],
)
def test_each_ruling_at_the_windows_end(given: Evidence, kind: VerdictKind, says: str) -> None:
    """Only whole, fresh, sufficient evidence within the limit is PASS; each other case says why it is none."""
    ruling = rule(given)
    assert ruling is not None
    assert (ruling.kind, says in ruling.rule) == (kind, True), ruling


def test_a_latency_is_judged_by_its_value_at_the_end() -> None:
    """A p95 above the limit fails although no bucket ends at the limit."""
    ruling = rule(evidence(reading(1_000, None, value=0.31)), P95)
    assert ruling is not None
    assert ruling.kind is VerdictKind.FAIL


def test_a_clear_breach_ends_the_window_early() -> None:
    """One request in twenty failing is beyond doubt after a fifth of the window."""
    ruling = rule(evidence(reading(2_000, 100, seen=timedelta(minutes=1)), over=False))
    assert ruling is not None
    assert ruling.kind is VerdictKind.FAIL


@pytest.mark.parametrize(
    "early",
    [
        reading(10, 2, seen=timedelta(seconds=15)),
        reading(2_000, 12, seen=timedelta(minutes=1)),
        reading(None, None, seen=timedelta(minutes=1)),
        reading(0, 0, seen=timedelta(minutes=1)),
        reading(2_000, 0, seen=timedelta(minutes=1)),
        reading(2_000, None, seen=timedelta(minutes=1)),
        reading(2_000, 100, seen=timedelta(minutes=1), problem="partial response"),
        reading(200, 5, seen=timedelta(minutes=1)),
        reading(float("nan"), 5, value=0.5, seen=timedelta(minutes=1)),
        reading(200, float("inf"), value=0.5, seen=timedelta(minutes=1)),
    ],
)
def test_nothing_else_ends_it_early(early: Reading) -> None:
    """Two bad requests, a burst that a clean rest could mend, missing or partial numbers: the window goes on."""
    assert rule(evidence(early, over=False)) is None


def test_a_breach_that_chance_explains_does_not_end_it() -> None:
    """Three bad of few requests are more than the window may have, and still no proof at a lax limit."""
    lax = Objective(kind=Kind.ERROR_RATE, limit=0.2)
    assert rule(evidence(reading(10, 4, seen=WINDOW * 0.99), over=False), lax) is None


def test_before_the_first_reading_nothing_is_said() -> None:
    """While the window lasts, no reading is no ruling."""
    assert rule(evidence(over=False)) is None


def test_a_window_in_requests_knows_how_many_are_to_come() -> None:
    """What a clean rest could mend is told by the requests that the window ends with, not by its time."""
    early = reading(100, 10, seen=timedelta(seconds=30))
    assert rule(evidence(early, over=False)) is not None
    assert rule(evidence(early, over=False, until=2_000)) is None
    ruling = rule(evidence(early, over=False, until=1_999))
    assert ruling is not None
    assert ruling.rule.startswith("10 bad are more than the 10.0 that the whole window may have")


def test_an_availability_that_is_too_low_says_so() -> None:
    """The share of bad requests is judged, and the words are those of an availability."""
    ruling = rule(evidence(reading(10_000, 51)), Objective(kind=Kind.AVAILABILITY, limit=0.005))
    assert ruling is not None
    assert (ruling.kind, ruling.rule) == (VerdictKind.FAIL, "the value is below the limit at the window's end")


@pytest.mark.parametrize(
    ("stable", "cause", "says"),
    [
        (reading(20_000, 180), "environment", "the stable version breaches too, 180 of 20,000, so the canary need not"),
        (reading(20_000, 110), "", "the stable version breaches too, 110 of 20,000, but the canary is worse"),
        (reading(20_000, 100), "", "at the window's end"),
        (reading(99, 99), "", "at the window's end"),
        (reading(20_000, 180, problem="partial response"), "", "at the window's end"),
        (reading(20_000, 180, age=timedelta(seconds=31)), "", "at the window's end"),
        (reading(20_000, None, value=0.0091), "environment", "the stable version breaches too, 0.0091, so"),
        (reading(float("inf"), None, value=0.0091), "", "at the window's end"),
    ],
)
def test_the_stable_version_tells_a_bad_canary_from_a_bad_environment(stable: Reading, cause: str, says: str) -> None:
    """A breach that the stable version shares is the environment's; it fails all the same, and no PASS changes."""
    ruling = rule(evidence(reading(10_000, 90), control=(stable,)))
    assert ruling is not None
    assert (ruling.kind, ruling.cause, says in ruling.rule) == (VerdictKind.FAIL, cause, True), ruling
    passed = rule(evidence(reading(10_000, 50), control=(stable,)))
    assert passed == rule(evidence(reading(10_000, 50)))


def test_an_early_breach_may_be_the_environments_too() -> None:
    """The control speaks while the window lasts, as it does at its end."""
    early = reading(2_000, 100, seen=timedelta(minutes=1))
    ruling = rule(evidence(early, over=False, control=(reading(20_000, 1_000),)))
    assert ruling is not None
    assert ruling.cause == "environment"


@pytest.mark.parametrize(
    ("least", "most", "kind", "says"),
    [
        (0, 50, VerdictKind.PASS, "counted as bad are the 50 slower than 250 ms, the most"),
        (51, 80, VerdictKind.FAIL, "counted as bad are the 51 slower than 500 ms, the least"),
        (50, 51, VerdictKind.INCONCLUSIVE, "the verdict hangs on the requests between the 50 slower than 500 ms"),
    ],
)
def test_both_neighbours_judge_a_latency_without_a_bucket_at_its_limit(
    least: float, most: float, kind: VerdictKind, says: str
) -> None:
    """What is interpolated between two buckets is a guess: the counts at their ends decide."""
    two = (Bucket(bound_s=0.25, slower=most), Bucket(bound_s=0.5, slower=least))
    ruling = rule(evidence(replace(reading(1_000, None, value=0.29), neighbours=two)), P95)
    assert ruling is not None
    assert (ruling.kind, says in ruling.rule) == (kind, True), ruling


def test_neighbours_do_not_mend_evidence_that_is_none() -> None:
    """Stale data stays stale, whichever count is assumed, and no bucket is asked for."""
    two = (Bucket(bound_s=0.25, slower=9), Bucket(bound_s=0.5, slower=0))
    ruling = rule(evidence(replace(reading(1_000, None, age=timedelta(minutes=1)), neighbours=two)), P95)
    assert ruling is not None
    assert (ruling.kind, ruling.needed) == (VerdictKind.NO_DATA, "a sample at most 30 s old")


@pytest.mark.parametrize(
    ("given", "needed"),
    [
        (evidence(reading(40)), "at least 60 more requests, which come within 7 min 30 s at this rate"),
        (evidence(reading(seen=timedelta(minutes=3))), "readings over 80% of the window"),
        (evidence(), "a reading"),
    ],
)
def test_what_would_have_been_needed(given: Evidence, needed: str) -> None:
    """Evidence that is not enough says what would have been."""
    ruling = rule(given)
    assert ruling is not None
    assert ruling.needed == needed


@given(total=st.integers(100, 20_000), bad=st.integers(0, 20_000), more=st.integers(0, 500), over=st.booleans())
def test_more_errors_never_make_it_better(total: int, bad: int, more: int, over: bool) -> None:
    """A verdict with more errors among the same requests is never better."""
    bad = min(bad, total)
    worse = min(bad + more, total)
    order = {None: 1, VerdictKind.FAIL: 0, VerdictKind.PASS: 2}
    seen = WINDOW if over else WINDOW / 2
    first = rule(evidence(reading(total, bad, seen=seen), over=over))
    second = rule(evidence(reading(total, worse, seen=seen), over=over))
    assert order[second.kind if second else None] <= order[first.kind if first else None]


@given(total=st.integers(100, 5_000), bad=st.integers(0, 25), times=st.integers(1, 50))
def test_more_of_a_passing_ratio_still_passes(total: int, bad: int, times: int) -> None:
    """Evidence of the same ratio, many times over, never turns PASS into FAIL."""
    first = rule(evidence(reading(total, bad)))
    assert first is not None
    if first.kind is VerdictKind.PASS:
        again = rule(evidence(reading(total * times, bad * times)))
        assert again is not None
        assert again.kind is VerdictKind.PASS


@given(
    total=st.none() | st.just(0.0),
    bad=st.none() | st.floats(0, 100),
    value=st.none() | st.floats(allow_nan=True, allow_infinity=True),
)
def test_nothing_passes_without_counts(total: float | None, bad: float | None, value: float | None) -> None:
    """Without a single request there is no PASS, whatever value a server computes."""
    ruling = rule(evidence(reading(total, bad, value=value)))
    assert ruling is not None
    assert ruling.kind is VerdictKind.NO_DATA
