"""Signals end a deploy in order."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from pytest_deploy.errors import DeployCancelled
from pytest_deploy.signals import Signals


@pytest.fixture
def heard() -> Iterator[tuple[Signals, list[str]]]:
    """Installed handlers that write down what they ask for."""
    log: list[str] = []
    signals = Signals(
        stop=lambda why: log.append(f"stop: {why}"),
        say=lambda text: log.append(f"say: {text}"),
        exit_now=lambda status: log.append(f"exit {status}"),
    )
    signals.install()
    yield signals, log
    signals.restore()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_running_step_is_ended(heard: tuple[Signals, list[str]], number: signal.Signals) -> None:
    """INT, TERM and HUP raise DeployCancelled in the step body, and pytest is asked to stop."""
    signals, log = heard
    signals.armed = True
    with pytest.raises(DeployCancelled, match=number.name):
        os.kill(os.getpid(), number)
    assert log[0] == f"stop: {number.name} received"


def test_between_steps_a_flag_is_left(heard: tuple[Signals, list[str]]) -> None:
    """Nothing is raised outside of a step; the next check raises."""
    signals, _ = heard
    signals.check()
    os.kill(os.getpid(), signal.SIGTERM)
    assert signals.pending == "SIGTERM"
    with pytest.raises(DeployCancelled):
        signals.check()


def test_a_rollback_is_not_disturbed_before_the_fourth(heard: tuple[Signals, list[str]]) -> None:
    """The second and third signal are only told; the fourth leaves at once."""
    _, log = heard
    for _ in range(3):
        os.kill(os.getpid(), signal.SIGINT)
    assert not [line for line in log if line.startswith("exit")]
    assert "2 more end the process" in log[2]
    os.kill(os.getpid(), signal.SIGINT)
    assert [line for line in log if line.startswith("exit")] == [f"exit {128 + signal.SIGINT}"]


def test_restored_handlers_are_those_from_before() -> None:
    """A session without a deploy afterwards behaves as ever."""
    before = signal.getsignal(signal.SIGTERM)
    signals = Signals(stop=print, say=print)
    signals.install()
    signals.install()
    assert signal.getsignal(signal.SIGTERM) != before
    signals.restore()
    assert signal.getsignal(signal.SIGTERM) == before
