"""Redaction: planted secrets never come through, whatever spelling they are in."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.report.redact import Redactor

PLANTED = 'p@ss "w/rd"+ü&1'
KEY = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nAQEFAASCBKcwggSjAgEAAoIB\n-----END KEY-----\n"


@pytest.mark.parametrize(
    "spelled",
    [
        PLANTED,
        quote(PLANTED),
        quote(PLANTED, safe=""),
        quote_plus(PLANTED),
        json.dumps(PLANTED),
        json.dumps(PLANTED, ensure_ascii=False),
        base64.b64encode(PLANTED.encode()).decode(),
        base64.urlsafe_b64encode(PLANTED.encode()).decode(),
    ],
)
def test_each_spelling_is_taken_out(spelled: str) -> None:
    """As it is, URL-escaped, JSON-escaped and base64: what is around it stays."""
    shown = Redactor([PLANTED])(f"before {spelled} after")
    assert "[secret]" in shown
    assert spelled not in shown
    assert shown.startswith("before ")
    assert shown.endswith(" after")


@given(user=st.text("abcXYZ019", min_size=0, max_size=7), rest=st.text("abcXYZ019", max_size=5))
def test_base64_of_something_longer_is_taken_out(user: str, rest: str) -> None:
    """Basic authentication: of all the secret's own characters at most the first and the last can be guessed."""
    planted = "tok-8c1f0d2b7e"
    encoded = base64.b64encode(f"{user}:{planted}{rest}".encode()).decode()
    shown = Redactor([planted])(encoded)
    taken_out = len(encoded) - len(shown.replace("[secret]", ""))
    assert taken_out >= len(planted) * 8 // 6 - 1


def test_each_line_of_a_key_is_a_secret() -> None:
    """A tool that prints a key line by line prints nothing of it."""
    shown = Redactor([KEY])("line 2 is MIIEvQIBADANBgkqhkiG9w0B, and then AQEFAASCBKcwggSjAgEAAoIB")
    assert shown == "line 2 is [secret], and then [secret]"


def test_the_longest_secret_wins() -> None:
    """A secret that begins with another one leaves no tail."""
    assert Redactor(["hunter2", "hunter2-and-more"])("hunter2-and-more") == "[secret]"


def test_ordinary_text_stays() -> None:
    """Without a secret in it, and for secrets of fewer than 4 characters, text comes through as it is."""
    assert Redactor(["abc", "", "\n"])("abc of it") == "abc of it"
    assert Redactor([])("abc") == "abc"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Deep:
    text: str
    lines: tuple[str, ...]
    by_name: dict[str, str]
    count: int


def test_values_are_redacted_however_deep() -> None:
    """Every text in a dataclass is cleaned; its type and all else stay."""
    value = (_Deep(text=f"a {PLANTED}", lines=(PLANTED, "b"), by_name={"k": PLANTED}, count=3),)
    clean = _Deep(text="a [secret]", lines=("[secret]", "b"), by_name={"k": "[secret]"}, count=3)
    assert Redactor([PLANTED]).value(value) == (clean,)
