"""The picture of a whole deploy: the new version's share of the traffic over time, with each verdict."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import groupby

from pytest_deploy.domain.verdict import Verdict
from pytest_deploy.report import summary, svg
from pytest_deploy.report.plot import TONES
from pytest_deploy.report.record import Record

__all__ = ["NAME", "render"]

NAME = "deploy.svg"


def render(record: Record) -> str:
    """Return the SVG: weights as a line of steps, a mark for each verdict, holds, rollback and commitment."""
    weights = _weights(record)
    last = max([record.started.at, *_times(record)])
    chart = svg.Chart(
        ident="deploy",
        title=summary.title(record),
        text="; ".join((_told(weights), *(verdict.sentence for verdict in record.verdicts))),
        head=summary.title(record),
        under="; ".join(dict.fromkeys(verdict.headline for verdict in record.verdicts if _stands_out(verdict)))
        or f"{len(record.verdicts)} verdicts",
        span=(record.started.at, max(last, record.started.at + timedelta(seconds=10))),
        values=(0.0, 112.0),
        unit="traffic to new version, %",
        ticks=(0, 25, 50, 75, 100),
    )
    for hold in record.holds:
        until = hold.decision.at if hold.decision else min(hold.deadline, last)
        chart.band([(hold.at, 0.0, 112.0), (max(until, hold.at), 0.0, 112.0)])
    for at, words, row in _moments(record):
        chart.moment(at, words, before=True, row=row)
    chart.line(weights, "value")
    for _, together in groupby(record.verdicts, key=lambda each: each.weight):
        for aside, verdict in enumerate(together):
            height = 100.0 if verdict.weight is None else float(verdict.weight)
            chart.mark(
                verdict.decided, height, "open" if verdict.dry_run else TONES.get(verdict.kind, "open"), aside=aside
            )
    chart.key("value", "traffic")
    chart.key("good", "PASS")
    chart.key("bad", "FAIL")
    chart.key("open", "other, dry run")
    if record.holds:
        chart.key("band", "held")
    return chart.render()


def _stands_out(verdict: Verdict) -> bool:
    return verdict.dry_run or TONES.get(verdict.kind) != "good"


def _weights(record: Record) -> list[svg.Point]:
    """Return the corners of the line: a weight holds until the next one was seen."""
    steps: list[svg.Point] = [(record.started.at, 0.0)]
    steps += [(each.at, each.state.weight_percent) for each in record.weights]
    for rollback in record.rollbacks:
        ended = rollback.ended
        if ended is not None and not ended.error:
            back = ended.at if ended.traffic_back is None else rollback.started.at + ended.traffic_back
            steps.append((back, 0.0))
    steps.sort(key=lambda step: step[0])
    # Where the traffic is after a way back that failed, nobody knows: the line ends where it began.
    until = max([steps[-1][0], *_times(record)]) if record.needs_human is None else steps[-1][0]
    corners = [steps[0]]
    for at, weight in steps[1:]:
        corners += [(at, corners[-1][1]), (at, weight)]
    return [*corners, (until, corners[-1][1])]


def _times(record: Record) -> Iterator[datetime]:
    yield from (each.at for each in record.weights)
    yield from (each.decided for each in record.verdicts)
    yield from (each.at for each in record.holds)
    yield from (each.ended.at if each.ended else each.started.at for each in record.rollbacks)
    if record.stopped is not None:
        yield record.stopped.at
    if record.ended is not None:
        yield record.ended.at


def _moments(record: Record) -> Iterator[tuple[datetime, str, int]]:
    """Yield when, what, and on which row of words."""
    yield from ((each.at, "committed", 0) for each in record.weights if each.final)
    yield from ((each.started.at, "rollback", 2 * index) for index, each in enumerate(record.rollbacks))
    yield from (
        (each.decision.at, f"{each.decision.answer} by {each.decision.by}", 1) for each in record.holds if each.decision
    )


def _told(weights: list[svg.Point]) -> str:
    levels = [level for level, _ in groupby(weight for _, weight in weights)]
    return "traffic to the new version: " + ", ".join(f"{level:.1f} %" for level in levels)
