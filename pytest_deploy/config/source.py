"""YAML text as plain data, with the line and column of every key.

YAML readers disagree about some unquoted words (``on``, ``017``, ``1:30``), keep the last of two equal keys
in silence, and let a kilobyte expand into gigabytes. All of these are problems here, not surprises.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

import yaml
from pydantic import JsonValue

__all__ = ["MAX_DEPTH", "Document", "Key", "Problem", "read", "read_value"]

Key = tuple[str | int, ...]
"""Where a value stands: ``("environments", "prod", "namespace")``."""

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
MAX_NODES = 10_000
MAX_CHARACTERS = 4 * MAX_BYTES
"""Aliases count each time they are used; real files hold some hundred values and some thousand characters."""

_LOADER: type[yaml.SafeLoader | yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_BOOLS = {"true": True, "false": False}
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,18})?(?:[eE][-+]?[0-9]{1,3})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong at a key, or at a place of its own where no key is known.

    Args:
        key: () for the whole document.
        line, column: count from 1; None: where ``key`` stands.
    """

    text: str
    key: Key = ()
    line: int | None = None
    column: int = 1


@dataclass(slots=True, kw_only=True)
class Document:
    """Data, the place of each key, and what is wrong with the text.

    Args:
        value: None where the text can't be read at all.
        places: line and column of each key and list item, from 1.
    """

    value: JsonValue = None
    places: dict[Key, tuple[int, int]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def read(raw: bytes) -> Document:
    """Return what the bytes of a YAML file hold; never raises, whatever they are."""
    if len(raw) > MAX_BYTES:
        return _unreadable(f"{len(raw)} bytes are too many: at most {MAX_BYTES}")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return _unreadable("this byte is no UTF-8: save the file as UTF-8", *_place(raw, error.start))
    document = read_value(text)
    if not document.problems and document.value is None:
        return _unreadable("the file is empty")
    if not document.problems and not isinstance(document.value, dict):
        return _unreadable("a mapping is wanted at the top: key: value, one key a line")
    return document


def read_value(text: str) -> Document:
    """Return the data of one YAML document; never raises."""
    try:
        _check_depth(text)
        root = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        context = f" {error.context}" if error.context else ""
        return _unreadable(f"this is no YAML: {error.problem}{context}", *place)
    except yaml.reader.ReaderError as error:
        return _unreadable(f"this is no YAML: {error.reason}", *_place(text.encode(), error.position))
    except UnicodeEncodeError:  # an argument of a command line can hold bytes that are no text
        return _unreadable("this is no Unicode text")
    except _TooDeepError as error:
        return _unreadable(f"more than {MAX_DEPTH} levels inside one another", error.line, error.column)
    reader = _Reader()
    if root is not None:
        try:
            reader.document.value = reader.value(root, ())
        except _TooMuchError:
            return _unreadable(
                f"it holds more than {MAX_NODES} values, {MAX_CHARACTERS} characters or {MAX_DEPTH} levels, "
                "aliases counted where they are used"
            )
    return reader.document


class _TooDeepError(Exception):
    def __init__(self, line: int, column: int) -> None:
        super().__init__()
        self.line, self.column = line, column


class _TooMuchError(Exception):
    """A budget is spent."""


def _check_depth(text: str) -> None:
    """Raise before composing, which recurses on the C stack."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise _TooDeepError(*_start(event))
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


class _Reader:
    """Turns YAML nodes into data; notes the places and the problems on its way."""

    def __init__(self) -> None:
        self.document = Document()
        self._nodes = 0
        self._characters = 0

    def value(self, node: yaml.Node, key: Key) -> JsonValue:
        self._nodes += 1
        # An alias to its own parent is a circle: compose accepts it, and only the depth ends it.
        if self._nodes > MAX_NODES or len(key) > MAX_DEPTH:
            raise _TooMuchError
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, key)
        if isinstance(node, yaml.SequenceNode):
            return self._sequence(node, key)
        text = str(node.value)
        self._characters += len(text)
        if self._characters > MAX_CHARACTERS:
            raise _TooMuchError
        return self._scalar(text, node, key)

    def _mapping(self, node: yaml.MappingNode, key: Key) -> JsonValue:
        found: dict[str, JsonValue] = {}
        self._refuse_foreign_tag(node, key, "map")
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._problem("a key must be text", key, key_node)
                continue
            name = key_node.value
            here = (*key, name)
            if name in found:
                first = self.document.places[here][0]
                self._problem(f"the key stands here for the second time, first in line {first}", here, key_node)
                continue
            self._mark(here, key_node)
            if key_node.tag == _TAG + "merge":
                self._problem("merge keys are not supported: write the keys out", here)
                continue
            if key_node.tag == _TAG + "bool" and name.lower() not in _BOOLS:
                self._problem(f"{name} is text for some YAML readers and a boolean for others: quote it", here)
            found[name] = self.value(value_node, here)
        return found

    def _sequence(self, node: yaml.SequenceNode, key: Key) -> JsonValue:
        self._refuse_foreign_tag(node, key, "seq")
        items: list[JsonValue] = []
        for index, item in enumerate(node.value):
            self._mark((*key, index), item)
            items.append(self.value(item, (*key, index)))
        return items

    def _scalar(self, text: str, node: yaml.Node, key: Key) -> JsonValue:
        kind = node.tag.removeprefix(_TAG)
        if kind in {"str", "timestamp", "value", "merge"}:
            return text
        if kind == "null":
            return None
        if kind == "bool":
            if text.lower() not in _BOOLS:
                self._problem(
                    f"{text} is text for some YAML readers and a boolean for others: quote it, or write true or false",
                    key,
                )
            return _BOOLS.get(text.lower(), text)
        if kind in {"int", "float"}:
            return self._number(text, key)
        self._refuse_foreign_tag(node, key, "str")
        return text

    def _number(self, text: str, key: Key) -> JsonValue:
        if _NUMBER.fullmatch(text) is None or not math.isfinite(float(text)):
            self._problem(
                f"{_short(text)} is read as different numbers by different YAML readers: "
                "quote it if it is text, or write a decimal number of at most 18 digits",
                key,
            )
            return text
        return int(text) if text.lstrip("-").isdigit() else float(text)

    def _refuse_foreign_tag(self, node: yaml.Node, key: Key, kind: str) -> None:
        if node.tag != _TAG + kind:
            tag = node.tag.replace(_TAG, "!!")
            self._problem(f"the tag {_short(tag)} has no meaning here: leave it out", key)

    def _mark(self, key: Key, node: yaml.Node) -> None:
        self.document.places[key] = _start(node)

    def _problem(self, text: str, key: Key, node: yaml.Node | None = None) -> None:
        line, column = (None, 1) if node is None else _start(node)
        self.document.problems.append(Problem(text=text, key=key, line=line, column=column))


def _start(what: yaml.Event | yaml.Node) -> tuple[int, int]:
    mark = what.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."


def _place(raw: bytes, position: int) -> tuple[int, int]:
    before = raw[:position].decode(errors="ignore")
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _unreadable(text: str, line: int = 1, column: int = 1) -> Document:
    return Document(problems=[Problem(text=text, line=line, column=column)])
