"""Programs are run to their end, within limits, and never outlive the call."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

from pytest_deploy.errors import DeployCancelled, ToolFailed, ToolMissing
from pytest_deploy.io import daemon
from pytest_deploy.io.process import run

TELL_AND_STAY = "import os,signal,time; print(os.getpid(), flush=True); time.sleep(60)"
DEAF = (
    "import signal,time; [signal.signal(s, signal.SIG_IGN) for s in (2, 15)]; print('deaf', flush=True); time.sleep(60)"
)


def python(code: str) -> tuple[str, ...]:
    """Return the argv that runs a piece of Python."""
    return (sys.executable, "-c", code)


@contextmanager
def cancelled_when(ready: Path) -> Iterator[None]:
    """Send ourselves SIGTERM as soon as a file is there; its handler raises, as that of a deploy does."""

    def handle(number: int, frame: FrameType | None) -> None:
        raise DeployCancelled(signal.Signals(number).name)

    def wait_and_kill() -> None:
        for _ in range(2000):
            if ready.exists():
                os.kill(os.getpid(), signal.SIGTERM)
                return
            threading.Event().wait(0.005)

    before = signal.signal(signal.SIGTERM, handle)
    watcher = threading.Thread(target=wait_and_kill)
    watcher.start()
    try:
        yield
    finally:
        watcher.join()
        signal.signal(signal.SIGTERM, before)


def test_a_status_is_data() -> None:
    """A nonzero exit status raises nothing, and both streams are kept apart."""
    done = run(python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"), timeout_s=30)
    assert (done.status, done.stdout, done.stderr, done.timed_out, done.cut) == (3, "out\n", "err\n", False, False)
    assert done.seconds > 0


def test_input_is_fed() -> None:
    """The text given as input is read by the child, and an input that it never reads does no harm."""
    assert run(python("print(input())"), timeout_s=30, stdin="words\n").stdout == "words\n"
    assert run(python("pass"), timeout_s=30, stdin="x" * 1_000_000).status == 0


def test_no_input_is_the_end_of_input() -> None:
    """A child that asks gets an end of file, not our terminal."""
    assert run(python("import sys; print(repr(sys.stdin.read()))"), timeout_s=30).stdout == "''\n"


def test_the_environment_is_an_allow_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child sees what is listed and what it is given, and no secret or KUBECONFIG of ours."""
    monkeypatch.setenv("KUBECONFIG", "/elsewhere")
    monkeypatch.setenv("GITHUB_TOKEN", "secret")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    done = run(python("import os; print(*sorted(os.environ))"), timeout_s=30, env={"MINE": "1"})
    names = done.stdout.split()
    assert {"MINE", "PATH", "XDG_CACHE_HOME"} <= set(names)
    assert not {"KUBECONFIG", "GITHUB_TOKEN"} & set(names)


def test_time_out_is_said() -> None:
    """A child that runs too long is ended by SIGINT, what it had printed is kept, and the result says so."""
    done = run(python(TELL_AND_STAY), timeout_s=1)
    assert done.timed_out
    assert done.status != 0
    assert daemon.find(int(done.stdout)) is None


def test_a_deaf_child_is_killed() -> None:
    """A child that ignores SIGINT and SIGTERM gets SIGKILL after two graces."""
    done = run(python(DEAF), timeout_s=1, grace_s=0.1)
    assert (done.timed_out, done.status, done.stdout) == (True, -signal.SIGKILL, "deaf\n")


def test_a_helper_of_the_child_is_ended_with_it() -> None:
    """What the child had started in its group is gone after a time-out."""
    code = f"import subprocess,sys; subprocess.run([sys.executable, '-c', {TELL_AND_STAY!r}])"
    done = run(python(code), timeout_s=1)
    helper = daemon.find(int(done.stdout))
    assert helper is None or not helper.alive


def test_a_signal_ends_the_child_and_goes_on(tmp_path: Path) -> None:
    """When our signal handler raises, the child is ended first, and the exception reaches the caller."""
    ready = tmp_path / "pid"
    code = (
        f"import os,pathlib,time; p=pathlib.Path({str(ready)!r}); "
        "p.with_suffix('.part').write_text(str(os.getpid())); p.with_suffix('.part').rename(p); time.sleep(60)"
    )
    with cancelled_when(ready), pytest.raises(DeployCancelled, match="SIGTERM"):
        run(python(code), timeout_s=30)
    assert daemon.find(int(ready.read_text())) is None


def test_the_terminal_does_not_reach_the_child() -> None:
    """The child has a session of its own, so Ctrl-C at our terminal is not its own."""
    assert int(run(python("import os; print(os.getsid(0))"), timeout_s=30).stdout) != os.getsid(0)


def test_much_output_is_cut_and_said() -> None:
    """Of an output without end the beginning and the end are kept, and a line says how much is missing."""
    done = run(python("import sys; w=sys.stderr.write; w('first\\n'); w('x'*3_000_000); w('\\nlast')"), timeout_s=30)
    assert done.cut
    assert done.stderr.startswith("first\n")
    assert done.stderr.endswith("\nlast")
    assert "bytes are cut out here" in done.stderr
    assert len(done.stderr) < 1_100_000


def test_a_daemon_left_behind_does_not_hold_us() -> None:
    """A child that leaves a process with our pipe open is complete when it itself has ended."""
    code = (
        "import subprocess,sys; "
        "p=subprocess.Popen([sys.executable,'-c','import time; time.sleep(60)'],start_new_session=True); print(p.pid)"
    )
    done = run(python(code), timeout_s=30)
    left = daemon.find(int(done.stdout))
    assert left is not None
    daemon.stop([left])
    assert done.seconds < 10


def test_a_missing_program_has_a_next_move() -> None:
    """A program that is nowhere on PATH is named, with what to do."""
    with pytest.raises(ToolMissing, match=r"no-such-program-here can't be run: .*PATH.*\n  next: install"):
        run(("no-such-program-here",), timeout_s=5)


def test_a_file_that_is_no_program(tmp_path: Path) -> None:
    """What the system can't execute is told as a failed start."""
    odd = tmp_path / "odd"
    odd.write_bytes(b"\x00\x01 no program")
    odd.chmod(0o700)
    with pytest.raises(ToolFailed, match="could not be started"):
        run((str(odd),), timeout_s=5)


def test_odd_bytes_are_replaced() -> None:
    """Output that is no UTF-8 does not break its reader."""
    assert run(python("import sys; sys.stdout.buffer.write(b'a\\xffb')"), timeout_s=30).stdout == "a\ufffdb"
