"""Reads a file of measurements: JSON lines as a deploy records them, or CSV as a person writes it."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

from pytest_deploy.adapters.series import NOBODYS_TIME, Measurement, Series
from pytest_deploy.domain.measurement import Bucket, Reading, Role
from pytest_deploy.errors import ConfigError

__all__ = ["load"]

_Row: TypeAlias = Mapping[str, object]


def load(path: Path) -> Series:
    """Return the measurements of a file: JSON lines behind a header, as a deploy records them, or CSV.

    Raises:
        ConfigError: it can't be read, or any line can't be; every problem with its ``file:line``.
    """
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror or type(error).__name__}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: not UTF-8 text: {error.reason} at byte {error.start}"]) from error
    problems: list[str] = []
    divisor = 1.0
    if text.lstrip().startswith("{"):
        divisor, rows = _json_rows(text, path, problems)
    else:
        rows = _csv_rows(text, path, problems)
    found: list[Measurement] = []
    for line, row in rows:
        try:
            found.append(_measurement(row, f"{path}:{line}"))
        except ValueError as error:
            problems.append(f"{path}:{line}: {error}")
    problems += _out_of_order(found)
    if not found and not problems:
        problems.append(f"{path}:1: no measurement in it")
    if problems:
        raise ConfigError(problems)
    return Series(name=str(path), measurements=tuple(found), divisor=divisor)


def _json_rows(text: str, path: Path, problems: list[str]) -> tuple[float, list[tuple[int, _Row]]]:
    rows: list[tuple[int, _Row]] = []
    for line, raw in enumerate(text.splitlines(), 1):
        if not raw.strip():
            continue
        try:
            row = json.loads(raw)
        except ValueError as error:
            problems.append(f"{path}:{line}: no JSON object in one line: {error}")
            continue
        if isinstance(row, dict):
            rows.append((line, row))
        else:
            problems.append(f"{path}:{line}: a {type(row).__name__}, and not an object")
    if not rows:
        return 1.0, []
    line, header = rows.pop(0)
    if header.get("version") != 1:
        problems.append(
            f'{path}:{line}: the first line must be a header, {{"version": 1}}; this one has {header.get("version")!r}'
        )
    divisor = header.get("window_divisor", 1)
    if not isinstance(divisor, int | float) or not divisor >= 1:
        problems.append(f"{path}:{line}: window_divisor: {divisor!r} is no number from 1 on")
        divisor = 1
    return float(divisor), rows


_EXTRAPOLATED = 0.05
"""By which share extrapolation to the window's edges may let the bad requests exceed all of them."""

_COLUMNS = (
    "weight", "gate", "t_s", "total", "bad", "value", "role", "scenario", "place", "at", "since", "newest", "problem",
)  # fmt: skip


def _csv_rows(text: str, path: Path, problems: list[str]) -> list[tuple[int, _Row]]:
    reader = csv.reader(text.splitlines())
    header = [name.strip() for name in next(reader, [])]
    missing = [name for name in ("weight", "gate", "t_s") if name not in header]
    unknown = [name for name in header if name not in _COLUMNS]
    if missing or unknown or not {"total", "value"} & set(header) or len(header) != len(set(header)):
        problems.append(
            f"{path}:1: a CSV file begins with the names of its columns: weight, gate, t_s, and total and bad, or "
            f"value; allowed are {', '.join(_COLUMNS)}; this one begins with: {', '.join(header) or 'nothing'}"
        )
        return []
    rows: list[tuple[int, _Row]] = []
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            problems.append(f"{path}:{reader.line_num}: {len(cells)} cells, and the header has {len(header)}")
            continue
        rows.append((reader.line_num, dict(zip(header, (cell.strip() for cell in cells), strict=True))))
    return rows


def _measurement(row: _Row, place: str) -> Measurement:
    """Return one line as a value; raises ValueError with what is wrong."""
    gate = row.get("gate")
    if not isinstance(gate, str) or not gate:
        raise ValueError(f"gate: {gate!r} is no gate's name")
    t_s = _number(row, "t_s")
    if t_s is None:
        raise ValueError("t_s: missing; it is the seconds since the window began")
    offset = timedelta(seconds=t_s)
    since = _time(row, "since") or NOBODYS_TIME
    total, bad, value = (_number(row, key) for key in ("total", "bad", "value"))
    if bad is not None and (total is None or bad > total * (1 + _EXTRAPOLATED)):
        raise ValueError(f"bad: {bad:g} of {'no total' if total is None else f'{total:g} requests'}")
    if row.get("value", "") == "" and total and bad is not None and gate.startswith(("error rate", "availability")):
        value = bad / total
    recorded = _time(row, "at")
    at = recorded or since + offset
    problem = row.get("problem") or ""
    missing = "newest" not in row or row["newest"] == ""
    return Measurement(
        gate=gate,
        weight=_weight(row.get("weight")),
        scenario=str(row.get("scenario") or ""),
        role=_role(row.get("role")),
        offset=offset,
        reading=Reading(
            since=since,
            at=at,
            newest=at if missing else _time(row, "newest"),
            total=total,
            bad=bad,
            value=value,
            queries=_queries(row.get("queries"), place),
            problem=str(problem),
            neighbours=_neighbours(row.get("neighbours")),
        ),
        place=place,
        recorded=recorded is not None,
    )


def _number(row: _Row, key: str) -> float | None:
    """Return a number that is not negative; None where the cell is empty or null."""
    raw = row.get(key)
    if raw is None or raw == "":
        return None
    try:
        number = float(raw) if isinstance(raw, str | int | float) and not isinstance(raw, bool) else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{key}: {raw!r} is no number; where nothing is known leave it empty (CSV) or null (JSON)")
    if number < 0 and key != "value":
        raise ValueError(f"{key}: {number:g} is negative")
    return number


def _time(row: _Row, key: str) -> datetime | None:
    raw = row.get(key)
    if raw is None or raw == "":
        return None
    try:
        found = datetime.fromisoformat(str(raw))
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise ValueError(f"{key}: {raw!r} is no time with its zone, such as 2026-11-24T10:15:00Z")
    return found.astimezone(UTC)


def _weight(raw: object) -> int | None:
    if raw is None or raw == "":
        return None
    text = str(raw).removesuffix("%").strip()
    if isinstance(raw, bool) or not text.isascii() or not text.isdigit() or not 0 < int(text) <= 100:
        raise ValueError(f"weight: {raw!r} is no percent from 1 to 100; empty or null: after the promotion")
    return int(text)


def _role(raw: object) -> Role:
    if raw is None or raw == "":
        return Role.CANARY
    try:
        return Role(str(raw))
    except ValueError:
        raise ValueError(f"role: {raw!r} is none of {', '.join(Role)}") from None


def _queries(raw: object, place: str) -> tuple[str, ...]:
    return tuple(str(each) for each in raw) if isinstance(raw, list) and raw else (f"replayed: {place}",)


def _neighbours(raw: object) -> tuple[Bucket, Bucket] | None:
    if raw is None or raw == "":
        return None
    try:
        pairs = [(float(bound), float(slower)) for bound, slower in (raw if isinstance(raw, list) else ())]
        below, above = (Bucket(bound_s=bound, slower=slower) for bound, slower in pairs if math.isfinite(slower))
    except (TypeError, ValueError):
        raise ValueError(f"neighbours: {raw!r} is not [[bound_s, slower], [bound_s, slower]]") from None
    return below, above


def _out_of_order(found: Sequence[Measurement]) -> Iterator[str]:
    """Yield a problem for each line whose time is not after the one before it in its window."""
    last: dict[tuple[object, ...], Measurement] = {}
    for each in found:
        key = (each.weight, each.scenario, each.gate, each.role)
        before = last.get(key)
        if before is not None and each.offset <= before.offset:
            yield (
                f"{each.place}: t_s: {each.offset.total_seconds():g} is not after "
                f"{before.offset.total_seconds():g} of {before.place}: times only grow within a window"
            )
        last[key] = each
