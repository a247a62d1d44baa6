"""The kwok back end: a real API server, scheduler and controllers, and pods that are only said to run.

kwokctl's binary runtime needs neither Docker nor root. How its pods live is in ``stages``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_deploy.errors import ToolFailed
from pytest_deploy.io import daemon
from pytest_deploy.io.daemon import Daemon
from pytest_deploy.io.process import DEFAULT_INHERIT, run
from pytest_deploy.sandbox import stages
from pytest_deploy.sandbox.backend import ControlPlane
from pytest_deploy.sandbox.place import free_ports
from pytest_deploy.sandbox.tools import DOWNLOADED, Toolbox

__all__ = ["Kwok"]

_START_S = 60
_DOWNLOAD_S = 600
"""Where kwokctl has to download its parts first."""
_PROXY = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
_PORTS = (
    "etcdPeerPort",
    "etcdPort",
    "kubeApiserverPort",
    "kubeControllerManagerPort",
    "kubeSchedulerPort",
    "kwokControllerPort",
)
_NODE = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {
        "name": "sandbox-node",
        "annotations": {"kwok.x-k8s.io/node": "fake"},
        "labels": {"kubernetes.io/hostname": "sandbox-node", "type": "kwok"},
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kwok:
    """kwokctl's binary runtime.

    Args:
        tools: where kwokctl and, if they are there, the parts are.
    """

    tools: Toolbox
    name: str = "kwok"

    def start(self, name: str, folder: Path, env: Mapping[str, str], say: Callable[[str], None]) -> ControlPlane:
        """Create the cluster, or start those of its processes that are gone; see Backend."""
        cluster = folder / "clusters" / name
        if not cluster.is_dir():
            self._create(name, folder, env, say)
        elif gone := _forget_the_dead(cluster):
            say(f"starting again: {', '.join(gone)}")
            self._kwokctl(("start", "cluster", "--name", name, "--wait", f"{_START_S}s"), folder, env, _START_S + 30)
        return ControlPlane(
            server=_server(cluster),
            ca=cluster / "pki" / "ca.crt",
            certificate=cluster / "pki" / "admin.crt",
            key=cluster / "pki" / "admin.key",
            daemons=dict(_daemons(cluster)),
            manifests=(_NODE,),
        )

    def _create(self, name: str, folder: Path, env: Mapping[str, str], say: Callable[[str], None]) -> None:
        say("starting the control plane (kwok)")
        config = folder / "kwok.yaml"
        config.write_text("\n---\n".join(json.dumps(document) for document in _config()))
        found = {part: self.tools.find(part) for part in DOWNLOADED}
        if missing := [part for part, path in found.items() if path is None]:
            say(f"kwokctl downloads: {', '.join(missing)}")
        flags = [
            f"--{'kwok-controller' if part == 'kwok' else part}-binary={path}" for part, path in found.items() if path
        ]
        argv = ("create", "cluster", "--name", name, "--config", str(config), "--runtime", "binary")
        where = ("--kubeconfig", str(folder / "kwokctl.kubeconfig"), "--wait", f"{_START_S}s")
        self._kwokctl((*argv, *where, *flags), folder, env, _DOWNLOAD_S if missing else _START_S + 30)

    def _path(self) -> str:
        return os.pathsep.join((str(Path(self.tools.need("kubectl")).parent), self.tools.path or os.defpath))

    def _kwokctl(self, arguments: tuple[str, ...], folder: Path, env: Mapping[str, str], timeout_s: float) -> None:
        done = run(
            (self.tools.need("kwokctl"), *arguments),
            timeout_s=timeout_s,
            # Where PATH has no kubectl, kwokctl would download one to ask whether the API answers.
            env={**env, "KWOK_WORKDIR": str(folder), "PATH": self._path()},
            inherit=(*DEFAULT_INHERIT, *_PROXY),
        )
        if done.status != 0 or done.timed_out:
            how = f"was ended after {timeout_s:g} s" if done.timed_out else f"ended with status {done.status}"
            msg = f"kwokctl {' '.join(arguments[:2])} {how}: {done.stderr.strip()[-2000:]}"
            raise ToolFailed(msg, hint=f"see the logs in {folder}/clusters; then: pytest-deploy sandbox down, and up")


def _forget_the_dead(cluster: Path) -> list[str]:
    """Remove the pid files of processes that are gone: kwokctl trusts the number, which may be another's now."""
    alive = dict(_daemons(cluster))
    gone = [path for path in sorted((cluster / "pids").glob("*.pid")) if path.stem not in alive]
    for path in gone:
        path.unlink()
    return [path.stem for path in gone]


def _config() -> Iterator[Mapping[str, object]]:
    # Without bindAddress etcd, which asks nobody for a password, listens on all of the machine's addresses. kwokctl's
    # own choice of ports is always the same few: then a sandbox that is healed finds those of its dead taken.
    options = {"bindAddress": "127.0.0.1", **dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))}
    yield {"apiVersion": "config.kwok.x-k8s.io/v1alpha1", "kind": "KwokctlConfiguration", "options": options}
    yield from stages.stages()


def _daemons(cluster: Path) -> Iterator[tuple[str, Daemon]]:
    for path in sorted((cluster / "pids").glob("*.pid")):
        found = daemon.find(int(path.read_text()))
        if found is not None and daemon.program(found).startswith(f"{cluster}/"):
            yield path.stem, found


def _server(cluster: Path) -> str:
    """Return the API's address, from the kubeconfig that kwokctl writes."""
    for line in (cluster / "kubeconfig.yaml").read_text().splitlines():
        key, _, value = line.strip().partition(": ")
        if key == "server":
            return value
    msg = f"kwokctl wrote no server into {cluster / 'kubeconfig.yaml'}"
    raise ToolFailed(msg, hint="pytest-deploy sandbox down, and up")
