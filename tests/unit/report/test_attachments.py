"""What tools printed and found: whole in a file of its own, folded in note and page, inside its step in Allure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_deploy.domain import event
from pytest_deploy.domain.found import Attachment
from pytest_deploy.domain.outcome import Outcome
from pytest_deploy.report import Redactor, Reporting
from tests.unit.report.conftest import ID, Story

LOG = "line 1 of the log\nthe token is hunter22\n</details><script>alert(1)</script>\n" + "x" * 30_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give the reports of a deploy in which two texts were attached to one step."""
    story = Story()
    story.begin()
    story.tell(event.ScenarioStarted, title="Build", place="x:20")
    story.tell(event.StepStarted, keyword="And", text='"make test" pass', place="x:21")
    story.tell(event.Attached, attachment=Attachment("make test", LOG))
    story.tell(event.Attached, attachment=Attachment("Findings / 2", '{"a": 1}', "application/json"))
    story.step("And", '"make test" pass', 21, "passed", "12 passed")
    story.tell(event.ScenarioEnded, title="Build", status="passed")
    story.end(Outcome.PASSED)
    reporting = Reporting(tmp_path, ID, None, Redactor(["hunter22"]))
    for each in story.events:
        reporting(each)
    assert reporting.problems == []
    return tmp_path / ID


def test_a_file_holds_the_whole_text(folder: Path) -> None:
    """Numbered in the order in which they came, so that two of one name do not meet; secrets are taken out."""
    files = {each["name"]: each for each in json.loads((folder / "deploy.json").read_text())["attachments"]}
    assert [each["file"] for each in files.values()] == [
        "attachments/01-make-test.txt",
        "attachments/02-findings-2.json",
    ]
    assert files["make test"]["step"] == 'And "make test" pass'
    assert (folder / files["make test"]["file"]).read_text() == LOG.replace("hunter22", "[secret]")
    assert (folder / files["Findings / 2"]["file"]).read_text() == '{"a": 1}'


def test_the_log_of_events_names_it_only(folder: Path) -> None:
    """The journal's file does not swell by what stands beside it."""
    lines = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    logged = [line["attachment"] for line in lines if line["kind"] == "Attached"]
    assert logged[0] == {"name": "make test", "text": "", "media_type": "text/plain"}


def test_note_and_page_fold_it(folder: Path) -> None:
    """The note cuts it and says where the rest is, the page has all; nothing in it works, and no secret is in it."""
    note, page = (folder / "deploy-note.md").read_text(), (folder / "report.html").read_text()
    assert '<details><summary>make test (And "make test" pass)</summary>' in note
    assert "characters more in attachments/01-make-test.txt)" in note
    assert note.count("x" * 20_001) == 0
    assert "x" * 30_000 in page
    assert "<script>" not in page
    assert "attachments/01-make-test.txt" in page
    assert "hunter22" not in note + page


def test_allure_has_it_in_its_step(folder: Path) -> None:
    """As an attachment of the step that ran."""
    results = [json.loads(path.read_text()) for path in (folder / "allure-results").glob("*-result.json")]
    (build,) = (result for result in results if result["name"] == "Build")
    (step,) = build["steps"]
    assert [(each["name"], each["type"]) for each in step["attachments"]] == [
        ("make test", "text/plain"),
        ("Findings / 2", "application/json"),
    ]
    text = (folder / "allure-results" / step["attachments"][0]["source"]).read_text()
    assert text.startswith("line 1 of the log\nthe token is [secret]\n")
