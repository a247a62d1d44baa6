"""What GitHub knows of a run, its reviews and its environment, as far as an approval needs it."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from pytest_deploy.errors import Faulted, Rejected
from pytest_deploy.io.gh import Gh, Repository
from pytest_deploy.io.retry import TryAgain, patiently
from pytest_deploy.ports import Clock

__all__ = ["EnvironmentFacts", "GithubApi", "ReviewRow", "RunFacts"]

T = TypeVar("T")

_RUN = re.compile(r"/actions/runs/(\d+)")
_APPEARS = timedelta(seconds=30)
"""A run that was just dispatched is listed a few seconds later."""
_ACTIONS = "the permission actions: read"
_MEMBERS = "the organization permission members: read"


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Account(_Facts):
    login: str | None = None


class _Named(_Facts):
    name: str


class RunFacts(_Facts):
    """A run: https://docs.github.com/en/rest/actions/workflow-runs#get-a-workflow-run."""

    id: int
    html_url: str
    head_sha: str
    run_attempt: int = 1
    run_started_at: datetime
    display_title: str = ""
    conclusion: str | None = None
    actor: _Account | None = None
    triggering_actor: _Account | None = None


class ReviewRow(_Facts):
    """A review: https://docs.github.com/en/rest/actions/workflow-runs#get-the-review-history-for-a-workflow-run.

    It says neither when it was given, nor for which attempt, nor for which commit.
    """

    state: str
    comment: str | None = None
    user: _Account | None = None
    environments: tuple[_Named, ...] = ()


class _Reviewer(_Facts):
    login: str | None = None
    slug: str | None = None


class _ReviewerRow(_Facts):
    reviewer: _Reviewer


class _Rule(_Facts):
    type: str
    reviewers: tuple[_ReviewerRow, ...] = ()


class EnvironmentFacts(_Facts):
    """An environment: https://docs.github.com/en/rest/deployments/environments#get-an-environment.

    Args:
        can_admins_bypass: None: this server does not say.
    """

    name: str
    can_admins_bypass: bool | None = None
    protection_rules: tuple[_Rule, ...] = ()

    def reviewers(self, owner: str) -> tuple[str, ...]:
        """Return the required reviewers as approvers are written: ``@ann``, ``@acme/sre``; () where none is required.

        Args:
            owner: of the repository: a reviewing team belongs to it.
        """
        rows = [
            row.reviewer
            for rule in self.protection_rules
            if rule.type == "required_reviewers"
            for row in rule.reviewers
        ]
        return tuple(
            f"@{owner}/{each.slug}" if each.slug else f"@{each.login}" for each in rows if each.slug or each.login
        )


class _CommitFacts(_Facts):
    author: _Account | None = None
    committer: _Account | None = None


class _Runs(_Facts):
    workflow_runs: tuple[RunFacts, ...]


class _Membership(_Facts):
    state: str


class GithubApi:
    """The requests, each with the permission that it needs."""

    def __init__(self, gh: Gh, repository: Repository, clock: Clock) -> None:
        self._gh = gh
        self._clock = clock
        self.repository = repository

    def run(self, run_id: int) -> RunFacts:
        """Return the run as it is now."""
        return self._read(RunFacts, f"{self.repository.path}/actions/runs/{run_id}", _ACTIONS)

    def reviews(self, run_id: int, environment: str) -> tuple[ReviewRow, ...]:
        """Return the answered reviews of the run for this environment; () while none is."""
        path = f"{self.repository.path}/actions/runs/{run_id}/approvals"
        rows = self._read(tuple[ReviewRow, ...], path, _ACTIONS)
        return tuple(row for row in rows if environment in {each.name for each in row.environments})

    def environment(self, name: str) -> EnvironmentFacts:
        """Return the environment and who protects it."""
        return self._read(EnvironmentFacts, f"{self.repository.path}/environments/{quote(name, safe='')}", _ACTIONS)

    def people_of(self, commit: str) -> tuple[str | None, str | None]:
        """Return author and committer of the commit; None where GitHub knows no account with that address."""
        path = f"{self.repository.path}/commits/{quote(commit, safe='')}"
        facts = self._read(_CommitFacts, path, "the permission contents: read")
        return (facts.author.login if facts.author else None, facts.committer.login if facts.committer else None)

    def see(self, team: str) -> None:
        """Make sure that this token may know who is in the team ``@org/slug``; raises Rejected where it may not."""
        self._gh.read(_team(team), needs=_MEMBERS)

    def is_member(self, team: str, login: str) -> bool:
        """Whether the person is an active member of the team.

        Raises:
            Rejected: this token may not know.
        """
        path = f"{_team(team)}/memberships/{quote(login, safe='')}"
        try:
            membership = self._read(_Membership, path, _MEMBERS)
        except Rejected:
            # 404 is "not a member" and "you may not know", too: who can see the team can see its members.
            self.see(team)
            return False
        return membership.state == "active"

    def dispatch(self, workflow: str, ref: str | None, inputs: dict[str, str]) -> int:
        """Start the workflow with ``gh workflow run`` and return the run's id.

        Raises:
            ToolFailed: gh or GitHub said no.
            Faulted: it was started, but which run it is can't be told.
        """
        before = {run.id for run in self._runs(workflow)}
        arguments = [part for name, value in inputs.items() for part in ("-f", f"{name}={value}")]
        at = () if ref is None else ("--ref", ref)
        printed = self._gh.run(
            "workflow",
            "run",
            workflow,
            "-R",
            str(self.repository),
            *at,
            *arguments,
            needs="the permission actions: write",
        )
        if found := _RUN.search(printed):
            return int(found[1])
        # A server that is not new enough names no run: it answers 204. https://github.com/cli/cli/issues/12672
        return patiently(lambda _: self._appeared(workflow, before), clock=self._clock, patience=_APPEARS)

    def cancel(self, run_id: int) -> None:
        """Cancel the run."""
        self._gh.write(
            f"{self.repository.path}/actions/runs/{run_id}/cancel", {}, needs="the permission actions: write"
        )

    def comment(self, commit: str, text: str) -> None:
        """Write under a commit; whom the text names is notified by GitHub."""
        path = f"{self.repository.path}/commits/{quote(commit, safe='')}/comments"
        self._gh.write(path, {"body": text}, needs="the permission contents: write")

    def _runs(self, workflow: str) -> tuple[RunFacts, ...]:
        path = f"{self.repository.path}/actions/workflows/{quote(workflow, safe='')}/runs"
        return self._read(_Runs, f"{path}?event=workflow_dispatch&per_page=30", _ACTIONS).workflow_runs

    def _appeared(self, workflow: str, before: set[int]) -> int:
        new = [run for run in self._runs(workflow) if run.id not in before]
        if len(new) == 1:
            return new[0].id
        seen = f"{len(new)} new runs of it are listed" if new else "no new run of it is listed"
        error = Faulted(
            f"{workflow} was started, but which run it is can't be told: {seen}",
            hint=f"cancel what was started: gh run list -R {self.repository} --workflow {workflow}; then deploy again",
        )
        if new:
            raise error
        raise TryAgain(error)

    def _read(self, kind: type[T], path: str, needs: str) -> T:
        answer = self._gh.read(path, needs=needs)
        try:
            return TypeAdapter(kind).validate_python(answer)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the answer"
            raise Faulted(
                f"GitHub, {path}: the answer makes no sense: {where}: {first['msg']}",
                hint="see whether a proxy stands between, and gh's version",
            ) from error


def _team(team: str) -> str:
    organization, _, slug = team.removeprefix("@").partition("/")
    return f"orgs/{quote(organization, safe='')}/teams/{quote(slug, safe='')}"
