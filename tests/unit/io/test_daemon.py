"""Daemons are known again, and nothing else is stopped."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_deploy.errors import ToolMissing
from pytest_deploy.io import daemon
from pytest_deploy.io.daemon import Daemon

READY = "import time; print('ready', flush=True); time.sleep(60)"
DEAF = "import signal,time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[Daemon]]:
    """Hold what a test starts, and stop it."""
    daemons: list[Daemon] = []
    yield daemons
    daemon.stop(daemons)


def spawn(code: str, log: Path, **env: str) -> Daemon:
    """Start a piece of Python and wait until it says that it is ready."""
    process = daemon.spawn((sys.executable, "-c", code), log=log, env=env)
    while process.alive and "ready" not in log.read_text():
        pass
    return process


def test_stop_ends_it(tmp_path: Path, started: list[Daemon]) -> None:
    """A daemon runs until it is stopped; stopping it again does nothing."""
    process = spawn(READY, tmp_path / "log")
    started.append(process)
    assert process.alive
    daemon.stop([process])
    assert not process.alive
    daemon.stop([process])


def test_a_deaf_daemon_is_killed(tmp_path: Path, started: list[Daemon]) -> None:
    """One that ignores SIGTERM is gone all the same."""
    process = spawn(DEAF, tmp_path / "log")
    started.append(process)
    daemon.stop([process], grace_s=0.2)
    assert not process.alive


def test_a_frozen_daemon_can_be_stopped(tmp_path: Path, started: list[Daemon]) -> None:
    """A paused process, which takes no SIGTERM, is let go on and ends by it."""
    process = spawn(READY, tmp_path / "log")
    started.append(process)
    daemon.pause(process)
    daemon.stop([process], grace_s=30)
    assert not process.alive


def test_another_process_with_that_number_is_left(tmp_path: Path, started: list[Daemon]) -> None:
    """A number that the system gave to a later process does not make it ours."""
    process = spawn(READY, tmp_path / "log")
    started.append(process)
    earlier = Daemon(pid=process.pid, began="long ago")
    daemon.stop([earlier])
    assert not earlier.alive
    assert process.alive


def test_it_is_found_by_its_environment(tmp_path: Path, started: list[Daemon]) -> None:
    """Processes are found by a variable that they were given, and only they."""
    process = spawn(READY, tmp_path / "log", SANDBOX_OF_TEST=str(tmp_path))
    other = spawn(READY, tmp_path / "other", SANDBOX_OF_TEST=f"{tmp_path}-other")
    started += [process, other]
    assert daemon.started_with("SANDBOX_OF_TEST", str(tmp_path)) == [process]


def test_a_program_that_is_missing(tmp_path: Path) -> None:
    """A daemon that can't be started is told at once."""
    with pytest.raises(ToolMissing):
        daemon.spawn(("no-such-program-here",), log=tmp_path / "log")
