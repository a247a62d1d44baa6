"""What a kubeconfig tells of the cluster's authority and of its credentials' end."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pytest_deploy.io.kubeconfig import Wire, open_wire

EXP = datetime(2026, 1, 5, 9, 30, tzinfo=UTC)


def jwt(**claims: object) -> str:
    """A token with these claims; nobody here checks its signature."""
    parts = [{"alg": "RS256"}, claims]
    return ".".join([base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode() for p in parts] + ["sig"])


TOKEN = jwt(exp=EXP.timestamp(), sub="ü")


def wire(header: str, *, fixed: bool = True) -> Wire:
    """A client with this header."""
    return Wire(server="https://x", pool=None, headers=lambda: {"authorization": header}, fixed_token=fixed)


def test_a_tokens_end_is_its_claim() -> None:
    """It is read where nothing renews the token."""
    assert wire(f"Bearer {TOKEN}").expires == EXP
    assert wire(f"Bearer {TOKEN}", fixed=False).expires is None


@pytest.mark.parametrize(
    "header",
    ["", f"Basic {TOKEN}", "Bearer opaque", "Bearer a.b.c", f"Bearer {jwt(sub='x')}", f"Bearer {jwt(exp='soon')}",
     f"Bearer {jwt(exp=1e40)}", "Bearer a.W10.c"],
)  # fmt: skip
def test_a_token_that_says_nothing(header: str) -> None:
    """No token, or none that tells its end: nobody knows."""
    assert wire(header).expires is None


@pytest.mark.parametrize(
    ("user", "fixed"),
    [
        ({"token": TOKEN}, True),
        ({"tokenFile": "token.txt"}, False),
        ({"token": TOKEN, "tokenFile": "token.txt"}, False),
        ({}, False),
    ],
)
def test_only_a_token_in_the_kubeconfig_itself_is_fixed(
    tmp_path: Path, user: Mapping[str, Any], *, fixed: bool
) -> None:
    """A file is read again, a program run again; of the authority the fingerprint is told."""
    der = b"not a certificate, but bytes"
    pem = f"-----BEGIN CERTIFICATE-----\n{base64.b64encode(der).decode()}\n-----END CERTIFICATE-----\n"
    (tmp_path / "ca.crt").write_text(f"a comment\n{pem}", "ascii")
    (tmp_path / "token.txt").write_text(TOKEN, "ascii")
    for name, cluster in (("own", {}), ("theirs", {"insecure-skip-tls-verify": True})):
        facts = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1", **cluster}}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "there", "context": {"cluster": "c", "user": "u"}}],
        }
        path = tmp_path / name
        path.write_text(json.dumps(facts), "utf-8")
        found = open_wire([path], "there")
        assert found.fixed_token is fixed
        assert (found.expires == EXP) is fixed
        assert found.ca_sha256 is None
    of_file = Wire(server="https://x", pool=None, headers=dict, ca_file=str(tmp_path / "ca.crt"))
    assert of_file.ca_sha256 == hashlib.sha256(der).hexdigest()
