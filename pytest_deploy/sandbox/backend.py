"""What a back end gives: a Kubernetes API with nodes that run pods. All the rest of the stack is the same on each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pytest_deploy.io.daemon import Daemon

__all__ = ["Backend", "ControlPlane"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlPlane:
    """How the API is reached, as its administrator.

    Args:
        server: address of the API.
        ca, certificate, key: PEM files.
        daemons: its processes, by component.
        manifests: what must be applied before pods can run, as Kubernetes objects.
        address: this machine's, by which its pods reach what listens there.
    """

    server: str
    ca: Path
    certificate: Path
    key: Path
    daemons: Mapping[str, Daemon]
    manifests: tuple[Mapping[str, object], ...]
    address: str = "127.0.0.1"


class Backend(Protocol):
    """Makes the control plane, or makes it whole again."""

    @property
    def name(self) -> str:
        """Names it in ``sandbox status``, and its folder."""
        ...

    def start(self, name: str, folder: Path, env: Mapping[str, str], say: Callable[[str], None]) -> ControlPlane:
        """Start what does not run yet and return when the API answers; called again, it changes nothing.

        Args:
            name: the sandbox's.
            folder: all of its state stays below it.
            env: for every process that it starts: by it they are found again.

        Raises:
            ToolError: a program is missing or failed.
        """
        ...
