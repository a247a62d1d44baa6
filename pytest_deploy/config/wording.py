"""pydantic's errors in the words of deploy.yaml: what was found, and what would be right."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from pytest_deploy.config.model import DeployConfig
from pytest_deploy.config.source import Key, Problem

__all__ = ["described", "problems"]

_WANTED = {
    "string_type": "text",
    "path_type": "a path",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
_UNITS = {"_ms": "milliseconds", "_minutes": "minutes", "_s": "seconds"}


def problems(errors: Sequence[ErrorDetails]) -> Iterator[Problem]:
    """Yield each error once, in words; a missing key that an unknown one was surely meant to be is left out."""
    meant: set[Key] = set()
    for error in errors:
        if error["type"] == "extra_forbidden":
            key = tuple(error["loc"])
            text, nearest = _unknown(key)
            meant.add((*key[:-1], nearest))
            yield Problem(key=key, text=text)
    for error in errors:
        key = _key(error)
        if error["type"] == "missing" and key in meant:
            continue
        if error["type"] != "extra_forbidden":
            yield Problem(key=key, text=_text(error, key))


def described(value: object) -> str:
    """Return ``the number 5``, ``the text 'x'``, ``a list`` ...: what was found."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"the number {value:g}" if isinstance(value, float) else f"the number {value}"
    if isinstance(value, str):
        return f"the text {value if len(value) <= 40 else value[:37] + '...'!r}"
    return "a mapping" if isinstance(value, Mapping) else "a list"


def _key(error: ErrorDetails) -> Key:
    """Return where the error stands; pydantic names a mapping's key itself as ``[key]``."""
    return tuple(part for part in error["loc"] if part != "[key]")


def _text(error: ErrorDetails, key: Key) -> str:
    context = error.get("ctx", {})
    wanted = _WANTED.get(error["type"])
    # What stands where a section belongs may be a secret: its kind is enough.
    is_hidden = wanted == "a mapping" and isinstance(error["input"], str)
    found = "found text" if is_hidden else f"found {described(error['input'])}"
    match error["type"]:
        case "missing":
            text = "it is missing"
        case "value_error":
            return str(context["error"])
        case "enum":
            text = f"{found}; one of {context['expected'].replace(chr(39), '')} is wanted"
        case "too_short":
            text = "it is empty: at least one is wanted"
        case "greater_than_equal":
            text = f"{error['input']} is too little: at least {context['ge']}"
        case _ if wanted:
            unit = next((f", in {unit}" for suffix, unit in _UNITS.items() if str(key[-1]).endswith(suffix)), "")
            is_number = isinstance(error["input"], int | float)
            quote = " (put it in quotes)" if wanted == "text" and is_number else ""
            text = f"{found}; {wanted} is wanted{unit}{quote}"
        case _:  # none that a field of this model gives today
            text = f"{found}: {error['msg'].lower()}"
    return text + _example(key)


def _unknown(key: Key) -> tuple[str, str]:
    if key == ("releases",):
        return "several releases in one file are not built yet: write one deploy.yaml for each release", ""
    known = list(_fields(key[:-1]))
    near = difflib.get_close_matches(str(key[-1]), known, n=1, cutoff=0.5)
    if near:
        return f"there is no such key; did you mean {near[0]}?", near[0]
    return f"there is no such key; known here: {', '.join(known)}", ""


def _example(key: Key) -> str:
    field = _fields(key[:-1]).get(str(key[-1])) if key else None
    return f", such as {json.dumps(field.examples[0])}" if field and field.examples else ""


def _fields(key: Key) -> dict[str, FieldInfo]:
    """Return the fields that the mapping at this key can have, by the name that the file uses."""
    kind: Any = DeployConfig
    for part in key:
        if _is_mapping(kind):
            kind = get_args(kind)[1]
        else:
            field = _by_name(kind).get(str(part)) if _is_model(kind) else None
            kind = field.annotation if field else None
        if not _is_mapping(kind):
            kind = next((one for one in (kind, *get_args(kind)) if _is_model(one)), None)
    return _by_name(kind) if _is_model(kind) else {}


def _by_name(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _is_model(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _is_mapping(kind: object) -> bool:
    origin = get_origin(kind)
    return isinstance(origin, type) and issubclass(origin, Mapping)
