"""When nobody deploys, and when nobody mends forward: freeze windows and business hours, in a team's own time zone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import TypeAlias

__all__ = ["Dated", "Period", "Span", "Weekly", "Windows"]

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One stretch of time.

    Args:
        begin, end: aware; the end is no part of it.
        reason: why nothing is deployed then; "" where none was given.
    """

    begin: datetime
    end: datetime
    reason: str = ""

    def meets(self, begin: datetime, end: datetime) -> bool:
        """Whether any moment from ``begin`` to ``end``, both included, lies in it."""
        return self.begin <= end and begin < self.end

    def words(self, zone: tzinfo) -> str:
        """Return it as people there read a clock."""
        begin, end = self.begin.astimezone(zone), self.end.astimezone(zone)
        reason = f" ({self.reason})" if self.reason else ""
        return f"{begin:%a %Y-%m-%d %H:%M} to {end:%a %Y-%m-%d %H:%M} {end.tzname()}{reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Weekly:
    """The same hours of some days of each week.

    Args:
        days: 0 is Monday.
        begin, end: by the wall's clock; an end that is not after the begin, such as 00:00, lies on the next day.
    """

    days: tuple[int, ...]
    begin: time
    end: time
    reason: str = ""

    def spans(self, first: date, last: date, zone: tzinfo) -> Iterator[Span]:
        """Yield those that begin on a day from ``first`` to ``last``."""
        for number in range((last - first).days + 1):
            day = first + number * _DAY
            if day.weekday() in self.days:
                ends_on = day if self.end > self.begin else day + _DAY
                yield _span(datetime.combine(day, self.begin), datetime.combine(ends_on, self.end), zone, self.reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dated:
    """One stretch of the calendar.

    Args:
        begin, end: by the wall's clock, without a time zone.
    """

    begin: datetime
    end: datetime
    reason: str = ""

    def spans(self, first: date, last: date, zone: tzinfo) -> Iterator[Span]:
        """Yield it where it may touch the days from ``first`` to ``last``."""
        if self.begin.date() <= last and first <= self.end.date():
            yield _span(self.begin, self.end, zone, self.reason)


Period: TypeAlias = Weekly | Dated


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """A team's calendar; by default there is neither a freeze nor an hour of business.

    Args:
        zone: whose wall's clock is meant.
        freeze: nothing is deployed then.
        business: a failing deploy is rolled back then, and nobody may let it go forward; None: at no time.
    """

    zone: tzinfo = UTC
    freeze: tuple[Period, ...] = ()
    business: Weekly | None = None

    def frozen(self, now: datetime, planned: timedelta) -> Span | None:
        """Return the first freeze that a deploy from now on would meet; None where there is none.

        Args:
            planned: how long it will watch: one that begins just before a freeze would still change traffic in it.
        """
        end = now + planned
        met = [span for period in self.freeze for span in self._near(period, now, end) if span.meets(now, end)]
        return min(met, key=lambda span: span.begin, default=None)

    def thaw(self, now: datetime, planned: timedelta) -> datetime | None:
        """Return when a deploy may begin; None where that is not within a year."""
        at = now
        while at < now + 366 * _DAY:
            span = self.frozen(at, planned)
            if span is None:
                return at
            at = span.end
        return None

    def business_hours(self, now: datetime) -> Span | None:
        """Return the hours of business that it is in; None: nobody is at work."""
        if self.business is None:
            return None
        return next((span for span in self._near(self.business, now, now) if span.meets(now, now)), None)

    def _near(self, period: Period, begin: datetime, end: datetime) -> Iterator[Span]:
        # From the day before: hours that begin in an evening end in the next morning.
        return period.spans(begin.astimezone(self.zone).date() - _DAY, end.astimezone(self.zone).date(), self.zone)


def _span(begin: datetime, end: datetime, zone: tzinfo, reason: str) -> Span:
    """Return aware times in UTC: two wall times of one zone are compared without their offsets else."""
    return Span(
        begin=begin.replace(tzinfo=zone).astimezone(UTC), end=end.replace(tzinfo=zone).astimezone(UTC), reason=reason
    )
