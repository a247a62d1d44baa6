"""``incidents`` and ``windows`` of deploy.yaml: what may be written, and what each wrong line is told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from pytest_deploy.config.model import DeployConfig

Good = Callable[..., DeployConfig]
Refused = Callable[..., list[str]]

END = ("    url: https://prometheus.example.com\n", "    url: https://prometheus.example.com\n")


def with_more(more: str) -> tuple[str, str]:
    """Return the change that puts sections at the file's end."""
    return END[0], END[1] + more


def test_all_of_the_incidents_section(good: Good) -> None:
    """Each vendor with its smallest section: secrets are named by default, and not looked up yet."""
    section = good(
        with_more(
            "incidents:\n"
            "  pagerduty: {service_ids: [PIJ90N7]}\n"
            "  opsgenie: {}\n"
            "  alertmanager: {url: https://alertmanager.example.com/}\n"
            "  prometheus: {}\n"
        )
    ).incidents
    assert section is not None
    assert section.pagerduty is not None
    assert section.pagerduty.token == "${env:PAGERDUTY_TOKEN}"  # noqa: S105 - the name of one
    assert section.opsgenie is not None
    assert section.opsgenie.api_key == "${env:OPSGENIE_API_KEY}"
    assert section.alertmanager is not None
    assert section.alertmanager.url == "https://alertmanager.example.com"
    assert section.prometheus is not None


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("incidents: {}\n", "nobody would be asked"),
        ("incidents:\n", "take the key out to turn it off"),
        ("incidents: {pagerduty: {}}\n", "service_ids"),
        ("incidents: {pagerduty: {service_ids: []}}\n", "service_ids"),
        ("incidents: {pagerduty: {service_ids: [checkout-api]}}\n", "no id of a PagerDuty service"),
        ("incidents: {pagerduty: {service_ids: [PIJ90N7], token: u+abc}}\n", "named as ${env:NAME}"),
        ("incidents: {opsgenie: {api_key: 570c-ab}}\n", "named as ${env:NAME}"),
        ("incidents: {opsgenie: {tag: a}}\n", "tag"),
        ("incidents: {alertmanager: {url: ftp://a}}\n", "no address"),
        (
            (
                "incidents: {alertmanager: {url: 'https://a', bearer_token: '${env:A}', "
                "basic_auth: {username: a, password: '${env:B}'}}}\n"
            ),
            "exclude each other",
        ),
        ("windows: {timezone: Middle/Earth}\n", "no time zone known here"),
        ("windows: {timezone: ../../etc/passwd}\n", "no time zone known here"),
        ("windows: {business_hours: {from: '9', to: '17:00'}}\n", "no time of day"),
        ("windows: {business_hours: {from: '09:00', to: '25:00'}}\n", "no time of day"),
        ("windows: {business_hours: {from: '09:00', to: '17:00', days: []}}\n", "days"),
        ("windows: {business_hours: {from: '09:00', to: '17:00', days: [monday]}}\n", "mon"),
        ("windows: {freeze: [{from: 2026-12-20, to: 2027-01-03}]}\n", "reason"),
        ("windows: {freeze: [{from: 2027-12-20, to: 2027-01-03, reason: a}]}\n", "before it begins"),
        ("windows: {freeze: [{from: 2026-02-30, to: 2027-01-03, reason: a}]}\n", "no day or time"),
        ("windows: {freeze: [{from: 2026-W51-1, to: 2027-01-03, reason: a}]}\n", "no day or time"),
        ("windows: {freeze: [{from: '2026-12-20T18:00+01:00', to: 2027-01-03, reason: a}]}\n", "no day or time"),
        ("windows: {freeze: [{from: 2026-12-20, to: 2027-01-03, days: [fri], reason: a}]}\n", "no time of day"),
        ("windows: {environments: []}\n", "environments"),
    ],
)
def test_what_is_wrong_is_told(refused: Refused, lines: str, told: str) -> None:
    """Each with its place and what would be right; no secret is repeated."""
    problems = refused(with_more(lines))
    assert any(told in problem and "deploy.yaml:1" in problem for problem in problems), problems
    assert not any("570c-ab" in problem or "u+abc" in problem for problem in problems)


def test_the_calendar(good: Good) -> None:
    """Berlin's office hours and two freezes; the last day of one belongs to it, whole."""
    windows = good(
        with_more(
            "windows:\n"
            "  timezone: Europe/Berlin\n"
            '  business_hours: {from: "09:00", to: "17:00"}\n'
            "  freeze:\n"
            "    - {from: 2026-12-20, to: 2027-01-03, reason: peak season}\n"
            '    - {days: [fri], from: "15:00", to: "24:00", reason: no deploys on Friday afternoons}\n'
            "  environments: [prod]\n"
        )
    ).windows
    prod = windows.windows("prod")
    tuesday = datetime(2026, 11, 24, 8, 30, tzinfo=UTC)
    assert prod.business_hours(tuesday) is not None
    assert prod.frozen(tuesday, timedelta()) is None
    for frozen in (datetime(2027, 1, 3, 22, 59, tzinfo=UTC), datetime(2026, 11, 27, 22, 59, tzinfo=UTC)):
        assert prod.frozen(frozen, timedelta()) is not None
        assert prod.frozen(frozen + timedelta(minutes=1), timedelta()) is None
    staging = windows.windows("staging")
    assert staging.business_hours(tuesday) is None
    assert not staging.freeze


def test_an_emergency_lifts_a_freeze(good: Good) -> None:
    """By the override that the refusal names."""
    lines = "windows: {freeze: [{from: 2026-12-20, to: 2027-01-03, reason: a}]}\n"
    assert good(with_more(lines)).windows.freeze
    assert not good(with_more(lines), overrides=("windows.freeze=[]",)).windows.freeze


def test_without_the_sections(good: Good) -> None:
    """Nobody is asked, and nothing is forbidden."""
    config = good()
    assert config.incidents is None
    assert config.windows.windows("prod").business_hours(datetime(2026, 11, 24, 12, tzinfo=UTC)) is None
