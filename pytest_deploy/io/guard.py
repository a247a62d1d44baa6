"""A program of its own that holds another one on a leash: started as a script by ``io.background``, never imported.

Its standard input is the leash: a pipe whose other end our process holds. When that end is closed, by us or by the
system because we are gone (SIGKILL included), the program and its process group get TERM and, after a grace, KILL.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from threading import Event, Thread

GRACE_S = 1.0
"""Seconds between TERM and KILL. 1: whoever closes the leash waits for no more than two."""
_CANT_START = 126
_ASKED_TO_END = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(folder: str, program: str, argv: list[str]) -> int:
    """Run the program in ``folder`` until it ends or the leash is let go, and exit with its status.

    What keeps it from starting is written to standard error; once it has started, standard error is closed to the
    reader of that report, and is the program's output.
    """
    for number in _ASKED_TO_END:
        signal.signal(number, signal.SIG_IGN)
    try:
        os.chdir(folder)
        child = os.posix_spawn(
            program,
            argv,
            os.environ,
            file_actions=[(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), (os.POSIX_SPAWN_DUP2, 1, 2)],
            setpgroup=0,
            setsigmask=[],
            setsigdef=[*_ASKED_TO_END, signal.SIGPIPE],
        )
    except OSError as error:
        sys.stderr.write(error.strerror or type(error).__name__)
        return _CANT_START
    os.dup2(1, 2)
    waiting = Thread(target=_follow_into_the_end, args=(child,))
    waiting.start()
    while os.read(0, 64):
        pass
    _signal_group(child, signal.SIGTERM)
    Event().wait(GRACE_S)
    _signal_group(child, signal.SIGKILL)
    waiting.join()
    return 0  # not reached: the other thread ends this process


def _follow_into_the_end(child: int) -> None:
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    _signal_group(child, signal.SIGKILL)  # its helpers, which nobody would end any more
    os._exit(code if code >= 0 else 128 - code)  # as a shell tells a signal


def _signal_group(leader: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
