"""Signed records of what was done with an image: in-toto attestations on its digest, by cosign."""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_deploy.domain.codec import from_json, to_json
from pytest_deploy.domain.found import Attachment, Found
from pytest_deploy.domain.record import Record
from pytest_deploy.errors import DeployError, GateBreach, Rejected, ToolFailed
from pytest_deploy.io.cosign import Cosign, Trust

__all__ = ["RECORD", "AttestedRecords"]

RECORD = "urn:pytest-deploy:record:v1"
"""The predicate type: what is signed under any other one is no record, whatever it says."""


class AttestedRecords:
    """Port ``Records``.

    Args:
        trust: whose records count.
    """

    def __init__(self, cosign: Cosign, *, trust: Trust) -> None:
        self._cosign = cosign
        self._trust = trust

    def attach(self, pinned: str, record: Record) -> Found:
        """Sign the record and attach it to the image; raises DeployError where it is not there then."""
        text = json.dumps(to_json(record), indent=2)
        with tempfile.TemporaryDirectory() as scratch:
            predicate = Path(scratch) / "record.json"
            predicate.write_text(text)
            self._cosign.make("attest", "--type", RECORD, "--predicate", str(predicate), pinned)
        try:
            there = record in self.find(pinned)
        except GateBreach as error:
            raise DeployError(f"the record was signed, and is not believed: {error}") from error
        if not there:
            raise DeployError(
                f"the record was attached to {pinned}, and is not there",
                hint="two may have written at once: run it again; see who else attests this image",
            )
        return Found(
            f"record of {record.deploy_id} attached to {pinned}, by {self._trust.words}",
            attachments=(Attachment("signed record", text, "application/json"),),
        )

    def find(self, pinned: str) -> tuple[Record, ...]:
        """Return the records of this image whose signature holds, oldest first; () where there are none.

        Raises:
            GateBreach: there are some, and none of them is signed by who may.
            DeployError: there is no answer; never taken for "none".
        """
        try:
            said = self._cosign.verify("verify-attestation", self._trust, "--type", RECORD, pinned)
        except Rejected as error:
            if unverified := self._unverified(pinned):
                raise GateBreach(
                    f"{pinned} has {unverified} record{'' if unverified == 1 else 's'}, "
                    f"none signed by {self._trust.words}: {error}\n"
                    "  next: run the release candidate's feature with the key that sign.public_key (or sign.identity) "
                    "trusts",
                    cause="record",
                ) from error
            return ()
        digest = pinned.partition("@")[2]
        return tuple(sorted(_records(said, digest), key=lambda record: record.ended))

    def _unverified(self, pinned: str) -> int:
        """How many records the image has, whoever wrote them."""
        try:
            said = self._cosign.read("download", "attestation", "--predicate-type", RECORD, pinned)
        except Rejected:
            return 0
        return len([line for line in said.splitlines() if line.strip()])


def _records(said: str, digest: str) -> Iterator[Record]:
    for line in filter(None, said.splitlines()):
        try:
            statement: Mapping[str, Any] = json.loads(base64.b64decode(json.loads(line)["payload"]))
            named = [each.get("digest", {}).get("sha256") for each in statement.get("subject", ())]
            if statement.get("predicateType") != RECORD or digest.removeprefix("sha256:") not in named:
                continue
            record = from_json(Record, statement["predicate"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ToolFailed(
                f"a signed record of {digest} can't be read: {error}",
                hint="another version of pytest-deploy wrote it: use the same one in both jobs",
            ) from error
        # The signature says to which image it is attached; the record says which image it tells of.
        if record.digest == digest:
            yield record
