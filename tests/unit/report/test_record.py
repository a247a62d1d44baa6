"""The record: one model of a deploy, and deploy.json."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from pytest_deploy.domain.event import Decided, DeployEnded, DeployStarted, Event, RollbackEnded, ScenarioEnded
from pytest_deploy.domain.measurement import Kind, Objective
from pytest_deploy.report.deploy_json import deploy_json, gate_json
from pytest_deploy.report.record import Record
from tests.unit.report.conftest import ERRORS, P95, START, verdict


def _record(events: list[Event]) -> Record:
    first = events[0]
    assert isinstance(first, DeployStarted)
    made = Record(started=first)
    for event in events[1:]:
        made.apply(event)
    return made


def _parsed(events: list[Event]) -> Any:
    return json.loads(json.dumps(deploy_json(_record(events)), allow_nan=False))


def test_a_good_deploy_is_recorded(good: list[Event]) -> None:
    """deploy.json holds outcome, digests, revisions, weights and each gate's numbers."""
    found = _parsed(good)
    assert found["outcome"] == {"name": "COMMITTED", "words": "COMMITTED", "status": 0}
    assert (found["mode"], found["commit"]) == ("rehearsal", "1234567890abcdef")
    assert found["image"]["old"].endswith("a" * 64)
    assert found["image"]["new"].endswith("b" * 64)
    assert (found["helm"]["revision_before"], found["helm"]["revision_after"]) == ("41", "42")
    assert [(each["asked"], each["final"]) for each in found["weights"]] == [(5, False), (100, False), (100, True)]
    gate = found["gates"][0]
    assert (gate["name"], gate["weight"], gate["verdict"]) == ("error rate", 5, "PASS")
    assert (gate["value"], gate["limit"], gate["unit"], gate["requests"]) == (0.001, 0.005, "ratio", 4812)
    assert gate["window_s"] == gate["watched_s"] == 300
    assert gate["queries"]
    assert found["gates"][-1]["weight"] is None
    assert found["started"] == "2026-11-24T10:15:00Z"
    assert found["off"][0]["section"] == "incidents"
    assert found["rollbacks"] == []


def test_the_feature_is_recorded_step_by_step(rolled_back: list[Event]) -> None:
    """Scenarios hold their steps with status and detail; one that was not run holds the reason."""
    found = _parsed(rolled_back)["scenarios"]
    assert [(each["title"], each["status"]) for each in found] == [
        ("Pre-flight", "passed"),
        ("Canary at 5%", "passed"),
        ("Canary at 25%", "failed"),
        ("Canary at 50%", "not run"),
    ]
    assert [step["status"] for step in found[0]["steps"]] == ["passed", "off"]
    assert found[2]["steps"][-1]["detail"].startswith("error rate at 25 %: FAIL, 3.12 % > 0.50 %")
    assert "stopped the deploy" in found[3]["reason"]


def test_a_rollback_holds_its_own_actions(rolled_back: list[Event]) -> None:
    """What was sent on the way back, and only that, stands in the rollback; all of it in the actions."""
    found = _parsed(rolled_back)
    (rollback,) = found["rollbacks"]
    assert [each["action"]["kind"] for each in rollback["actions"]] == ["RolloutPatch", "HelmRollback"]
    assert [each["status"] for each in found["actions"]] == ["done"] * 4
    assert rollback["ended"]["traffic_back"] == 3
    assert found["stopped"]["cause"] == "error rate"
    assert found["traffic"] is None


def test_an_unfinished_deploy_is_recorded_as_such(rolled_back: list[Event]) -> None:
    """Until the end is told, there is no outcome; what runs is said to run."""
    until = next(i for i, event in enumerate(rolled_back) if isinstance(event, RollbackEnded))
    made = _record(rolled_back[:until])
    assert deploy_json(made)["outcome"] is None
    assert made.needs_human is None
    assert not made.rollbacks[0].verified


def test_a_rollback_that_nobody_saw_end_needs_a_human(rolled_back: list[Event]) -> None:
    """A way back without an end is unknown state once the deploy is over."""
    made = _record([event for event in rolled_back if not isinstance(event, RollbackEnded)])
    assert made.needs_human is made.rollbacks[0]


def test_a_scenario_whose_set_up_failed_is_recorded(good: list[Event]) -> None:
    """A scenario that ended and never began is in the record all the same."""
    at = good[-1].at
    ended = ScenarioEnded(at=at, title="Afterwards, twice", status="broken", reason="fixture 'x' failed")
    made = _record([event for event in good if not isinstance(event, DeployEnded)] + [ended])
    assert (made.scenarios[-1].title, made.scenarios[-1].status) == ("Afterwards, twice", "broken")


def test_a_gate_has_all_that_explains_it(rolled_back: list[Event]) -> None:
    """Margin, exact interval, control, extension, dry run, what was needed, place and the one sentence."""
    made = _record(rolled_back)
    gate = _parsed(rolled_back)["gates"][-1]
    assert gate["sentence"] == made.verdicts[-1].sentence
    assert round(gate["margin"], 6) == -0.0262
    low, high = gate["interval"]
    assert low < gate["value"] < high
    assert gate["control"] == {"value": 0.001, "total": 4812, "bad": 4.812}
    assert (gate["extended_s"], gate["dry_run"], gate["needed"], gate["note"]) == (0, False, "", "")
    assert {"place", "scenario", "at_least", "relative", "unseen_ratio"} <= set(gate)
    assert "history" not in gate


def test_the_unit_says_how_to_read_the_numbers() -> None:
    """Ratio, seconds, a query's own; a script has neither numbers nor a limit."""
    objectives = {
        "ratio": ERRORS,
        "seconds": P95,
        "messages": Objective(kind=Kind.QUERY, limit=5, subject="queue", unit="messages"),
        None: Objective(kind=Kind.SCRIPT, limit=0, subject="./check.sh"),
    }
    for unit, objective in objectives.items():
        found = gate_json(replace(verdict(ERRORS, 5, START, value=0.001), objective=objective))
        assert found["unit"] == unit
    assert (found["limit"], found["requests"], found["limit_text"]) == (None, None, "exit status 0")
    relative = replace(P95, relative=True)
    assert gate_json(replace(verdict(ERRORS, 5, START, value=0.001), objective=relative))["unit"] == "seconds"


def test_holds_are_recorded_with_their_decision(promoted: list[Event]) -> None:
    """What was held until when, and who decided what, when and why."""
    (hold,) = _parsed(promoted)["holds"]
    assert (hold["hold"], hold["gate"], hold["where"], hold["verdict"]) == (17, "error rate", "at 25 %", "INCONCLUSIVE")
    assert hold["deadline"] == "2026-11-24T11:00:30.200Z"
    assert hold["decision"] == {
        "answer": "promote",
        "by": "@kim",
        "reason": "known batch job",
        "at": "2026-11-24T10:33:31.200Z",
    }
    undecided = [each for each in promoted if not isinstance(each, Decided)]
    assert _parsed(undecided)["holds"][0]["decision"] is None


def test_a_decision_answers_its_own_hold_only(promoted: list[Event]) -> None:
    """One that names another hold changes nothing."""
    other = [
        replace(each, decision=replace(each.decision, hold=3)) if isinstance(each, Decided) else each
        for each in promoted
    ]
    assert _parsed(other)["holds"][0]["decision"] is None
