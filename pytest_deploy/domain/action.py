"""Actions: each mutation as a value that is planned, journalled, executed and undone.

The plan prints an action, the journal stores it, an adapter executes it, the
rehearsal applies it and ``recover`` interprets it. All of them use the argv or
patch that is rendered here, so that none can drift from the others.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TypeAlias

from pytest_deploy.domain.lock import FENCE
from pytest_deploy.domain.rollout import HelmVersion, KnownGood

__all__ = [
    "Action",
    "External",
    "HelmRollback",
    "HelmUninstall",
    "HelmUpgrade",
    "Json",
    "Purpose",
    "RolloutPatch",
    "Target",
    "Undo",
    "UndoKind",
]

_FENCE_PATH = "/metadata/annotations/" + FENCE.replace("/", "~1")

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where an action lands.

    Args:
        environment: its name in deploy.yaml.
        kubeconfig: path of the kubeconfig; None: the usual places.
        name: of the Helm release or of the rollout.
    """

    environment: str
    context: str
    namespace: str
    name: str
    kubeconfig: str | None = None

    def __str__(self) -> str:
        return f"{self.name} in {self.context}/{self.namespace}"


class UndoKind(StrEnum):
    """How a mutation is taken back."""

    RESTORE_CANARY = "restore-canary"
    """Traffic to the stable version, then release and template to the known-good revision."""
    RESTORE_RELEASE = "restore-release"
    """``helm rollback`` to the known-good revision."""
    UNINSTALL = "uninstall"
    """There was no release before: remove it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo:
    """How to take a mutation back; journalled with the intent, before anything is done.

    Args:
        release: the Helm release; None where no release owns the rollout.
        rollout: the rollout; None where the release has none.
        container: the container that carries the image.
        known_good: where to go back to; None only for ``UNINSTALL``.
    """

    kind: UndoKind
    release: Target | None
    rollout: Target | None
    container: str
    known_good: KnownGood | None
    timeout: timedelta


def _kube_flags(target: Target) -> tuple[str, ...]:
    config = ("--kubeconfig", target.kubeconfig) if target.kubeconfig else ()
    return (*config, "--kube-context", target.context, "--namespace", target.namespace)


def _apply_flags(version: HelmVersion) -> tuple[str, ...]:
    """Return what keeps Helm 4 off fields that the rollout's controller owns.

    A release that Helm 4 installed is applied on the server's side from then on, and conflicts with the controller
    over the selectors of the stable and canary Services: the upgrade fails, and so does its rollback. A merge on the
    client's side leaves what the chart did not change alone, as Helm 3 always did. Seen on Helm 4.2.3.
    """
    return ("--server-side=false",) if version.major >= 4 else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HelmUpgrade:
    """``helm upgrade --install`` with atomic semantics; with a Rollout in the chart it starts the canary.

    Args:
        values_files: paths, later ones win.
        values: ``--set-json`` style pairs of dotted key and JSON text.
        base_revision: the release's last revision that was seen before; 0 where it is not installed.
        timeout: Helm's own, for each of its operations.
        labels: written on the revision where Helm can (3.13 and later).
    """

    target: Target
    chart: str
    values_files: tuple[str, ...]
    values: tuple[tuple[str, str], ...]
    base_revision: int
    timeout: timedelta
    labels: tuple[tuple[str, str], ...] = ()

    def argv(self, helm: str, version: HelmVersion) -> tuple[str, ...]:
        """Return the command.

        Helm 3: ``--atomic --wait`` takes a custom resource as ready at once. Helm 4's watcher calls a paused
        Rollout unknown and would revert a good canary, even with ``--wait=hookOnly``: only the legacy waiter
        keeps the atomic guarantee (https://github.com/helm/helm/issues/32615).
        """
        atomic = ("--atomic", "--wait") if version.major < 4 else ("--rollback-on-failure", "--wait=legacy")
        labels = ",".join(f"{k}={v}" for k, v in self.labels)
        can_label = labels and (version.major, version.minor) >= (3, 13)
        return (
            helm, "upgrade", self.target.name, self.chart, "--install",
            *_kube_flags(self.target),
            *atomic,
            *_apply_flags(version),
            "--timeout", f"{int(self.timeout.total_seconds())}s",
            *(part for path in self.values_files for part in ("--values", path)),
            *(part for key, value in self.values for part in ("--set-json", f"{key}={value}")),
            *(("--labels", labels) if can_label else ()),
            "--output", "json",
        )  # fmt: skip

    def render_argv(self, helm: str) -> tuple[str, ...]:
        """Return ``helm template`` of the same chart and values: what the upgrade would apply."""
        return (
            helm, "template", self.target.name, self.chart,
            *_kube_flags(self.target),
            *(part for path in self.values_files for part in ("--values", path)),
            *(part for key, value in self.values for part in ("--set-json", f"{key}={value}")),
        )  # fmt: skip

    @property
    def summary(self) -> str:
        """What it does, in a line."""
        return f"helm upgrade of {self.target} (revision {self.base_revision} -> {self.base_revision + 1})"


@dataclass(frozen=True, slots=True, kw_only=True)
class HelmRollback:
    """``helm rollback`` to a named revision: Helm's own default, the one before, may be a failed one.

    Args:
        revision: the target; always explicit.
        timeout: Helm's own.
    """

    target: Target
    revision: int
    timeout: timedelta

    def argv(self, helm: str, version: HelmVersion) -> tuple[str, ...]:
        """Return the command; nothing is waited for by Helm, the rollout is watched by us."""
        return (
            helm, "rollback", self.target.name, str(self.revision),
            *_kube_flags(self.target),
            *_apply_flags(version),
            "--timeout", f"{int(self.timeout.total_seconds())}s",
        )  # fmt: skip

    @property
    def summary(self) -> str:
        """What it does, in a line."""
        return f"helm rollback of {self.target} to revision {self.revision}"


@dataclass(frozen=True, slots=True, kw_only=True)
class HelmUninstall:
    """``helm uninstall``: the way back of a first install."""

    target: Target
    timeout: timedelta

    def argv(self, helm: str, version: HelmVersion) -> tuple[str, ...]:
        """Return the command; it waits until the resources are gone."""
        del version
        return (
            helm, "uninstall", self.target.name, *_kube_flags(self.target), "--wait",
            "--timeout", f"{int(self.timeout.total_seconds())}s",
        )  # fmt: skip

    @property
    def summary(self) -> str:
        """What it does, in a line."""
        return f"helm uninstall of {self.target}"


class Purpose(StrEnum):
    """What a patch of a rollout is for."""

    PROMOTE = "promote"
    ABORT = "abort"
    PROMOTE_FULL = "promote-full"
    SET_IMAGE = "set-image"


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutPatch:
    """A JSON Patch of a rollout that the server refuses unless what must hold before still holds.

    Args:
        before: JSON pointer and value (as JSON text) of each ``test`` operation, in order.
        change: JSON pointer and value (as JSON text) of each field that is written.
        on_status: the patch goes to the ``status`` subresource.
        after: in words, what must be seen.
        fence: the number of the lock under which it is sent, tested first; None: a person's, who needs no lock.
    """

    target: Target
    purpose: Purpose
    before: tuple[tuple[str, str], ...]
    change: tuple[tuple[str, str], ...]
    on_status: bool
    after: str
    fence: str | None = None

    @property
    def tests(self) -> tuple[tuple[str, str], ...]:
        """JSON pointer and value (as JSON text) of all that must hold, the fence before all."""
        fence = () if self.fence is None else ((_FENCE_PATH, json.dumps(self.fence)),)
        return (*fence, *self.before)

    def document(self) -> list[dict[str, Json]]:
        """Return the JSON Patch (RFC 6902): the tests first, so that nothing is written when one fails."""
        tests: list[dict[str, Json]] = [
            {"op": "test", "path": path, "value": json.loads(value)} for path, value in self.tests
        ]
        writes: list[dict[str, Json]] = [
            {"op": "add", "path": path, "value": json.loads(value)} for path, value in self.change
        ]
        return tests + writes

    def argv(self, kubectl: str = "kubectl") -> tuple[str, ...]:
        """Return the same patch as a kubectl command: for the plan, and for a human who must go on by hand."""
        target = self.target
        config = ("--kubeconfig", target.kubeconfig) if target.kubeconfig else ()
        status = ("--subresource", "status") if self.on_status else ()
        return (
            kubectl, *config, "--context", target.context, "--namespace", target.namespace,
            "patch", "rollouts.argoproj.io", target.name, *status,
            "--type", "json", "--patch", json.dumps(self.document(), separators=(",", ":")),
        )  # fmt: skip

    @property
    def summary(self) -> str:
        """What it does, in a line."""
        return f"{self.purpose} {self.target}: {self.after}"


@dataclass(frozen=True, slots=True, kw_only=True)
class External:
    """A mutation outside the cluster: an image pushed, a ticket closed, a note posted.

    Args:
        system: ``registry``, ``tickets``, ``chat`` ...
        summary: what it does, in a line.
        payload: what is sent, as text without secrets.
    """

    system: str
    summary: str
    payload: str = ""


Action: TypeAlias = HelmUpgrade | HelmRollback | HelmUninstall | RolloutPatch | External
