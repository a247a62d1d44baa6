"""trivy's ignore file: what it says, and that nothing is ignored for ever.

Both of its forms: https://trivy.dev/latest/docs/configuration/filtering/#by-finding-ids
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import yaml

from pytest_deploy.errors import Refused

__all__ = ["Ignored", "read_ignore_file"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """One entry.

    Args:
        until: trivy ignores it before the beginning of this day, in UTC.
    """

    id: str
    until: date


def read_ignore_file(path: Path) -> tuple[Ignored, ...]:
    """Return its entries.

    Raises:
        Refused: an entry has no expiry date, or it can't be read.
    """
    try:
        text = path.read_text("utf-8")
        entries = list(_yaml(text) if path.suffix in {".yaml", ".yml"} else _lines(text))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise Refused(
            f"{path.name} can't be read: {error}", hint="see what trivy takes: one id a line, then exp:YYYY-MM-DD"
        ) from error
    endless = [f"{where} ({name})" for where, name, until in entries if until is None]
    if endless:
        raise Refused(
            f"{path.name} ignores for ever: {', '.join(endless)}; each entry needs a date on which it ends",
            hint="add exp:YYYY-MM-DD to the line, in YAML expired_at: YYYY-MM-DD",
        )
    return tuple(Ignored(id=name, until=until) for _, name, until in entries if until is not None)


def _lines(text: str) -> Iterator[tuple[str, str, date | None]]:
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.split()
        if not fields or fields[0].startswith("#"):
            continue
        dates = [field.removeprefix("exp:") for field in fields[1:] if field.startswith("exp:")]
        yield f"line {number}", fields[0], date.fromisoformat(dates[0]) if dates else None


def _yaml(text: str) -> Iterator[tuple[str, str, date | None]]:
    document = yaml.safe_load(text)
    if not isinstance(document, Mapping):
        raise ValueError("no mapping at its top")  # noqa: TRY004 - told to a person, like the other mistakes
    for section, entries in document.items():
        for number, entry in enumerate(entries or (), start=1):
            if not isinstance(entry, Mapping) or "id" not in entry:
                raise ValueError(f"{section}, entry {number}: it has no id")
            until = entry.get("expired_at")
            if isinstance(until, datetime):
                until = until.date()
            if until is not None and not isinstance(until, date):
                until = date.fromisoformat(str(until))
            yield f"{section}, entry {number}", str(entry["id"]), until
