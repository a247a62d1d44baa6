"""The gates' vocabulary: what each step's text limits, and nonsense that is refused."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pytest_bdd.steps import step_function_context_registry

from pytest_deploy.domain.measurement import Kind, Objective
from pytest_deploy.steps.gates import OBJECTIVES, Watch, parse_quantile, parse_watch

EXPECTED = {
    "the error rate stays at or below": Objective(kind=Kind.ERROR_RATE, limit=0.005),
    "the availability stays": Objective(kind=Kind.AVAILABILITY, limit=0.005),
    "latency stays at or below": Objective(kind=Kind.LATENCY, limit=0.3, quantile=0.95),
    "the error rate is no worse": Objective(kind=Kind.ERROR_RATE, limit=0.002, relative=True),
    "latency is no worse": Objective(kind=Kind.LATENCY, limit=0.05, quantile=0.95, relative=True),
    "the CPU throttling": Objective(kind=Kind.QUERY, limit=0.25, unit="%", subject="CPU throttling"),
    "the memory use": Objective(kind=Kind.QUERY, limit=0.8, unit="%", subject="memory use"),
    "no container restarts": Objective(kind=Kind.QUERY, limit=0, subject="container restarts"),
    "no alert of the service fires": Objective(kind=Kind.QUERY, limit=0, subject="firing alerts"),
    '"{query}" stays at or below': Objective(kind=Kind.QUERY, limit=100, unit="messages", subject="queue depth"),
    '"{query}" stays at or above': Objective(
        kind=Kind.QUERY, limit=40, unit="orders", subject="orders per minute", at_least=True
    ),
    "the script": Objective(kind=Kind.SCRIPT, limit=0, subject="./scripts/check-slo.sh"),
}


def test_every_gates_example_limits_what_it_says() -> None:
    """The example of each step, parsed as pytest-bdd does, yields its objective and its watch."""
    seen = set()
    for function, objective_of in OBJECTIVES.items():
        (step,) = [c for c in step_function_context_registry.values() if c.step_func is function]
        text = (function.__doc__ or "").partition("Example:")[2].strip().partition(" ")[2]
        values = step.parser.parse_arguments(text) or {}
        args = {name: step.converters.get(name, str)(value) for name, value in values.items()}
        (name,) = [name for name in EXPECTED if name in step.parser.name]
        seen.add(name)
        assert objective_of(args) == EXPECTED[name]
        assert isinstance(args["watch"], Watch)
    assert seen == set(EXPECTED)


@pytest.mark.parametrize(
    ("text", "watch"),
    [
        ("for 5 minutes", Watch(window=timedelta(minutes=5))),
        ("until 1,200 requests, at most 30 minutes,", Watch(window=timedelta(minutes=30), requests=1200)),
        ("as a dry run, for 90 s", Watch(window=timedelta(seconds=90), dry_run=True)),
        (
            "as a dry run, until 50 requests, at most 1h,",
            Watch(window=timedelta(hours=1), requests=50, dry_run=True),
        ),
    ],
)
def test_watches(text: str, watch: Watch) -> None:
    """By time, by requests with the longest time, and as a dry run."""
    assert parse_watch(text) == watch


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("for 5", "no unit"),
        ("5 minutes", "is no watch"),
        ("until 1,200 requests", "is no watch"),
        ("until 0 requests, at most 5 minutes,", "at least one request"),
        ("until 100 requests, at most 5,", "no unit"),
        ("dry run, for 5 minutes", "is no watch"),
    ],
)
def test_what_is_no_watch(text: str, says: str) -> None:
    """A number without a unit, a half sentence and zero requests are refused with what to write."""
    with pytest.raises(ValueError, match=says):
        parse_watch(text)


def test_quantiles() -> None:
    """Between p1 and p99.99."""
    assert parse_quantile("99.9") == pytest.approx(0.999)
    for text in ("0", "100"):
        with pytest.raises(ValueError, match="no quantile"):
            parse_quantile(text)
