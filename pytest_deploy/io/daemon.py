"""Processes that outlive us: started in a session of their own, and known again by more than a number.

A process id is used anew as soon as its process is gone. So a daemon is remembered with the moment when it began,
and nothing is stopped that is not the very process we mean.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path

from pytest_deploy.errors import ToolTimedOut
from pytest_deploy.io.clock import SystemClock
from pytest_deploy.io.process import DEFAULT_INHERIT, child_environment, find_program, run

__all__ = ["Daemon", "find", "pause", "program", "resume", "spawn", "started_with", "stop"]

_PROC = Path("/proc")
_POLL = timedelta(milliseconds=20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """One process, and no later one with its number.

    Args:
        began: when it began, as the system tells it: text that is compared, not read.
    """

    pid: int
    began: str

    @property
    def alive(self) -> bool:
        """Whether it still runs; a zombie does not."""
        return _began(self.pid) == self.began


def spawn(argv: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None) -> Daemon:
    """Start a program that goes on after we have ended.

    Args:
        log: what it prints is appended here.
        env: on top of what ``io.process`` inherits by default.

    Raises:
        ToolMissing: the program is not there.
        OSError: the log can't be written, or the system starts no process.
    """
    variables = child_environment(DEFAULT_INHERIT, env)
    program = find_program(argv[0], variables.get("PATH"))
    log.touch()
    # posix_spawn and no Popen: an object that is forgotten while its process runs warns, and this one is.
    pid = os.posix_spawn(
        program,
        tuple(argv),
        variables,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_APPEND, 0),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigmask=[],
        setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE],
    )
    return Daemon(pid=pid, began=_began(pid) or "ended at once")


def find(pid: int) -> Daemon | None:
    """Return the process that has this number now; None: there is none."""
    began = _began(pid)
    return Daemon(pid=pid, began=began) if began is not None else None


def started_with(name: str, value: str) -> list[Daemon]:
    """Return our processes whose environment was given ``name=value``, however they were started.

    It finds what a killed starter could not write down, and the children of what we started. Linux only:
    elsewhere the list is empty.
    """
    wanted = f"{name}={value}".encode()
    found = []
    for folder in _PROC.glob("[0-9]*"):
        with suppress(OSError):
            if wanted in (folder / "environ").read_bytes().split(b"\0") and (daemon := find(int(folder.name))):
                found.append(daemon)
    return [daemon for daemon in found if daemon.pid != os.getpid()]


def program(daemon: Daemon) -> str:
    """Return the program that the process runs, as its argv names it; empty: it is gone."""
    if _PROC.joinpath("self").exists():
        with suppress(OSError):
            return (_PROC / str(daemon.pid) / "cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")
        return ""
    return run(("ps", "-o", "command=", "-p", str(daemon.pid)), timeout_s=10).stdout.partition(" ")[0].strip()


def pause(daemon: Daemon) -> None:
    """Freeze the process (SIGSTOP): its sockets stay open, and nothing answers."""
    _send(daemon, signal.SIGSTOP)


def resume(daemon: Daemon) -> None:
    """Let a frozen process go on."""
    _send(daemon, signal.SIGCONT)


def stop(daemons: Sequence[Daemon], *, grace_s: float = 5.0) -> None:
    """End processes, politely first, all at once; those that are gone, or whose number is another's now, are left.

    Args:
        grace_s: seconds between SIGTERM and SIGKILL.

    Raises:
        ToolTimedOut: one is still there after SIGKILL.
    """
    clock = SystemClock()
    left = [daemon for daemon in daemons if daemon.alive]
    for number in (signal.SIGTERM, signal.SIGKILL):
        for daemon in left:
            _send(daemon, number)
            _send(daemon, signal.SIGCONT)  # a frozen process takes a SIGTERM only when it goes on
        until = clock.monotonic() + grace_s
        while (left := [daemon for daemon in left if daemon.alive]) and clock.monotonic() < until:
            clock.sleep(_POLL)
    if left:
        pids = ", ".join(str(daemon.pid) for daemon in left)
        msg = f"processes {pids} are still there {grace_s:g} s after SIGKILL"
        raise ToolTimedOut(msg, hint=f"look at them with: ps -o pid,stat,args -p {pids.replace(' ', '')}")


def _send(daemon: Daemon, number: signal.Signals) -> None:
    if not daemon.alive:
        return
    with suppress(ProcessLookupError):
        if os.getpgid(daemon.pid) == daemon.pid:
            os.killpg(daemon.pid, number)
        else:
            os.kill(daemon.pid, number)


def _began(pid: int) -> str | None:
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # one of our own would stay a zombie
    if not _PROC.joinpath("self").exists():
        shown = run(("ps", "-o", "lstart=", "-p", str(pid)), timeout_s=10)
        return shown.stdout.strip() or None
    try:
        # The name, in brackets, may itself hold blanks and brackets; the fields are those of proc(5).
        state, *fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    # While other threads of a zombie still end, its ports are taken: it is gone with the last of them.
    gone = state == "X" or (state == "Z" and int(fields[16]) <= 1)
    return None if gone else f"{_boot()} {fields[18]}"


@cache
def _boot() -> str:
    """Return what tells this boot from the others: the ticks of proc(5) begin anew with each."""
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
