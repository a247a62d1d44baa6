"""Quantities: what people write is read exactly, and what is written can be read again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.domain.quantity import (
    format_duration,
    format_ms,
    format_ratio,
    parse_amount,
    parse_duration,
    parse_latency,
    parse_points,
    parse_ratio,
    parse_weight,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5 minutes", 300),
        ("1 minute", 60),
        ("5m", 300),
        ("300 s", 300),
        ("1h30m", 5400),
        ("1 h 30 min", 5400),
        ("1.5 h", 5400),
        ("250 ms", 0.25),
        ("2 Days", 172800),
    ],
)
def test_duration_spellings(text: str, seconds: float) -> None:
    """Every usual spelling of a duration is read."""
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("5", "'5' has no unit: write a duration as 5 minutes, 5m"),
        ("5 parsecs", "'parsecs' is no unit of time: ms, s, min, h or d"),
        ("30m1h", "the longest first"),
        ("5m 5m", "each unit once"),
        ("5m5", "is no duration"),
        ("0 s", "longer than zero"),
        ("", "longer than zero"),
        ("-5 s", "is no duration"),
        ("999999999999 d", "at most 365 days"),
        ("1_0 s", "is no duration"),
        ("\u0665 s", "is no duration"),
    ],
)
def test_duration_refusals(text: str, said: str) -> None:
    """What is no duration is refused with what would be one."""
    with pytest.raises(ValueError, match=said):
        parse_duration(text)


@pytest.mark.parametrize(("text", "ms"), [("300 ms", 300), ("300ms", 300), ("0.3 s", 300), ("1 second", 1000)])
def test_latency_spellings(text: str, ms: float) -> None:
    """A latency is read in milliseconds or seconds."""
    assert parse_latency(text) == timedelta(milliseconds=ms)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("300", "'300' has no unit: write a latency as 300 ms or 300 s"),
        ("5 min", "is no latency: write it in ms or s"),
        ("0 ms", "longer than zero"),
        ("fast", "is no latency"),
    ],
)
def test_latency_refusals(text: str, said: str) -> None:
    """A latency with no unit, or one of minutes, is refused."""
    with pytest.raises(ValueError, match=said):
        parse_latency(text)


@pytest.mark.parametrize(
    ("text", "ratio"), [("0.5%", 0.005), ("0.7 %", 0.007), ("5%", 0.05), ("0%", 0.0), ("100%", 1.0)]
)
def test_ratio_spellings(text: str, ratio: float) -> None:
    """A percentage is read as the nearest ratio there is, without the noise of a division."""
    assert parse_ratio(text) == ratio


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0.005", "'0.005' has no unit: write a share in percent, as in 0.005%"),
        ("101%", "between 0% and 100%"),
        ("%", "is no share"),
        ("5 % of all", "is no share"),
    ],
)
def test_ratio_refusals(text: str, said: str) -> None:
    """A share with no percent sign could be a hundred times wrong, and is refused."""
    with pytest.raises(ValueError, match=said):
        parse_ratio(text)


@pytest.mark.parametrize("text", ["25", "0%", "101%", "12.5%", "a quarter"])
def test_weight_refusals(text: str) -> None:
    """A weight is a whole percentage from 1 to 100, with its sign."""
    with pytest.raises(ValueError, match="percent"):
        parse_weight(text)


@given(st.integers(1, 100), st.sampled_from(["%", " %"]))
def test_weight_round_trip(weight: int, sign: str) -> None:
    """Every weight that a canary can have is read."""
    assert parse_weight(f"{weight}{sign}") == weight


@given(st.integers(1, 30 * 86400))
def test_duration_round_trip(seconds: int) -> None:
    """A report's duration can be pasted back into a feature."""
    duration = timedelta(seconds=seconds)
    assert parse_duration(format_duration(duration)) == duration


@given(st.integers(1, 1_000_000))
def test_latency_round_trip(ms: int) -> None:
    """A report's latency can be pasted back into a feature."""
    assert parse_latency(format_ms(ms)) == timedelta(milliseconds=ms)


@given(st.integers(1, 10_000))
def test_ratio_round_trip(hundredths: int) -> None:
    """A report's ratio, down to a hundredth of a percent, can be pasted back into a feature."""
    assert parse_ratio(format_ratio(hundredths / 10_000)) == hundredths / 10_000


@given(st.text(max_size=20))
@pytest.mark.parametrize("parse", [parse_duration, parse_latency, parse_ratio, parse_weight])
def test_nothing_but_value_errors(parse: Callable[[str], object], text: str) -> None:
    """Whatever the text, it is a quantity or a ValueError that quotes it."""
    try:
        said = str(parse(text))
    except ValueError as error:
        said = str(error)
        quoted = repr(text)
    else:
        quoted = ""
    assert said
    assert quoted in said


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (format_duration(timedelta(minutes=5)), "5 min"),
        (format_duration(timedelta(hours=1, minutes=30)), "1 h 30 min"),
        (format_duration(timedelta(seconds=90)), "1 min 30 s"),
        (format_duration(timedelta(seconds=300 / 7)), "42.9 s"),
        (format_duration(timedelta(seconds=59.97)), "1 min"),
        (format_duration(timedelta(milliseconds=250)), "250 ms"),
        (format_duration(timedelta(0)), "0 s"),
        (format_duration(timedelta(seconds=-5)), "-5 s"),
        (format_ratio(0.005), "0.50 %"),
        (format_ratio(0), "0.00 %"),
        (format_ratio(0.00004), "0.0040 %"),
        (format_ms(300), "300 ms"),
        (format_ms(4.72), "4.7 ms"),
    ],
)
def test_formats(shown: str, expected: str) -> None:
    """Reports show quantities with a unit, and no digit that says nothing."""
    assert shown == expected


@pytest.mark.parametrize(("text", "points"), [("0.2 points", 0.002), ("1 percentage point", 0.01), ("5points", 0.05)])
def test_points(text: str, points: float) -> None:
    """A difference of two shares is said in points."""
    assert parse_points(text) == pytest.approx(points)


@pytest.mark.parametrize("text", ["0.2%", "0.2", "0 points", "100 points", "-1 points"])
def test_what_is_no_difference_of_shares(text: str) -> None:
    """A percent sign could mean a share of the other share, so it is refused."""
    with pytest.raises(ValueError, match="points"):
        parse_points(text)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("100 messages", (100, "messages")),
        ("80%", (0.8, "%")),
        ("1,234.5 req/s", (1234.5, "req/s")),
        ("-3", (-3, "")),
        ("512 MiB", (512, "MiB")),
    ],
)
def test_amounts(text: str, amount: tuple[float, str]) -> None:
    """A number and its unit; a percentage is a ratio."""
    assert parse_amount(text) == amount


@pytest.mark.parametrize("text", ["", "many messages", "1,23 messages", "nan", "1e9 messages", "3 4"])
def test_what_is_no_amount(text: str) -> None:
    """Anything that does not begin with one plain number."""
    with pytest.raises(ValueError, match="no number"):
        parse_amount(text)
