"""What an answer over HTTP must be, so that a version counts as up."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from pytest_deploy.domain.action import Json

__all__ = ["HttpCheck", "problems"]

_SHOWN = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpCheck:
    """One GET.

    Args:
        path: from the environment's base_url.
        status: that is expected.
        json_fields: values by the dotted path of a field ("checks.0.status"); the body is JSON then.
        headers: values by the name of the answer's header, such as the version; ``{digest}`` stands for the image's.
        max_latency: from the request to the whole answer; None: any.
    """

    path: str
    status: int = 200
    json_fields: Mapping[str, Json] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    max_latency: timedelta | None = None


def problems(
    check: HttpCheck, *, digest: str, status: int, headers: Mapping[str, str], body: bytes, took: timedelta
) -> tuple[str, ...]:
    """Return what is wrong with an answer, what was observed first; () when nothing is.

    Args:
        digest: of the image that is to answer.
        headers: of the answer, their names in lower case.
    """
    return (
        *(() if status == check.status else (f"status {status}, expected {check.status}",)),
        *_headers(check, digest, headers),
        *_fields(check, digest, body),
        *_latency(check, took),
    )


def _headers(check: HttpCheck, digest: str, headers: Mapping[str, str]) -> Iterator[str]:
    for name, wanted in check.headers.items():
        seen = headers.get(name.lower())
        value = wanted.replace("{digest}", digest)
        if seen is None:
            yield f"no header {name}, expected {value!r}"
        elif seen.strip() != value:
            yield f"header {name} is {_short(seen)}, expected {value!r}"


def _fields(check: HttpCheck, digest: str, body: bytes) -> Iterator[str]:
    if not check.json_fields:
        return
    try:
        whole: Json = json.loads(body)
    except ValueError:
        yield f"the body is no JSON: {_short(body.decode(errors='replace'))}"
        return
    for path, wanted in check.json_fields.items():
        value = wanted.replace("{digest}", digest) if isinstance(wanted, str) else wanted
        try:
            seen = _at(whole, path)
        except LookupError:
            yield f"no field {path} in {_short(json.dumps(whole))}, expected {json.dumps(value)}"
            continue
        if seen != value or isinstance(seen, bool) != isinstance(value, bool):  # to Python true is 1
            yield f"field {path} is {_short(json.dumps(seen))}, expected {json.dumps(value)}"


def _at(whole: Json, path: str) -> Json:
    """Return the field; raises LookupError where there is none."""
    found = whole
    for key in path.split("."):
        if isinstance(found, list) and key.isdecimal():
            found = found[int(key)]
        elif isinstance(found, dict):
            found = found[key]
        else:
            raise KeyError(key)
    return found


def _latency(check: HttpCheck, took: timedelta) -> Iterator[str]:
    if check.max_latency is not None and took > check.max_latency:
        limit_ms, took_ms = (each / timedelta(milliseconds=1) for each in (check.max_latency, took))
        yield f"answered after {took_ms:.0f} ms, at most {limit_ms:g} ms"


def _short(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")
