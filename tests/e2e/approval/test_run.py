"""Whether the run that a dead deploy belongs to is still in progress, asked through the real ``gh``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_deploy.adapters.github_run import still_runs
from pytest_deploy.testing.clock import FakeClock
from tests.e2e.approval.github_server import JOB_TOKEN, Github, serving

pytestmark = pytest.mark.real


@pytest.fixture
def github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Github]:
    """A GitHub of this test's own, with a token in the environment as a job has it."""
    monkeypatch.setenv("GH_CONFIG_DIR", str(tmp_path / "gh"))
    monkeypatch.setenv("GH_ENTERPRISE_TOKEN", JOB_TOKEN)
    with serving(tmp_path) as made:
        monkeypatch.setenv("SSL_CERT_FILE", str(made.ca))
        yield made


def asked(github: Github, gh: str, run: int, said: list[str], **environ: str) -> str:
    """Ask about a run."""
    by = f"dora at https://{github.host}/acme/checkout-api/actions/runs/{run}"
    return still_runs(by, environ=environ, program=gh, clock=FakeClock(github.now), say=said.append)


def test_a_run_in_progress_is_named(github: Github, gh_binary: str) -> None:
    """It may only be slow: who recovers under it would fight it."""
    run, said = github.begin_run(actor="dora"), list[str]()
    words = asked(github, gh_binary, run, said)
    assert words == f"its CI run https://{github.host}/acme/checkout-api/actions/runs/{run} is still waiting"
    assert said == []


def test_a_run_that_has_ended_is_none(github: Github, gh_binary: str) -> None:
    """Completed, however it went."""
    run, said = github.begin_run(actor="dora"), list[str]()
    github.runs[run] |= {"status": "completed", "conclusion": "cancelled"}
    assert asked(github, gh_binary, run, said) == ""
    assert (said, len(github.asked)) == ([], 1)


def test_our_own_run_is_none(github: Github, gh_binary: str) -> None:
    """A step with ``if: always()`` recovers what an earlier step of the same run began: nothing is asked."""
    run, said = github.begin_run(actor="dora"), list[str]()
    assert asked(github, gh_binary, run, said, GITHUB_RUN_ID=str(run)) == ""
    assert (said, github.asked) == ([], [])


def test_what_can_not_be_asked_is_said(github: Github, gh_binary: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a token, without gh: the lease alone decides, in words."""
    run, said = github.begin_run(actor="dora"), list[str]()
    monkeypatch.setenv("GH_ENTERPRISE_TOKEN", "wrong")
    assert asked(github, gh_binary, run, said) == ""
    assert asked(github, "/nowhere/gh", run, said) == ""
    assert len(said) == 2
    assert all("is not known, so its lease alone decides: " in each for each in said)
    assert "401" in said[0]


@pytest.mark.parametrize("by", ["", "ann at laptop", "ann at https://ci.example.com/job/7"])
def test_who_runs_elsewhere_is_not_asked_for(by: str) -> None:
    """A laptop, another CI system: its lease is all that is known."""
    said: list[str] = []
    assert still_runs(by, environ={}, program="/nowhere/gh", clock=FakeClock(), say=said.append) == ""
    assert said == []
