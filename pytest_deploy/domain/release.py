"""What is deployed, and where to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import NewType

__all__ = ["Digest", "Environment", "ImageRef", "Release", "Strategy", "parse_digest"]

Digest = NewType("Digest", str)
"""``sha256:`` and 64 hexadecimal digits: the only name of an image that can't move."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def parse_digest(text: str) -> Digest:
    """Return the digest; raises ValueError when the text is none."""
    if _DIGEST.fullmatch(text) is None:
        msg = f"{text!r} is no digest: sha256: and 64 hexadecimal digits"
        raise ValueError(msg)
    return Digest(text)


class Strategy(StrEnum):
    """How a release reaches production."""

    CANARY = "canary"
    BLUE_GREEN = "blue-green"
    ROLLING = "rolling"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRef:
    """An image reference; only a pinned one is ever deployed.

    Args:
        tag, digest: None where the reference has none.
    """

    repository: str
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> ImageRef:
        """Return ``repository``, ``repository:tag`` or ``repository@sha256:...`` as a value.

        Raises:
            ValueError: it is no reference, or its tag is ``latest``.
        """
        name, at, digest = text.partition("@")
        head, colon, tag = name.rpartition(":")
        if not colon or "/" in tag:
            head, tag = name, ""
        if not re.fullmatch(r"[a-z0-9][a-z0-9._:/-]*", head):
            msg = f"{text!r} is no image reference: repository, repository:tag or repository@sha256:..."
            raise ValueError(msg)
        if tag == "latest":
            msg = f"{text!r}: the tag 'latest' says nothing about what runs; give a digest or no tag"
            raise ValueError(msg)
        return cls(repository=head, tag=tag or None, digest=parse_digest(digest) if at else None)

    def with_digest(self, digest: Digest) -> ImageRef:
        """Return the same image pinned by this digest."""
        return replace(self, digest=digest)

    @property
    def pinned(self) -> str:
        """``repository@sha256:...``; raises ValueError where no digest is known."""
        if self.digest is None:
            msg = f"{self} is not pinned"
            raise ValueError(msg)
        return f"{self.repository}@{self.digest}"

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.repository}{tag}{digest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """One place where the release runs.

    Args:
        release: the Helm release; None: no release owns the rollout, it is driven by image patch.
        server: the API server that is expected there; None: only the context's name says so.
        ca_sha256, kube_system_uid: its certificate authority and the UID of its namespace ``kube-system``, as
            ``ClusterIdentity`` has them; None: not compared.
        kubeconfig: None: the usual places.
    """

    name: str
    context: str
    namespace: str
    release: str | None
    rollout: str
    container: str
    values_file: Path | None = None
    base_url: str | None = None
    approvers: tuple[str, ...] = ()
    server: str | None = None
    kubeconfig: Path | None = None
    ca_sha256: str | None = None
    kube_system_uid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """The release that a feature deploys.

    Args:
        values: Helm values set on top of the values file: dotted key as ``--set-json`` takes it, and JSON
            text.
    """

    service: str
    image: ImageRef
    strategy: Strategy
    canary_steps: tuple[int, ...]
    chart_path: Path
    owner: str
    values: tuple[tuple[str, str], ...]
    environments: Mapping[str, Environment]
