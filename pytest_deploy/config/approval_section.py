"""``approval``: who is asked before production is touched, where, and how long a yes lasts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from pytest_deploy.config.fields import HttpUrl, Minutes, NotNull, Text
from pytest_deploy.config.paths import ExistingFile, PlainPath
from pytest_deploy.config.secrets import NamedSecret
from pytest_deploy.config.section import Section
from pytest_deploy.io.gh import Repository

__all__ = ["ApprovalFileSection", "ApprovalSection", "GithubApprovalSection", "SignerSection"]

_DAYS_MAX = 30
"""GitHub itself lets a job wait for its review this long."""


def _repository(value: str) -> str:
    Repository.parse(value)
    return value


def _email(value: str) -> str:
    if "@" not in value.strip("@"):
        msg = f"{value!r} is no e-mail address"
        raise ValueError(msg)
    return value


def _kms(value: str) -> str:
    if "://" not in value:
        msg = f"{value!r} is no address of a key: awskms://..., gcpkms://..., azurekms://..., hashivault://..."
        raise ValueError(msg)
    return value


def _age(value: float) -> float:
    longest = _DAYS_MAX * 24
    if not 0 < value <= longest:
        msg = f"{value:g} hours: more than 0, at most {longest} ({_DAYS_MAX} days)"
        raise ValueError(msg)
    return value


class GithubApprovalSection(Section):
    """``approval.github``: the required reviewers of a GitHub environment."""

    repository: Annotated[Text | None, AfterValidator(lambda v: v and _repository(v))] = Field(
        default=None, examples=["acme/checkout-api"]
    )
    """Owner and name, on a server of your own as host/owner/name. None: that of the job, GITHUB_REPOSITORY."""
    environment: Text | None = Field(default=None, examples=["production"])
    """GitHub's name of the environment. None: as deploy.yaml calls it."""
    workflow: Text | None = Field(default=None, examples=["deploy-prod.yml"])
    """Workflow file to dispatch and wait for; one job of it has the environment. None: the deploy itself runs inside
    the protected job, whose review has been when it starts."""
    ref: Text | None = Field(default=None, examples=["main"])
    """Branch or tag whose workflow file is dispatched. None: the repository's default branch."""
    token: NamedSecret | None = Field(default=None, examples=["${env:GH_TOKEN}"])
    """Token for gh. None: the one that gh finds itself: GH_TOKEN, GITHUB_TOKEN or its own login."""


class SignerSection(Section):
    """``approval.file.signers.NAME``: how an approver signs: by a key of their own, or by an identity."""

    key: Annotated[ExistingFile | None, NotNull] = Field(default=None, examples=["keys/ann.pub"])
    """Public key of the approver, beside deploy.yaml. None: kms or identity."""
    kms: Annotated[Text | None, AfterValidator(lambda v: v and _kms(v))] = Field(
        default=None, examples=["awskms:///alias/ann"]
    )
    """Address of the approver's key in a key management service. None: key or identity."""
    identity: Text | None = Field(default=None, examples=["ann@acme.com"])
    """Exact identity of a keyless signature. None: key or kms."""
    issuer: HttpUrl | None = Field(default=None, examples=["https://accounts.google.com"])
    """Who vouches for the identity; belongs to it."""
    email: Annotated[Text, AfterValidator(_email)] = Field(examples=["ann@acme.com"])
    """As the approver's commits say it. No default: without it nobody can tell who approves their own work."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum(each is not None for each in (self.key, self.kms, self.identity)) != 1:
            msg = "give one of key, kms and identity"
            raise ValueError(msg)
        if (self.identity is None) != (self.issuer is None):
            msg = "identity and issuer belong together: without its issuer an identity is a name that anybody can take"
            raise ValueError(msg)
        return self


class ApprovalFileSection(Section):
    """``approval.file``: a file that the deploy writes, and that an approver signs with cosign."""

    signers: Mapping[Text, SignerSection] = Field(min_length=1)
    """By the name that stands in environments.NAME.approvers. No default: only you know them."""
    folder: PlainPath | None = Field(default=None, examples=["/mnt/approvals"])
    """Where the file is written and the signature looked for. None: among the deploy's reports."""
    trusted_root: Annotated[ExistingFile | None, NotNull] = Field(default=None, examples=["trusted_root.json"])
    """The certificates of the Sigstore that is trusted, pinned. None: the public one's, fetched by TUF."""
    transparency_log: bool = Field(default=True, examples=[True])
    """Signatures must stand in the public log. False, with keys alone: nothing leaves your network."""

    @model_validator(mode="after")
    def _logged(self) -> Self:
        unlogged = [name for name, signer in self.signers.items() if signer.identity and not self.transparency_log]
        if unlogged:
            msg = (
                f"transparency_log: false needs keys, and {', '.join(unlogged)} signs by identity: a certificate lives "
                "for minutes, the log says when it was used"
            )
            raise ValueError(msg)
        return self


class ApprovalSection(Section):
    """``approval``: by GitHub, or by a signed file."""

    github: GithubApprovalSection = GithubApprovalSection()
    """The required reviewers of a GitHub environment; the default, with all defaults."""
    file: Annotated[ApprovalFileSection | None, NotNull] = None
    """For those who have no GitHub. None: GitHub is asked."""
    wait_minutes: Minutes = Field(default=60, examples=[60])
    """Minutes to wait for the answer. 60: past that the checks before it have grown old."""
    max_age_hours: Annotated[float, AfterValidator(_age)] = Field(default=24, examples=[24])
    """Hours for which an approval is good. 24: a day; GitHub does not say when one was given, so it is as old as the
    run's attempt."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.file is not None and "github" in self.model_fields_set:
            msg = "give github or file: an approval is asked for in one place"
            raise ValueError(msg)
        return self

    @property
    def wait(self) -> timedelta:
        """For the answer."""
        return timedelta(minutes=self.wait_minutes)

    @property
    def max_age(self) -> timedelta:
        """Of an approval."""
        return timedelta(hours=self.max_age_hours)

    def folder(self, reports: Path) -> Path:
        """Return where the file to sign is written.

        Args:
            reports: of this deploy.
        """
        return (self.file.folder if self.file else None) or reports
