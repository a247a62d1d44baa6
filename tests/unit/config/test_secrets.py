"""Secrets are named, resolved late, and shown nowhere."""

from __future__ import annotations

import pytest

from pytest_deploy.config.secrets import literal_secrets, resolve_secret
from pytest_deploy.errors import ConfigError


def no_file(path: str) -> str:
    """Stand for a file system without files."""
    raise FileNotFoundError(path)


def test_from_the_environment() -> None:
    """The variable's value is the secret."""
    assert resolve_secret("${env:TOKEN}", {"TOKEN": "s3cret"}, no_file) == "s3cret"


def test_from_a_file() -> None:
    """The file's text is the secret, without the newline that editors add."""
    files = {"/run/my secrets/token": "s3cret\n"}
    assert resolve_secret("${file:/run/my secrets/token}", {}, files.__getitem__) == "s3cret"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("${env:TOKEN}", "the variable is not set, or empty"),
        ("${env:EMPTY}", "the variable is not set, or empty"),
        ("${file:/nope}", r"\$\{file:/nope\}: FileNotFoundError"),
        ("${vault:x}", "must be named"),
        ("prefix-${env:TOKEN}", "must be named"),
    ],
)
def test_refused(text: str, said: str) -> None:
    """A secret that is absent, empty or not named stops the run."""
    with pytest.raises(ConfigError, match=said):
        resolve_secret(text, {"EMPTY": ""}, no_file)


def test_a_literal_is_not_shown() -> None:
    """A secret that was written out is refused without repeating it."""
    with pytest.raises(ConfigError) as caught:
        resolve_secret("hunter2", {}, no_file)
    assert "hunter2" not in str(caught.value)


def test_literals_are_found_at_any_depth() -> None:
    """Keys called like a secret are found by their last word, in mappings and lists."""
    section = {
        "token": "${env:X}",
        "botToken": "abc",
        "hooks": [{"webhook_url": "https://x"}, {"password": "${file:/p}"}],
        "secret_name": "fine",
        "api_key": None,
    }
    assert list(literal_secrets(section)) == [("botToken",), ("hooks", 0, "webhook_url")]
