"""The pull request of a GitOps commit: real git, and real gh against a server that answers as GitHub documents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from pytest_deploy.adapters.gitops import GitRepository
from pytest_deploy.errors import DeployError, ToolFailed
from pytest_deploy.testing.clock import FakeClock
from tests.e2e.approval.conftest import gh_binary
from tests.e2e.approval.github_server import JOB_TOKEN, Bad, Github, serving
from tests.unit.adapters.test_gitops import PIN, PROD, REPO, Place

__all__ = ["gh_binary"]

pytestmark = pytest.mark.real


class Pulls:
    """https://docs.github.com/en/rest/pulls/pulls of the repository acme/env."""

    def __init__(self, github: Github) -> None:
        self.opened: list[dict[str, Any]] = []
        self._github = github
        self._others = github.answer
        github.answer = self.answer  # type: ignore[method-assign]  # one more repository on the same server

    def answer(self, method: str, path: str, token: str, body: Any) -> tuple[int, Any]:
        """List the open ones of a branch, or open one: a second one for the same branch is refused."""
        if token != JOB_TOKEN or not urlsplit(path).path.endswith("/repos/acme/env/pulls"):
            return self._others(method, path, token, body)
        if method == "GET":
            query = parse_qs(urlsplit(path).query)
            assert (query["state"], query["base"]) == (["open"], ["main"])
            heads = [f"acme:{each['head']}" for each in self.opened]
            return 200, [each for each, head in zip(self.opened, heads, strict=True) if [head] == query["head"]]
        assert set(body) == {"title", "head", "base", "body"}
        if any(each["head"] == body["head"] for each in self.opened):
            return 422, {"message": "Validation Failed", "errors": [{"message": "A pull request already exists"}]}
        number = len(self.opened) + 1
        self.opened.append({**body, "number": number, "html_url": f"https://github.example/acme/env/pull/{number}"})
        return 201, self.opened[-1]


@pytest.fixture
def github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Github]:
    """GitHub with a login by token, trusted by its certificate."""
    with serving(tmp_path) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.ca))
        monkeypatch.setenv("GH_CONFIG_DIR", str(tmp_path / "gh"))
        yield server


@pytest.fixture
def pulls(github: Github) -> Pulls:
    """Its pull requests."""
    return Pulls(github)


@pytest.fixture
def place(tmp_path: Path, github: Github, monkeypatch: pytest.MonkeyPatch) -> Place:
    """The repository behind GitHub's address: git is told where it really is."""
    made = Place(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".gitconfig").write_text(f'[url "file://{made.bare}"]\n\tinsteadOf = {address(github)}\n')
    return made


def address(github: Github) -> str:
    """The repository's address."""
    return f"https://{github.host}/acme/env.git"


def gitops(place: Place, github: Github, gh: str, token: str = JOB_TOKEN) -> GitRepository:
    """The adapter, with pull requests."""
    made = place.gitops(gh=gh, token=token, clock=FakeClock())
    made._url = address(github)
    return made


def test_it_is_opened_once(place: Place, github: Github, pulls: Pulls, gh_binary: str) -> None:
    """The commit's message is its text; asked again, the open one is taken, and nothing is opened twice."""
    found = gitops(place, github, gh_binary).commit(PIN)
    assert dict(found.facts)["pull_request"] == "https://github.example/acme/env/pull/1"
    (opened,) = pulls.opened
    assert (opened["head"], opened["base"]) == (PIN.branch, "main")
    assert opened["title"] == "api: sha256:222222222222 in prod"
    assert f"Image: {REPO}@{PIN.digest}" in opened["body"]
    again = gitops(place, github, gh_binary).commit(PIN)
    assert again.facts == found.facts
    assert len(pulls.opened) == 1
    assert place.branches == {"main", PIN.branch}


@pytest.mark.parametrize(
    ("token", "bad", "words"),
    [
        ("another", None, "401 Bad credentials"),
        (JOB_TOKEN, Bad(path="pulls", status=403, body='{"message": "Resource not accessible"}', times=9),
         "pull-requests: write"),
        (JOB_TOKEN, Bad(path="pulls", status=200, body="<html>log in</html>", times=99), "no JSON"),
    ],
)  # fmt: skip
def test_it_can_not_be_opened(
    place: Place, github: Github, pulls: Pulls, gh_binary: str, token: str, bad: Bad | None, words: str
) -> None:
    """The branch is there and said to be there, with what is missing and the command for the rest by hand."""
    github.bad = [bad] if bad else []
    with pytest.raises(ToolFailed) as caught:
        gitops(place, github, gh_binary, token).commit(PIN)
    message = str(caught.value)
    assert f"the branch {PIN.branch} is pushed" in message
    assert words in message
    assert f"gh pr create -R {github.host}/acme/env --head {PIN.branch} --base main" in message
    assert token not in message
    assert pulls.opened == []
    assert PIN.branch in place.branches


def test_no_gh(place: Place, github: Github, pulls: Pulls) -> None:
    """Without gh the branch stands, and the message names the program."""
    with pytest.raises(DeployError, match="/no/such/gh"):
        gitops(place, github, "/no/such/gh").commit(PIN)
    assert place.show(f"{PIN.branch}:{PROD}")
    assert pulls.opened == []
