"""How kwok's node and pods live: ready at once, or as the annotations of a pod's template say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

__all__ = ["CRASH", "IMAGE_MISSING", "READY_AFTER_S", "stages"]

CRASH = "sandbox.pytest-deploy.dev/crash"
"""``"true"``: the container crashes again and again, the pod is never ready."""
IMAGE_MISSING = "sandbox.pytest-deploy.dev/image-missing"
"""``"true"``: the image can't be pulled, the container never starts."""
READY_AFTER_S = "sandbox.pytest-deploy.dev/ready-after-s"
"""Seconds that the pod runs before it is ready."""

_IS_READY = '.status.conditions.[] | select(.type == "Ready") | .status'
_NODE_STATUS = """{{ $now := Now }}
phase: Running
addresses: [{type: InternalIP, address: {{ NodeIP | Quote }}}, {type: Hostname, address: {{ NodeName | Quote }}}]
allocatable: &room {cpu: 1k, memory: 1Ti, pods: 10k}
capacity: *room
nodeInfo: {architecture: amd64, bootID: "", containerRuntimeVersion: kwok, kernelVersion: kwok, kubeProxyVersion: kwok,
  kubeletVersion: kwok, machineID: "", operatingSystem: linux, osImage: kwok, systemUUID: ""}
conditions:
{{ range NodeConditions }}
- {type: {{ .type | Quote }}, status: {{ .status | Quote }}, reason: {{ .reason | Quote }},
  message: {{ .message | Quote }}, lastHeartbeatTime: {{ $now | Quote }}, lastTransitionTime: {{ $now | Quote }}}
{{ end }}
"""
_READY = "{ready: true, started: true, restartCount: 0, state: {running: {startedAt: {{ $now | Quote }}}}"
_UNREADY = "{ready: false, started: true, restartCount: 0, state: {running: {startedAt: {{ $now | Quote }}}}"
_NO_IMAGE = (
    "{ready: false, started: false, restartCount: 0, state: {waiting: {reason: ImagePullBackOff, "
    'message: "Back-off pulling image: manifest unknown"}}'
)
_CRASHED = (
    "{ready: false, started: false, restartCount: 3, state: {waiting: {reason: CrashLoopBackOff, "
    'message: "back-off 40s restarting failed container"}}, lastState: {terminated: '
    "{exitCode: 1, reason: Error, startedAt: {{ $now | Quote }}, finishedAt: {{ $now | Quote }}}}"
)


def stages() -> Iterator[Mapping[str, object]]:
    """Yield kwok's Stage objects; where any is given, kwok's own are off, those for nodes too.

    They follow https://github.com/kubernetes-sigs/kwok/tree/v0.8.0/kustomize/stage
    """
    yield _stage("node-ready", [_where(_IS_READY, "NotIn", "True")], {"statusTemplate": _NODE_STATUS}, kind="Node")
    pending = _where(".status.phase", "In", "Pending")
    present = _where(".metadata.deletionTimestamp", "DoesNotExist")
    crashes, slow = _annotation(CRASH, "In", "true"), _annotation(READY_AFTER_S, "Exists")
    no_image, pulled = _annotation(IMAGE_MISSING, "In", "true"), _annotation(IMAGE_MISSING, "NotIn", "true")
    sound, quick = _annotation(CRASH, "NotIn", "true"), _annotation(READY_AFTER_S, "DoesNotExist")
    unready = _where(_IS_READY, "In", "False")
    yield _stage("pod-ready", [present, pending, pulled, sound, quick], _status(_READY, ready=True))
    yield _stage("pod-image-missing", [present, pending, no_image], _status(_NO_IMAGE, ready=False))
    yield _stage("pod-crash", [present, pending, pulled, crashes], _status(_CRASHED, ready=False))
    yield _stage("pod-start-slowly", [present, pending, pulled, sound, slow], _status(_UNREADY, ready=False))
    yield _stage(
        "pod-ready-slowly",
        [present, _where(".status.phase", "In", "Running"), unready, sound, slow],
        _status(_READY, ready=True),
        delay={"durationFrom": {"expressionFrom": f'.metadata.annotations["{READY_AFTER_S}"] + "s"'}},
    )
    yield _stage("pod-delete", [_where(".metadata.deletionTimestamp", "Exists")], {"delete": True})


def _where(key: str, operator: str, *values: str) -> Mapping[str, object]:
    return {"key": key, "operator": operator, **({"values": list(values)} if values else {})}


def _annotation(name: str, operator: str, *values: str) -> Mapping[str, object]:
    return _where(f'.metadata.annotations["{name}"]', operator, *values)


def _stage(
    name: str,
    expressions: Sequence[Mapping[str, object]],
    then: Mapping[str, object],
    kind: str = "Pod",
    **more: object,
) -> Mapping[str, object]:
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": name},
        "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": kind},
            "selector": {"matchExpressions": list(expressions)},
            "next": then,
            **more,
        },
    }


def _status(container: str, *, ready: bool) -> Mapping[str, object]:
    conditions = "".join(
        f'- {{type: {kind}, status: "{kind == "Initialized" or ready}", lastTransitionTime: {{{{ $now | Quote }}}}}}\n'
        for kind in ("Initialized", "ContainersReady", "Ready")
    )
    return {
        "statusTemplate": f"""{{{{ $now := Now }}}}
phase: Running
startTime: {{{{ or .status.startTime $now | Quote }}}}
conditions:
{conditions}containerStatuses:
{{{{ range .spec.containers }}}}
- {container}, image: {{{{ .image | Quote }}}}, name: {{{{ .name | Quote }}}}}}
{{{{ end }}}}
hostIP: {{{{ NodeIPWith .spec.nodeName | Quote }}}}
podIP: {{{{ PodIPWith .spec.nodeName false .metadata.uid .metadata.name .metadata.namespace | Quote }}}}
"""
    }
