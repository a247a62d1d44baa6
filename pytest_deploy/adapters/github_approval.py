"""Approval by GitHub: the review of a protected environment, read through ``gh`` and bound to image and attempt."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from pytest_deploy.adapters.github_api import EnvironmentFacts, GithubApi, ReviewRow, RunFacts
from pytest_deploy.domain.approval import Answer, Asked, Evidence, Request, Review, Ruling, judge, same_person
from pytest_deploy.errors import DeployError, Refused, Rejected
from pytest_deploy.ports import Clock

__all__ = ["GithubApprovals", "Job"]

_POLL = timedelta(seconds=15)
"""Two reads each: a job's token has 1000 requests an hour for all of its repository."""
_SETTLES = timedelta(seconds=15)
"""A job that has begun was reviewed; its review may be listed a moment later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The GitHub job that this process runs in.

    Args:
        run: None: it runs in none.
        actors: who started it, and who started this attempt.
    """

    run: int | None
    attempt: int
    actors: tuple[str, ...]

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Job:
        """Return what the environment says.

        https://docs.github.com/en/actions/reference/workflows-and-actions/variables
        """
        run, attempt = environ.get("GITHUB_RUN_ID", ""), environ.get("GITHUB_RUN_ATTEMPT", "")
        actors = (environ.get("GITHUB_ACTOR", ""), environ.get("GITHUB_TRIGGERING_ACTOR", ""))
        return cls(
            run=int(run) if run.isdigit() else None,
            attempt=int(attempt) if attempt.isdigit() else 1,
            actors=tuple(dict.fromkeys(actor for actor in actors if actor)),
        )


class GithubApprovals:
    """Port ``Approvals`` on the required reviewers of a GitHub environment.

    Args:
        environment: GitHub's name of it; None: as deploy.yaml calls it.
        workflow: file of the workflow that is dispatched, and whose protected job is reviewed; None: this process
            runs inside the protected job, whose review has been.
        ref: branch or tag of the workflow; None: the default branch.
        wait: for the review of a dispatched run.
        max_age: of an approval, as old as its attempt: GitHub does not say when it was given.
    """

    def __init__(
        self,
        api: GithubApi,
        *,
        clock: Clock,
        job: Job,
        environment: str | None = None,
        workflow: str | None = None,
        ref: str | None = None,
        wait: timedelta,
        max_age: timedelta,
    ) -> None:
        self._api = api
        self._clock = clock
        self._job = job
        self._environment = environment
        self._workflow = workflow
        self._ref = ref
        self._wait = wait
        self._max_age = max_age
        self._dispatched: dict[str, int] = {}

    @property
    def asks(self) -> str:
        """The command that starts the workflow; "" inside the protected job."""
        if self._workflow is None:
            return ""
        at = () if self._ref is None else ("--ref", self._ref)
        inputs = (part for name in ("service", "image_digest", "strategy") for part in ("-f", f"{name}=..."))
        return shlex.join(("gh", "workflow", "run", self._workflow, "-R", str(self._api.repository), *at, *inputs))

    def problems(self, environment: str, approvers: tuple[str, ...]) -> tuple[str, ...]:
        """Return what would keep an answer from ever counting, each with its mend; asks nobody.

        Raises:
            DeployError: GitHub gave no answer.
        """
        facts = self._api.environment(self._name(environment))
        mend = f"next: mend it at https://{self._api.repository}/settings/environments"
        problems = [f"{problem}; {mend}" for problem in self._unprotected(facts)]
        reviewers = facts.reviewers(self._api.repository.owner)
        if not _all_listed(reviewers, approvers):
            for team in (entry for entry in approvers if "/" in entry):
                try:
                    self._api.see(team)
                except Rejected as error:
                    problems.append(f"who is in {team} can't be told: {error.args[0]}; next: {_exactly(facts.name)}")
        return tuple(problems)

    def ask(self, request: Request) -> Asked:
        """Start the workflow whose job is reviewed; inside the protected job nothing is left to be asked.

        Raises:
            Refused: no answer could ever count, or there is neither a workflow nor a job.
            DeployError: GitHub gave no answer.
        """
        if problems := self.problems(request.environment, request.approvers):
            raise Refused("an approval could not count:\n" + "\n".join(f"  {problem}" for problem in problems))
        if self._workflow is None:
            if self._job.run is None:
                raise Refused(
                    "this process runs in no GitHub job, so that there is no review to read",
                    hint="start it in a job with 'environment:', or name the workflow to dispatch: "
                    "approval.github.workflow: deploy-prod.yml",
                )
            return Asked(words=self._api.run(self._job.run).html_url, wait=_SETTLES, poll=_POLL / 5)
        inputs = {"service": request.service, "image_digest": request.digest, "strategy": request.strategy}
        run = self._dispatched[request.environment] = self._api.dispatch(self._workflow, self._ref, inputs)
        url = self._api.run(run).html_url
        return Asked(
            words=f"review {url} as one of {', '.join(request.approvers)}, with the comment: {request.digest}",
            wait=self._wait,
            poll=_POLL,
        )

    def look(self, request: Request) -> Ruling:
        """Return what the reviews of the run amount to now.

        Raises:
            DeployError: GitHub gave no answer, or this token may not know who is in a team.
        """
        run = self._api.run(self._asked(request))
        attempt = 1 if self._workflow else self._job.attempt
        if run.run_attempt != attempt:
            return Ruling(
                answer=Answer.DENIED,
                words=f"{run.html_url} was run again: it is at attempt {run.run_attempt}, this deploy began with "
                f"attempt {attempt}; next: {self._again}",
            )
        rows = self._api.reviews(run.id, self._name(request.environment))
        ruling = self._judged(request, run, attempt, rows) if rows else None
        if run.conclusion not in {None, "success"} and (ruling is None or ruling.answer is Answer.GRANTED):
            return Ruling(answer=Answer.DENIED, words=f"{run.html_url} ended: {run.conclusion}; next: {self._again}")
        if ruling is not None:
            return ruling
        if run.conclusion is not None:
            name, workflow = self._name(request.environment), self._workflow or "the workflow"
            words = (
                f"{run.html_url} ended without a review for {name}; "
                f"next: give a job of {workflow} the line 'environment: {name}', then {self._again}"
            )
            return Ruling(answer=Answer.DENIED, words=words)
        return Ruling(answer=Answer.WAITING, words=f"nobody has answered yet ({run.html_url})")

    def withdraw(self, request: Request, why: str) -> str:
        """Cancel the run that was dispatched, and tell the approvers by a comment on the commit; each is tried once."""
        run = self._dispatched.get(request.environment)
        if run is None:
            return ""
        mentioned = " ".join(request.approvers)
        url = f"https://{self._api.repository}/actions/runs/{run}"
        text = f"{mentioned}: {url} asks for no approval any more ({request.deploy_id}): {why}"
        cancelled = _tried(f"{url} was cancelled", lambda: self._api.cancel(run))
        commit = request.commit
        if commit is None:
            return f"{cancelled}; {mentioned} not told: no commit is known to write it under"
        told = _tried(f"{mentioned} told by a comment on the commit", lambda: self._api.comment(commit, text))
        return f"{cancelled}; {told}"

    def _asked(self, request: Request) -> int:
        run = self._dispatched.get(request.environment) if self._workflow else self._job.run
        if run is None:
            raise DeployError(f"nobody was asked to approve {request.environment} yet", cause="approval")
        return run

    @property
    def _again(self) -> str:
        if self._workflow is not None:
            return "deploy again"
        return f"gh run rerun {self._job.run} -R {self._api.repository}, and let it be reviewed again"

    def _name(self, environment: str) -> str:
        return self._environment or environment

    def _unprotected(self, environment: EnvironmentFacts) -> list[str]:
        problems, where = [], f"the GitHub environment {environment.name!r} of {self._api.repository}"
        if not environment.reviewers(self._api.repository.owner):
            problems.append(f"{where} has no required reviewers, so that its jobs start by themselves")
        if environment.can_admins_bypass is not False:
            known = "may" if environment.can_admins_bypass else "may, for all that the server says,"
            problems.append(f"administrators {known} bypass the protection rules of {where}")
        return problems

    def _judged(self, request: Request, run: RunFacts, attempt: int, rows: tuple[ReviewRow, ...]) -> Ruling:
        environment = self._api.environment(self._name(request.environment))
        if problems := self._unprotected(environment):
            words = f"{'; '.join(problems)}; next: mend it, then {self._again}"
            return Ruling(answer=Answer.DENIED, words=words)
        involved, unknown = self._involved(request, run)
        reviews = tuple(self._review(request, environment, row) for row in rows)
        evidence = Evidence(
            reviews=reviews,
            title=run.display_title,
            attempt=attempt,
            began=run.run_started_at,
            involved=involved,
            where=run.html_url,
            again=self._again,
        )
        ruling = judge(request, evidence, now=self._clock.now(), max_age=self._max_age)
        return replace(ruling, words=ruling.words + unknown) if ruling.answer is Answer.GRANTED else ruling

    def _involved(self, request: Request, run: RunFacts) -> tuple[dict[str, str], str]:
        """Return who may not approve, and why; and what could not be told of them."""
        commit = request.commit or run.head_sha
        author, committer = self._api.people_of(commit)
        starters = [
            *self._job.actors,
            *(each.login for each in (run.actor, run.triggering_actor) if each and each.login),
        ]
        involved = dict.fromkeys(starters, "one who started the run")
        involved |= {committer: f"committer of {commit[:12]}"} if committer else {}
        involved |= {author: f"author of {commit[:12]}"} if author else {}
        return involved, "" if author else f"; GitHub knows no account of the author of {commit[:12]}"

    def _review(self, request: Request, environment: EnvironmentFacts, row: ReviewRow) -> Review:
        login = (row.user.login if row.user else None) or "somebody whose account is gone"
        approved = row.state == "approved"
        listed_as = self._listed_as(request, environment, login) if approved else None
        return Review(by=f"@{login}", listed_as=listed_as, approved=approved, text=row.comment or "")

    def _listed_as(self, request: Request, environment: EnvironmentFacts, login: str) -> str | None:
        for entry in request.approvers:
            if "/" not in entry and same_person(entry, login):
                return entry
        teams = [entry for entry in request.approvers if "/" in entry]
        reviewers = environment.reviewers(self._api.repository.owner)
        if _all_listed(reviewers, request.approvers):
            # GitHub lets nobody else review, so that nobody needs to be asked who is in a team.
            return " or ".join(each for each in reviewers if "/" in each) or None
        try:
            return next((team for team in teams if self._api.is_member(team, login)), None)
        except Rejected as error:
            raise Rejected(
                f"whether @{login} is in {' or '.join(teams)} can't be told: {error.args[0]}",
                hint=_exactly(environment.name),
            ) from error


def _tried(what: str, act: Callable[[], None]) -> str:
    """Do it and return what was done, or that it was not."""
    try:
        act()
    except DeployError as error:
        return f"not done ({what}): {error}"
    return what


def _all_listed(reviewers: tuple[str, ...], approvers: tuple[str, ...]) -> bool:
    return all(any(same_person(each, entry) for entry in approvers) for each in reviewers)


def _exactly(environment: str) -> str:
    return (
        f"let the required reviewers of {environment!r} be exactly the approvers of deploy.yaml, then nobody has to "
        "look into a team; or give a token that may (members: read; classic: read:org), which that of a job never is: "
        "approval.github.token"
    )
