"""Load at a fixed rate, over connections that are none; and commands. The network's part is in tests/contract."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from pytest_deploy.adapters.load import CommandLoad, HttpLoad
from pytest_deploy.adapters.open_loop import MOST_AT_ONCE
from pytest_deploy.errors import ToolFailed, ToolMissing
from pytest_deploy.io.clock import SystemClock
from pytest_deploy.io.load_http import NoAnswer


class Service:
    """Connections to nowhere: each ``get`` does what it is told, and can be waited for.

    Args:
        answer: gets the connection's cut; returns the status, or raises.
    """

    def __init__(self, answer: Callable[[threading.Event], int]) -> None:
        self.answer = answer
        self.headers: list[Mapping[str, str]] = []
        self.asked = threading.Semaphore(0)
        self.closed = threading.Semaphore(0)

    def connect(self, headers: Mapping[str, str]) -> Asker:
        """Make a connection."""
        self.headers.append(headers)
        return Asker(self)

    def load(self, rate_per_s: float = 500, timeout_s: float = 30) -> HttpLoad:
        """Make a load on it."""
        return HttpLoad(
            "https://shop.example.com/x?token=s3cret",
            rate_per_s=rate_per_s,
            timeout=timedelta(seconds=timeout_s),
            connect=self.connect,
        )

    def wait_for(self, requests: int) -> None:
        """Wait until so many requests have come."""
        for _ in range(requests):
            assert self.asked.acquire(timeout=20)


class Asker:
    """One connection."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.is_cut = threading.Event()

    def get(self) -> int:
        """Answer as told."""
        self.is_cut.clear()
        self.service.asked.release()
        return self.service.answer(self.is_cut)

    def cut(self) -> None:
        """Wake it."""
        self.is_cut.set()

    def close(self) -> None:
        """Tell it."""
        self.service.closed.release()


def hang(is_cut: threading.Event) -> int:
    """Answer never."""
    is_cut.wait()
    raise NoAnswer("connection broken")


def refuse(_: threading.Event) -> int:
    """Answer not at all."""
    raise NoAnswer("connection refused")


def burst(_: threading.Event) -> int:
    """Fail as no connection should."""
    raise ZeroDivisionError


def counts(words: str) -> int:
    """Return the number of requests that the words tell."""
    return int(words.partition("/x: ")[2].partition(" requests")[0].replace(",", ""))


def test_answers_are_told_in_words() -> None:
    """The words have count, duration, both rates, classes, drops and p95; never the query, which may hold a token."""
    statuses = iter([200, 503, 302, *[204] * 100_000])
    service = Service(lambda _: next(statuses))
    load = service.load(rate_per_s=300)
    load.start("d1 25%")
    service.wait_for(30)
    words = load.stop()
    sent = counts(words)
    assert sent >= 30
    assert words.startswith(f"load on https://shop.example.com/x: {sent} requests in ")
    assert re.search(rf"answers: {sent - 2} 2xx, 1 3xx, 1 5xx; dropped: 0; p95 \d+(\.\d)? ms of the answers$", words)
    assert "/s of 300/s wanted" in words
    assert "s3cret" not in words


def test_every_connection_carries_label_and_agent() -> None:
    """What can't stand in a header is replaced in the label, and never ends the deploy."""
    service = Service(lambda _: 200)
    load = service.load()
    load.start("d1 25%\r\nX-Evil: ü")
    service.wait_for(5)
    load.stop()
    assert service.headers[0] == {"User-Agent": "pytest-deploy-load", "X-Deploy-Load": "d1 25%??X-Evil: ?"}


def test_a_slow_service_does_not_lower_the_rate() -> None:
    """While every request hangs, further ones are sent, up to the bound; what is due beyond is dropped and told."""
    service = Service(hang)
    load = service.load()
    load.start("d")
    service.wait_for(MOST_AT_ONCE)
    assert len(service.headers) == MOST_AT_ONCE
    words = load.stop()
    assert counts(words) == MOST_AT_ONCE
    assert f"answers: none; without an answer: {MOST_AT_ONCE} unanswered at the end; dropped: " in words
    assert "p95" not in words


def test_a_request_has_its_time_and_no_more() -> None:
    """One that hangs is cut when its time is up and counts as timed out; its connection serves on."""
    service = Service(hang)
    load = service.load(rate_per_s=10, timeout_s=0.01)
    load.start("d")
    service.wait_for(4)
    assert "timed out" in load.stop()
    assert len(service.headers) <= 3


def test_what_was_missed_is_not_sent_in_one_burst() -> None:
    """After a minute in which this machine stood still, its requests are dropped and told."""
    service = Service(lambda _: 200)
    load = service.load(rate_per_s=50)
    load.start("d")
    service.wait_for(3)
    loop = load._loop
    assert loop is not None
    loop._clock = Jumped()
    service.wait_for(3)
    words = load.stop()
    assert counts(words) < 500
    assert 2800 <= int(words.partition("dropped: ")[2].partition(";")[0].replace(",", "")) <= 3100


class Jumped(SystemClock):
    """A clock that a minute is missing of."""

    def monotonic(self) -> float:
        """Return the time, a minute later."""
        return super().monotonic() + 60


@pytest.mark.parametrize(("answer", "told"), [(refuse, "connection refused"), (burst, "ZeroDivisionError")])
def test_failures_are_counted_not_raised(answer: Callable[[threading.Event], int], told: str) -> None:
    """Whatever a request fails of is a reason in the words."""
    service = Service(answer)
    load = service.load()
    load.start("d")
    service.wait_for(10)
    words = load.stop()
    # One may be under way when it is stopped: that one is told as unanswered.
    found = re.search(
        rf"answers: none; without an answer: (\d+) {told}(, \d+ unanswered at the end)?; dropped: 0", words
    )
    assert found is not None, words
    assert int(found[1]) >= 9


def test_stop_lets_go_of_every_connection() -> None:
    """After stop all connections are closed, by the threads that used them."""
    service = Service(lambda _: 200)
    load = service.load()
    load.start("d")
    service.wait_for(10)
    load.stop()
    for _ in service.headers:
        assert service.closed.acquire(timeout=20)


def test_a_service_that_can_not_be_cut_does_not_hold_stop() -> None:
    """Where even a cut does not end a request (a name server that hangs), stop returns, and tells it unanswered."""
    end = threading.Event()

    def deaf(_: threading.Event) -> int:
        end.wait()
        raise NoAnswer("name not found")

    service = Service(deaf)
    load = service.load(rate_per_s=10)
    load.start("d")
    service.wait_for(2)
    began_s = SystemClock().monotonic()
    words = load.stop()
    assert SystemClock().monotonic() - began_s < 2
    end.set()
    assert f"without an answer: {counts(words)} unanswered at the end" in words


def command(folder: Path, code: str) -> CommandLoad:
    """Return a load by a piece of Python that tells when it is there."""
    return CommandLoad((sys.executable, "-c", code), folder=folder)


def until_there(path: Path) -> None:
    """Wait for a file."""
    for _ in range(4000):
        if path.exists():
            return
        threading.Event().wait(0.005)
    pytest.fail(f"{path} never came")


TELL = "import os, pathlib, time; pathlib.Path('there').touch(); "


def test_a_commands_early_end_is_told(tmp_path: Path) -> None:
    """A command that ends before stop is told with its status and its last words, cleaned of colours."""
    load = command(tmp_path, TELL + "print('one'); print('\\x1b[31mno target\\x1b[0m', flush=True); os._exit(3)")
    load.start("d")
    until_there(tmp_path / "there")
    running = load._running
    assert running is not None
    assert running._ended.wait(20)
    words = load.stop()
    assert "ended by itself with exit status 3, and the rest of the time had no load" in words
    assert words.endswith("its last words: one\nno target")


def test_a_commands_death_by_signal_is_told(tmp_path: Path) -> None:
    """A signal is told as a shell tells it: 128 and its number."""
    load = command(tmp_path, TELL + "os.kill(os.getpid(), 9)")
    load.start("d")
    until_there(tmp_path / "there")
    running = load._running
    assert running is not None
    assert running._ended.wait(20)
    assert "exit status 137" in load.stop()


def test_a_command_sees_the_list_and_its_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs in the folder, with its label and what is on the list, and without our secrets and our terminal."""
    monkeypatch.setenv("GITHUB_TOKEN", "secret")
    monkeypatch.setenv("K6_TOKEN", "named")
    code = (
        "import os, pathlib, sys, time; print(os.getcwd()); print(os.environ['DEPLOY_LOAD_LABEL']); "
        "print(os.environ.get('GITHUB_TOKEN'), os.environ['K6_TOKEN'], repr(sys.stdin.read()), flush=True); "
        "pathlib.Path('there').touch(); time.sleep(60)"
    )
    load = CommandLoad((sys.executable, "-c", code), folder=tmp_path, inherit=("K6_TOKEN",))
    load.start("d1 25%")
    until_there(tmp_path / "there")
    words = load.stop()
    assert "was ended; its last words: " in words
    assert words.splitlines()[-3:][1:] == ["d1 25%", "None named ''"]
    assert words.splitlines()[-3].endswith(str(tmp_path.resolve()))


def test_much_output_does_not_hold_a_command(tmp_path: Path) -> None:
    """More than a pipe holds is read and let go; the end of it is kept."""
    code = "print('x' * 3_000_000); print('last', flush=True); " + TELL + "time.sleep(60)"
    load = command(tmp_path, code)
    load.start("d")
    until_there(tmp_path / "there")
    assert load.stop().endswith("\nlast")


def test_a_missing_command_is_told_at_the_start(tmp_path: Path) -> None:
    """A program that is not there raises, and there is nothing to stop."""
    load = CommandLoad(("./no-such-load",), folder=tmp_path)
    with pytest.raises(ToolMissing, match="no-such-load can't be run"):
        load.start("d")
    assert load.stop() == ""


def test_a_command_that_can_not_start_is_told_at_the_start(tmp_path: Path) -> None:
    """What the system can't execute raises, with what it said."""
    odd = tmp_path / "odd"
    odd.write_text("no program")
    odd.chmod(0o755)
    with pytest.raises(ToolFailed, match="odd could not be started: Exec format error"):
        CommandLoad(("./odd",), folder=tmp_path).start("d")
