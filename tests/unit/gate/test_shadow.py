"""The service that runs now, judged as a deploy would judge it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from pytest_deploy.domain.evidence_judge import EvidenceJudge
from pytest_deploy.domain.measurement import Kind, Objective, Reading, Role, Subject
from pytest_deploy.domain.plan import Gate, Stage
from pytest_deploy.domain.policy import Policy
from pytest_deploy.domain.release import Environment
from pytest_deploy.domain.rollout import Phase, RolloutState
from pytest_deploy.errors import ConfigError
from pytest_deploy.gate.provider import Provider
from pytest_deploy.gate.shadow import shadow
from pytest_deploy.gate.show import Shown
from pytest_deploy.replay import Judged, Plan
from pytest_deploy.testing.clock import FakeClock

PROD = Environment(name="prod", context="c", namespace="n", release="r", rollout="api", container="api")
ERRORS = Objective(kind=Kind.ERROR_RATE, limit=0.005)
STATE = RolloutState(
    name="api",
    uid="u",
    generation=1,
    observed_generation=1,
    phase=Phase.PAUSED,
    message="",
    aborted=False,
    held_by_spec=False,
    pauses=(),
    steps=(),
    step_index=None,
    current_hash="new",
    stable_hash="old",
    weight_percent=25.0,
    traffic_routed=True,
    image="i",
    replicas=4,
    versions=(),
)


class Live:
    """Port ``Metrics``: 100 requests a second, of which a share is bad."""

    scrape_interval = timedelta(seconds=15)

    def __init__(self, clock: FakeClock, *, apart: bool, bad_ratio: float) -> None:
        self.now = clock.now
        self.tells_versions_apart = apart
        self._bad_ratio = bad_ratio
        self.asked: set[tuple[Role, str | None]] = set()

    def read(self, objective: Objective, subject: Subject, since: datetime) -> Reading:
        """Return the counts until now."""
        self.asked.add((subject.role, subject.template_hash))
        at = self.now()
        total = 100 * (at - since).total_seconds()
        bad = total * self._bad_ratio
        return Reading(since=since, at=at, newest=at, total=total, bad=bad, value=self._bad_ratio, queries=("q",))

    def problems(self, objective: Objective, subject: Subject) -> Sequence[str]:
        """Return nothing."""
        return ()


def shadowed(
    state: RolloutState | None, *, weight: int | None = None, apart: bool = True, bad_ratio: float = 0
) -> tuple[Judged, Live, list[str]]:
    """Shadow a service that is in this state."""
    clock, said = FakeClock(), list[str]()
    metrics = Live(clock, apart=apart, bad_ratio=bad_ratio)
    source = Provider(
        metrics=metrics, clock=clock, state=lambda: (state, "" if state else "no such context"), as_of=None
    )
    stages = tuple(
        Stage(
            weight=each,
            gates=(Gate(objective=ERRORS, window=timedelta(minutes=1), scenario=f"at {each}", place=f"x:{each}"),),
            scenario=f"at {each}",
            place=f"x:{each}",
        )
        for each in (5, 100)
    )
    plan = Plan(stages=stages, afterwards=(), judge=EvidenceJudge(), policy=Policy(), window=timedelta(minutes=1))
    return shadow(plan, "api", PROD, weight, source, Shown(said.append)), metrics, said


def test_the_version_that_runs_is_judged_by_the_last_weights_gates() -> None:
    """Without --weight the strictest question is asked: would it be committed."""
    judged, metrics, said = shadowed(replace(STATE, stable_hash="new"))
    assert judged.passed
    assert judged.window.weight == 100
    assert metrics.asked == {(Role.CANARY, "new")}
    assert said[0] == "shadowing api, pods of version new; nothing is written or decided"


def test_a_canary_that_runs_has_the_stable_version_as_control() -> None:
    """While two versions run, both are read, and the weight's own gates may be chosen."""
    judged, metrics, _ = shadowed(STATE, weight=5, bad_ratio=0.1)
    assert not judged.passed
    assert judged.window.weight == 5
    assert metrics.asked == {(Role.CANARY, "new"), (Role.STABLE, "old")}


@pytest.mark.parametrize(("state", "apart"), [(None, True), (STATE, False)])
def test_without_versions_the_whole_service_is_judged(state: RolloutState | None, *, apart: bool) -> None:
    """No cluster, or no label that tells versions apart: all pods are read, and it is said."""
    _, metrics, said = shadowed(state, apart=apart)
    assert metrics.asked == {(Role.SERVICE, None)}
    assert "all pods of api" in said[0]
    assert ("which versions run is not known: no such context" in said) is (state is None)


def test_a_weight_that_the_feature_lacks_is_refused() -> None:
    """It is named with those that there are."""
    with pytest.raises(ConfigError, match="the feature has no such weight, only: 5 %, 100 %"):
        shadowed(STATE, weight=7)
