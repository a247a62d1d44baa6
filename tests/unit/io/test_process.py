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
from pytest_deploy.io.process import Leash, run

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


def leash(silence_s: float = 30) -> Leash:
    """One that holds."""
    return Leash(let_go=threading.Event(), silence_s=silence_s)


def gone(pid: int) -> bool:
    """Whether the process is no more, within a few seconds."""
    for _ in range(500):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        threading.Event().wait(0.01)
    return False


def test_on_a_leash_it_is_told_as_ever(tmp_path: Path) -> None:
    """Status, both streams apart, folder, environment and no input: the leash is not seen."""
    code = "import os,sys; print(os.getcwd(), sys.stdin.read()); print('err', file=sys.stderr); sys.exit(3)"
    done = run(python(code), timeout_s=30, cwd=tmp_path, leash=leash())
    assert (done.status, done.stdout, done.stderr) == (3, f"{tmp_path} \n", "err\n")
    assert (done.argv, done.timed_out, done.let_go) == (python(code), False, False)


def test_on_a_leash_a_signal_is_told_as_one() -> None:
    """A child that a signal ended has minus its number, as without a leash."""
    done = run(python("import os; os.kill(os.getpid(), 15)"), timeout_s=30, leash=leash())
    assert done.status == -signal.SIGTERM


def test_on_a_leash_it_is_interrupted_first() -> None:
    """When its time is up it gets INT and time to end well."""
    code = "import time\ntry:\n  time.sleep(60)\nexcept KeyboardInterrupt:\n  print('ended well')"
    done = run(python(code), timeout_s=1.5, leash=leash())
    assert (done.timed_out, done.stdout, done.status) == (True, "ended well\n", 0)


def test_on_a_leash_a_deaf_child_is_killed() -> None:
    """The ladder's last rung reaches it."""
    done = run(python(DEAF), timeout_s=1, grace_s=0.2, leash=leash())
    assert (done.timed_out, done.status) == (True, -signal.SIGKILL)


def test_let_go_it_is_killed_at_once() -> None:
    """No interrupt, no time: what it would do on its way out it must not do any more."""
    held = leash()
    threading.Timer(0.5, held.let_go.set).start()
    code = "import time\ntry:\n  time.sleep(60)\nexcept KeyboardInterrupt:\n  print('a way back')"
    done = run(python(code), timeout_s=30, leash=held)
    assert (done.let_go, done.timed_out, done.stdout, done.status) == (True, False, "", -signal.SIGKILL)
    assert done.seconds < 10


def test_let_go_before_nothing_is_started(tmp_path: Path) -> None:
    """It would act for something that is over."""
    held = leash()
    held.let_go.set()
    with pytest.raises(ToolFailed, match="is not started"):
        run(python(f"open({str(tmp_path / 'x')!r}, 'w')"), timeout_s=30, leash=held)
    assert not (tmp_path / "x").exists()


def test_a_program_that_can_not_be_started_on_a_leash(tmp_path: Path) -> None:
    """What the system says is in its errors, and the status says that it never ran."""
    path = tmp_path / "text"
    path.write_bytes(b"\x7fELF, not really")
    path.chmod(0o700)
    done = run((str(path),), timeout_s=30, leash=leash())
    assert done.status == 126
    assert "Exec format error" in done.stderr


OWNER = """
import sys, threading
from pytest_deploy.io.process import Leash, run
child = "import os, sys, time; print(os.getpid(), file=open(sys.argv[1], 'w'), flush=True); time.sleep(60)"
run((sys.executable, "-c", child, sys.argv[1]), timeout_s=60, leash=Leash(let_go=threading.Event(), silence_s=1))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_it_ends_with_its_owner(tmp_path: Path, number: signal.Signals) -> None:
    """SIGKILL of its owner ends it; so does an owner that is stopped for too long."""
    told = tmp_path / "pid"
    argv = (sys.executable, "-c", OWNER, str(told))
    owner = os.posix_spawn(sys.executable, argv, os.environ)
    try:
        for _ in range(2000):
            if told.exists() and told.read_text().endswith("\n"):
                break
            threading.Event().wait(0.01)
        child = int(told.read_text())
        threading.Event().wait(1.5)  # longer than it may be silent: it is not
        assert Path(f"/proc/{child}").exists()
        os.kill(owner, number)
        assert gone(child)
    finally:
        os.kill(owner, signal.SIGKILL)
        os.waitpid(owner, 0)
