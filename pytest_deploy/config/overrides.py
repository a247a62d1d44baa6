"""``--deploy-set KEY=VALUE``: one key of deploy.yaml, set from the command line."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydantic import JsonValue

from pytest_deploy.config.source import MAX_DEPTH, Key, read_value

__all__ = ["Override", "apply", "parse"]

_PART = re.compile(r'"((?:[^"\\]|\\.)+)"|([^".=\s][^".=]*)')


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """One key, and what it becomes.

    Args:
        text: as it was given, for messages.
    """

    text: str
    key: Key
    value: JsonValue


def parse(text: str) -> Override:
    """Return what ``slo.window_minutes=10`` or ``values.podAnnotations."a.b/c"=x`` says.

    Raises:
        ValueError: no ``=``, a key that can't be read, or a value that is no YAML.
    """
    if len(text) != len(text.encode(errors="ignore").decode()):  # a command line can hold any bytes
        msg = "this is no Unicode text"
        raise ValueError(msg)
    parts: list[str] = []
    position = 0
    while True:
        part = _PART.match(text, position)
        if part is None:
            msg = 'KEY=VALUE is wanted, with a dotted KEY: slo.window_minutes=10, values."a.b"=text'
            raise ValueError(msg)
        parts.append(re.sub(r"\\(.)", r"\1", part[1]) if part[1] else part[2].strip())
        position = part.end()
        if text[position : position + 1] == "=":
            break
        position += 1  # the dot; anything else fails to match as the next part, or is refused here
        if text[position - 1 : position] != ".":
            msg = f"{text[:position]!r}: a dot or = is wanted after {parts[-1]!r}"
            raise ValueError(msg)
    if len(parts) > MAX_DEPTH:
        msg = f"the key has {len(parts)} parts: at most {MAX_DEPTH}"
        raise ValueError(msg)
    document = read_value(text[position + 1 :])
    if document.problems:
        raise ValueError("; ".join(problem.text for problem in document.problems))
    return Override(text=text, key=tuple(parts), value=document.value)


def apply(override: Override, data: dict[str, JsonValue]) -> None:
    """Set the key in place; mappings on the way are made where they are absent.

    Raises:
        ValueError: something on the way is no mapping.
    """
    *way, last = override.key
    current = data
    for depth, name in enumerate(way, start=1):
        if current.get(str(name)) is None:
            current[str(name)] = {}
        below = current[str(name)]
        if not isinstance(below, dict):
            msg = f"{'.'.join(map(str, way[:depth]))} is no mapping: set it as a whole"
            raise ValueError(msg)  # noqa: TRY004 - the value of an option, not the type of an argument
        current = below
    current[str(last)] = override.value
