"""The deploy note: Markdown, one screen first, for chat, job summaries and people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pytest_deploy.report import measurements, overview, plot, summary
from pytest_deploy.report.record import ActionRecord, Record
from pytest_deploy.report.text import cell, clip, code, fence, markdown, plain

__all__ = ["render"]

_LONGEST_OUTPUT = 2_000
"""Characters of a tool's words; arbitrary. A job summary on GitHub holds 1 MiB, ``deploy.json`` has all of it."""
_LONGEST_ATTACHMENT = 20_000
"""Characters of an attached text, for the same reason; the file beside the note has all of it."""
_AS_CODE = frozenset({"Old image", "New image", "Commit", "Helm revision"})
_HEADINGS = ("Step", "Actual", "Gate", "Watched", "Requests", "Value", "Limit", "Verdict", "Why")


def render(record: Record) -> str:
    """Return the whole note; everything from outside is escaped."""
    return "\n".join(_lines(record)) + "\n"


def _lines(record: Record) -> Iterator[str]:
    yield f"# {markdown(summary.title(record))}"
    yield ""
    yield from _help(record)
    yield from _decisions(record)
    yield from _table(("", ""), [(f"**{name}**", _fact(name, text)) for name, text in summary.facts(record)])
    yield ""
    yield from _rollbacks(record)
    yield from _stopped(record)
    yield from _gates(record)
    yield from _warnings(record)
    yield from _scenarios(record)
    yield from _folded(record)
    yield f"Deploy {code(record.started.deploy_id)} of {code(record.started.feature_path)}"


def _help(record: Record) -> Iterator[str]:
    needed = summary.help_needed(record)
    if needed is None:
        return
    yield "## A human is needed now"
    yield ""
    yield fence(needed.error)
    yield ""
    yield "Left behind, as last seen:"
    yield ""
    yield from (f"- {markdown(line)}" for line in needed.left_behind)
    yield ""
    yield "Run next:"
    yield ""
    yield fence("\n".join(plain(command) for command in needed.commands), "sh")
    yield ""


def _decisions(record: Record) -> Iterator[str]:
    for what, sentence in summary.decisions(record):
        yield f"**{markdown(what)}**"
        yield ""
        yield f"> {markdown(sentence)}"
        yield ""


def _rollbacks(record: Record) -> Iterator[str]:
    for index, rollback in enumerate(record.rollbacks, 1):
        yield "## Rollback" + (f" {index} of {len(record.rollbacks)}" if len(record.rollbacks) > 1 else "")
        yield ""
        yield from _table(
            ("", ""),
            [(f"**{name}**", markdown(text)) for name, text in summary.rollback_facts(record, rollback)],
        )
        yield ""
        yield "What was done:" if rollback.actions else "Nothing had to be sent."
        yield ""
        yield from _actions(rollback.actions)


def _stopped(record: Record) -> Iterator[str]:
    if record.stopped is None:
        return
    yield "## What stopped it"
    yield ""
    yield fence(record.stopped.reason)
    yield ""


def _gates(record: Record) -> Iterator[str]:
    yield "## Steps and gates"
    yield ""
    rows = list(summary.gate_rows(record))
    if not rows:
        yield "No weight was reached, no gate was read."
        yield ""
        return
    yield from _table(
        _HEADINGS,
        [
            (
                row.weight,
                row.actual,
                markdown(row.gate) or "-",
                row.window or "-",
                row.requests or "-",
                f"**{markdown(row.value)}**" if row.value else "-",
                markdown(row.limit) or "-",
                f"**{markdown(row.verdict or 'not judged')}**",
                markdown(row.rule) or "-",
            )
            for row in rows
        ],
    )
    yield ""
    if record.verdicts:
        pictures = [f"[deploy]({plot.FOLDER}/{overview.NAME})"]
        pictures += [
            f"[{markdown(f'{each.objective.name} {each.where}')}]({plot.FOLDER}/{name})"
            for each, name in zip(record.verdicts, plot.names(record.verdicts), strict=True)
        ]
        yield f"Pictures beside this note: {', '.join(pictures)}. What was read: [measurements]({measurements.NAME})."
        yield ""


def _warnings(record: Record) -> Iterator[str]:
    lines = [f"OFF: {each.capability} (no section {each.section!r} in deploy.yaml)" for each in record.off]
    lines += [f"Warning: {text}" for text in record.warnings]
    if lines:
        yield "## Off, and warned of"
        yield ""
        yield from (f"- {markdown(line)}" for line in dict.fromkeys(lines))
        yield ""


def _scenarios(record: Record) -> Iterator[str]:
    if not record.scenarios:
        return
    yield "## Scenarios"
    yield ""
    for scenario in record.scenarios:
        reason = scenario.reason.partition("\n")[0]
        because = f": {markdown(clip(reason, 200))}" if reason and scenario.status != "passed" else ""
        yield f"- {markdown(scenario.title)}: **{scenario.status}**{because}"
        for step in scenario.steps:
            first = step.detail.partition("\n")[0]
            detail = f": {markdown(clip(first, 300))}" if first else ""
            yield f"  - {step.status.upper()} {markdown(f'{step.keyword} {step.text}')}{detail}"
    yield ""


def _folded(record: Record) -> Iterator[str]:
    asked = list(summary.queries(record))
    if asked:
        yield from _details("Queries", (f"{markdown(name)}\n\n{fence(chr(10).join(q))}\n" for name, q in asked))
    for each in record.attachments:
        about = markdown(f"{each.attachment.name} ({each.step})" if each.step else each.attachment.name)
        text = fence(clip(each.attachment.text, _LONGEST_ATTACHMENT, where=each.file))
        yield from _details(about, (text, "", f"Beside this note: [{each.file}]({each.file})", ""))
    if record.plan:
        yield from _details("Plan", (fence("\n".join(plain(line) for line in record.plan), "sh"), ""))
    if record.actions:
        yield from _details(f"All {len(record.actions)} actions", _actions(record.actions))


def _details(heading: str, lines: Iterable[str]) -> Iterator[str]:
    yield f"<details><summary>{heading}</summary>"
    yield ""
    yield from lines
    yield "</details>"
    yield ""


def _actions(actions: Iterable[ActionRecord]) -> Iterator[str]:
    for action in actions:
        at = f"{action.at:%H:%M:%S}Z"
        status = "sent, and nobody saw it end" if action.took is None else action.status
        said = plain(clip(action.said, _LONGEST_OUTPUT), lines=True).splitlines()
        lines = [f"# {at} {status}: {plain(action.action.summary)}", plain(action.command), *(f"# {s}" for s in said)]
        yield fence("\n".join(lines), "sh")
        yield ""


def _fact(name: str, text: str) -> str:
    return cell(text) if name in _AS_CODE else markdown(text)


def _table(headings: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(headings)} |"
    yield f"|{' --- |' * len(headings)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
