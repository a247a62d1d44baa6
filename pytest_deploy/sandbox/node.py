"""The node back end: a real API server and one real node, whose pods are containers that run.

It needs root, and Debian's containerd, runc and network plugins. All that the node does to this machine stays in
namespaces of its own (``node_space``).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from pytest_deploy.errors import Faulted, Refused, ToolFailed, ToolMissing, ToolTimedOut, Unreachable
from pytest_deploy.io import daemon
from pytest_deploy.io.clock import SystemClock
from pytest_deploy.io.daemon import Daemon
from pytest_deploy.io.process import find_program, run
from pytest_deploy.sandbox import local, node_plane, node_runtime, node_space
from pytest_deploy.sandbox.backend import ControlPlane
from pytest_deploy.sandbox.node_space import HIDDEN, Network, Space
from pytest_deploy.sandbox.place import free_ports
from pytest_deploy.sandbox.tools import Toolbox

__all__ = ["Node", "clear"]

_PORTS = ("etcd", "etcd-peers", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
_PROGRAMS = {"containerd": "containerd", "ctr": "containerd", "runc": "runc", "iptables": "iptables"}
"""What Debian gives, by its package; unshare, nsenter, ip and openssl are on every server."""
_RECORD = "node.json"
_START_S = 60
_POLL = timedelta(milliseconds=100)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One real node with its control plane.

    Args:
        tools: where etcd, Kubernetes' own programs and the pods' program are.
    """

    tools: Toolbox
    name: str = "node"

    def start(self, name: str, folder: Path, env: Mapping[str, str], say: Say) -> ControlPlane:
        """Start what does not run yet; see Backend.

        Raises:
            Refused: we are not root, or the folder is where the node has its own.
        """
        _check(folder)
        record = _Record.of(folder)
        network, kubeconfig = Network(number=record.number), folder / "kubeconfig"
        server = f"https://{network.machine}:{record.ports['kube-apiserver']}"
        if not kubeconfig.exists():
            node_plane.make_certificates(folder, network)
            node_runtime.write_runtime(folder, network, _group(name), folder / f"{node_plane.CA}.crt")
            node_plane.write_kubeconfig(kubeconfig, folder, server)
        running = _Running(folder=folder, env=env, record=record, say=say)
        space = running.space(network)
        for component, argv in node_plane.plane_argv(self.tools, folder, network, record.ports, kubeconfig).items():
            running.keep_or_start(component, argv)
        node = node_runtime.node_argv(self.tools, folder, network, kubeconfig)
        running.keep_or_start("containerd", space.inside(*node["containerd"]))
        _until(lambda: _containerd(folder), running, "containerd")
        node_runtime.load_image(folder, node_runtime.pause_archive(self.tools, folder / "pause.tar"))
        _until(lambda: _answers(server, kubeconfig), running, "kube-apiserver")
        node_space.make_groups(_group(name))
        for component in ("kubelet", "kube-proxy"):
            running.keep_or_start(component, space.inside(*node[component]))
        return ControlPlane(
            server=server,
            ca=folder / f"{node_plane.CA}.crt",
            certificate=folder / f"{node_plane.ADMIN}.crt",
            key=folder / f"{node_plane.ADMIN}.key",
            daemons=record.daemons,
            manifests=(),
            address=network.machine,
        )


def clear(name: str) -> None:
    """Remove what the node of a sandbox left outside its folder, once its processes are gone."""
    node_space.forget(_group(name))


def _group(name: str) -> str:
    return f"pytest-deploy-{name}"


@dataclass(kw_only=True)
class _Record:
    """What is chosen once, and what was started; written down at each change."""

    path: Path
    number: int
    ports: dict[str, int]
    daemons: dict[str, Daemon]

    @classmethod
    def of(cls, folder: Path) -> _Record:
        path = folder / _RECORD
        if path.exists():
            facts = json.loads(path.read_text())
            daemons = {component: Daemon(**it) for component, it in facts["daemons"].items()}
            return cls(path=path, number=facts["number"], ports=facts["ports"], daemons=daemons)
        ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
        return cls(path=path, number=node_space.choose_network().number, ports=ports, daemons={})

    def started(self, component: str, process: Daemon) -> None:
        self.daemons[component] = process
        daemons = {name: {"pid": it.pid, "began": it.began} for name, it in self.daemons.items()}
        self.path.write_text(json.dumps({"number": self.number, "ports": self.ports, "daemons": daemons}))


@dataclass(frozen=True, kw_only=True)
class _Running:
    folder: Path
    env: Mapping[str, str]
    record: _Record
    say: Say

    def space(self, network: Network) -> Space:
        log = self.folder / "space.log"
        old = self.record.daemons.get("space")
        if old is not None and old.alive:
            return node_space.find_space(old, log)
        self.say("opening the real node's namespaces")
        space = node_space.open_space(network, log=log, env=self.env)
        self.record.started("space", space.holder)
        return space

    def keep_or_start(self, component: str, argv: tuple[str, ...]) -> None:
        old = self.record.daemons.get(component)
        if old is not None and old.alive:
            return
        self.say(f"starting {component}")
        self.record.started(component, daemon.spawn(argv, log=self.folder / f"{component}.log", env=self.env))


def _check(folder: Path) -> None:
    if os.geteuid() != 0:
        msg = "a real node needs root: containerd and kubelet make namespaces, mounts and control groups"
        raise Refused(msg, hint="run it as root (a CI machine), or take the other back end: --backend kwok")
    missing = sorted({package for program, package in _PROGRAMS.items() if not _found(program)})
    if not Path(node_runtime.PLUGINS).is_dir():
        missing.append("containernetworking-plugins")
    if missing:
        msg = f"the real node needs Debian's {', '.join(missing)}"
        raise ToolMissing(msg, hint=f"apt-get install --no-install-recommends {' '.join(missing)}")
    if any(folder.is_relative_to(hidden) for hidden in HIDDEN):
        msg = f"the real node has its own {', '.join(HIDDEN)}, so its files can't be in {folder}"
        raise Refused(msg, hint="move the cache: PYTEST_DEPLOY_CACHE=/somewhere/else")


def _found(program: str) -> bool:
    try:
        find_program(program, os.environ.get("PATH"))
    except ToolMissing:
        return False
    return True


def _containerd(folder: Path) -> str:
    done = run(("ctr", "--address", str(folder / "containerd.sock"), "--timeout", "2s", "version"), timeout_s=5)
    return "" if done.status == 0 else done.stderr.strip()[-200:]


def _answers(server: str, kubeconfig: Path) -> str:
    try:
        local.get(f"{server}/readyz", kubeconfig=kubeconfig)
    except (Unreachable, Faulted) as error:
        return str(error)
    return ""


def _until(probe: Callable[[], str], running: _Running, component: str) -> None:
    """Return when the probe has nothing more to say."""
    clock = SystemClock()
    until = clock.monotonic() + _START_S
    log = running.folder / f"{component}.log"
    while missing := probe():
        ended = not running.record.daemons[component].alive
        if ended or clock.monotonic() > until:
            how = "ended by itself" if ended else f"was not ready {_START_S} s after its start ({missing})"
            msg = f"{component} {how}; the end of its log: {log.read_text(errors='replace')[-1500:].strip()}"
            raise (ToolFailed if ended else ToolTimedOut)(msg, hint=f"see {log}")
        clock.sleep(_POLL)
