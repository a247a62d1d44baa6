"""The sections ``metrics.datadog`` and ``metrics.cloudwatch`` by themselves."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from pytest_deploy.config.section import Section
from pytest_deploy.config.vendors import CloudWatchMetric, CloudWatchSection, DatadogSection, quantile_of

DATADOG: dict[str, Any] = {"requests": "sum:a{b:{service}}.as_count()", "errors": "sum:c{b:{service}}.as_count()"}
METRIC: dict[str, Any] = {"namespace": "Acme", "metric": "Requests", "dimensions": {"Service": "{service}"}}
CLOUDWATCH: dict[str, Any] = {"region": "eu-west-1", "requests": METRIC, "errors": METRIC}


def problem(section: type[Section], values: dict[str, Any]) -> str:
    """Return the one thing that is wrong."""
    with pytest.raises(ValidationError) as caught:
        section.model_validate(values)
    (error,) = caught.value.errors()
    return str(error.get("ctx", {}).get("error", error["msg"]))


def test_datadog_needs_its_counts_only() -> None:
    """Everything else has a default; the keys are named, not written."""
    section = DatadogSection.model_validate(DATADOG)
    assert (section.url, section.api, section.interval_s) == ("https://api.datadoghq.com", "v2", 20)
    assert (section.api_key, section.app_key) == ("${env:DD_API_KEY}", "${env:DD_APP_KEY}")
    assert not section.tells_versions_apart


def test_datadogs_latency_comes_as_numbers() -> None:
    """Quantiles, bounds in seconds, and the unit."""
    latency = {"latency": {"p99.9": "p99.9:d{}"}, "latency_unit": "ms", "slow": {"300 ms": "sum:e{}.as_count()"}}
    section = DatadogSection.model_validate({**DATADOG, **latency})
    assert section.percentiles == {0.999: "p99.9:d{}"}
    assert section.slow_queries == {0.3: "sum:e{}.as_count()"}
    assert section.unit == timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"api_key": "0123456789abcdef"}, "must be named as"),
        ({"app_key": "0123456789abcdef"}, "must be named as"),
        ({"api": "v3"}, "'v1' or 'v2'"),
        ({"requests": "sum:a{b:{service}}"}, "as_count"),
        ({"latency": {"95": "p95:d{}"}}, "no percentile"),
        ({"latency": {"p0": "p0:d{}"}}, "no percentile"),
        ({"slow": {"300": "sum:e{}.as_count()"}}, "no unit"),
        ({"latency_unit": "min"}, "'s', 'ms' or 'us'"),
        ({"interval_s": 0}, "too little"),
        ({"requests": "sum:a{b:{version}}.as_count()"}, "requests ask for {version}, errors do not"),
        ({"surplus": 1}, "Extra inputs"),
    ],
)
def test_what_is_wrong_with_datadog_is_said(values: dict[str, Any], words: str) -> None:
    """One problem, in words."""
    assert words in problem(DatadogSection, {**DATADOG, **values})


def test_cloudwatch_needs_region_and_counts_only() -> None:
    """Everything else has a default."""
    section = CloudWatchSection.model_validate(CLOUDWATCH)
    assert (section.period_s, section.delay_s, section.endpoint_url, section.latency) == (60, 60, None, {})
    assert section.requests.texts == "{service}"
    assert not section.tells_versions_apart


def test_an_expression_stands_alone() -> None:
    """Instead of a metric, and not beside one."""
    section = CloudWatchMetric.model_validate({"expression": "SELECT SUM(A) FROM B WHERE C = '{version}'"})
    assert "{version}" in section.texts


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"namespace": "A"},
        {"metric": "A"},
        {"dimensions": {"A": "b"}},
        {**METRIC, "expression": "A"},
        {"expression": "A", "stat": "Sum"},
        {"expression": "A", "dimensions": {"A": "b"}},
        {"expression": "A", "metric": "B"},
    ],
)
def test_a_metric_is_given_in_one_way(values: dict[str, Any]) -> None:
    """Half of one, both or none is refused."""
    assert "an expression alone" in problem(CloudWatchMetric, values)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"region": "Europe"}, "should match pattern"),
        ({"period_s": 45}, "no period of CloudWatch"),
        ({"period_s": 0}, "too little"),
        ({"latency": {"95": METRIC}}, "no percentile"),
        ({"endpoint_url": "monitoring"}, "no address"),
        ({"errors": {**METRIC, "dimensions": {"Hash": "{version}"}}}, "errors ask for {version}, requests do not"),
    ],
)
def test_what_is_wrong_with_cloudwatch_is_said(values: dict[str, Any], words: str) -> None:
    """One problem, in words."""
    assert words in problem(CloudWatchSection, {**CLOUDWATCH, **values})


@pytest.mark.parametrize("period_s", [1, 5, 10, 20, 30, 60, 300])
def test_cloudwatchs_periods_are_taken(period_s: float) -> None:
    """Those of the API's reference."""
    assert CloudWatchSection.model_validate({**CLOUDWATCH, "period_s": period_s}).period_s == period_s


def test_quantiles_are_those_of_gates() -> None:
    """The share, not a float that is next to it."""
    assert [quantile_of(name) for name in ("p50", "p95", "p99", "p99.9")] == [0.5, 0.95, 0.99, 0.999]


@pytest.mark.parametrize("section", [DatadogSection, CloudWatchMetric])
def test_an_example_is_right(section: type[Section]) -> None:
    """Each field's example can be written as it stands, where the others allow it."""
    fields: dict[str, FieldInfo] = dict(section.model_fields)
    examples = {name: info.examples[0] for name, info in fields.items() if info.examples}
    if section is CloudWatchMetric:
        expression = examples.pop("expression")
        section.model_validate({"expression": expression})
    section.model_validate(examples)
