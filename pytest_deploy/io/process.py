"""The one door to other programs: argv without a shell, an environment by allow-list, limits, and no orphans."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import IO

from pytest_deploy.errors import ToolFailed, ToolMissing
from pytest_deploy.io import guard
from pytest_deploy.io.clock import SystemClock

__all__ = ["DEFAULT_INHERIT", "Completed", "Leash", "child_environment", "find_program", "run"]

DEFAULT_INHERIT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "XDG_*", "SSL_CERT_*")
"""What a child sees of our environment. KUBECONFIG is not in it: a tool acts on the cluster that it is told."""

_STDOUT_LIMIT = 16 * 1024 * 1024
"""Output is data to its reader (``helm template`` of a chart with CRDs has megabytes), so it is cut late."""
_STDERR_LIMIT = 1024 * 1024
_CHUNK = 64 * 1024
_DRAIN_S = 1.0
"""A daemon that the child left behind can hold our pipe open for ever; output that is late by this much is not read."""
_BEAT_S = 0.1
"""How often a child on a leash is told that we are there, and how soon it ends when it is let go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leash:
    """What ties a child to us: it ends with us, however we end, and never goes on for a deploy that must not.

    Args:
        let_go: once it is set the child is killed at once, and none is started any more.
        silence_s: seconds after which the child is ended when this process is stopped, or does not come to itself.
    """

    let_go: Event
    silence_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """How a program ended; a status other than 0 is data, its adapter decides.

    Args:
        argv: as it was asked for.
        status: exit status; minus the signal's number when a signal ended it.
        stdout: UTF-8, what is not is replaced; see ``cut``.
        stderr: likewise; at most 1 MiB of it is kept.
        seconds: wall time.
        timed_out: we ended it because its time was up.
        let_go: we killed it because its leash was let go.
        cut: the middle of an output that was too long is missing, and a line there says how much.
    """

    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str
    seconds: float
    timed_out: bool
    let_go: bool = False
    cut: bool = False


def run(
    argv: Sequence[str],
    *,
    timeout_s: float,
    env: Mapping[str, str] | None = None,
    inherit: Sequence[str] = DEFAULT_INHERIT,
    cwd: Path | None = None,
    stdin: str | None = None,
    grace_s: float = 5.0,
    leash: Leash | None = None,
) -> Completed:
    """Run a program to its end; whatever happens to us, it does not outlive the call.

    It runs in a session of its own, so that a Ctrl-C at the terminal reaches us alone: whether the child is
    interrupted is ours to decide. When its time is up, and when an exception (a signal handler's, too) ends our
    wait, the child and its process group get INT, TERM and KILL, ``grace_s`` apart; a second exception goes to KILL
    at once. The exception then goes on.

    Args:
        timeout_s: seconds after which the child is ended.
        env: variables for the child on top of the inherited ones.
        inherit: names of our variables that the child sees; a trailing ``*`` stands for any ending.
        cwd: None: ours.
        stdin: None: empty.
        grace_s: seconds between the rungs of the ladder.
        leash: None: only SIGKILL of this process leaves the child alone in the world. Takes the place of ``stdin``.

    Raises:
        ToolMissing: the program is not there, or is no program.
        ToolFailed: the system could not start it, or its leash was let go before.
    """
    clock = SystemClock()
    began = clock.monotonic()
    variables = child_environment(inherit, env)
    program = find_program(argv[0], variables.get("PATH"))
    if leash is None:
        child = _Child((program, *argv[1:]), variables, cwd, stdin)
    elif leash.let_go.is_set():
        msg = f"{argv[0]} is not started: what it is to act for has been let go"
        raise ToolFailed(msg)
    else:
        held = guard.command(guard.TOGETHER, leash.silence_s, str(cwd or "."), program, tuple(argv))
        child = _Child(held, variables, None, stdin=None, leashed=True)
    timed_out = let_go = False
    try:
        child.thread.start()
        let_go = leash is not None and child.hold(leash, timeout_s)
        timed_out = not let_go and not child.ended.wait(timeout_s if leash is None else 0)
        if timed_out:
            child.end(grace_s)
    except BaseException:
        child.end_for_sure(grace_s)
        raise
    if child.failure is not None:
        msg = f"{argv[0]} could not be started: {child.failure}"
        raise ToolFailed(msg, hint="see what the system says: memory, limits, the folder") from child.failure
    outputs = [output.text() for output in child.outputs]
    return Completed(
        argv=tuple(argv),
        status=child.status,
        stdout=outputs[0],
        stderr=outputs[1],
        seconds=clock.monotonic() - began,
        timed_out=timed_out,
        let_go=let_go,
        cut=any(output.cut for output in child.outputs),
    )


def child_environment(inherit: Sequence[str], extra: Mapping[str, str] | None) -> dict[str, str]:
    """Return what a child may see of our environment, and what it is given on top."""
    prefixes = tuple(name[:-1] for name in inherit if name.endswith("*"))
    names = {name for name in inherit if not name.endswith("*")}
    seen = {k: v for k, v in os.environ.items() if k in names or (prefixes and k.startswith(prefixes))}
    return {**seen, **(extra or {})}


def find_program(name: str, path: str | None) -> str:
    """Return the absolute path of a program.

    Args:
        name: a name to look up, or a path to check.
        path: as in ``$PATH``; None: the system's own default.

    Raises:
        ToolMissing: there is no such program.
    """
    found = shutil.which(name, path=path or os.defpath)
    if found is None:
        where = "there is no such program" if "/" in name else f"it is in no folder of PATH ({path})"
        msg = f"{name} can't be run: {where}"
        raise ToolMissing(msg, hint=f"install {Path(name).name} and put it on PATH, or give its path")
    return str(Path(found).absolute())


class _Output:
    """One stream: its beginning and its end are kept, what lies between is counted."""

    def __init__(self, limit: int) -> None:
        self.limit = limit // 2
        self.head = bytearray()
        self.tail = bytearray()
        self.cut = 0

    def read(self, stream: IO[bytes]) -> None:
        with suppress(OSError), stream:
            while chunk := os.read(stream.fileno(), _CHUNK):
                room = self.limit - len(self.head)
                self.head += chunk[:room]
                self.tail += chunk[room:]
                excess = max(0, len(self.tail) - self.limit)
                self.cut += excess
                del self.tail[:excess]

    def text(self) -> str:
        head, tail = bytes(self.head), bytes(self.tail)
        if not self.cut:
            return (head + tail).decode(errors="replace")
        mark = f"\n[... {self.cut} bytes are cut out here ...]\n"
        return head.decode(errors="replace") + mark + tail.decode(errors="replace")


class _Child:
    """A program and what is read of it.

    It is started by a thread, because Python's signal handlers run in the main thread only: there, an exception
    could strike between fork and the assignment of its result, and leave an orphan that nobody knows.
    """

    def __init__(
        self,
        argv: tuple[str, ...],
        env: Mapping[str, str],
        cwd: Path | None,
        stdin: str | None,
        *,
        leashed: bool = False,
    ) -> None:
        self.argv, self.env, self.cwd, self.stdin = argv, env, cwd, stdin
        self.leashed = leashed
        self.leash: IO[bytes] | None = None
        self.outputs = (_Output(_STDOUT_LIMIT), _Output(_STDERR_LIMIT))
        self.status = 0
        self.failure: OSError | None = None
        self.started, self.ended, self.cancelled = Event(), Event(), Event()
        self.pid: int | None = None
        self.thread = Thread(target=self._live, name=f"run {argv[0]}")

    def _live(self) -> None:
        try:
            if not self.cancelled.is_set():
                self._start_and_wait()
        except OSError as error:
            self.failure = error
        finally:
            self.started.set()
            self.ended.set()

    def _start_and_wait(self) -> None:
        process = subprocess.Popen(
            self.argv,
            env=self.env,
            cwd=self.cwd,
            stdin=subprocess.PIPE if self.leashed or self.stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.pid = process.pid
        self.started.set()
        workers = [
            Thread(target=output.read, args=(stream,), daemon=True)
            for output, stream in zip(self.outputs, (process.stdout, process.stderr), strict=True)
        ]
        if self.leashed:
            self.leash = process.stdin
        elif process.stdin is not None:
            workers.append(Thread(target=self._feed, args=(process.stdin,), daemon=True))
        for worker in workers:
            worker.start()
        self.status = process.wait()
        for worker in workers:
            worker.join(_DRAIN_S)
        if self.leash is not None:
            with suppress(OSError):  # what it had not read of our beats
                self.leash.close()

    def _feed(self, stream: IO[bytes]) -> None:
        with suppress(OSError), stream:
            stream.write((self.stdin or "").encode())

    def hold(self, leash: Leash, timeout_s: float) -> bool:
        """Let the child feel that we are there until it has ended or its time is up; True: it was let go, and killed.

        Killed, not asked to end: an interrupted ``helm upgrade`` would begin a rollback of its own.
        """
        clock = SystemClock()
        until = clock.monotonic() + timeout_s
        while not self.ended.wait(min(_BEAT_S, max(0.0, until - clock.monotonic()))):
            if leash.let_go.is_set():
                self.end(_BEAT_S, ladder=())
                return True
            if clock.monotonic() >= until:
                return False
            if self.leash is not None:
                with suppress(OSError, ValueError):  # it has ended just now
                    os.write(self.leash.fileno(), b".")
        return False

    def end(self, grace_s: float, *, ladder: Sequence[signal.Signals] = (signal.SIGINT, signal.SIGTERM)) -> None:
        """Climb the ladder, KILL at its end, then end what is left of the child's group."""
        self.cancelled.set()
        rungs = list(ladder)
        while self.thread.ident is not None and not self.ended.is_set():
            self.started.wait()
            self._signal(rungs.pop(0) if rungs else signal.SIGKILL)
            self.ended.wait(grace_s)
        self._signal(signal.SIGKILL)

    def end_for_sure(self, grace_s: float) -> None:
        """End the child although exceptions go on striking us; after the first, nothing is waited for."""
        while True:
            try:
                return self.end(grace_s)
            except BaseException:  # noqa: BLE001 - the first one, which brought us here, is raised by the caller
                self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self.pid is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)
