"""The one sink that all text passes before it is written or printed: secrets end here."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
from collections.abc import Collection, Iterator
from enum import Enum
from typing import TypeVar
from urllib.parse import quote, quote_plus

__all__ = ["Redactor"]

T = TypeVar("T")

_SHOWN = "[secret]"
_SHORTEST = 4
"""Shorter secrets stay: they protect nothing, and taking them out would blank ordinary words."""
_SHORTEST_LINE = 8
"""Of a secret of several lines (a key file) each line of this length is a secret of its own."""


class Redactor:
    """Takes secrets out of text, in every spelling they are likely to be met in.

    That is: as they are, base64 (also as part of something longer, as in basic authentication), URL-escaped,
    JSON-escaped, and each line of those that have several.

    Args:
        secrets: the resolved values; shorter than 4 characters they are not looked for.
    """

    def __init__(self, secrets: Collection[str]) -> None:
        spellings = {spelling for secret in secrets for spelling in _spellings(secret)}
        longest_first = sorted(spellings, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def __call__(self, text: str) -> str:
        """Return the text with ``[secret]`` in the place of each secret."""
        return text if self._pattern is None else self._pattern.sub(_SHOWN, text)

    def value(self, value: T) -> T:
        """Return the same value with all text in it redacted, however deep: dataclasses, tuples, mappings.

        Values are cleaned before they are rendered, so that no escaping or cutting can hide a part of a secret.
        """
        return value if self._pattern is None else self._deep(value)

    # One recursion over values of any type, each mapped to its own type: not expressible without Any's kin.
    def _deep(self, value: T) -> T:
        result: object = value
        if isinstance(value, Enum):
            return value
        if isinstance(value, str):
            result = self(value)
        elif isinstance(value, tuple | list):
            result = type(value)(self._deep(each) for each in value)
        elif isinstance(value, dict):
            result = {self._deep(key): self._deep(each) for key, each in value.items()}
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = (field.name for field in dataclasses.fields(value) if field.init)
            result = dataclasses.replace(value, **{name: self._deep(getattr(value, name)) for name in fields})
        return result  # type: ignore[return-value] # each branch rebuilds the type that it was given


def _spellings(secret: str) -> Iterator[str]:
    lines = [line.strip() for line in secret.splitlines()]
    several = [line for line in lines if len(line) >= _SHORTEST_LINE] if len(lines) > 1 else []
    for raw in {secret, secret.strip(), *several}:
        if len(raw) < _SHORTEST:
            continue
        yield raw
        yield from (quote(raw), quote(raw, safe=""), quote_plus(raw))
        yield from (json.dumps(raw)[1:-1], json.dumps(raw, ensure_ascii=False)[1:-1])
        yield from _base64(raw.encode("utf-8", "surrogateescape"))


def _base64(raw: bytes) -> Iterator[str]:
    """Yield what base64 makes of it at each of the three places where it can stand in longer data."""
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + raw)
        shared_before = -(-before * 8 // 6)
        whole = (before + len(raw)) * 8 // 6
        inner = encoded[shared_before:whole].decode()
        if len(inner) >= _SHORTEST:
            yield from (inner, inner.replace("+", "-").replace("/", "_"))
