"""Frozen dataclasses as JSON and back, by their type hints: what the journal stores, recover can read.

Only a value whose type is one of several dataclasses carries its class's name (``type``), so that a line of the
journal stays readable. Nothing is guessed: an unknown key, a missing one or a value of another type is an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import datetime, timedelta
from enum import Enum
from types import NoneType, UnionType
from typing import TYPE_CHECKING, NewType, TypeVar, Union, cast, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from pytest_deploy.domain.action import Json

__all__ = ["from_json", "to_json"]

T = TypeVar("T")

_TAG = "type"
_PLAIN = (str, int, float, bool)


def to_json(value: object) -> dict[str, Json]:
    """Return a dataclass as a JSON object: times in ISO 8601, durations in seconds, tuples as lists.

    Raises:
        TypeError: it holds a type that has no form here.
    """
    hints = _hints(type(value))
    return {field.name: _encode(getattr(value, field.name), hints[field.name]) for field in _fields(type(value))}


def from_json(kind: type[T], data: Json, *, where: str = "") -> T:
    """Return the dataclass that ``to_json`` wrote.

    Args:
        where: the place of ``data`` in what is read, for errors.

    Raises:
        ValueError: it is not what ``to_json`` writes; with the place and what was found there.
    """
    where = where or kind.__name__
    if not isinstance(data, dict):
        raise _wrong(where, "an object", data)
    hints, members = _hints(kind), {field.name: field for field in _fields(kind)}
    if unknown := sorted(data.keys() - members.keys()):
        msg = f"{where}: unknown {', '.join(unknown)}; known: {', '.join(members)}"
        raise ValueError(msg)
    if missing := [name for name, field in members.items() if _needed(field) and name not in data]:
        msg = f"{where}: {', '.join(missing)} is missing"
        raise ValueError(msg)
    return kind(**{name: _decode(data[name], hints[name], f"{where}.{name}") for name in members if name in data})


def _encode(value: object, hint: object) -> Json:
    if value is None:
        return None
    if is_dataclass(value):
        tag: dict[str, Json] = {_TAG: type(value).__name__} if len(list(_classes(hint))) > 1 else {}
        return {**tag, **to_json(value)}
    if isinstance(value, Enum):
        return cast("Json", value.value)
    if isinstance(value, datetime | timedelta):
        return value.isoformat() if isinstance(value, datetime) else value.total_seconds()
    if isinstance(value, tuple):
        return [_encode(item, item_hint) for item, item_hint in zip(value, _item_hints(hint, len(value)), strict=True)]
    if isinstance(value, _PLAIN):
        return value
    msg = f"{type(value).__name__} has no form in JSON here: {value!r}"
    raise TypeError(msg)


def _decode(data: Json, hint: object, where: str) -> object:
    options = [option for option in _options(hint) if option is not NoneType]
    if data is None and NoneType in _options(hint):
        return None
    if len(options) == 1:
        return _decode_one(data, options[0], where)
    classes = {kind.__name__: kind for kind in _classes(hint)}
    if not isinstance(data, dict) or data.get(_TAG) not in classes:
        found = data.get(_TAG) if isinstance(data, dict) else data
        raise _wrong(where, f"one of {', '.join(classes)}", found)
    rest = {key: value for key, value in data.items() if key != _TAG}
    return from_json(classes[str(data[_TAG])], rest, where=where)


def _decode_one(data: Json, kind: object, where: str) -> object:
    if get_origin(kind) is tuple:
        if not isinstance(data, list):
            raise _wrong(where, "a list", data)
        hints = _item_hints(kind, len(data))
        if len(hints) != len(data):
            raise _wrong(where, f"{len(hints)} values", data)
        return tuple(
            _decode(item, hint, f"{where}[{i}]") for i, (item, hint) in enumerate(zip(data, hints, strict=True))
        )
    if isinstance(kind, NewType):
        return _decode_one(data, kind.__supertype__, where)
    if not isinstance(kind, type):
        msg = f"{where}: {kind} has no form in JSON here"
        raise TypeError(msg)
    if is_dataclass(kind):
        return from_json(kind, data, where=where)
    return _decode_value(data, kind, where)


def _decode_value(data: Json, kind: type, where: str) -> object:
    number = isinstance(data, int | float) and not isinstance(data, bool)
    if issubclass(kind, Enum | datetime) and isinstance(data, str):
        try:
            return kind(data) if issubclass(kind, Enum) else datetime.fromisoformat(data)
        except ValueError as error:
            raise _wrong(where, kind.__name__, data) from error
    if issubclass(kind, timedelta) and number:
        return timedelta(seconds=cast("float", data))
    if kind is float and number:
        return float(cast("float", data))
    if kind in _PLAIN and type(data) is kind:
        return data
    raise _wrong(where, kind.__name__, data)


def _options(hint: object) -> tuple[object, ...]:
    return get_args(hint) if get_origin(hint) in {Union, UnionType} else (hint,)


def _classes(hint: object) -> Iterator[type]:
    """The dataclasses that a hint allows."""
    return (option for option in _options(hint) if isinstance(option, type) and is_dataclass(option))


def _item_hints(hint: object, length: int) -> tuple[object, ...]:
    """A hint for each item: ``tuple[X, ...]`` has as many as there are items, ``tuple[X, Y]`` has two."""
    tuple_hint = next(option for option in _options(hint) if get_origin(option) is tuple)
    args = get_args(tuple_hint)
    return (args[0],) * length if args[1:] == (Ellipsis,) else args


def _needed(field: Field[object]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


_HINTS: dict[type, dict[str, object]] = {}


def _hints(kind: type) -> dict[str, object]:
    """Resolve the hints once a class: it costs as much as a hundred entries."""
    if kind not in _HINTS:
        _HINTS[kind] = get_type_hints(kind)
    return _HINTS[kind]


def _fields(kind: type) -> tuple[Field[object], ...]:
    return fields(kind) if is_dataclass(kind) else ()


def _wrong(where: str, wanted: str, found: object) -> ValueError:
    return ValueError(f"{where}: {wanted} expected, found {found!r}")
