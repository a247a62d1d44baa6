"""``metrics`` and ``gate`` of deploy.yaml: what the gates are judged on, how they decide, and what follows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from pytest_deploy.config.fields import HttpUrl, MetricName, Minutes, NotNull, PositiveNumber, Text, variables
from pytest_deploy.config.paths import ExistingFile
from pytest_deploy.config.secrets import NamedSecret
from pytest_deploy.config.section import Section
from pytest_deploy.config.vendors import CloudWatchSection, DatadogSection, Percentile, one_subject
from pytest_deploy.domain.evidence_judge import EvidenceJudge
from pytest_deploy.domain.judge import Contract, Judge, RuleBook
from pytest_deploy.domain.policy import Policy, Response
from pytest_deploy.domain.query import Query
from pytest_deploy.domain.verdict import VerdictKind

__all__ = ["BasicAuthSection", "GateSection", "MetricsSection", "PrometheusSection", "QuerySection"]


class QuerySection(Section):
    """``metrics.queries.NAME``: a number of the team's own that a gate may limit."""

    query: Text = Field(examples=['sum(queue_depth{service="{service}"})'])
    """In the server's own language, one number as its answer. The tokens {service}, {version}, {namespace},
    {workload} and {window} are replaced. No default."""
    unit: str = Field(default="", max_length=20, pattern=r"^[^\s\d].*$|^$", examples=["messages"])
    """Unit that a gate must name with its limit; "%" where the answer is a ratio. None by default."""


class BasicAuthSection(Section):
    """``metrics.prometheus.basic_auth``: a user with a password."""

    username: Text = Field(examples=["deploy"])
    """No default."""
    password: NamedSecret = Field(examples=["${env:PROMETHEUS_PASSWORD}"])
    """Named, never written out. No default."""


class PrometheusSection(Section):
    """``metrics.prometheus``: where the gates read; Thanos, Mimir and VictoriaMetrics speak its API too."""

    url: HttpUrl = Field(examples=["https://prometheus.example.com"])
    """Address of the HTTP API, without /api/v1. No default."""
    version_label: MetricName | None = Field(default=None, examples=["rollouts_pod_template_hash"])
    """Label whose value is the pod-template hash. None: see ``pod_label`` and ``canary_labels``; where none of the
    three is set only service-wide series exist, and each gate says so."""
    pod_label: MetricName | None = Field(default=None, examples=["pod"])
    """Label whose value is the pod's name, which begins with the Rollout's name and the pod-template hash."""
    canary_labels: Mapping[MetricName, Text] = Field(default_factory=dict, examples=[{"track": "canary"}])
    """Labels of the canary's series, where a mesh or a relabelling sets some. Needs ``stable_labels``."""
    stable_labels: Mapping[MetricName, Text] = Field(default_factory=dict, examples=[{"track": "stable"}])
    """Labels of the stable version's series."""
    requests_metric: MetricName = Field(default="http_requests_total", examples=["http_requests_total"])
    """Counter of requests. Default: the name that most HTTP instrumentations use."""
    duration_metric: MetricName = Field(
        default="http_request_duration_seconds", examples=["http_request_duration_seconds"]
    )
    """Histogram of durations in seconds, classic (without _bucket) or native. Default: as above."""
    service_label: MetricName = Field(default="service", examples=["service"])
    """Label whose value is the service's name. "service" is what the Prometheus operator sets."""
    namespace_label: MetricName = Field(default="namespace", examples=["namespace"])
    """Label whose value is the Kubernetes namespace. Where the service's series carry the environment's, only these
    are read: staging's must not be taken for production's. "namespace" is what the Prometheus operator sets."""
    status_label: MetricName = Field(default="status", examples=["status"])
    """Label whose value is the HTTP status code; 5xx counts as an error."""
    scrape_interval_s: PositiveNumber = Field(default=15, examples=[15])
    """Seconds between two samples; older ones count as stale. 15: the usual scrape_interval."""
    timeout_s: PositiveNumber = Field(default=10, examples=[10])
    """Seconds that one query may take. 10: below one scrape interval, so that one slow answer costs no sample."""
    requests_query: Text | None = Field(
        default=None, examples=['sum(increase(envoy_cluster_upstream_rq{version="{version}"}[{window}]))']
    )
    """Whole query that counts the requests of {window}, in the place of ``requests_metric``; with ``errors_query``.
    None: the names above make it."""
    errors_query: Text | None = Field(
        default=None, examples=['sum(increase(envoy_cluster_upstream_rq_5xx{version="{version}"}[{window}]))']
    )
    """Whole query that counts those of them that failed; without any series nothing did. None: as above."""
    latency_queries: Mapping[Percentile, Text] = Field(
        default_factory=dict, examples=[{"p95": 'max(service_latency_seconds{version="{version}",quantile="0.95"})'}]
    )
    """By percentile, a whole query that yields it in seconds; with ``requests_query``. Judged by the plain rule, as
    nothing is counted. None: the buckets of ``duration_metric`` are counted, which proves more."""
    basic_auth: BasicAuthSection | None = None
    """User and password. None: nobody is told who asks."""
    bearer_token: NamedSecret | None = Field(default=None, examples=["${env:PROMETHEUS_TOKEN}"])
    """Token for the Authorization header. None: no token."""
    headers: Mapping[Text, Text] = Field(default_factory=dict, examples=[{"X-Scope-OrgID": "acme"}])
    """More headers, such as a tenant's; a value may be a named secret. None by default."""
    ca_file: ExistingFile | None = Field(default=None, examples=["ca.pem"])
    """Certificates that the server's is checked against. None: the system's."""
    cert_file: ExistingFile | None = Field(default=None, examples=["client.pem"])
    """Client certificate, with ``key_file``. None: no client certificate."""
    key_file: ExistingFile | None = Field(default=None, examples=["client.key"])
    """Key of the client certificate."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if bool(self.canary_labels) != bool(self.stable_labels):
            raise ValueError("canary_labels and stable_labels belong together: give both or none")
        ways = [bool(self.version_label), bool(self.pod_label), bool(self.canary_labels)]
        if sum(ways) > 1:
            raise ValueError("version_label, pod_label and canary_labels each tell versions apart: give one of them")
        if (self.requests_query is None) != (self.errors_query is None):
            raise ValueError("requests_query and errors_query belong together: give both or none")
        if self.requests_query is not None and self.errors_query is not None:
            latency = {f"latency_queries.{name}": text for name, text in self.latency_queries.items()}
            one_subject({"requests_query": self.requests_query, "errors_query": self.errors_query, **latency})
        if self.latency_queries and self.requests_query is None:
            raise ValueError("latency_queries need requests_query: a percentile of unknown requests proves nothing")
        if self.basic_auth is not None and self.bearer_token is not None:
            raise ValueError("basic_auth and bearer_token exclude each other: there is one Authorization header")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file belong together: give both or none")
        return self


class MetricsSection(Section):
    """``metrics``: what the gates are judged on; it can't be off."""

    prometheus: Annotated[PrometheusSection | None, NotNull] = None
    """Prometheus, or what speaks its API. One of the three must be there."""
    datadog: Annotated[DatadogSection | None, NotNull] = None
    """Datadog."""
    cloudwatch: Annotated[CloudWatchSection | None, NotNull] = None
    """CloudWatch."""
    queries: Mapping[Text, QuerySection] = Field(default_factory=dict)
    """Numbers of the team's own, by the name that a gate calls them by; the name of one that ships replaces it."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        found = [name for name in ("prometheus", "datadog", "cloudwatch") if getattr(self, name) is not None]
        if len(found) != 1:
            said = " and ".join(found) or "none of them"
            raise ValueError(f"found {said}: give exactly one of prometheus, datadog and cloudwatch")
        return self

    @property
    def scrape_interval(self) -> timedelta:
        """How often the provider takes samples."""
        if self.prometheus is not None:
            return timedelta(seconds=self.prometheus.scrape_interval_s)
        if self.datadog is not None:
            return timedelta(seconds=self.datadog.interval_s)
        return timedelta(seconds=self.cloudwatch.period_s if self.cloudwatch is not None else 0)

    @property
    def tells_versions_apart(self) -> bool:
        """Whether a version has series of its own."""
        if self.prometheus is not None:
            p = self.prometheus
            if p.requests_query is not None:
                return "{version}" in p.requests_query
            return bool(p.version_label or p.pod_label or p.canary_labels)
        vendor = self.datadog or self.cloudwatch
        return vendor is not None and vendor.tells_versions_apart

    @property
    def named_queries(self) -> Mapping[str, Query]:
        """The team's queries, as the adapters take them."""
        return {name: Query(name=name, text=each.query, unit=each.unit) for name, each in self.queries.items()}


class GateSection(Section):
    """``gate``: how the gates decide, and what follows when one is not PASS."""

    judge: RuleBook = Field(default=RuleBook.EVIDENCE, examples=["evidence"])
    """Which rule book speaks. ``evidence``: exact tests on the counts of all steps together, which neither passes
    without proof nor fails on one unlucky request; ``contract``: the plain limit at the window's end."""
    min_requests: int = Field(default=100, ge=1, examples=[100])
    """Requests below which no window passes, for ``contract``. 100: with fewer, one failure alone is more than 1 %."""
    fail: Response = Field(default=Response.ROLL_BACK, examples=["roll back"])
    """After a breach: ``roll back``, or ``hold`` for a person. Back by default: users are being hurt."""
    inconclusive: Response = Field(default=Response.EXTEND_THEN_HOLD, examples=["extend, then hold"])
    """After too little evidence: ``roll back``, ``hold``, ``extend, then roll back`` or ``extend, then hold``. By
    default a second window of the same length, and then a person's eyes."""
    no_data: Response = Field(default=Response.EXTEND_THEN_HOLD, examples=["extend, then hold"])
    """Without requests or samples: as ``inconclusive``."""
    error: Response = Field(default=Response.EXTEND_THEN_HOLD, examples=["extend, then hold"])
    """When the metrics could not be read: as ``inconclusive``."""
    hold_minutes: Minutes = Field(default=30, examples=[30])
    """Minutes that a hold waits for ``pytest-deploy decide``; then it is rolled back. 30: who is paged has answered
    by then, or nobody will."""

    script_env: Annotated[tuple[Text, ...], AfterValidator(variables)] = Field(
        default=(), examples=[["PROMETHEUS_URL"]]
    )
    """Names of the variables that a gate's script sees beside PATH, HOME, LANG and the like. None by default: it gets
    no deploy token."""
    script_timeout_s: PositiveNumber = Field(default=60, examples=[60])
    """Seconds until a gate's script counts as without an answer. 60: a few slow queries."""

    @model_validator(mode="after")
    def _no_second_window(self) -> Self:
        if self.fail.extends:
            raise ValueError("fail can't be extended: a breach beyond doubt needs no second window; roll back or hold")
        return self

    @property
    def rules(self) -> Judge:
        """The judge that is named."""
        if self.judge is RuleBook.EVIDENCE:
            return EvidenceJudge()
        return Contract(min_requests=self.min_requests)

    @property
    def policy(self) -> Policy:
        """What follows each verdict that is not PASS."""
        return Policy(
            responses={
                VerdictKind.FAIL: self.fail,
                VerdictKind.INCONCLUSIVE: self.inconclusive,
                VerdictKind.NO_DATA: self.no_data,
                VerdictKind.ERROR: self.error,
            },
            hold=timedelta(minutes=self.hold_minutes),
        )
