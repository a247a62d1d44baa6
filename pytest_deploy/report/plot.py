"""Pictures of a deploy: one of each gate's window, one of the weights with their verdicts."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import groupby

from pytest_deploy.domain.explanation import reading_interval
from pytest_deploy.domain.measurement import Kind, Objective, Reading
from pytest_deploy.domain.quantity import format_duration
from pytest_deploy.domain.verdict import Verdict, VerdictKind
from pytest_deploy.report import svg
from pytest_deploy.report.record import Record

__all__ = ["FOLDER", "TONES", "gate", "names", "pictures"]

FOLDER = "plots"
TONES = {VerdictKind.PASS: "good", VerdictKind.FAIL: "bad"}

_MOST_POINTS = 120
"""Of a longer history so many are drawn, evenly: more can't be told apart."""
_NOT_SLUG = re.compile(r"[^a-z0-9]+")


def names(verdicts: Sequence[Verdict]) -> tuple[str, ...]:
    """Return the file's name of each verdict's picture, ``25-error-rate.svg``; equal ones are counted."""
    seen: Counter[str] = Counter()
    found = []
    for verdict in verdicts:
        slug = _NOT_SLUG.sub("-", verdict.objective.name.lower()).strip("-")[:60].strip("-") or "gate"
        stem = f"{'after' if verdict.weight is None else verdict.weight}-{slug}"
        seen[stem] += 1
        found.append(f"{stem}.svg" if seen[stem] == 1 else f"{stem}-{seen[stem]}.svg")
    return tuple(found)


def pictures(record: Record) -> dict[str, str]:
    """Return file name and SVG of each verdict's picture, in order."""
    return {
        name: gate(verdict, _reached_at(record, verdict), name.removesuffix(".svg"))
        for verdict, name in zip(record.verdicts, names(record.verdicts), strict=True)
    }


@lru_cache(maxsize=64)
def gate(verdict: Verdict, reached: datetime | None, ident: str) -> str:
    """Return the SVG of a gate's window: value, exact interval, limit, control, and the moments that matter.

    Args:
        reached: when the weight was reached; None: not known, or no weight.
        ident: tells its ids apart from those of other pictures on the same page.
    """
    objective = verdict.objective
    history = _thin(verdict.history or ((verdict.reading,) if verdict.reading else ()))
    control = _thin(verdict.control)
    own, stable = list(_values(history, objective)), list(_values(control, objective))
    bands = list(_bands(history, objective))
    limits = _limits(objective, stable)
    chart = svg.Chart(
        ident=ident,
        title=verdict.headline,
        text=verdict.sentence,
        head=verdict.headline,
        under=_under(verdict),
        span=_span(verdict, reached),
        # The interval as it was last: earlier ones are wide, and would flatten all else.
        values=_range(
            [value for _, value in (*own, *stable, *limits) if value is not None]
            + list(bands[-1][-1][1:] if bands else ()),
            from_zero=objective.kind is not Kind.AVAILABILITY or objective.relative,
        ),
        unit=_unit(objective),
        factor=_factor(objective),
    )
    for stretch in bands:
        chart.band(stretch)
    if reached is not None:
        chart.moment(reached, f"{verdict.weight} %", before=True)
    chart.moment(verdict.started, "window begins")
    if verdict.extended:
        chart.moment(verdict.started + verdict.window, f"extended by {format_duration(verdict.extended)}", row=1)
    chart.moment(verdict.decided, "verdict", before=True)
    _draw_limits(chart, limits)
    for run in _runs(stable):
        chart.line(run, "control")
    for run in _runs(own):
        chart.line(run, "value")
    last = next((value for _, value in reversed(own) if value is not None), None)
    middle = limits[-1][1] if limits else 0.0
    tone = TONES.get(verdict.kind, "open")
    chart.mark(verdict.decided, middle if last is None else last, tone, words=verdict.kind.value)
    if own:
        chart.key("value", "value")
    if bands:
        chart.key("band", "95 % interval")
    if limits:
        chart.key("limit", "limit over stable" if objective.relative else f"limit {verdict.limit_text}")
    if stable:
        chart.key("control", "stable version")
    return chart.render()


def _reached_at(record: Record, verdict: Verdict) -> datetime | None:
    """Return when the weight that a verdict is of was reached, for its picture.

    None where nobody saw it, and where it was so long before that the window itself could not be seen beside it.
    """
    own = [each.at for each in record.weights if each.asked == verdict.weight and each.at <= verdict.decided]
    near = own and verdict.started - own[-1] <= max(verdict.window, timedelta(minutes=1))
    return own[-1] if near else None


def _thin(readings: Sequence[Reading]) -> Sequence[Reading]:
    if len(readings) <= _MOST_POINTS:
        return readings
    return [readings[round(index * (len(readings) - 1) / (_MOST_POINTS - 1))] for index in range(_MOST_POINTS)]


def _shown(objective: Objective, value: float) -> float:
    """Return where a value stands on the axis: an availability is drawn as such, not as the share of bad requests."""
    return 1 - value if objective.kind is Kind.AVAILABILITY and not objective.relative else value


def _values(readings: Iterable[Reading], objective: Objective) -> Iterator[tuple[datetime, float | None]]:
    for reading in readings:
        value = reading.value if reading.value is not None and math.isfinite(reading.value) else None
        yield reading.at, None if value is None else _shown(objective, value)


def _bands(readings: Iterable[Reading], objective: Objective) -> Iterator[list[tuple[datetime, float, float]]]:
    """Yield the interval of each stretch without a gap; of a latency it is a share of requests, and no band."""
    if not objective.counted or objective.quantile is not None:
        return
    stretch: list[tuple[datetime, float, float]] = []
    for reading in readings:
        ends = reading_interval(reading)
        if ends is not None:
            low, high = sorted(_shown(objective, end) for end in ends)
            stretch.append((reading.at, low, high))
        elif stretch:
            yield stretch
            stretch = []
    if stretch:
        yield stretch


def _limits(
    objective: Objective, stable: Sequence[tuple[datetime, float | None]]
) -> list[tuple[datetime | None, float]]:
    """Return the limit's line; of a relative one it moves with the stable version; [] where there is no number."""
    if objective.kind in {Kind.SCRIPT, Kind.STEP}:
        return []
    if not objective.relative:
        return [(None, _shown(objective, objective.limit))]
    return [(at, value + objective.limit) for at, value in stable if value is not None]


def _draw_limits(chart: svg.Chart, limits: Sequence[tuple[datetime | None, float]]) -> None:
    timed = [(at, value) for at, value in limits if at is not None]
    if len(timed) > 1:
        chart.line(timed, "limit")
    elif limits:
        chart.level(limits[0][1], "limit")


def _runs(points: Iterable[tuple[datetime, float | None]]) -> Iterator[list[tuple[datetime, float]]]:
    """Yield the stretches between the gaps."""
    for known, stretch in groupby(points, key=lambda point: point[1] is not None):
        if known:
            yield [(at, value) for at, value in stretch if value is not None]


def _range(values: Sequence[float], *, from_zero: bool) -> tuple[float, float]:
    """Return what the axis spans.

    Args:
        from_zero: it begins there; not for an availability, whose story is all near the top.
    """
    low, high = (min(max(each, -1e299), 1e299) for each in (min(values, default=0.0), max(values, default=0.0)))
    if from_zero:
        low, high = min(low, 0.0), max(high, 0.0)
    room = (high - low) * 0.15 or abs(high) * 0.01
    if not from_zero:
        return low - room, min(high + room, 1.0) if high <= 1 else high + room
    return low - room if low < 0 else 0.0, high + room


def _span(verdict: Verdict, reached: datetime | None) -> tuple[datetime, datetime]:
    """Return begin and end of the time axis, with room for the words before the first moment."""
    first = verdict.started if reached is None else min(verdict.started, reached)
    last = max([verdict.decided, verdict.started, *(reading.at for reading in verdict.history[-1:])])
    whole = max(last - first, timedelta(seconds=10))
    return first - whole * 0.1, first + whole * 1.02


def _factor(objective: Objective) -> float:
    if objective.kind is Kind.LATENCY:
        return 1000.0
    return 1.0 if objective.kind is Kind.QUERY and objective.unit != "%" else 100.0


def _unit(objective: Objective) -> str:
    if objective.kind in {Kind.SCRIPT, Kind.STEP}:
        return "no numbers"
    name = objective.name if objective.kind is Kind.QUERY else objective.name.removesuffix(" over stable")
    unit = {Kind.LATENCY: "ms", Kind.QUERY: objective.unit}.get(objective.kind, "%")
    return f"{name}, {unit}" if unit else name


def _under(verdict: Verdict) -> str:
    parts = [verdict.value_text if verdict.value is None else verdict.objective.compare(verdict.value)]
    if verdict.reading is not None and verdict.objective.counted:
        bad = verdict.reading.bad
        parts.append(f"{verdict.samples} requests" if bad is None else f"{bad:.0f} bad of {verdict.samples}")
    if verdict.margin_text:
        parts.append(verdict.margin_text)
    return "; ".join(parts)
