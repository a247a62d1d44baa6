"""The Kubernetes API of the rehearsal: reads of the cluster, and patches of Rollouts."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import NAMESPACE_URL, uuid5

from pytest_deploy.domain.action import Purpose, RolloutPatch, Target
from pytest_deploy.domain.fault import FaultKind
from pytest_deploy.domain.release import Environment
from pytest_deploy.domain.rollout import ClusterIdentity, Permission, Pod, RolloutState
from pytest_deploy.errors import Refused, Rejected
from pytest_deploy.rehearsal.faults import Faults
from pytest_deploy.rehearsal.places import Places

__all__ = ["RehearsedCluster", "RehearsedTraffic"]


class RehearsedCluster:
    """Reads; the account may do everything."""

    def __init__(self, places: Places, faults: Faults) -> None:
        self._places = places
        self._faults = faults

    def identity(self, environment: Environment) -> ClusterIdentity:
        """Return the server that deploy.yaml expects, else a made-up one; raises Refused for an unknown context."""
        self._faults.api_call()
        self._places.at(environment.context, environment.name)
        server = environment.server or f"https://{environment.context}.rehearsal.invalid"
        return ClusterIdentity(server=server, version="v1.34.0", uid=str(uuid5(NAMESPACE_URL, server)))

    def denied(self, environment: Environment, permissions: Sequence[Permission]) -> tuple[Permission, ...]:
        """Return nothing: nobody is denied anything here."""
        self._faults.api_call()
        self._places.at(environment.context, environment.name)
        del permissions
        return ()

    def pods(self, target: Target, service: str) -> tuple[Pod, ...]:
        """Return the pods of the Rollout; () where there is none."""
        self._faults.api_call()
        del service
        rollout = self._places.rollout(target)
        return () if rollout is None else rollout.pods


class RehearsedTraffic:
    """Rollouts and their controller."""

    def __init__(self, places: Places, faults: Faults) -> None:
        self._places = places
        self._faults = faults

    def state(self, rollout: Target) -> RolloutState | None:
        """Return one look at the Rollout; None where there is none."""
        self._faults.api_call()
        found = self._places.rollout(rollout)
        return None if found is None else found.state

    def execute(self, patch: RolloutPatch) -> None:
        """Apply the patch; raises Rejected when a test does not hold, or there is no such Rollout."""
        self._faults.api_call()
        found = self._places.rollout(patch.target)
        if found is None:
            raise Rejected(f'rollouts.argoproj.io "{patch.target.name}" not found ({patch.target})')
        if patch.purpose is Purpose.PROMOTE and self._faults.hit(FaultKind.PROMOTE_REFUSED):
            raise Rejected(
                f"promote of {patch.target}: the server rejected our request (rehearsed: admission denied it)",
                hint="find out which admission policy guards rollouts/status",
            )
        found.patch(patch)

    def container_index(self, rollout: Target, container: str) -> int:
        """Return the container's position in the pod template; raises Refused when there is none."""
        self._faults.api_call()
        found = self._places.rollout(rollout)
        names = [] if found is None else [each["name"] for each in found.spec.containers]
        if container not in names:
            known = ", ".join(names) or "none"
            raise Refused(f"{rollout} has no container {container!r}", hint=f"its containers are: {known}")
        return names.index(container)
