"""The sections ``build``, ``sign`` and ``record``: who may sign is said once, and exactly."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from pytest_deploy.config.model import DeployConfig

Load = Callable[..., DeployConfig]
Refused = Callable[..., list[str]]
OWNER = "owner: checkout-team"


def test_a_build_needs_no_setting(good: Load) -> None:
    """The folder of deploy.yaml is built for linux/amd64 by docker buildx, from what is committed."""
    build = good((OWNER, f"{OWNER}\nbuild: {{}}")).build
    assert build is not None
    assert (build.context, build.platform, build.buildx) == (None, "linux/amd64", ("docker", "buildx"))
    assert (build.allow_dirty, build.timeout) == (False, timedelta(minutes=30))


def test_a_key_of_ones_own(good: Load, folder: Path) -> None:
    """The public half is a file beside deploy.yaml, the private one a secret that is only named."""
    (folder / "cosign.pub").touch()
    sign = good((OWNER, f"{OWNER}\nsign: {{key: '${{env:KEY}}', public_key: cosign.pub}}")).sign
    assert sign is not None
    assert (sign.key, sign.trusted_key) == ("${env:KEY}", str(folder.resolve() / "cosign.pub"))
    assert (sign.transparency_log, sign.provenance, sign.sbom) == (True, True, True)


def test_a_key_in_a_kms_is_its_own_public_half(good: Load) -> None:
    """What signs there can be asked there whether it did."""
    sign = good((OWNER, f"{OWNER}\nsign: {{key: 'gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k'}}")).sign
    assert sign is not None
    assert sign.trusted_key == sign.key


def test_an_identity_with_its_issuer(good: Load) -> None:
    """Without a key, exactly one workflow may have signed."""
    sign = good((OWNER, f"{OWNER}\nsign: {{identity: 'https://github.com/a/b@main', issuer: 'https://token.a'}}")).sign
    assert sign is not None
    assert (sign.trusted_key, sign.issuer) == (None, "https://token.a")


def test_a_record_counts_for_a_day(good: Load) -> None:
    """Its age is settable."""
    record = good((OWNER, f"{OWNER}\nrecord: {{}}")).record
    assert record is not None
    assert record.max_age == timedelta(hours=24)


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ("build: {platform: amd64}", "'amd64' is no platform: linux/amd64"),
        ("build: {args: {NPM_TOKEN: x}}", "NPM_TOKEN stands in the image's provenance for all to read"),
        ("build: {args: {'a b': x}}", "'a b' is no name of an environment variable"),
        ("build: {secrets: ['a b']}", "'a b' is no name of an environment variable"),
        ("build: {sbom_generator: 'syft:latest'}", "the tag 'latest' says nothing"),
        ("sign: {}", "nobody's signature counts yet: write public_key"),
        ("sign: {key: '${env:KEY}'}", "nobody's signature counts yet: write public_key"),
        ("sign: {public_key: absent.pub}", "there is no file 'absent.pub' beside deploy.yaml"),
        ("sign: {public_key: 'k8s://ns/key'}", "'k8s://ns/key' is no key"),
        ("sign: {identity: a}", "identity and issuer go together"),
        ("sign: {issuer: 'https://a'}", "identity and issuer go together"),
        ("sign: {public_key: 'awskms:///a', identity: a, issuer: 'https://a'}", "said twice"),
        ("sign: {identity: a, issuer: 'https://a', transparency_log: false}", "transparency_log: false needs a key"),
        ("sign: {public_key: 'awskms:///a', password: '${env:P}'}", "password is that of key, and there is no key"),
        ("sign: {key: 'awskms:///a', password: hunter2}", "must be named as ${env:NAME}"),
        ("record: {max_age_hours: 0}", "0 is too little"),
    ],
)
def test_what_is_wrong_is_told(refused: Refused, section: str, told: str) -> None:
    """Each with what would be right; a written secret is not repeated."""
    problems = "\n".join(refused((OWNER, f"{OWNER}\n{section}")))
    assert told in problems
    assert "hunter2" not in problems
