"""The kind back end: a cluster in containers of a Docker engine, for machines that have one.

Its processes are the engine's, not ours: nothing here signals them, and ``clear`` removes the cluster by kind itself.
https://kind.sigs.k8s.io/docs/user/quick-start/
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_deploy.errors import Refused, ToolFailed, ToolMissing
from pytest_deploy.io.process import DEFAULT_INHERIT, run
from pytest_deploy.sandbox.backend import ControlPlane
from pytest_deploy.sandbox.tools import Toolbox

__all__ = ["Kind", "clear", "cluster_name"]

_MARK = "cluster"
"""File with the cluster's name: from just before it is created, so that what is half created is removed, too."""
_PEMS = {
    "ca": ("clusters", "cluster", "certificate-authority-data"),
    "crt": ("users", "user", "client-certificate-data"),
    "key": ("users", "user", "client-key-data"),
}
_HOW = {
    "docker": "install Docker Engine (https://docs.docker.com/engine/install/)",
    "kind": "python toolchain/build.py kind, or go install sigs.k8s.io/kind@v0.33.0",
    "kubectl": "make toolchain, or put kubectl on PATH",
}
_NO_ENGINE = "start the Docker engine (docker info must answer); without one: pytest-deploy sandbox up --backend kwok"
_ASK_S = 30
_CREATE_S = 600
"""The first time the node's image, some 400 MB, is pulled."""
_READY = "120s"
_DELETE_S = 120
_INHERIT = (
    *DEFAULT_INHERIT,
    "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One node in a container; its pods are containers in it, and pull their images from registries.

    Args:
        tools: where kind, docker and kubectl are.
    """

    tools: Toolbox
    name: str = "kind"

    def start(self, name: str, folder: Path, env: Mapping[str, str], say: Callable[[str], None]) -> ControlPlane:
        """Create the cluster, or read how the one that is there is reached; see Backend.

        Raises:
            ToolMissing: Docker, kind or kubectl.
            Refused: a cluster of that name is there, and is not this sandbox's.
            ToolFailed: kind or the engine said no.
        """
        _check(self.tools)
        cluster, mark, kubeconfig = cluster_name(name), folder / _MARK, folder / "kubeconfig"
        # Asked first: where no engine answers, kind says so in one line here.
        there = cluster in _kind(self.tools, env, ("get", "clusters"), _ASK_S).split()
        if mark.exists() and not there:
            raise ToolFailed(
                f"the kind cluster {cluster} of this sandbox is gone from the Docker engine",
                hint=f"pytest-deploy sandbox down --name {name}, and up",
            )
        if there and not mark.exists():
            raise Refused(
                f"the Docker engine has a kind cluster {cluster} that this sandbox has not made: another user's, "
                "or another cache's",
                hint=f"take another --name, or remove it: kind delete cluster --name {cluster}",
            )
        if not there:
            say("creating a cluster (kind); the first time its image is pulled")
            mark.write_text(cluster)
            where = ("--name", cluster, "--kubeconfig", str(kubeconfig), "--wait", _READY)
            _kind(self.tools, env, ("create", "cluster", *where), _CREATE_S)
        return _plane(self.tools, kubeconfig)


def cluster_name(name: str) -> str:
    """Return what kind calls the cluster of a sandbox."""
    return f"pytest-deploy-{name}"


def clear(tools: Toolbox, folder: Path) -> None:
    """Delete the cluster of a sandbox, by the mark that its start has left; where there is none, do nothing.

    Args:
        folder: the sandbox's.

    Raises:
        ToolMissing, ToolFailed: it can't be deleted now; the mark stays, for a later call.
    """
    mark = folder / "kind" / _MARK
    if not mark.exists():
        return
    _check(tools)
    where = ("--name", mark.read_text(), "--kubeconfig", str(folder / "kind" / "kubeconfig"))
    _kind(tools, {}, ("delete", "cluster", *where), _DELETE_S)
    mark.unlink()


def _check(tools: Toolbox) -> None:
    if missing := [program for program in _HOW if tools.find(program) is None]:
        raise ToolMissing(
            f"the back end kind needs {', '.join(missing)}: neither on PATH nor in the toolchain's cache",
            hint="; ".join(_HOW[program] for program in missing) + "; without: pytest-deploy sandbox up --backend kwok",
        )


def _kind(tools: Toolbox, env: Mapping[str, str], arguments: tuple[str, ...], timeout_s: float) -> str:
    done = run((tools.need("kind"), *arguments), timeout_s=timeout_s, env=env, inherit=_INHERIT)
    if done.status != 0 or done.timed_out:
        how = f"was ended after {timeout_s:g} s" if done.timed_out else f"ended with status {done.status}"
        msg = f"kind {' '.join(arguments[:2])} {how}: {done.stderr.strip()[-1500:]}"
        raise ToolFailed(msg, hint=_NO_ENGINE)
    return done.stdout


def _plane(tools: Toolbox, kubeconfig: Path) -> ControlPlane:
    """Read kind's kubeconfig, and put what it has embedded into files."""
    view = ("config", "view", "--kubeconfig", str(kubeconfig), "--raw", "--output", "json")
    done = run((tools.need("kubectl"), *view), timeout_s=_ASK_S)
    pems = {name: kubeconfig.with_name(f"admin.{name}") for name in _PEMS}
    try:
        facts: Any = json.loads(done.stdout)
        server = str(facts["clusters"][0]["cluster"]["server"])
        for name, (section, kind, key) in _PEMS.items():
            pems[name].touch(mode=0o600)
            pems[name].write_bytes(base64.b64decode(facts[section][0][kind][key], validate=True))
    except (ValueError, LookupError, TypeError, binascii.Error) as error:
        msg = f"kubectl can't read what kind wrote into {kubeconfig}: {done.stderr.strip()[-500:] or repr(error)}"
        raise ToolFailed(msg, hint="pytest-deploy sandbox down, and up") from error
    return ControlPlane(
        server=server, ca=pems["ca"], certificate=pems["crt"], key=pems["key"], daemons={}, manifests=()
    )
