"""Helm's model: its release store, and what upgrade, rollback and uninstall do to it, failures included."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta

from pytest_deploy.domain.action import HelmRollback, HelmUninstall, HelmUpgrade, Json, Target
from pytest_deploy.domain.fault import FaultKind
from pytest_deploy.domain.rollout import HelmRevision, HelmVersion
from pytest_deploy.errors import Refused, ToolFailed
from pytest_deploy.rehearsal.chart import Spec
from pytest_deploy.rehearsal.clock import VirtualClock
from pytest_deploy.rehearsal.faults import Faults
from pytest_deploy.rehearsal.places import Place, Places, Revision

__all__ = ["RehearsedHelm", "changes", "record"]

_TAKES = timedelta(seconds=1.5)
_MAX_HISTORY = 10
_DENIED = "admission webhook denied the request (rehearsed)"


class RehearsedHelm:
    """Helm 4, over the rehearsal's environments."""

    def __init__(self, places: Places, faults: Faults, clock: VirtualClock) -> None:
        self._places = places
        self._faults = faults
        self._clock = clock

    def version(self) -> HelmVersion:
        """Return the Helm that is rehearsed."""
        return HelmVersion(major=4, minor=2, patch=3)

    def history(self, release: Target) -> tuple[HelmRevision, ...]:
        """Return the revisions, oldest first; () where the release is not installed."""
        self._faults.api_call()
        place = self._places.release(release)
        return tuple(
            HelmRevision(number=r.number, status=r.status, description=r.description, updated=r.updated)
            for r in (place.revisions if place else ())
        )

    def render(self, upgrade: HelmUpgrade) -> tuple[Mapping[str, Json], ...]:
        """Return the manifests that the upgrade would apply; raises ToolFailed when the chart can't be rendered."""
        place = self._named(upgrade.target)
        return place.chart.manifests(_spec(place, upgrade))

    def manifest(self, release: Target) -> tuple[Mapping[str, Json], ...]:
        """Return the manifests of the revision that is deployed; () where there is none."""
        self._faults.api_call()
        place = self._places.release(release)
        deployed = _deployed(place) if place else None
        return () if place is None or deployed is None else place.chart.manifests(deployed.spec)

    def crds(self, chart: str) -> tuple[Mapping[str, Json], ...]:
        """Return nothing: the chart that is played has none."""
        del chart
        return ()

    def record_size(self, upgrade: HelmUpgrade) -> int:
        """Return how many bytes the rendered manifests are, which is about what Helm would store."""
        return len(json.dumps(self.render(upgrade)))

    def execute(self, action: HelmUpgrade | HelmRollback | HelmUninstall) -> str:
        """Do it and return Helm's words.

        Raises:
            Refused: the release is not as the action expects; nothing was done.
            ToolFailed: Helm said no.
        """
        self._faults.api_call()
        place = self._named(action.target)
        if isinstance(action, HelmUpgrade):
            return self._upgrade(place, action)
        if isinstance(action, HelmRollback):
            return self._rollback(place, action)
        return self._uninstall(place, action)

    def _named(self, target: Target) -> Place:
        place = self._places.release(target)
        if place is None:
            raise ToolFailed(f"Error: release: not found ({target})", hint="see environments.*.release in deploy.yaml")
        return place

    def _upgrade(self, place: Place, action: HelmUpgrade) -> str:
        name = action.target.name
        _check_base(place, action)
        spec = _spec(place, action)
        before = _deployed(place)
        revision = self._record(place, "pending-upgrade" if before else "pending-install", "Preparing upgrade", spec)
        self._clock.sleep(_TAKES)
        if self._faults.hit(FaultKind.HELM_UPGRADE_FAILS):
            raise self._failed_upgrade(place, revision, before, name)
        self._deploy(place, revision, "Upgrade complete" if before else "Install complete")
        done = "upgraded" if before else "installed"
        return f'Release "{name}" has been {done}: revision {revision.number}, deployed'

    def _failed_upgrade(self, place: Place, revision: Revision, before: Revision | None, name: str) -> ToolFailed:
        """Take the failed revision back at once, as ``--rollback-on-failure`` does, and return Helm's words."""
        revision.status = "failed"
        revision.description = f'{"Upgrade" if before else "Release"} "{name}" failed: {_DENIED}'
        if before is None:
            place.revisions.clear()
            done, what = "uninstalled", "INSTALLATION FAILED"
        else:
            back = self._record(place, "pending-rollback", f"Rollback to {before.number}", before.spec)
            self._deploy(place, back, back.description)
            done, what = "rolled back", "UPGRADE FAILED"
        words = f"Error: {what}: release {name} failed, and has been {done} due to rollback-on-failure being set"
        return ToolFailed(f"{words}: {_DENIED}", hint="mend what the API server refuses, then deploy again")

    def _rollback(self, place: Place, action: HelmRollback) -> str:
        """Roll back; a pending revision does not keep Helm from it, and a failure leaves none deployed.

        Read in https://github.com/helm/helm/blob/main/pkg/action/rollback.go
        """
        target = next((r for r in place.revisions if r.number == action.revision), None)
        if target is None:
            raise ToolFailed(
                f"Error: release {action.target} has no {action.revision} version",
                hint="name a revision that helm history still shows",
            )
        current = place.revisions[-1]
        revision = self._record(place, "pending-rollback", f"Rollback to {target.number}", target.spec)
        self._clock.sleep(_TAKES)
        if self._faults.hit(FaultKind.ROLLBACK_FAILS):
            current.status, revision.status = "superseded", "failed"
            revision.description = f'Rollback "{action.target.name}" failed: {_DENIED}'
            raise ToolFailed(
                f"Error: {revision.description}",
                hint=f"helm rollback {action.target.name} {action.revision} once the cause is mended",
            )
        self._deploy(place, revision, revision.description)
        return "Rollback was a success! Happy Helming!"

    def _uninstall(self, place: Place, action: HelmUninstall) -> str:
        if not place.revisions:
            raise ToolFailed(f"Error: uninstall: Release not loaded: {action.target}: release: not found")
        self._clock.sleep(_TAKES)
        place.revisions.clear()
        if place.rollout is not None:
            place.rollout.delete()
            place.rollout = None
        return f'release "{action.target.name}" uninstalled'

    def _record(self, place: Place, status: str, description: str, spec: Spec) -> Revision:
        return record(place, status=status, description=description, updated=self._clock.now().isoformat(), spec=spec)

    def _deploy(self, place: Place, revision: Revision, description: str) -> None:
        _supersede(place)
        revision.status, revision.description = "deployed", description
        if place.rollout is None:
            place.rollout = place.create(revision.spec)
        elif changes(place, revision):
            place.rollout.apply(revision.spec)


def changes(place: Place, revision: Revision) -> bool:
    """Whether Helm changes the Rollout: it compares a custom resource with its last revision, not with what is there.

    So it has nothing to do where the last one was recorded with the same manifest, and broken off before it was
    applied. Read in https://github.com/helm/helm/blob/main/pkg/kube/client.go (createPatch)
    """
    before = place.revisions[place.revisions.index(revision) - 1]
    return before is revision or before.spec != revision.spec


def record(place: Place, *, status: str, description: str, updated: str, spec: Spec) -> Revision:
    """Write a new revision; the oldest are forgotten past ten, except for the deployed one."""
    number = place.revisions[-1].number + 1 if place.revisions else 1
    revision = Revision(number=number, status=status, description=description, updated=updated, spec=spec)
    place.revisions.append(revision)
    surplus = len(place.revisions) - _MAX_HISTORY
    oldest = [r for r in place.revisions if r.status != "deployed"][: max(0, surplus)]
    place.revisions[:] = [r for r in place.revisions if r not in oldest]
    return revision


def _spec(place: Place, upgrade: HelmUpgrade) -> Spec:
    try:
        return place.chart.spec(upgrade.values)
    except ValueError as error:
        raise ToolFailed(f"Error: the chart {upgrade.chart} can't be rendered: {error}") from error


def _deployed(place: Place) -> Revision | None:
    return next((r for r in reversed(place.revisions) if r.status == "deployed"), None)


def _supersede(place: Place) -> None:
    for revision in place.revisions:
        if revision.status == "deployed":
            revision.status = "superseded"


def _check_base(place: Place, action: HelmUpgrade) -> None:
    last = place.revisions[-1] if place.revisions else None
    target = action.target
    if last is not None and last.status.startswith("pending-"):
        good = next((r.number for r in reversed(place.revisions) if r.status in {"deployed", "superseded"}), None)
        helm = f"helm --kube-context {target.context} --namespace {target.namespace}"
        mend = f"rollback {target.name} {good}" if good else f"uninstall {target.name}"
        raise Refused(
            f"{target}: revision {last.number} is {last.status}: another operation runs or died",
            hint=f"if nobody works on it: {helm} {mend}",
        )
    seen = last.number if last else 0
    if seen != action.base_revision:
        raise Refused(
            f"{target} is at revision {seen}, this deploy saw revision {action.base_revision}: somebody else deployed",
            hint="look at helm history, then deploy again",
        )
