"""Allure: scenarios, steps and gates as results; rollback and outcome can't be overlooked; nothing is loaded early."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_deploy.domain import event
from pytest_deploy.domain.event import Event
from pytest_deploy.domain.policy import Answer
from pytest_deploy.report import Redactor, Reporting
from tests.unit.report.conftest import Story


def _results(folder: Path) -> dict[str, Any]:
    found = [json.loads(path.read_text()) for path in folder.glob("*-result.json")]
    return {each["name"]: each for each in found}


def _own(tmp_path: Path, events: list[Event], **more: Any) -> dict[str, Any]:
    labels = {"Canary at 25%": (("severity", "critical"), ("epic", "Checkout"))}
    reporting = Reporting(tmp_path, "id", None, Redactor(()), labels=lambda title: labels.get(title, ()), **more)
    for each in events:
        reporting(each)
    assert reporting.problems == []
    return _results(tmp_path / "id" / "allure-results")


def test_each_scenario_is_a_result(tmp_path: Path, rolled_back: list[Event]) -> None:
    """A gate's no is failed, what was not run is skipped; steps, labels and suite are those of the feature."""
    found = _own(tmp_path, rolled_back)
    assert {name: each["status"] for name, each in found.items() if "Outcome" not in name} == {
        "Pre-flight": "passed",
        "Canary at 5%": "passed",
        "Canary at 25%": "failed",
        "Canary at 50%": "skipped",
        "Rollback": "passed",
    }
    canary = found["Canary at 25%"]
    assert canary["statusDetails"]["message"].startswith("error rate at 25 %: FAIL, 3.12 % > 0.50 %")
    labels = {(label["name"], label["value"]) for label in canary["labels"]}
    assert labels >= {("suite", "prod_canary"), ("parentSuite", "features"), ("epic", "Checkout")}
    assert [(step["name"][:4], step["status"]) for step in canary["steps"]] == [("When", "passed"), ("Then", "failed")]
    assert canary["steps"][0]["steps"][0]["name"] == "25.0 % observed"
    assert canary["stop"] > canary["start"]


def test_a_gate_shows_its_numbers(tmp_path: Path, rolled_back: list[Event]) -> None:
    """The step that was judged holds the verdict as text, as a picture and as JSON."""
    step = _own(tmp_path, rolled_back)["Canary at 25%"]["steps"][-1]
    text, picture, data = step["attachments"]
    assert text["name"] == "error rate at 25 %: FAIL"
    folder = tmp_path / "id" / "allure-results"
    assert "25 % asked, 25.0 % observed" in (folder / text["source"]).read_text()
    assert (picture["type"], picture["source"][-4:]) == ("image/svg+xml", ".svg")
    assert (folder / picture["source"]).read_text() == (tmp_path / "id" / "plots" / "25-error-rate.svg").read_text()
    numbers = json.loads((folder / data["source"]).read_text())
    assert (numbers["requests"], numbers["sentence"]) == (4812, step["statusDetails"]["message"].splitlines()[0])


def test_a_hold_stands_in_its_step(tmp_path: Path) -> None:
    """The question is attached with the command that decides it, and the decision is a step."""
    story = Story()
    story.begin()
    story.tell(event.ScenarioStarted, title="Canary at 25%", place="x:30")
    story.tell(event.StepStarted, keyword="Then", text="it holds", place="x:31")
    held = story.hold(Answer.ABORT)
    story.step("Then", "it holds", 31, "failed", held.explanation)
    story.tell(event.ScenarioEnded, title="Canary at 25%", status="failed")
    (step,) = _own(tmp_path, story.events)["Canary at 25%"]["steps"]
    (question,) = (each for each in step["attachments"] if each["name"] == "held for a decision")
    said = (tmp_path / "id" / "allure-results" / question["source"]).read_text()
    assert said.startswith(f"{held.sentence}\npytest-deploy decide promote --reason TEXT")
    assert step["steps"][0]["name"].startswith("decision: abort decided by @kim at 2026-11-24 ")


def test_a_failed_rollback_is_a_broken_result(tmp_path: Path, rollback_failed: list[Event]) -> None:
    """It says what is left behind and what to run, and shows the action that failed; the note is attached."""
    found = _own(tmp_path, rollback_failed)
    rollback = found["Rollback"]
    assert rollback["status"] == "broken"
    assert "timed out" in rollback["statusDetails"]["message"]
    assert "helm --kube-context acme-prod" in rollback["statusDetails"]["trace"]
    assert [step["status"] for step in rollback["steps"]] == ["passed", "broken"]
    (outcome,) = (each for name, each in found.items() if name.startswith("Outcome: "))
    assert outcome["status"] == "broken"
    note = (tmp_path / "id" / "allure-results" / outcome["attachments"][0]["source"]).read_text()
    assert note.startswith("# SANDBOX, windows 30 times shorter: NEEDS A HUMAN")


def test_environment_and_executor_are_told(tmp_path: Path, good: list[Event]) -> None:
    """The report's head says service, world and image; the executor leads to the CI run."""
    environ = {"GITHUB_RUN_ID": "7", "GITHUB_REPOSITORY": "acme/checkout"}
    _own(tmp_path, good, environ=environ)
    folder = tmp_path / "id" / "allure-results"
    properties = (folder / "environment.properties").read_text()
    assert "Service=checkout-api\n" in properties
    assert "World=REHEARSAL\n" in properties
    executor = json.loads((folder / "executor.json").read_text())
    assert executor["buildUrl"] == "https://github.com/acme/checkout/actions/runs/7"


def test_nobody_listens_afterwards(tmp_path: Path, good: list[Event]) -> None:
    """At the end of a deploy our listener is gone: the next one begins afresh."""
    from allure_commons import plugin_manager

    before = set(plugin_manager.get_plugins())
    _own(tmp_path, good)
    assert set(plugin_manager.get_plugins()) == before


def test_a_deploy_without_an_end_leaves_no_listener(tmp_path: Path, good: list[Event]) -> None:
    """What a deploy that broke off has left open takes nothing of the next one."""
    broken_off = Reporting(tmp_path, "broken-off", None, Redactor(()))
    for each in good[:4]:
        broken_off(each)
    assert _own(tmp_path, good)["Pre-flight"]["status"] == "passed"
    assert _results(tmp_path / "broken-off" / "allure-results") == {}


def test_team_steps_land_inside(tmp_path: Path, good: list[Event]) -> None:
    """``allure.step`` and ``allure.attach`` of a team's step belong to the Gherkin step that runs."""
    import allure

    reporting = Reporting(tmp_path, "id", None, Redactor(()))
    begin = next(i for i, each in enumerate(good) if type(each).__name__ == "StepStarted") + 1
    for each in good[:begin]:
        reporting(each)
    with allure.step("the team's own"):
        allure.attach("body", name="proof")
    for each in good[begin:]:
        reporting(each)
    assert reporting.problems == []
    (gherkin, *_) = _results(tmp_path / "id" / "allure-results")["Pre-flight"]["steps"]
    assert gherkin["steps"][0]["name"] == "the team's own"
    assert gherkin["steps"][0]["attachments"][0]["name"] == "proof"


def test_inside_allure_pytest(pytester: pytest.Pytester) -> None:
    """Where allure-pytest writes, steps land in its test, the rollback beside it, and there is no second copy."""
    pytester.makepyfile(
        test_deploy=f"""
        import importlib.util, pathlib, sys
        spec = importlib.util.spec_from_file_location("story", {str(Path(__file__).with_name("conftest.py"))!r})
        story = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(story)
        from pytest_deploy.domain import event
        from pytest_deploy.domain.outcome import Outcome
        from pytest_deploy.report import Redactor, Reporting

        def test_canary():
            told = story.Story()
            told.begin()
            told.canary(5, 20, error_ratio=0.0312)
            told.roll_back(error="helm timed out")
            told.end(Outcome.NEEDS_HUMAN)
            here = pathlib.Path.cwd()
            reporting = Reporting(here / "reports", "id", None, Redactor(()), allure_dir=here / "results")
            for each in told.events:
                reporting(each)
            assert reporting.problems == []
            raise AssertionError("the gate said no")
        """
    )
    run = pytester.runpytest_subprocess("--alluredir", "results", "-p", "no:cacheprovider")
    run.assert_outcomes(failed=1)
    found = _results(pytester.path / "results")
    assert {name.partition(":")[0]: each["status"] for name, each in found.items()} == {
        "test_canary": "failed",
        "Rollback": "broken",
        "Outcome": "broken",
    }
    steps = found["test_canary"]["steps"]
    assert [step["status"] for step in steps] == ["passed", "passed", "passed", "failed"]
    assert len(steps[-1]["attachments"]) == 3
    assert (pytester.path / "results" / "environment.properties").exists()
    assert not (pytester.path / "reports" / "id" / "allure-results").exists()


def test_reports_load_nothing_heavy() -> None:
    """Importing the reports loads neither Allure nor jinja2: both wait for a deploy."""
    code = "import sys, pytest_deploy.report; print(sorted({'allure_commons', 'jinja2'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
