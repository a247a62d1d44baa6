"""What Helm must do, either major."""

# ruff: noqa: S101 - a contract is made of assertions

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from pytest_deploy.domain.action import HelmRollback, HelmUninstall, Json
from pytest_deploy.domain.rollout import HelmVersion
from pytest_deploy.errors import Refused, ToolFailed
from pytest_deploy.testing.contracts.world import NEW, OLD, OnRelease, World

__all__ = ["HelmContract"]


class HelmContract(OnRelease):
    """Helm, either major."""

    def test_the_version_is_one_that_is_supported(self, world: World) -> None:
        """Helm is 3.12 or later."""
        assert world.ports.helm.version() >= HelmVersion(major=3, minor=12)

    def test_what_is_not_installed_has_no_history(self, world: World) -> None:
        """A missing release has no revisions and no manifests; that is no error."""
        missing = replace(self.release(world), name="not-there")
        assert world.ports.helm.history(missing) == ()
        assert world.ports.helm.manifest(missing) == ()

    def test_the_history_is_in_order(self, world: World) -> None:
        """Revisions come oldest first, and the one that is deployed is the last."""
        helm, release = world.ports.helm, self.release(world)
        assert [(r.number, r.status) for r in helm.history(release)] == [(1, "deployed")]
        self.start_canary(world)
        assert [(r.number, r.status) for r in helm.history(release)] == [(1, "superseded"), (2, "deployed")]

    def test_what_helm_would_store_is_measured(self, world: World) -> None:
        """The record has a size, and measuring it installs nothing; this chart brings no CRDs."""
        helm, release = world.ports.helm, self.release(world)
        before = helm.history(release)
        planned = world.upgrade_to(NEW, base_revision=1)
        assert 100 < helm.record_size(planned) < 900 * 1024
        assert helm.crds(planned.chart) == ()
        assert helm.history(release) == before

    def test_an_upgrade_leaves_the_canary_to_us(self, world: World) -> None:
        """Atomic flags and all: after Helm has ended, the canary still waits, and nothing was reverted."""
        self.start_canary(world)
        world.let_time_pass(5)
        assert self.paused_at(self.state(world), 1)
        last = world.ports.helm.history(self.release(world))[-1]
        assert (last.number, last.status) == (2, "deployed")

    def test_an_upgrade_from_another_base_is_refused(self, world: World) -> None:
        """Where somebody else deployed meanwhile, the upgrade is refused before it does anything."""
        helm, release = world.ports.helm, self.release(world)
        self.start_canary(world)
        before = helm.history(release)
        with pytest.raises(Refused, match="revision 2"):
            helm.execute(world.upgrade_to(OLD, base_revision=1))
        assert helm.history(release) == before

    def test_a_pending_release_is_refused_with_the_way_out(self, world: World) -> None:
        """Over an operation that never ended nothing is started; the hint is the command that mends it."""
        helm, release = world.ports.helm, self.release(world)
        world.strand()
        before = helm.history(release)
        assert before[-1].status == "pending-upgrade"
        with pytest.raises(Refused, match="pending-upgrade") as caught:
            helm.execute(world.upgrade_to(NEW, base_revision=before[-1].number))
        assert f"rollback {release.name} 1" in caught.value.hint
        assert helm.history(release) == before

    def test_a_rollback_is_the_way_out_of_pending(self, world: World) -> None:
        """A rollback works on a pending release."""
        world.strand()
        self.roll_back(world)
        assert world.ports.helm.history(self.release(world))[-1].status == "deployed"

    def test_a_rollback_says_where_it_went(self, world: World) -> None:
        """The revision that a rollback writes is deployed, and its description names its target."""
        self.start_canary(world)
        self.roll_back(world)
        last = world.ports.helm.history(self.release(world))[-1]
        assert (last.number, last.status, last.description.lower()) == (3, "deployed", "rollback to 1")

    def test_a_rollback_to_nowhere_fails(self, world: World) -> None:
        """A revision that does not exist can't be gone back to."""
        with pytest.raises(ToolFailed):
            world.ports.helm.execute(
                HelmRollback(target=self.release(world), revision=77, timeout=timedelta(seconds=60))
            )
        assert self.state(world).image == world.image.with_digest(OLD).pinned

    def test_a_failed_upgrade_changes_nothing_that_runs(self, world: World) -> None:
        """What Helm could not do is an error with its words, and the old version runs on."""
        with pytest.raises(ToolFailed) as caught:
            world.ports.helm.execute(world.bad_upgrade(base_revision=1))
        assert str(caught.value)
        state = self.until(world, "rest", lambda seen: seen.observed and seen.promoted)
        assert state.image == world.image.with_digest(OLD).pinned

    def test_rendering_shows_what_an_upgrade_would_apply(self, world: World) -> None:
        """The rendered manifests hold the Rollout with the image that is asked for; nothing is changed."""
        rendered = world.ports.helm.render(world.upgrade_to(NEW, base_revision=1))
        images = _images(rendered, world.environment.container)
        assert images == [world.image.with_digest(NEW).pinned]
        assert len(world.ports.helm.history(self.release(world))) == 1

    def test_the_manifest_is_that_of_what_is_deployed(self, world: World) -> None:
        """The live manifests hold the image of the deployed revision."""
        live = world.ports.helm.manifest(self.release(world))
        images = _images(live, world.environment.container)
        assert images == [world.image.with_digest(OLD).pinned]

    def test_what_is_uninstalled_is_gone(self, world: World) -> None:
        """After an uninstall there is no history and no Rollout."""
        timeout = timedelta(seconds=60)
        world.ports.helm.execute(HelmUninstall(target=self.release(world), timeout=timeout))
        assert world.ports.helm.history(self.release(world)) == ()
        assert world.ports.traffic.state(self.rollout(world)) is None


def _images(manifests: Sequence[Mapping[str, Json]], container: str) -> list[str]:
    """Images of this container in all Rollouts."""
    found = []
    for manifest in manifests:
        node: object = manifest if manifest.get("kind") == "Rollout" else None
        for key in ("spec", "template", "spec", "containers"):
            node = node.get(key) if isinstance(node, Mapping) else None
        containers = node if isinstance(node, list) else []
        found += [str(each["image"]) for each in containers if each["name"] == container]
    return found
