"""The record: one model of a deploy, and deploy.json."""

from __future__ import annotations

import json
from typing import Any

from pytest_deploy.domain.event import DeployEnded, DeployStarted, Event, RollbackEnded, ScenarioEnded
from pytest_deploy.report.record import Record


def _record(events: list[Event]) -> Record:
    first = events[0]
    assert isinstance(first, DeployStarted)
    made = Record(started=first)
    for event in events[1:]:
        made.apply(event)
    return made


def _parsed(events: list[Event]) -> Any:
    return json.loads(json.dumps(_record(events).to_json(), allow_nan=False))


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
    assert made.to_json()["outcome"] is None
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
