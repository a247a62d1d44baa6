"""Provenance and SBOM of an image: those that its index holds, else those that are attached to it, signed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pytest_deploy.domain.found import Attachment
from pytest_deploy.domain.provenance import PROVENANCE, SBOM, Wanted, judge_provenance, judge_sbom, predicate_type
from pytest_deploy.errors import GateBreach

__all__ = ["Content", "examine"]

_FOR = "vnd.docker.reference.digest"
_KIND = "vnd.docker.reference.type"
"""https://github.com/moby/buildkit/blob/v0.34.2/docs/attestations/attestation-storage.md"""
_IN_TOTO = "application/vnd.in-toto+json"
Statements = Sequence[Mapping[str, Any]]


class Content(Protocol):
    """What a registry holds, checked against its digest."""

    def manifest(self, repository: str, digest: str) -> Mapping[str, Any]:
        """Return an index or a manifest."""
        ...

    def blob(self, repository: str, digest: str) -> Mapping[str, Any]:
        """Return a blob that is JSON."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was found, and is all right.

    Args:
        builder: who built it; "" where provenance is not asked for.
        packages: that the SBOMs list; None where no SBOM is asked for.
    """

    builder: str
    packages: int | None
    attachments: tuple[Attachment, ...]


def examine(
    pinned: str,
    content: Content,
    signed: Callable[[Sequence[str]], Statements],
    wanted: Wanted,
    *,
    provenance: bool,
    sbom: bool,
) -> Evidence:
    """Check provenance and SBOM of every platform of an image whose digest is signed.

    What stands in its index is covered by the signature of the index, down to the last byte: each is named there by
    its digest. What is only attached is signed by itself.

    Args:
        signed: returns the statements of these predicate types that are attached to the image, and verified.

    Raises:
        GateBreach: one is missing, about something else, or says what is not expected.
        DeployError: there is no answer.
    """
    repository, _, digest = pinned.partition("@")
    index = content.manifest(repository, digest)
    inside = {subject: tuple(_inside(index, subject, repository, content)) for subject in _images(index, digest)}
    attachments: list[Attachment] = []
    builders: list[str] = []
    packages = 0
    for asked, types, name in ((provenance, PROVENANCE, "provenance"), (sbom, SBOM, "SBOM")):
        if not asked:
            continue
        by_subject = {subject: [s for s in of if predicate_type(s) in types] for subject, of in inside.items()}
        if not any(by_subject.values()):
            by_subject = {digest: list(signed(types))}
        for subject, statements in by_subject.items():
            attachments += [_attachment(name, subject, statement) for statement in statements]
            if not statements:
                raise _breach(pinned, name, f"there is none for {subject}", attachments)
            for statement in statements:
                if name == "provenance":
                    builder, wrong = judge_provenance(statement, subject, wanted)
                    builders.append(builder)
                else:
                    count, wrong = judge_sbom(statement, subject)
                    packages += count
                if wrong:
                    raise _breach(pinned, name, "; ".join(wrong), attachments)
    return Evidence(
        builder=", ".join(dict.fromkeys(builders)),
        packages=packages if sbom else None,
        attachments=tuple(attachments),
    )


def _images(index: Mapping[str, Any], digest: str) -> Sequence[str]:
    """Return the digests of what can be run; an image that is no index is one itself."""
    if "manifests" not in index:
        return (digest,)
    found = [each for each in index["manifests"] if _KIND not in (each.get("annotations") or {})]
    return [str(each["digest"]) for each in found]


def _inside(index: Mapping[str, Any], subject: str, repository: str, content: Content) -> Iterator[Mapping[str, Any]]:
    for each in index.get("manifests", ()):
        notes = each.get("annotations") or {}
        if notes.get(_KIND) == "attestation-manifest" and notes.get(_FOR) == subject:
            for layer in content.manifest(repository, str(each["digest"])).get("layers", ()):
                if layer.get("mediaType") == _IN_TOTO:
                    yield content.blob(repository, str(layer["digest"]))


def _attachment(name: str, subject: str, statement: Mapping[str, Any]) -> Attachment:
    text = json.dumps(statement, indent=2)
    return Attachment(f"{name} of {subject[:19]}", text, "application/json")


def _breach(pinned: str, name: str, why: str, attachments: Sequence[Attachment]) -> GateBreach:
    flag = name.lower()
    return GateBreach(
        f"the {name} of {pinned} is not as it must be: {why}\n"
        f"  next: build it by the section build of deploy.yaml, or with docker buildx build --{flag}=true "
        f"(sign.{flag}: false turns this off, and the note says so)",
        cause="sign",
        attachments=attachments,
    )
