"""Rows: approval, by the real gh against a GitHub on this machine, and by a file that cosign signs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from tests.e2e.approval.github_server import JOB_TOKEN, OTHER, Github
from tests.e2e.refusals.world import World, row

ASKED = 'Then "prod" is approved for this digest by one of its approvers'
SETTINGS = "acme/checkout-api/settings/environments"
AGAIN = "gh run rerun {run} -R {host}/acme/checkout-api"
RUN = "https://{host}/acme/checkout-api/actions/runs/{run}"


@row(what="has no required reviewers, so that its jobs start by themselves", where="'prod' of", mend=SETTINGS)
def nobody_must_review(world: World) -> Iterator[None]:
    """The environment is not protected."""
    github = _in_job(world)
    github.reviewers = ()
    yield
    github.reviewers = ("@acme/sre",)


@row(what="administrators may bypass", where="'prod' of", mend=SETTINGS)
def administrators_may_bypass(world: World) -> Iterator[None]:
    """The protection binds not everybody."""
    github = _in_job(world)
    github.bypass = True
    yield
    github.bypass = False


@row(what="runs in no GitHub job", where="prod.feature:", mend="approval.github.workflow: deploy-prod.yml")
def no_job_and_no_workflow(world: World) -> None:
    """There is no review to read."""
    _in_job(world)
    del world.env["GITHUB_RUN_ID"]


@row(what="@dora is the author of c0ffee000000, and nobody approves their own work", where=RUN, mend=AGAIN, status=1)
def approved_by_the_author(world: World) -> None:
    """Who wrote it said yes."""
    github = _in_job(world)
    github.review(_run(world), "dora", world.words["digest"])


@row(what="it is for {other}, but {digest} is to be deployed", where=RUN, mend=AGAIN, status=1)
def approved_for_another_digest(world: World) -> None:
    """The yes is for another image."""
    world.words["other"] = OTHER
    _in_job(world).review(_run(world), "ann", f"go {OTHER}")


@row(what="it does not say for which image; write into the comment: {digest}", where=RUN, mend=AGAIN, status=1)
def approved_for_no_digest(world: World) -> None:
    """The yes names no image."""
    _in_job(world).review(_run(world), "ann", "go")


@row(what="it is for attempt 1, this is attempt 2", where=RUN, mend=AGAIN, status=1)
def approved_at_an_earlier_attempt(world: World) -> None:
    """The yes was for a run that has ended since."""
    github = _in_job(world)
    github.runs[_run(world)]["run_attempt"] = 2
    world.env["GITHUB_RUN_ATTEMPT"] = "2"
    github.review(_run(world), "ann", world.words["digest"])


@row(what="it may be 25.0 h old, as old as the attempt; at most 24.0 h", where=RUN, mend=AGAIN, status=1)
def approval_expired(world: World) -> None:
    """The yes is of the day before yesterday."""
    github = _in_job(world, hours_ago=25)
    github.review(_run(world), "ann", world.words["digest"])


@row(what="an approval of prod", where=RUN, mend="ask @acme/sre", status=4)
def approval_missing(world: World) -> None:
    """The job has begun, and nobody has reviewed it."""
    _in_job(world)


@row(what="was denied by @ann: not now", where=RUN, mend="settle it with @ann", status=1)
def approval_denied(world: World) -> None:
    """A reviewer said no."""
    _in_job(world).review(_run(world), "ann", "not now", state="rejected")


@row(what="401 Bad credentials", where="GitHub", mend="gh auth login")
def github_refuses_the_token(world: World) -> None:
    """The token has been revoked."""
    _in_job(world)
    world.env |= {"GH_ENTERPRISE_TOKEN": "revoked"}


@row(
    what="names no approvers: nobody could approve it",
    where="environments.prod",
    mend='environments.prod.approvers: ["@acme/sre"]',
)
def no_approvers(world: World) -> None:
    """deploy.yaml does not say who may."""
    _in_job(world)
    del world.prod["approvers"]


@row(
    what="prod is not approved for {image}: no step asked for it",
    where="prod.feature:",
    mend="let this step stand before",
)
def approval_that_no_step_asks_for(world: World) -> None:
    """The feature has lost its line."""
    _in_job(world)
    world.steps.clear()


def _in_job(world: World, *, hours_ago: float = 0) -> Github:
    """Run the deploy inside a GitHub job that has the protected environment."""
    github = world.parts.github
    run = github.begin_run(actor="carl", started=github.now - timedelta(hours=hours_ago))
    world.prod["approvers"] = ["@acme/sre"]
    world.profile["approval"] = {"github": {"repository": f"{github.host}/acme/checkout-api"}}
    world.profile["tools"]["gh"] = world.place.sandbox.binaries["gh"]
    world.env |= {
        "SSL_CERT_FILE": str(github.ca),
        "GITHUB_SERVER_URL": f"https://{github.host}",
        "GITHUB_REPOSITORY": "acme/checkout-api",
        "GITHUB_RUN_ID": str(run),
        "GITHUB_RUN_ATTEMPT": "1",
        "GITHUB_ACTOR": "carl",
        "GH_ENTERPRISE_TOKEN": JOB_TOKEN,
    }
    world.words |= {"host": github.host, "run": str(run)}
    world.steps.append(ASKED)
    return github


def _run(world: World) -> int:
    return int(world.words["run"])
