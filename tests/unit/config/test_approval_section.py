"""The section ``approval``: where people are asked, and for how long a yes lasts."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from pytest_deploy.config.load import load
from pytest_deploy.config.model import DeployConfig
from pytest_deploy.errors import ConfigError
from tests.unit.config.conftest import GOOD

UNLOGGED = """\
approval:
  file: {transparency_log: false, signers: {ann: {identity: a@b.c, issuer: "https://i.acme.com", email: a@b.c}}}
"""


@pytest.fixture
def loaded(folder: Path) -> Callable[[str], DeployConfig]:
    """Load the good deploy.yaml with these lines added."""
    (folder / "keys").mkdir()
    (folder / "keys" / "ann.pub").touch()

    def do(text: str) -> DeployConfig:
        (folder / "deploy.yaml").write_text(GOOD + text, encoding="utf-8")
        return load(folder / "deploy.yaml")

    return do


Loaded = Callable[[str], DeployConfig]


def test_absent_it_is_off(loaded: Loaded) -> None:
    """Nobody is asked, and "approval" is no section of this deploy."""
    assert loaded("").approval is None


def test_empty_it_is_github_with_all_defaults(loaded: Loaded) -> None:
    """The deploy runs inside the protected job of its own repository."""
    section = loaded("approval: {}\n").approval
    assert section is not None
    assert section.file is None
    assert section.github.model_dump() == dict.fromkeys(("repository", "environment", "workflow", "ref", "token"))
    assert (section.wait, section.max_age) == (timedelta(hours=1), timedelta(hours=24))
    assert section.folder(Path("reports")) == Path("reports")


def test_a_dispatched_workflow(loaded: Loaded) -> None:
    """On a server of one's own, too; the token is only named."""
    text = """
approval:
  github: {repository: git.acme.com:8443/acme/api, workflow: deploy-prod.yml, ref: main, token: "${env:GH_TOKEN}"}
  wait_minutes: 120
  max_age_hours: 2
"""
    section = loaded(text).approval
    assert section is not None
    assert (section.github.workflow, section.github.ref) == ("deploy-prod.yml", "main")
    assert loaded(text).named_secrets == ("${env:GH_TOKEN}",)
    assert (section.wait, section.max_age) == (timedelta(hours=2), timedelta(hours=2))


def test_signers(loaded: Loaded, folder: Path) -> None:
    """By a key beside deploy.yaml, by one in a KMS, by an identity."""
    section = loaded("""
approval:
  file:
    folder: approvals
    signers:
      ann: {key: keys/ann.pub, email: ann@acme.com}
      bob: {kms: awskms:///alias/bob, email: bob@acme.com}
      eve: {identity: eve@acme.com, issuer: https://accounts.google.com, email: eve@acme.com}
""").approval
    assert section is not None
    assert section.file is not None
    assert section.file.signers["ann"].key == folder / "keys" / "ann.pub"
    assert section.folder(Path("reports")) == folder / "approvals"
    assert section.file.transparency_log


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("approval: {github: {repository: api}}", "'api' is no repository: owner/name, or host/owner/name"),
        ("approval: {github: {token: ghp_123456}}", "must be named as ${env:NAME}"),
        ("approval: {max_age_hours: 0}", "0 hours: more than 0, at most 720 (30 days)"),
        ("approval: {wait_minutes: 0}", "0 minutes: at least"),
        ("approval: {file: {signers: {}}}", "signers"),
        ("approval: {file: {signers: {ann: {email: a@acme.com}}}}", "give one of key, kms and identity"),
        ("approval: {file: {signers: {ann: {key: keys/ann.pub}}}}", "email"),
        ("approval: {file: {signers: {ann: {key: keys/bob.pub, email: a@b.c}}}}", "there is no file 'keys/bob.pub'"),
        ("approval: {file: {signers: {ann: {key: keys/ann.pub, email: ann}}}}", "'ann' is no e-mail address"),
        ("approval: {file: {signers: {ann: {kms: ann, email: a@b.c}}}}", "'ann' is no address of a key: awskms://"),
        ("approval: {file: {signers: {ann: {identity: a@b.c, email: a@b.c}}}}", "identity and issuer belong together"),
        (UNLOGGED, "transparency_log: false needs keys, and ann signs by identity"),
        (
            "approval: {github: {}, file: {signers: {ann: {key: keys/ann.pub, email: a@b.c}}}}",
            "give github or file: an approval is asked for in one place",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(loaded: Loaded, text: str, words: str) -> None:
    """Each with file and line."""
    with pytest.raises(ConfigError) as raised:
        loaded(text + "\n")
    assert words in str(raised.value)
    assert re.search(r"deploy\.yaml:1[67]:", str(raised.value))
