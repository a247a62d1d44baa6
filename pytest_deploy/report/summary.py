"""What note and page say in the same words: title, facts, gates, the way back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from pytest_deploy.domain.outcome import Mode
from pytest_deploy.domain.policy import Decision
from pytest_deploy.domain.quantity import format_duration
from pytest_deploy.domain.verdict import Verdict, VerdictKind
from pytest_deploy.report.record import Record, RollbackRecord

__all__ = [
    "GateRow",
    "Help",
    "decisions",
    "facts",
    "gate_rows",
    "help_needed",
    "label",
    "outcome",
    "queries",
    "rollback_facts",
    "title",
    "tone",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRow:
    """A line of the table of steps; ``verdict`` is "" where the step was reached and no gate was decided.

    Args:
        tone: ``good``, ``bad`` or ``open``: how the verdict is to be coloured.
    """

    weight: str
    actual: str
    gate: str = ""
    window: str = ""
    requests: str = ""
    value: str = ""
    limit: str = ""
    verdict: str = ""
    rule: str = ""
    tone: str = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Help:
    """What a human needs now: what is wrong, how things stand, what to run next."""

    error: str
    left_behind: tuple[str, ...]
    commands: tuple[str, ...]


def label(record: Record) -> str:
    """Return ``REHEARSAL`` or ``SANDBOX`` (with its speed) where it was one, and nothing for a real deploy."""
    mode, divisor = record.started.mode, record.started.window_divisor
    if mode is Mode.REHEARSAL:
        return "REHEARSAL"
    if mode is Mode.SANDBOX:
        return "SANDBOX" if divisor == 1 else f"SANDBOX, windows {divisor:g} times shorter"
    return ""


def outcome(record: Record) -> str:
    """Return how the deploy ended in words, or how it stands where it has not ended."""
    if record.ended is not None:
        return record.ended.outcome.words
    if record.needs_human:
        return "NEEDS A HUMAN"
    if record.rollbacks:
        state = "ROLLED BACK, verified" if all(each.verified for each in record.rollbacks) else "ROLLING BACK"
    else:
        state = "STOPPED" if record.stopped else "UNDER WAY"
    return f"{state}; not ended when this was written"


def tone(record: Record) -> str:
    """Return ``good``, ``bad`` or ``open``: how the outcome is to be coloured."""
    if record.needs_human:
        return "bad"
    if record.ended is None:
        return "open"
    return "good" if record.ended.outcome.status == 0 else "bad"


def title(record: Record) -> str:
    """Return outcome, service and environment in one line, what was no real deploy labelled first."""
    parts = (label(record), outcome(record), f"{record.started.service} to {record.started.environment}")
    return ": ".join(part for part in parts if part)


def facts(record: Record) -> Iterator[tuple[str, str]]:
    """Yield name and text of each fact that a reader wants on the first screen."""
    first, found = record.started, record.facts
    yield "Outcome", outcome(record)
    if label(record):
        yield "World", label(record)
    yield "Service", first.service
    yield "Environment", f"{first.environment} (context {first.context}, namespace {first.namespace})"
    yield "Strategy", first.strategy + (" (drill: it is to be stopped)" if first.drill else "")
    yield "Old image", found.get("old_image", "not read")
    yield "New image", found.get("new_image") or f"{first.image} (never sent)"
    yield "Commit", first.commit or "no repository"
    yield "Approver", found.get("approver") or ("off" if _is_off(record, "approval") else "nobody was asked")
    before = found.get("revision_before", "not read")
    yield "Helm revision", f"{before} -> {found.get('revision_after', 'no new one recorded')}"
    yield "Pods ready", found.get("pods_ready") or _pods(record)
    yield "Traffic", _traffic(record)
    yield from ((name.capitalize(), text) for name, text in found.items() if name.startswith("load "))
    yield "Cluster", found.get("cluster", "not asked")
    yield "Started", _utc(first.at)
    ended = record.ended
    yield "Ended", _utc(ended.at) if ended else "not ended when this was written"
    if ended is not None:
        yield "Duration", format_duration(ended.at - first.at)
    yield "Off", ", ".join(dict.fromkeys(each.section for each in record.off)) or "nothing"


def gate_rows(record: Record) -> Iterator[GateRow]:
    """Yield a row for each verdict, and one for each weight that was reached and never judged."""
    reached = {each.asked: each for each in record.weights if not each.final}
    judged = {verdict.weight for verdict in record.verdicts if not verdict.dry_run}
    rows: list[tuple[float, GateRow]] = [
        (asked, GateRow(weight=f"{asked} %", actual=f"{each.state.weight_percent:.1f} %"))
        for asked, each in reached.items()
        if asked not in judged
    ]
    rows += [(101 if each.weight is None else each.weight, _row(record, each)) for each in record.verdicts]
    yield from (row for _, row in sorted(rows, key=lambda pair: pair[0]))


def decisions(record: Record) -> Iterator[tuple[str, str]]:
    """Yield, for each verdict that waited for a person, what became of it, and the verdict."""
    for hold in record.holds:
        if hold.decision is not None:
            did = "PROMOTED" if hold.promoted else "ABORTED"
            yield f"{did} BY DECISION of {_decided(hold.decision)}", hold.verdict.sentence
        elif record.ended is None and not record.rollbacks:
            yield (
                f"HELD until {_utc(hold.deadline)}, then rolled back; to decide: {hold.command}",
                hold.verdict.sentence,
            )
        else:
            yield f"NOBODY DECIDED: held at {_utc(hold.at)}, at most until {_utc(hold.deadline)}", hold.verdict.sentence


def queries(record: Record) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each gate's name and place with the queries that its verdict rests on."""
    for verdict in record.verdicts:
        if verdict.reading is not None:
            yield (
                f"{'DRY RUN: ' if verdict.dry_run else ''}{verdict.objective.name} {verdict.where}",
                verdict.reading.queries,
            )


def rollback_facts(record: Record, rollback: RollbackRecord) -> Iterator[tuple[str, str]]:
    """Yield what triggered a way back, when, and how it ended; its commands stand in the record itself."""
    stopped, ended = record.stopped, rollback.ended
    yield "Trigger", _trigger(record, rollback)
    if stopped is not None:
        yield "Where", ", ".join(part for part in (stopped.scenario, stopped.step, stopped.place) if part)
        yield "Stopped at", _utc(stopped.at)
    yield "Rolled back", rollback.started.target
    yield "Began at", _utc(rollback.started.at)
    if ended is None:
        yield "Result", "not known: nobody saw it end"
        return
    back = "not seen" if ended.traffic_back is None else f"after {format_duration(ended.traffic_back)}"
    yield "Traffic back", back
    yield ("Given up after" if ended.error else "Time to restore"), format_duration(ended.took)
    yield "Verified", "no" if ended.error else "yes: " + "; ".join(ended.verified)


def help_needed(record: Record) -> Help | None:
    """Return what a human needs; None where nobody is needed."""
    failed = record.needs_human
    if failed is None:
        return None
    if failed.ended is not None:
        return Help(error=failed.ended.error, left_behind=failed.ended.left_behind, commands=failed.ended.commands)
    first = record.started
    where = f"--context {first.context} -n {first.namespace}"
    return Help(
        error="the rollback began and nobody saw its end: the state is unknown",
        left_behind=tuple(f"{each.status}: {each.command}" for each in failed.actions) or ("nothing was sent",),
        commands=(f"kubectl {where} get rollouts.argoproj.io,replicasets,pods",),
    )


def _decided(decision: Decision) -> str:
    return f"{decision.by} at {_utc(decision.at)}: {decision.reason}"


def _utc(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _row(record: Record, verdict: Verdict) -> GateRow:
    asked = "after promotion" if verdict.weight is None else f"{verdict.weight} %"
    actual = "-" if verdict.actual_percent is None else f"{verdict.actual_percent:.1f} %"
    extended = f" + {format_duration(verdict.extended)}" if verdict.extended else ""
    return GateRow(
        weight=asked,
        actual=actual,
        gate=verdict.objective.name,
        window=f"{format_duration(verdict.watched)} of {format_duration(verdict.window)}{extended}",
        requests=_samples(verdict),
        value=verdict.value_text,
        limit=verdict.bound_text,
        verdict=_said(record, verdict),
        rule="; ".join(part for part in (verdict.ruling.rule, verdict.unseen_text, verdict.note) if part),
        tone="open" if verdict.dry_run else "good" if verdict.kind is VerdictKind.PASS else "bad",
    )


def _said(record: Record, verdict: Verdict) -> str:
    decision = _promoted_by(record, verdict)
    if decision is not None:
        return f"{verdict.kind}, promoted by {decision.by}"
    return f"DRY RUN: {verdict.kind}" if verdict.dry_run else verdict.kind.value


def _samples(verdict: Verdict) -> str:
    if verdict.reading is None:
        return ""
    return f"{verdict.samples}" if verdict.objective.counted else f"{verdict.samples} samples"


def _promoted_by(record: Record, verdict: Verdict) -> Decision | None:
    """Return the decision that let the weight rise in spite of a verdict; None where none did, or none was needed."""
    if verdict.kind is VerdictKind.PASS or verdict.dry_run:
        return None
    held = (h for h in record.holds if h.promoted and (h.verdict.weight, h.verdict.scenario) == _where(verdict))
    return next((hold.decision for hold in held), None)


def _where(verdict: Verdict) -> tuple[int | None, str]:
    return verdict.weight, verdict.scenario


def _trigger(record: Record, rollback: RollbackRecord) -> str:
    bad = [
        verdict
        for verdict in record.verdicts
        if verdict.kind is not VerdictKind.PASS and not verdict.dry_run and _promoted_by(record, verdict) is None
    ]
    if bad:
        return bad[-1].sentence
    if record.stopped is not None:
        return f"{record.stopped.cause}: {record.stopped.reason.partition(chr(10))[0]}"
    return rollback.started.cause


def _traffic(record: Record) -> str:
    if record.needs_human:
        return "unknown: the rollback failed"
    if record.rollbacks:
        verified = all(each.verified for each in record.rollbacks)
        return "all of it to the old version, verified" if verified else "on its way back"
    if record.state is None:
        return "not moved"
    if record.committed:
        return "100 % to the new version"
    new = record.state.weight_percent
    return f"{new:.1f} % to the new version, {100 - new:.1f} % to the old one, as last seen"


def _pods(record: Record) -> str:
    if record.rollbacks:
        return "as verified by the rollback" if all(each.verified for each in record.rollbacks) else "unknown"
    if record.state is None:
        return "not counted"
    return ", ".join(f"{each.ready} of {each.wanted} of {each.image}" for each in record.state.versions)


def _is_off(record: Record, section: str) -> bool:
    return any(each.section == section for each in record.off)
