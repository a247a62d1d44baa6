"""The report that a deploy in the cluster leaves: a ConfigMap of its own, as much as fits."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_deploy.errors import Faulted

if TYPE_CHECKING:
    from pytest_deploy.domain.action import Json

__all__ = ["Left", "read_report", "report_map", "report_name"]

LIMIT_BYTES = 700 * 1024
"""Packed; with base64 and names it stays below what the API server takes (1 MiB of data)."""
_FIRST = ("deploy-note.md", "deploy.json", "report.html", "journal.jsonl")
"""The most telling first: where not all fits, measurements and plots go."""
_PACKED = ".gz"
_SLASH = "__"
"""A key of a ConfigMap has no slash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What a deploy left.

    Args:
        status: its exit status.
        deploy_id: as its journal and its note call it; "" where it never began.
        files: content by name.
        left_out: names of what did not fit.
    """

    status: int
    deploy_id: str
    files: Mapping[str, bytes]
    left_out: tuple[str, ...]


def report_name(job: str) -> str:
    """Return the name of the ConfigMap of a Job."""
    return f"{job}-report"


def report_map(
    job: str, namespace: str, uid: str, labels: Mapping[str, Json], *, status: int, folder: Path | None
) -> dict[str, Json]:
    """Return the ConfigMap, which goes with the Job.

    Args:
        uid: the Job's.
        folder: the deploy's reports; None: it wrote none.
    """
    data: dict[str, Json] = {"status": str(status), "deploy-id": folder.name if folder else ""}
    binary: dict[str, Json] = {}
    left_out: list[str] = []
    room = LIMIT_BYTES
    for name, path in _ordered(folder):
        packed = gzip.compress(path.read_bytes(), mtime=0)
        if len(packed) > room:
            left_out.append(name)
            continue
        room -= len(packed)
        binary[name.replace("/", _SLASH) + _PACKED] = base64.b64encode(packed).decode()
    data["left-out"] = "\n".join(left_out)
    owner: dict[str, Json] = {"apiVersion": "batch/v1", "kind": "Job", "name": job, "uid": uid}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": report_name(job),
            "namespace": namespace,
            "labels": {**labels},
            "ownerReferences": [owner],
        },
        "data": data,
        "binaryData": binary,
    }


def read_report(body: Mapping[str, Any]) -> Left:
    """Return what the ConfigMap holds.

    Raises:
        Faulted: it is not one that ``report_map`` made.
    """
    try:
        data = body["data"]
        files = {
            key.removesuffix(_PACKED).replace(_SLASH, "/"): gzip.decompress(base64.b64decode(content))
            for key, content in (body.get("binaryData") or {}).items()
        }
        return Left(
            status=int(data["status"]),
            deploy_id=data["deploy-id"],
            files=files,
            left_out=tuple(data["left-out"].splitlines()),
        )
    except (KeyError, TypeError, ValueError, OSError, EOFError) as error:
        name = (body.get("metadata") or {}).get("name")
        raise Faulted(f"ConfigMap {name} is no report of a deploy: {error!r}", hint="did somebody edit it?") from error


def _ordered(folder: Path | None) -> Iterator[tuple[str, Path]]:
    if folder is None:
        return
    found = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    rest = [name for name in found if name not in _FIRST and not name.startswith("allure-results/")]
    for name in (*_FIRST, *rest):
        if name in found:
            yield name, found[name]
