"""JSON Patch: guarded, and all or nothing."""

from __future__ import annotations

import copy

import pytest

from pytest_deploy.domain.action import Json
from pytest_deploy.errors import Rejected
from pytest_deploy.rehearsal.jsonpatch import patched

DOCUMENT: dict[str, Json] = {
    "status": {"index": 1, "on": True, "text": "1", "list": [{"reason": "pause"}], "a/b~c": "odd"},
}


def operation(op: str, path: str, value: Json) -> dict[str, Json]:
    """Return one operation of a patch."""
    return {"op": op, "path": path, "value": value}


def test_what_holds_lets_the_write_through() -> None:
    """Tests of objects, list items and escaped names pass, then the field is written; the given one is as it was."""
    before = copy.deepcopy(DOCUMENT)
    result = patched(
        DOCUMENT,
        [
            operation("test", "/status/index", 1),
            operation("test", "/status/list/0/reason", "pause"),
            operation("test", "/status/a~1b~0c", "odd"),
            operation("add", "/status/abort", True),
            operation("add", "/status/list", None),
        ],
        what="shop",
    )
    assert result["status"] == {**before["status"], "abort": True, "list": None}  # type: ignore[dict-item]  # an object
    assert before == DOCUMENT


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        ("/status/index", "1", "1"),
        ("/status/text", 1, '"1"'),
        ("/status/on", 1, "true"),
        ("/status/list/1/reason", "pause", "not there"),
        ("/status/list/reason", "pause", "not there"),
        ("/status/missing", None, "not there"),
        ("/status/index/deeper", 1, "not there"),
    ],
)
def test_what_does_not_hold_is_rejected(path: str, value: Json, found: str) -> None:
    """A value of another type is another value; the message names the document, the path, and what is there."""
    with pytest.raises(Rejected) as caught:
        patched(DOCUMENT, [operation("add", "/status/new", 1), operation("test", path, value)], what="shop in prod")
    message = str(caught.value)
    assert "shop in prod" in message
    assert f"{path} must be" in message
    assert f"but is {found}" in message
    assert "new" not in DOCUMENT["status"]  # type: ignore[operator]  # an object


@pytest.mark.parametrize("path", ["/nowhere/abort", "/status/index/abort"])
def test_a_field_is_written_into_objects_only(path: str) -> None:
    """Where the parent is missing, or no object, the patch is rejected."""
    with pytest.raises(Rejected, match="is no object"):
        patched(DOCUMENT, [operation("add", path, 1)], what="shop")
