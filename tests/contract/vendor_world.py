"""The rehearsal's cluster with a vendor's metrics: one server on this machine, one virtual clock for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from pytest_deploy.domain.rollout import RolloutState
from pytest_deploy.ports import Metrics
from tests.contract.test_rehearsal import RehearsedWorld
from tests.contract.vendor_servers import Service

__all__ = ["VendorWorld"]


class VendorWorld(RehearsedWorld):
    """A world whose counts a vendor's server holds.

    Args:
        metrics: makes the adapter, once the service is there.
    """

    def __init__(self, metrics: Callable[[VendorWorld], Metrics]) -> None:
        super().__init__()
        self.clock = self._world.clock
        self.requests = Service(clock=self.clock, ready=self._ready)
        self.ports = replace(self.ports, metrics=metrics(self))

    def make_bad(self, error_rate_ratio: float) -> None:
        """Let the newest version fail this share of its requests."""
        self.requests.error_ratio[self._state().current_hash] = error_rate_ratio

    def stop_samples(self) -> None:
        """Let nothing more be published."""
        self.requests.stopped = True

    def _ready(self) -> Mapping[str, int]:
        return {version.template_hash: version.ready for version in self._state().versions if version.ready}

    def _state(self) -> RolloutState:
        target = replace(self._target, name=self.environment.rollout)
        state = self.ports.traffic.state(target)
        assert state is not None
        return state
