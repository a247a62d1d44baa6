"""Weights as pods, and how far one look of the controller goes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.rehearsal.scaling import Count, next_counts, split


@pytest.mark.parametrize(
    ("replicas", "weight", "canary", "stable"),
    [
        (20, 5, 1, 19), (20, 25, 5, 15), (20, 50, 10, 10), (20, 100, 20, 0), (20, 0, 0, 20),
        (10, 1, 1, 10), (10, 18, 2, 9), (10, 20, 2, 8), (10, 23, 2, 8), (10, 25, 3, 8), (10, 99, 10, 1),
        (1, 5, 1, 1), (1, 95, 1, 1), (0, 50, 0, 0),
    ],
)  # fmt: skip
def test_a_weight_becomes_the_nearest_pods(replicas: int, weight: int, canary: int, stable: int) -> None:
    """The pair nearest to the weight, out of the replicas or one more, as Argo Rollouts' own tests have it."""
    assert split(replicas, weight) == (canary, stable)


@given(replicas=st.integers(1, 60), weight=st.integers(1, 99))
def test_both_versions_keep_a_pod_below_100_percent(replicas: int, weight: int) -> None:
    """Between 1 and 99 % neither version is without pods, and there is at most one pod too many."""
    canary, stable = split(replicas, weight)
    assert canary >= 1
    assert stable >= 1
    assert canary + stable in {replicas, replicas + 1}


def test_it_grows_at_once_and_shrinks_while_enough_are_ready() -> None:
    """5 % of 20: one canary pod more and one stable pod less in one go."""
    stable, canary = Count(wanted=20, ready=20, target=19), Count(wanted=0, ready=0, target=1)
    assert next_counts(20, [stable, canary]) == [19, 1]


def test_surge_and_availability_are_kept() -> None:
    """From 50 to 100 % of 20: five more than the replicas, and no stable pod goes while 15 would not be ready."""
    stable, canary = Count(wanted=10, ready=10, target=0), Count(wanted=10, ready=10, target=20)
    assert next_counts(20, [stable, canary]) == [5, 15]
    stable, canary = Count(wanted=5, ready=5, target=0), Count(wanted=15, ready=10, target=20)
    assert next_counts(20, [stable, canary]) == [5, 20]


def test_versions_of_nobody_go_first() -> None:
    """What is neither stable nor under way gives its pods before the stable version does."""
    stable, canary = Count(wanted=10, ready=10, target=5), Count(wanted=5, ready=5, target=10)
    assert next_counts(20, [stable, canary, Count(wanted=5, ready=5, target=0)]) == [10, 10, 0]


def test_a_broken_canary_makes_room() -> None:
    """On the way back pods that are not ready can be removed, though too few are ready in all."""
    stable, canary = Count(wanted=5, ready=5, target=20), Count(wanted=20, ready=0, target=0)
    assert next_counts(20, [stable, canary]) == [5, 10]
    assert next_counts(20, [Count(wanted=5, ready=5, target=20), Count(wanted=10, ready=0, target=0)]) == [15, 10]


@given(
    replicas=st.integers(1, 40),
    counts=st.lists(
        st.builds(lambda w, r, t: Count(wanted=w, ready=min(w, r), target=t), *(st.integers(0, 40),) * 3), max_size=3
    ),
)
def test_no_look_overshoots(replicas: int, counts: list[Count]) -> None:
    """Each ReplicaSet moves towards its target, never past it nor away from it."""
    for count, wanted in zip(counts, next_counts(replicas, counts), strict=True):
        assert min(count.wanted, count.target) <= wanted <= max(count.wanted, count.target)
