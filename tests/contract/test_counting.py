"""Counts as a real Prometheus gives them for scripted targets: births, resets, outages and replaced pods."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx2
import pytest

from pytest_deploy import sandbox
from pytest_deploy.adapters.prometheus import Prometheus
from pytest_deploy.domain.measurement import Kind, Objective, Reading, Subject
from pytest_deploy.io import daemon
from pytest_deploy.io.clock import SystemClock
from pytest_deploy.sandbox.place import free_ports

pytestmark = pytest.mark.real

CLOCK = SystemClock()
INTERVAL = timedelta(seconds=0.5)
ERROR_RATE = Objective(kind=Kind.ERROR_RATE, limit=0.005)
Scrape = Mapping[str, int]
"""Value by labels; without any, the target does not answer."""


@dataclass
class Target:
    """One scripted target: after the script its last scrape goes on.

    Args:
        before: scrapes from before the window; the window begins after them.
        window: scrapes in the window.
    """

    before: Sequence[Scrape]
    window: Sequence[Scrape]
    scraped: int = 0
    since: datetime | None = field(default=None)

    def scrape(self) -> Scrape:
        """Answer one scrape."""
        script = [*self.before, *self.window]
        self.scraped += 1
        if self.scraped == len(self.before):
            self.since = CLOCK.now() + timedelta(milliseconds=20)
        return script[min(self.scraped, len(script)) - 1]


def ok(*counts: int) -> list[Scrape]:
    """Make scrapes with successes and no errors."""
    return [{'status="200"': count} for count in counts]


def both(*counts: tuple[int, int]) -> list[Scrape]:
    """Make scrapes with successes and errors."""
    return [{'status="200"': good, 'status="503"': bad} for good, bad in counts]


DOWN: list[Scrape] = [{}]

TARGETS: dict[str, Target] = {
    "first_error": Target(ok(100, 110), [*ok(120, 130), *both((140, 1), (149, 1), (160, 1), (170, 1))]),
    "errors_at_once": Target(ok(100, 110), both((120, 3), (130, 3), (140, 3), (150, 3))),
    "old_errors": Target(both((100, 5), (110, 5)), both((120, 5), (130, 5), (140, 5), (150, 5))),
    "growing_errors": Target(both((100, 5), (110, 6)), both((120, 7), (130, 8), (140, 9), (150, 9))),
    "outage": Target([*both((100, 7)), *DOWN, *DOWN], [*DOWN, *both((120, 7), (130, 7), (140, 7), (150, 7))]),
    "outage_within": Target(both((100, 7), (110, 7)), [*both((120, 7)), *DOWN, *both((140, 7), (150, 7))]),
    "new_pod": Target([*DOWN, *DOWN], [*DOWN, *ok(10, 20), *both((30, 1), (40, 1), (50, 1), (60, 1))]),
    "new_pod_with_history": Target([*DOWN, *DOWN], [*DOWN, *both((10, 4), (20, 4), (30, 4), (40, 4))]),
    "restart": Target(both((100, 4), (110, 4)), [*both((120, 4)), *ok(5, 10), *both((15, 1), (20, 1), (25, 1))]),
    "restart_then_first": Target(ok(100, 110), [*ok(120, 5, 10), *both((15, 1), (20, 1), (25, 1))]),
    "broken_path": Target(
        [{'path="/a",status="200"': n} for n in (100, 110)],
        [
            {'path="/a",status="200"': 120},
            *({'path="/a",status="200"': n, 'path="/b",status="500",flag="x"': 2} for n in (130, 140, 150)),
            {'path="/a",status="200"': 160, 'path="/b",status="500",flag="x"': 2, 'path="/c",status="200"': 5},
            {'path="/a",status="200"': 160, 'path="/b",status="500",flag="x"': 2, 'path="/c",status="200"': 5},
        ],
    ),
}

A = {'v="a",status="200"': 100}
TARGETS["version_back"] = Target(
    [A | {'v="b",status="200"': 50, 'v="b",status="503"': 7}, A],
    [A, *[A | {'v="b",status="200"': n, 'v="b",status="503"': 7} for n in (60, 70, 80, 80)]],
)


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        service = self.path.strip("/")
        values = TARGETS[service].scrape()
        lines = [f'http_requests_total{{service="{service}",{labels}}} {n}' for labels, n in values.items()]
        body = "".join(f"{line}\n" for line in ["# TYPE http_requests_total counter", *lines]).encode()
        self.send_response(200 if values else 503)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give a Prometheus that has scraped all scripts to their ends."""
    folder = tmp_path_factory.mktemp("counting")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    port = free_ports(1)[0]
    process = daemon.spawn(_argv(folder, server.server_port, port), log=folder / "prometheus.log")
    try:
        _wait_for_scripts(folder / "prometheus.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        daemon.stop([process])
        server.shutdown()
        thread.join()
        server.server_close()


def _argv(folder: Path, target_port: int, port: int) -> tuple[str, ...]:
    jobs = "".join(
        f"  - {{job_name: {name}, metrics_path: /{name}, static_configs: [{{targets: ['127.0.0.1:{target_port}']}}]}}\n"
        for name in TARGETS
    )
    config = folder / "prometheus.yaml"
    config.write_text(f"global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}\nscrape_configs:\n{jobs}")
    return (
        sandbox.toolbox().need("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    )


def _wait_for_scripts(log: Path) -> None:
    end = CLOCK.monotonic() + 60
    while any(target.scraped <= len(target.before) + len(target.window) for target in TARGETS.values()):
        assert CLOCK.monotonic() < end, f"the scripts were not scraped within 60 s: {log.read_text()[-1000:]}"
        CLOCK.sleep(INTERVAL)


def read(url: str, service: str, interval: timedelta = INTERVAL) -> Reading:
    """Read from the script's mark on, when the window's whole seconds begin just after the mark."""
    since = TARGETS[service].since
    assert since is not None
    age_s = (CLOCK.now() - since).total_seconds()
    CLOCK.sleep(timedelta(seconds=math.ceil(age_s) - age_s + 0.05))
    metrics = Prometheus(url, version_label="v", scrape_interval=interval, timeout=timedelta(seconds=10), clock=CLOCK)
    return metrics.read(ERROR_RATE, Subject(service=service), since)


@pytest.mark.parametrize(
    ("service", "bad", "total"),
    [
        pytest.param("first_error", 1, 51, id="the first error counts, as one"),
        pytest.param("errors_at_once", 3, 33, id="errors since the last sample before the window count"),
        pytest.param("old_errors", 0, 30, id="errors of before the window do not count"),
        pytest.param("growing_errors", 2, 32, id="what had errors before counts by its growth alone"),
        pytest.param("outage", 0, 30, id="what was counted before an outage does not count after it"),
        pytest.param("outage_within", 0, 30, id="an outage within the window changes nothing"),
        pytest.param("new_pod", 1, 51, id="the first error of a pod born in the window counts"),
        pytest.param("new_pod_with_history", 0, 30, id="first values in a pod's first sample are in neither count"),
        pytest.param("restart", 1, 26, id="a restarted pod's new errors count, its old ones do not"),
        pytest.param("restart_then_first", 1, 26, id="the first error after a restart counts"),
        pytest.param("version_back", 0, 20, id="a version that comes back on a live target brings no history"),
        pytest.param("broken_path", 2, 47, id="a path that fails from its first request on counts"),
    ],
)
def test_requests_are_counted(url: str, service: str, bad: int, total: int) -> None:
    """Whatever becomes of a target, its requests in the window are counted once; extrapolation adds some."""
    reading = read(url, service)
    assert reading.problem == ""
    assert reading.bad == pytest.approx(bad, rel=0.3)
    assert reading.total == pytest.approx(total, rel=0.3)
    assert reading.value == pytest.approx(bad / total, rel=0.3)


@pytest.mark.parametrize(("service", "bad"), [("first_error", 1), ("errors_at_once", 3), ("growing_errors", 2)])
def test_an_interval_that_is_set_too_long_changes_nothing(url: str, service: str, bad: int) -> None:
    """Births beside a target that was there before the window need no fine look; nor do series that were there."""
    assert read(url, service, timedelta(seconds=40)).bad == pytest.approx(bad, rel=0.3)


def test_the_ratio_that_leaves_out_first_values_says_so(url: str) -> None:
    """The query that is shown first says how its answer differs, and can be sent as it stands."""
    reading = read(url, "first_error")
    query = reading.queries[0]
    assert f"counted with the first values of new series: {reading.value:.6g}" in query
    answer = httpx2.get(f"{url}/api/v1/query", params={"query": query, "time": reading.at.timestamp()})
    assert [float(item["value"][1]) for item in answer.json()["data"]["result"]] == [0]
    assert "#" not in read(url, "old_errors").queries[0]
