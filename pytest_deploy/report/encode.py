"""Values of the domain as JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import get_args

from pytest_deploy.domain.action import Action, Json

__all__ = ["to_json"]

_ACTIONS = get_args(Action)


def to_json(value: object) -> Json:
    """Return a value as JSON: times as ``2026-11-24T10:15:00.250Z``, durations in seconds, dataclasses as objects.

    An action also says its ``kind``; a number that is not finite is null.

    Raises:
        TypeError: there is no JSON for it.
    """
    simple: Json
    match value:
        case Enum():
            simple = value.value if isinstance(value.value, str) else value.name
        case None | bool() | int() | str():
            simple = value
        case float():
            simple = value if math.isfinite(value) else None
        case datetime():
            simple = _instant(value)
        case timedelta():
            simple = value.total_seconds()
        case Mapping():
            simple = {str(key): to_json(each) for key, each in value.items()}
        case tuple() | list():
            simple = [to_json(each) for each in value]
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            kind: dict[str, Json] = {"kind": type(value).__name__} if isinstance(value, _ACTIONS) else {}
            simple = kind | {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
        case _:
            msg = f"no JSON for {type(value).__name__}: {value!r}"
            raise TypeError(msg)
    return simple


def _instant(at: datetime) -> str:
    text = at.astimezone(UTC).isoformat(timespec="milliseconds" if at.microsecond >= 1000 else "seconds")
    return text.replace("+00:00", "Z")
