"""``gitops``: where a commit takes the place of an install."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, Field

from pytest_deploy.config.fields import DnsLabel, Text
from pytest_deploy.config.secrets import NamedSecret
from pytest_deploy.config.section import Section

__all__ = ["GitOpsFileSection", "GitOpsSection"]

_BRANCH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/-]*")
_URL = re.compile(r"(?:https|ssh|file)://[^\s]+|[A-Za-z0-9._-]+@[A-Za-z0-9.-]+:[^\s]+|/[^\s]*")
_AUTHOR = re.compile(r"[^<>]+ <[^<>\s]+@[^<>\s]+>")
_KEY = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")


def _plain_path(value: str) -> str:
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or value.startswith("-") or path.suffix not in {".yaml", ".yml"}:
        msg = f"{value!r} is no YAML file of the environment repository: a path from its top, without .."
        raise ValueError(msg)
    return str(path)


def _key(value: str) -> str:
    if not _KEY.fullmatch(value):
        msg = f"{value!r} is no key: names joined by dots, such as image.digest"
        raise ValueError(msg)
    return value


def _branch(value: str) -> str:
    if not _BRANCH.fullmatch(value) or ".." in value or value.endswith(("/", ".lock")):
        msg = f"{value!r} is no name of a branch"
        raise ValueError(msg)
    return value


def _repository(value: str) -> str:
    if not _URL.fullmatch(value):
        msg = f"{value!r} is no repository: https://HOST/PATH.git, ssh://HOST/PATH.git or git@HOST:PATH.git"
        raise ValueError(msg)
    if re.match(r"(?:https|file)://[^/]*@", value):
        raise ValueError("the address holds a user name or a password: take it out, and name the token in gitops.token")
    return value


def _author(value: str) -> str:
    if not _AUTHOR.fullmatch(value):
        msg = f"{value!r} is no author: Name <address@host>"
        raise ValueError(msg)
    return value


class GitOpsFileSection(Section):
    """``gitops.environments.NAME``: where the environment's digest stands."""

    file: Annotated[Text, AfterValidator(_plain_path)] = Field(examples=["apps/checkout-api/prod/values.yaml"])
    """Path in the environment repository: Helm values, a HelmRelease or a kustomization.yaml. No default."""
    key: Annotated[Text, AfterValidator(_key)] | None = Field(default=None, examples=["image.digest"])
    """Dotted key of the digest, or of the whole image. None: image.digest, and in a kustomization.yaml its images."""

    @property
    def place(self) -> tuple[str, str | None]:
        """The file, and the key in it; no key for a kustomization's ``images``."""
        name = PurePosixPath(self.file).name
        kustomization = name in {"kustomization.yaml", "kustomization.yml"}
        return self.file, self.key or (None if kustomization else "image.digest")


class GitOpsSection(Section):
    """``gitops``: the environment repository, for what Argo CD or Flux brings to the cluster."""

    environments: Mapping[DnsLabel, GitOpsFileSection] = Field(min_length=1)
    """The environments that get a commit and no install, by their names above. No default."""
    repository: Annotated[Text, AfterValidator(_repository)] | None = Field(
        default=None, examples=["https://github.com/acme/environments.git"]
    )
    """Address of the environment repository. None: the origin of the repository that deploy.yaml stands in."""
    branch: Annotated[Text, AfterValidator(_branch)] = Field(default="main", examples=["main"])
    """Branch that the controller follows; the commit is made on a branch of its own from it. main: git's default."""
    pull_request: bool = Field(default=True, examples=[True])
    """Whether a pull request is opened, by gh. Default: yes, since a commit on a branch alone deploys nothing."""
    token: NamedSecret | None = Field(default=None, examples=["${env:GITOPS_TOKEN}"])
    """Token for https and for gh. None: git's and gh's own credentials."""
    author: Annotated[Text, AfterValidator(_author)] = Field(
        default="pytest-deploy <pytest-deploy@localhost>", examples=["deploys <deploys@example.com>"]
    )
    """Who the commit is by. The default tells that it was no person; some hosts ask for a known address."""
