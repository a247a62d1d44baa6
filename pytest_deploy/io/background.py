"""Programs that run beside us for a while, and that never outlive us, whatever ends us."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from threading import Event, Thread

from pytest_deploy.errors import ToolFailed
from pytest_deploy.io import guard
from pytest_deploy.io.clock import SystemClock
from pytest_deploy.io.process import DEFAULT_INHERIT, child_environment, find_program

__all__ = ["Background", "Ended"]

_KEPT = 16 * 1024
_CHUNK = 64 * 1024
_DRAIN_S = 0.3
"""A process that left the group can hold our pipe open for ever; output that is late by this much is not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a program in the background ended.

    Args:
        by_itself: it had ended before it was stopped.
        status: exit status, 128 + n after signal n; None: it is still there although it was killed.
        seconds: how long it ran.
        output: the last 16 KiB of both its streams; what is no UTF-8 is replaced.
    """

    by_itself: bool
    status: int | None
    seconds: float
    output: str


class Background:
    """One running program, in a process group of its own, from now until ``stop``.

    A guard (``io.guard``) holds it on a leash: when we end in any way, our end of the guard's pipe closes, and the
    group is ended.

    Args:
        argv: a name on PATH, or a path from ``folder``, and the arguments; no shell.
        folder: where it runs.
        env: variables for it on top of the inherited ones.
        inherit: names of our variables that it sees, as in ``io.process.run``.

    Raises:
        ToolMissing: the program is not there.
        ToolFailed: the system could not start it.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        folder: Path,
        env: Mapping[str, str],
        inherit: Sequence[str] = DEFAULT_INHERIT,
    ) -> None:
        variables = child_environment(inherit, env)
        named = str(folder / argv[0]) if "/" in argv[0] else argv[0]
        program = find_program(named, variables.get("PATH"))
        self._clock = SystemClock()
        self._began_s = self._clock.monotonic()
        self._ended_s = self._began_s
        self._status: int | None = None
        self._ended = Event()
        self._tail = bytearray()
        refused = self._spawn(guard.command(guard.APART, None, str(folder), program, tuple(argv)), variables)
        self._reader = Thread(target=self._read, name=f"output of {argv[0]}", daemon=True)
        self._reader.start()
        Thread(target=self._wait, name=f"end of {argv[0]}", daemon=True).start()
        if refused:
            self.stop()
            raise ToolFailed(
                f"{argv[0]} could not be started: {refused}",
                hint="a script's first line must name its interpreter, such as #!/bin/sh",
            )

    def _spawn(self, argv: tuple[str, ...], variables: Mapping[str, str]) -> str:
        """Start the guard and return what kept it from starting the program; empty: it runs."""
        # File objects, no numbers: an exception that strikes here closes them, and so ends what was started.
        (leash, self._leash), (self._output, output), (report, told) = _pipe(), _pipe(), _pipe()
        with report:
            with leash, output, told:
                self._pid = os.posix_spawn(
                    argv[0],
                    argv,
                    variables,
                    file_actions=[
                        (os.POSIX_SPAWN_DUP2, leash.fileno(), 0),
                        (os.POSIX_SPAWN_DUP2, output.fileno(), 1),
                        (os.POSIX_SPAWN_DUP2, told.fileno(), 2),
                    ],
                    setsid=True,
                    setsigmask=[],
                    setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE],
                )
            return report.read().decode(errors="replace").strip()

    def stop(self) -> Ended:
        """End it where it still runs, TERM first and KILL a second later, and return how it ended."""
        by_itself = self._ended.is_set()
        self._leash.close()
        self._ended.wait(2 * guard.GRACE_S)
        self._reader.join(_DRAIN_S)
        ended_s = self._ended_s if self._ended.is_set() else self._clock.monotonic()
        return Ended(
            by_itself=by_itself,
            status=self._status,
            seconds=ended_s - self._began_s,
            output=bytes(self._tail).decode(errors="replace"),
        )

    def _wait(self) -> None:
        with suppress(ChildProcessError):  # somebody else has waited for all children
            self._status = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        self._ended_s = self._clock.monotonic()
        self._ended.set()

    def _read(self) -> None:
        """Drain its output to the end, so that a full pipe never holds it; the tail is kept."""
        with suppress(OSError), self._output as stream:
            while chunk := os.read(stream.fileno(), _CHUNK):
                self._tail += chunk
                del self._tail[:-_KEPT]


def _pipe() -> tuple[FileIO, FileIO]:
    reader, writer = os.pipe()
    return FileIO(reader, "rb"), FileIO(writer, "wb")
