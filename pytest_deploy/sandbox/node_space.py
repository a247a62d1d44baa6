"""The real node's place on this machine: namespaces of its own, so that nothing it does outlives it.

kubelet, containerd and kube-proxy change iptables, mounts, sysctls and routes. Here they do so in their own network,
mount and process namespaces, as kind's node containers do: with the first process of those all of it is gone, however
it ended. This machine itself gets one veth interface with two routes, which go with it, and control groups below one
name, which ``forget`` removes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from pytest_deploy.errors import Refused, ToolFailed, ToolTimedOut
from pytest_deploy.io import daemon
from pytest_deploy.io.clock import SystemClock
from pytest_deploy.io.daemon import Daemon
from pytest_deploy.io.process import run

__all__ = [
    "HIDDEN",
    "Network",
    "Space",
    "choose_network",
    "command",
    "find_space",
    "forget",
    "make_groups",
    "open_space",
]

HIDDEN = ("/run", "/var/lib", "/var/log")
"""The node's own, empty and in memory: sockets, locks and leases that have a fixed place."""
_TUNED = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)
"""What kubelet sets, for the whole machine, and nobody would set back: it gets files that say so, instead.

https://github.com/kubernetes/kubernetes/blob/v1.34.4/pkg/kubelet/cm/container_manager_linux.go (setupKernelTunables)
"""

_CGROUPS = Path("/sys/fs/cgroup")
_RESOLVER = Path("/etc/resolv.conf")
_COMMAND_S = 15
_START_S = 5
_POLL = timedelta(milliseconds=20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The addresses of one node; several nodes stand side by side, each with another number."""

    number: int

    @property
    def machine(self) -> str:
        """This machine's address, as the node and its pods see it."""
        return f"10.213.{self.number}.1"

    @property
    def node(self) -> str:
        """The node's address."""
        return f"10.213.{self.number}.2"

    @property
    def pods(self) -> str:
        """The pods' addresses."""
        return f"10.214.{self.number}.0/24"

    @property
    def services(self) -> str:
        """The Services' addresses."""
        return f"10.215.{self.number}.0/24"

    @property
    def first_service(self) -> str:
        """The address of Service ``kubernetes``: the API, as pods are told."""
        return f"10.215.{self.number}.1"

    @property
    def interface(self) -> str:
        """This machine's end of the link."""
        return f"pd-node{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """Namespaces that are open.

    Args:
        holder: ends them when it ends.
        init: their first process, as this machine numbers it.
    """

    holder: Daemon
    init: int

    def inside(self, *argv: str) -> tuple[str, ...]:
        """Return the argv that runs a program in it."""
        return ("nsenter", "--target", str(self.init), "--net", "--mount", "--pid", "--", *argv)


def choose_network() -> Network:
    """Return a network whose addresses no interface of this machine has.

    Raises:
        Refused: there is none left.
    """
    taken = command("ip", "-oneline", "address", "show")
    for number in range(64):
        network = Network(number=number)
        if f" {network.machine}/" not in taken:
            return network
    msg = "64 real nodes are up on this machine: no addresses are left between 10.213.0.0 and 10.213.63.255"
    raise Refused(msg, hint="take one down: pytest-deploy sandbox down --name NAME")


def open_space(network: Network, *, log: Path, env: Mapping[str, str]) -> Space:
    """Open the namespaces and connect them with this machine.

    Args:
        env: of the holder, by which it is found again.

    Raises:
        ToolError: the system does not allow it.
    """
    holder = daemon.spawn(
        (
            *("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
            # The first process inherits the orphans; ignoring SIGCHLD it need not wait for them.
            *("--propagation", "private", "env", "--ignore-signal=CHLD", "sleep", "infinity"),
        ),
        log=log,
        env=env,
    )
    space = Space(holder=holder, init=_first_child(holder, log))
    for folder in HIDDEN:
        command(*space.inside("mount", "-t", "tmpfs", "pytest-deploy", folder))
    copies = log.parent / "sysctl"
    copies.mkdir(exist_ok=True)
    for name in _TUNED:
        setting, copy = Path("/proc/sys", name), copies / name.replace("/", ".")
        if setting.exists():
            copy.write_text(setting.read_text())
            command(*space.inside("mount", "--bind", str(copy), str(setting)))
    # The node is alone: it asks nobody for a name, so a pull that can't succeed fails at once.
    names = log.parent / "resolv.conf"
    names.write_text("nameserver 127.0.0.1\n")
    command(*space.inside("mount", "--bind", str(names), str(_RESOLVER.resolve())))
    _connect(space, network)
    return space


def find_space(holder: Daemon, log: Path) -> Space:
    """Return the space of a holder that is alive."""
    return Space(holder=holder, init=_first_child(holder, log))


def forget(group: str) -> None:
    """Remove the control groups of a node whose processes are gone; where there are none, do nothing.

    Args:
        group: their name, below the root of each hierarchy.
    """
    for root in (_CGROUPS / group, *_CGROUPS.glob(f"*/{group}")):
        for folder, _, _ in os.walk(root, topdown=False):
            with suppress(OSError):  # the kernel still counts a process out, or another call was faster
                Path(folder).rmdir()


def make_groups(group: str) -> None:
    """Make the control groups that kubelet wants to be there: each controller's, in cgroup v1; the one of v2."""
    unified = (_CGROUPS / "cgroup.controllers").exists()
    for root in [_CGROUPS] if unified else sorted(path for path in _CGROUPS.iterdir() if path.is_dir()):
        folder = root / group
        folder.mkdir(exist_ok=True)
        for name in ("cpuset.cpus", "cpuset.mems"):  # in v1 a new cpuset has neither, and takes no process
            if not unified and (folder / name).exists():
                (folder / name).write_text((root / name).read_text())


def command(*argv: str) -> str:
    """Run a program of the system and return what it prints.

    Raises:
        ToolMissing: it is not there.
        ToolFailed: it ended with another status than 0.
    """
    done = run(argv, timeout_s=_COMMAND_S)
    if done.status != 0:
        msg = f"{' '.join(argv)} ended with status {done.status}: {done.stderr.strip()[-500:]}"
        raise ToolFailed(msg, hint="the real node needs root and a kernel with namespaces; without: --backend kwok")
    return done.stdout


def _first_child(holder: Daemon, log: Path) -> int:
    children = Path(f"/proc/{holder.pid}/task/{holder.pid}/children")
    clock = SystemClock()
    until = clock.monotonic() + _START_S
    while holder.alive and clock.monotonic() < until:
        with suppress(OSError):
            # Between fork and exec it has not mounted its /proc yet, and is still called unshare.
            if (found := children.read_text().split()) and _name(int(found[0])) == "sleep":
                return int(found[0])
        clock.sleep(_POLL)
    msg = f"the real node's namespaces did not open within {_START_S} s: {log.read_text(errors='replace').strip()}"
    raise ToolTimedOut(msg, hint="it needs root; without: pytest-deploy sandbox up --backend kwok")


def _name(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def _connect(space: Space, network: Network) -> None:
    ends: Sequence[str] = ("type", "veth", "peer", "name", "eth0", "netns", str(space.init))
    command("ip", "link", "add", network.interface, *ends)
    command("ip", "address", "add", f"{network.machine}/30", "dev", network.interface)
    command("ip", "link", "set", network.interface, "up")
    command(*space.inside("ip", "link", "set", "lo", "up"))
    command(*space.inside("ip", "address", "add", f"{network.node}/30", "dev", "eth0"))
    command(*space.inside("ip", "link", "set", "eth0", "up"))
    command(*space.inside("ip", "route", "add", "default", "via", network.machine))
    for addresses in (network.pods, network.services):
        command("ip", "route", "add", addresses, "via", network.node, "dev", network.interface)
