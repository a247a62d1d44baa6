"""Live targets: what a service's ``/metrics`` says, each scrape a bit later in its life."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

DURATION = "http_request_duration_seconds"
PROTOBUF = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"


class Targets:
    """One path for each target; ``stopped`` ends the answers of ``/stops``."""

    def __init__(self) -> None:
        self.stopped = Event()
        self.scraped = {"stops": 0, "classic": 0, "native": 0}
        self.port = 0

    @contextmanager
    def serving(self) -> Iterator[Targets]:
        """Answer scrapes meanwhile."""
        targets = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content_type, body = targets.answer(self.path.strip("/"))
                self.send_response(200 if body else 503)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = server.server_port
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def answer(self, name: str) -> tuple[str, bytes]:
        """Return content type and body of one scrape."""
        self.scraped[name] = n = self.scraped.get(name, 0) + 1
        text = "text/plain; version=0.0.4"
        if name == "stops":
            line = f'http_requests_total{{service="stops",status="200"}} {100 * n}\n'
            return text, b"" if self.stopped.is_set() else f"# TYPE http_requests_total counter\n{line}".encode()
        if name == "native":
            return PROTOBUF, _native("native", 100 * n, {-1: 80 * n, 0: 15 * n, 1: 5 * n})
        lines = [f"# TYPE {DURATION} histogram"]
        for bound, count in (("0.5", 90), ("1", 97), ("+Inf", 100)):
            lines.append(f'{DURATION}_bucket{{service="{name}",le="{bound}"}} {count * n}')
        lines += [f'{DURATION}_sum{{service="{name}"}} {30 * n}', f'{DURATION}_count{{service="{name}"}} {100 * n}', ""]
        return text, "\n".join(lines).encode()


def _native(service: str, total: int, buckets: dict[int, int]) -> bytes:
    """Return a native histogram of schema 0, whose bucket i ends at 2 ** i, as Prometheus' protobuf.

    https://github.com/prometheus/client_model/blob/master/io/prometheus/client/metrics.proto
    """
    counts = [buckets[index] for index in sorted(buckets)]
    deltas = [count - before for count, before in zip(counts, [0, *counts], strict=False)]
    span = _number(1, _zigzag(min(buckets))) + _number(2, len(buckets))
    histogram = (
        _number(1, total)
        + _double(2, 0.3 * total)
        + _number(5, _zigzag(0))
        + _double(6, 1e-128)
        + _number(7, 0)
        + _bytes(12, span)
        + b"".join(_number(13, _zigzag(delta)) for delta in deltas)
    )
    label = _bytes(1, b"service") + _bytes(2, service.encode())
    family = _bytes(1, DURATION.encode()) + _number(3, 4) + _bytes(4, _bytes(1, label) + _bytes(7, histogram))
    return _varint(len(family)) + family


def _zigzag(number: int) -> int:
    return 2 * number if number >= 0 else -2 * number - 1


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _double(field: int, value: float) -> bytes:
    return _varint(field << 3 | 1) + struct.pack("<d", value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value
