"""The section ``load`` by itself: one of two ways, and nothing in it that could break a request."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from pytest_deploy.config.load_section import LoadSection

HTTP: dict[str, Any] = {"url": "https://shop.example.com/x", "rate_per_s": 20}


def problem(section: dict[str, Any]) -> str:
    """Return the one thing that is wrong."""
    with pytest.raises(ValidationError) as caught:
        LoadSection.model_validate(section)
    (error,) = caught.value.errors()
    return str(error.get("ctx", {}).get("error", error["msg"]))


def test_http_has_defaults() -> None:
    """Address and rate are enough."""
    http = LoadSection.model_validate({"http": HTTP}).http
    assert http is not None
    assert (http.url, http.rate_per_s, http.headers, http.timeout) == (
        "https://shop.example.com/x",
        20,
        {},
        timedelta(seconds=10),
    )


def test_a_command_is_program_and_arguments() -> None:
    """With the names of what it may see."""
    section = LoadSection.model_validate_json('{"command": ["k6", "run", "load.js"], "env": ["K6_TOKEN"]}')
    assert (section.command, section.env, section.http) == (("k6", "run", "load.js"), ("K6_TOKEN",), None)


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({}, "neither is there: write either command"),
        ({"http": HTTP, "command": ("k6",)}, "both are there: write either command"),
        ({"http": HTTP, "env": ("A",)}, "env is for the command"),
        ({"http": None}, "found nothing"),
        ({"command": ()}, "at least 1 item"),
        ({"command": ("k6",), "env": ("A=B",)}, "'A=B' is no name of an environment variable"),
        ({"http": {**HTTP, "rate_per_s": 0}}, "0 is too little"),
        ({"http": {**HTTP, "rate_per_s": 1001}}, "at most 1000, else a command"),
        ({"http": {**HTTP, "method": "POST"}}, "Extra inputs"),
        ({"http": {**HTTP, "url": "shop.example.com"}}, "is no address"),
        ({"http": {**HTTP, "url": "https://me:pw@shop.example.com"}}, "holds a user name or a password"),
        ({"http": {**HTTP, "url": "https://shop.example.com/?a=b c"}}, "is no query"),
        ({"http": {**HTTP, "url": "https://shop.example.com/?a=\r\nHost: x"}}, "is no query"),
        ({"http": {**HTTP, "headers": {"A B": "x"}}}, "'A B' is no header"),
        ({"http": {**HTTP, "headers": {"A": "x\r\nB: y"}}}, "'A' is no header"),
        ({"http": {**HTTP, "headers": {"x-deploy-load": "x"}}}, "set by the load itself"),
        ({"http": {**HTTP, "headers": {"Authorization": "Bearer x"}}}, "name its whole value as ${env:NAME}"),
    ],
)
def test_what_is_wrong_is_told(section: dict[str, Any], told: str) -> None:
    """Each has its words; a value that is a secret is not among them."""
    text = problem(section)
    assert told in text
    assert "Bearer" not in text
    assert "pw" not in text


def test_a_query_is_kept() -> None:
    """What is asked for may have one."""
    http = LoadSection.model_validate({"http": {**HTTP, "url": "https://shop.example.com/?q=1&r=%20"}}).http
    assert http is not None
    assert http.url == "https://shop.example.com/?q=1&r=%20"


def test_named_secrets_are_resolved_where_they_are_used() -> None:
    """Only what is named is looked up."""
    headers = {"Authorization": "${env:BEARER}", "Accept": "text/html"}
    http = LoadSection.model_validate({"http": {**HTTP, "headers": headers}}).http
    assert http is not None
    assert http.resolved_headers(lambda text: f"<{text}>") == {
        "Authorization": "<${env:BEARER}>",
        "Accept": "text/html",
    }
