"""``incidents`` and ``windows`` of deploy.yaml: what must be quiet before a deploy, and when there is none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, model_validator

from pytest_deploy.config.fields import HttpUrl, MetricName, NotNull, PositiveNumber, Text
from pytest_deploy.config.metrics import BasicAuthSection
from pytest_deploy.config.paths import ExistingFile
from pytest_deploy.config.secrets import NamedSecret
from pytest_deploy.config.section import Section
from pytest_deploy.domain.windows import Dated, Period, Weekly, Windows

__all__ = [
    "AlertmanagerSection",
    "FreezeSection",
    "HoursSection",
    "IncidentsSection",
    "OpsgenieSection",
    "PagerDutySection",
    "PrometheusAlertsSection",
    "WindowsSection",
]

_DAYS = {"mon": 0, "tue": 1, "wed": 2, "thu": 3, "fri": 4, "sat": 5, "sun": 6}
_CLOCK = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d|24:00")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d)?")
_SERVICE_ID = re.compile(r"[A-Z0-9]{4,20}")

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def _service_id(value: str) -> str:
    if not _SERVICE_ID.fullmatch(value):
        msg = f"{value!r} is no id of a PagerDuty service: the end of its address, /service-directory/PIJ90N7"
        raise ValueError(msg)
    return value


def _clock(value: str) -> str:
    if not _CLOCK.fullmatch(value):
        msg = f'{value!r} is no time of day: "09:00" to "24:00", in quotes'
        raise ValueError(msg)
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, KeyError) as error:  # ZoneInfoNotFoundError is a KeyError
        msg = f"{value!r} is no time zone known here: write it as Europe/Berlin or UTC (pip install tzdata?)"
        raise ValueError(msg) from error
    return value


def _moment(value: str) -> datetime:
    try:
        if _MOMENT.fullmatch(value):
            return datetime.fromisoformat(value)
    except ValueError:  # such as the 30th of February
        pass
    msg = f"{value!r} is no day or time: 2026-12-20 or 2026-12-20T18:00, by the clock of windows.timezone"
    raise ValueError(msg)


class PagerDutySection(Section):
    """``incidents.pagerduty``: incidents have no tags there, so the service is named by its id."""

    service_ids: tuple[Annotated[str, AfterValidator(_service_id)], ...] = Field(min_length=1, examples=[["PIJ90N7"]])
    """Ids of the PagerDuty services that stand for this one. No default: PagerDuty knows no name of ours."""
    token: NamedSecret = Field(default="${env:PAGERDUTY_TOKEN}", examples=["${env:PAGERDUTY_TOKEN}"])
    """REST API key, read-only is enough; named, never written out. Default: the usual variable."""
    url: HttpUrl = Field(default="https://api.pagerduty.com", examples=["https://api.eu.pagerduty.com"])
    """Address of the REST API. Default: that of the US region; the EU's differs."""
    timeout_s: PositiveNumber = Field(default=10, examples=[10])
    """Seconds for one request, its retries included. 10: a slow answer, or one time-out and a second try."""


class OpsgenieSection(Section):
    """``incidents.opsgenie``: open alerts with the step's tag, or with it or the service's name as their alias."""

    api_key: NamedSecret = Field(default="${env:OPSGENIE_API_KEY}", examples=["${env:OPSGENIE_API_KEY}"])
    """Key of an API integration with read access; named, never written out. Default: the usual variable."""
    url: HttpUrl = Field(default="https://api.opsgenie.com", examples=["https://api.eu.opsgenie.com"])
    """Address of the API. Default: that of the US region; the EU's differs."""
    timeout_s: PositiveNumber = Field(default=10, examples=[10])
    """Seconds for one request, its retries included. 10: as for PagerDuty."""


class AlertmanagerSection(Section):
    """``incidents.alertmanager``: firing alerts with the service's label; silenced ones are told and stop nothing."""

    url: HttpUrl = Field(examples=["https://alertmanager.example.com"])
    """Address of the HTTP API, without /api/v2. No default."""
    service_label: MetricName = Field(default="service", examples=["service"])
    """Label whose value is the service's name. "service": as for the metrics."""
    basic_auth: BasicAuthSection | None = None
    """User and password. None: nobody is told who asks."""
    bearer_token: NamedSecret | None = Field(default=None, examples=["${env:ALERTMANAGER_TOKEN}"])
    """Token for the Authorization header. None: no token."""
    headers: Mapping[Text, Text] = Field(default_factory=dict, examples=[{"X-Scope-OrgID": "acme"}])
    """More headers, such as a tenant's; a value may be a named secret. None by default."""
    ca_file: ExistingFile | None = Field(default=None, examples=["ca.pem"])
    """Certificates that the server's is checked against. None: the system's."""
    timeout_s: PositiveNumber = Field(default=10, examples=[10])
    """Seconds for one request, its retries included. 10: as for the metrics."""

    @model_validator(mode="after")
    def _one_header(self) -> Self:
        if self.basic_auth is not None and self.bearer_token is not None:
            raise ValueError("basic_auth and bearer_token exclude each other: there is one Authorization header")
        return self


class PrometheusAlertsSection(Section):
    """``incidents.prometheus``: alerts that fire in the Prometheus of ``metrics``; ``{}`` switches it on."""

    service_label: MetricName | None = Field(default=None, examples=["service"])
    """Label of the alerts whose value is the service's name. None: as metrics.prometheus.service_label."""


class IncidentsSection(Section):
    """``incidents``: who is asked for what is open; all that are named must answer, and with "none"."""

    pagerduty: Annotated[PagerDutySection | None, NotNull] = None
    """PagerDuty. None: it is not asked."""
    opsgenie: Annotated[OpsgenieSection | None, NotNull] = None
    """Opsgenie. None: it is not asked."""
    alertmanager: Annotated[AlertmanagerSection | None, NotNull] = None
    """Alertmanager. None: it is not asked."""
    prometheus: Annotated[PrometheusAlertsSection | None, NotNull] = None
    """The Prometheus of ``metrics``. None: it is not asked for alerts."""

    @model_validator(mode="after")
    def _asks_somebody(self) -> Self:
        if self.pagerduty is None and self.opsgenie is None and self.alertmanager is None and self.prometheus is None:
            raise ValueError("nobody would be asked: name pagerduty, opsgenie, alertmanager or prometheus")
        return self


class HoursSection(Section):
    """``windows.business_hours``: the same hours of some days of each week."""

    days: tuple[Day, ...] = Field(default=("mon", "tue", "wed", "thu", "fri"), min_length=1, examples=[["mon", "fri"]])
    """mon to sun. The usual five by default."""
    begin: Annotated[str, AfterValidator(_clock)] = Field(alias="from", examples=["09:00"])
    """Time of day. No default."""
    end: Annotated[str, AfterValidator(_clock)] = Field(alias="to", examples=["17:00"])
    """Time of day; one that is not after ``from`` lies on the next day. No default."""

    def weekly(self, reason: str = "") -> Weekly:
        """Return the domain's value."""
        return Weekly(
            days=tuple(_DAYS[day] for day in self.days), begin=_time(self.begin), end=_time(self.end), reason=reason
        )


class FreezeSection(Section):
    """One item of ``windows.freeze``: days of the calendar, or with ``days`` the same hours of each week."""

    begin: Text = Field(alias="from", examples=["2026-12-20"])
    """2026-12-20 or 2026-12-20T18:00; with ``days`` a time of day, "15:00". No default."""
    end: Text = Field(alias="to", examples=["2027-01-03"])
    """As ``from``, and no part of the freeze but where it is a whole day, which is. No default."""
    days: tuple[Day, ...] | None = Field(default=None, min_length=1, examples=[["fri"]])
    """mon to sun, for a freeze of each week. None: the dates say when."""
    reason: Text = Field(examples=["peak season"])
    """Shown to whoever is refused. No default: a rule that says no says why."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        period = self.period()
        if isinstance(period, Dated) and period.begin >= period.end:
            raise ValueError(f"it ends ({self.end}) before it begins ({self.begin})")
        return self

    def period(self) -> Period:
        """Return the domain's value; raises ValueError for what is no day or time."""
        if self.days is not None:
            hours = HoursSection.model_validate({"days": self.days, "from": _clock(self.begin), "to": _clock(self.end)})
            return hours.weekly(self.reason)
        begin, end = _moment(self.begin), _moment(self.end)
        if "T" not in self.end:
            end += timedelta(days=1)
        return Dated(begin=begin, end=end, reason=self.reason)


class WindowsSection(Section):
    """``windows``: the team's calendar."""

    timezone: Annotated[str, AfterValidator(_zone)] = Field(default="UTC", examples=["Europe/Berlin"])
    """Whose wall's clock the times are meant by. UTC: what the note and the logs say."""
    business_hours: Annotated[HoursSection | None, NotNull] = None
    """When a breach is rolled back at once, whatever ``gate.fail`` says, and nobody may let it go forward. None: at no
    time."""
    freeze: tuple[FreezeSection, ...] = ()
    """When nothing is deployed; one that begins while the gates would still watch counts, too. None by default."""
    environments: tuple[Text, ...] | None = Field(default=None, min_length=1, examples=[["prod"]])
    """The environments that it holds for. None: all of them."""

    def windows(self, environment: str) -> Windows:
        """Return the calendar of one environment."""
        if self.environments is not None and environment not in self.environments:
            return Windows()
        return Windows(
            zone=_tz(self.timezone),
            freeze=tuple(each.period() for each in self.freeze),
            business=None if self.business_hours is None else self.business_hours.weekly(),
        )


def _tz(name: str) -> tzinfo:
    return UTC if name == "UTC" else ZoneInfo(name)


def _time(text: str) -> time:
    return time() if text == "24:00" else time.fromisoformat(text)
