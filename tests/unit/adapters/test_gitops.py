"""The environment repository, with real git on repositories in a folder."""

from __future__ import annotations

import base64
import os
import subprocess
from pathlib import Path

import pytest

from pytest_deploy.adapters.git import Git
from pytest_deploy.adapters.gitops import GitRepository
from pytest_deploy.adapters.pull_request import repository
from pytest_deploy.domain.pin import Pin
from pytest_deploy.domain.release import Digest
from pytest_deploy.errors import GateBreach, Refused, ToolFailed
from pytest_deploy.io.clock import SystemClock

REPO = "ghcr.io/acme/api"
OLD, NEW = Digest("sha256:" + "1" * 64), Digest("sha256:" + "2" * 64)
VALUES = "# prod\nimage:\n  repository: {}\n  digest: {} # by the deploy\nreplicas: 3\n"
PROD, STAGING = "apps/api/prod.yaml", "apps/api/staging.yaml"


class Place:
    """A bare repository as a host keeps it, and a working copy of it."""

    def __init__(self, folder: Path) -> None:
        self.bare, self.copy = folder / "env.git", folder / "copy"
        self.git(folder, "init", "-q", "--bare", "-b", "main", str(self.bare))
        self.git(folder, "clone", "-q", str(self.bare), str(self.copy))
        self.commit({PROD: VALUES.format(REPO, OLD), STAGING: VALUES.format(REPO, NEW), "other.txt": "x"})

    def git(self, cwd: Path, *arguments: str) -> str:
        """Run git there."""
        env = {"PATH": os.environ["PATH"], "HOME": str(cwd), "GIT_CONFIG_NOSYSTEM": "1"}
        for role in ("AUTHOR", "COMMITTER"):
            env |= {f"GIT_{role}_NAME": "somebody", f"GIT_{role}_EMAIL": "some@body.example"}
        done = subprocess.run(("git", *arguments), cwd=cwd, env=env, capture_output=True, text=True, check=True)
        return done.stdout

    def commit(self, files: dict[str, str], *, branch: str = "main") -> str:
        """Commit these files on a branch, and push it."""
        if branch != "main":
            self.git(self.copy, "fetch", "-q", "origin", branch)
            self.git(self.copy, "checkout", "-q", "-B", branch, "FETCH_HEAD")
        for name, text in files.items():
            path = self.copy / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8", newline="")
        self.git(self.copy, "add", "-A")
        self.git(self.copy, "commit", "-q", "-m", "change")
        self.git(self.copy, "push", "-q", "origin", f"HEAD:{branch}")
        return self.git(self.copy, "rev-parse", "HEAD").strip()

    def show(self, what: str) -> str:
        """Return an object of the bare repository."""
        return self.git(self.bare, "show", what)

    @property
    def branches(self) -> set[str]:
        """All branches."""
        return set(self.git(self.bare, "for-each-ref", "--format=%(refname:short)", "refs/heads").split())

    def gitops(self, **changed: object) -> GitRepository:
        """The adapter on it."""
        settings: dict[str, object] = {
            "branch": "main",
            "files": {"prod": (PROD, "image.digest"), "staging": (STAGING, "image.digest")},
            "folder": self.copy,
            "token": None,
            "author": "deploys <deploys@acme.example>",
            "gh": None,
            "clock": SystemClock(),
        }
        return GitRepository(f"file://{self.bare}", **(settings | changed))  # type: ignore[arg-type]  # a table


TOKEN = "tok-" + "5" * 8
COMMIT = "c0ffee" + "0" * 34
PIN = Pin(
    service="api",
    environment="prod",
    repository=REPO,
    digest=NEW,
    commit=COMMIT,
    deploy_id="d1",
    after="staging",
)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A repository with two environments."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return Place(tmp_path)


def test_the_commit(place: Place) -> None:
    """One file, one value, comments kept, on a branch of its own; the message says what and from which source."""
    found = place.gitops().commit(PIN)
    assert place.branches == {"main", PIN.branch}
    assert place.show(f"{PIN.branch}:{PROD}") == VALUES.format(REPO, NEW)
    assert place.show(f"main:{PROD}") == VALUES.format(REPO, OLD)
    names = place.git(place.bare, "diff-tree", "-r", "--name-only", "main", PIN.branch).split()
    assert names == [PROD]
    message = place.git(place.bare, "log", "-1", "--format=%an|%ae|%B", PIN.branch)
    assert message.startswith("deploys|deploys@acme.example|api: sha256:222222222222 in prod")
    assert f"Image: {REPO}@{NEW}\nSource-Commit: {COMMIT}\nDeploy-Id: d1" in message
    facts = dict(found.facts)
    assert facts["gitops_commit"] == place.git(place.bare, "rev-parse", PIN.branch).strip()
    assert f"+  digest: {NEW} # by the deploy" in found.attachments[0].text
    assert "merged into main" in found.words
    assert "changes one value" in place.gitops().verify(PIN).words


def test_it_can_be_done_again(place: Place) -> None:
    """A second call, also after the followed branch has moved on, finds the branch and takes it as it is."""
    first = dict(place.gitops().commit(PIN).facts)
    place.commit({"other.txt": "y"})
    place.commit({"other.txt": "z"})
    found = place.gitops().commit(PIN)
    assert dict(found.facts) == first
    assert "is there already" in found.words
    assert "changes one value" in place.gitops().verify(PIN).words


def test_line_ends_and_modes_stay(place: Place) -> None:
    """CRLF and an executable file are kept."""
    place.commit({PROD: VALUES.format(REPO, OLD).replace("\n", "\r\n")})
    (place.copy / PROD).chmod(0o755)
    place.commit({"other.txt": "mode"})
    place.gitops().commit(PIN)
    shown = subprocess.run(("git", "show", f"{PIN.branch}:{PROD}"), cwd=place.bare, capture_output=True, check=True)
    assert shown.stdout == VALUES.format(REPO, NEW).replace("\n", "\r\n").encode()
    assert place.git(place.bare, "ls-tree", PIN.branch, "--", PROD).startswith("100755")


def test_check_changes_nothing(place: Place) -> None:
    """The dry run pushes no branch."""
    assert "a branch may be pushed" in place.gitops().check("prod").words
    assert place.branches == {"main"}


def test_no_hook_of_ours_runs(place: Place, tmp_path: Path) -> None:
    """A hook of the machine's git template does not run for the commit."""
    template = tmp_path / "template" / "hooks"
    template.mkdir(parents=True)
    (template / "pre-push").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (template / "pre-push").chmod(0o755)
    (tmp_path / ".gitconfig").write_text(f"[init]\n\ttemplateDir = {template.parent}\n")
    place.gitops().commit(PIN)
    assert not (tmp_path / "ran").exists()


def test_what_is_there_already(place: Place) -> None:
    """A digest that the branch holds is nothing to commit."""
    place.commit({PROD: VALUES.format(REPO, NEW)})
    with pytest.raises(Refused, match="already: there is nothing to commit"):
        place.gitops().commit(PIN)
    assert place.branches == {"main"}


def test_staging_comes_first(place: Place) -> None:
    """Production gets only what staging's file holds on the followed branch."""
    place.commit({STAGING: VALUES.format(REPO, OLD)})
    with pytest.raises(Refused, match="staging can't be skipped") as caught:
        place.gitops().commit(PIN)
    assert "features/staging_gitops.feature" in str(caught.value)
    assert place.branches == {"main"}


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"other.txt": "sneaked in"}, r"it changes apps/api/prod\.yaml, other\.txt"),
        ({PROD: VALUES.format(REPO, NEW) + "debug: true\n"}, "changes something else in"),
    ],
)
def test_a_branch_that_holds_more(place: Place, files: dict[str, str], words: str) -> None:
    """What somebody added to the branch is found, by both the second commit and the verification."""
    place.gitops().commit(PIN)
    place.commit(files, branch=PIN.branch)
    with pytest.raises(GateBreach, match=words):
        place.gitops().verify(PIN)
    with pytest.raises(Refused, match=words):
        place.gitops().commit(PIN)


def test_a_branch_that_is_gone(place: Place) -> None:
    """A branch that is not there is no success."""
    with pytest.raises(GateBreach, match="it is not there"):
        place.gitops().verify(PIN)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"prod": ("nowhere.yaml", "image.digest")}, "no plain text file nowhere.yaml"),
        ({"prod": ("apps", "image.digest")}, "no plain text file apps on main"),
        ({"prod": ("link.yaml", "image.digest")}, r"no plain text file link.yaml on main \(mode 120000\)"),
    ],
)
def test_files_that_are_none(place: Place, files: dict[str, tuple[str, str]], words: str) -> None:
    """A file that is missing, a folder and a symbolic link are refused."""
    (place.copy / "link.yaml").symlink_to("/etc/passwd")
    place.commit({"other.txt": "link"})
    with pytest.raises(Refused, match=words):
        place.gitops(files=files).check("prod")


def test_no_place_for_the_digest(place: Place) -> None:
    """A file that has no such key is refused when it is to be written, with the key to correct."""
    place.commit({PROD: "image: v1\n"})
    with pytest.raises(Refused, match=r"gitops\.environments\.prod\.key"):
        place.gitops().commit(PIN)


def test_a_repository_that_is_none(place: Place, tmp_path: Path) -> None:
    """The host's own words stand in the message, with the next move."""
    with pytest.raises(ToolFailed, match=r"git clone of file://.*ended with status 128") as caught:
        GitRepository(
            f"file://{tmp_path}/none.git",
            branch="main",
            files={"prod": (PROD, None)},
            folder=tmp_path,
            token=None,
            author="a <a@b>",
            gh=None,
            clock=SystemClock(),
        ).check("prod")
    assert "next:" in str(caught.value)
    with pytest.raises(ToolFailed, match=r"correct gitops\.branch"):
        place.gitops(branch="nope").check("prod")


def test_a_push_that_is_refused(place: Place) -> None:
    """A host that refuses the branch is told in its own words; nothing is left behind."""
    hook = place.bare / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho protected branches only >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(ToolFailed, match="who may push branches"):
        place.gitops().commit(PIN)
    assert place.branches == {"main"}


def test_the_origin_is_the_default(place: Place) -> None:
    """Without an address, the repository of deploy.yaml is the environment repository."""
    mine = GitRepository(
        None,
        branch="main",
        files={"prod": (PROD, "image.digest")},
        folder=place.copy,
        token=None,
        author="a <a@b>",
        gh=None,
        clock=SystemClock(),
    )
    assert mine.covers("prod")
    assert not mine.covers("staging")
    assert str(place.bare) in mine.check("prod").words


def test_a_token_goes_to_its_host_alone(place: Place) -> None:
    """It is sent as actions/checkout does, by git's environment, and never to another host or another protocol."""
    made = Git("https://github.com/acme/env.git", place.bare, token=TOKEN)
    assert made._env["GIT_CONFIG_KEY_0"] == "http.https://github.com/.extraHeader"
    assert base64.b64decode(made._env["GIT_CONFIG_VALUE_0"].rpartition(" ")[2]) == f"x-access-token:{TOKEN}".encode()
    for url in ("git@github.com:acme/env.git", "file:///srv/env.git"):
        assert TOKEN not in repr(Git(url, place.bare, token=TOKEN)._env)
        assert "GIT_CONFIG_COUNT" not in Git(url, place.bare, token=TOKEN)._env


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://github.com/acme/env.git", "github.com/acme/env"),
        ("https://git.acme.example:8443/acme/env", "git.acme.example:8443/acme/env"),
        ("git@github.com:acme/env.git", "github.com/acme/env"),
        ("ssh://git@git.acme.example:22/acme/env.git", "git.acme.example/acme/env"),
    ],
)
def test_addresses_of_github(url: str, shown: str) -> None:
    """Each way to write a repository's address leads to the same API."""
    assert str(repository(url)) == shown


@pytest.mark.parametrize("url", ["file:///srv/env.git", "/srv/env.git", "https://gitlab.com/a/b/c.git"])
def test_addresses_of_no_github(url: str) -> None:
    """Where gh can open nothing, that is said before anything is pushed."""
    with pytest.raises(Refused, match="pull_request: false"):
        repository(url)
