"""Walks through JSON as the Kubernetes API gives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from pytest_deploy.domain.action import Json

__all__ = ["at", "items"]


def at(node: Json | Mapping[str, Json], *path: str) -> Json:
    """Return what lies at the path; None where a part of it is missing."""
    current: object = node
    for key in path:
        current = current.get(key) if isinstance(current, Mapping) else None
    return cast("Json", current)


def items(node: Json) -> Sequence[Json]:
    """Return a list's items; () for anything else."""
    return node if isinstance(node, list | tuple) else []
