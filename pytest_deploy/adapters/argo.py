"""Argo Rollouts: looks at a Rollout with its ReplicaSets, and guarded JSON Patches of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_deploy.domain.manifests import parse_step
from pytest_deploy.domain.rollout import Phase, RolloutState, Version
from pytest_deploy.errors import Refused, Rejected

if TYPE_CHECKING:
    from pytest_deploy.domain.action import RolloutPatch, Target
    from pytest_deploy.domain.release import Environment
    from pytest_deploy.io.kube import Connection, KubeApi, Reply

__all__ = ["ArgoRollouts"]

_HASH_LABEL = "rollouts-pod-template-hash"
_LOOKS = 3
"""How often a look is begun anew because the Rollout changed under it; the last one is taken as it is."""
_REFUSALS = (404, 409, 422)


class ArgoRollouts:
    """Port ``Traffic`` on real Rollouts.

    Args:
        environments: by name; they say which container carries the image.
    """

    def __init__(self, api: KubeApi, environments: Mapping[str, Environment]) -> None:
        self._api = api
        self._environments = environments

    def state(self, rollout: Target) -> RolloutState | None:
        """Return one look at the rollout; None where there is none.

        The ReplicaSets are read between two equal readings of the Rollout, or at least before the last one: a look
        at a Rollout that moves shows too few ready pods rather than too many.

        Raises:
            Refused: Argo Rollouts is not installed, or the Rollout has no pod template or container of its own.
        """
        connection = self._api.at(rollout.context, rollout.kubeconfig)
        resource = self._get(connection, rollout)
        for _ in range(_LOOKS):
            if resource is None:
                return None
            sets = self._replica_sets(connection, rollout, resource)
            again = self._get(connection, rollout)
            same = again is not None and again["metadata"]["resourceVersion"] == resource["metadata"]["resourceVersion"]
            resource = again
            if same:
                break
        return None if resource is None else _state(resource, sets, self._container(rollout))

    def execute(self, patch: RolloutPatch) -> None:
        """Send the patch once.

        Raises:
            Rejected: one of its tests no longer holds, or the Rollout is gone: nothing was written.
            Refused: this installation has no status subresource to patch.
            Unreachable, Throttled, Faulted: it is not known whether it was written.
        """
        target = patch.target
        connection = self._api.at(target.context, target.kubeconfig)
        path = _path(target) + ("/status" if patch.on_status else "")
        reply = connection.patch(path, list(patch.document()), accept=_REFUSALS)
        if reply.status not in _REFUSALS:
            return
        if reply.status == 404 and patch.on_status and self._get(connection, target) is not None:
            raise Refused(
                f"the Rollout {target} has no status subresource, so nothing can be promoted or aborted safely",
                hint="upgrade Argo Rollouts and its CRDs to 1.0 or later",
            )
        expected = ", ".join(f"{path} is {value}" for path, value in patch.tests)
        raise Rejected(
            f"{patch.purpose} of {target} was rejected ({reply.status}): {reply.words}; expected was: {expected}",
            hint="nothing was written: somebody or something else moved the Rollout; look at it again",
        )

    def container_index(self, rollout: Target, container: str) -> int:
        """Return the container's position in the pod template; raises Refused when there is none."""
        resource = self._get(self._api.at(rollout.context, rollout.kubeconfig), rollout)
        if resource is None:
            raise Refused(f"there is no Rollout {rollout}", hint="correct environments.<name>.rollout")
        return _index(resource, container)

    def _container(self, rollout: Target) -> str:
        return self._environments[rollout.environment].container

    def _get(self, connection: Connection, target: Target) -> Any:
        reply = connection.read(_path(target), accept=(404,))
        if reply.status != 404:
            return reply.body
        if not _names_it(reply, target):
            raise Refused(
                f"the API server of {target.context} knows no Rollouts (argoproj.io/v1alpha1)",
                hint="install Argo Rollouts there, or use strategy: rolling",
            )
        return None

    def _replica_sets(self, connection: Connection, target: Target, rollout: Any) -> Sequence[Any]:
        # Every ReplicaSet of a Rollout carries the labels of its pod template.
        labels = (rollout["spec"].get("selector") or {}).get("matchLabels") or {}
        query = {"labelSelector": ",".join(f"{key}={value}" for key, value in labels.items())}
        items: Any = connection.read(f"/apis/apps/v1/namespaces/{target.namespace}/replicasets", query).body["items"]
        uid = rollout["metadata"]["uid"]
        return [item for item in items if any(o["uid"] == uid for o in item["metadata"].get("ownerReferences") or ())]


def _path(target: Target) -> str:
    return f"/apis/argoproj.io/v1alpha1/namespaces/{target.namespace}/rollouts/{target.name}"


def _names_it(reply: Reply, target: Target) -> bool:
    """Whether a 404 is about this Rollout; where the CRD is missing it names nothing."""
    details = reply.body.get("details")
    return isinstance(details, dict) and details.get("name") == target.name


def _state(resource: Any, sets: Sequence[Any], container: str) -> RolloutState:
    metadata, spec, status = resource["metadata"], resource["spec"], resource.get("status") or {}
    generation, observed = int(metadata["generation"]), _observed(resource)
    canary = (spec.get("strategy") or {}).get("canary") or {}
    current, stable = status.get("currentPodHash", ""), status.get("stableRS", "")
    versions = tuple(version for item in sets if (version := _version(item, container)) is not None)
    routed = bool(canary.get("trafficRouting"))
    seen = observed >= generation
    return RolloutState(
        name=metadata["name"],
        uid=metadata["uid"],
        generation=generation,
        observed_generation=observed,
        phase=_phase(status.get("phase", "")) if seen else Phase.PROGRESSING,
        message=status.get("message", "") if seen else "waiting for the rollout spec update to be observed",
        aborted=bool(status.get("abort")),
        held_by_spec=bool(spec.get("paused")),
        pauses=tuple(condition["reason"] for condition in status.get("pauseConditions") or ()),
        steps=tuple(parse_step(step) for step in canary.get("steps") or ()),
        step_index=status.get("currentStepIndex"),
        current_hash=current,
        stable_hash=stable,
        weight_percent=_routed(status, current) if routed else _counted(versions, current),
        traffic_routed=routed,
        image=_template(resource)["spec"]["containers"][_index(resource, container)]["image"],
        replicas=int(spec.get("replicas", 1)),
        versions=versions,
        written_by=_written_by(metadata),
    )


def _written_by(metadata: Any) -> str:
    """Who wrote the spec last; of status nothing is kept, since the controller writes it anew.

    https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
    """
    writes = [each for each in metadata.get("managedFields") or () if "f:spec" in (each.get("fieldsV1") or {})]
    if not writes:
        return ""
    last = max(writes, key=lambda each: str(each.get("time") or ""))
    return f"spec last written by {last.get('manager') or '?'} at {last.get('time') or '?'}"


def _observed(resource: Any) -> int:
    """The generation that the controller has seen.

    The API holds it as text, and versions before 1.0 wrote a hash there, which kubectl's plugin takes as seen:
    https://github.com/argoproj/argo-rollouts/blob/master/utils/rollout/rolloututil.go (isGenerationObserved)
    """
    text = str((resource.get("status") or {}).get("observedGeneration") or "0")
    return int(text) if text.isdigit() else int(resource["metadata"]["generation"])


def _phase(text: str) -> Phase:
    return Phase(text) if text in set(Phase) else Phase.UNKNOWN


def _template(resource: Any) -> Any:
    template = resource["spec"].get("template")
    if not template:
        raise Refused(
            f"Rollout {resource['metadata']['name']} takes its pods from another object (workloadRef)",
            hint="move the pod template into the Rollout: only then Helm and the Rollout agree on what is wanted",
        )
    return template


def _index(resource: Any, container: str) -> int:
    names = [each["name"] for each in _template(resource)["spec"]["containers"]]
    if container not in names:
        raise Refused(
            f"Rollout {resource['metadata']['name']} has no container {container!r}, it has: {', '.join(names)}",
            hint="correct environments.<name>.container",
        )
    return names.index(container)


def _version(replica_set: Any, container: str) -> Version | None:
    """Return a ReplicaSet as a version; None when it neither wants nor has pods."""
    wanted = int(replica_set["spec"].get("replicas", 1))
    status = replica_set.get("status") or {}
    if not wanted and not status.get("replicas"):
        return None
    images = {each["name"]: each["image"] for each in replica_set["spec"]["template"]["spec"]["containers"]}
    return Version(
        template_hash=(replica_set["metadata"].get("labels") or {}).get(_HASH_LABEL, ""),
        image=images.get(container, ""),
        wanted=wanted,
        ready=int(status.get("readyReplicas", 0)),
    )


def _routed(status: Any, current: str) -> float:
    """The traffic router's weight for the current version: as the canary, or as the stable one that it is."""
    weights = (status.get("canary") or {}).get("weights") or {}
    parts = [weights.get("canary") or {}, weights.get("stable") or {}]
    return float(sum(part.get("weight", 0) for part in parts if part.get("podTemplateHash") == current))


def _counted(versions: Sequence[Version], current: str) -> float:
    ready = sum(version.ready for version in versions)
    ours = sum(version.ready for version in versions if version.template_hash == current)
    return 100 * ours / ready if ready else 0.0
