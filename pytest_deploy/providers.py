"""What deploy.yaml names as the source of metrics, and as the load, as ports."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from pytest_deploy.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_deploy.adapters.cloudwatch_api import Expression, Metric
    from pytest_deploy.config.incident_sections import AlertmanagerSection
    from pytest_deploy.config.metrics import PrometheusSection
    from pytest_deploy.config.model import DeployConfig
    from pytest_deploy.config.secrets import Secrets
    from pytest_deploy.config.vendors import CloudWatchMetric, CloudWatchSection, DatadogSection
    from pytest_deploy.domain.query import Query
    from pytest_deploy.ports import Clock, Load, Metrics

__all__ = ["headers", "load", "metrics"]


def metrics(config: DeployConfig, clock: Clock, secrets: Secrets, *, prometheus_url: str | None = None) -> Metrics:
    """Return the source of metrics.

    Args:
        secrets: looks up what the section names.
        prometheus_url: of the sandbox, in the place of the configured one; nothing is then said of who asks.

    Raises:
        ConfigError: a secret that is named is not there.
    """
    section = config.metrics
    if section.datadog is not None and prometheus_url is None:
        return _datadog(section.datadog, section.named_queries, clock, secrets)
    if section.cloudwatch is not None and prometheus_url is None:
        return _cloudwatch(section.cloudwatch, section.named_queries, clock)
    if section.prometheus is None:
        raise ConfigError([f"{config.place('metrics')}: the sandbox has a Prometheus: give metrics.prometheus there"])
    return _prometheus(section.prometheus, section.named_queries, clock, secrets, prometheus_url)


def load(config: DeployConfig, secrets: Secrets) -> Load | None:
    """Return what makes requests while a gate watches; None where deploy.yaml has no section ``load``."""
    section = config.load
    if section is None:
        return None
    from pytest_deploy.adapters.load import CommandLoad, HttpLoad

    if section.http is not None:
        http = section.http
        headers = http.resolved_headers(secrets)
        return HttpLoad(http.url, rate_per_s=http.rate_per_s, headers=headers, timeout=http.timeout)
    return CommandLoad(section.command or (), folder=config.folder, inherit=section.env)


def headers(section: PrometheusSection | AlertmanagerSection, secrets: Secrets) -> dict[str, str]:
    """Return what a request says of who asks; raises ConfigError where a secret that is named is not there."""
    from pytest_deploy.io.access import basic, bearer

    found = {name: secrets(text) for name, text in section.headers.items()}
    if section.bearer_token is not None:
        found["Authorization"] = bearer(secrets(section.bearer_token))
    if section.basic_auth is not None:
        found["Authorization"] = basic(section.basic_auth.username, secrets(section.basic_auth.password))
    return found


def _prometheus(
    at: PrometheusSection, queries: Mapping[str, Query], clock: Clock, secrets: Secrets, url: str | None
) -> Metrics:
    from pytest_deploy.adapters.prometheus import Prometheus
    from pytest_deploy.adapters.prometheus.own import OwnQueries
    from pytest_deploy.config.vendors import quantile_of

    pair = (str(at.cert_file), str(at.key_file)) if at.cert_file is not None and at.key_file is not None else None
    ours = url is not None
    return Prometheus(
        url or at.url,
        requests_metric=at.requests_metric,
        duration_metric=at.duration_metric,
        service_label=at.service_label,
        namespace_label=at.namespace_label,
        status_label=at.status_label,
        version_label=at.version_label,
        pod_label=at.pod_label,
        canary_labels=at.canary_labels,
        stable_labels=at.stable_labels,
        queries=queries,
        own=OwnQueries(
            requests=at.requests_query or "",
            errors=at.errors_query or "",
            latency={quantile_of(name): text for name, text in at.latency_queries.items()},
        ),
        scrape_interval=timedelta(seconds=at.scrape_interval_s),
        timeout=timedelta(seconds=at.timeout_s),
        clock=clock,
        headers={} if ours else headers(at, secrets),
        ca_file=None if ours else at.ca_file,
        client_cert=None if ours else pair,
    )


def _datadog(at: DatadogSection, queries: Mapping[str, Query], clock: Clock, secrets: Secrets) -> Metrics:
    from pytest_deploy.adapters.datadog import Datadog

    return Datadog(
        at.url,
        api_key=secrets(at.api_key),
        app_key=secrets(at.app_key),
        requests=at.requests,
        errors=at.errors,
        latency=at.percentiles,
        slow=at.slow_queries,
        latency_unit=at.unit,
        queries=queries,
        api=at.api,
        interval=timedelta(seconds=at.interval_s),
        delay=timedelta(seconds=at.delay_s),
        timeout=timedelta(seconds=at.timeout_s),
        clock=clock,
    )


def _cloudwatch(at: CloudWatchSection, queries: Mapping[str, Query], clock: Clock) -> Metrics:
    from pytest_deploy.adapters.cloudwatch import CloudWatch
    from pytest_deploy.config.vendors import quantile_of

    return CloudWatch(
        at.region,
        requests=_metric(at.requests, "Sum"),
        errors=_metric(at.errors, "Sum"),
        latency={quantile_of(name): _metric(each, name) for name, each in at.latency.items()},
        latency_unit=at.unit,
        queries=queries,
        period=timedelta(seconds=at.period_s),
        delay=timedelta(seconds=at.delay_s),
        timeout=timedelta(seconds=at.timeout_s),
        clock=clock,
        endpoint_url=at.endpoint_url,
    )


def _metric(at: CloudWatchMetric, stat: str) -> Metric | Expression:
    from pytest_deploy.adapters.cloudwatch_api import Expression, Metric

    if at.expression is not None:
        return Expression(expression=at.expression)
    return Metric(namespace=at.namespace or "", metric=at.metric or "", dimensions=at.dimensions, stat=at.stat or stat)
