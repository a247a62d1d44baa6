"""No worse than the stable version beside it: for shares of bad requests with bounds, for latencies plainly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.domain.evidence_judge import EvidenceJudge
from pytest_deploy.domain.judge import Contract
from pytest_deploy.domain.measurement import Evidence, Kind, Objective, Reading
from pytest_deploy.domain.relative import worse_by
from pytest_deploy.domain.verdict import Ruling, VerdictKind

START = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
WINDOW = timedelta(minutes=5)
POINTS = Objective(kind=Kind.ERROR_RATE, limit=0.002, relative=True)
SLOWER = Objective(kind=Kind.LATENCY, limit=0.05, quantile=0.95, relative=True)
PASS, FAIL, INCONCLUSIVE = VerdictKind.PASS, VerdictKind.FAIL, VerdictKind.INCONCLUSIVE
ORDER = {FAIL: 0, INCONCLUSIVE: 1, None: 1, PASS: 2}


def reading(
    total: float | None, bad: float | None = 0, *, value: float | None = None, seen: float = 1.0, old_s: float = 5
) -> Reading:
    """Return a reading after this share of the window."""
    if value is None and total and bad is not None:
        value = bad / total
    at = START + WINDOW * seen
    newest = at - timedelta(seconds=old_s)
    return Reading(since=START, at=at, newest=newest, total=total, bad=bad, value=value, queries=())


def evidence(
    canary: tuple[float, float],
    stable: tuple[float, float] | Reading | None,
    *,
    multiple: float | None = None,
    over: bool = True,
) -> Evidence:
    """Return steady readings of both, of the whole window or of two thirds of it."""
    total, bad = canary
    shares = (1 / 3, 2 / 3, 1.0) if over else (1 / 3, 2 / 3)
    if isinstance(stable, tuple):
        stable = reading(stable[0], stable[1])
    return Evidence(
        window=WINDOW,
        started=START,
        readings=tuple(reading(total * seen, bad * seen, seen=seen) for seen in shares),
        scrape_interval=timedelta(seconds=15),
        over=over,
        control=() if stable is None else (stable,),
        allowed_multiple=multiple,
    )


def rule(of: Evidence, objective: Objective = POINTS) -> Ruling | None:
    """Ask the judge."""
    return EvidenceJudge()(of, objective)


def ruled(of: Evidence, objective: Objective = POINTS) -> Ruling:
    """Ask the judge, who must have an answer."""
    ruling = rule(of, objective)
    assert ruling is not None
    return ruling


@pytest.mark.parametrize(
    ("of", "kind", "cause", "says"),
    [
        (
            evidence((6_000, 24), (20_000, 80)),
            PASS,
            "",
            "24 of 6,000 bad (0.40 %), stable beside it 80 of 20,000 (0.40 %): worse by 0 points, at most by 0.1",
        ),
        (evidence((6_000, 0), (20_000, 80)), PASS, "", "worse by -0.40 points"),
        (evidence((6_000, 0), (20_000, 0)), PASS, "", "0.40 points is excluded"),
        (
            evidence((6_000, 90), (20_000, 80)),
            FAIL,
            "",
            "worse by at least 0.63 points at 99.9%, more than 0.20 points",
        ),
        (evidence((6_000, 90), (20_000, 0)), FAIL, "", "more than 0.20 points"),
        (evidence((6_000, 40), (20_000, 80)), INCONCLUSIVE, "above the limit", "worse by 0.27 points, yet no breach"),
        (evidence((600, 2), (20_000, 80)), INCONCLUSIVE, "too few requests", "0.40 points is not excluded"),
        (evidence((600, 2), (20_000, 80), multiple=17.28), PASS, "", "3.5 points is excluded"),
        (evidence((600, 9), (2_000, 8), multiple=17.28), INCONCLUSIVE, "above the limit", "worse by at least 0.32"),
        (evidence((6_000, 24), None), INCONCLUSIVE, "no control", "no whole, fresh reading of a stable version"),
        (evidence((6_000, 24), reading(None, None)), INCONCLUSIVE, "no control", "no whole, fresh reading"),
        (evidence((6_000, 24), reading(20_000, 80, old_s=31)), INCONCLUSIVE, "no control", "no whole, fresh reading"),
        (evidence((6_000, 0), (0, 0)), INCONCLUSIVE, "no control", "no whole, fresh reading"),
        (evidence((6_000, 0), (10, 0)), INCONCLUSIVE, "no control", "had 10 requests, a comparison needs 11"),
        (evidence((6_000, 90), reading(20_000, None)), INCONCLUSIVE, "no data", "one side can't be counted"),
        (evidence((0, 0), (20_000, 80)), VerdictKind.NO_DATA, "no data", "not one request reached it"),
        (evidence((10, 0), (20_000, 80)), INCONCLUSIVE, "too few requests", "10 requests, a verdict needs 11"),
    ],
)
def test_each_ruling_at_the_windows_end(of: Evidence, kind: VerdictKind, cause: str, says: str) -> None:
    """PASS needs both sides, and a difference whose bound excludes what may not be risked."""
    ruling = ruled(of)
    assert (ruling.kind, ruling.cause, says in ruling.rule) == (kind, cause, True), ruling


def test_more_requests_at_these_shares_would_do() -> None:
    """Where more of the same would pass it says how many; where the difference itself is too large, nothing."""
    few = ruled(evidence((600, 2), (20_000, 80)))
    assert few.needed == (
        "at least 600 more requests, which come within 5 min at this rate, with the same shares of bad ones"
    )
    worse = ruled(
        evidence((40, 6), (40, 0), multiple=17.28), Objective(kind=Kind.ERROR_RATE, limit=0.01, relative=True)
    )
    assert (worse.kind, "last third" in worse.rule) == (INCONCLUSIVE, False)
    tiny = ruled(
        evidence((11, 1), (15, 0), multiple=17.28), Objective(kind=Kind.ERROR_RATE, limit=0.005, relative=True)
    )
    assert (tiny.cause, tiny.needed) == ("too few requests", "")
    far = ruled(evidence((100, 2), (100, 2)))
    assert (far.cause, far.needed) == ("too few requests", ""), "64 times as many would not do: that is no mend"


@pytest.mark.parametrize("limit", [0.0, 1.0])
def test_no_difference_and_every_difference_are_beyond_proof(limit: float) -> None:
    """That a version is not one bit worse can't be shown with any number of requests."""
    ruling = ruled(evidence((6_000, 24), (20_000, 80)), Objective(kind=Kind.ERROR_RATE, limit=limit, relative=True))
    assert (ruling.kind, ruling.cause) == (INCONCLUSIVE, "limit beyond proof")


def test_a_late_regression_does_not_hide_in_the_window() -> None:
    """The last third is compared too: a leak that begins there holds it up."""
    late = (reading(4_000, 4, seen=0.65), reading(6_000, 30))
    of = Evidence(
        window=WINDOW, started=START, readings=late, scrape_interval=timedelta(seconds=15), over=True,
        control=(reading(20_000, 80),), allowed_multiple=17.28,
    )  # fmt: skip
    ruling = ruled(of)
    assert (ruling.kind, "worse in its last third by at least" in ruling.rule) == (INCONCLUSIVE, True), ruling


def test_a_last_third_without_requests_is_no_evidence() -> None:
    """As for every judge, traffic must still flow at the window's end."""
    of = Evidence(
        window=WINDOW, started=START, readings=(reading(6_000),), scrape_interval=timedelta(seconds=15), over=True,
        control=(reading(20_000, 80),),
    )  # fmt: skip
    assert ruled(of).cause == "window not covered"


@pytest.mark.parametrize(
    ("of", "kind"),
    [
        (evidence((6_000, 300), (20_000, 80), over=False), FAIL),
        (evidence((6_000, 300), (1_000, 0), over=False), FAIL),
        (evidence((6_000, 300), (10, 0), over=False), None),
        (evidence((60, 3), (20, 1), over=False), None),
        (evidence((6_000, 24), (20_000, 80), over=False), None),
        (evidence((6_000, 40), (20_000, 80), over=False), None),
        (evidence((6_000, 300), None, over=False), None),
        (evidence((6_000, 300), reading(20_000, None), over=False), None),
    ],
)
def test_a_window_ends_early_only_beyond_doubt(of: Evidence, kind: VerdictKind | None) -> None:
    """A clear difference ends it; few requests on either side, no control or no counts let it go on."""
    ruling = rule(of)
    assert (ruling.kind if ruling else None) is kind


def test_before_the_first_reading_nothing_is_said() -> None:
    """No reading, no ruling."""
    of = evidence((6_000, 300), (20_000, 80), over=False)
    empty = Evidence(window=WINDOW, started=START, readings=(), scrape_interval=of.scrape_interval, over=False,
                     control=of.control)  # fmt: skip
    assert rule(empty) is None
    done = Evidence(window=WINDOW, started=START, readings=(), scrape_interval=of.scrape_interval, over=True,
                    control=of.control)  # fmt: skip
    assert ruled(done).kind is VerdictKind.NO_DATA


def latencies(canary: float | None, stable: float | None, *, total: float = 1_000, over: bool = True) -> Evidence:
    """Return evidence of two quantiles in seconds."""
    of = evidence((1_000, 0), None if stable is None else reading(total, None, value=stable), over=over)
    last = reading(1_000, None, value=canary, seen=1.0 if over else 0.6)
    return Evidence(window=WINDOW, started=START, readings=(*of.readings[:-1], last), over=over, control=of.control,
                    scrape_interval=of.scrape_interval)  # fmt: skip


@pytest.mark.parametrize(
    ("of", "kind", "says"),
    [
        (latencies(0.25, 0.2), PASS, "50 ms slower than stable at the window's end, limit 50 ms; the plain rule"),
        (latencies(0.26, 0.2), FAIL, "60 ms slower than stable"),
        (latencies(0.1, 0.2), PASS, "-100 ms slower than stable"),
        (latencies(0.25, 0.2, total=99), INCONCLUSIVE, "had 99 requests, a comparison needs 100"),
        (latencies(0.25, float("nan")), INCONCLUSIVE, "no finite value to compare with"),
        (latencies(0.25, None), INCONCLUSIVE, "no whole, fresh reading"),
        (latencies(float("nan"), 0.2), VerdictKind.NO_DATA, "no value"),
    ],
)
def test_a_latency_is_compared_by_value(of: Evidence, kind: VerdictKind, says: str) -> None:
    """Quantiles of both at the window's end, with enough requests on both sides; it says that it is the plain rule."""
    ruling = ruled(of, SLOWER)
    assert (ruling.kind, says in ruling.rule) == (kind, True), ruling


def test_a_latency_never_ends_a_window_early() -> None:
    """The plain rule on two quantiles has no doubt to be beyond."""
    assert rule(latencies(9.0, 0.2, over=False), SLOWER) is None


def test_contract_compares_with_its_own_minimum() -> None:
    """The same rule speaks for both judges; the plain one's minimum holds for both sides."""
    of = evidence((6_000, 24), (20_000, 80))
    assert Contract()(of, POINTS) == rule(of)
    strict = Contract(min_requests=20_001)(of, POINTS)
    assert strict is not None
    assert "a verdict needs 20001" in strict.rule


def test_the_difference_needs_both_values() -> None:
    """What stands in a report as the value of a relative gate: None where there is none."""
    canary = reading(1_000, 5)
    assert worse_by(canary, reading(1_000, 3)) == pytest.approx(0.002)
    assert worse_by(canary, None) is None
    assert worse_by(canary, reading(1_000, None)) is None
    assert worse_by(reading(1_000, None), canary) is None
    assert worse_by(canary, reading(1_000, None, value=float("inf"))) is None


COUNTS = st.tuples(st.integers(11, 20_000), st.floats(0, 0.05)).map(lambda each: (each[0], int(each[0] * each[1])))
MULTIPLES = st.sampled_from([None, 17.28, 69.12])


@given(canary=COUNTS, stable=COUNTS, more=st.integers(1, 300), multiple=MULTIPLES, over=st.booleans())
def test_more_errors_never_make_it_better(
    canary: tuple[int, int], stable: tuple[int, int], more: int, multiple: float | None, over: bool
) -> None:
    """More of the canary's errors are never better for it, and fewer of the stable version's are not either."""

    def kind(bad: int, beside: int) -> int:
        found = rule(evidence((canary[0], bad), (stable[0], beside), multiple=multiple, over=over))
        return ORDER[found.kind if found else None]

    first = kind(canary[1], stable[1])
    assert kind(min(canary[1] + more, canary[0]), stable[1]) <= first
    assert kind(canary[1], max(stable[1] - more, 0)) <= first


@given(canary=COUNTS, stable=COUNTS, times=st.integers(2, 20))
def test_more_of_a_passing_difference_passes(canary: tuple[int, int], stable: tuple[int, int], times: int) -> None:
    """Many times the evidence of a difference that passed before the commitment is PASS again."""
    whole = tuple(3 * each for each in canary)
    if ruled(evidence((whole[0], whole[1]), stable)).kind is PASS:
        again = evidence((whole[0] * times, whole[1] * times), (stable[0] * times, stable[1] * times))
        assert ruled(again).kind is PASS


@given(canary=COUNTS, times=st.integers(1, 20), stable=st.sampled_from([None, (0, 0), (5, 0)]), multiple=MULTIPLES)
def test_nothing_passes_without_a_control(
    canary: tuple[int, int], times: int, stable: tuple[int, int] | None, multiple: float | None
) -> None:
    """However good the canary is, a comparison with nothing is never PASS."""
    of = evidence((canary[0] * times, 0), stable, multiple=multiple)
    assert (ruled(of).kind, ruled(of).cause) == (INCONCLUSIVE, "no control")
