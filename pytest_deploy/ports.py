"""What the engine needs of the world; adapters and the rehearsal implement it, the same tests hold both.

A port that is None in ``Ports`` is a capability that is off: deploy.yaml has no section for it.
The cluster, Helm, traffic and metrics can't be off.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from pytest_deploy.domain.action import (
    Action,
    HelmRollback,
    HelmUninstall,
    HelmUpgrade,
    Json,
    RolloutPatch,
    Target,
)
from pytest_deploy.domain.fault import Fault
from pytest_deploy.domain.found import Attachment, Found
from pytest_deploy.domain.journal import Entry
from pytest_deploy.domain.lock import Holder
from pytest_deploy.domain.measurement import Objective, Reading, Subject
from pytest_deploy.domain.permissions import Resource
from pytest_deploy.domain.policy import Decision
from pytest_deploy.domain.release import Environment
from pytest_deploy.domain.rollout import (
    Account,
    ClusterIdentity,
    HelmRevision,
    HelmVersion,
    Permission,
    Pod,
    RolloutState,
)
from pytest_deploy.tool_ports import (
    CAPABILITIES,
    Approvals,
    Builder,
    Capability,
    GitOps,
    Images,
    Records,
    Signer,
    Stack,
)

__all__ = [
    "CAPABILITIES",
    "Approvals",
    "Attachment",
    "Builder",
    "Capability",
    "Clock",
    "Cluster",
    "Faults",
    "Found",
    "GitOps",
    "Helm",
    "Images",
    "Journal",
    "Load",
    "Lock",
    "Metrics",
    "Ports",
    "Records",
    "ScriptResult",
    "Scripts",
    "Signer",
    "Stack",
    "Traffic",
]


class Clock(Protocol):
    """Time, so that a 35-minute canary can be tested in milliseconds."""

    def now(self) -> datetime:
        """Return the time in UTC, aware."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        ...

    def sleep(self, duration: timedelta) -> None:
        """Wait; a signal that asks to stop ends the wait with DeployCancelled."""
        ...


class Journal(Protocol):
    """Durable record of intents: when ``append`` returns, the entry survives the process."""

    def append(self, entry: Entry) -> None:
        """Store one entry; raises DeployError when it can't, and then nothing may be mutated."""
        ...

    def entries(self) -> Sequence[Entry]:
        """Return all entries of this deploy, in order."""
        ...

    def decision(self, hold: int) -> Decision | None:
        """Return what a person has decided about the hold with this sequence number; None: nothing yet.

        Raises:
            DeployError: the journal can't be read.
        """
        ...


class Lock(Protocol):
    """One deploy at a time changes a workload; whoever was it before is kept out by the fence.

    While it is held it is renewed in the background. It is held by this object, not by its deploy's id: of two that
    recover the same deploy only one holds it.
    """

    def look(self) -> Holder | None:
        """Return who holds it now; None: it is free. Raises DeployError where that can't be read."""
        ...

    def acquire(self, *, takeover: bool = False) -> int:
        """Take it, put its fence on the Rollout, and return the fence; held already, nothing is done.

        Args:
            takeover: for ``recover``: an expired one is taken from its holder, whatever is open.

        Raises:
            LockHeld: it is held by another that lives, or that has expired and left its deploy open.
            DeployError: it can't be written.
        """
        ...

    def check(self) -> None:
        """Make sure that it is ours still: asked before everything that is written.

        Costs nothing as long as the last renewal is recent; else it is renewed now.

        Raises:
            LockLost: it is not, or nobody knows; from then on always.
        """
        ...

    def refence(self) -> int:
        """Take the next fence while we hold it, so that what we sent before and gave up is refused when it arrives.

        Raises:
            LockLost: it is not ours any more.
            DeployError: it can't be written.
        """
        ...

    def release(self) -> None:
        """Give it back where it is ours, else do nothing; raises DeployError where that can't be written."""
        ...

    def leave(self) -> None:
        """Stop renewing it, where it is ours, and let it expire within seconds: recover need not wait for our end.

        It stays ours for every other deploy, as long as the journal holds this one open. Where DeployError is raised
        it could not be written, and expires by itself.
        """
        ...

    @property
    def fence(self) -> int:
        """The number of our acquisition; raises LockLost where there was none."""
        ...


class Cluster(Protocol):
    """Reads of a Kubernetes cluster."""

    def identity(self, environment: Environment) -> ClusterIdentity:
        """Return which cluster answers; raises Unreachable, or Refused when its context does not exist."""
        ...

    def account(self, environment: Environment) -> Account:
        """Return who we are to its API server."""
        ...

    def denied(self, environment: Environment, permissions: Sequence[Permission]) -> tuple[Permission, ...]:
        """Return those of the permissions that this account does not have."""
        ...

    def objects(
        self, environment: Environment, resource: Resource, name: str = ""
    ) -> tuple[Mapping[str, Json], ...] | None:
        """Return the objects of a kind as the API gives them; () where there are none, or there is no such kind.

        None: this account may not read them.

        Args:
            name: of the one that is wanted; "": all of the environment's namespace.
        """
        ...

    def resources(
        self, environment: Environment, manifests: Sequence[Mapping[str, Json]]
    ) -> frozenset[tuple[str, str]]:
        """Return the kinds of the manifests as (API group, plural), as far as the API server serves them."""
        ...

    def pods(self, target: Target, service: str) -> tuple[Pod, ...]:
        """Return the pods of the rollout ``target``, their trouble told in Kubernetes' own words."""
        ...

    def blocked(self, target: Target) -> str:
        """Return why no more pods of the rollout can be created (a quota, a webhook), in the server's words; "": no."""
        ...

    def last_words(self, target: Target, pod: Pod) -> Found:
        """Return what a pod that does not serve says of itself: events, its probe's answer, the end of its log.

        The words are the most telling line, "" where there is none; the rest is attached.
        """
        ...


class Helm(Protocol):
    """Helm, either major."""

    def version(self) -> HelmVersion:
        """Return Helm's version; raises ToolMissing."""
        ...

    def history(self, release: Target) -> tuple[HelmRevision, ...]:
        """Return the revisions, oldest first; () where the release is not installed."""
        ...

    def render(self, upgrade: HelmUpgrade) -> tuple[Mapping[str, Json], ...]:
        """Return the manifests that the upgrade would apply; raises ToolFailed with Helm's words."""
        ...

    def manifest(self, release: Target) -> tuple[Mapping[str, Json], ...]:
        """Return the manifests of the revision that is deployed; () where there is none."""
        ...

    def crds(self, chart: str) -> tuple[Mapping[str, Json], ...]:
        """Return the CustomResourceDefinitions in the chart's ``crds/``, its dependencies' included.

        Helm installs them with the first revision, and never touches them again.
        """
        ...

    def record_size(self, upgrade: HelmUpgrade) -> int:
        """Return how many bytes Helm would store as the record of this revision; raises ToolFailed as ``render``."""
        ...

    def execute(self, action: HelmUpgrade | HelmRollback | HelmUninstall) -> str:
        """Do it and return Helm's words; raises ToolFailed, ToolTimedOut or ToolMissing.

        Raises Refused, before it does anything, when the release's last revision is not the action's base.
        """
        ...


class Traffic(Protocol):
    """What moves traffic between versions, by weight: the rollout and its controller."""

    def state(self, rollout: Target) -> RolloutState | None:
        """Return one look at the rollout; None where there is none."""
        ...

    def execute(self, patch: RolloutPatch) -> None:
        """Send the patch; raises Rejected when one of its tests no longer holds: nothing was written then."""
        ...

    def container_index(self, rollout: Target, container: str) -> int:
        """Return the container's position in the pod template; raises Refused when there is none."""
        ...


class Metrics(Protocol):
    """Where the numbers come from."""

    def now(self) -> datetime:
        """Return the server's own time: windows are cut by it, never by ours."""
        ...

    def read(self, objective: Objective, subject: Subject, since: datetime) -> Reading:
        """Return the counts from ``since`` until the server's now, at one timestamp.

        Raises:
            Unreachable, Faulted, Throttled, Rejected: there is no answer, or none that makes sense.
            MeasurementError: the query is wrong, it can never yield evidence.
        """
        ...

    def problems(self, objective: Objective, subject: Subject) -> Sequence[str]:
        """Return what would keep this objective from ever being judged, asked before anything is changed.

        An unknown metric or query, a label that is missing, no bucket that ends at the limit (with the bucket to
        add): each in words with its mend; () when it can be judged.

        Raises:
            RemoteError, MeasurementError: as ``read``.
        """
        ...

    @property
    def scrape_interval(self) -> timedelta:
        """How often the server takes samples."""
        ...

    @property
    def tells_versions_apart(self) -> bool:
        """Whether a version has series of its own; else only the whole service can be read."""
        ...


class Scripts(Protocol):
    """Runs a team's own gate program: ``./scripts/check-slo.sh <service> <step-percent>``."""

    def check(self, path: str, service: str, weight_percent: int) -> ScriptResult:
        """Run it and return how it ended; raises Refused, ToolMissing or ToolTimedOut: no verdict, never a yes."""
        ...


class Load(Protocol):
    """Makes requests for services that have too little traffic of their own."""

    def start(self, label: str) -> None:
        """Begin; each request carries the label. Raises DeployError where it can't begin."""
        ...

    def stop(self) -> str:
        """End, and return in words what was sent and how it was answered; "" when nothing ran."""
        ...


class Faults(Protocol):
    """Makes things go wrong; the rehearsal and the sandbox have it, the real world lacks it."""

    def inject(self, fault: Fault) -> None:
        """Let the fault begin as its text says; raises Refused when this world can't play it."""
        ...

    def moment(self, name: str) -> None:
        """Say what begins now (a scenario's title, ``25%``, ``mid-window at 25%``): faults that wait for it begin."""
        ...

    def end(self) -> None:
        """End all faults, so that what they broke can be mended."""
        ...

    def began(self, fault: Fault) -> datetime | None:
        """Return when the fault first showed in what can be measured; None before."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptResult:
    """How a gate's program ended: 0 says that the SLO holds, 1 that it does not, all else that it can't tell.

    Args:
        words: the last lines that it printed.
        command: as it was run.
    """

    status: int
    words: str
    command: str


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Everything a deploy may touch.

    Args:
        builder: None: the image is given by digest.
        images: None: the registry is not asked whether the image of the way back is still there.
        signer: None: images are neither signed nor verified.
        approvals: None: nobody is asked.
        stack: None: nothing else can be there.
        gitops: None: this deploy installs by itself.
        records: None: no evidence is kept with the image, or looked for there.
        capabilities: by section name of deploy.yaml; one that is absent is off.
        faults: None in the real world.
        load: None: the service's own traffic alone is judged.
        lock: None: nobody else can reach this world.
        of_deploy: gives the same ports with the journal and the lock of another deploy of this workload, by its id;
            None: there can be no other.
        helm_binary: as commands show it.
    """

    clock: Clock
    journal: Journal
    cluster: Cluster
    helm: Helm
    traffic: Traffic
    metrics: Metrics
    builder: Builder | None = None
    images: Images | None = None
    signer: Signer | None = None
    records: Records | None = None
    approvals: Approvals | None = None
    stack: Stack | None = None
    gitops: GitOps | None = None
    capabilities: Mapping[str, Capability] = field(default_factory=dict)
    faults: Faults | None = None
    scripts: Scripts | None = None
    load: Load | None = None
    lock: Lock | None = None
    of_deploy: Callable[[str], Ports] | None = None
    helm_binary: str = "helm"

    def describe(self, action: Action) -> str:
        """Return the action as one line that a person could run."""
        if isinstance(action, HelmUpgrade | HelmRollback | HelmUninstall):
            return shlex.join(action.argv(self.helm_binary, self.helm.version()))
        if isinstance(action, RolloutPatch):
            return shlex.join(action.argv())
        return f"# {action.system}: {action.summary}"
