"""Named queries: numbers beside error rate and latency that a gate can limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["ALERTS", "MEMORY", "RESTARTS", "THROTTLING", "UNITS", "Query"]

THROTTLING = "CPU throttling"
MEMORY = "memory use"
RESTARTS = "container restarts"
ALERTS = "firing alerts"
"""The names of the queries that ship; a team's query of the same name replaces one."""

UNITS: Mapping[str, str] = MappingProxyType({THROTTLING: "%", MEMORY: "%", RESTARTS: "", ALERTS: ""})
"""Their units."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A question to the metrics' server that yields one number.

    Args:
        text: in the server's own language; the tokens ``{service}``, ``{version}``, ``{namespace}``, ``{workload}``
            and ``{window}`` are replaced, all other braces stay.
        unit: of the number, as gates and reports write it; "%" where it is a ratio from 0 to 1; "" for none.
    """

    name: str
    text: str
    unit: str = ""
