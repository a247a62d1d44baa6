"""The one fault grammar of option, step and fixture.

``<what> [<amount>] [at <weight> | from <moment> | for <duration>]``, for example
``error rate 5% at 25%``, ``p95 latency 900ms at 50%``, ``prometheus down``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from pytest_deploy.domain.quantity import parse_duration, parse_latency, parse_ratio, parse_weight

__all__ = ["Fault", "FaultKind", "parse_fault"]


class FaultKind(StrEnum):
    """Everything that can be made to go wrong."""

    ERROR_RATE = "error rate"
    P95_LATENCY = "p95 latency"
    NO_DATA = "no data"
    STALE_DATA = "stale data"
    PODS_CRASH = "pods crash"
    PODS_NEVER_READY = "pods never ready"
    IMAGE_MISSING = "image missing"
    PROMETHEUS_DOWN = "prometheus down"
    PROMETHEUS_SLOW = "prometheus slow"
    API_SERVER_SLOW = "api server slow"
    HELM_UPGRADE_FAILS = "helm upgrade fails"
    PROMOTE_REFUSED = "promote refused"
    ROLLBACK_FAILS = "rollback fails"
    REGISTRY_DOWN = "registry down"
    SCANNER_DOWN = "scanner down"
    INCIDENT_OPEN = "incident open"
    APPROVAL_DENIED = "approval denied"
    NOTIFIER_DOWN = "notifier down"


_AMOUNTS = {FaultKind.ERROR_RATE: "a share, like 5%", FaultKind.P95_LATENCY: "a time, like 900ms"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong, from when and for how long.

    Args:
        amount: a ratio for an error rate, seconds for a latency, None for all others.
        at_percent: it begins when the canary has this weight, and stays; None: see ``from_moment``.
        from_moment: ``now``, or the name of a phase ("staging"); it begins there.
        lasts: it ends by itself after this time; None: it stays.
        text: as it was written.
    """

    kind: FaultKind
    text: str
    amount: float | None = None
    at_percent: int | None = None
    from_moment: str = "now"
    lasts: timedelta | None = None


_SHAPE = re.compile(
    r"(?P<what>{kinds})(?:\s+(?P<amount>[\d.]+\s*[a-z%]+))?"
    r"(?:\s+at\s+(?P<at>[\d.]+\s*%)|\s+from\s+(?P<moment>\S.*?)|\s+for\s+(?P<lasts>\S.*?))?".format(
        kinds="|".join(re.escape(k) for k in sorted(FaultKind, key=len, reverse=True))
    ),
    re.IGNORECASE,
)


def parse_fault(text: str) -> Fault:
    """Return the fault that a text of the grammar names.

    Raises:
        ValueError: it names none, or its amount is missing, has no unit or belongs to no fault of this kind.
    """
    clean = " ".join(text.split())
    match = _SHAPE.fullmatch(clean)
    if match is None:
        known = ", ".join(FaultKind)
        shape = "<what> [<amount>] [at <weight> | from <moment> | for <duration>]"
        msg = f"unknown fault {text!r}: {shape}, with what one of: {known}"
        raise ValueError(msg)
    kind = FaultKind(match["what"].lower())
    amount_text = match["amount"]
    if (amount_text is None) == (kind in _AMOUNTS):
        need = f"needs {_AMOUNTS[kind]}" if kind in _AMOUNTS else f"takes no amount, but {amount_text!r} was given"
        msg = f"fault {text!r}: {kind} {need}"
        raise ValueError(msg)
    amount = None
    if amount_text is not None:
        amount = (
            parse_ratio(amount_text) if kind is FaultKind.ERROR_RATE else parse_latency(amount_text).total_seconds()
        )
    return Fault(
        kind=kind,
        text=clean,
        amount=amount,
        at_percent=parse_weight(match["at"]) if match["at"] else None,
        from_moment=match["moment"] or "now",
        lasts=parse_duration(match["lasts"]) if match["lasts"] else None,
    )
