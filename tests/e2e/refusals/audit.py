"""The API server's own log of who asked it for what: the judge of whether a deploy has written anything."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_deploy.domain.lock import FENCE
from pytest_deploy.sandbox.tools import toolbox
from tests.e2e.oracle import SERVICE

Event = Mapping[str, Any]

# Of accounts alone: controllers write all the time. The body of a patch says whether it was but the lock's fence.
_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [ResponseStarted]
rules:
  - level: Request
    userGroups: [system:serviceaccounts]
    verbs: [patch]
    resources: [{group: argoproj.io, resources: [rollouts]}]
  - level: Metadata
    userGroups: [system:serviceaccounts]
  - level: None
"""
_READS = frozenset({"get", "list", "watch"})
_BESIDE = {f"leases/deploy-{SERVICE}", f"configmaps/deploy-journal-{SERVICE}", "leases/", "configmaps/"}
"""Lock and journal; a create may name its object in the body alone."""


def audited(folder: Path) -> str:
    """Return a PATH whose kwokctl lets the API server write an audit log, as its own option is made for."""
    (folder / "audit-policy.yaml").write_text(_POLICY)
    programs = folder / "programs"
    programs.mkdir()
    kwokctl = programs / "kwokctl"
    real, policy = toolbox().need("kwokctl"), folder / "audit-policy.yaml"
    kwokctl.write_text(
        f'#!/bin/sh\n[ "$1" = create ] && exec {real} "$@" --kube-audit-policy={policy}\nexec {real} "$@"\n'
    )
    kwokctl.chmod(0o755)
    return f"{programs}{os.pathsep}{os.environ['PATH']}"


@dataclass(frozen=True, kw_only=True)
class AuditLog:
    """The log of a sandbox that was made by ``audited``; the server writes each line before it answers."""

    path: Path

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> AuditLog:
        """Return that of the sandbox that ``pytest-deploy sandbox up --json`` tells."""
        return cls(path=Path(facts["kwok_workdir"]) / "clusters" / facts["name"] / "logs" / "audit.log")

    def mark(self) -> int:
        """Return the place up to which it is written now."""
        return self.path.stat().st_size

    def since(self, mark: int, user: str) -> tuple[Event, ...]:
        """Return what this user asked for since; one that is not answered yet counts, too."""
        requests: dict[str, dict[str, Any]] = {}
        with self.path.open("rb") as log:
            log.seek(mark)
            for line in log:
                event = json.loads(line)
                if event["user"]["username"] == user:
                    requests.setdefault(event["auditID"], {}).update(event)
        return tuple(requests.values())


def writes(events: Iterable[Event], namespace: str) -> Iterator[str]:
    """Yield each request that writes in the namespace, or was to; a trial run (dryRun) writes nothing."""
    for event in events:
        where = event.get("objectRef", {})
        if event["verb"] in _READS or where.get("namespace") != namespace or "dryRun=" in event["requestURI"]:
            continue
        yield f"{event['verb']} {_name(where)}"


def beyond_records(events: Iterable[Event], namespace: str) -> Iterator[str]:
    """Yield the same without lock and journal, which a deploy keeps beside the workload from its first act on."""
    for event in events:
        for text in writes([event], namespace):
            if _name(event["objectRef"]) not in _BESIDE and not _is_fence(event):
                yield text


def _name(where: Mapping[str, str]) -> str:
    resource = "/".join(filter(None, (where["resource"], where.get("subresource", ""))))
    return f"{resource}/{where.get('name', '')}"


def _is_fence(event: Event) -> bool:
    """Whether it is a patch of the Rollout that writes the fence and nothing else."""
    changes = event.get("requestObject")
    written = [each for each in changes if each.get("op") != "test"] if isinstance(changes, list) else []
    field = f"/metadata/annotations/{FENCE.replace('/', '~1')}"
    return event["verb"] == "patch" and [each["path"] for each in written] == [field]
