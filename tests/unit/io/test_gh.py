"""The door to GitHub: what gh is shown and told, and what its answers become. The real gh: tests/e2e/approval."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_deploy.errors import Faulted, Rejected, ToolFailed, ToolMissing, ToolTimedOut, Unreachable
from pytest_deploy.io import gh as module
from pytest_deploy.io.gh import Gh, Repository
from pytest_deploy.testing.clock import FakeClock

OK = "printf 'HTTP/2.0 200 OK\\r\\nX: y\\r\\n\\r\\n{\"a\": 1}'"
Make = Callable[..., Gh]


@pytest.fixture
def gh(tmp_path: Path) -> Make:
    """Make a gh that does what this script says, and keeps its arguments and what it sees in the file "seen"."""

    def make(body: str, *, token: str | None = None) -> Gh:
        program = tmp_path / "gh"
        keep = f'echo "$@" >> {tmp_path}/seen; env | sort > {tmp_path}/env'
        program.write_text(f"#!/bin/sh\n{keep}\n{body}\n", "utf-8")
        program.chmod(0o755)
        return Gh(str(program), host="git.acme.com", clock=FakeClock(), token=token)

    return make


def test_an_answer(gh: Make, tmp_path: Path) -> None:
    """It is asked by one version of the API, and its JSON is the answer."""
    assert gh(OK).read("repos/a/b", needs="x") == {"a": 1}
    seen = (tmp_path / "seen").read_text("utf-8")
    assert seen == "api --include -H X-GitHub-Api-Version: 2022-11-28 repos/a/b --method GET\n"


def test_no_content(gh: Make) -> None:
    """204 has none."""
    assert gh("printf 'HTTP/2.0 204 No Content\\n\\n'").write("x", {"a": "@b"}, needs="x") is None


def test_what_it_sees(gh: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its host and its logins, never asked for by a prompt; no kubeconfig and no other secret."""
    for name in ("KUBECONFIG", "AWS_SECRET_ACCESS_KEY", "GH_REPO"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("GITHUB_TOKEN", "job")
    gh(OK).read("x", needs="x")
    env = (tmp_path / "env").read_text("utf-8")
    assert "secret" not in env
    assert "GH_HOST=git.acme.com\n" in env
    assert "GITHUB_TOKEN=job\n" in env
    assert "GH_PROMPT_DISABLED=1\n" in env


def test_a_token_of_ones_own(gh: Make, tmp_path: Path) -> None:
    """It goes by the environment, for either kind of host, and never by the command line."""
    gh(OK, token="t0ken").read("x", needs="x")  # noqa: S106 - made up
    env = (tmp_path / "env").read_text("utf-8")
    assert "GH_TOKEN=t0ken\n" in env
    assert "GH_ENTERPRISE_TOKEN=t0ken\n" in env
    assert "t0ken" not in (tmp_path / "seen").read_text("utf-8")


def test_not_logged_in(gh: Make) -> None:
    """Its own exit status for it."""
    with pytest.raises(Rejected, match=r"gh is not logged in: set GH_TOKEN please\n  next: gh auth login"):
        gh("echo set GH_TOKEN please >&2; exit 4").read("x", needs="x")


def test_it_hangs(gh: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read that hangs is a server that is away, and is tried again; another verb is told as it is."""
    monkeypatch.setattr(module, "_ONCE_S", 0.2)
    with pytest.raises(Unreachable, match=r"gh api --include -H had not ended after 0\.2 s"):
        gh("exec sleep 60").write("x", {}, needs="x")
    with pytest.raises(ToolTimedOut, match=r"gh workflow run had not ended after 0\.2 s"):
        gh("exec sleep 60").run("workflow", "run", needs="x")


def test_writes_are_sent_once(gh: Make, tmp_path: Path) -> None:
    """What may have happened is not done twice."""
    with pytest.raises(Faulted, match="502 "):
        gh("printf 'HTTP/2.0 502 Bad Gateway\\n\\n'; exit 1").write("x", {"body": "hi"}, needs="x")
    assert (tmp_path / "seen").read_text("utf-8").count("\n") == 1


def test_reads_are_tried_again(gh: Make, tmp_path: Path) -> None:
    """For a minute of the clock's time."""
    with pytest.raises(Unreachable, match=r"GitHub at git\.acme\.com, x: no answer: no route"):
        gh("echo no route >&2; exit 1").read("x", needs="x")
    assert (tmp_path / "seen").read_text("utf-8").count("\n") > 5


def test_another_verb_fails(gh: Make) -> None:
    """Gh's words, and the permission that it takes."""
    with pytest.raises(ToolFailed, match=r"gh workflow run d\.yml: could not create.*\n.*needs actions: write"):
        gh("echo could not create >&2; exit 1").run("workflow", "run", "d.yml", needs="actions: write")


def test_it_is_missing(tmp_path: Path) -> None:
    """How to get it is said."""
    with pytest.raises(ToolMissing, match="install gh and put it on PATH"):
        Gh(str(tmp_path / "gh"), host="github.com", clock=FakeClock()).read("x", needs="x")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("acme/api", "github.com/acme/api"),
        ("git.acme.com/acme/api.js", "git.acme.com/acme/api.js"),
        ("127.0.0.1:8443/acme/api", "127.0.0.1:8443/acme/api"),
    ],
)
def test_repositories(text: str, shown: str) -> None:
    """As gh writes them."""
    assert str(Repository.parse(text)) == shown


@pytest.mark.parametrize("text", ["", "api", "acme/", "a/b/c/d", "acme/api?x", "-a b/c", "acme/.."])
def test_what_is_no_repository(text: str) -> None:
    """Nothing that could become another path or flag."""
    with pytest.raises(ValueError, match="is no repository: owner/name, or host/owner/name"):
        Repository.parse(text)


def test_the_repository_of_a_job() -> None:
    """As GitHub tells its jobs; None outside of one."""
    assert Repository.of({}) is None
    assert str(Repository.of({"GITHUB_REPOSITORY": "a/b"})) == "github.com/a/b"
    environ = {"GITHUB_REPOSITORY": "a/b", "GITHUB_SERVER_URL": "https://git.acme.com/"}
    assert str(Repository.of(environ)) == "git.acme.com/a/b"
