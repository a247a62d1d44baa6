"""``build``, ``sign`` and ``record``: where the image comes from, who vouches for it, and what is kept with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Self

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from pytest_deploy.config.fields import HttpUrl, Image, Minutes, NotNull, PositiveNumber, Text, variables
from pytest_deploy.config.paths import ExistingFile, Folders, PlainPath
from pytest_deploy.config.secrets import NamedSecret
from pytest_deploy.config.section import Section

__all__ = ["BuildSection", "RecordSection", "SignSection"]

_PLATFORM = re.compile(r"[a-z0-9]+/[a-z0-9]+(?:/[a-z0-9.]+)?(?:,[a-z0-9]+/[a-z0-9]+(?:/[a-z0-9.]+)?)*")
_KMS = ("awskms://", "azurekms://", "gcpkms://", "hashivault://")
_SECRET_ARG = re.compile(r"(?i)token|secret|passw|api_?key|private_?key|credential")


def _platform(value: str) -> str:
    if not _PLATFORM.fullmatch(value):
        msg = f"{value!r} is no platform: linux/amd64, or several with commas between them"
        raise ValueError(msg)
    return value


def _args(value: Mapping[str, str]) -> Mapping[str, str]:
    variables(tuple(value))
    for name in value:
        if _SECRET_ARG.search(name):
            msg = f"{name} stands in the image's provenance for all to read: name the variable in build.secrets instead"
            raise ValueError(msg)
    return value


def _key(value: str, info: ValidationInfo) -> str:
    if "://" in value:
        if not value.startswith(_KMS):
            msg = f"{value!r} is no key: a file, or an address that begins with one of {', '.join(_KMS)}"
            raise ValueError(msg)
        return value
    if not isinstance(info.context, Folders):
        msg = "the model is validated by load() alone, which knows the folders"
        raise TypeError(msg)
    path = info.context.base / value
    if not path.is_file():
        msg = f"there is no file {value!r} beside deploy.yaml"
        raise ValueError(msg)
    return str(path)


def _own_key(value: str, info: ValidationInfo) -> str:
    return value if value.startswith("${") else _key(value, info)


class BuildSection(Section):
    """``build``: docker buildx builds and pushes the image, with provenance and SBOM; absent: it is given by digest."""

    context: Annotated[PlainPath | None, NotNull] = Field(default=None, examples=["."])
    """Folder that is built, a git checkout. None: that of deploy.yaml."""
    dockerfile: Annotated[PlainPath | None, NotNull] = Field(default=None, examples=["docker/Dockerfile"])
    """None: ``Dockerfile`` in the context."""
    platform: Annotated[Text, AfterValidator(_platform)] = Field(default="linux/amd64", examples=["linux/amd64"])
    """What it runs on. linux/amd64: what nearly all clusters have."""
    builder: Annotated[Text | None, NotNull] = Field(default=None, examples=["ci"])
    """Name in ``docker buildx ls``. None: the current one."""
    source: Annotated[HttpUrl | None, NotNull] = Field(default=None, examples=["https://github.com/acme/checkout-api"])
    """Address of the source, for the image's label. None: that of git's ``origin``."""
    args: Annotated[Mapping[Text, str], AfterValidator(_args)] = Field(default_factory=dict, examples=[{"GO": "1.26"}])
    """Build arguments; no secrets, they are public. None by default."""
    secrets: Annotated[tuple[Text, ...], AfterValidator(variables)] = Field(default=(), examples=[["NPM_TOKEN"]])
    """Names of variables that the Dockerfile may mount as secrets: ``--mount=type=secret,id=NAME``. None by default."""
    sbom_generator: Annotated[Image | None, NotNull] = Field(
        default=None, examples=["registry.example.com/syft-scanner:1.9"]
    )
    """Image that makes the SBOM. None: docker/buildkit-syft-scanner, which BuildKit pulls."""
    allow_dirty: bool = Field(default=False, examples=[False])
    """Build also what is not committed; tag and label say so. False: nobody could build such an image again."""
    buildx: tuple[Text, ...] = Field(default=("docker", "buildx"), min_length=1, examples=[["docker", "buildx"]])
    """How buildx is called. [buildx]: the program alone, without Docker's command line."""
    timeout_minutes: Minutes = Field(default=30, examples=[30])
    """Minutes for build and push. 30: far above the usual, so that only a stuck one is ended."""

    @property
    def timeout(self) -> timedelta:
        """For build and push."""
        return timedelta(minutes=self.timeout_minutes)


class SignSection(Section):
    """``sign``: cosign signs the image by digest, and says who has signed it: a key's owner or an identity, exactly."""

    key: Annotated[Text | None, AfterValidator(lambda v, info: v and _own_key(v, info)), NotNull] = Field(
        default=None, examples=["${env:COSIGN_PRIVATE_KEY}"]
    )
    """To sign with: a file, a key in a KMS (awskms://, gcpkms://, azurekms://, hashivault://), or the secret that is
    the key. None: without a key, by the identity of the CI job."""
    password: Annotated[NamedSecret | None, NotNull] = Field(default=None, examples=["${env:COSIGN_PASSWORD}"])
    """Of the key. None: it has none."""
    public_key: Annotated[Text | None, AfterValidator(lambda v, info: v and _key(v, info)), NotNull] = Field(
        default=None, examples=["cosign.pub"]
    )
    """Whose signature counts: a file that is reviewed with the code, or a key in a KMS. None: that of ``identity``."""
    identity: Annotated[Text | None, NotNull] = Field(
        default=None, examples=["https://github.com/acme/checkout-api/.github/workflows/release.yml@refs/heads/main"]
    )
    """Whose signature counts, exactly as it stands in the certificate. None: that of ``public_key``."""
    issuer: Annotated[HttpUrl | None, NotNull] = Field(
        default=None, examples=["https://token.actions.githubusercontent.com"]
    )
    """Who vouches for the identity. Goes with ``identity``."""
    trusted_root: Annotated[ExistingFile | None, NotNull] = Field(default=None, examples=["trusted_root.json"])
    """The certificates of the Sigstore that is trusted, pinned. None: the public one's, fetched by TUF."""
    signing_config: Annotated[ExistingFile | None, NotNull] = Field(default=None, examples=["signing_config.json"])
    """The services that sign. None: the public Sigstore's."""
    transparency_log: bool = Field(default=True, examples=[True])
    """Signatures must stand in the public log. False, with a key of your own only: nothing leaves your network, nobody
    else can see what your key signed, and the note says so."""
    builder: Annotated[Text | None, NotNull] = Field(default=None, examples=["https://github.com/acme/checkout-api/"])
    """What the builder's id in the provenance must begin with. None: any; the note tells which."""
    provenance: bool = Field(default=True, examples=[True])
    """The image must tell how it was built. True: else nobody knows where a signed image comes from."""
    sbom: bool = Field(default=True, examples=[True])
    """The image must tell what it holds. True: BuildKit makes it for nothing."""

    @model_validator(mode="after")
    def _one_signer(self) -> Self:
        by_identity = self.identity is not None or self.issuer is not None
        if by_identity and self.trusted_key is not None:
            msg = "whose signature counts is said twice: either public_key, or identity with issuer"
            raise ValueError(msg)
        if (self.identity is None) != (self.issuer is None):
            msg = "identity and issuer go together: without its issuer an identity is a name that anybody can take"
            raise ValueError(msg)
        if not by_identity and self.trusted_key is None:
            msg = "nobody's signature counts yet: write public_key (a file or a key in a KMS), or identity with issuer"
            raise ValueError(msg)
        if by_identity and not self.transparency_log:
            msg = "transparency_log: false needs a key: a certificate lives for minutes, the log says when it was used"
            raise ValueError(msg)
        if self.password is not None and self.key is None:
            msg = "password is that of key, and there is no key: take it out"
            raise ValueError(msg)
        return self

    @property
    def trusted_key(self) -> str | None:
        """Whose signature counts; a key in a KMS is its own public half."""
        in_kms = self.key is not None and self.key.startswith(_KMS)
        return self.public_key or (self.key if in_kms else None)


class RecordSection(Section):
    """``record``: what a release candidate has passed is signed and kept with its image, and the deploy reads it."""

    max_age_hours: PositiveNumber = Field(default=24, examples=[24])
    """Hours for which a candidate's record counts. 24: a new vulnerability is found within a day or not before long,
    and a staging of the day before yesterday was tested beside other services."""

    @property
    def max_age(self) -> timedelta:
        """For which a candidate's record counts."""
        return timedelta(hours=self.max_age_hours)
