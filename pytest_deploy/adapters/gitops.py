"""The environment repository: a commit that pins a digest, made without a working tree, on a branch of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from pytest_deploy.adapters.git import Git, origin
from pytest_deploy.adapters.pull_request import open_pull_request, repository
from pytest_deploy.adapters.yaml_edit import digest_at, with_digest
from pytest_deploy.domain.found import Attachment, Found
from pytest_deploy.domain.pin import Pin
from pytest_deploy.errors import GateBreach, Refused
from pytest_deploy.ports import Clock

__all__ = ["GitRepository"]

_SHORT = 19
"""``sha256:`` and the first twelve digits."""


@dataclass(frozen=True, slots=True)
class _There:
    """One state of an environment's file.

    Args:
        mode: git's, of a plain file.
    """

    text: str
    mode: str


class GitRepository:
    """Port ``GitOps`` on a git repository.

    Args:
        url: None: the origin of the repository that ``folder`` is in.
        branch: the one that the controller follows.
        files: by environment: the file, and the key of the digest in it; no key: a kustomization's ``images``.
        folder: of deploy.yaml.
        token: for https and gh; None: their own credentials.
        author: ``Name <address>``.
        gh: opens the pull request; None: there is to be none.
    """

    def __init__(
        self,
        url: str | None,
        *,
        branch: str,
        files: Mapping[str, tuple[str, str | None]],
        folder: Path,
        token: str | None,
        author: str,
        gh: str | None,
        clock: Clock,
    ) -> None:
        self._url = url
        self._branch = branch
        self._files = files
        self._folder = folder
        self._token = token
        self._author = author
        self._gh = gh
        self._clock = clock

    def covers(self, environment: str) -> bool:
        """Whether deploys to the environment are commits."""
        return environment in self._files

    def check(self, environment: str) -> Found:
        """Clone the branch, look for the place of the digest, and try a push without pushing.

        Raises:
            Refused: the file, or the place in it, is not there.
            ToolFailed: it can't be read or pushed to.
        """
        with self._cloned() as git:
            file, key = self._files[environment]
            self._read(git, "HEAD", file)
            git.try_push("deploy/writable")
            if self._gh is not None:
                repository(git.url)
            return Found(
                f"{git.url}, branch {self._branch} at {git.commit('HEAD')[:12]}: {file} holds "
                f"{key or 'the images'}, and a branch may be pushed"
            )

    def commit(self, pin: Pin) -> Found:
        """Commit, push, and open the pull request; what is there already is taken as it is.

        Raises:
            Refused: the digest stands there already, staging does not hold it, or the branch holds something else.
            ToolFailed: git or gh did not do it; what was done stays, and a second call goes on from there.
        """
        file, _ = self._files[pin.environment]
        with self._cloned() as git:
            old = self._read(git, "HEAD", file)
            self._check_staging(git, pin)
            new = self._edited(old.text, pin)
            if new == old.text:
                raise Refused(
                    f"{file} holds {pin.digest} for {pin.environment} already: there is nothing to commit",
                    hint=f"look whether the cluster has it: the branch {self._branch} is what its controller follows",
                )
            sha, state = git.fetch(pin.branch), "is there already, with this digest and nothing else"
            if sha is None:
                author = self._author
                made = git.with_file(file, new, mode=old.mode, message=_message(pin, file), author=author)
                git.push(made, pin.branch)
                sha, state = made, "pushed"
            problem = self._problem(git, pin, sha)
            if problem:
                raise Refused(
                    f"branch {pin.branch} of {git.url} is there already, and {problem}",
                    hint=f"look at it, then: git push {git.url} --delete {pin.branch}, and deploy again",
                )
            facts = [("gitops_commit", sha), ("gitops_branch", pin.branch), ("gitops_repository", git.url)]
            words = f"{sha[:12]} on {pin.branch} {state}: {file}"
            if self._gh is not None:
                title, _, body = _message(pin, file).partition("\n\n")
                link = open_pull_request(
                    git.url,
                    head=pin.branch,
                    base=self._branch,
                    title=title,
                    body=body,
                    gh=self._gh,
                    token=self._token,
                    clock=self._clock,
                )
                facts.append(("pull_request", link))
                words += f"; {link}"
            else:
                words += f"; it takes effect once it is merged into {self._branch}"
            diff = Attachment("the commit", git.diff(f"{sha}^", sha), "text/x-diff")
            return Found(words, facts=tuple(facts), attachments=(diff,))

    def verify(self, pin: Pin) -> Found:
        """Fetch the branch anew and compare it with where it left the followed branch.

        Raises:
            GateBreach: it is not there, or it changes anything but the digest.
            ToolFailed: it can't be read.
        """
        with self._cloned() as git:
            sha = git.fetch(pin.branch)
            problem = "it is not there" if sha is None else self._problem(git, pin, sha)
            if sha is None or problem:
                raise GateBreach(f"branch {pin.branch} of {git.url}: {problem}", cause="gitops commit")
            return Found(f"{sha[:12]} on {pin.branch} changes one value of {self._files[pin.environment][0]}")

    @contextmanager
    def _cloned(self) -> Iterator[Git]:
        url = self._url or origin(self._folder)
        with TemporaryDirectory(prefix="pytest-deploy-gitops-") as folder:
            git = Git(url, Path(folder), token=self._token)
            git.clone(self._branch)
            yield git

    def _read(self, git: Git, commit: str, file: str) -> _There:
        mode, text = git.file(commit, file)
        if text is None:
            raise Refused(
                f"{git.url} has no plain text file {file} on {self._branch}" + (f" (mode {mode})" if mode else ""),
                hint="correct gitops.environments in deploy.yaml; a symbolic link is not followed",
            )
        return _There(text, mode)

    def _edited(self, text: str, pin: Pin) -> str:
        file, key = self._files[pin.environment]
        try:
            return with_digest(text, key, pin.repository, pin.digest)
        except ValueError as error:
            raise Refused(
                f"{file} has no place for the digest: {error}",
                hint=f"correct gitops.environments.{pin.environment}.key, or the file",
            ) from error

    def _check_staging(self, git: Git, pin: Pin) -> None:
        if pin.after is None:
            return
        file, key = self._files[pin.after]
        try:
            held = digest_at(self._read(git, "HEAD", file).text, key, pin.repository)
        except ValueError as error:
            raise Refused(f"{file} has no place for a digest: {error}", hint="correct gitops.environments") from error
        if held != pin.digest:
            raise Refused(
                f"{pin.after} holds {held or 'no digest'} on {self._branch} ({file}), and {pin.environment} is to get "
                f"{pin.digest}: staging can't be skipped",
                hint=f"bring it to {pin.after} first (features/{pin.after}_gitops.feature), and merge that",
            )

    def _problem(self, git: Git, pin: Pin, sha: str) -> str:
        """Return what else the branch changes, since it left the followed one; "" where it is this digest alone."""
        file, _ = self._files[pin.environment]
        base = git.merge_base("HEAD", sha)
        if base is None:
            return f"it has no commit in common with {self._branch}"
        changed = git.changed(base, sha)
        if changed != [file]:
            return f"it changes {', '.join(changed) or 'nothing'}, not {file} alone"
        old, new = self._read(git, base, file), self._read(git, sha, file)
        if new.mode != old.mode:
            return f"it changes the mode of {file} from {old.mode} to {new.mode}"
        if new.text != self._edited(old.text, pin):
            return f"it changes something else in {file}"
        return ""


def _message(pin: Pin, file: str) -> str:
    return (
        f"{pin.service}: {pin.digest[:_SHORT]} in {pin.environment}\n\n"
        f"Pins the image of {pin.service} in {file}; nothing else changes.\n\n"
        f"Image: {pin.image}\nSource-Commit: {pin.commit or 'unknown'}\nDeploy-Id: {pin.deploy_id}\n"
    )
