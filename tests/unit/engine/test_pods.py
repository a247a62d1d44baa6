"""Pods that can't serve end a step at once, with their own words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from pytest_deploy.domain.found import Attachment, Found
from pytest_deploy.engine import canary, pods, staging
from pytest_deploy.errors import GateBreach, Unreachable, WaitTimedOut
from tests.unit.engine.conftest import Bench

Benches = Callable[..., Bench]
LOG = Attachment("log of api-1/api", "fatal: no config")


def test_a_crash_is_told_with_its_last_words(bench: Benches) -> None:
    """The step fails with the pod's log, which is attached."""
    made = bench()
    made.fault("pods crash at 5%")
    made.alter(
        "cluster", last_words=lambda _original, _target, _pod: Found("its last lines: fatal", attachments=(LOG,))
    )
    said = r"the new version: pod \S+ can't run: CrashLoopBackOff.*; its last lines: fatal\n  next: mend that"
    with pytest.raises(GateBreach, match=said) as seen:
        canary.raise_to(made.deploy, 5)
    assert (seen.value.cause, seen.value.attachments) == ("pods crash", (LOG,))


def test_words_that_can_not_be_had_hide_nothing(bench: Benches) -> None:
    """The API server may not answer a second time."""

    def fails(*_: object) -> Found:
        raise Unreachable("gone")

    made = bench()
    made.fault("image missing at 5%")
    made.alter("cluster", last_words=fails)
    with pytest.raises(GateBreach, match="ImagePullBackOff") as seen:
        canary.raise_to(made.deploy, 5)
    assert (seen.value.cause, seen.value.attachments) == ("image missing", ())


def test_pods_that_can_not_be_created_end_it_at_once(bench: Benches) -> None:
    """A quota is told in the server's words, within seconds."""
    made = bench()
    made.alter(
        "cluster",
        pods=lambda original, target, service: tuple(p for p in original(target, service) if p.image == made.old),
        blocked=lambda _original, _target: "exceeded quota: compute",
    )
    began = made.deploy.ports.clock.monotonic()
    with pytest.raises(GateBreach, match="the new version: pods can't be created: exceeded quota: compute") as seen:
        canary.raise_to(made.deploy, 5)
    assert seen.value.cause == "pods not created"
    assert made.deploy.ports.clock.monotonic() - began < 30


def test_pods_that_are_only_late_are_waited_for(bench: Benches) -> None:
    """Where nothing blocks them, a missing pod is no breach."""
    made = bench()
    asked: list[object] = []

    def blocked(_original: object, target: object) -> str:
        asked.append(target)
        return ""

    made.alter(
        "cluster",
        blocked=blocked,
        pods=lambda original, target, service: () if len(asked) < 2 else original(target, service),
    )
    canary.raise_to(made.deploy, 5)
    assert len(asked) == 2


def test_a_wait_that_times_out_names_the_pod(bench: Benches) -> None:
    """What the first pod that is not ready says stands in the error, with its evidence."""
    made = bench()
    made.fault("pods never ready")
    made.alter("cluster", last_words=lambda _original, _target, _pod: Found("probe: 503", attachments=(LOG,)))
    staging.install(made.deploy, "staging")
    with pytest.raises(WaitTimedOut, match=r"pod \S+ is not ready; probe: 503$") as seen:
        staging.pods_run(made.deploy, "staging", timedelta(seconds=10))
    assert seen.value.attachments == (LOG,)
    assert seen.value.last_seen.endswith("probe: 503")


@pytest.mark.parametrize("ready", [True, False])
def test_a_wait_without_such_a_pod_stays_as_it_was(bench: Benches, ready: bool) -> None:
    """All ready, or the API server silent: the time-out alone is told."""

    def look(original: Callable[..., tuple[object, ...]], target: object, service: str) -> tuple[object, ...]:
        if not ready:
            raise Unreachable("gone")
        return original(target, service)

    made = bench()
    made.alter("cluster", pods=look)
    with (
        pytest.raises(WaitTimedOut, match=r"last seen: x$"),
        pods.explaining(made.deploy, made.deploy.rollout_target(), lambda _: True),
    ):
        raise WaitTimedOut("y", last_seen="x")


def test_an_unobserved_rollout_is_asked_for_no_quota(bench: Benches) -> None:
    """What its status says is of another spec."""
    made = bench()
    state = replace(made.state(), observed_generation=0)
    made.alter("cluster", blocked=lambda _original, _target: "exceeded quota")
    found = pods.look(made.deploy, made.deploy.rollout_target(), state, lambda _: True, which="it")
    assert len(found) == state.replicas
