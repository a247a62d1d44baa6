"""A pull request on GitHub: https://docs.github.com/en/rest/pulls/pulls#create-a-pull-request."""

from __future__ import annotations

import re
from urllib.parse import urlencode

from pytest_deploy.domain.action import Json
from pytest_deploy.errors import DeployError, Faulted, Refused, ToolFailed
from pytest_deploy.io.gh import Gh, Repository
from pytest_deploy.ports import Clock

__all__ = ["open_pull_request", "repository"]

_ADDRESS = re.compile(
    r"(?:https://|ssh://(?:[^@/]+@)?|[^@/:]+@)(?P<host>[^/:]+)(?P<port>:\d+)?[/:](?P<path>[^/]+/[^/]+?)(?:\.git)?/?"
)
_NEEDS = "pull-requests: write"


def repository(url: str) -> Repository:
    """Return the GitHub repository that git reaches at this address; raises Refused where it is none."""
    found = _ADDRESS.fullmatch(url)
    try:
        if found is None:
            raise ValueError(url)  # noqa: TRY301 - one way out for both
        port = found["port"] or "" if url.startswith("https:") else ""  # SSH's port is none of the API's
        return Repository.parse(f"{found['host']}{port}/{found['path']}")
    except ValueError as error:
        raise Refused(
            f"{url} is no address of a GitHub repository, so no pull request can be opened there",
            hint="set gitops.pull_request: false, and merge the branch yourself",
        ) from error


def open_pull_request(
    url: str, *, head: str, base: str, title: str, body: str, gh: str, token: str | None, clock: Clock
) -> str:
    """Open the pull request and return its address; that of an open one from the same branch where there is one.

    Args:
        url: of the repository.
        gh: name on PATH, or a path.
        token: None: gh's own credentials.

    Raises:
        Refused: the address is none of a GitHub repository.
        DeployError: there is none; the branch is pushed all the same.
    """
    repo = repository(url)
    tool = Gh(gh, host=repo.host, clock=clock, token=token)
    query = urlencode({"head": f"{repo.owner}:{head}", "base": base, "state": "open"})
    try:
        there = tool.read(f"{repo.path}/pulls?{query}", needs=_NEEDS)
        if isinstance(there, list) and there:
            return _link(there[0])
        fields = {"title": title, "head": head, "base": base, "body": body}
        return _link(tool.write(f"{repo.path}/pulls", fields, needs=_NEEDS))
    except DeployError as error:
        raise ToolFailed(
            f"the branch {head} is pushed, but there is no pull request in {repo}: {error.args[0]}",
            hint=f"{error.hint}; or by hand: gh pr create -R {repo} --head {head} --base {base}",
        ) from error


def _link(answer: Json) -> str:
    link = answer.get("html_url") if isinstance(answer, dict) else None
    if not isinstance(link, str):
        raise Faulted("the answer about the pull request names no address (html_url)", hint="look at it on the web")
    return link
