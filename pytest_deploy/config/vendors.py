"""``metrics.datadog`` and ``metrics.cloudwatch`` of deploy.yaml: where the gates read, in the vendor's own words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from pytest_deploy.config.fields import HttpUrl, PositiveNumber, Text
from pytest_deploy.config.secrets import NamedSecret
from pytest_deploy.config.section import Section
from pytest_deploy.domain.quantity import parse_latency

__all__ = ["CloudWatchMetric", "CloudWatchSection", "DatadogSection", "one_subject", "quantile_of"]

_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,3})?)")
_SECONDS = {"s": timedelta(seconds=1), "ms": timedelta(milliseconds=1), "us": timedelta(microseconds=1)}
_VERSION = "{version}"


def _percentile(value: str) -> str:
    match = _PERCENTILE.fullmatch(value)
    if match is None or not 0 < float(match[1]) < 100:
        raise ValueError(f"{value!r} is no percentile: p50, p95, p99.9")
    return value


def _bound(value: str) -> str:
    parse_latency(value)
    return value


def _count(value: str) -> str:
    if ".as_count()" not in value:
        raise ValueError(f"{value!r} yields rates, not counts: put .as_count() after the scope")
    return value


def _period(value: float) -> float:
    if value not in {1, 5, 10, 20, 30} and value % 60:
        raise ValueError(f"{value:g} is no period of CloudWatch: 1, 5, 10, 20, 30 or a multiple of 60 seconds")
    return value


Percentile = Annotated[str, AfterValidator(_percentile)]
Bound = Annotated[str, AfterValidator(_bound)]
Count = Annotated[Text, AfterValidator(_count)]
Unit = Literal["s", "ms", "us"]


def quantile_of(percentile: str) -> float:
    """Return 0.95 for ``p95``, exactly as a gate's text yields it."""
    return round(float(percentile.removeprefix("p")) / 100, 10)


class DatadogSection(Section):
    """``metrics.datadog``: queries of the team's own; each must yield one series.

    The tokens {service}, {version}, {namespace}, {workload} and {window} are replaced; where no version is asked for
    {version} is ``*``.
    """

    url: HttpUrl = Field(default="https://api.datadoghq.com", examples=["https://api.datadoghq.eu"])
    """Address of your site's API. Default: that of US1, Datadog's first site."""
    api_key: NamedSecret = Field(default="${env:DD_API_KEY}", examples=["${env:DD_API_KEY}"])
    """Named, never written out. Default: the variable that Datadog's own tools read."""
    app_key: NamedSecret = Field(default="${env:DD_APP_KEY}", examples=["${file:/run/secrets/dd-app-key}"])
    """Application key with the scope timeseries_query; named, too. Default: as above."""
    api: Literal["v1", "v2"] = Field(default="v2", examples=["v2"])
    """Which metrics query is asked. v2: all counts of a gate come in one answer, at one interval that we choose; v1
    answers one query a request, at an interval that Datadog chooses."""
    requests: Count = Field(
        examples=["sum:trace.http.request.hits{service:{service},pod_template_hash:{version}}.as_count()"]
    )
    """Query that counts requests. No default: only you know how your metrics are called."""
    errors: Count = Field(
        examples=["sum:trace.http.request.errors{service:{service},pod_template_hash:{version}}.as_count()"]
    )
    """Query that counts those of them that failed; none at all are 0. No default."""
    latency: Mapping[Percentile, Text] = Field(
        default_factory=dict,
        examples=[{"p95": "p95:trace.http.request{service:{service},pod_template_hash:{version}}"}],
    )
    """By percentile, the query that yields it. None by default: a latency gate needs one of its own percentile."""
    latency_unit: Unit = Field(default="s", examples=["ms"])
    """Unit of these percentiles: s, ms or us. "s": that of Datadog's trace metrics."""
    slow: Mapping[Bound, Count] = Field(
        default_factory=dict,
        examples=[{"300 ms": "sum:http.slow{service:{service},over:300ms,pod_template_hash:{version}}.as_count()"}],
    )
    """By a latency, the query that counts the requests that took longer. A gate with that limit is then judged by
    counts, others by the counts below and above. None by default: percentiles alone are judged by the plain rule."""
    interval_s: PositiveNumber = Field(default=20, examples=[20])
    """Seconds that one point stands for. 20: Datadog's own for up to an hour; its Agent sends every 10 to 15 s."""
    delay_s: PositiveNumber = Field(default=15, examples=[15])
    """Seconds for which the newest points may still grow, so that they are not read yet. 15: how often the Agent
    sends."""
    timeout_s: PositiveNumber = Field(default=10, examples=[10])
    """Seconds that one request may take. 10: below one interval, so that one slow answer costs no point."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        one_subject({"requests": self.requests, "errors": self.errors, **self.latency, **self.slow})
        return self

    @property
    def tells_versions_apart(self) -> bool:
        """Whether a version has series of its own."""
        return _VERSION in self.requests

    @property
    def unit(self) -> timedelta:
        """What a percentile's 1 is."""
        return _SECONDS[self.latency_unit]

    @property
    def percentiles(self) -> Mapping[float, str]:
        """The latency's queries by quantile."""
        return {quantile_of(name): text for name, text in self.latency.items()}

    @property
    def slow_queries(self) -> Mapping[float, str]:
        """The counts of slow requests by their bound in seconds."""
        return {parse_latency(bound).total_seconds(): text for bound, text in self.slow.items()}


class CloudWatchMetric(Section):
    """One metric with its dimensions, or an expression."""

    namespace: Text | None = Field(default=None, examples=["AWS/ApplicationELB"])
    """With ``metric``; None: an expression is given."""
    metric: Text | None = Field(default=None, examples=["RequestCount"])
    """Name of the metric; None: as above."""
    dimensions: Mapping[Text, Text] = Field(default_factory=dict, examples=[{"Service": "{service}"}])
    """All dimensions that it was published with: CloudWatch takes others for another metric. One that holds {version}
    is left out where no version is asked for. None by default."""
    stat: Text | None = Field(default=None, examples=["Sum"])
    """Statistic. None: Sum for counts, the percentile for a latency."""
    expression: Text | None = Field(
        default=None, examples=["SUM(SEARCH('{Acme,Service} Service={service}', 'Sum', 60))"]
    )
    """Metric math or a Metrics Insights query that yields one series. None: ``namespace`` and ``metric`` are given."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        named = self.namespace is not None and self.metric is not None
        rest = [self.namespace, self.metric, self.stat, self.dimensions or None]
        if named == (self.expression is not None) or (self.expression is not None and any(rest)):
            raise ValueError("give namespace and metric with its dimensions, or an expression alone")
        return self

    @property
    def texts(self) -> str:
        """All that may hold tokens."""
        return self.expression or " ".join(self.dimensions.values())


class CloudWatchSection(Section):
    """``metrics.cloudwatch``: needs the extra ``cloudwatch`` (boto3), whose usual places give the credentials.

    They must allow cloudwatch:GetMetricData. The tokens {service}, {version}, {namespace}, {workload} and {window} are
    replaced in dimensions and expressions.
    """

    region: str = Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$", examples=["eu-west-1"])
    """AWS region. No default: a variable of the shell must not decide which metrics are judged."""
    requests: CloudWatchMetric
    """Counts requests. No default: only you know how your metrics are called."""
    errors: CloudWatchMetric
    """Counts those of them that failed; none at all are 0. No default."""
    latency: Mapping[Percentile, CloudWatchMetric] = Field(default_factory=dict)
    """By percentile, a metric (its slow requests are counted, too) or an expression (the percentile alone is known).
    None by default: a latency gate needs one of its own percentile."""
    latency_unit: Unit = Field(default="s", examples=["ms"])
    """Unit of the latency: s, ms or us. "s": that of a load balancer's TargetResponseTime."""
    period_s: Annotated[PositiveNumber, AfterValidator(_period)] = Field(default=60, examples=[60])
    """Seconds that one point stands for. 60: the shortest for which metrics of the usual resolution have points."""
    delay_s: PositiveNumber = Field(default=60, examples=[60])
    """Seconds for which the newest points may still grow, so that they are not read yet. 60: AWS's services publish
    each minute. The window loses as much, so it should last five times as long."""
    timeout_s: PositiveNumber = Field(default=10, examples=[10])
    """Seconds that one request may take. 10: far below one period."""
    endpoint_url: HttpUrl | None = Field(default=None, examples=["https://monitoring.vpce.example.com"])
    """Address of the API, such as a VPC endpoint's. None: AWS's public one."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        latency = {name: each.texts for name, each in self.latency.items()}
        one_subject({"requests": self.requests.texts, "errors": self.errors.texts, **latency})
        return self

    @property
    def tells_versions_apart(self) -> bool:
        """Whether a version has series of its own."""
        return _VERSION in self.requests.texts

    @property
    def unit(self) -> timedelta:
        """What the latency's 1 is."""
        return _SECONDS[self.latency_unit]


def one_subject(texts: Mapping[str, str]) -> None:
    """Raise ValueError where some of the texts ask for a version and others do not."""
    of_version = [name for name, text in texts.items() if _VERSION in text]
    others = [name for name, text in texts.items() if _VERSION not in text]
    if of_version and others:
        raise ValueError(
            f"{', '.join(of_version)} ask for {_VERSION}, {', '.join(others)} do not: they would count the requests of "
            "different pods; let all of them ask for it, or none"
        )
