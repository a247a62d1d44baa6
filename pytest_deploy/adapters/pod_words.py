"""What Kubernetes knows of pods that do not serve: events, answers of probes, the end of a log, what blocks them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_deploy.domain.found import Attachment, Found
from pytest_deploy.errors import DeployError
from pytest_deploy.io.pod_log import log_end

if TYPE_CHECKING:
    from pytest_deploy.io.kube import Connection

__all__ = ["blocked", "last_words", "scales_up"]

_LINES = 40
_TOLD = 3
_WIDTH = 300
_SCALES_UP = frozenset({"TriggeredScaleUp", "Nominated"})
"""Cluster Autoscaler and Karpenter tell a pod that a node is being made for it:
https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/FAQ.md, https://karpenter.sh/docs/troubleshooting/."""
_BLOCKS = "ReplicaFailure"
"""A ReplicaSet's condition while the API server refuses its pods; Deployments have one of the same name."""


def last_words(connection: Connection, namespace: str, pod: str) -> Found:
    """Return what a pod says of itself; its log explains a crash best, the last warning about it all else."""
    item: Any = connection.read(f"/api/v1/namespaces/{namespace}/pods/{pod}").body
    events = _events(connection, namespace, pod)
    attachments = []
    lines: list[str] = []
    for name, previous, crashed in _telling(item):
        try:
            log = log_end(connection, namespace, pod, name, previous=previous, lines=_LINES)
        except DeployError as error:  # the kubelet may have removed it already; the events remain
            attachments.append(Attachment(f"log of {pod}/{name}", f"not to be had: {error.args[0]}"))
            continue
        attachments.append(Attachment(f"log of {pod}/{name}", log or "it printed nothing"))
        if crashed:
            lines = [_line(line) for line in log.splitlines() if line.strip()][-_TOLD:] or lines
    if events:
        attachments.append(Attachment(f"events of {pod}", "\n".join(_told(event) for event in events)))
    warnings = [event for event in events if event.get("type") == "Warning"]
    words = _line(str(warnings[-1].get("message", ""))) + _probe(item, warnings) if warnings else ""
    if lines:
        words = "its last lines: " + " | ".join(lines)
    return Found(words, attachments=tuple(attachments))


def blocked(connection: Connection, namespace: str, selector: str) -> str:
    """Return why the newest ReplicaSet that wants pods is refused them, in the API server's words; "": it is not."""
    answer: Any = connection.read(f"/apis/apps/v1/namespaces/{namespace}/replicasets", {"labelSelector": selector}).body
    items = sorted(answer.get("items") or (), key=lambda item: str(item["metadata"].get("creationTimestamp")))
    for item in reversed(items):
        if not (item.get("spec") or {}).get("replicas"):
            continue
        conditions = (item.get("status") or {}).get("conditions") or ()
        return next(
            (_line(str(c.get("message", ""))) for c in conditions if (c["type"], c["status"]) == (_BLOCKS, "True")), ""
        )
    return ""


def scales_up(connection: Connection, namespace: str, pod: str) -> bool:
    """Whether an autoscaler has said that it makes a node for the pod."""
    return any(event.get("reason") in _SCALES_UP for event in _events(connection, namespace, pod))


def _events(connection: Connection, namespace: str, pod: str) -> Sequence[Mapping[str, Any]]:
    """Return the events about the pod, oldest first; () where they may not be read."""
    fields = f"involvedObject.kind=Pod,involvedObject.name={pod}"
    reply = connection.read(f"/api/v1/namespaces/{namespace}/events", {"fieldSelector": fields}, accept=(403,))
    items: Any = reply.body.get("items") or ()
    return sorted(items, key=_when)


def _when(event: Mapping[str, Any]) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp") or "")


def _told(event: Mapping[str, Any]) -> str:
    times = f" (x{event['count']})" if (event.get("count") or 1) > 1 else ""
    return f"{_when(event)} {event.get('type')} {event.get('reason')}{times}: {_line(str(event.get('message', '')))}"


def _telling(item: Any) -> Iterator[tuple[str, bool, bool]]:
    """Yield the containers whose log explains something, whether it is the run before's, and whether they crashed."""
    status = item.get("status") or {}
    for each in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
        state = each.get("state") or {}
        ended = state.get("terminated")
        if (each.get("lastState") or {}).get("terminated"):
            yield each["name"], ended is None, True
        elif ended and ended.get("exitCode"):
            yield each["name"], False, True
        elif "running" in state and not each.get("ready"):
            yield each["name"], False, False


def _probe(item: Any, warnings: Sequence[Mapping[str, Any]]) -> str:
    """Which path a failing readiness probe asks for: its event has the answer alone."""
    if not any("Readiness probe failed" in str(event.get("message")) for event in warnings):
        return ""
    paths = [
        f"{probe['httpGet'].get('path', '/')} on port {probe['httpGet'].get('port')}"
        for container in (item.get("spec") or {}).get("containers") or ()
        if "httpGet" in (probe := container.get("readinessProbe") or {})
    ]
    return f" (it asks for {', '.join(paths)})" if paths else ""


def _line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_WIDTH]
