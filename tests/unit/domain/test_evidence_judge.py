"""The evidence judge: exact tails, pooled counts, whole evidence, and how it explains itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.domain.evidence_judge import EvidenceJudge
from pytest_deploy.domain.measurement import Bucket, Evidence, Kind, Objective, Reading
from pytest_deploy.domain.power import allowed_multiple, allowed_ratio, raise_needed
from pytest_deploy.domain.verdict import Ruling, VerdictKind

START = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
WINDOW = timedelta(minutes=5)
SCRAPE = timedelta(seconds=15)
ERRORS = Objective(kind=Kind.ERROR_RATE, limit=0.01)
STRICT = Objective(kind=Kind.ERROR_RATE, limit=0.001)
P95 = Objective(kind=Kind.LATENCY, limit=0.3, quantile=0.95)
BEFORE_25 = allowed_multiple(25, WINDOW)
FRESH = timedelta(seconds=5)
PASS, FAIL, INCONCLUSIVE = VerdictKind.PASS, VerdictKind.FAIL, VerdictKind.INCONCLUSIVE
NO_DATA, ERROR = VerdictKind.NO_DATA, VerdictKind.ERROR


def reading(
    total: float | None,
    bad: float | None = 0,
    *,
    seen: float = 1.0,
    value: float | None = None,
    age: timedelta | None = FRESH,
    problem: str = "",
) -> Reading:
    """Return a reading after this share of the window; by default whole and fresh."""
    at = START + WINDOW * seen
    if value is None and total and bad is not None:
        value = bad / total
    newest = None if age is None else at - age
    return Reading(
        since=START, at=at, newest=newest, total=total, bad=bad, value=value, queries=("q",), problem=problem
    )


def steadily(total: float, bad: float) -> tuple[Reading, ...]:
    """Return the readings of a window in which requests and bad ones come evenly."""
    return tuple(reading(total * seen, bad * seen, seen=seen) for seen in (1 / 3, 2 / 3, 1.0))


def evidence(
    *readings: Reading,
    over: bool = True,
    earlier: tuple[Reading, ...] = (),
    control: tuple[Reading, ...] = (),
    multiple: float | None = None,
    unreadable: str = "",
    until: int | None = None,
) -> Evidence:
    """Return the evidence of one step, by default at the end of the last one."""
    return Evidence(
        window=WINDOW,
        started=START,
        readings=readings,
        scrape_interval=SCRAPE,
        over=over,
        earlier=earlier,
        control=control,
        unreadable=unreadable,
        allowed_multiple=multiple,
        until=until,
    )


def rule(of: Evidence, objective: Objective = ERRORS) -> Ruling | None:
    """Ask the judge."""
    return EvidenceJudge()(of, objective)


def ruled(of: Evidence, objective: Objective = ERRORS) -> Ruling:
    """Ask the judge, who must have an answer."""
    ruling = rule(of, objective)
    assert ruling is not None
    return ruling


@pytest.mark.parametrize(
    ("objective", "of", "kind", "cause", "says"),
    [
        (ERRORS, evidence(), NO_DATA, "no data", "nothing was ever read"),
        (ERRORS, evidence(reading(None, None)), NO_DATA, "no data", "no series"),
        (ERRORS, evidence(reading(0, 0)), NO_DATA, "no data", "not one request"),
        (ERRORS, evidence(reading(float("nan"), 0, value=0.0)), NO_DATA, "no data", "nan requests are no count"),
        (ERRORS, evidence(reading(float("inf"), 0, value=0.0)), NO_DATA, "no data", "inf requests are no count"),
        (ERRORS, evidence(reading(2_000, age=timedelta(seconds=31))), NO_DATA, "stale data", "31 s old"),
        (ERRORS, evidence(reading(2_000, problem="partial")), INCONCLUSIVE, "partial answer", "partial"),
        (ERRORS, evidence(reading(2_000, seen=0.79)), INCONCLUSIVE, "window not covered", "79% of the window"),
        (ERRORS, evidence(reading(2_000), unreadable="refused"), ERROR, "metrics unreadable", "refused"),
        (ERRORS, evidence(reading(2_000)), INCONCLUSIVE, "window not covered", "two thirds"),
        (ERRORS, evidence(reading(1, seen=0.2), reading(2_000)), INCONCLUSIVE, "window not covered", "two thirds"),
        (
            ERRORS,
            evidence(reading(2_000, seen=0.6), reading(2_000)),
            INCONCLUSIVE,
            "traffic stopped",
            "no request in the last 120 s",
        ),
        (
            ERRORS,
            evidence(reading(2_000, seen=0.6), reading(1_500)),
            INCONCLUSIVE,
            "counts fell",
            "the requests fell from 2000 to 1500",
        ),
        (
            ERRORS,
            evidence(reading(2_000, 20, seen=0.6), reading(3_000, 5)),
            INCONCLUSIVE,
            "counts fell",
            "the bad ones fell from 20 to 5",
        ),
        (ERRORS, evidence(*steadily(140, 0)), INCONCLUSIVE, "too few requests", "at least 149 requests exclude 2 %"),
        (
            ERRORS,
            evidence(*steadily(500, 5)),
            INCONCLUSIVE,
            "too few requests",
            "5 of 500: 2 % is not excluded at 95%, interval 0.33-2.3 %",
        ),
        (ERRORS, evidence(*steadily(1_000, 11)), INCONCLUSIVE, "above the limit", "11 of 1,000 are above the limit"),
        (
            ERRORS,
            evidence(*steadily(200, 20), multiple=17.28),
            FAIL,
            "",
            "20 of 200 bad, more than the 2.0 that the whole window may have; by chance not one in a million",
        ),
        (
            ERRORS,
            evidence(*steadily(200, 7), earlier=(reading(5_000, 4),)),
            INCONCLUSIVE,
            "above the limit",
            "this step is above the limit: 7 of 200, by chance one in 2",
        ),
        (
            ERRORS,
            evidence(reading(4_000, 4, seen=0.65), reading(5_000, 24)),
            INCONCLUSIVE,
            "above the limit",
            "its last third is above the limit: 20 of 1,000",
        ),
        (
            ERRORS,
            evidence(*steadily(100, 4), multiple=8.64),
            INCONCLUSIVE,
            "above the limit",
            "4 of 100: 8.6 % is not excluded",
        ),
        (
            Objective(kind=Kind.ERROR_RATE, limit=0.0),
            evidence(*steadily(9_000, 0)),
            INCONCLUSIVE,
            "limit beyond proof",
            "proves a limit of 0",
        ),
        (Objective(kind=Kind.ERROR_RATE, limit=0.0), evidence(*steadily(9_000, 3)), FAIL, "", "3 of 9,000 bad"),
        (
            Objective(kind=Kind.ERROR_RATE, limit=1.0),
            evidence(*steadily(9_000, 9_000)),
            INCONCLUSIVE,
            "limit beyond proof",
            "proves a limit of 1",
        ),
        (
            ERRORS,
            evidence(*steadily(2_000, 10)),
            PASS,
            "",
            "within the limit: 10 of 2,000, interval 0.24-0.92 %; 2 % is excluded at 95%",
        ),
        (
            ERRORS,
            evidence(*steadily(75, 1), multiple=BEFORE_25),
            PASS,
            "",
            "no breach: 1 of 75, interval 0.03-7.2 %; carried to the next step; 25 % is excluded at 95%",
        ),
        (
            ERRORS,
            evidence(*steadily(300, 0), multiple=BEFORE_25),
            PASS,
            "",
            "no breach: 0 of 300, interval 0-1.2 %; 25 % is excluded",
        ),
        (
            ERRORS,
            evidence(*steadily(2_000, 10), earlier=(reading(75, 1), reading(300, 2))),
            PASS,
            "",
            "within the limit: 13 of 2,375 over 3 steps",
        ),
        (P95, evidence(*steadily(1_000, 30)), PASS, "", "30 of 1,000"),
        (P95, evidence(*steadily(1_000, 100)), FAIL, "", "100 of 1,000 bad, more than the 50.0"),
    ],
)
def test_each_ruling_at_the_windows_end(
    objective: Objective, of: Evidence, kind: VerdictKind, cause: str, says: str
) -> None:
    """PASS needs whole evidence that excludes what may not be risked; each other case says why it is none."""
    ruling = ruled(of, objective)
    assert (ruling.kind, ruling.cause, says in ruling.rule) == (kind, cause, True), ruling


def test_no_number_of_requests_helps_a_ratio_that_is_not_allowed() -> None:
    """Where more requests of this ratio would not do either, none are promised."""
    ruling = ruled(evidence(*steadily(40, 10), multiple=BEFORE_25), Objective(kind=Kind.ERROR_RATE, limit=0.1))
    assert ruling.kind is INCONCLUSIVE
    assert ruling.needed == ""


@pytest.mark.parametrize(
    ("before", "after", "falls"),
    [((10, 3), (8, 1), False), ((1_000, 0), (801, 0), False), ((10, 3), (7, 1), True), ((1_000, 0), (799, 0), True)],
)
def test_what_extrapolation_adds_may_come_and_go(before: tuple[int, int], after: tuple[int, int], falls: bool) -> None:
    """A fall by two requests, or by a fifth, is a wobble; more is no evidence."""
    of = evidence(reading(*before, seen=0.4), reading(*after, seen=0.6), reading(4_000, 4))
    assert (ruled(of).cause == "counts fell") is falls


def test_a_partial_answer_in_between_is_left_out() -> None:
    """Only whole answers are compared with each other; half of the counts in between is no fall."""
    first, second, last = steadily(2_000, 10)
    half = reading(500, 2, seen=0.6, problem="partial")
    assert ruled(evidence(first, half, second, last)).kind is PASS
    assert ruled(evidence(half, last)).cause == "window not covered"


def test_what_raises_a_weight_may_not_be_enough_to_commit() -> None:
    """The same counts are enough to raise a weight and too few to commit."""
    readings = steadily(200, 1)
    assert ruled(evidence(*readings, multiple=BEFORE_25)).kind is PASS
    assert ruled(evidence(*readings)).kind is INCONCLUSIVE


@pytest.mark.parametrize(
    ("early", "earlier", "says"),
    [
        (reading(2_000, 200, seen=0.2), (), "200 of 2,000 bad, more than the 100.0"),
        (
            reading(100, 3, seen=0.5),
            (reading(100, 6), reading(100, 6)),
            "15 of 300 over 3 steps bad, more than the 4.0",
        ),
    ],
)
def test_a_clear_breach_ends_the_window_early(early: Reading, earlier: tuple[Reading, ...], says: str) -> None:
    """What even a clean rest could not mend fails at once, in this step's counts or in those of all steps."""
    ruling = ruled(evidence(early, over=False, earlier=earlier))
    assert (ruling.kind, says in ruling.rule) == (FAIL, True), ruling


def test_two_bad_requests_prove_nothing() -> None:
    """However strict the limit, and however seldom chance shows as many, two bad requests are no breach."""
    assert rule(evidence(reading(20, 2, seen=0.9), over=False), STRICT) is None
    assert ruled(evidence(reading(20, 3, seen=0.9), over=False), STRICT).kind is FAIL


def test_steps_that_pass_one_by_one_fail_together() -> None:
    """Counts that are no breach in any step alone are one in all steps together."""
    early = reading(100, 4, seen=0.9)
    assert rule(evidence(early, over=False)) is None
    assert ruled(evidence(early, over=False, earlier=(reading(100, 4), reading(100, 4)))).kind is FAIL


@pytest.mark.parametrize(
    "early",
    [
        (reading(10, 2, seen=0.05),),
        (reading(2_000, 60, seen=0.2),),
        (reading(None, None, seen=0.2),),
        (reading(0, 0, seen=0.2),),
        (reading(2_000, None, seen=0.2),),
        (reading(float("nan"), 200, seen=0.2),),
        (reading(2_000, 200, seen=0.2, problem="partial"),),
        (reading(2_000, 200, seen=0.2, age=None),),
        (reading(2_000, 200, seen=0.2, age=timedelta(seconds=31)),),
        (reading(4_000, 200, seen=0.1), reading(2_000, 200, seen=0.2)),
        (),
    ],
)
def test_nothing_else_ends_it_early(early: tuple[Reading, ...]) -> None:
    """A burst that a clean rest could mend, and counts that are no evidence, let the window go on."""
    assert rule(evidence(*early, over=False)) is None


def test_a_window_in_requests_knows_how_many_are_to_come() -> None:
    """What a clean rest could mend is told by the requests that the window ends with, not by its time."""
    early = reading(100, 10, seen=0.01)
    assert rule(evidence(early, over=False)) is None
    assert ruled(evidence(early, over=False, until=900)).kind is FAIL
    assert rule(evidence(early, over=False, until=1_000)) is None
    assert "more than the 1.0 that" in ruled(evidence(early, over=False, until=50)).rule


@pytest.mark.parametrize(
    ("of", "needed"),
    [
        (evidence(reading(2_000, age=timedelta(seconds=31))), "a sample at most 30 s old"),
        (
            evidence(*steadily(140, 0)),
            "at least 9 more requests, not one of them bad, which come within 19.3 s at this rate",
        ),
        (
            evidence(*steadily(500, 5)),
            "at least 500 more requests, which come within 5 min at this rate, with the same",
        ),
        (evidence(*steadily(1_000, 11)), "at most 10 bad of 1,000"),
        (
            evidence(*steadily(15, 0), multiple=2.0),
            "at least 134 more requests, not one of them bad, which come within 44 min",
        ),
    ],
)
def test_what_would_have_been_needed(of: Evidence, needed: str) -> None:
    """A verdict that more evidence would have changed says how much."""
    ruling = ruled(of)
    assert ruling.needed.startswith(needed), ruling


def test_days_of_traffic_are_not_counted_in_minutes() -> None:
    """What takes longer than a day is said so: that window is nobody's."""
    assert "more than a day" in ruled(evidence(*steadily(3, 0)), Objective(kind=Kind.ERROR_RATE, limit=0.0001)).needed


def test_an_availability_is_judged_like_the_error_rate_that_it_is() -> None:
    """99 % available is at most 1 % bad: the same counts, the same answer."""
    available = Objective(kind=Kind.AVAILABILITY, limit=0.01)
    for of in (evidence(*steadily(2_000, 10)), evidence(*steadily(2_000, 200)), evidence(*steadily(140, 0))):
        assert rule(of, available) == rule(of, ERRORS)


def test_a_quantile_that_is_no_binary_fraction_is_at_its_limit() -> None:
    """10 % slower requests are within a p90's limit, although 1 - 0.9 is a little less than 0.1 in binary."""
    p90 = Objective(kind=Kind.LATENCY, limit=0.3, quantile=0.9)
    assert ruled(evidence(*steadily(30_000, 3_000)), p90).kind is PASS


@pytest.mark.parametrize(
    ("stable", "cause", "says"),
    [
        (reading(20_000, 1_900), "environment", "the stable version breaches too, 1,900 of 20,000, so the canary need"),
        (reading(20_000, 400), "", "the stable version breaches too, 400 of 20,000, but the canary is worse"),
        (reading(20_000, 100), "", "shows as many"),
        (reading(None, None), "", "shows as many"),
        (reading(20_000, 1_900, problem="partial"), "", "shows as many"),
        (reading(20_000, 1_900, age=timedelta(seconds=31)), "", "shows as many"),
        (reading(20_000, 1_900, age=None), "", "shows as many"),
    ],
)
def test_the_stable_version_tells_a_bad_canary_from_a_bad_environment(stable: Reading, cause: str, says: str) -> None:
    """A breach that the stable version shares is the environment's; it fails all the same."""
    ruling = ruled(evidence(reading(1_000, 100, seen=0.2), over=False, control=(stable,)))
    assert (ruling.kind, ruling.cause) == (FAIL, cause)
    assert says in ruling.rule


@pytest.mark.parametrize(
    ("of", "kind", "says"),
    [
        (reading(1_000, None, value=0.31), FAIL, "the slow requests can't be counted, so the value alone was judged: "),
        (reading(1_000, None, value=0.3), PASS, "the slow requests can't be counted, so the value alone was judged: "),
        (reading(99, None, value=0.2), INCONCLUSIVE, "99 requests, a verdict needs 100"),
        (reading(1_000, None), NO_DATA, "no value"),
    ],
)
def test_a_latency_whose_slow_requests_can_not_be_counted_is_judged_by_its_value(
    of: Reading, kind: VerdictKind, says: str
) -> None:
    """Where the slow requests can't be counted, the plain rule judges the value, and that is said."""
    ruling = ruled(evidence(of), P95)
    assert (ruling.kind, says in ruling.rule) == (kind, True), ruling


def test_a_value_without_bad_requests_of_an_error_rate_says_so() -> None:
    """A provider that yields only a ratio is judged by it."""
    assert ruled(evidence(reading(1_000, None, value=0.2))).rule.startswith("no bad requests are counted")


@pytest.mark.parametrize("control", [reading(20_000, 1_900), reading(20_000, 0), reading(None, None)])
def test_a_control_never_changes_a_pass(control: Reading) -> None:
    """However bad the stable version is, a canary that passes passes."""
    readings = steadily(2_000, 10)
    assert ruled(evidence(*readings, control=(control,))) == ruled(evidence(*readings))


def between(total: float, least: float, most: float) -> tuple[Reading, ...]:
    """Return the readings of a window in which between so many of the requests are slower than 300 ms."""
    return tuple(
        replace(
            r, neighbours=(Bucket(bound_s=0.25, slower=most * s), Bucket(bound_s=0.5, slower=least * s)), value=0.28
        )
        for s, r in ((seen, reading(total * seen, None, seen=seen)) for seen in (1 / 3, 2 / 3, 1.0))
    )


@pytest.mark.parametrize(
    ("least", "most", "kind", "says"),
    [
        (0, 30, PASS, "no bucket ends at 300 ms: counted as bad are the 30 slower than 250 ms, the most"),
        (100, 150, FAIL, "no bucket ends at 300 ms: counted as bad are the 100 slower than 500 ms, the least"),
        (0, 100, INCONCLUSIVE, "hangs on the requests between the 0 slower than 500 ms and the 100 slower than 250 ms"),
        (55, 60, INCONCLUSIVE, "55 of 1,000 are above the limit"),
    ],
)
def test_both_neighbours_judge(least: float, most: float, kind: VerdictKind, says: str) -> None:
    """PASS only where the most passes, FAIL only where the least fails."""
    ruling = ruled(evidence(*between(1_000, least, most)), P95)
    assert (ruling.kind, says in ruling.rule) == (kind, True), ruling
    if "hangs" in says:
        assert (ruling.cause, ruling.needed) == ("no bucket at the limit", "add a bucket that ends at 300 ms")


def test_neighbours_end_a_window_early_only_by_the_least() -> None:
    """While the window lasts, what is slower than the upper bucket's end is the breach that counts."""
    assert ruled(evidence(*between(1_000, 200, 300)[:1], over=False), P95).kind is FAIL
    assert rule(evidence(*between(1_000, 0, 300)[:1], over=False), P95) is None


def test_neighbours_of_earlier_steps_and_of_the_control_count_too() -> None:
    """The pool, and the environment, rest on the same side of the limit."""
    ruling = ruled(evidence(*between(1_000, 0, 30), earlier=between(1_000, 0, 30)[-1:]), P95)
    assert "60 of 2,000 over 2 steps" in ruling.rule
    ruling = ruled(evidence(*between(1_000, 100, 150), control=between(1_000, 100, 150)[-1:]), P95)
    assert (ruling.kind, ruling.cause) == (FAIL, "environment")


def test_the_last_bucket_has_no_end() -> None:
    """Where no finite bucket ends above the limit, nothing is certainly bad."""
    readings = tuple(replace(r, neighbours=(r.neighbours[0], Bucket(bound_s=float("inf"), slower=0)))
                     for r in between(1_000, 0, 100) if r.neighbours)  # fmt: skip
    assert "between the 0 slower than any bucket's end and the 100" in ruled(evidence(*readings), P95).rule


def test_neighbours_that_are_no_numbers_leave_the_value() -> None:
    """A count that is not finite is no bound; the value alone is judged, as without buckets."""
    assert ruled(evidence(*between(1_000, 0, float("nan"))), P95).rule.startswith("the slow requests can't be counted")


@pytest.mark.parametrize("kind", [Kind.SCRIPT, Kind.STEP])
def test_a_script_or_a_step_has_no_judge(kind: Kind) -> None:
    """Their own answer is the verdict: a judge that is asked says that this is a mistake."""
    with pytest.raises(ValueError, match="its own answer is the verdict"):
        rule(evidence(reading(100, 0)), Objective(kind=kind, limit=0, subject="./check.sh"))


COUNTS = st.integers(0, 20_000)
MULTIPLES = st.sampled_from([None, 17.28, 34.56, 69.12])


@given(total=st.integers(1, 20_000), bad=COUNTS, more=st.integers(0, 500), over=st.booleans(), multiple=MULTIPLES,
       before=COUNTS)  # fmt: skip
def test_more_errors_never_make_it_better(
    total: int, bad: int, more: int, over: bool, multiple: float | None, before: int
) -> None:
    """A verdict with more errors among the same requests is never better."""
    order = {FAIL: 0, INCONCLUSIVE: 1, None: 1, PASS: 2}
    bad = min(bad, total)
    earlier = (reading(before, before // 200),)
    kinds = []
    for errors in (bad, min(bad + more, total)):
        readings = steadily(total, errors)
        readings = readings if over else readings[:2]
        ruling = rule(evidence(*readings, over=over, earlier=earlier, multiple=multiple))
        kinds.append(ruling.kind if ruling else None)
    assert order[kinds[1]] <= order[kinds[0]]


@given(total=st.integers(1, 3_000), bad=st.integers(0, 30), times=st.integers(1, 50), multiple=MULTIPLES)
def test_more_of_a_passing_ratio_passes(total: int, bad: int, times: int, multiple: float | None) -> None:
    """Many times the evidence of a ratio within the limit that passed is PASS again."""
    total, bad = total * 3, bad * 3
    first = ruled(evidence(*steadily(total, bad), multiple=multiple))
    if first.kind is PASS and bad <= total * ERRORS.limit:
        again = ruled(evidence(*steadily(total * times, bad * times), multiple=multiple))
        assert again.kind is PASS, again


@given(total=st.integers(1, 3_000), bad=st.integers(0, 3_000), times=st.integers(1, 50), multiple=MULTIPLES)
def test_a_ratio_within_the_limit_never_fails(total: int, bad: int, times: int, multiple: float | None) -> None:
    """Whatever the number of requests, a ratio within the limit is no breach."""
    bad = min(bad, total // 100)
    assert ruled(evidence(*steadily(total * times, bad * times), multiple=multiple)).kind is not FAIL


@given(
    total=st.none() | st.sampled_from([0.0, float("nan"), float("inf")]),
    bad=st.none() | st.floats(0, 100),
    value=st.none() | st.floats(allow_nan=True, allow_infinity=True),
    multiple=MULTIPLES,
    earlier=st.booleans(),
)
def test_nothing_passes_without_counts(
    total: float | None, bad: float | None, value: float | None, multiple: float | None, earlier: bool
) -> None:
    """Without a single request of this step there is no PASS, whatever a server computes and earlier steps showed."""
    readings = (reading(0, 0, seen=2 / 3), reading(total, bad, value=value))
    before = (reading(50_000, 1),) if earlier else ()
    assert ruled(evidence(*readings, multiple=multiple, earlier=before)).kind is NO_DATA


@given(limit=st.floats(1e-4, 0.5), multiple=MULTIPLES)
def test_the_fewest_requests_are_the_fewest(limit: float, multiple: float | None) -> None:
    """As many clean requests as are needed for a raise pass, one less does not."""
    objective = Objective(kind=Kind.ERROR_RATE, limit=limit)
    least = raise_needed(limit, multiple)
    assert least >= 11
    assert least == pytest.approx(max(11, 3 / allowed_ratio(limit, multiple)), rel=0.2, abs=1)
    assert ruled(evidence(*steadily(least, 0), multiple=multiple), objective).kind is PASS
    assert ruled(evidence(*steadily(least - 1, 0), multiple=multiple), objective).cause == "too few requests"


def test_a_strict_limit_is_not_proved_by_a_lax_ones_counts() -> None:
    """The same clean counts pass a limit of 1 % and are too few for 0.1 %."""
    readings = steadily(200, 0)
    assert ruled(evidence(*readings)).kind is PASS
    assert ruled(evidence(*readings), STRICT).cause == "too few requests"
