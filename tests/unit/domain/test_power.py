"""Power: how many requests a verdict takes, and what a canary's steps will be able to tell."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped]  # it ships no types

from pytest_deploy.domain.binomial import excludes
from pytest_deploy.domain.power import allowed_multiple, allowed_ratio, needed, raise_needed
from pytest_deploy.domain.power_check import PlannedStep, StepPower, check

WINDOW = timedelta(minutes=5)
WEIGHTS = (5, 25, 50, 100)


@pytest.mark.parametrize(("weight", "multiple"), [(25, 69.12), (50, 34.56), (100, 17.28)])
def test_what_the_next_weight_may_risk(weight: int, multiple: float) -> None:
    """0.2 % of a month's budget: 69, 35 and 17 times the limit before 25, 50 and 100 % with 5 minutes."""
    assert allowed_multiple(weight, WINDOW) == pytest.approx(multiple)


def test_a_long_next_window_asks_no_more_than_the_commitment() -> None:
    """However much a window could spend, before it no more is asked than before the commitment."""
    assert allowed_multiple(100, timedelta(hours=6)) == 2.0


@pytest.mark.parametrize(
    ("limit", "multiple", "ratio"),
    [(0.001, 69.12, 0.06912), (0.01, 69.12, 0.25), (0.01, None, 0.02), (0.05, None, 0.1), (0.5, None, 2 / 3)],
)
def test_what_must_be_excluded(limit: float, multiple: float | None, ratio: float) -> None:
    """The multiple of the limit, never more than 25 %, and of a lax limit what lies between it and all."""
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
    with pytest.raises(ValueError, match="must be between 0 and 1"):
        check(planned(5), limit)


def test_another_chance_is_refused() -> None:
    """Only the chances whose numbers are proved can be asked for."""
    with pytest.raises(ValueError, match=r"promoted with 0\.5: known are 0\.95, 0\.99"):
        needed(0.01, promoted_with=0.5)


def planned(rate_per_s: float) -> tuple[PlannedStep, ...]:
    """Return the steps of a canary of a service with so many requests a second."""
    following = (*WEIGHTS[1:], None)
    return tuple(
        PlannedStep(
            weight=weight,
            requests=rate_per_s * weight / 100 * WINDOW.total_seconds(),
            window=WINDOW,
            allowed_multiple=None if after is None else allowed_multiple(after, WINDOW),
        )
        for weight, after in zip(WEIGHTS, following, strict=True)
    )


def test_a_busy_service_has_enough_at_each_step() -> None:
    """At 5 requests a second and 1 % each step can tell, and it is said what it could miss."""
    steps = check(planned(5), 0.01)
    assert [(step.expected, step.least, step.wanted) for step in steps] == [
        (75, 11, 11),
        (450, 11, 11),
        (1200, 16, 16),
        (2700, 149, 600),
    ]
    assert all(step.enough and not step.hopeless for step in steps)
    assert steps[0].words == "at 5 %: needs 11 requests, will have about 75; may miss less than 8.2 % bad"
    assert steps[-1].window_needed == WINDOW


def test_a_quiet_service_can_not_pass_and_is_told_the_window_that_would_do() -> None:
    """At one request in ten seconds not even zero errors pass the first step: 11 take nearly eight times as long."""
    first = check(planned(0.1), 0.01)[0]
    assert (first.hopeless, first.enough, first.sees_ratio) == (True, False, None)
    assert first.words == (
        "at 5 %: needs 11 requests, will have about 1; not even zero errors could pass, that takes 11; "
        "a window of 37 min would do (5 min is set)"
    )


def test_too_little_to_be_sure_is_not_hopeless() -> None:
    """At 0.5 requests a second and 1 % the commitment can pass, but a version at half its limit may not."""
    last = check(planned(0.5), 0.01)[-1]
    assert (last.expected, last.least, last.wanted) == (270, 149, 600)
    assert (last.hopeless, last.enough) == (False, False)
    assert last.words.endswith("a window of 16 min would do (5 min is set)")


def test_a_window_that_would_do_does() -> None:
    """With the window that was named, the step has what it wants."""
    *before, last = planned(0.5)
    longer = check((*before, last), 0.01)[-1].window_needed
    assert longer is not None
    more = PlannedStep(
        weight=100, requests=last.requests * (longer / last.window), window=longer, allowed_multiple=None
    )
    assert check((*before, more), 0.01)[-1].enough


def test_without_traffic_no_window_would_do() -> None:
    """No requests are no rate: there is no longer window to name."""
    first = check(planned(0), 0.01)[0]
    assert (first.window_needed, first.hopeless) == (None, True)
    assert first.words.endswith("no window of a month would do (5 min is set)")


def test_steps_that_are_compared_with_stable_are_not_pooled() -> None:
    """A relative gate has only its own step's requests."""
    assert [step.expected for step in check(planned(5), 0.002, pooled=False)] == [75, 375, 750, 1500]


def test_the_plain_rule_pools_nothing() -> None:
    """The judge ``contract`` wants its minimum in each window; what it passes is what lies at the limit by chance."""
    first, second, *_ = check(planned(1), 0.01, min_requests=100)
    assert (first.expected, first.hopeless, first.sees_ratio, second.expected) == (15, True, None, 75)
    (busy,) = check(planned(10)[:1], 0.01, min_requests=100)
    assert (busy.expected, busy.hopeless) == (150, False)
    assert busy.sees_ratio is not None
    assert stats.binom.cdf(1, 150, busy.sees_ratio) == pytest.approx(0.05, abs=1e-4)


def stopped(step: StepPower, own: int, limit: float, multiple: float | None, ratio: float) -> float:
    """Return how often counts at this ratio fail the test of the pool, or that of the step, whichever is oftener."""
    pool_fails = [
        not excludes(bad, step.expected, allowed_ratio(limit, multiple))
        or (multiple is None and bad > limit * step.expected)
        for bad in range(step.expected + 1)
    ]
    own_fails = [stats.binom.sf(bad - 1, own, limit) <= 0.05 for bad in range(own + 1)]
    shares = (
        stats.binom.pmf(range(len(fails)), len(fails) - 1, ratio) @ [float(each) for each in fails]
        for fails in (pool_fails, own_fails)
    )
    return float(max(shares))


@pytest.mark.parametrize("rate_per_s", [0.5, 1, 3])
@pytest.mark.parametrize("limit", [0.01, 0.05])
def test_what_it_could_miss_is_what_the_exact_tails_say(rate_per_s: float, limit: float) -> None:
    """At the smallest ratio that is seen, 95 % of canaries are not promoted; at four fifths of it fewer are."""
    for plan, step in zip(planned(rate_per_s), check(planned(rate_per_s), limit), strict=True):
        if step.sees_ratio is not None:
            own, multiple = int(plan.requests), plan.allowed_multiple
            assert stopped(step, own, limit, multiple, step.sees_ratio * 1.001) >= 0.95 - 1e-6
            assert stopped(step, own, limit, multiple, step.sees_ratio * 0.8) < 0.95


@given(rate_per_s=st.floats(0, 50), limit=st.floats(0.001, 0.2))
def test_a_hopeless_step_is_never_enough(rate_per_s: float, limit: float) -> None:
    """What can't pass without an error can't be what is wanted, and it misses nothing as it passes nothing."""
    for step in check(planned(rate_per_s), limit):
        assert not (step.hopeless and step.enough)
        assert step.hopeless == (step.sees_ratio is None)
