"""The release as it must be before a deploy: installed once in each environment, and at rest."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from datetime import timedelta

from pytest_deploy.domain.action import Target
from pytest_deploy.domain.patches import promote_full
from pytest_deploy.domain.release import Digest, Release
from pytest_deploy.domain.rollout import Phase, RolloutState
from pytest_deploy.domain.upgrade import release_target, rollout_target, upgrade
from pytest_deploy.errors import Rejected, WaitTimedOut
from pytest_deploy.ports import Ports

__all__ = ["seed"]

_WITHIN = timedelta(minutes=1)
_POLL = timedelta(milliseconds=200)


def seed(ports: Ports, release: Release) -> None:
    """Install the release where it is not; what is there, at rest or not, is left as it is.

    Raises:
        DeployError: Helm refused it, or its pods did not become ready within a minute.
    """
    digest = Digest("sha256:" + hashlib.sha256(f"first {release.service}".encode()).hexdigest())
    new: list[Target] = []
    for environment in release.environments.values():
        target = release_target(environment)
        if target is None or ports.helm.history(target):
            continue
        first = upgrade(
            release, environment, target, digest=digest, base_revision=0, timeout=timedelta(minutes=2), labels={}
        )
        ports.helm.execute(first)
        new.append(rollout_target(environment))
    for rollout in new:
        _settle(ports, rollout)


def _settle(ports: Ports, rollout: Target) -> None:
    clock = ports.clock
    end = clock.monotonic() + _WITHIN.total_seconds()
    while True:
        state = ports.traffic.state(rollout)
        if state is not None and _rests(state):
            return
        if clock.monotonic() > end:
            seen = state.words if state else "no Rollout"
            raise WaitTimedOut(f"the first version of {rollout} is not ready within 60 s", last_seen=seen)
        if state is not None and state.observed and state.at_our_pause:
            with suppress(Rejected):  # the controller was faster; the next look tells
                ports.traffic.execute(promote_full(rollout, observed_generation=state.observed_generation))
        clock.sleep(_POLL)


def _rests(state: RolloutState) -> bool:
    return state.observed and state.promoted and state.phase is Phase.HEALTHY
