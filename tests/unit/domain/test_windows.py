"""Freezes and business hours, by the clock on a team's wall."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from pytest_deploy.domain.windows import Dated, Weekly, Windows

BERLIN = ZoneInfo("Europe/Berlin")
OFFICE = Weekly(days=(0, 1, 2, 3, 4), begin=time(9), end=time(17))
PEAK = Dated(begin=datetime(2026, 12, 20), end=datetime(2027, 1, 4), reason="peak season")  # noqa: DTZ001 - a wall's
WEEKEND = Weekly(days=(4,), begin=time(15), end=time(0), reason="Friday afternoon")
HALF_HOUR = timedelta(minutes=30)


def at(text: str, zone: ZoneInfo = BERLIN) -> datetime:
    """Return a time of that zone, as the engine's clock tells it: in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)


@pytest.mark.parametrize(
    ("now", "inside"),
    [
        ("2026-11-24T09:00", True),  # a Tuesday
        ("2026-11-24T08:59", False),
        ("2026-11-24T16:59", True),
        ("2026-11-24T17:00", False),
        ("2026-11-28T12:00", False),  # a Saturday
        ("2026-07-01T09:00", True),  # summer time: 07:00 UTC
    ],
)
def test_business_hours_by_the_wall(now: str, inside: bool) -> None:
    """The begin belongs to them, the end does not; summer time is followed."""
    windows = Windows(zone=BERLIN, business=OFFICE)
    assert (windows.business_hours(at(now)) is not None) is inside


def test_the_same_hours_elsewhere_are_others() -> None:
    """16:30 in Berlin is before ten in New York, and after hours in Kolkata."""
    now = at("2026-11-24T16:30")
    assert Windows(zone=ZoneInfo("America/New_York"), business=OFFICE).business_hours(now)
    assert Windows(zone=ZoneInfo("Asia/Kolkata"), business=OFFICE).business_hours(now) is None


def test_hours_over_midnight_begin_on_their_day() -> None:
    """A shift from 22:00 on Fridays ends on Saturday at 06:00."""
    windows = Windows(zone=BERLIN, business=Weekly(days=(4,), begin=time(22), end=time(6)))
    assert windows.business_hours(at("2026-11-28T05:59"))
    assert windows.business_hours(at("2026-11-28T06:00")) is None
    assert windows.business_hours(at("2026-11-27T05:59")) is None  # that of Thursday, who is not named


@pytest.mark.parametrize(
    ("now", "frozen"),
    [
        ("2026-12-19T23:00", False),
        ("2026-12-19T23:30", True),  # the deploy's half hour reaches into it
        ("2026-12-20T00:00", True),
        ("2027-01-03T23:59", True),
        ("2027-01-04T00:00", False),
        ("2026-11-27T14:29", False),
        ("2026-11-27T14:31", True),
        ("2026-11-27T23:59", True),
        ("2026-11-28T00:00", False),
    ],
)
def test_a_freeze_counts_from_the_planned_end(now: str, frozen: bool) -> None:
    """A deploy of half an hour must be over when a freeze begins."""
    windows = Windows(zone=BERLIN, freeze=(PEAK, WEEKEND))
    assert (windows.frozen(at(now), HALF_HOUR) is not None) is frozen


def test_the_next_free_time_is_behind_all_freezes() -> None:
    """Two that follow one another are waited for together; one without end within a year has no next time."""
    after = Dated(begin=datetime(2027, 1, 4, 0, 10), end=datetime(2027, 1, 5), reason="audit")  # noqa: DTZ001 - a wall's
    windows = Windows(zone=BERLIN, freeze=(PEAK, after))
    assert windows.thaw(at("2026-12-24T12:00"), HALF_HOUR) == at("2027-01-05T00:00")
    always = Weekly(days=tuple(range(7)), begin=time(0), end=time(0))
    assert Windows(zone=BERLIN, freeze=(always,)).thaw(at("2026-12-24T12:00"), HALF_HOUR) is None


def test_the_night_of_the_change_has_its_own_length() -> None:
    """From 00:00 to 04:00 on the last Sunday of October are five hours."""
    night = Weekly(days=(6,), begin=time(0), end=time(4))
    (span,) = (s for s in night.spans(datetime(2026, 10, 25).date(), datetime(2026, 10, 25).date(), BERLIN))  # noqa: DTZ001
    assert span.end - span.begin == timedelta(hours=5)


def test_in_words_it_is_the_walls_time() -> None:
    """With the day, the zone's own name and the reason."""
    span = Windows(zone=BERLIN, freeze=(PEAK,)).frozen(at("2026-12-24T12:00"), HALF_HOUR)
    assert span is not None
    assert span.words(BERLIN) == "Sun 2026-12-20 00:00 to Mon 2027-01-04 00:00 CET (peak season)"


def test_by_default_there_is_neither() -> None:
    """An absent section forbids nothing."""
    assert Windows().frozen(at("2026-12-24T12:00"), HALF_HOUR) is None
    assert Windows().business_hours(at("2026-11-24T12:00")) is None
