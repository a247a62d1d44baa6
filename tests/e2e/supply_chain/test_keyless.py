"""Signatures without a key: an identity, exactly, whose issuer vouches for it, in a log that is pinned.

The authority and the log are ours (``toolchain/sigstore``), cosign and all that it checks are real, save the proof of a
certificate log (SCT), which that authority does not give.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_deploy.adapters.cosign import CosignSigner
from pytest_deploy.errors import GateBreach
from pytest_deploy.io.cosign import Cosign, Trust
from tests.e2e.supply_chain.conftest import Bench, Script

pytestmark = pytest.mark.real

RELEASE = "release@acme.example.com"
ISSUER = "https://token.example.com"
Keyless = Callable[..., CosignSigner]


@pytest.fixture
def pinned(bench: Bench) -> str:
    """Build an image that nobody has signed yet."""
    return bench.plain("--provenance=false")


@pytest.fixture
def keyless(bench: Bench, pinned: str, script: Script, tmp_path: Path) -> Keyless:
    """Sign the image by one identity, and return a signer that trusts another or the same."""

    def make(*, signed_by: tuple[str, str], trusts: tuple[str, str] = (RELEASE, ISSUER)) -> CosignSigner:
        digest = pinned.partition("@")[2]
        bench.rig.run("sigstore-made", str(tmp_path), "image", digest.partition(":")[2], *signed_by)
        bench.rig.attach_bundle(bench.name, digest, (tmp_path / "image.json").read_bytes())
        real = bench.rig.programs["cosign"]
        program = script(
            "cosign", f'case $1 in verify*) exec {real} "$@" --insecure-ignore-sct;; *) exec {real} "$@";; esac'
        )
        trust = Trust(identity=trusts[0], issuer=trusts[1], trusted_root=tmp_path / "trusted_root.json")
        return bench.signer(cosign=Cosign(binary=program), trust=trust, provenance=False, sbom=False)

    return make


def test_the_identity_that_is_trusted_is_verified(keyless: Keyless, pinned: str) -> None:
    """Its certificate, the log and the digest hold, and another identity of the same issuer was refused."""
    words = keyless(signed_by=(RELEASE, ISSUER)).verify(pinned).words
    assert words.startswith(f"signed by {RELEASE} (by {ISSUER})")
    assert "transparency log" not in words


@pytest.mark.parametrize(
    "signed_by",
    [
        ("release@acme.example.com.evil.example.net", ISSUER),
        ("prerelease@acme.example.com", ISSUER),
        ("releaseXacme.example.com@x.example.com", ISSUER),
        (RELEASE, "https://token.example.com.evil.example.net"),
        (RELEASE, "https://other.example.com"),
    ],
)
def test_whoever_is_nearly_that_identity_is_refused(keyless: Keyless, pinned: str, signed_by: tuple[str, str]) -> None:
    """A longer name, another name, another issuer: not one of them is the one that is trusted."""
    with pytest.raises(GateBreach, match="no matching CertificateIdentity found"):
        keyless(signed_by=signed_by).verify(pinned)


@pytest.mark.parametrize(
    ("swapped", "why"),
    [
        ("certificateAuthorities", "failed to verify leaf certificate"),
        ("tlogs", "not enough verified log entries"),
    ],
)
def test_another_authority_or_log_is_not_believed(
    keyless: Keyless, pinned: str, tmp_path: Path, bench: Bench, swapped: str, why: str
) -> None:
    """The right identity, certified by an authority or written into a log that is not in the pinned root."""
    signer = keyless(signed_by=(RELEASE, ISSUER))
    other, root = tmp_path / "other", tmp_path / "trusted_root.json"
    other.mkdir()
    bench.rig.run("sigstore-made", str(other), "image", pinned.rpartition(":")[2], RELEASE, ISSUER)
    theirs = json.loads((other / "trusted_root.json").read_text())
    root.write_text(json.dumps(json.loads(root.read_text()) | {swapped: theirs[swapped]}))
    with pytest.raises(GateBreach, match=why):
        signer.verify(pinned)
