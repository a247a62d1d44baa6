"""The Kubernetes API of the rehearsal: reads of the cluster, and patches of Rollouts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import NAMESPACE_URL, uuid5

from pytest_deploy.domain.action import Json, Purpose, RolloutPatch, Target
from pytest_deploy.domain.fault import FaultKind
from pytest_deploy.domain.found import Attachment, Found
from pytest_deploy.domain.permissions import RISKY, Resource
from pytest_deploy.domain.release import Environment
from pytest_deploy.domain.rollout import Account, ClusterIdentity, Permission, Pod, RolloutState
from pytest_deploy.errors import Refused, Rejected
from pytest_deploy.rehearsal.faults import Faults
from pytest_deploy.rehearsal.places import Places

__all__ = ["RehearsedCluster", "RehearsedTraffic"]


class RehearsedCluster:
    """Reads; the account may do everything in its namespace, and nothing beyond it but read which cluster it is."""

    def __init__(self, places: Places, faults: Faults) -> None:
        self._places = places
        self._faults = faults

    def identity(self, environment: Environment) -> ClusterIdentity:
        """Return the server that deploy.yaml expects, else a made-up one; raises Refused for an unknown context."""
        self._faults.api_call()
        self._places.at(environment.context, environment.name)
        server = environment.server or f"https://{environment.context}.rehearsal.invalid"
        uid = environment.kube_system_uid or str(uuid5(NAMESPACE_URL, server))
        return ClusterIdentity(server=server, version="v1.34.0", uid=uid, ca=environment.ca_sha256)

    def account(self, environment: Environment) -> Account:
        """Return a made-up one, whose credentials do not end."""
        self._at(environment)
        return Account(user="rehearsal", groups=("system:authenticated",), expires=None)

    def denied(self, environment: Environment, permissions: Sequence[Permission]) -> tuple[Permission, ...]:
        """Return what reaches beyond the namespace, and what would make it a more powerful account there."""
        self._at(environment)
        risky = {(each.permission.verb, each.permission.resource) for each in RISKY}
        return tuple(
            each
            for each in permissions
            if (each.verb, each.resource) in risky
            or (not each.namespace and each.verb != "get")
            or each.resource == "nodes/proxy"
        )

    def objects(
        self, environment: Environment, resource: Resource, name: str = ""
    ) -> tuple[Mapping[str, Json], ...] | None:
        """Return nothing: beside the release this world is empty."""
        self._at(environment)
        del resource, name
        return ()

    def resources(
        self, environment: Environment, manifests: Sequence[Mapping[str, Json]]
    ) -> frozenset[tuple[str, str]]:
        """Return the kinds of the manifests, each with its plural as English makes it."""
        self._at(environment)
        return frozenset(
            (str(each.get("apiVersion")).rpartition("/")[0], f"{str(each.get('kind')).lower()}s") for each in manifests
        )

    def pods(self, target: Target, service: str) -> tuple[Pod, ...]:
        """Return the pods of the Rollout; () where there is none."""
        self._faults.api_call()
        del service
        rollout = self._places.rollout(target)
        return () if rollout is None else rollout.pods

    def blocked(self, target: Target) -> str:
        """Return nothing: this world has no quota."""
        self._faults.api_call()
        del target
        return ""

    def last_words(self, target: Target, pod: Pod) -> Found:
        """Return words for a pod in trouble, made up as the pod is."""
        self._faults.api_call()
        del target
        if not pod.trouble:
            return Found("")
        return Found("rehearsed: its log ends here", attachments=(Attachment(f"events of {pod.name}", pod.trouble),))

    def _at(self, environment: Environment) -> None:
        self._faults.api_call()
        self._places.at(environment.context, environment.name)


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
