"""The traffic source: a small process whose counters follow what the cluster really serves.

It reads Rollouts, Deployments, their ReplicaSets and pods twice a second, sends each version its share of made-up
requests, and shows at ``/metrics`` the counters that the service's pods, cAdvisor and kube-state-metrics would show.
``/faults`` is for drills: PUT replaces the list, DELETE empties it, GET shows it; ``/healthz`` answers 200 while the
cluster could be read lately.

It is light on purpose: no Kubernetes client, no HTTP client, one thread that serves.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Lock, Thread

from pytest_deploy.io.clock import SystemClock
from pytest_deploy.sandbox import local
from pytest_deploy.sandbox.faults import Faults, parse
from pytest_deploy.sandbox.platform import Container, Platform, containers
from pytest_deploy.sandbox.tally import Tally, exposition
from pytest_deploy.sandbox.weights import Object, Version, versions

__all__ = ["Source", "main"]

_TICK = timedelta(seconds=0.5)
_STALE_S = 5.0
"""Without news from the cluster for so long, the source is not healthy."""
_BODY_LIMIT = 64 * 1024
_WORKLOADS = ("/apis/argoproj.io/v1alpha1/rollouts", "/apis/apps/v1/deployments")
_REPLICA_SETS = "/apis/apps/v1/replicasets"
_PODS = "/api/v1/pods"


class Source:
    """What is known of the cluster, the counters, and the faults; shared by the two threads.

    Args:
        monotonic, now: the clock's.
    """

    def __init__(self, monotonic: Callable[[], float], now: Callable[[], datetime]) -> None:
        self._monotonic, self._now = monotonic, now
        self._lock = Lock()
        self._tally, self._platform, self._faults = Tally(), Platform(), Faults()
        self._versions: tuple[Version, ...] = ()
        self._grown, self._heard = monotonic(), float("-inf")

    def tick(self, found: Sequence[Version] | None, seen: Sequence[Container] = ()) -> None:
        """Count the requests since the last tick.

        Args:
            found: who gets which share now; None: the cluster did not answer, and all goes on as it went.
            seen: the containers that are there.
        """
        with self._lock:
            if found is not None:
                self._versions, self._heard = tuple(found), self._monotonic()
                self._platform.see(seen, self._heard)
            self._grow()

    def _grow(self) -> None:
        now = self._monotonic()
        seconds, self._grown = now - self._grown, now
        self._tally.grow(self._faults.play(self._versions, seconds, self._now()), seconds)

    def metrics(self) -> tuple[int, str]:
        """Answer a scrape, with the requests up to this moment."""
        with self._lock:
            self._grow()
            if self._faults.stale:
                return 503, "stale data: the fault of a drill\n"
            platform = self._platform.samples(self._monotonic(), self._faults.hidden)
            return 200, exposition((*self._tally.samples(), *platform))

    def health(self) -> tuple[int, str]:
        """Answer whether the cluster could be read lately."""
        with self._lock:
            age_s = self._monotonic() - self._heard
        return (200, "ok\n") if age_s < _STALE_S else (503, f"the cluster was last read {age_s:.1f} s ago\n")

    def faults(self) -> tuple[int, str]:
        """Answer with the current list."""
        with self._lock:
            return 200, json.dumps([fault.to_json() for fault in self._faults.current]) + "\n"

    def replace_faults(self, body: bytes) -> tuple[int, str]:
        """Take a new list; requests up to now were counted without it."""
        try:
            wanted = parse(json.loads(body))
        except ValueError as error:
            return 400, f"{error}\n"
        with self._lock:
            self._grow()
            self._faults.current = wanted
            self._grow()
        return self.faults()


class _Cluster:
    """Reads the API over one connection that is kept open."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig
        self._server = json.loads(kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
        self._connection: HTTPConnection | None = None

    def look(self) -> tuple[list[Version] | None, list[Container]]:
        """Return what ``Source.tick`` wants."""
        try:
            workloads = [item for path in _WORKLOADS for item in self._items(path)]
            replica_sets, pods = self._items(_REPLICA_SETS), self._items(_PODS)
            return list(versions(workloads, replica_sets, pods)), list(containers(pods))
        except (OSError, HTTPException, ValueError, KeyError) as error:
            print(f"the cluster can't be read: {error!r}", file=sys.stderr, flush=True)  # noqa: T201 - this is its log
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            return None, []

    def _items(self, path: str) -> list[Object]:
        if self._connection is None:
            self._connection = local.connect(self._server, kubeconfig=self._kubeconfig)
        self._connection.request("GET", path, headers={"Accept": "application/json"})
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status == 404:  # its CRD is not applied yet
            return []
        if answer.status != 200:
            msg = f"{path} answers {answer.status}"
            raise ValueError(msg)
        items: list[Object] = json.loads(body)["items"]
        return items


def _handler(source: Source) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 2

        def do_GET(self) -> None:
            gets = {"/metrics": source.metrics, "/healthz": source.health, "/faults": source.faults}
            self._answer(*gets[self.path]()) if self.path in gets else self._answer(404, "not found\n")

        def do_PUT(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            if self.path != "/faults" or length > _BODY_LIMIT:
                self._answer(404 if self.path != "/faults" else 413, "not taken\n")
                return
            self._answer(*source.replace_faults(self.rfile.read(length)))

        def do_DELETE(self) -> None:
            known = self.path == "/faults"
            self._answer(*source.replace_faults(b"[]")) if known else self._answer(404, "not found\n")

        def _answer(self, status: int, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            kind = "text/plain; version=0.0.4" if self.path == "/metrics" else "text/plain"
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Say nothing: there is a scrape each second."""

    return Handler


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until the process is stopped."""
    parser = argparse.ArgumentParser(prog="pytest_deploy.sandbox.traffic", description="The sandbox's traffic source.")
    parser.add_argument("--kubeconfig", type=Path, required=True, help="the sandbox's own, as JSON")
    parser.add_argument("--port", type=int, required=True, help="on 127.0.0.1")
    given = parser.parse_args(argv)
    clock = SystemClock()
    source, cluster = Source(clock.monotonic, clock.now), _Cluster(given.kubeconfig)
    server = HTTPServer(("127.0.0.1", given.port), _handler(source))
    Thread(target=server.serve_forever, daemon=True).start()
    while True:
        source.tick(*cluster.look())
        clock.sleep(_TICK)


if __name__ == "__main__":
    main()
