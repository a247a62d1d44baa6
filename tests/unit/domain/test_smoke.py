"""What an answer over HTTP must be."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pytest_deploy.domain.smoke import HttpCheck, problems

DIGEST = "sha256:" + "a" * 64
BODY = b'{"status": "ok", "checks": [{"name": "db", "up": true}], "image": "sha256:%s"}' % (b"a" * 64)


def judged(check: HttpCheck, *, status: int = 200, body: bytes = BODY, took_ms: int = 20) -> tuple[str, ...]:
    """Judge an answer whose header X-Version is the digest."""
    return problems(
        check,
        digest=DIGEST,
        status=status,
        headers={"x-version": DIGEST},
        body=body,
        took=timedelta(milliseconds=took_ms),
    )


@pytest.mark.parametrize(
    "check",
    [
        HttpCheck(path="/"),
        HttpCheck(path="/", json_fields={"status": "ok", "checks.0.up": True, "image": "{digest}"}),
        HttpCheck(path="/", headers={"X-Version": "{digest}"}),
        HttpCheck(path="/", max_latency=timedelta(milliseconds=20)),
    ],
)
def test_what_is_as_expected_passes(check: HttpCheck) -> None:
    """Status, fields, headers and latency that are as asked are no problem."""
    assert judged(check) == ()


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (HttpCheck(path="/", status=204), "status 200, expected 204"),
        (HttpCheck(path="/", headers={"X-Commit": "1a2b"}), "no header X-Commit, expected '1a2b'"),
        (HttpCheck(path="/", headers={"X-Version": "old"}), f"header X-Version is '{DIGEST}', expected 'old'"),
        (HttpCheck(path="/", json_fields={"status": "down"}), 'field status is \'"ok"\', expected "down"'),
        (HttpCheck(path="/", json_fields={"checks.0.up": 1}), "field checks.0.up is 'true', expected 1"),
        (HttpCheck(path="/", max_latency=timedelta(milliseconds=19)), "answered after 20 ms, at most 19 ms"),
    ],
)
def test_what_is_not_is_told_with_what_was_expected(check: HttpCheck, said: str) -> None:
    """Each problem says what was observed, and what it should have been."""
    assert judged(check) == (said,)


@pytest.mark.parametrize("path", ["nothing", "checks.1.up", "checks.name", "status.x"])
def test_a_field_that_is_not_there_is_no_pass(path: str) -> None:
    """A path that leads nowhere is named, with the body."""
    (said,) = judged(HttpCheck(path="/", json_fields={path: "ok"}))
    assert said.startswith(f"no field {path} in ")
    assert said.endswith('expected "ok"')


def test_a_body_that_is_no_json_is_no_pass() -> None:
    """A proxy's page is shown by its beginning only."""
    (said,) = judged(HttpCheck(path="/", json_fields={"status": "ok"}), body=b"<html>" + b"x" * 500)
    assert said.startswith("the body is no JSON: '<html>xxx")
    assert len(said) < 160


def test_all_problems_are_told_at_once() -> None:
    """One answer that is wrong in three ways says all three."""
    check = HttpCheck(path="/", status=204, headers={"X-Commit": "1"}, max_latency=timedelta(milliseconds=1))
    assert len(judged(check)) == 3
