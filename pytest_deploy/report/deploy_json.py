"""What ``deploy.json`` holds; each gate of it stands in Allure too."""

from __future__ import annotations

from pytest_deploy.domain.action import Json
from pytest_deploy.domain.explanation import reading_interval
from pytest_deploy.domain.measurement import Kind, Objective, Reading
from pytest_deploy.domain.verdict import Verdict
from pytest_deploy.report.encode import to_json
from pytest_deploy.report.record import HoldRecord, Record

__all__ = ["deploy_json", "gate_json"]


def deploy_json(record: Record) -> dict[str, Json]:
    """Return what ``deploy.json`` holds; keys are stable, times are UTC, durations seconds.

    ==================  =================================================================
    key                 value
    ==================  =================================================================
    version             of this table: 1
    id, mode            mode is ``real``, ``rehearsal`` or ``sandbox``
    outcome             ``{name, words, status}``; null while the deploy runs
    service ... commit  service, environment, context, namespace, strategy, commit
    feature             ``{name, path, drill}``
    window_divisor      windows were this many times shorter
    image               ``{asked, old, new, digest}``
    helm                ``{version, revision_before, revision_after}``
    approver, cluster, pods_ready   text as found; null where not found
    started, ended, duration_s
    known_good          ``{revision, image, template_hash}``: where a rollback goes
    weights             ``[{asked, actual_percent, at, took_s, final}]``
    traffic             the rollout as last seen; null where a rollback came after it
    gates               each verdict: value, limit, margin, counts, interval, control, window, queries, rule;
                        what it was read from is in ``measurements.jsonl``
    holds               ``[{hold, at, gate, where, verdict, sentence, deadline, command, decision}]``; decision is
                        ``{answer, by, reason, at}``, null while nobody has decided
    stopped             what stopped it, and where; null where nothing did
    rollbacks           ``[{started, actions, ended}]``
    actions             each mutation with its command and what its tool said
    scenarios           with their steps, as run
    attachments         ``[{name, step, media_type, file}]``; file is relative to this one's folder
    off, warnings, plan, facts
    ==================  =================================================================
    """
    first, last = record.started, record.ended
    return {
        "version": 1,
        "id": first.deploy_id,
        "mode": first.mode.value,
        "outcome": None
        if last is None
        else {"name": last.outcome.name, "words": last.outcome.words, "status": last.outcome.status},
        "service": first.service,
        "environment": first.environment,
        "context": first.context,
        "namespace": first.namespace,
        "strategy": first.strategy,
        "commit": first.commit,
        "feature": {"name": first.feature, "path": first.feature_path, "drill": first.drill},
        "window_divisor": first.window_divisor,
        "image": {
            "asked": first.image,
            "old": record.facts.get("old_image"),
            "new": record.facts.get("new_image"),
            "digest": record.facts.get("digest"),
        },
        "helm": {
            "version": record.facts.get("helm_version"),
            "revision_before": record.facts.get("revision_before"),
            "revision_after": record.facts.get("revision_after"),
        },
        "approver": record.facts.get("approver"),
        "cluster": record.facts.get("cluster"),
        "pods_ready": record.facts.get("pods_ready"),
        "started": to_json(first.at),
        "ended": to_json(last.at if last else None),
        "duration_s": to_json(last.at - first.at if last else None),
        "known_good": to_json(record.known_good),
        "weights": [
            {
                "asked": each.asked,
                "actual_percent": each.state.weight_percent,
                "at": to_json(each.at),
                "took_s": to_json(each.took),
                "final": each.final,
            }
            for each in record.weights
        ],
        "traffic": to_json(record.state),
        "gates": [gate_json(verdict) for verdict in record.verdicts],
        "holds": [_hold_json(hold) for hold in record.holds],
        "stopped": to_json(record.stopped),
        "rollbacks": to_json(record.rollbacks),
        "actions": to_json(record.actions),
        "scenarios": to_json(record.scenarios),
        "attachments": [
            {
                "name": each.attachment.name,
                "step": each.step,
                "media_type": each.attachment.media_type,
                "file": each.file,
            }
            for each in record.attachments
        ],
        "off": to_json(record.off),
        "warnings": to_json(record.warnings),
        "plan": to_json(record.plan),
        "facts": to_json(record.facts),
    }


def gate_json(verdict: Verdict) -> dict[str, Json]:
    """Return a verdict's numbers and words.

    Numbers are in ``unit``, times UTC, durations seconds; null is not known. An availability's ``value``,
    ``limit`` and ``margin`` are shares of bad requests. ``margin`` is positive within the limit; ``interval`` is the
    exact 95 % interval of the share of bad requests; ``unseen_ratio`` how much of the canary's requests may be bad
    before a reading of all pods shows it. What was read meanwhile is in ``measurements.jsonl``.
    """
    reading, objective = verdict.reading, verdict.objective
    known = objective.kind not in {Kind.SCRIPT, Kind.STEP}
    return {
        "name": objective.name,
        "kind": objective.kind.value,
        "scenario": verdict.scenario,
        "place": verdict.place,
        "where": verdict.where,
        "weight": verdict.weight,
        "actual_percent": to_json(verdict.actual_percent),
        "verdict": verdict.kind.value,
        "dry_run": verdict.dry_run,
        "sentence": verdict.sentence,
        "rule": verdict.ruling.rule,
        "cause": verdict.ruling.cause,
        "needed": verdict.ruling.needed,
        "note": verdict.note,
        "judge": verdict.judge,
        "value": to_json(verdict.value),
        "limit": objective.limit if known else None,
        "margin": to_json(verdict.margin),
        "at_least": objective.at_least,
        "relative": objective.relative,
        "unit": _unit(objective),
        "value_text": verdict.value_text,
        "limit_text": verdict.limit_text,
        "requests": to_json(reading.total if reading else None) if objective.counted else None,
        "samples": None if objective.counted or reading is None else to_json(reading.total),
        "bad": to_json(reading.bad if reading else None),
        "interval": to_json(reading_interval(reading)) if objective.counted else None,
        "neighbours": to_json(reading.neighbours if reading else None),
        "control": _control(verdict.control[-1]) if verdict.control else None,
        "unseen_ratio": to_json(verdict.unseen_ratio),
        "window_s": to_json(verdict.window),
        "extended_s": to_json(verdict.extended),
        "watched_s": to_json(verdict.watched),
        "started": to_json(verdict.started),
        "decided": to_json(verdict.decided),
        "newest_sample": to_json(reading.newest if reading else None),
        "subject": verdict.subject.words,
        "template_hash": verdict.subject.template_hash,
        "queries": to_json(reading.queries if reading else ()),
        "problem": reading.problem if reading else "",
    }


def _control(reading: Reading) -> Json:
    return {"value": to_json(reading.value), "total": to_json(reading.total), "bad": to_json(reading.bad)}


def _unit(objective: Objective) -> str | None:
    """Return the unit of the numbers: ``ratio``, ``seconds``, a query's own; None where there are no numbers."""
    if objective.kind in {Kind.SCRIPT, Kind.STEP}:
        return None
    if objective.kind is Kind.QUERY and objective.unit != "%":
        return objective.unit
    return "ratio" if objective.quantile is None else "seconds"


def _hold_json(hold: HoldRecord) -> dict[str, Json]:
    decision = hold.decision
    return {
        "hold": hold.hold,
        "at": to_json(hold.at),
        "gate": hold.verdict.objective.name,
        "where": hold.verdict.where,
        "verdict": hold.verdict.kind.value,
        "sentence": hold.verdict.sentence,
        "deadline": to_json(hold.deadline),
        "command": hold.command,
        "decision": None
        if decision is None
        else {
            "answer": decision.answer.value,
            "by": decision.by,
            "reason": decision.reason,
            "at": to_json(decision.at),
        },
    }
