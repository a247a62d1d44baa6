"""Approval through the real ``gh``, against a server that answers as GitHub's reference says."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pytest_deploy.adapters.github_api import GithubApi
from pytest_deploy.adapters.github_approval import GithubApprovals, Job
from pytest_deploy.domain.approval import Answer, Request
from pytest_deploy.errors import DeployError, Faulted, Refused, Rejected, Throttled, ToolFailed, Unreachable
from pytest_deploy.io.gh import Gh, Repository
from pytest_deploy.testing.clock import FakeClock
from pytest_deploy.testing.contracts import ApprovalsContract, ApprovalsWorld
from tests.e2e.approval.github_server import COMMIT, DIGEST, HOUR, JOB_TOKEN, ORG_TOKEN, OTHER, Bad, Github, serving

pytestmark = pytest.mark.real

REQUEST = Request(
    service="checkout-api",
    environment="prod",
    strategy="canary",
    pinned=f"ghcr.io/acme/checkout-api@{DIGEST}",
    commit=COMMIT,
    approvers=("@acme/sre",),
    deploy_id="20261124T101500Z-checkout-api-3f2a",
)
WRONG_TOKEN = "wrong-5ecret"  # noqa: S105 - made up
Make = Callable[..., GithubApprovals]


@pytest.fixture
def github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Github]:
    """A GitHub of this test's own; gh finds no login of this machine."""
    for name in ("GH_TOKEN", "GITHUB_TOKEN", "GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GH_CONFIG_DIR", str(tmp_path / "gh"))
    with serving(tmp_path) as made:
        monkeypatch.setenv("SSL_CERT_FILE", str(made.ca))
        yield made


@pytest.fixture
def approvals(github: Github, gh_binary: str) -> Make:
    """Make approvals; as in the protected job of a run, or with a workflow to dispatch."""

    def make(
        run: int | None = None,
        *,
        attempt: int = 1,
        actor: str = "dora",
        token: str | None = JOB_TOKEN,
        workflow: str | None = None,
    ) -> GithubApprovals:
        clock = FakeClock(github.now)
        repository = Repository.parse(f"{github.host}/acme/checkout-api")
        gh = Gh(gh_binary, host=github.host, clock=clock, token=token)
        return GithubApprovals(
            GithubApi(gh, repository, clock),
            clock=clock,
            job=Job(run=run, attempt=attempt, actors=(actor,)),
            workflow=workflow,
            wait=timedelta(minutes=60),
            max_age=24 * HOUR,
        )

    return make


class TestContract(ApprovalsContract):
    """GitHub keeps the contract."""

    @pytest.fixture
    def people(self, github: Github, approvals: Make) -> ApprovalsWorld:
        """The reviewers of a workflow that is dispatched."""
        return ApprovalsWorld(
            approvals=approvals(workflow="deploy-prod.yml"),
            request=REQUEST,
            yes=lambda: github.review(max(github.runs), "ann", DIGEST),
            no=lambda: github.review(max(github.runs), "ann", "no", state="rejected"),
        )


def test_a_review_of_the_protected_job(github: Github, approvals: Make) -> None:
    """Inside the job nothing is asked for; the review by a member of the team, with the digest, is the yes."""
    run = github.begin_run()
    github.review(run, "ann", f"fine: {DIGEST}")
    made = approvals(run)
    assert made.asks == ""
    assert made.ask(REQUEST).wait < timedelta(minutes=1)
    ruling = made.look(REQUEST)
    assert ruling.answer is Answer.GRANTED, ruling.words
    assert ruling.by == "@ann (@acme/sre)"
    assert ruling.words == (f"@ann (@acme/sre) approved {DIGEST} for prod, attempt 1 of {github.runs[run]['html_url']}")


def test_dispatched_and_waited_for(github: Github, approvals: Make) -> None:
    """``gh workflow run`` with the three inputs; the answer is waited for on the run that it names."""
    made = approvals(workflow="deploy-prod.yml")
    assert made.asks.startswith("gh workflow run deploy-prod.yml -R 127.0.0.1:")
    asked = made.ask(REQUEST)
    assert github.dispatched == [
        {
            "ref": "main",
            "inputs": {"service": "checkout-api", "image_digest": DIGEST, "strategy": "canary"},
            "return_run_details": True,
        }
    ]
    run = max(github.runs)
    assert asked.words == f"review {github.runs[run]['html_url']} as one of @acme/sre, with the comment: {DIGEST}"
    assert made.look(REQUEST).answer is Answer.WAITING
    github.review(run, "bob", DIGEST)
    assert made.look(REQUEST).answer is Answer.GRANTED


def test_a_server_that_names_no_run(github: Github, approvals: Make) -> None:
    """An older server answers 204: the run is the new one of the list, which shows it a moment later."""
    github.names_runs = False
    github.begin_run()
    github.appears_after = 2
    made = approvals(workflow="deploy-prod.yml")
    made.ask(REQUEST)
    assert "return_run_details" not in github.dispatched[0]
    github.review(max(github.runs), "ann", DIGEST)
    assert made.look(REQUEST).answer is Answer.GRANTED


def test_the_title_of_the_run_names_the_digest(github: Github, approvals: Make) -> None:
    """Where ``run-name`` shows the digest, the reviewer had it before their eyes and need not write it."""
    github.run_name = True
    made = approvals(workflow="deploy-prod.yml")
    made.ask(REQUEST)
    github.review(max(github.runs), "ann", "go")
    assert made.look(REQUEST).answer is Answer.GRANTED
    github.reviews[max(github.runs)].clear()
    github.review(max(github.runs), "ann", f"go, {OTHER}")
    assert "but" in made.look(REQUEST).words
    assert made.look(REQUEST).answer is Answer.DENIED


@pytest.mark.parametrize(
    ("by", "comment", "state", "words"),
    [
        ("ann", "not today", "rejected", r"prod was denied by @ann: not today \(https://.*; next: settle it with @ann"),
        ("ann", "go", "approved", rf"does not say for which image; write into the comment: {DIGEST}"),
        ("ann", f"go {OTHER}", "approved", rf"it is for {OTHER}, but {DIGEST} is to be deployed"),
        ("dora", DIGEST, "approved", r"@dora is the author of c0ffee000000, and nobody approves their own work"),
        ("carl", DIGEST, "approved", r"@carl is the one who started the run"),
        ("ANN", f"{DIGEST} attempt 3", "approved", r"it is for attempt 3, this is attempt 1"),
    ],
)
def test_what_is_no_yes(github: Github, approvals: Make, by: str, comment: str, state: str, words: str) -> None:
    """A no, no digest or another one, one's own work, another attempt: each is told with the next move."""
    run = github.begin_run(actor="carl")
    github.review(run, by, comment, state=state)
    ruling = approvals(run, actor="carl").look(REQUEST)
    assert ruling.answer is Answer.DENIED
    assert re.search(words, ruling.words), ruling.words
    assert re.search(r"next: .*gh run rerun \d+ -R 127\.0\.0\.1:\d+/acme/checkout-api", ruling.words)


def test_a_review_of_another_environment(github: Github, approvals: Make) -> None:
    """Reviews of other environments of the same run say nothing of this one."""
    run = github.begin_run()
    github.review(run, "ann", DIGEST, environment="staging")
    assert approvals(run).look(REQUEST).answer is Answer.WAITING


def test_a_run_that_was_run_again(github: Github, approvals: Make) -> None:
    """The review of the first attempt is still listed at the second, and counts there only if it says so."""
    run = github.begin_run()
    github.review(run, "ann", DIGEST)
    assert approvals(run).look(REQUEST).answer is Answer.GRANTED
    github.runs[run]["run_attempt"] = 2
    stale = approvals(run).look(REQUEST)
    assert stale.answer is Answer.DENIED
    assert "was run again: it is at attempt 2, this deploy began with attempt 1" in stale.words
    second = approvals(run, attempt=2).look(REQUEST)
    assert "it is for attempt 1, this is attempt 2" in second.words
    assert f"write into the comment: {DIGEST} attempt 2" in second.words
    github.review(run, "ann", f"{DIGEST} attempt 2")
    assert approvals(run, attempt=2).look(REQUEST).answer is Answer.GRANTED


def test_an_old_approval(github: Github, approvals: Make) -> None:
    """GitHub does not say when it was given: it may be as old as the attempt, which is over the limit."""
    run = github.begin_run(started=github.now - 25 * HOUR)
    github.review(run, "ann", DIGEST)
    ruling = approvals(run).look(REQUEST)
    assert ruling.answer is Answer.DENIED
    assert "it may be 25.0 h old, as old as the attempt; at most 24.0 h are allowed" in ruling.words


@pytest.mark.parametrize("bypass", [True, None])
def test_admins_may_bypass(github: Github, approvals: Make, bypass: bool | None) -> None:
    """Such a protection proves nothing: refused before anything is dispatched, and after a review too."""
    github.bypass = bypass
    made = approvals(workflow="deploy-prod.yml")
    with pytest.raises(Refused, match=r"administrators may.* bypass the protection .*/settings/environments"):
        made.ask(REQUEST)
    assert github.dispatched == []
    run = github.begin_run()
    github.review(run, "ann", DIGEST)
    ruling = approvals(run).look(REQUEST)
    assert ruling.answer is Answer.DENIED
    assert "of 127.0.0.1:" in ruling.words
    assert "/acme/checkout-api; next: mend it, then gh run rerun" in ruling.words


def test_an_environment_without_reviewers(github: Github, approvals: Make) -> None:
    """Its jobs start by themselves."""
    github.reviewers = ()
    with pytest.raises(Refused, match=r"'prod' of .* has no required reviewers, so that its jobs start"):
        approvals(github.begin_run()).ask(REQUEST)


def test_outside_of_a_job(approvals: Make) -> None:
    """Without a job and without a workflow there is no review to read: what to set is said."""
    with pytest.raises(Refused, match=r"runs in no GitHub job.*\n.*approval\.github\.workflow: deploy-prod\.yml"):
        approvals(None).ask(REQUEST)


def test_who_is_in_a_team(github: Github, approvals: Make) -> None:
    """Where others may review too, the team is asked for, which a job's token may not."""
    github.reviewers = ("@acme/sre", "@acme/qa")
    run = github.begin_run()
    with pytest.raises(Refused, match=r"who is in @acme/sre can't be told: .*404 Not Found; next: let the required"):
        approvals(run).ask(REQUEST)
    assert approvals(run, token=ORG_TOKEN).problems("prod", REQUEST.approvers) == ()
    github.review(run, "ann", DIGEST)
    with pytest.raises(Rejected, match=r"whether @ann is in @acme/sre can't be told: .*404 Not Found") as raised:
        approvals(run).look(REQUEST)
    assert "required reviewers of 'prod' be exactly the approvers" in str(raised.value)
    assert "members: read" in str(raised.value)
    assert approvals(run, token=ORG_TOKEN).look(REQUEST).by == "@ann (@acme/sre)"
    github.reviews[run].clear()
    github.review(run, "quinn", DIGEST)
    ruling = approvals(run, token=ORG_TOKEN).look(REQUEST)
    assert ruling.answer is Answer.DENIED
    assert "it is by none of the approvers (@acme/sre)" in ruling.words


def test_a_person_of_the_list(github: Github, approvals: Make) -> None:
    """A person named in the list needs no look into a team; names are told apart by no case."""
    github.reviewers = ("@acme/sre", "@quinn")
    run = github.begin_run()
    github.review(run, "Quinn", DIGEST)
    request = replace(REQUEST, approvers=("@acme/dev", "@quinn"))
    assert approvals(run).look(request).by == "@Quinn"


def test_an_author_without_an_account(github: Github, approvals: Make) -> None:
    """Whom GitHub can't tell, it says."""
    github.author = None
    run = github.begin_run()
    github.review(run, "ann", DIGEST)
    assert approvals(run).look(REQUEST).words.endswith("; GitHub knows no account of the author of c0ffee000000")


def test_a_run_that_ends_without_a_review(github: Github, approvals: Make) -> None:
    """A workflow whose job has no environment goes through by itself: that is no yes."""
    made = approvals(workflow="deploy-prod.yml")
    made.ask(REQUEST)
    run = github.runs[max(github.runs)]
    run |= {"status": "completed", "conclusion": "success"}
    ruling = made.look(REQUEST)
    assert ruling.answer is Answer.DENIED
    assert "give a job of deploy-prod.yml the line 'environment: prod', then deploy again" in ruling.words


def test_a_run_that_is_cancelled_after_the_yes(github: Github, approvals: Make) -> None:
    """Who cancels the run takes the yes back."""
    made = approvals(workflow="deploy-prod.yml")
    made.ask(REQUEST)
    run = max(github.runs)
    github.review(run, "ann", DIGEST)
    assert made.look(REQUEST).answer is Answer.GRANTED
    github.runs[run] |= {"status": "completed", "conclusion": "cancelled"}
    assert made.look(REQUEST).words.endswith(f"/actions/runs/{run} ended: cancelled; next: deploy again")
    assert made.look(REQUEST).answer is Answer.DENIED


def test_withdrawn(github: Github, approvals: Make) -> None:
    """The run is cancelled, so that no late click says yes, and the approvers are told why on the commit."""
    made = approvals(workflow="deploy-prod.yml")
    made.ask(REQUEST)
    run = max(github.runs)
    told = made.withdraw(REQUEST, "error rate 3.1% > 0.5%")
    assert github.runs[run]["conclusion"] == "cancelled"
    [(commit, text)] = github.comments
    assert commit == COMMIT
    assert text.startswith("@acme/sre: https://")
    assert text.endswith(f"({REQUEST.deploy_id}): error rate 3.1% > 0.5%")
    assert told.endswith("was cancelled; @acme/sre told by a comment on the commit")


def test_a_withdrawal_that_fails_is_said(github: Github, approvals: Make) -> None:
    """It is told what was done and what not; nothing is raised over what went wrong before."""
    made = approvals(workflow="deploy-prod.yml")
    made.ask(REQUEST)
    github.bad.append(Bad(path="/comments", status=403, body='{"message": "Resource not accessible by integration"}'))
    told = made.withdraw(REQUEST, "x")
    assert "was cancelled; not done (@acme/sre told by a comment on the commit): GitHub, repos/acme/" in told
    assert "403 Resource not accessible by integration" in told
    assert "contents: write" in told
    again = made.withdraw(replace(REQUEST, commit=None), "x")
    assert "Cannot cancel a workflow run that is completed" in again
    assert again.endswith("@acme/sre not told: no commit is known to write it under")


@pytest.mark.parametrize(
    ("bad", "error", "words"),
    [
        (Bad(path="approvals", status=502, body="<html>bad gateway</html>", times=99), Faulted, "502"),
        (Bad(path="approvals", status=200, body="<html>Log in</html>", times=99), Faulted, "no JSON: '<html>Log"),
        (Bad(path="approvals", status=200, body='[{"who": 1}]'), Faulted, r"makes no sense: 0\.state: Field required"),
        (
            Bad(
                path="approvals", status=403, body='{"message": "API rate limit exceeded"}', times=99,
                headers={"x-ratelimit-remaining": "0", "Retry-After": "9"},
            ),
            Throttled,
            "403 API rate limit exceeded",
        ),
        (Bad(path="approvals", status=404, body='{"message": "Not Found"}'), Rejected, r"404 Not Found\n.*actions: r"),
    ],
)  # fmt: skip
def test_no_answer_is_no_yes(github: Github, approvals: Make, bad: Bad, error: type[Exception], words: str) -> None:
    """What GitHub could not say is an error with its own words, whatever a review says behind it."""
    run = github.begin_run()
    github.review(run, "ann", DIGEST)
    github.bad.append(bad)
    with pytest.raises(error, match=words):
        approvals(run).look(REQUEST)


def test_a_hiccup_is_waited_out(github: Github, approvals: Make) -> None:
    """A read is tried again, as the server asks."""
    run = github.begin_run()
    github.review(run, "ann", DIGEST)
    github.bad += [
        Bad(path="approvals", status=429, body='{"message": "slow down"}', headers={"Retry-After": "7"}),
        Bad(path="approvals", status=500, body=""),
    ]
    assert approvals(run).look(REQUEST).answer is Answer.GRANTED


def test_a_bad_token(github: Github, approvals: Make) -> None:
    """The way to log in is said, and no token is in the message."""
    with pytest.raises(
        Rejected, match=r"401 Bad credentials\n  next: log in: gh auth login, or set GH_TOKEN"
    ) as raised:
        approvals(github.begin_run(), token=WRONG_TOKEN).look(REQUEST)
    assert "5ecret" not in str(raised.value)


def test_a_server_that_is_away(github: Github, approvals: Make) -> None:
    """Nothing answers."""
    run = github.begin_run()
    made = approvals(run)
    github.ca.write_text("", "utf-8")  # nobody to trust: the same as no connection
    with pytest.raises(Unreachable, match=r"GitHub at 127\.0\.0\.1:\d+, .*no answer"):
        made.look(REQUEST)


def test_a_workflow_that_is_not_there(github: Github, approvals: Make) -> None:
    """What gh says, and the permission that it takes."""
    with pytest.raises(DeployError, match="404") as raised:
        approvals(workflow="no-such.yml").ask(REQUEST)
    assert isinstance(raised.value, ToolFailed | Rejected)
    assert github.dispatched == []
