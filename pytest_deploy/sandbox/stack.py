"""What a sandbox that is up consists of, where it is reached, and how it is written down."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pytest_deploy.errors import DeployError, Faulted, Unreachable
from pytest_deploy.io.daemon import Daemon
from pytest_deploy.sandbox import local

__all__ = ["FILE", "HEALTHY", "Stack", "load", "save", "with_health"]

FILE = "stack.json"
"""It appears when the stack is complete: a folder without it is half built."""
HEALTHY = "healthy"

_LAYOUT = 2
"""Changes whenever a stack that is up lacks what this release needs of it."""

_PROBES = {
    "prometheus": ("prometheus_url", "/-/ready"),
    "traffic": ("control_url", "/healthz"),
    "kube-apiserver": ("server", "/readyz"),
    "rollouts-controller": ("controller_url", "/healthz"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A local real stack: API server, Argo Rollouts, Prometheus and the traffic that it measures.

    Args:
        backend: what runs the nodes.
        folder: holds all of its state.
        kubeconfig: with the contexts sandbox-staging and sandbox-prod.
        server: the API's address; controller_url: the rollouts controller's health.
        control_url: the traffic source's: ``/faults``, ``/metrics``.
        daemons: its processes, by component.
        components: what each is found to be: "healthy", or what is wrong; empty: not looked at.
    """

    name: str
    backend: str
    folder: Path
    kubeconfig: Path
    server: str
    prometheus_url: str
    control_url: str
    controller_url: str
    kwok_workdir: Path
    daemons: Mapping[str, Daemon]
    components: Mapping[str, str] = field(default_factory=dict)

    @property
    def parts(self) -> tuple[str, ...]:
        """Its components: its processes, and the API server where a Docker engine runs it."""
        return (*self.daemons, *(("kube-apiserver",) if self.backend == "kind" else ()))

    @property
    def healthy(self) -> bool:
        """Whether each component was looked at and found healthy."""
        return set(self.components) == set(self.parts) and set(self.components.values()) == {HEALTHY}

    def to_json(self) -> dict[str, object]:
        """Return what ``sandbox status --json`` prints."""
        return {
            "name": self.name,
            "backend": self.backend,
            "kubeconfig": str(self.kubeconfig),
            "server": self.server,
            "prometheus_url": self.prometheus_url,
            "control_url": self.control_url,
            "controller_url": self.controller_url,
            "registry": None,
            "kwok_workdir": str(self.kwok_workdir),
            "folder": str(self.folder),
            "daemons": {name: {"pid": it.pid, "began": it.began} for name, it in self.daemons.items()},
            "components": dict(self.components),
        }


def save(stack: Stack) -> None:
    """Write the stack down, all or nothing."""
    part = stack.folder / f"{FILE}.part"
    facts = {**replace(stack, components={}).to_json(), "layout": _LAYOUT}
    part.write_text(json.dumps(facts, indent=2))
    part.replace(stack.folder / FILE)


def load(folder: Path) -> Stack | None:
    """Return the stack that was written down in a folder; None: none was, another release's, or it can't be read."""
    try:
        facts = json.loads((folder / FILE).read_text())
        if facts.get("layout") != _LAYOUT:
            return None
        return Stack(
            **{
                key: facts[key]
                for key in ("name", "backend", "server", "prometheus_url", "control_url", "controller_url")
            },
            folder=folder,
            kubeconfig=Path(facts["kubeconfig"]),
            kwok_workdir=Path(facts["kwok_workdir"]),
            daemons={name: Daemon(**it) for name, it in facts["daemons"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def with_health(stack: Stack) -> Stack:
    """Return the stack with what each component is found to be now."""
    return replace(stack, components={name: _health(stack, name) for name in stack.parts})


def _health(stack: Stack, component: str) -> str:
    if component in stack.daemons and not stack.daemons[component].alive:
        return "gone"
    if component not in _PROBES:
        return HEALTHY
    where, path = _PROBES[component]
    try:
        local.get(getattr(stack, where) + path, kubeconfig=stack.kubeconfig)
    except (Unreachable, Faulted) as error:
        return str(DeployError.__str__(error))
    return HEALTHY
