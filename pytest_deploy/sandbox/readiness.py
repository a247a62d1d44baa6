"""Waits until every part of the stack was seen to do its work; a process that runs proves nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from urllib.parse import quote

from pytest_deploy.errors import Faulted, ToolFailed, ToolTimedOut, Unreachable
from pytest_deploy.io.clock import SystemClock
from pytest_deploy.sandbox import local
from pytest_deploy.sandbox.stack import Stack

__all__ = ["ARGO", "LEASE", "wait"]

ARGO = "argo-rollouts"
"""The controller's namespace; where it is missing, the controller waits for its lease in silence."""
LEASE = "argo-rollouts-controller-lock"

_LIMIT_S = 45
_POLL = timedelta(milliseconds=100)
_LOG_TAIL = 1500

_NODES = {"kwok": "kwok-controller", "node": "kubelet", "kind": "the node's container"}
"""Who makes nodes Ready, by back end."""

Probe = Callable[[], str]
"""Returns what is still missing, in words; empty: it is ready."""


def wait(stack: Stack, namespaces: Sequence[str]) -> None:
    """Return when each part was seen ready.

    Args:
        namespaces: in which pods must be able to run.

    Raises:
        ToolFailed: a part's process ended.
        ToolTimedOut: a part was not ready in time, with what was last seen.
    """
    clock = SystemClock()
    until = clock.monotonic() + _LIMIT_S
    for component, probe in _probes(stack, namespaces):
        while missing := _seen(probe):
            _check_alive(stack, component)
            if clock.monotonic() > until:
                msg = f"{component} of sandbox {stack.name} was not ready {_LIMIT_S} s after its start: {missing}"
                raise ToolTimedOut(msg + _tail(stack, component), hint=f"see the logs below {stack.folder}")
            clock.sleep(_POLL)


def _probes(stack: Stack, namespaces: Sequence[str]) -> Iterator[tuple[str, Probe]]:
    yield "kube-apiserver", lambda: _ask(stack, "/readyz") and ""
    yield _NODES[stack.backend], lambda: _node(stack)
    for name in namespaces:
        path = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        yield "kube-controller-manager", lambda path=path: _ask(stack, path) and ""  # type: ignore[misc]  # bound now
    yield "traffic", lambda: local.get(f"{stack.control_url}/healthz") and ""
    yield "prometheus", lambda: _scraped(stack)
    yield "rollouts-controller", lambda: _leader(stack)


def _seen(probe: Probe) -> str:
    try:
        return probe()
    except (Unreachable, Faulted) as error:
        return str(error)


def _ask(stack: Stack, path: str) -> str:
    return local.get(stack.server + path, kubeconfig=stack.kubeconfig)


def _node(stack: Stack) -> str:
    nodes = json.loads(_ask(stack, "/api/v1/nodes"))["items"]
    ready = [
        node
        for node in nodes
        for condition in node["status"].get("conditions", ())
        if (condition["type"], condition["status"]) == ("Ready", "True")
    ]
    return "" if ready else f"none of {len(nodes)} nodes is Ready"


def _scraped(stack: Stack) -> str:
    query = quote('up{job="traffic"}')
    found = json.loads(local.get(f"{stack.prometheus_url}/api/v1/query?query={query}"))["data"]["result"]
    return "" if [sample["value"][1] for sample in found] == ["1"] else f"the traffic source is not scraped: {found}"


def _leader(stack: Stack) -> str:
    lease = json.loads(_ask(stack, f"/apis/coordination.k8s.io/v1/namespaces/{ARGO}/leases/{LEASE}"))
    return "" if lease["spec"].get("holderIdentity") else f"nobody holds the lease {ARGO}/{LEASE}"


def _check_alive(stack: Stack, component: str) -> None:
    if component in stack.daemons and not stack.daemons[component].alive:
        msg = f"{component} of sandbox {stack.name} ended by itself"
        raise ToolFailed(msg + _tail(stack, component), hint=f"see the logs below {stack.folder}")


def _tail(stack: Stack, component: str) -> str:
    for path in sorted(stack.folder.rglob(f"{component}.log")):
        return f"; the end of its log: {path.read_text(errors='replace')[-_LOG_TAIL:].strip()}"
    return ""
