"""A verdict in full, as a failed assertion shows it: everything that is needed to understand it without asking."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pytest_deploy.domain.binomial import interval
from pytest_deploy.domain.measurement import Kind, Objective, Reading
from pytest_deploy.domain.quantity import format_duration, format_ratio

if TYPE_CHECKING:
    from pytest_deploy.domain.verdict import Verdict

__all__ = ["explain", "reading_interval"]


def explain(verdict: Verdict) -> str:
    """Return the sentence, then a labelled line for each fact; what is not known is said, or has no line."""
    lines = (f"  {label + ':':<9}{text}" for label, text in _facts(verdict) if text)
    return "\n".join((verdict.sentence, *lines))


def reading_interval(reading: Reading | None) -> tuple[float, float] | None:
    """Return the exact 95 % interval of the share of bad requests behind a reading; None without counts.

    Where only the buckets beside a latency's limit are known it spans what both allow.
    """
    counts = None if reading is None else _bad_at_least_and_most(reading)
    if reading is None or counts is None or not _is_count(reading.total):
        return None
    total = round(reading.total or 0.0)
    least, most = (min(max(round(count), 0), total) for count in counts)
    low, high = interval(least, total)
    return low, high if least == most else interval(most, total)[1]


def _facts(verdict: Verdict) -> Iterator[tuple[str, str]]:
    reading, objective = verdict.reading, verdict.objective
    if objective.kind in {Kind.SCRIPT, Kind.STEP}:
        yield "numbers", "unknown: it says yes or no, and nothing of how often or how much"
        yield "needs", verdict.limit_text
    else:
        margin = f" ({verdict.margin_text})" if verdict.margin_text else ""
        yield "assert", f"{verdict.value_text} {verdict.bound_text}{margin}"
        yield "counts", _counts(objective, reading) if reading else ""
        yield "control", _control(verdict)
    yield "needed", verdict.ruling.needed
    yield "whose", verdict.subject.words
    yield "unseen", verdict.unseen_text
    yield "weight", _weight(verdict)
    yield "window", _window(verdict)
    if reading is not None:
        newest = f"{reading.newest:%H:%M:%S}Z" if reading.newest else "none"
        yield "sample", f"the newest is of {newest}, read at {reading.at:%H:%M:%S}Z"
        yield "buckets", _buckets(objective, reading)
        yield from (("query", query) for query in reading.queries)
        yield "problem", reading.problem
    yield "judge", verdict.judge
    yield "gate", ", ".join(part for part in (verdict.scenario, verdict.place) if part)
    yield "dry run", "it is told, and blocks nothing" if verdict.dry_run else ""
    yield "note", verdict.note


def _counts(objective: Objective, reading: Reading) -> str:
    total = reading.total
    if total is None:
        return "no series" if objective.counted else "no sample"
    if not objective.counted:
        return f"a value over {total:.0f} samples"
    what = f"slower than {objective.show(objective.limit)}" if objective.quantile and not objective.relative else "bad"
    if reading.bad is None:
        found = f"{total:.0f} requests, how many of them {what} is not known exactly"
    else:
        share = f", {format_ratio(reading.bad / total)}" if _is_count(total) and math.isfinite(reading.bad) else ""
        found = f"{reading.bad:.0f} {what} of {total:.0f} requests{share}"
    allowed = "" if objective.relative else f", {format_ratio(objective.bad_limit_ratio)} is allowed"
    return f"{found}{_interval(reading)}{allowed}"


def _interval(reading: Reading) -> str:
    found = reading_interval(reading)
    return "" if found is None else f", exact 95 % interval {format_ratio(found[0])} to {format_ratio(found[1])}"


def _control(verdict: Verdict) -> str:
    """Return what the stable version showed meanwhile, and for a relative gate what it is compared with."""
    if not verdict.control:
        return ""
    last, objective = verdict.control[-1], verdict.objective
    value = "no value" if last.value is None else objective.own.show(last.value)
    total = "no series" if last.total is None else f"{last.total:.0f} requests"
    counts = total if last.bad is None else f"{last.bad:.0f} bad of {total}"
    own = verdict.reading.value if objective.relative and verdict.reading else None
    beside = "" if own is None else f"; the canary {objective.own.show(own)}"
    return f"the stable version showed {value}, {counts}{_interval(last)}{beside}"


def _weight(verdict: Verdict) -> str:
    if verdict.actual_percent is None or verdict.weight is None:
        return ""
    return f"{verdict.weight} % asked, {verdict.actual_percent:.1f} % observed"


def _window(verdict: Verdict) -> str:
    extended = f", extended by {format_duration(verdict.extended)}" if verdict.extended else ""
    return f"{verdict.started:%Y-%m-%dT%H:%M:%SZ} to {verdict.decided:%Y-%m-%dT%H:%M:%SZ}{extended}"


def _buckets(objective: Objective, reading: Reading) -> str:
    if reading.neighbours is None:
        return ""
    below, above = reading.neighbours
    limit = "" if objective.relative else f" at {objective.limit:g} s"
    return (
        f"none ends{limit}: {below.slower:.0f} took longer than {below.bound_s:g} s, "
        f"{above.slower:.0f} longer than {above.bound_s:g} s"
    ) + (f"; with a bucket le={objective.limit:g} it would be exact" if limit else "")


def _bad_at_least_and_most(reading: Reading) -> tuple[float, float] | None:
    if reading.neighbours is not None and reading.bad is None:
        below, above = reading.neighbours
        found = (above.slower, below.slower)
    elif reading.bad is not None:
        found = (reading.bad, reading.bad)
    else:
        return None
    return found if all(math.isfinite(count) for count in found) else None


def _is_count(total: float | None) -> bool:
    return total is not None and math.isfinite(total) and total >= 0.5  # it rounds to a request or more
