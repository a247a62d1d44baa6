"""Pods: which of them go first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pytest_deploy.rehearsal.pods import READY_AFTER, ReplicaSet

AT = datetime(2026, 1, 5, tzinfo=UTC)


def test_pods_that_are_not_ready_go_first_then_the_newest() -> None:
    """Those that serve stay, the oldest the longest; each has a name of its own."""
    pods = ReplicaSet(name="shop", template_hash="abc", image="shop@sha256:1")
    pods.scale(2, AT)
    pods.settle(AT + READY_AFTER, None)
    oldest = [pod.name for pod in pods.observed_pods]
    pods.scale(4, AT + timedelta(seconds=4))
    pods.settle(AT + READY_AFTER, None)
    assert (pods.wanted, pods.ready) == (4, 2)
    assert len({pod.name for pod in pods.observed_pods}) == 4
    pods.scale(3, AT)
    assert (pods.wanted, pods.ready) == (3, 2)
    pods.scale(2, AT)
    assert [pod.name for pod in pods.observed_pods] == oldest


def test_an_older_pod_that_is_not_ready_goes_before_a_newer_one_that_is() -> None:
    """Readiness counts more than age."""
    pods = ReplicaSet(name="shop", template_hash="abc", image="shop@sha256:1")
    pods.scale(1, AT)
    pods.scale(2, AT + timedelta(minutes=1), running=True)
    pods.scale(1, AT)
    assert [pod.ready for pod in pods.observed_pods] == [True]
