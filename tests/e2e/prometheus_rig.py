"""A Prometheus with a made-up past and live targets, and a server in front of it that can answer anything."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx2

from pytest_deploy import sandbox
from pytest_deploy.io import daemon
from pytest_deploy.io.clock import SystemClock
from pytest_deploy.sandbox.place import free_ports
from tests.e2e.prometheus_targets import Targets

CLOCK = SystemClock()
LIVE = timedelta(seconds=0.5)
"""Of the live targets."""

Reply = tuple[int, dict[str, str], bytes]
"""Status, headers and body."""


@dataclass(kw_only=True)
class Rig:
    """One running Prometheus of a major version.

    Args:
        front: address of the server in front of it, which answers with ``replies`` while there are any.
        asked: the paths that the front was asked for.
    """

    major: int
    url: str
    front: str
    start: datetime
    targets: Targets
    replies: list[Callable[[], Reply | None]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    @contextmanager
    def answering(self, *replies: Callable[[], Reply | None]) -> Iterator[None]:
        """Let the front answer so, one after the other, the last one for ever; None: as Prometheus does."""
        self.replies[:] = replies
        self.asked.clear()
        try:
            yield
        finally:
            self.replies.clear()


@contextmanager
def running(major: int, blocks: Path, start: datetime, folder: Path) -> Iterator[Rig]:
    """Run one over its own copy of the blocks, until all its live targets were scraped a few times."""
    port = free_ports(1)[0]
    with Targets().serving() as targets:
        shutil.copytree(blocks, folder / "data")
        argv = _argv(major, folder, targets.port, port)
        process = daemon.spawn(argv, log=folder / "prometheus.log")
        url = f"http://127.0.0.1:{port}"
        rig = Rig(major=major, url=url, front="", start=start, targets=targets)
        try:
            _wait(targets, url, folder / "prometheus.log")
            with _front(rig):
                yield rig
        finally:
            daemon.stop([process])


def _argv(major: int, folder: Path, target_port: int, port: int) -> Sequence[str]:
    rules = folder / "rules.yaml"
    rules.write_text(_RULES)
    jobs = [_job("stops"), _job("classic"), _job("native", "scrape_native_histograms: true" if major == 3 else "")]
    if major == 3:
        jobs.append(_job("nhcb", "scrape_native_histograms: true, convert_classic_histograms_to_nhcb: true"))
    config = folder / "prometheus.yaml"
    config.write_text(
        "global: {scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}\n"
        f"rule_files: [{json.dumps(str(rules))}]\nscrape_configs:\n"
        + "".join(f"  - {{{job}, static_configs: [{{targets: ['127.0.0.1:{target_port}']}}]}}\n" for job in jobs)
    )
    return (
        sandbox.toolbox().need("prometheus" if major == 3 else "prometheus2"),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
        *(["--enable-feature=native-histograms"] if major == 2 else []),
    )


def _job(name: str, more: str = "") -> str:
    return ", ".join(filter(None, [f"job_name: {name}, metrics_path: /{name}", more]))


_RULES = """\
groups:
  - name: fires
    rules: [{alert: Burning, expr: vector(1), labels: {service: burning}}]
  - name: rests
    rules: [{alert: Quiet, expr: vector(0) > 1, labels: {service: quiet}}]
  - name: fails
    rules: [{alert: Broken, expr: up * on () up, labels: {service: broken}}]
"""


def _wait(targets: Targets, url: str, log: Path) -> None:
    end = CLOCK.monotonic() + 30
    while not all(count >= 4 for count in targets.scraped.values()) or not _evaluated(url):
        assert CLOCK.monotonic() < end, f"not ready after 30 s: {targets.scraped}; {log.read_text()[-2000:]}"
        CLOCK.sleep(timedelta(milliseconds=100))


def _evaluated(url: str) -> bool:
    try:
        groups = httpx2.get(f"{url}/api/v1/rules").json()["data"]["groups"]
    except (httpx2.HTTPError, ValueError, KeyError):
        return False
    return len(groups) == 3 and all(rule["health"] != "unknown" for group in groups for rule in group["rules"])


@contextmanager
def _front(rig: Rig) -> Iterator[None]:
    class Front(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            rig.asked.append(self.path)
            reply = None
            if rig.replies:
                reply = (rig.replies.pop(0) if len(rig.replies) > 1 else rig.replies[0])()
            if reply is None:
                passed = httpx2.get(rig.url + self.path)
                reply = passed.status_code, {"Content-Type": "application/json"}, passed.content
            status, headers, body = reply
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *args: object) -> None:
            """Say nothing of a client that has hung up."""

    server = Quiet(("127.0.0.1", 0), Front)
    thread = Thread(target=server.serve_forever)
    thread.start()
    rig.front = f"http://127.0.0.1:{server.server_port}"
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
