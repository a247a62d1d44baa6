"""Named queries: limits on numbers that are no counts, and things that must not happen at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.domain.evidence_judge import EvidenceJudge
from pytest_deploy.domain.judge import Contract
from pytest_deploy.domain.measurement import Evidence, Kind, Objective, Reading
from pytest_deploy.domain.verdict import Ruling, VerdictKind

START = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
WINDOW = timedelta(minutes=3)
SCRAPE = timedelta(seconds=15)
MEMORY = Objective(kind=Kind.QUERY, limit=0.9, subject="memory use", unit="%")
REPLICAS = Objective(kind=Kind.QUERY, limit=3, subject="consumers", at_least=True)
RESTARTS = Objective(kind=Kind.QUERY, limit=0, subject="container restarts")
PASS, FAIL, INCONCLUSIVE = VerdictKind.PASS, VerdictKind.FAIL, VerdictKind.INCONCLUSIVE
NAN = float("nan")


def evidence(
    *values: float | None,
    over: bool = True,
    window: timedelta | None = None,
    unreadable: str = "",
    last_age_s: float = 5,
    problem: str = "",
) -> Evidence:
    """Return readings of these values, one per scrape; by default they fill the window."""
    readings = [
        Reading(
            since=START,
            at=START + SCRAPE * k,
            newest=START + SCRAPE * k - timedelta(seconds=5),
            total=None if value is None else 1,
            bad=None,
            value=value,
            queries=(),
        )
        for k, value in enumerate(values, 1)
    ]
    if readings:
        last = readings[-1]
        readings[-1] = Reading(
            since=START,
            at=last.at,
            newest=last.at - timedelta(seconds=last_age_s),
            total=last.total,
            bad=None,
            value=last.value,
            queries=(),
            problem=problem,
        )
    return Evidence(
        window=window or SCRAPE * max(len(values), 1),
        started=START,
        readings=tuple(readings),
        scrape_interval=SCRAPE,
        over=over,
        unreadable=unreadable,
    )


def rule(of: Evidence, objective: Objective = MEMORY) -> Ruling | None:
    """Ask both judges, who must agree: the rule is one."""
    found = EvidenceJudge()(of, objective)
    assert found == Contract()(of, objective)
    return found


FINE = (0.5,) * 12


@pytest.mark.parametrize(
    ("objective", "of", "kind", "cause", "says"),
    [
        (MEMORY, evidence(*FINE), PASS, "", "at the window's end and in all 4 readings of its last third"),
        (MEMORY, evidence(*FINE[:-1], 0.9), PASS, "", "within the limit"),
        (MEMORY, evidence(*(0.99,) * 2, *FINE), PASS, "", "within the limit"),
        (MEMORY, evidence(*FINE[:-1], 0.91), FAIL, "", "above the limit at the window's end"),
        (MEMORY, evidence(*FINE[:-2], 0.91, 0.5), INCONCLUSIVE, "above the limit", "has not settled: 91.00 %"),
        (REPLICAS, evidence(*(3.0,) * 12), PASS, "", "within the limit"),
        (REPLICAS, evidence(*(3.0,) * 11, 2.0), FAIL, "", "below the limit at the window's end"),
        (REPLICAS, evidence(*(3.0,) * 10, 2.0, 3.0), INCONCLUSIVE, "below the limit", "has not settled: 2 at"),
        (RESTARTS, evidence(*(0.0,) * 12), PASS, "", "within the limit"),
        (RESTARTS, evidence(0.0, 1.0, *(0.0,) * 10), FAIL, "", "1 at 10:00:30Z: not one may happen"),
        (MEMORY, evidence(), VerdictKind.NO_DATA, "no data", "nothing was ever read"),
        (MEMORY, evidence(None), VerdictKind.NO_DATA, "no data", "no series of samples"),
        (MEMORY, evidence(*FINE[:-1], NAN), VerdictKind.NO_DATA, "no data", "no value can be computed"),
        (MEMORY, evidence(*FINE, last_age_s=31), VerdictKind.NO_DATA, "stale data", "31 s old"),
        (MEMORY, evidence(*FINE, problem="partial"), INCONCLUSIVE, "partial answer", "partial"),
        (MEMORY, evidence(*FINE, window=WINDOW * 2), INCONCLUSIVE, "window not covered", "50% of the window"),
        (MEMORY, evidence(*FINE[:-3], None, None, 0.5), INCONCLUSIVE, "window not covered", "2 of 4 readings"),
        (MEMORY, evidence(*FINE, unreadable="refused"), VerdictKind.ERROR, "metrics unreadable", "refused"),
        (RESTARTS, evidence(*(None,) * 12), VerdictKind.NO_DATA, "no data", "no series of samples"),
    ],
)
def test_each_ruling_at_the_windows_end(
    objective: Objective, of: Evidence, kind: VerdictKind, cause: str, says: str
) -> None:
    """The value at the end and every reading of the last third keep the limit, or it says what is missing."""
    ruling = rule(of, objective)
    assert ruling is not None
    assert (ruling.kind, ruling.cause, says in ruling.rule) == (kind, cause, True), ruling


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ((0.5, 0.95, 0.95, 0.95), FAIL),
        ((0.95, 0.95), None),
        ((0.95, 0.95, 0.5, 0.95), None),
        ((0.95, 0.95, 0.95, None), None),
        ((0.95, 0.95, 0.95, NAN), None),
        ((), None),
    ],
)
def test_three_samples_in_a_row_end_the_window_early(
    values: tuple[float | None, ...], kind: VerdictKind | None
) -> None:
    """One can be noise and so can two; the newest reading must be one of them."""
    ruling = rule(evidence(*values, over=False, window=WINDOW))
    assert (ruling.kind if ruling else None) is kind


def test_one_sample_that_is_looked_at_three_times_is_one() -> None:
    """Looks that come faster than scrapes see the same sample again; it counts once."""
    of = evidence(0.95, over=False, window=WINDOW)
    same = Evidence(window=of.window, started=of.started, readings=of.readings * 3, scrape_interval=SCRAPE, over=False)
    assert rule(same) is None


def test_what_must_not_happen_fails_at_once_and_only_on_whole_answers() -> None:
    """One restart ends the window; one in a partial or stale answer is no evidence yet."""
    ruling = rule(evidence(0.0, 1.0, over=False, window=WINDOW), RESTARTS)
    assert ruling is not None
    assert ruling.kind is FAIL
    assert rule(evidence(0.0, 1.0, over=False, window=WINDOW, problem="partial"), RESTARTS) is None
    assert rule(evidence(0.0, 1.0, over=False, window=WINDOW, last_age_s=31), RESTARTS) is None


def test_a_floor_of_nothing_is_no_absence() -> None:
    """At least 0 is a limit like every other: what is above it keeps it."""
    ruling = rule(evidence(*(5.0,) * 12), Objective(kind=Kind.QUERY, limit=0, subject="lag", at_least=True))
    assert ruling is not None
    assert ruling.kind is PASS


VALUES = st.lists(st.none() | st.floats(0, 2) | st.just(NAN), min_size=1, max_size=20)


@given(values=VALUES, worse=st.floats(0, 1), over=st.booleans())
def test_a_higher_value_never_makes_it_better(values: list[float | None], worse: float, over: bool) -> None:
    """A verdict on higher values is never better."""
    order = {FAIL: 0, INCONCLUSIVE: 1, VerdictKind.NO_DATA: 1, None: 1, PASS: 2}
    higher = [None if value is None else value + worse for value in values]
    first, second = (rule(evidence(*each, over=over)) for each in (values, higher))
    assert order[second.kind if second else None] <= order[first.kind if first else None]


@given(size=st.integers(1, 20), last=st.none() | st.just(NAN) | st.just(float("inf")))
def test_nothing_passes_without_a_value(size: int, last: float | None) -> None:
    """However good what came before was, a window that ends without a finite value is no PASS."""
    ruling = rule(evidence(*(0.1,) * size, last))
    assert ruling is not None
    assert ruling.kind is VerdictKind.NO_DATA
