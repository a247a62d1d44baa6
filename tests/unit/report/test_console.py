"""The console: a line a step, sparing heartbeats, one redrawn line for a person, nothing that controls a terminal."""

from __future__ import annotations

import pytest

from pytest_deploy.domain.event import DeployEnded, Event
from pytest_deploy.report import Console


def _shown(events: list[Event], *, tty: bool = False, color: bool = False, width: int = 100) -> str:
    out: list[str] = []
    console = Console(out.append, tty=tty, color=color, width=width)
    for event in events:
        console(event)
    return "".join(out)


def test_each_step_is_a_line(rolled_back: list[Event]) -> None:
    """A step says how it ended, what was found and how long it took; a failed one shows all of its numbers."""
    lines = _shown(rolled_back).splitlines()
    assert "  passed When 25% of the traffic goes to the canary (2 s): 25.0 % observed" in lines
    assert any(line.startswith("  OFF    And no open incident") for line in lines)
    failed = next(i for i, line in enumerate(lines) if line.startswith("  FAILED Then"))
    assert "3.12 % > 0.50 %; 150 bad of 4812" in lines[failed]
    assert "query:   sum(increase" in "\n".join(lines[failed : failed + 10])
    assert "Canary at 50%: not run, 'Canary at 25%' stopped the deploy" in lines


def test_the_same_reason_is_not_shown_twice(rolled_back: list[Event]) -> None:
    """What stopped the deploy was just said by the step: only cause and place follow."""
    shown = _shown(rolled_back)
    assert "  stopped by error rate at features/prod_canary.feature:32\n" in shown
    assert shown.count("certain at 99.9 %") == 1


def test_heartbeats_come_at_most_each_30_seconds(rolled_back: list[Event]) -> None:
    """A window of 5 minutes, looked at each 15 s, shows ten looks with value, limit, requests and what is left."""
    beats = [line for line in _shown(rolled_back).splitlines() if line.endswith(" left")]
    assert len(beats) == 2 * 10
    assert beats[0] == "    error rate 0.10 % (limit 0.50 %), 480 requests, 4 min 45 s left"


def test_a_rehearsal_is_not_flooded(good: list[Event]) -> None:
    """Nobody waits there: two looks for each window."""
    assert _shown(good).count(" left\n") == 2 * 2


@pytest.mark.parametrize(("story", "tag"), [("good", "[REHEARSAL] "), ("rollback_failed", "[SANDBOX, windows 30")])
def test_blocks_say_what_is_no_real_deploy(story: str, tag: str, request: pytest.FixtureRequest) -> None:
    """Header, plan and rollback each carry the label."""
    lines = _shown(request.getfixturevalue(story)).splitlines()
    labelled = [line for line in lines if line.startswith(tag)]
    rollback = ["ROLLING BACK", "ROLLBACK FAILED"] if story == "rollback_failed" else []
    for block in ("deploy 2026", "plan:", *rollback):
        assert any(block in line for line in labelled)


def test_a_rollback_is_told(rolled_back: list[Event]) -> None:
    """Why, what was sent, what proves it and how long it took."""
    shown = _shown(rolled_back)
    assert "ROLLING BACK: checkout-api in acme-prod/prod-us-east-1 back to" in shown
    assert "    sent: helm rollback of checkout-api" in shown
    assert "ROLLED BACK, verified after 11.4 s, traffic back after 3 s\n    wanted and stable" in shown


def test_a_failed_rollback_says_what_to_run(rollback_failed: list[Event]) -> None:
    """What is left behind, and the next command."""
    shown = _shown(rollback_failed)
    assert "    left behind: Rollout checkout-api: Degraded\n" in shown
    assert "    run next: helm --kube-context acme-prod -n prod-us-east-1 rollback checkout-api 41\n" in shown


def test_a_person_sees_one_redrawn_line(rolled_back: list[Event]) -> None:
    """On a terminal waiting rewrites its line, cut to the width, and what stays is written over it."""
    shown = _shown(rolled_back, tty=True, width=60)
    assert "\n    error rate 0.10 %" not in shown
    drawn = [part.partition("\n")[0] for part in shown.split("\r\x1b[2K")[1:]]
    waits = [part for part in drawn if part.startswith(("    error rate", "    waiting"))]
    assert len(waits) > 20
    assert all(len(part) < 60 for part in waits)
    assert "\r\x1b[2K  passed When 5% of the traffic" in shown


def test_color_is_only_where_it_is_asked_for(rolled_back: list[Event]) -> None:
    """Without color there is no escape sequence in plain output; with it only the status words have one."""
    assert "\x1b" not in _shown(rolled_back)
    assert "  \x1b[31mFAILED\x1b[0m Then" in _shown(rolled_back, color=True)


def test_outside_text_controls_no_terminal(hostile: list[Event]) -> None:
    """Escape sequences and direction marks are gone; a step stays on its line."""
    shown = _shown([event for event in hostile if not isinstance(event, DeployEnded)])
    assert not {"\x1b", "\u202e", "\r"} & set(shown)
    assert shown.count("\n# h1") == 0


def test_a_hold_cant_be_overlooked(promoted: list[Event]) -> None:
    """A block of its own says what is held, until when, and the exact command; waiting shows what is left."""
    lines = _shown(promoted).splitlines()
    held = next(i for i, line in enumerate(lines) if line.startswith("HELD, A PERSON MUST DECIDE: "))
    assert set(lines[held - 1]) == set(lines[held + 3]) == {"="}
    assert "error rate at 25 %: INCONCLUSIVE" in lines[held]
    assert lines[held + 1] == "    without a decision it is rolled back at 2026-11-24 11:00:30 UTC, in 29 min 59 s"
    assert lines[held + 2].startswith("    decide with: pytest-deploy decide promote --reason TEXT")
    assert "    HELD at 25 %, waiting for a decision: none yet, 27 min left" in lines
    assert "DECIDED: promote decided by @kim at 2026-11-24 10:33:31 UTC: known batch job" in lines
    assert not any(line.startswith("    HELD") for line in lines[lines.index(next(filter(_decided, lines))) :])


def _decided(line: str) -> bool:
    return line.startswith("DECIDED: ")


def test_a_dry_run_is_told_and_labelled(promoted: list[Event]) -> None:
    """Its verdict has a line of its own, which says that it blocks nothing."""
    assert "    DRY RUN, blocks nothing: p95 latency at 50 %: FAIL, 450 ms > 300 ms; " in _shown(promoted)
