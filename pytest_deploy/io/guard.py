"""A program of its own that holds another one on a leash: started as a script by ``io``, never imported by it to run.

Its standard input is the leash: a pipe whose other end our process holds. When that end is closed, by us or by the
system because we are gone (SIGKILL included), or when nothing comes through it for too long because we are stopped,
the program and its process group are ended: apart by TERM and, after a grace, KILL; together by KILL at once, since
what changes a cluster must not begin a way back of its own there.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from contextlib import suppress
from threading import Event, Thread

GRACE_S = 1.0
"""Seconds between TERM and KILL. 1: whoever closes the leash waits for no more than two."""
APART, TOGETHER = "apart", "together"
"""Whether the program has a process group of its own, and one output; or is in ours, and keeps its two streams."""
_CANT_START = 126
_ASKED_TO_END = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def command(how: str, silence_s: float | None, folder: str, program: str, argv: tuple[str, ...]) -> tuple[str, ...]:
    """Return how a program is run on a leash.

    Args:
        silence_s: seconds without a byte after which the program is ended; None: only the end of the leash counts.
        argv: of the program, its name first.
    """
    return (sys.executable, "-I", "-S", __file__, how, str(silence_s or 0), folder, program, *argv)


def main(how: str, silence: str, folder: str, program: str, argv: list[str]) -> int:
    """Run the program in ``folder`` until it ends or the leash is let go, and exit with its status.

    What keeps it from starting is written to standard error. Apart, that is closed to the reader of this report once
    the program has started, and is the program's output from then on.
    """
    apart = how == APART
    for number in _ASKED_TO_END:
        signal.signal(number, signal.SIG_IGN)
    no_input = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
    try:
        os.chdir(folder)
        child = os.posix_spawn(
            program,
            argv,
            os.environ,
            file_actions=[no_input, (os.POSIX_SPAWN_DUP2, 1, 2)] if apart else [no_input],
            setpgroup=0 if apart else os.getpgid(0),
            setsigmask=[],
            setsigdef=[*_ASKED_TO_END, signal.SIGPIPE],
        )
    except OSError as error:
        sys.stderr.write(error.strerror or type(error).__name__)
        return _CANT_START
    if apart:
        os.dup2(1, 2)
    group = child if apart else os.getpgid(0)
    grace_s = GRACE_S if apart else 0.0
    Thread(target=_end_with_the_leash, args=(group, float(silence) or None, grace_s), daemon=True).start()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if apart:
        _signal_group(child, signal.SIGKILL)  # its helpers, which nobody would end any more
    elif code < 0:
        _die_of(signal.Signals(-code))
    os._exit(code if code >= 0 else 128 - code)  # as a shell tells a signal


def _end_with_the_leash(group: int, silence_s: float | None, grace_s: float) -> None:
    while select.select([0], [], [], silence_s)[0] and os.read(0, 64):
        pass
    if grace_s:
        _signal_group(group, signal.SIGTERM)
        Event().wait(grace_s)
    _signal_group(group, signal.SIGKILL)


def _die_of(number: signal.Signals) -> None:
    with suppress(OSError):  # KILL has no other way to be taken than its own
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _signal_group(leader: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5:]))
