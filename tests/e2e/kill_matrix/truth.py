"""What kubectl and Helm say of a release, its journal and its lock; none of our own code reads or judges here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.e2e.oracle import SERVICE, Place

__all__ = ["Deploy", "Lease", "Truth", "deploys", "lease", "look"]

JOURNAL = f"deploy-journal-{SERVICE}"
LEASE = f"deploy-{SERVICE}"
FENCE = "pytest-deploy.dev/fence"


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What a namespace serves.

    Args:
        wanted: digest in the Rollout's pod template.
        stable: digest of the ReplicaSet that the controller holds for the stable one.
        running: ready pods by digest; those that are not ready, or are going, under another name.
        resting: what keeps it from being at rest; "" where it is.
        services: of each that selects one version, whether it is the stable one.
        helm: number, status and description of each revision, the oldest first.
        deployed: digest in the manifest of Helm's last revision.
        fence: as it stands on the Rollout; None: none does.
        moves: all that a deploy could have written; equal before and after, nothing was.
    """

    wanted: str
    stable: str
    running: dict[str, int]
    replicas: int
    resting: str
    services: dict[str, bool]
    helm: tuple[tuple[int, str, str], ...]
    deployed: str
    fence: str | None
    moves: object


@dataclass(frozen=True, kw_only=True)
class Deploy:
    """A deploy as the journal in the cluster has it.

    Args:
        entries: as they were written, parsed from JSON.
    """

    deploy_id: str
    entries: tuple[Any, ...]

    @property
    def milestones(self) -> list[str]:
        """Each milestone, in order."""
        return [entry["milestone"] for entry in self.entries if entry.get("milestone")]

    @property
    def closed(self) -> str | None:
        """With which words it was closed; None: it is open."""
        last = next((entry for entry in reversed(self.entries) if entry.get("milestone")), None)
        return last["observed"] if last is not None and last["milestone"] == "closed" else None

    @property
    def intents(self) -> list[tuple[str, str]]:
        """Environment and kind of each mutation that was begun."""
        return [_kind(entry["action"]) for entry in self.entries if entry["state"] == "intent"]

    @property
    def passes(self) -> list[datetime]:
        """When each gate of the canary passed."""
        judged = [entry for entry in self.entries if entry.get("milestone") == "judged"]
        return [datetime.fromisoformat(entry["at"]) for entry in judged if "PASS" in entry["observed"]]


@dataclass(frozen=True, kw_only=True)
class Lease:
    """The lock.

    Args:
        expired: nobody has renewed it for as long as it is good, as everybody sees it; also where nobody holds it.
    """

    holder: str
    expired: bool
    transitions: int
    version: str


def look(place: Place) -> Truth:
    """Look at a namespace once."""
    rollout = place.rollout()
    spec, status, metadata = rollout["spec"], rollout.get("status", {}), rollout["metadata"]
    items = json.loads(place.kubectl("get", "replicasets,services,pods", "-o", "json"))["items"]
    sets = [it for it in items if it["kind"] == "ReplicaSet"]
    digests = {it["metadata"]["labels"]["rollouts-pod-template-hash"]: _digest(it["spec"]["template"]) for it in sets}
    history = tuple(place.history())
    resting = [
        word
        for word, holds in (
            ("spec not observed", status.get("observedGeneration") != str(metadata["generation"])),
            ("not promoted", status.get("stableRS") != status.get("currentPodHash")),
            ("aborted", status.get("abort")),
            ("paused", status.get("pauseConditions") or spec.get("paused")),
            (f"phase {status.get('phase')}", status.get("phase") != "Healthy"),
        )
        if holds
    ]
    resting += [
        f"ReplicaSet {it['metadata']['name']} wants {it['spec']['replicas']}"
        for it in sets
        if it["spec"]["replicas"] and it["metadata"]["labels"]["rollouts-pod-template-hash"] != status.get("stableRS")
    ]
    selected = {
        it["metadata"]["name"]: it["spec"]["selector"]["rollouts-pod-template-hash"] == status.get("stableRS")
        for it in items
        if it["kind"] == "Service" and "rollouts-pod-template-hash" in it["spec"]["selector"]
    }
    keys = ("abort", "promoteFull", "pauseConditions", "currentStepIndex", "currentPodHash", "stableRS")
    return Truth(
        wanted=_digest(spec["template"]),
        stable=digests.get(status.get("stableRS", ""), ""),
        running=_running([it for it in items if it["kind"] == "Pod"]),
        replicas=spec["replicas"],
        resting=", ".join(resting),
        services=selected,
        helm=history,
        deployed=_in_manifest(place.helm("get", "manifest", SERVICE)),
        fence=metadata.get("annotations", {}).get(FENCE),
        moves=(history, metadata["generation"], spec, {key: status.get(key) for key in keys}),
    )


def deploys(place: Place) -> dict[str, Deploy]:
    """Return each deploy in the journal beside the workload, by its id, the oldest first."""
    text = place.kubectl("get", "configmap", JOURNAL, "--ignore-not-found", "-o", "json")
    data = json.loads(text).get("data", {}) if text.strip() else {}
    found = {
        key.removesuffix(".entries"): tuple(json.loads(line) for line in lines.splitlines())
        for key, lines in data.items()
        if key.endswith(".entries")
    }
    return {each: Deploy(deploy_id=each, entries=found[each]) for each in sorted(found)}


def lease(place: Place) -> Lease | None:
    """Return the lock; None where there never was one."""
    text = place.kubectl("get", "lease", LEASE, "--ignore-not-found", "-o", "json")
    if not text.strip():
        return None
    it = json.loads(text)
    spec = it["spec"]
    renewed = spec.get("renewTime")
    # The API server tells its time in whole seconds, so that whoever asks it sees the end up to one later.
    good = timedelta(seconds=(spec.get("leaseDurationSeconds") or 0) + 1)
    alive = bool(renewed) and datetime.fromisoformat(renewed) + good > datetime.now(UTC)
    holder = spec.get("holderIdentity") or ""
    return Lease(
        holder=holder,
        expired=not (holder and alive),
        transitions=spec.get("leaseTransitions") or 0,
        version=it["metadata"]["resourceVersion"],
    )


def _kind(action: Any) -> tuple[str, str]:
    kinds = {"HelmUpgrade": "upgrade", "HelmRollback": "rollback", "HelmUninstall": "uninstall"}
    kind = action["type"]
    return action["target"]["environment"], kinds.get(kind) or action["purpose"]


def _running(pods: list[Any]) -> dict[str, int]:
    found: dict[str, int] = {}
    for pod in pods:
        conditions = pod["status"].get("conditions", ())
        ready = any((c["type"], c["status"]) == ("Ready", "True") for c in conditions)
        whole = ready and "deletionTimestamp" not in pod["metadata"]
        name = _digest(pod) if whole else f"not ready: {_digest(pod)}"
        found[name] = found.get(name, 0) + 1
    return found


def _digest(template: Any) -> str:
    return str(template["spec"]["containers"][0]["image"]).partition("@")[2]


def _in_manifest(text: str) -> str:
    """Return the digest of the one image in a manifest."""
    return next(iter(_images(text)), "")


def _images(text: str) -> Iterator[str]:
    for line in text.splitlines():
        key, _, value = line.strip().partition("image: ")
        if not key and value:
            yield value.strip('"').partition("@")[2]
