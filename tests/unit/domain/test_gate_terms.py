"""What is wrong with a feature's gates, before anything is contacted."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from pytest_deploy.domain.gate_terms import Terms, gate_problems, stage_problems
from pytest_deploy.domain.judge import RuleBook
from pytest_deploy.domain.measurement import Kind, Objective
from pytest_deploy.domain.plan import Gate, Stage

TERMS = Terms(
    scrape_interval=timedelta(seconds=15),
    divisor=1,
    judge=RuleBook.EVIDENCE,
    tells_versions_apart=True,
    units={"queue depth": "messages", "load": ""},
)
ERRORS = Objective(kind=Kind.ERROR_RATE, limit=0.005)


def gate(
    objective: Objective = ERRORS, minutes: float = 5, place: str = "x.feature:1", *, dry_run: bool = False
) -> Gate:
    """Return a gate at a place."""
    return Gate(objective=objective, window=timedelta(minutes=minutes), scenario="s", place=place, dry_run=dry_run)


def stage(*gates: Gate, weight: int = 100) -> Stage:
    """Return a weight with its gates."""
    return Stage(weight=weight, gates=gates, scenario="s", place="x.feature:0")


def problems(*gates: Gate, terms: Terms = TERMS, weight: int = 5) -> list[str]:
    """Return what is wrong with gates at one weight."""
    return list(gate_problems((stage(*gates, weight=weight),), terms))


def latency(quantile: float, limit: float) -> Objective:
    """Return a latency's limit."""
    return Objective(kind=Kind.LATENCY, limit=limit, quantile=quantile)


def query(name: str, unit: str = "") -> Objective:
    """Return a query's limit."""
    return Objective(kind=Kind.QUERY, limit=1, subject=name, unit=unit)


def test_sound_gates() -> None:
    """Error rate, two quantiles in order and a query with its unit have no problem."""
    good = (ERRORS, latency(0.95, 0.3), latency(0.99, 0.8), query("queue depth", "messages"), query("load"))
    assert problems(*(gate(each) for each in good)) == []


@pytest.mark.parametrize("limit", [0.0, 1.0])
@pytest.mark.parametrize("kind", [Kind.ERROR_RATE, Kind.AVAILABILITY])
def test_impossible_limits(limit: float, kind: Kind) -> None:
    """No errors at all can't be proved, and all errors can't be broken."""
    (problem,) = problems(gate(Objective(kind=kind, limit=limit)))
    assert problem.startswith("x.feature:1: ")
    assert ("no number of requests proves" in problem) == (limit == 0)


def test_no_errors_at_all_by_the_plain_rule() -> None:
    """It can be read off the counts, so that `contract` may be asked for it."""
    none = gate(Objective(kind=Kind.ERROR_RATE, limit=0.0))
    assert problems(none, terms=replace(TERMS, judge=RuleBook.CONTRACT)) == []


def test_a_query_that_nobody_named() -> None:
    """The known ones are listed."""
    (problem,) = problems(gate(query("queue dept")))
    assert '"queue depth"' in problem
    assert "metrics.queries" in problem


def test_a_unit_that_is_not_the_querys() -> None:
    """Also where the limit has none: a bare number could mean anything."""
    for unit in ("", "KiB"):
        (problem,) = problems(gate(query("queue depth", unit)))
        assert "the query messages" in problem


def test_a_window_that_holds_no_two_scrapes() -> None:
    """As it is watched: shortened windows count as short."""
    (problem,) = problems(gate(minutes=0.25))
    assert "less than two scrapes of 15 s" in problem
    (problem,) = problems(gate(), terms=replace(TERMS, divisor=20))
    assert "15 s (5 min, 20 times shorter)" in problem
    script = Objective(kind=Kind.SCRIPT, limit=0, subject="./check.sh")
    assert problems(gate(script, minutes=0.1)) == []


def test_two_gates_of_one_name() -> None:
    """The second is refused, and the first named; an availability is an error rate told the other way round."""
    for other in (Objective(kind=Kind.ERROR_RATE, limit=0.01), Objective(kind=Kind.AVAILABILITY, limit=0.001)):
        (problem,) = problems(gate(), gate(other, place="x.feature:2"))
        assert problem == "x.feature:2: a second gate for the error rate at 5 %; the first is x.feature:1"


def test_a_step_may_be_said_twice() -> None:
    """A team's own step is not ours to compare."""
    own = Objective(kind=Kind.STEP, limit=0, subject="two pods are ready")
    assert problems(gate(own), gate(own, place="x.feature:2")) == []


def test_quantiles_that_contradict_each_other() -> None:
    """p99 below the limit of p95 means that the p95 gate says something else than its author thinks."""
    (problem,) = problems(gate(latency(0.95, 0.3)), gate(latency(0.99, 0.2), place="x.feature:2"))
    assert "p95 latency <= 300 ms contradicts p99 latency <= 200 ms" in problem


def test_a_comparison_without_a_control() -> None:
    """Versions that can't be told apart, or a first weight of 100 %."""
    over = gate(Objective(kind=Kind.ERROR_RATE, limit=0.002, relative=True))
    assert problems(over) == []
    (problem,) = problems(over, terms=replace(TERMS, tells_versions_apart=False))
    assert "version_label" in problem
    (problem,) = problems(over, weight=100)
    assert "let a smaller weight come first" in problem
    stages = (stage(gate(), weight=5), stage(over, weight=100))
    assert list(gate_problems(stages, TERMS)) == []


def test_weights_need_gates_that_block() -> None:
    """None, or dry runs alone, could stop nothing; a drill brings its own end."""
    for gates, says in (((), "has no gate"), ((gate(dry_run=True),), "dry-run gates only")):
        (problem,) = stage_problems((stage(*gates),), drill=False)
        assert says in problem
        assert list(stage_problems((stage(*gates),), drill=True)) == []


def test_weights_rise_to_100() -> None:
    """Each once, in order, and the commitment follows 100 % only."""
    falling = stage_problems((stage(gate(), weight=50), stage(gate(), weight=25)), drill=False)
    assert [text.partition(": ")[2].partition(":")[0] for text in falling] == [
        "the canary's weights must rise, each once",
        "the last weight is 25%",
    ]
    assert list(stage_problems((), drill=False)) == []
