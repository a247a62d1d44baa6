"""Load and gate programs, rehearsed and real: the same contracts, then what only the real ones can show."""

from __future__ import annotations

import os
import re
import shutil
import signal
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from urllib.parse import parse_qs, urlsplit

import pytest

from pytest_deploy.adapters.load import CommandLoad, HttpLoad
from pytest_deploy.adapters.script import TeamScripts
from pytest_deploy.errors import ToolMissing, ToolTimedOut
from pytest_deploy.io import daemon
from pytest_deploy.io.clock import SystemClock
from pytest_deploy.io.process import run
from pytest_deploy.rehearsal.load import RehearsedLoad, RehearsedScripts
from pytest_deploy.testing.contracts.load import LoadContract, LoadWorld
from pytest_deploy.testing.contracts.script import PATH, ScriptsContract, ScriptsWorld

CHECK_SLO = Path(__file__).parents[2] / "scripts" / "check-slo.sh"
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="check-slo.sh asks with curl")


def until(condition: Callable[[], bool], seconds: float = 10) -> bool:
    """Wait for a condition; False: it never held."""
    clock = SystemClock()
    end = clock.monotonic() + seconds
    while not condition():
        if clock.monotonic() > end:
            return False
        threading.Event().wait(0.01)
    return True


def stands_still(count: Callable[[], int]) -> bool:
    """Look whether a counter has ended to rise."""
    before = count()
    threading.Event().wait(0.2)
    return count() == before


class Service:
    """A local HTTP service: counts what it is asked, and answers as it is told.

    Args:
        answer: status, body of what is asked for; None: it hangs until the service is closed.
        hangs_up: it closes the connection after each answer, without saying so.
        tls: what it speaks TLS with; None: plain HTTP.
    """

    def __init__(
        self,
        answer: Callable[[str], tuple[int, str] | None],
        *,
        hangs_up: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.connections = 0
        self.closing = threading.Event()
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                service.connections += 1

            def do_GET(self) -> None:
                service.seen.append((self.path, dict(self.headers)))
                found = answer(self.path)
                if found is None:
                    service.closing.wait()
                    self.close_connection = True
                    return
                self.send_response(found[0])
                self.send_header("Content-Length", str(len(found[1])))
                self.end_headers()
                self.wfile.write(found[1].encode())
                self.close_connection |= hangs_up

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 128

            def handle_error(self, *args: object) -> None:
                """A client that is gone is no error of ours."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.server.server_address[1]}"
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)


@contextmanager
def serving(
    answer: Callable[[str], tuple[int, str] | None], *, hangs_up: bool = False, tls: ssl.SSLContext | None = None
) -> Iterator[Service]:
    """Serve for a while."""
    service = Service(answer, hangs_up=hangs_up, tls=tls)
    thread = threading.Thread(target=service.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield service
    finally:
        service.closing.set()
        service.server.shutdown()
        thread.join()
        service.server.server_close()


class TestHttpLoad(LoadContract):
    """GETs over real sockets."""

    @pytest.fixture
    def world(self) -> Iterator[LoadWorld]:
        """Give a load on a local service."""
        with serving(lambda _: (200, "ok")) as service:

            def flows() -> bool:
                before = len(service.seen)
                return until(lambda: len(service.seen) > before)

            yield LoadWorld(
                load=HttpLoad(f"{service.url}/x?q=1", rate_per_s=50),
                flows=flows,
                ended=lambda: stands_still(lambda: len(service.seen)),
                labels=lambda: {headers["X-Deploy-Load"] for _, headers in service.seen},
            )


TELL_LABEL = """
import os, pathlib, time
seen = pathlib.Path("seen")
while True:
    with seen.open("a") as file:
        file.write(os.environ["DEPLOY_LOAD_LABEL"] + "\\n")
    time.sleep(0.02)
"""


class TestCommandLoad(LoadContract):
    """A real process."""

    @pytest.fixture
    def world(self, tmp_path: Path) -> LoadWorld:
        """Give a command that writes its label again and again."""
        seen = tmp_path / "seen"
        seen.touch()

        def lines() -> list[str]:
            return seen.read_text(encoding="utf-8").splitlines()

        def flows() -> bool:
            before = len(lines())
            return until(lambda: len(lines()) > before)

        return LoadWorld(
            load=CommandLoad((sys.executable, "-c", TELL_LABEL), folder=tmp_path),
            flows=flows,
            ended=lambda: stands_still(lambda: len(lines())),
            labels=lambda: set(lines()),
        )


class TestRehearsedLoad(LoadContract):
    """A changed rate."""

    @pytest.fixture
    def world(self) -> LoadWorld:
        """Give a load on a number; its label is in its words alone."""
        rates = [100.0]
        labels: set[str] = set()

        class Told(RehearsedLoad):
            def start(self, label: str) -> None:
                super().start(label)
                labels.add(label)

        return LoadWorld(
            load=Told(rate_per_s=20, add=lambda by: rates.append(rates[-1] + by)),
            flows=lambda: rates[-1] == 120,
            ended=lambda: rates[-1] == 100,
            labels=lambda: labels,
        )


def test_the_rate_is_kept_over_few_connections() -> None:
    """As many requests reach the service as were asked for and as the words tell, over kept connections."""
    with serving(lambda _: (200, "x" * 1000)) as service:
        load = HttpLoad(f"{service.url}/", rate_per_s=100, headers={"X-Mine": "1"})
        load.start("d1 5%")
        threading.Event().wait(1.5)
        words = load.stop()
        told = int(words.split(": ")[1].split(" requests")[0])
        assert told == len(service.seen)
        assert 75 <= told <= 160, words
        assert f"answers: {told} 2xx; dropped: 0; p95 " in words
        assert service.connections <= 20
        _, headers = service.seen[0]
        assert (headers["X-Mine"], headers["User-Agent"]) == ("1", "pytest-deploy-load")


def test_a_service_that_hangs_does_not_hold_us() -> None:
    """Its requests go on at their rate, each counts as timed out, and stop returns within two seconds."""
    with serving(lambda _: None) as service:
        load = HttpLoad(service.url, rate_per_s=40, timeout=timedelta(seconds=0.3))
        load.start("d1 5%")
        threading.Event().wait(1.2)
        began = SystemClock().monotonic()
        words = load.stop()
        assert SystemClock().monotonic() - began < 2
        assert len(service.seen) >= 25, "the rate fell with the service"
        assert re.search(
            r"answers: none; without an answer: \d\d timed out(, \d+ unanswered at the end)?; dropped: 0", words
        )


def test_what_hangs_is_bounded() -> None:
    """No more than 128 requests are under way at once; what is due beyond is dropped and told."""
    with serving(lambda _: None) as service:
        load = HttpLoad(service.url, rate_per_s=500, timeout=timedelta(seconds=60))
        load.start("d1 5%")
        assert until(lambda: len(service.seen) >= 128)
        threading.Event().wait(0.2)
        words = load.stop()
        assert len(service.seen) == 128
        assert "128 unanswered at the end" in words
        assert int(words.split("dropped: ")[1].replace(",", "")) >= 20


def test_a_refused_connection_is_a_result() -> None:
    """A service that is not there raises nothing; the words say why there was no answer."""
    with serving(lambda _: (200, "")) as service:
        url = service.url
    load = HttpLoad(url, rate_per_s=50)
    load.start("d1 5%")
    threading.Event().wait(0.3)
    assert re.search(r"answers: none; without an answer: \d+ connection refused; dropped: 0$", load.stop())


def test_errors_are_told_by_class() -> None:
    """Answers are counted by their class, a redirect is not followed, and an answer that is none is told."""
    answers = {"/r": (302, ""), "/n": (404, ""), "/e": (503, "busy")}
    with serving(lambda path: answers[path]) as service:
        for path, told in (("/r", "3xx"), ("/n", "4xx"), ("/e", "5xx")):
            load = HttpLoad(service.url + path, rate_per_s=50)
            load.start("d1 5%")
            assert until(lambda path=path: any(seen == path for seen, _ in service.seen))
            assert re.search(rf"answers: \d+ {told}; dropped", load.stop())


def test_a_connection_that_was_closed_meanwhile_is_no_failure() -> None:
    """A server may close a kept connection at any time: the request is sent once more, on a new one."""
    with serving(lambda _: (200, "ok"), hangs_up=True) as service:
        load = HttpLoad(service.url, rate_per_s=50)
        load.start("d1 5%")
        assert until(lambda: len(service.seen) >= 20)
        assert re.search(r"answers: \d+ 2xx; dropped: 0; p95", load.stop())
        assert service.connections == len(service.seen)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the server's certificate is made with openssl")
def test_certificates_are_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over TLS an unknown certificate is no answer, and one that is trusted is."""
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = run(
        (
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", str(key), "-out", str(cert), "-subj", "/CN=local", "-addext", "subjectAltName=IP:127.0.0.1",
        ),
        timeout_s=60,
    )  # fmt: skip
    assert made.status == 0, made.stderr
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    with serving(lambda _: (200, "ok"), tls=tls) as service:
        words = []
        for trusted in (False, True):
            if trusted:
                monkeypatch.setenv("SSL_CERT_FILE", str(cert))
            load = HttpLoad(service.url, rate_per_s=50)
            load.start("d1 5%")
            threading.Event().wait(0.4)
            words.append(load.stop())
    assert re.search(r"answers: none; without an answer: \d+ TLS failure", words[0])
    assert re.search(r"answers: \d+ 2xx; dropped: 0", words[1])


@pytest.mark.parametrize("deaf", ["none", "helper", "both"])
def test_a_commands_whole_group_is_ended(tmp_path: Path, deaf: str) -> None:
    """Its helper ends with it, whoever of them ignores TERM, within two seconds."""
    load = CommandLoad((sys.executable, "-c", HELPED, deaf), folder=tmp_path)
    load.start("d1 5%")
    pids = told_pids(tmp_path)
    began = SystemClock().monotonic()
    assert "was ended" in load.stop()
    assert SystemClock().monotonic() - began < 2.5
    assert until(lambda: not any(is_there(pid) for pid in pids))


def test_a_command_ends_with_us(tmp_path: Path) -> None:
    """When we are killed outright, the command and its helper are ended all the same."""
    code = (
        "import sys, pathlib, threading; from pytest_deploy.adapters.load import CommandLoad;"
        f"CommandLoad((sys.executable, '-c', {HELPED!r}, 'both'), folder=pathlib.Path({str(tmp_path)!r})).start('d');"
        "threading.Event().wait(60)"
    )
    we = daemon.spawn((sys.executable, "-c", code), log=tmp_path / "log")
    pids = told_pids(tmp_path)
    assert all(is_there(pid) for pid in pids)
    os.kill(we.pid, signal.SIGKILL)
    assert until(lambda: not any(is_there(pid) for pid in pids)), "the load outlived us"
    assert not we.alive


HELPED = """
import os, pathlib, signal, subprocess, sys, time
if sys.argv[1] != "none":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
if sys.argv[1] == "helper":
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
part = pathlib.Path("part")
part.write_text(f"{os.getpid()} {helper.pid}")
part.rename("pids")
time.sleep(60)
"""


def told_pids(folder: Path) -> list[int]:
    """Return the process numbers that the command has written."""
    assert until((folder / "pids").exists)
    return [int(pid) for pid in (folder / "pids").read_text(encoding="utf-8").split()]


def is_there(pid: int) -> bool:
    """Look whether a process runs; a zombie does not."""
    found = daemon.find(pid)
    return found is not None and found.alive


# A program for the contract: the file "bad" beside it is the service's state.
STATE_SCRIPT = '#!/bin/sh\n[ -e bad ] && { echo "error rate 9 %"; exit 1; }\necho "all is well"\n'


def team_folder(tmp_path: Path) -> Path:
    """Make a folder as that of a deploy.yaml, with a gate program."""
    folder = tmp_path / "repo"
    (folder / "scripts").mkdir(parents=True)
    (folder / PATH).write_text(STATE_SCRIPT, encoding="utf-8")
    (folder / PATH).chmod(0o755)
    return folder


class TestTeamScripts(ScriptsContract):
    """Real processes."""

    @pytest.fixture
    def world(self, tmp_path: Path) -> ScriptsWorld:
        """Give a program that looks for a file."""
        folder = team_folder(tmp_path)
        bad = folder / "bad"
        return ScriptsWorld(
            scripts=TeamScripts(folder, timeout=timedelta(seconds=10)),
            folder=folder,
            make_bad=lambda is_bad: bad.touch() if is_bad else bad.unlink(missing_ok=True),
        )


class TestRehearsedScripts(ScriptsContract):
    """Nothing is run."""

    @pytest.fixture
    def world(self, tmp_path: Path) -> ScriptsWorld:
        """Give a service that is a truth value."""
        folder = team_folder(tmp_path)
        state = [False]
        return ScriptsWorld(
            scripts=RehearsedScripts(folder, broken=lambda: state[-1]), folder=folder, make_bad=state.append
        )


EMPTY = '{"status":"success","data":{"resultType":"vector","result":[]}}'
TWO = '{"metric":{},"value":[1700000000.1,"1"]},{"metric":{},"value":[1700000000.1,"2"]}'


def vector(value: str) -> str:
    """Return Prometheus' answer with one series."""
    return EMPTY.replace("[]", f'[{{"metric":{{}},"value":[1700000000.123,"{value}"]}}]')


GOOD = MappingProxyType({"total": vector("1234.5"), "rate": vector("0.002"), "p95": vector("0.21")})


@contextmanager
def prometheus(**answers: str) -> Iterator[Service]:
    """Answer as Prometheus: ``total``, ``rate`` and ``p95`` each with what is given, or what is good."""

    def answer(path: str) -> tuple[int, str]:
        query = parse_qs(urlsplit(path).query)["query"][0]
        kind = "p95" if "histogram_quantile" in query else "rate" if "5.." in query else "total"
        return 200, {**GOOD, **answers}[kind]

    with serving(answer) as service:
        yield service


def check(url: str, *arguments: str, **env: str) -> tuple[int, str]:
    """Run check-slo.sh and return its status and its words."""
    done = run((str(CHECK_SLO), *(arguments or ("shop", "5"))), timeout_s=60, env={"PROMETHEUS_URL": url, **env})
    assert done.stderr == ""
    return done.status, done.stdout


@needs_curl
class TestCheckSlo:
    """``./scripts/check-slo.sh``, run for real against a scripted Prometheus."""

    def test_within(self) -> None:
        """Both within: 0, with the numbers, and with what a canary at this weight could hide."""
        with prometheus() as service:
            status, words = check(service.url)
        assert status == 0
        assert (
            "shop at 5 %: error rate 0.20 % (limit 0.50 %), p95 210 ms (limit 300 ms), 1234 requests in 300s" in words
        )
        assert "of the canary alone up to 10.0 % could fail unseen" in words

    def test_it_asks_the_issues_questions(self) -> None:
        """Its queries are those of the contract, for this service and window."""
        with prometheus() as service:
            check(service.url, "shop", "100", WINDOW_S="60")
            queries = [parse_qs(urlsplit(path).query)["query"][0] for path, _ in service.seen]
        errors = 'sum(rate(http_requests_total{service="shop",status=~"5.."}[60s]))'
        requests = 'sum(rate(http_requests_total{service="shop",status!=""}[60s]))'
        assert queries == [
            'sum(increase(http_requests_total{service="shop",status!=""}[60s]))',
            f"({errors} or vector(0)) / {requests}",
            'histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket{service="shop"}[60s])))',
        ]

    @pytest.mark.parametrize(
        ("answers", "limits", "status"),
        [
            ({"rate": vector("0.0051")}, {}, 1),
            ({"rate": vector("0.005")}, {}, 0),
            ({"p95": vector("0.301")}, {}, 1),
            ({"p95": vector("0.3")}, {}, 0),
            ({"rate": vector("5e-05")}, {}, 0),
            ({"rate": vector("0.009")}, {"ERROR_RATE_MAX": "0.01"}, 0),
            ({"p95": vector("0.21")}, {"P95_LATENCY_MS": "200"}, 1),
        ],
    )
    def test_limits(self, answers: dict[str, str], limits: dict[str, str], status: int) -> None:
        """Above a limit is 1, at it is still 0; the limits can be set."""
        with prometheus(**answers) as service:
            assert check(service.url, **limits)[0] == status

    @pytest.mark.parametrize(
        "answers",
        [
            {"total": EMPTY},
            {"total": vector("0"), "rate": vector("NaN"), "p95": vector("NaN")},
            {"total": vector("99")},
            {"total": vector("99"), "rate": vector("1")},
            {"rate": EMPTY},
            {"rate": vector("NaN")},
            {"rate": vector("+Inf")},
            {"p95": vector("NaN")},
            {"p95": EMPTY},
            {"rate": EMPTY.replace("[]", f"[{TWO}]")},
            {"rate": GOOD["rate"][:-1] + ',"warnings":["a store is down"]}'},
            {"total": '{"status":"error","errorType":"timeout","error":"query timed out"}'},
            {"total": "<html>Sign in</html>"},
            {"p95": "<html>Sign in</html>"},
            {"total": ""},
        ],
    )
    def test_no_data_is_no_pass(self, answers: dict[str, str]) -> None:
        """Without whole, finite numbers from enough requests it can't tell: 2, never 0 or 1."""
        with prometheus(**answers) as service:
            status, words = check(service.url)
        assert status == 2
        assert "can't tell" in words

    @pytest.mark.parametrize(
        "arguments", [("shop",), ("shop", "x"), ("shop", "0"), ("shop", "101"), ('s"} or up', "5")]
    )
    def test_what_it_is_called_with_is_checked(self, arguments: tuple[str, ...]) -> None:
        """A call that makes no sense can't be told, and asks nothing."""
        with prometheus() as service:
            status, words = check(service.url, *arguments)
            assert (status, service.seen) == (2, [])
        assert "can't tell" in words

    def test_a_server_that_is_down(self) -> None:
        """No connection, and an error of the server: 2."""
        with serving(lambda _: (503, "")) as service:
            assert check(service.url)[0] == 2
        status, words = check(service.url)
        assert status == 2
        assert "Prometheus does not answer" in words

    def test_no_address(self) -> None:
        """Where nobody says whom to ask, it can't tell."""
        assert check("") == (2, "can't tell: PROMETHEUS_URL is not set\n")

    def test_a_server_that_hangs_times_out(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Through the adapter: a server that never answers is no verdict when the time is up, and nothing is left."""
        folder = team_folder(tmp_path)
        shutil.copy(CHECK_SLO, folder / PATH)
        with serving(lambda _: None) as service:
            monkeypatch.setenv("PROMETHEUS_URL", service.url)
            scripts = TeamScripts(folder, timeout=timedelta(seconds=1), inherit=("PROMETHEUS_URL",))
            with pytest.raises(ToolTimedOut, match=r"check-slo\.sh shop 5 had not ended after 1 s"):
                scripts.check(PATH, "shop", 5)
            assert len(service.seen) == 1

    def test_the_variable_must_be_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Through the adapter: it sees PROMETHEUS_URL only where it is on the list."""
        folder = team_folder(tmp_path)
        shutil.copy(CHECK_SLO, folder / PATH)
        with prometheus() as service:
            monkeypatch.setenv("PROMETHEUS_URL", service.url)
            unseen = TeamScripts(folder).check(PATH, "shop", 5)
            seen = TeamScripts(folder, inherit=("PROMETHEUS_URL",)).check(PATH, "shop", 5)
        assert (unseen.status, unseen.words) == (2, "can't tell: PROMETHEUS_URL is not set")
        assert (seen.status, seen.command) == (0, "./scripts/check-slo.sh shop 5")
        assert seen.words.startswith("shop at 5 %: error rate 0.20 %")


def test_a_script_without_an_interpreter_is_no_answer(tmp_path: Path) -> None:
    """A text without ``#!`` is not run by a shell of ours: it is told."""
    folder = team_folder(tmp_path)
    (folder / PATH).write_text("exit 0\n", encoding="utf-8")
    with pytest.raises(ToolMissing, match=r"first line must name an interpreter"):
        TeamScripts(folder).check(PATH, "shop", 5)
