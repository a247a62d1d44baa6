"""The series that a query of PromQL rests on, found in its text."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["selectors"]

_STRING = r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|`[^`]*`'
_TOKEN = re.compile(
    rf"""(?P<skip>\s+|\#[^\n]*)
    |(?P<string>{_STRING})
    |(?P<braces>\{{(?:{_STRING}|[^}}"'`])*\}})
    |(?P<range>\[[^\]]*\])
    |(?P<number>\.?[0-9][0-9a-zA-Z_.]*)
    |(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_LISTS = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
_WORDS = frozenset({"and", "or", "unless", "atan2", "bool", "offset", "inf", "nan", "anchored", "smoothed"})
"""https://github.com/prometheus/prometheus/blob/main/promql/parser/lex.go"""


def selectors(query: str) -> tuple[str, ...]:
    """Return the selectors of series in a query, without their ranges, each once.

    Those that look at another time on purpose (``offset``, ``@``) are left out: they say nothing of how fresh the
    answer is. A query that the server can't parse yields anything.
    """
    tokens = [(match.lastgroup or "", match.group()) for match in _TOKEN.finditer(query)]
    tokens = [token for token in tokens if token[0] != "skip"]
    return tuple(dict.fromkeys(_found(tokens)))


def _found(tokens: list[tuple[str, str]]) -> Iterator[str]:
    end, position = ("", ""), 0
    tokens = [*tokens, end, end, end]
    while tokens[position] != end:
        kind, text = tokens[position]
        follows = tokens[position + 1]
        position += 1
        if kind == "name" and text.lower() in _LISTS and follows[1] == "(":
            while tokens[position] != end and tokens[position][1] != ")":
                position += 1
            continue
        if kind == "name" and (text.lower() in _WORDS or follows[1] == "(" or follows[1].lower() in {"by", "without"}):
            continue
        if kind == "name":
            series = text
            if follows[0] == "braces":
                series, position = text + follows[1], position + 1
        elif kind == "braces":
            series = text
        else:
            continue
        after = position + (tokens[position][0] == "range")
        if tokens[after][1].lower() not in {"offset", "@"}:
            yield series
