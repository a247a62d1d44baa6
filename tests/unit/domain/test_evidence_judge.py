"""The evidence judge: exact tails, pooled counts, whole evidence, and how it explains itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped]  # it ships no types

from pytest_deploy.domain.evidence_judge import EvidenceJudge
from pytest_deploy.domain.judge import excludes, interval
from pytest_deploy.domain.measurement import Evidence, Kind, Objective, Reading
from pytest_deploy.domain.power import allowed_multiple, allowed_ratio, needed, raise_needed
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
    )


def rule(of: Evidence, objective: Objective = ERRORS) -> Ruling | None:
    """Ask the judge."""
    return EvidenceJudge()(of, objective)


def ruled(of: Evidence, objective: Objective = ERRORS) -> Ruling:
    """Ask the judge, who must have an answer."""
    ruling = rule(of, objective)
    assert ruling is not None
    return ruling


@given(total=st.integers(1, 5_000), share=st.floats(0, 1), confidence=st.sampled_from([0.9, 0.95, 0.99]))
def test_the_interval_is_scipys(total: int, share: float, confidence: float) -> None:
    """The exact interval agrees with scipy's Clopper-Pearson."""
    bad = round(total * share)
    expected = stats.binomtest(bad, total).proportion_ci(confidence, method="exact")
    assert interval(bad, total, confidence) == pytest.approx((expected.low, expected.high), rel=1e-4, abs=1e-12)


@given(total=st.integers(1, 20_000), share=st.floats(0, 1), ratio=st.floats(1e-4, 0.9))
def test_exclusion_is_scipys_lower_tail(total: int, share: float, ratio: float) -> None:
    """A ratio is excluded exactly where scipy's lower tail is at most 5 %."""
    bad = round(total * share)
    tail = stats.binom.cdf(bad, total, ratio)
    if abs(tail - 0.05) > 1e-9:
        assert excludes(bad, total, ratio) == (tail <= 0.05)


def test_what_can_not_be_excluded() -> None:
    """No requests exclude nothing, 0 is never excluded, one good request excludes all bad, 14 exclude 20 %."""
    assert not excludes(0, 0, 0.5)
    assert not excludes(0, 10_000, 0.0)
    assert excludes(9, 10, 1.0)
    assert not excludes(10, 10, 1.0)
    assert excludes(0, 14, 0.2)
    assert not excludes(0, 13, 0.2)
    assert interval(0, 0) == (0.0, 1.0)


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
            "5 of 500: 2 % is not excluded at 95%, interval 0.33-2.3 %; 1,000 requests at this ratio would do",
        ),
        (ERRORS, evidence(*steadily(1_000, 11)), INCONCLUSIVE, "above the limit", "11 of 1,000 are above the limit"),
        (
            ERRORS,
            evidence(*steadily(200, 20), multiple=8.64),
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
            "no breach: 1 of 75, interval 0.03-7.2 %; carried to the next step; 20 % is excluded at 95%",
        ),
        (
            ERRORS,
            evidence(*steadily(300, 0), multiple=BEFORE_25),
            PASS,
            "",
            "no breach: 0 of 300, interval 0-1.2 %; 20 % is excluded",
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
    ruling = ruled(evidence(*steadily(40, 8), multiple=BEFORE_25), Objective(kind=Kind.ERROR_RATE, limit=0.1))
    assert ruling.kind is INCONCLUSIVE
    assert "would do" not in ruling.rule


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


@pytest.mark.parametrize(
    ("stable", "cause", "says"),
    [
        (reading(20_000, 1_900), "environment", "the stable version breaches too, 1,900 of 20,000, so the canary need"),
        (reading(20_000, 400), "", "the stable version breaches too, 400 of 20,000, but the canary is worse"),
        (reading(20_000, 100), "", "shows as many"),
        (reading(None, None), "", "shows as many"),
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
        (reading(1_000, None, value=0.31), FAIL, "no bucket ends at the limit, so the value alone was judged: "),
        (reading(1_000, None, value=0.3), PASS, "no bucket ends at the limit, so the value alone was judged: "),
        (reading(99, None, value=0.2), INCONCLUSIVE, "99 requests, a verdict needs 100"),
        (reading(1_000, None), NO_DATA, "no value"),
    ],
)
def test_a_latency_without_a_bucket_at_the_limit_is_judged_by_its_value(
    of: Reading, kind: VerdictKind, says: str
) -> None:
    """Where the slow requests can't be counted, the plain rule judges the value, and that is said."""
    ruling = ruled(evidence(of), P95)
    assert (ruling.kind, says in ruling.rule) == (kind, True), ruling


def test_a_value_without_bad_requests_of_an_error_rate_says_so() -> None:
    """A provider that yields only a ratio is judged by it."""
    assert ruled(evidence(reading(1_000, None, value=0.2))).rule.startswith("no bad requests are counted")


COUNTS = st.integers(0, 20_000)
MULTIPLES = st.sampled_from([None, 8.64, 17.28, 34.56])


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
    assert least >= 14
    assert least == pytest.approx(max(14, 3 / allowed_ratio(limit, multiple)), rel=0.2, abs=1)
    assert ruled(evidence(*steadily(least, 0), multiple=multiple), objective).kind is PASS
    assert ruled(evidence(*steadily(least - 1, 0), multiple=multiple), objective).cause == "too few requests"


@pytest.mark.parametrize(("weight", "multiple"), [(25, 34.56), (50, 17.28), (100, 8.64)])
def test_what_the_next_weight_may_risk(weight: int, multiple: float) -> None:
    """A thousandth of a month's budget: 35, 17 and 9 times the limit before 25, 50 and 100 % with 5 minutes."""
    assert allowed_multiple(weight, WINDOW) == pytest.approx(multiple)


def test_a_long_next_window_asks_no_more_than_the_commitment() -> None:
    """However much a window could spend, before it no more is asked than before the commitment."""
    assert allowed_multiple(100, timedelta(hours=6)) == 2.0


@pytest.mark.parametrize(
    ("limit", "multiple", "ratio"),
    [(0.001, 34.56, 0.03456), (0.01, 34.56, 0.2), (0.01, None, 0.02), (0.05, None, 0.1), (0.5, None, 2 / 3)],
)
def test_what_must_be_excluded(limit: float, multiple: float | None, ratio: float) -> None:
    """The multiple of the limit, never more than 20 %, and of a lax limit what lies between it and all."""
    assert allowed_ratio(limit, multiple) == pytest.approx(ratio)


@pytest.mark.parametrize("limit", [0.0005, 0.001, 0.005, 0.01, 0.02, 0.05])
@pytest.mark.parametrize("promoted_with", [0.95, 0.99])
def test_power_is_what_the_exact_tails_say(limit: float, promoted_with: float) -> None:
    """A version at half its budget passes both conditions before the commitment with the chance that is promised."""
    requests = needed(limit, promoted_with=promoted_with)
    most = int(requests * limit + 1e-9)
    while not excludes(most, requests, 2 * limit):
        most -= 1
    assert stats.binom.cdf(most, requests, limit / 2) >= promoted_with
    assert requests == pytest.approx((6 if promoted_with == 0.95 else 12) / limit, abs=1)


@pytest.mark.parametrize("limit", [0.0, -0.1, 1.0])
def test_an_impossible_limit_has_no_power(limit: float) -> None:
    """A limit of nothing, or of everything, is an error and never a number of requests."""
    with pytest.raises(ValueError, match="must be between 0 and 1"):
        needed(limit)
    with pytest.raises(ValueError, match="must be between 0 and 1"):
        raise_needed(limit, None)


def test_another_chance_is_refused() -> None:
    """Only the chances whose numbers are proved can be asked for."""
    with pytest.raises(ValueError, match=r"promoted with 0\.5: known are 0\.95, 0\.99"):
        needed(0.01, promoted_with=0.5)


def test_a_strict_limit_is_not_proved_by_a_lax_ones_counts() -> None:
    """The same clean counts pass a limit of 1 % and are too few for 0.1 %."""
    readings = steadily(200, 0)
    assert ruled(evidence(*readings)).kind is PASS
    assert ruled(evidence(*readings), STRICT).cause == "too few requests"
