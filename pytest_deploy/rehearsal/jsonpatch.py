"""JSON Patch as an API server applies it: all of it, or nothing."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence

from pytest_deploy.domain.action import Json
from pytest_deploy.errors import Rejected

__all__ = ["patched"]


def patched(document: Mapping[str, Json], operations: Sequence[Mapping[str, Json]], *, what: str) -> dict[str, Json]:
    """Return the document after the ``test`` and ``add`` operations (RFC 6902); the given one stays as it is.

    Args:
        what: names the document in errors.

    Raises:
        Rejected: a ``test`` does not hold, or a path does not exist.
    """
    result = copy.deepcopy(dict(document))
    for operation in operations:
        path, value = str(operation["path"]), operation["value"]
        if operation["op"] == "test":
            _test(result, path, value, what)
        else:
            parent, _, name = path.rpartition("/")
            try:
                node = _find(result, parent)
            except _NotThere:
                node = None
            if not isinstance(node, dict):
                raise _rejected(what, path, f"can't be written: {parent} is no object")
            node[_unescaped(name)] = value
    return result


class _NotThere(LookupError):
    """A pointer leads nowhere."""


def _test(document: Json, path: str, wanted: Json, what: str) -> None:
    try:
        found = _text(_find(document, path))
    except _NotThere:
        found = "not there"
    if found != _text(wanted):
        raise _rejected(what, path, f"must be {_text(wanted)}, but is {found}")


def _rejected(what: str, path: str, why: str) -> Rejected:
    return Rejected(
        f"the server rejected the patch of {what}, nothing was written: {path} {why}",
        hint="something else moved the rollout meanwhile: look at it anew",
    )


def _find(node: Json, path: str) -> Json:
    for token in path.split("/")[1:]:
        name = _unescaped(token)
        if isinstance(node, dict) and name in node:
            node = node[name]
        elif isinstance(node, list) and name.isdigit() and int(name) < len(node):
            node = node[int(name)]
        else:
            raise _NotThere(path)
    return node


def _unescaped(token: str) -> str:
    return token.replace("~1", "/").replace("~0", "~")


def _text(value: Json) -> str:
    """As text, so that 1, true and "1" are three different things."""
    return json.dumps(value, sort_keys=True)
