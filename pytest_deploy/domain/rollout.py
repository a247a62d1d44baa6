"""What is observed of a release: its rollout, its pods, its Helm revisions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

__all__ = [
    "Account",
    "ClusterIdentity",
    "HelmRevision",
    "HelmVersion",
    "KnownGood",
    "Permission",
    "Phase",
    "Pod",
    "RolloutState",
    "Step",
    "Version",
]

CANARY_PAUSE = "CanaryPauseStep"
"""The one pause reason that a deploy may end; all others belong to somebody else."""


class Phase(StrEnum):
    """The rollout's phase as its controller words it."""

    HEALTHY = "Healthy"
    PAUSED = "Paused"
    PROGRESSING = "Progressing"
    DEGRADED = "Degraded"
    UNKNOWN = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of the Rollout's own canary strategy.

    Args:
        weight: percent, for a ``setWeight`` step; None for every other kind.
        pause_s: seconds, for a ``pause`` that ends by itself; None for an indefinite pause or another kind.
        kind: ``setWeight``, ``pause``, ``analysis``, ``setCanaryScale`` ... as the API names it.
    """

    kind: str
    weight: int | None = None
    pause_s: float | None = None

    @property
    def holds(self) -> bool:
        """Whether the controller waits here until somebody promotes."""
        return self.kind == "pause" and self.pause_s is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One ReplicaSet of the rollout: what runs, and how much of it.

    Args:
        template_hash: the pod-template hash that its pods carry as a label.
        image: the image reference in its pod template.
        wanted, ready: pods asked for, and pods that are Ready.
    """

    template_hash: str
    image: str
    wanted: int
    ready: int

    @property
    def digest(self) -> str | None:
        """``sha256:...`` of its image; None where the image is not pinned."""
        _, _, digest = self.image.partition("@")
        return digest or None


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutState:
    """One consistent look at a rollout and its ReplicaSets.

    Args:
        generation, observed_generation: of the spec, and the newest that the controller has seen.
        current_hash, stable_hash: pod-template hash of the spec as observed, and of what is fully promoted.
        step_index: index into ``steps``; None where the strategy has none.
        pauses: reasons of the pause conditions, in order.
        held_by_spec: somebody set ``spec.paused``; never ours to undo.
        weight_percent: the share that really goes to the current version: the traffic router's weight,
            or ready canary pods of all ready pods where there is no router.
        traffic_routed: a router sets weights exactly; else pods are counted.
        image: the image in ``spec.template``: what is wanted now.
        versions: every ReplicaSet that still wants or has pods.
        message: the controller's own words.
        written_by: who wrote the spec last, and when, as the API server knows it; "" where it does not say.
    """

    name: str
    uid: str
    generation: int
    observed_generation: int
    phase: Phase
    message: str
    aborted: bool
    held_by_spec: bool
    pauses: tuple[str, ...]
    steps: tuple[Step, ...]
    step_index: int | None
    current_hash: str
    stable_hash: str
    weight_percent: float
    traffic_routed: bool
    image: str
    replicas: int
    versions: tuple[Version, ...]
    written_by: str = ""

    @property
    def observed(self) -> bool:
        """Whether the controller has seen the newest spec; nothing else here is true before."""
        return self.observed_generation >= self.generation

    @property
    def promoted(self) -> bool:
        """Whether the wanted version is the stable one."""
        return bool(self.current_hash) and self.current_hash == self.stable_hash

    @property
    def at_our_pause(self) -> bool:
        """Whether it waits at a pause step of its own strategy, and at nothing else."""
        return self.phase is Phase.PAUSED and self.pauses == (CANARY_PAUSE,) and not self.held_by_spec

    def version(self, template_hash: str) -> Version | None:
        """Return the version with this hash; None when no pod of it is wanted or left."""
        return next((v for v in self.versions if v.template_hash == template_hash), None)

    @property
    def stable(self) -> Version | None:
        """The version that is fully promoted."""
        return self.version(self.stable_hash)

    @property
    def words(self) -> str:
        """The state in one line for logs, waits and error messages."""
        pods = ", ".join(f"{v.template_hash or '?'} {v.ready}/{v.wanted} ready" for v in self.versions)
        where = f" at step {self.step_index}" if self.step_index is not None else ""
        why = f" ({', '.join(self.pauses) or self.message})" if self.pauses or self.message else ""
        return f"{self.phase or 'no phase'}{where}{why}, weight {self.weight_percent:.0f} %, pods: {pods or 'none'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """One pod, as far as a deploy looks at it.

    Args:
        template_hash: of the version that it belongs to; "" where it has no such label.
        image: in its spec; image_id: what the kubelet says it runs, "" before it runs.
        trouble: why it can't start ("CrashLoopBackOff: back-off 10s ..."); "" when nothing is wrong.
    """

    name: str
    template_hash: str
    image: str
    image_id: str
    ready: bool
    trouble: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HelmRevision:
    """One line of ``helm history``.

    Args:
        status: ``deployed``, ``superseded``, ``failed``, ``pending-upgrade`` ... as Helm words it.
    """

    number: int
    status: str
    description: str = ""
    updated: str = ""

    @property
    def pending(self) -> bool:
        """Whether an operation was begun and never ended: Helm refuses every other one."""
        return self.status.startswith("pending-")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class HelmVersion:
    """Helm's version: the flags of an upgrade depend on its major."""

    major: int
    minor: int
    patch: int = 0

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterIdentity:
    """Which cluster answers: a context's name proves nothing.

    Args:
        version: as the server says it, ``v1.34.4``.
        uid: of the namespace ``kube-system``; None where it may not be read.
        ca: SHA-256 of the kubeconfig's certificate authority in hexadecimal, which the server's certificate was
            checked against; None where the machine's own authorities vouch for it.
    """

    server: str
    version: str
    uid: str | None
    ca: str | None = None

    @property
    def minor(self) -> tuple[int, int] | None:
        """Major and minor version; None where the server says something else."""
        found = re.match(r"v?(\d+)\.(\d+)", self.version)
        return (int(found[1]), int(found[2])) if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who we are to the API server.

    Args:
        user, groups: as the server names us; "" and () where it does not tell.
        expires: when the credentials end and nothing renews them; None: never, they are renewed, or nobody knows.
    """

    user: str
    groups: tuple[str, ...]
    expires: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """One verb on one resource, as RBAC asks for it.

    Args:
        resource: plural, with its subresource: ``rollouts/status``.
        namespace: "" is the whole cluster.
        name: of one object; "": any.
    """

    verb: str
    group: str
    resource: str
    namespace: str
    name: str = ""

    def __str__(self) -> str:
        group = f".{self.group}" if self.group else ""
        name = f" {self.name}" if self.name else ""
        return f"{self.verb} {self.resource}{group}{name} in {self.namespace or 'the whole cluster'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownGood:
    """What ran before the deploy, captured in pre-flight: the one target of every way back.

    Args:
        revision: Helm revision; None where no Helm release owns the rollout.
        image: the image reference of the stable pod template.
        template_hash: its pod-template hash.
    """

    revision: int | None
    image: str
    template_hash: str
