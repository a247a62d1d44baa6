"""Past deploys, as ``reports/*/deploy.json`` keeps them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

__all__ = ["End", "Past", "Stay", "read"]


class End(StrEnum):
    """What is known of how it ended."""

    COMMITTED = "committed"
    BROKEN = "rolled back by a gate"
    OTHER = "ended otherwise"
    """Interrupted, refused, rolled back for another reason: it says nothing about gates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """How long a weight was there; ``weight`` None: after the promotion."""

    weight: int | None
    since: datetime
    until: datetime
    actual_percent: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """One past deploy.

    Args:
        words: how it ended, in its own words.
        end: what that says about its gates.
        broke_at: weight of the gate that was not PASS; None where there was none, or after the promotion.
        broke_by: that gate's name; "" where there was none.
        new_hash, stable_hash: pod-template hashes; None: not recorded.
    """

    id: str
    started: datetime
    mode: str
    service: str
    environment: str
    divisor: float
    words: str
    end: End
    broke_at: int | None
    broke_by: str
    stays: tuple[Stay, ...]
    new_hash: str | None
    stable_hash: str | None

    def stay(self, weight: int | None) -> Stay | None:
        """Return when the weight was there; None: it never was."""
        return next((each for each in self.stays if each.weight == weight), None)


def read(path: Path) -> Past:
    """Return what a deploy.json says.

    Raises:
        ValueError: it is none, or one of a deploy that never ended.
    """
    try:
        body: Any = json.loads(path.read_text("utf-8"))
        if body["version"] != 1 or body["outcome"] is None:
            raise ValueError("of a deploy that has not ended" if body["version"] == 1 else "of another version")
        return _past(body)
    except (OSError, KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
        raise ValueError(f"no record of a deploy: {type(error).__name__}: {error}") from error


def _past(body: Mapping[str, Any]) -> Past:
    broken = [gate for gate in body["gates"] if gate["verdict"] != "PASS" and not gate.get("dry_run", False)]
    broken.sort(key=lambda gate: bool(gate["verdict"] != "FAIL"))
    rolled_back = bool(body["rollbacks"])
    end = End.OTHER
    if rolled_back and broken:
        end = End.BROKEN
    elif not rolled_back and body["outcome"]["name"] == "COMMITTED":
        end = End.COMMITTED
    return Past(
        id=body["id"],
        started=datetime.fromisoformat(body["started"]),
        mode=body["mode"],
        service=body["service"],
        environment=body["environment"],
        divisor=float(body["window_divisor"]),
        words=body["outcome"]["words"],
        end=end,
        broke_at=broken[0]["weight"] if end is End.BROKEN else None,
        broke_by=broken[0]["name"] if end is End.BROKEN else "",
        stays=_stays(body),
        new_hash=_new_hash(body),
        stable_hash=(body["known_good"] or {}).get("template_hash"),
    )


def _stays(body: Mapping[str, Any]) -> tuple[Stay, ...]:
    """Return each weight with the time until the next one, the way back, or the end."""
    last = datetime.fromisoformat(body["ended"])
    if body["rollbacks"]:
        last = datetime.fromisoformat(body["rollbacks"][0]["started"]["at"])
    begun = [(None if each["final"] else each["asked"], each) for each in body["weights"]]
    times = [datetime.fromisoformat(each["at"]) for _, each in begun]
    return tuple(
        Stay(weight=weight, since=since, until=until, actual_percent=each["actual_percent"])
        for (weight, each), since, until in zip(begun, times, [*times[1:], last], strict=False)
    )


def _new_hash(body: Mapping[str, Any]) -> str | None:
    """Return the hash of the version that was deployed: as its gates named it, or as it was last seen."""
    found = next((gate["template_hash"] for gate in body["gates"] if gate.get("template_hash")), None)
    return found or (body["traffic"] or {}).get("current_hash")
