"""CloudWatch's GetMetricData through boto3: queries go out, one series comes back for each.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
"""

from __future__ import annotations

import importlib
import math
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pytest_deploy.adapters.vendor_series import Series
from pytest_deploy.errors import ConfigError, Faulted, MeasurementError, Rejected, RemoteError, Throttled, Unreachable
from pytest_deploy.io.retry import TryAgain, patiently

if TYPE_CHECKING:
    from pytest_deploy.ports import Clock

__all__ = ["Api", "Expression", "Found", "Metric"]

_PAGES = 50
"""Arbitrary: a page holds 100,800 points, a deploy asks for some hundred."""
_NOT_ITSELF = "is this the service itself, or a proxy's or a login page?"
_THROTTLES = {
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
    "SlowDown",
}
"""As botocore's own retries have them (botocore/retries/standard.py)."""
_WRONG_QUERY = {
    "ValidationError",
    "ValidationException",
    "InvalidParameterValue",
    "InvalidParameterCombination",
    "MissingParameter",
    "MissingRequiredParameter",
}
"""https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CommonErrors.html"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric and its statistic, such as ``Sum``, ``p95`` or ``TC(0.3:)``."""

    namespace: str
    metric: str
    dimensions: Mapping[str, str]
    stat: str

    @property
    def words(self) -> str:
        """As reports write it."""
        dimensions = "".join(f",{name}={value}" for name, value in self.dimensions.items())
        return f"{self.stat} of {self.namespace}/{self.metric}{{{dimensions.removeprefix(',')}}}"

    def query(self, period_s: int) -> dict[str, Any]:
        """Return it as a MetricDataQuery without its Id."""
        dimensions = [{"Name": name, "Value": value} for name, value in self.dimensions.items()]
        metric = {"Namespace": self.namespace, "MetricName": self.metric, "Dimensions": dimensions}
        return {"MetricStat": {"Metric": metric, "Period": period_s, "Stat": self.stat}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """A metric math expression, or a Metrics Insights query."""

    expression: str

    @property
    def words(self) -> str:
        """As reports write it."""
        return self.expression

    def query(self, period_s: int) -> dict[str, Any]:
        """Return it as a MetricDataQuery without its Id."""
        return {"Expression": self.expression, "Period": period_s}

    @property
    def alone(self) -> bool:
        """Whether no second one of its kind may stand in a request: a Metrics Insights query."""
        return self.expression.lstrip().upper().startswith("SELECT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An answer.

    Args:
        series: of each query, in order; None where there is none.
        problem: what CloudWatch says against its completeness; "" when it is whole.
        server_time: when it answered, by its own clock.
    """

    series: tuple[Series | None, ...]
    problem: str
    server_time: datetime


@dataclass(kw_only=True)
class _Merged:
    """What the pages of one request say of each query: points and last status by label."""

    points: dict[int, dict[str, dict[datetime, float]]] = field(default_factory=dict)
    status: dict[tuple[int, str], str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    server_time: datetime | None = None


class Api:
    """One region.

    Args:
        endpoint_url: None: AWS's own.
        timeout: for one request, its retries included.
        client: what answers ``get_metric_data``, for tests; None: boto3's, with the credentials that boto3 finds.
    """

    def __init__(
        self, region: str, *, endpoint_url: str | None, timeout: timedelta, clock: Clock, client: object | None
    ) -> None:
        self._region = region
        self._endpoint_url = endpoint_url
        self._timeout = timeout
        self._clock = clock
        self._given = client
        self._secrets: tuple[str, ...] = ()

    def ask(self, queries: Sequence[Metric | Expression], since: datetime, until: datetime, period: timedelta) -> Found:
        """Return the series of all queries.

        Args:
            since, until: on the grid of the period; ``until`` itself is not in it.

        Raises:
            MeasurementError: CloudWatch refuses a query as wrong.
            Unreachable, Throttled, Rejected: there is no answer.
            Faulted: one that makes no sense, or several series for one query.
            ConfigError: boto3 is not installed.
        """
        period_s = round(period.total_seconds())
        numbered = [(index, {"Id": f"q{index}", **query.query(period_s)}) for index, query in enumerate(queries)]
        single = {index for index, query in enumerate(queries) if isinstance(query, Expression) and query.alone}
        together = [query for index, query in numbered if index not in single]
        merged = _Merged()
        for request in filter(None, [together, *([query] for index, query in numbered if index in single)]):
            self._pages({"MetricDataQueries": request, "StartTime": since, "EndTime": until}, merged)
        if merged.server_time is None:
            raise Faulted("CloudWatch answered without a Date header, so its time is not known")
        incomplete = [
            f"{label or f'q{at}'}: {said}" for (at, label), said in merged.status.items() if said != "Complete"
        ]
        return Found(
            series=tuple(_only(query.words, merged.points.get(at, {}), period) for at, query in enumerate(queries)),
            problem="; ".join(dict.fromkeys([*incomplete, *merged.messages])),
            server_time=merged.server_time,
        )

    def _pages(self, request: dict[str, Any], merged: _Merged) -> None:
        more: dict[str, Any] = {"ScanBy": "TimestampAscending"}
        for _ in range(_PAGES):
            page = patiently(lambda _left: self._page({**request, **more}), clock=self._clock, patience=self._timeout)
            try:
                _merge(page, merged)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise Faulted("CloudWatch answered with a result that is no metric data", hint=_NOT_ITSELF) from error
            token = page.get("NextToken")
            if not token:
                return
            more["NextToken"] = token
        raise Faulted(f"CloudWatch answered with more than {_PAGES} pages", hint="narrow the query")

    def _page(self, request: dict[str, Any]) -> Mapping[str, Any]:
        client = self._client
        try:
            page: Mapping[str, Any] = client.get_metric_data(**request)
        except Exception as error:  # noqa: BLE001 - botocore lets its parsers' errors through
            # Not chained: botocore's own texts repeat what was signed, session tokens included.
            raise self._translated(error) from None
        return page

    @cached_property
    def _client(self) -> Any:
        if self._given is not None:
            return self._given
        try:
            boto3 = importlib.import_module("boto3")
            config = importlib.import_module("botocore.config")
        except ImportError as error:
            raise ConfigError(
                ["metrics.cloudwatch needs boto3, which is not installed"],
                hint="pip install 'pytest-deploy[cloudwatch]'",
            ) from error
        timeout_s = self._timeout.total_seconds()
        session = boto3.session.Session()
        found = session.get_credentials()
        frozen = found.get_frozen_credentials() if found is not None else ()
        self._secrets = tuple(text for text in frozen if text)
        client = session.client(
            "cloudwatch",
            region_name=self._region,
            endpoint_url=self._endpoint_url,
            config=config.Config(
                connect_timeout=min(timeout_s, 5.0), read_timeout=timeout_s, retries={"total_max_attempts": 1}
            ),
        )
        weakref.finalize(self, client.close)
        return client

    def _translated(self, error: Exception) -> Exception:
        """Return the error as ours; one that may pass within TryAgain."""
        kind, response = type(error).__name__, getattr(error, "response", None)
        if isinstance(response, dict):
            return self._refusal(response)
        where = f"CloudWatch ({self._region})"
        if kind in {"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "TokenRetrievalError"}:
            return Rejected(
                f"{where}: no AWS credentials were found ({kind})", hint="give AWS_PROFILE, or a role for this machine"
            )
        if kind in {"ParamValidationError", "InvalidRegionError"}:
            return MeasurementError(f"{where}: {self._hidden(error)}", hint="correct metrics.cloudwatch")
        if any(base.__name__ in {"HTTPClientError", "ConnectionError"} for base in type(error).__mro__):
            return TryAgain(
                Unreachable(f"{where} does not answer: {kind}", hint="check the region, endpoint_url and the network")
            )
        return Faulted(
            f"{where} answered with what is no answer of its API ({kind})",
            hint=_NOT_ITSELF,
        )

    def _refusal(self, response: Mapping[str, Any]) -> Exception:
        said, meta = response.get("Error") or {}, response.get("ResponseMetadata") or {}
        code, status = str(said.get("Code", "no code")), int(meta.get("HTTPStatusCode") or 0)
        text = f"CloudWatch ({self._region}) answered {status} {code[:80]}: {self._hidden(said.get('Message', ''))}"
        error: RemoteError
        if code in _THROTTLES or status == 429:
            error = Throttled(text, hint="it asked us to slow down")
            return TryAgain(error)
        if status >= 500:
            error = Faulted(text)
            return TryAgain(error)
        if code in _WRONG_QUERY:
            return MeasurementError(text, hint="correct the query in metrics.cloudwatch or metrics.queries")
        if 400 <= status < 500:
            return Rejected(text, hint="the credentials must be valid and allow cloudwatch:GetMetricData")
        return Faulted(text, hint=_NOT_ITSELF)

    def _hidden(self, said: object) -> str:
        text = " ".join(str(said).split())
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return "an HTML page" if text.lstrip().startswith("<") else text[:300]


def _merge(page: Mapping[str, Any], merged: _Merged) -> None:
    headers = page["ResponseMetadata"]["HTTPHeaders"]
    if "date" in headers:
        merged.server_time = parsedate_to_datetime(headers["date"]).astimezone(UTC)
    merged.messages += [_message(each) for each in page.get("Messages", ())]
    here: set[tuple[int, str]] = set()
    for result in page["MetricDataResults"]:
        at, label = int(result["Id"].removeprefix("q")), str(result.get("Label", ""))
        while (at, label) in here:  # another series with the same label; on the next page it is the same series
            label += "'"
        here.add((at, label))
        points = merged.points.setdefault(at, {}).setdefault(label, {})
        for time, value in zip(result["Timestamps"], result["Values"], strict=True):
            if math.isfinite(value):
                points[time.astimezone(UTC)] = float(value)
        merged.status[at, label] = str(result.get("StatusCode", "no status"))
        merged.messages += [f"{label}: {_message(each)}" for each in result.get("Messages", ())]


def _message(each: Mapping[str, Any]) -> str:
    return f"{each.get('Code', '')} {str(each.get('Value', ''))[:200]}".strip()


def _only(text: str, by_label: Mapping[str, Mapping[datetime, float]], period: timedelta) -> Series | None:
    if len(by_label) > 1:
        labels = ", ".join(map(repr, list(by_label)[:5]))
        raise Faulted(
            f"CloudWatch answered with {len(by_label)} series where one was expected ({labels}), to: {text}",
            hint="aggregate it with SUM(), or without GROUP BY",
        )
    return next((Series(points=points, interval=period) for points in by_label.values()), None)
