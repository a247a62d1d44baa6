"""Durations, latencies, ratios and weights, as people write and read them.

A number with no unit is never guessed at: ``300`` could be seconds or milliseconds, and a gate that
guesses wrong passes.
"""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal

__all__ = [
    "format_duration",
    "format_ms",
    "format_ratio",
    "parse_amount",
    "parse_duration",
    "parse_latency",
    "parse_points",
    "parse_ratio",
    "parse_weight",
]

_SPELLINGS_US: dict[int, tuple[str, ...]] = {
    1_000: ("ms", "millisecond", "milliseconds"),
    1_000_000: ("s", "sec", "secs", "second", "seconds"),
    60_000_000: ("m", "min", "mins", "minute", "minutes"),
    3_600_000_000: ("h", "hr", "hrs", "hour", "hours"),
    86_400_000_000: ("d", "day", "days"),
}
"""Microseconds, and the names of a unit of that length."""
_UNITS_US = {name: length for length, names in _SPELLINGS_US.items() for name in names}
_LATENCY_UNITS = frozenset(_SPELLINGS_US[1_000] + _SPELLINGS_US[1_000_000])

_NUMBER = r"[0-9]{1,12}(?:\.[0-9]{1,12})?"
_BARE = re.compile(_NUMBER)
_PART = re.compile(rf"({_NUMBER})\s*([a-z]+)(?:\s+|(?=[0-9])|$)")
_PERCENT = re.compile(rf"({_NUMBER})\s*%")
_POINTS = re.compile(rf"({_NUMBER})\s*(?:percentage )?points?")
_AMOUNT = re.compile(
    r"(-?(?:[0-9]{1,3}(?:,[0-9]{3}){1,4}|[0-9]{1,12})(?:\.[0-9]{1,12})?)\s*((?![\d,.-]|[eE]\d)\S.{0,19})?"
)

_WHOLE_PERCENT = 100
_MINUTE_S = 60
_TWO_DECIMALS_SHOW = 0.01  # the least percentage that two decimals show
_DECIMAL_BELOW_MS = 10
_LONGEST = timedelta(days=365)  # arbitrary; far past any deploy, far below what a timedelta can hold


def parse_duration(text: str) -> timedelta:
    """Return the time that ``5 minutes``, ``5m``, ``300 s``, ``1h30m`` or ``1 h 30 min`` says.

    Raises:
        ValueError: no unit, an unknown one, units not in falling order, zero, or more than a year.
    """
    clean = text.strip().lower()
    if _BARE.fullmatch(clean):
        msg = f"{text!r} has no unit: write a duration as 5 minutes, 5m, 300 s or 1h30m (ms, s, min, h, d)"
        raise ValueError(msg)
    total_us, position, previous_us = Decimal(0), 0, None
    while position < len(clean):
        part = _PART.match(clean, position)
        if part is None:
            msg = f"{text!r} is no duration: write 5 minutes, 5m, 300 s or 1h30m"
            raise ValueError(msg)
        length_us = _UNITS_US.get(part[2])
        if length_us is None:
            msg = f"{text!r}: {part[2]!r} is no unit of time: ms, s, min, h or d"
            raise ValueError(msg)
        if previous_us is not None and length_us >= previous_us:
            msg = f"{text!r} is no duration: each unit once, the longest first, as in 1h30m"
            raise ValueError(msg)
        total_us += Decimal(part[1]) * length_us
        position, previous_us = part.end(), length_us
    return _timedelta(total_us, text, "duration")


def parse_latency(text: str) -> timedelta:
    """Return the time that ``300 ms``, ``300ms`` or ``0.3 s`` says.

    Raises:
        ValueError: no unit, a unit other than ms or s, or zero.
    """
    clean = text.strip().lower()
    if _BARE.fullmatch(clean):
        msg = f"{text!r} has no unit: write a latency as {clean} ms or {clean} s"
        raise ValueError(msg)
    part = _PART.fullmatch(clean)
    if part is None or part[2] not in _LATENCY_UNITS:
        msg = f"{text!r} is no latency: write it in ms or s, as in 300 ms or 0.3 s"
        raise ValueError(msg)
    return _timedelta(Decimal(part[1]) * _UNITS_US[part[2]], text, "latency")


def parse_ratio(text: str) -> float:
    """Return 0.005 for ``0.5%`` or ``0.5 %``.

    Raises:
        ValueError: no percent sign, or more than 100 %.
    """
    percent = _percent(text, "a share")
    if percent > _WHOLE_PERCENT:
        msg = f"{text!r} is more than the whole: a share lies between 0% and 100%"
        raise ValueError(msg)
    return float(percent / _WHOLE_PERCENT)


def parse_weight(text: str) -> int:
    """Return 25 for ``25%`` or ``25 %``: a share of the traffic, in whole percents from 1 to 100.

    Raises:
        ValueError: no percent sign, not whole (canary controllers know no fractions), or outside 1 to 100.
    """
    percent = _percent(text, "a weight")
    if percent != int(percent) or not 1 <= percent <= _WHOLE_PERCENT:
        msg = f"{text!r} is no weight: whole percents from 1% to 100%"
        raise ValueError(msg)
    return int(percent)


def parse_points(text: str) -> float:
    """Return 0.002 for ``0.2 points`` or ``0.2 percentage points``: a difference of two shares.

    Raises:
        ValueError: another unit ("%" could mean a share of the other share), zero, or 100 points and more.
    """
    match = _POINTS.fullmatch(text.strip())
    if match is None:
        msg = f"{text!r} is no difference of two shares: write it in percentage points, as in 0.2 points"
        raise ValueError(msg)
    points = Decimal(match[1])
    if not 0 < points < _WHOLE_PERCENT:
        msg = f"{text!r}: a difference lies between 0 and 100 points"
        raise ValueError(msg)
    return float(points / _WHOLE_PERCENT)


def parse_amount(text: str) -> tuple[float, str]:
    """Return 100 and ``messages`` for ``100 messages``, 0.8 and ``%`` for ``80%``, 3 and "" for ``3``.

    The query that it limits says which unit is meant; whether they agree is checked there.

    Raises:
        ValueError: it does not begin with a number, or is not finite.
    """
    match = _AMOUNT.fullmatch(text.strip())
    if match is None:
        msg = f"{text!r} is no number with a unit: write it as in 100 messages, 512 MiB or 80%"
        raise ValueError(msg)
    number, unit = Decimal(match[1].replace(",", "")), match[2] or ""
    return (float(number / _WHOLE_PERCENT), unit) if unit == "%" else (float(number), unit)


def format_duration(duration: timedelta) -> str:
    """Return ``5 min``, ``1 h 30 min``, ``42.9 s`` or ``250 ms``; whole seconds from a minute on."""
    if duration < timedelta(0):
        return f"-{format_duration(-duration)}"
    seconds = duration.total_seconds()
    if 0 < seconds < 1:
        return format_ms(seconds * 1000)
    if round(seconds, 1) < _MINUTE_S:
        return f"{round(seconds, 1):g} s"
    minutes, rest_s = divmod(round(seconds), _MINUTE_S)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "min"), (rest_s, "s"))
    return " ".join(f"{count} {unit}" for count, unit in parts if count)


def format_ratio(ratio: float) -> str:
    """Return ``0.50 %`` for 0.005; more digits where two would read as nothing, ``0.0040 %``."""
    percent = ratio * 100
    decimals = 4 if 0 < abs(percent) < _TWO_DECIMALS_SHOW else 2
    return f"{percent:.{decimals}f} %"


def format_ms(milliseconds: float) -> str:
    """Return ``300 ms``; a decimal below 10 ms, where it matters: ``4.7 ms``."""
    decimals = 1 if abs(milliseconds) < _DECIMAL_BELOW_MS else 0
    # A difference that rounds to nothing is 0, not -0.
    return f"{round(milliseconds, decimals) + 0.0:.{decimals}f}".removesuffix(".0") + " ms"


def _percent(text: str, what: str) -> Decimal:
    clean = text.strip()
    if _BARE.fullmatch(clean):
        msg = f"{text!r} has no unit: write {what} in percent, as in {clean}%"
        raise ValueError(msg)
    match = _PERCENT.fullmatch(clean)
    if match is None:
        msg = f"{text!r} is no share: write {what} in percent, as in 5%"
        raise ValueError(msg)
    return Decimal(match[1])


def _timedelta(microseconds: Decimal, text: str, what: str) -> timedelta:
    if microseconds > _LONGEST / timedelta(microseconds=1):
        msg = f"{text!r} is too long for a {what}: at most {_LONGEST.days} days"
        raise ValueError(msg)
    duration = timedelta(microseconds=int(microseconds.to_integral_value()))
    if not duration:
        msg = f"{text!r} is no {what}: longer than zero"
        raise ValueError(msg)
    return duration
