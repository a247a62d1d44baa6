"""Signatures of images by cosign, with what their builder says of them; the verifier has to show that it can say no."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_deploy.adapters.image_evidence import examine
from pytest_deploy.domain.found import Attachment, Found
from pytest_deploy.domain.provenance import Wanted, predicate_type
from pytest_deploy.errors import GateBreach, Rejected, ToolFailed
from pytest_deploy.io.cosign import Cosign, Trust

if TYPE_CHECKING:
    from pytest_deploy.adapters.image_evidence import Content

__all__ = ["CosignSigner"]

_SIGNATURES = ("https://sigstore.dev/cosign/sign/v1", "cosign container image signature")
"""``cosign verify`` takes every attestation of the image for a signature, also one that says how bad it is
(``IntotoSubjectClaimVerifier`` of cosign 3.1.3 does not look at the type): these types alone are signatures."""


class CosignSigner:
    """Port ``Signer``.

    Args:
        trust: who may have signed.
        content: of the registry.
        commit: that signatures of ours name, and that the provenance must name; None: it was built elsewhere.
        builder: what the id of the builder must begin with; None: any.
        provenance, sbom: whether the image must have one.
    """

    def __init__(
        self,
        cosign: Cosign,
        *,
        trust: Trust,
        content: Content,
        commit: str | None,
        builder: str | None = None,
        provenance: bool = True,
        sbom: bool = True,
    ) -> None:
        self._cosign = cosign
        self._trust = trust
        self._content = content
        self._commit = commit
        self._builder = builder
        self._provenance = provenance
        self._sbom = sbom

    def sign(self, pinned: str) -> Found:
        """Sign the image; raises DeployError where it is not signed then."""
        note = () if self._commit is None else ("-a", f"commit={self._commit}")
        said = self._cosign.make("sign", *note, pinned)
        commit = "" if self._commit is None else f", for commit {self._commit[:12]}"
        return Found(f"signed{commit}", attachments=(Attachment("cosign sign", said),))

    def verify(self, pinned: str) -> Found:
        """Verify signature, provenance and SBOM, all for this same digest, and that a stranger's key is refused.

        Raises:
            GateBreach: it is unsigned, signed by somebody else, or what is signed is something else.
            DeployError: there is no answer, or the verifier says yes to everybody; never taken for a yes.
        """
        notes, said = self._signature(pinned)
        self._says_no(pinned)
        evidence = examine(
            pinned,
            self._content,
            lambda types: self._signed(pinned, types),
            Wanted(builder=self._builder, commit=self._commit),
            provenance=self._provenance,
            sbom=self._sbom,
        )
        commit = notes.get("commit")
        words = [
            f"signed by {self._trust.words}" + (f" for commit {str(commit)[:12]}" if commit else ""),
            f"built by {evidence.builder}" if self._provenance else "provenance not asked for (sign.provenance: false)",
            "SBOM not asked for (sign.sbom: false)"
            if evidence.packages is None
            else f"SBOM of {evidence.packages} package{'' if evidence.packages == 1 else 's'}",
            "a stranger's key was refused",
        ]
        return Found(
            "; ".join(words),
            facts=(("signer", self._trust.words),),
            attachments=(Attachment("cosign verify", said, "application/json"), *evidence.attachments),
        )

    def _signature(self, pinned: str) -> tuple[Mapping[str, Any], str]:
        """Return what the newest signature says beside the digest."""
        note = () if self._commit is None else ("-a", f"commit={self._commit}")
        try:
            said = self._cosign.verify("verify", self._trust, "--output", "json", *note, pinned)
        except Rejected as error:
            raise self._unsigned(pinned, str(error)) from error
        digest = pinned.partition("@")[2]
        found = [
            each.get("optional") or {}
            for each in _claims(said)
            if each["critical"].get("type") in _SIGNATURES
            and each["critical"].get("image", {}).get("docker-manifest-digest") == digest
        ]
        if not found:
            raise self._unsigned(pinned, "what is signed is no signature of the image, only something said about it")
        return found[-1], said

    def _unsigned(self, pinned: str, why: str) -> GateBreach:
        commit = "" if self._commit is None else f" for commit {self._commit[:12]}"
        return GateBreach(
            f"{pinned} is not signed by {self._trust.words}{commit}: {why}\n"
            "  next: deploy an image that your own build signed; for one built elsewhere, trust its signer in "
            "sign.public_key, or sign.identity and sign.issuer",
            cause="sign",
        )

    def _says_no(self, pinned: str) -> None:
        with self._cosign.stranger(self._trust) as nobody:
            try:
                self._cosign.verify("verify", nobody, "--output", "json", pinned)
            except Rejected:
                return
        raise ToolFailed(
            f"{self._cosign.binary} says that {pinned} is signed by a key that was made a second ago: "
            "its yes means nothing",
            hint="put the real cosign on PATH, or name it: tools.cosign",
        )

    def _signed(self, pinned: str, types: Sequence[str]) -> Sequence[Mapping[str, Any]]:
        """Return the statements of these types that are attached to the image by who may sign."""
        found: list[Mapping[str, Any]] = []
        for kind in types:
            try:
                said = self._cosign.verify("verify-attestation", self._trust, "--type", kind, pinned)
            except Rejected:
                continue
            for line in filter(None, said.splitlines()):
                statement = json.loads(base64.b64decode(json.loads(line)["payload"]))
                if predicate_type(statement) == kind:
                    found.append(statement)
        return found


def _claims(said: str) -> Sequence[Mapping[str, Any]]:
    try:
        claims = json.loads(said)
        return [each for each in claims if isinstance(each.get("critical"), dict)]
    except (ValueError, TypeError, AttributeError) as error:
        raise ToolFailed(f"cosign verify prints no claims: {said[:200]!r}", hint="is it really cosign?") from error
