"""The deploy note and the page: the facts a reader needs, where they are looked for, and nothing that works."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from pytest_deploy.domain import event
from pytest_deploy.domain.event import DeployEnded, DeployStarted, Event, RollbackEnded
from pytest_deploy.domain.outcome import Outcome
from pytest_deploy.domain.policy import Answer
from pytest_deploy.report import note, page
from pytest_deploy.report.record import Record
from tests.unit.report.conftest import P95, Story, verdict


def _record(events: list[Event]) -> Record:
    first = events[0]
    assert isinstance(first, DeployStarted)
    made = Record(started=first)
    for each in events[1:]:
        made.apply(each)
    return made


class _Page(HTMLParser):
    """The text of a page, and each tag with its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text, self.tags = "", []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += f" {data}"


def test_the_note_of_a_good_deploy(good: list[Event]) -> None:
    """The title says that it was a rehearsal; digests, revisions, approver, times and gates follow."""
    lines = note.render(_record(good)).splitlines()
    assert lines[0] == "# REHEARSAL: COMMITTED: checkout-api to prod"
    facts = dict(re.findall(r"^\| \*\*(.+?)\*\* \| (.*) \|$", "\n".join(lines), re.MULTILINE))
    assert facts["Old image"] == f"`ghcr.io/acme/checkout-api@sha256:{'a' * 64}`"
    assert facts["New image"] == f"`ghcr.io/acme/checkout-api@sha256:{'b' * 64}`"
    assert facts["Helm revision"] == "`41 -> 42`"
    assert facts["Approver"] == "@dana"
    assert facts["Pods ready"] == "10 of 10"
    assert facts["Traffic"] == "100 % to the new version"
    assert (facts["Started"], facts["Duration"]) == ("2026-11-24 10:15:00 UTC", "25 min 52 s")
    assert facts["Off"] == "incidents"
    gates = [line for line in lines if "**PASS**" in line]
    assert len(gates) == 5
    assert gates[0].startswith("| 5 % | 5.0 % | error rate | 5 min of 5 min | 4812 | **0.10 %** | &lt;= 0.50 % |")
    assert gates[-1].startswith("| after promotion | - | error rate |")
    assert not any(line.startswith("## Rollback") for line in lines)


def test_the_note_of_a_rollback(rolled_back: list[Event]) -> None:
    """Right after the facts: the metric with value and limit, when, commands, the proof, the time to restore."""
    text = note.render(_record(rolled_back))
    assert text.startswith("# ROLLED BACK, verified: checkout-api to prod\n\n|  |  |\n| --- | --- |\n| **Outcome** |")
    facts, _, rest = text.partition("\n\n## Rollback\n")
    assert "| **Off** | incidents |" in facts
    assert "\n## " not in facts
    top = rest.partition("\n## ")[0]
    assert "| **Trigger** | error rate at 25 %: FAIL, 3.12 % &gt; 0.50 %; 150 bad of 4812" in top
    assert "| **Stopped at** | 2026-11-24 10:25:42 UTC |" in top
    assert "| **Traffic back** | after 3 s |" in top
    assert "| **Time to restore** | 11.4 s |" in top
    assert "pods of it ready: 10 of 10" in top
    assert "\nhelm rollback checkout-api 41\n# Rollback was a success!\n" in top
    assert "| **FAIL** |" in text
    assert "- Canary at 50%: **not run**" in text


def test_a_failed_rollback_heads_the_note(rollback_failed: list[Event]) -> None:
    """What is left behind and what to run next comes first; the title says sandbox and its speed."""
    lines = note.render(_record(rollback_failed)).splitlines()
    assert lines[0] == "# SANDBOX, windows 30 times shorter: NEEDS A HUMAN: checkout-api to prod"
    assert lines[2] == "## A human is needed now"
    first_screen = lines[:20]
    assert "- Helm checkout-api: revision 42 failed" in first_screen
    assert "helm --kube-context acme-prod -n prod-us-east-1 rollback checkout-api 41" in first_screen


def test_a_decision_stands_above_the_facts(promoted: list[Event]) -> None:
    """Who let the weight rise all the same, when and why, and what they overruled; page and note say the same."""
    made = _record(promoted)
    lines = note.render(made).splitlines()
    assert lines[2] == "**PROMOTED BY DECISION of @kim at 2026-11-24 10:33:31 UTC: known batch job**"
    assert lines[4].startswith(
        "> error rate at 25 %: INCONCLUSIVE, 0.40 % &lt;= 0.50 %; 19 bad of 4812 in 600 s (300 s, extended by 300 s)"
    )
    text = _Page(page.render(made)).text
    assert 0 < text.index("PROMOTED BY DECISION of @kim") < text.index("Facts")
    assert "**INCONCLUSIVE, promoted by @kim**" in note.render(made)
    assert "INCONCLUSIVE, promoted by @kim" in text


@pytest.mark.parametrize(
    ("decision", "over", "said"),
    [
        (None, False, "HELD until 2026-11-24 10:55:15 UTC, then rolled back; to decide: pytest-deploy decide promote"),
        (None, True, "NOBODY DECIDED: held at 2026-11-24 10:25:16 UTC, at most until 2026-11-24 10:55:15 UTC"),
        (Answer.ABORT, True, "ABORTED BY DECISION of @kim at 2026-11-24 10:28:16 UTC: known batch job"),
    ],
)
def test_what_became_of_a_hold_is_said(decision: Answer | None, over: bool, said: str) -> None:
    """While it lasts the note has the command; afterwards who decided, or that nobody did."""
    story = Story()
    story.begin()
    story.hold(decision)
    if over:
        story.roll_back()
        story.end(Outcome.ROLLED_BACK)
    assert note.render(_record(story.events)).splitlines()[2].replace("\\", "").startswith(f"**{said}")


def test_an_overruled_verdict_triggers_no_rollback() -> None:
    """What a person overruled, and what was only a dry run, is not what a later rollback is because of."""
    story = Story()
    story.begin()
    story.hold(Answer.PROMOTE)
    story.tell(event.Judged, verdict=replace(verdict(P95, 50, story.at, value=0.45), dry_run=True))
    story.tell(event.Stopped, reason="the pods died", cause="pods", scenario="s", step="t", place="f:1")
    story.roll_back()
    assert "| **Trigger** | pods: the pods died |" in note.render(_record(story.events))


def test_dry_runs_are_labelled_in_the_table(promoted: list[Event]) -> None:
    """A weight that only a dry run looked at was not judged, and the dry run's verdict is coloured as no verdict."""
    made = _record(promoted)
    text = note.render(made)
    assert (
        "| 50 % | 50.0 % | p95 latency | 5 min of 5 min | 4812 | **450 ms** | &lt;= 300 ms | **DRY RUN: FAIL** |"
        in text
    )
    assert "| 50 % | 50.0 % | - | - | - | - | - | **not judged** | - |" in text
    assert '<strong class="open">DRY RUN: FAIL</strong>' in page.render(made)


def test_the_pictures_are_linked_beside_the_note(rolled_back: list[Event]) -> None:
    """Each verdict's picture, the deploy's and the measurements, by relative paths."""
    text = note.render(_record(rolled_back))
    assert "[deploy](plots/deploy.svg)" in text
    assert "[error rate at 25 %](plots/25-error-rate.svg)" in text
    assert "[measurements](measurements.jsonl)" in text


def test_the_page_holds_pictures_and_whole_verdicts(rolled_back: list[Event]) -> None:
    """A picture of the deploy and one of each verdict, none of them with a style of its own, and the explanations."""
    made = _record(rolled_back)
    html = page.render(made)
    parsed = _Page(html)
    assert [tag for tag, _ in parsed.tags].count("svg") == len(made.verdicts) + 1
    assert [tag for tag, _ in parsed.tags].count("style") == 1
    ids = [attrs["id"] for _, attrs in parsed.tags if "id" in attrs]
    assert len(ids) == len(set(ids)) == 2 * (len(made.verdicts) + 1)
    for made_verdict in made.verdicts:
        assert made_verdict.sentence in parsed.text
        assert all(line in parsed.text for line in made_verdict.explanation.splitlines())


def test_an_end_that_nobody_saw_is_said(rolled_back: list[Event]) -> None:
    """A note of a deploy that was killed on its way back says that it is not known how it stands."""
    over = [each for each in rolled_back if not isinstance(each, RollbackEnded)]
    assert "nobody saw its end: the state is unknown" in note.render(_record(over))
    under_way = [each for each in over if not isinstance(each, DeployEnded)]
    assert note.render(_record(under_way)).startswith("# ROLLING BACK; not ended when this was written: checkout-api")


def test_several_rollbacks_are_told_apart(rolled_back: list[Event]) -> None:
    """Production and staging each have their section."""
    ways = [each for each in rolled_back if type(each).__name__.startswith("Rollback")]
    made = _record([*rolled_back, *ways])
    assert re.findall(r"^## (Rollback.*)", note.render(made), re.MULTILINE) == ["Rollback 1 of 2", "Rollback 2 of 2"]
    assert "<h2>Rollback 2 of 2</h2>" in page.render(made)


def test_a_weight_without_a_verdict_is_in_the_table(good: list[Event]) -> None:
    """A step that was reached and never judged says so."""
    kept = [each for each in good if type(each).__name__ != "Judged"]
    assert "| 5 % | 5.0 % | - | - | - | - | - | **not judged** | - |" in note.render(_record(kept))


def test_outside_text_can_do_nothing_in_the_note(hostile: list[Event]) -> None:
    """HTML, headings, table cells, chat commands, colours and direction marks from outside are dead text."""
    text = note.render(_record(hostile))
    assert not re.search(r"<!(channel|here|everyone)", text)
    assert not {"\x1b", "\u202e"} & set(text)
    assert text.startswith("# STOPPED")
    outside_code = re.sub(r"^(`{3,}).*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    outside_code = re.sub(r"``.*?[^`]``", "", outside_code)
    assert "<script" not in outside_code
    assert not re.search(r"^# h1", outside_code, re.MULTILINE)
    table = [line for line in outside_code.splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {3, 10}


def test_the_page_is_self_contained(rolled_back: list[Event]) -> None:
    """No script, nothing loaded, and a policy that allows this page's own style and nothing else."""
    html = page.render(_record(rolled_back))
    tags = _Page(html).tags
    assert not {"script", "img", "iframe", "link", "object", "form"} & {tag for tag, _ in tags}
    assert not {
        name for _, attrs in tags for name in attrs if name.startswith("on") or name in {"src", "href", "style"}
    }
    (policy,) = (attrs["content"] for tag, attrs in tags if attrs.get("http-equiv") == "Content-Security-Policy")
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    assert style
    own = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{own}'; base-uri 'none'; form-action 'none'"


def test_the_page_holds_steps_and_gates(rolled_back: list[Event]) -> None:
    """Outcome, scenarios, Gherkin steps with detail and the gates' numbers are all there."""
    text = _Page(page.render(_record(rolled_back))).text
    for fact in (
        "ROLLED BACK, verified",
        "Canary at 25%",
        "Then for 5 minutes the error rate stays at or below 0.5%",
        "3.12 %",
        "<= 0.50 %",
        "FAIL",
        "Time to restore",
        'sum(increase(http_requests_total{code=~"5.."}[5m]))',
        "'Canary at 25%' stopped the deploy",
    ):
        assert fact in text


@pytest.mark.parametrize("label", ["good", "rollback_failed"])
def test_the_page_says_what_was_no_real_deploy(label: str, request: pytest.FixtureRequest) -> None:
    """The label stands in the page's title and above its heading."""
    html = page.render(_record(request.getfixturevalue(label)))
    expected = {"good": "REHEARSAL", "rollback_failed": "SANDBOX, windows 30 times shorter"}[label]
    assert f"<title>{expected}: " in html
    assert f'<p class="world">{expected}</p>' in html


def test_outside_text_can_do_nothing_in_the_page(hostile: list[Event]) -> None:
    """HTML from outside is text."""
    page_of = _Page(page.render(_record(hostile)))
    assert "<script>alert(1)</script>" in page_of.text
    assert "script" not in {tag for tag, _ in page_of.tags}
    assert not {"\x1b", "\u202e"} & set(page_of.text)
