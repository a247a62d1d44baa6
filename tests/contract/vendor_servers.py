"""Datadog and CloudWatch on this machine: a service whose requests are counted by interval, and bad answers on demand.

They answer as the public references say, and no more than the adapters' requests can ask for:
https://docs.datadoghq.com/api/latest/metrics/ and
https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
"""

from __future__ import annotations

import json
import math
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pytest_deploy.domain.synthetic import BUCKETS_S, bucket_shares
from pytest_deploy.rehearsal.clock import VirtualClock

API_KEY, APP_KEY = "dd-api-5ecret", "dd-app-5ecret"
RATE_PER_S = 20
P95_S = 0.12
_WITHIN = dict(zip(BUCKETS_S, bucket_shares(P95_S * 1000), strict=True))


@dataclass(frozen=True, kw_only=True)
class Second:
    """What one version did in one second that ended at ``at``."""

    at: float
    version: str
    requests: float
    errors: float


@dataclass(kw_only=True)
class Service:
    """A service's requests, second by second, spread over the pods that are ready.

    Args:
        ready: pods by version, now.
        zeros: whether a second without an error is published as 0, or not at all.
    """

    clock: VirtualClock
    ready: Callable[[], Mapping[str, int]]
    zeros: bool = True
    error_ratio: dict[str, float] = field(default_factory=dict)
    stopped: bool = False
    seconds: list[Second] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock.after(timedelta(seconds=1), self._tick)

    def _tick(self) -> None:
        self.clock.after(timedelta(seconds=1), self._tick)
        if self.stopped:
            return
        ready = self.ready()
        # Half a second back, so that no second lies on an interval's edge.
        at = self.clock.now().timestamp() - 0.5
        for version, pods in ready.items():
            requests = RATE_PER_S * pods / max(1, sum(ready.values()))
            errors = requests * self.error_ratio.get(version, 0.0)
            self.seconds.append(Second(at=at, version=version, requests=requests, errors=errors))

    def points(self, what: str, version: str | None, since: float, until: float, step: float) -> dict[float, float]:
        """Return a point for each interval on the grid that begins in [since, until)."""
        found: dict[float, float] = {}
        for second in self.seconds:
            start = math.floor(second.at / step) * step
            if not since <= start < until or (version is not None and second.version != version):
                continue
            if what == "p95":
                found[start] = P95_S
                continue
            amount = second.requests
            if what == "errors":
                amount = second.errors
            elif what.startswith("slow"):
                amount *= 1 - _WITHIN[float(what.removeprefix("slow"))]
            if amount or self.zeros:
                found[start] = found.get(start, 0.0) + amount
        return found


@dataclass(frozen=True, kw_only=True)
class Bad:
    """An answer out of turn; ``body`` is JSON unless it is bytes."""

    status: int = 200
    body: object = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    hang_s: float = 0.0


@dataclass(kw_only=True)
class Vendor:
    """A server at ``url``; the answers in ``bad`` are given first, the last of them for ever where ``stuck``."""

    service: Service
    name: str
    url: str = ""
    bad: list[Bad] = field(default_factory=list)
    stuck: bool = False
    asked: list[tuple[str, Mapping[str, str], Any]] = field(default_factory=list)
    page: int = 1000
    change: Callable[[Any], Any] = lambda answer: answer

    def answer(self, path: str, headers: Mapping[str, str], body: bytes) -> Bad:
        """Return what is answered."""
        request = json.loads(body) if body else parse_qs(urlsplit(path).query)
        self.asked.append((urlsplit(path).path, headers, request))
        if self.bad:
            return self.bad[0] if self.stuck and len(self.bad) == 1 else self.bad.pop(0)
        if self.name == "datadog":
            return self._datadog(urlsplit(path).path, headers, request)
        return self._cloudwatch(headers, request)

    def _datadog(self, path: str, headers: Mapping[str, str], request: Any) -> Bad:
        if (headers.get("dd-api-key"), headers.get("dd-application-key")) != (API_KEY, APP_KEY):
            return Bad(status=403, body={"errors": ["Forbidden"]})
        if path == "/api/v1/query":
            since, until, text = (request[name][0] for name in ("from", "to", "query"))
            points = self._datadog_points(text, float(since), float(until), 20)
            if points is None:
                body = {"status": "error", "error": f"Error parsing query: unable to parse {text}: Rule 'scope_expr'"}
                return Bad(status=400, body={**body, "errors": [body["error"]]})
            pointlist = [[at * 1000, value] for at, value in points.items()]
            series = [{"scope": "service:shop", "interval": 20, "pointlist": pointlist, "query_index": 0}]
            answer: Any = {"status": "ok", "res_type": "time_series", "series": series if pointlist else []}
            return Bad(body=self.change(answer))
        assert path == "/api/v2/query/timeseries"
        ask = request["data"]["attributes"]
        step = ask["interval"] / 1000
        texts = [query["query"] for query in ask["queries"]]
        found = [self._datadog_points(text, ask["from"] / 1000, ask["to"] / 1000, step) for text in texts]
        if None in found:
            return Bad(status=400, body={"errors": ["Error parsing query"]})
        times = sorted({at for points in found for at in points or {}})
        shown = [(index, points) for index, points in enumerate(found) if points]
        attributes = {
            "series": [{"group_tags": [], "query_index": index, "unit": None} for index, _ in shown],
            "times": [round(at * 1000) for at in times],
            "values": [[points.get(at) for at in times] for _, points in shown],
        }
        return Bad(body=self.change({"data": {"type": "timeseries_response", "attributes": attributes}}))

    def _datadog_points(self, text: str, since: float, until: float, step: float) -> dict[float, float] | None:
        match = re.fullmatch(
            r"(sum|p95):http\.(requests|errors|slow|time)\{service:([^,]+),version:([^,]+?)(?:,over:([\d.]+))?\}(\.as_count\(\))?",
            text,
        )
        if match is None:
            return None
        _, what, service, version, over, _ = match.groups()
        if service != "shop":
            return {}
        what = "p95" if what == "time" else what + (over or "")
        first = math.floor(since / step) * step
        return self.service.points(what, None if version == "*" else version, first, until, step)

    def _cloudwatch(self, headers: Mapping[str, str], request: Any) -> Bad:
        assert headers["x-amz-target"] == "GraniteServiceVersion20100801.GetMetricData"
        skip = int(request.get("NextToken", "0"))
        results = []
        for query in request["MetricDataQueries"]:
            if "MetricStat" not in query:
                return Bad(
                    status=400,
                    body={"__type": "ValidationError", "message": f"Error in expression '{query['Id']}': Unsupported"},
                    headers={"x-amzn-query-error": "ValidationError;Sender"},
                )
            metric, period, stat = (query["MetricStat"][name] for name in ("Metric", "Period", "Stat"))
            assert request["StartTime"] % period == request["EndTime"] % period == 0
            dimensions = {each["Name"]: each["Value"] for each in metric["Dimensions"]}
            points = {}
            if dimensions.get("Service") == "shop":
                what = _statistic(metric["MetricName"], stat)
                points = self.service.points(
                    what, dimensions.get("Version"), request["StartTime"], request["EndTime"], period
                )
            page = list(points.items())[skip : skip + self.page]
            results.append(
                {
                    "Id": query["Id"],
                    "Label": f"{metric['MetricName']} {stat}",
                    "Timestamps": [at for at, _ in page],
                    "Values": [value for _, value in page],
                    "StatusCode": "PartialData" if len(points) > skip + self.page else "Complete",
                }
            )
        answer: dict[str, Any] = {"MetricDataResults": results, "Messages": []}
        if any(each["StatusCode"] == "PartialData" for each in results):
            answer["NextToken"] = str(skip + self.page)
        return Bad(body=self.change(answer))


def _statistic(metric: str, stat: str) -> str:
    if metric == "Errors":
        return "errors"
    if metric == "Requests" or stat == "SampleCount":
        return "requests"
    slower = re.fullmatch(r"TC\(([\d.]+):\)", stat)
    return f"slow{slower[1]}" if slower else stat


@contextmanager
def serve(name: str, service: Service) -> Iterator[Vendor]:
    """Let the vendor answer on a port of its own."""
    vendor = Vendor(service=service, name=name)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._handle()

        def do_POST(self) -> None:
            self._handle()

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            answer = vendor.answer(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            time.sleep(answer.hang_s)
            raw = isinstance(answer.body, bytes)
            content = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            kind = "application/json" if name == "datadog" else "application/x-amz-json-1.0"
            self.send_response_only(answer.status)
            headers = {"content-type": "text/html" if raw else kind, **answer.headers}
            headers.setdefault("date", format_datetime(_whole(service.clock.now()), usegmt=True))
            for header, value in headers.items():
                self.send_header(header, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            try:
                self.wfile.write(content)
            except OSError:  # the client has gone, as it does when we hang
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    vendor.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield vendor
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _whole(at: datetime) -> datetime:
    return at.replace(microsecond=0)
