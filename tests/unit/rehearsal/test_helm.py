"""Helm's release store, and what the chart makes of values."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from pytest_deploy.domain.action import HelmUninstall
from pytest_deploy.domain.manifests import container_image, find_rollout, rollout_steps
from pytest_deploy.domain.rollout import Step
from pytest_deploy.errors import Refused, ToolFailed
from tests.unit.rehearsal.conftest import NEW, OLD, TIMEOUT, Drive, MakeDrive


def test_production_begins_with_three_revisions(prod: Drive) -> None:
    """Oldest first, the last one deployed, and its image runs."""
    assert [(number, status) for number, status, _ in prod.history] == [
        (1, "superseded"),
        (2, "superseded"),
        (3, "deployed"),
    ]
    assert prod.state.image == f"registry.example.com/shop@{OLD}"
    assert [r.updated for r in prod.ports.helm.history(prod.target)] == sorted(
        r.updated for r in prod.ports.helm.history(prod.target)
    )


def test_an_upgrade_is_the_next_revision(prod: Drive) -> None:
    """The one before is superseded, and the rollout is under way."""
    words = prod.ports.helm.execute(prod.upgrade())
    assert words == 'Release "shop" has been upgraded: revision 4, deployed'
    assert prod.history[2:] == [(3, "superseded", "Upgrade complete"), (4, "deployed", "Upgrade complete")]


def test_an_upgrade_over_another_base_is_refused(prod: Drive) -> None:
    """It names both revisions, and nothing is done."""
    action = prod.upgrade()
    prod.ports.helm.execute(action)
    before = prod.history
    with pytest.raises(Refused, match=r"is at revision 4, this deploy saw revision 3"):
        prod.ports.helm.execute(action)
    assert prod.history == before


def test_an_unchanged_template_starts_no_canary(prod: Drive) -> None:
    """The revision is written; the rollout stays as it is, even its generation."""
    before = prod.state
    prod.ports.helm.execute(prod.upgrade(OLD))
    prod.run(30)
    assert prod.history[-1] == (4, "deployed", "Upgrade complete")
    assert prod.state == before


def test_more_replicas_start_no_canary(prod: Drive) -> None:
    """ReplicaCount is no part of the pod template: pods are added to the version that runs."""
    prod.ports.helm.execute(prod.upgrade(OLD, ("replicaCount", "30")))
    prod.run(30)
    state = prod.state
    assert (state.promoted, state.phase, state.replicas) == (True, "Healthy", 30)
    assert [(v.wanted, v.ready) for v in state.versions] == [(30, 30)]


def test_any_other_value_starts_a_canary(prod: Drive) -> None:
    """It goes into the pod template."""
    prod.ports.helm.execute(prod.upgrade(OLD, ("env.FEATURE", "true")))
    state = prod.until(lambda seen: seen.observed and seen.at_our_pause)
    assert state.image == f"registry.example.com/shop@{OLD}"
    assert not state.promoted


def test_a_first_install_skips_all_steps(prod: Drive) -> None:
    """After an uninstall nothing is there; an install begins at revision 1, and all pods are started at once."""
    uid = prod.state.uid
    assert prod.ports.helm.execute(HelmUninstall(target=prod.target, timeout=TIMEOUT)) == 'release "shop" uninstalled'
    assert (prod.history, prod.ports.traffic.state(prod.target)) == ([], None)
    assert prod.ports.helm.manifest(prod.target) == ()
    prod.run(20)
    assert prod.ports.cluster.pods(prod.target, "shop") == ()
    prod.ports.helm.execute(prod.upgrade())
    assert prod.history == [(1, "deployed", "Install complete")]
    state = prod.until(lambda seen: seen.phase == "Healthy")
    assert (state.promoted, state.step_index, state.uid != uid) == (True, 8, True)


def test_an_uninstall_in_mid_canary_ends_all_of_it(prod: Drive) -> None:
    """Pods that were starting never come, and the metrics lose their service."""
    prod.raise_to(25)
    prod.promote()
    prod.run(0.6)
    prod.ports.helm.execute(HelmUninstall(target=prod.target, timeout=TIMEOUT))
    prod.run(700)
    assert prod.ports.traffic.state(prod.target) is None
    assert prod.ports.cluster.pods(prod.target, "shop") == ()
    assert prod.read(60).newest is None


def test_what_is_not_installed_cannot_be_uninstalled(prod: Drive) -> None:
    """In Helm's words."""
    action = HelmUninstall(target=prod.target, timeout=TIMEOUT)
    prod.ports.helm.execute(action)
    with pytest.raises(ToolFailed, match="release: not found"):
        prod.ports.helm.execute(action)


def test_a_rollback_tells_its_target_in_its_description(prod: Drive) -> None:
    """And supersedes what was deployed."""
    prod.canary()
    assert prod.roll_back() == "Rollback was a success! Happy Helming!"
    assert prod.history[-2:] == [(4, "superseded", "Upgrade complete"), (5, "deployed", "Rollback to 3")]


def test_a_rollback_to_a_revision_that_is_gone_fails(prod: Drive) -> None:
    """In Helm's words; nothing is written."""
    before = prod.history
    with pytest.raises(ToolFailed, match="has no 99 version"):
        prod.roll_back(99)
    assert prod.history == before


def test_ten_revisions_are_kept(prod: Drive) -> None:
    """The oldest are forgotten, and the numbers go on."""
    for _ in range(10):
        prod.ports.helm.execute(prod.upgrade(OLD))
    assert [number for number, _, _ in prod.history] == list(range(4, 14))


def test_the_deployed_revision_is_never_forgotten(prod: Drive) -> None:
    """However many operations die after it, it can be gone back to."""
    for _ in range(12):
        prod.world.clock.after(timedelta(seconds=0.5), _killed)
        with pytest.raises(KeyboardInterrupt):
            prod.roll_back()
    assert [entry[:2] for entry in prod.history[:2]] == [(3, "deployed"), (7, "pending-rollback")]
    assert len(prod.history) == 10


def test_a_killed_upgrade_stays_pending_and_refuses_the_next(prod: Drive) -> None:
    """The hint is the command that mends it; a rollback is not kept from its work, and that one is deployed."""
    prod.world.clock.after(timedelta(seconds=0.5), _killed)
    with pytest.raises(KeyboardInterrupt):
        prod.ports.helm.execute(prod.upgrade())
    assert prod.history[-1][:2] == (4, "pending-upgrade")
    with pytest.raises(Refused, match="revision 4 is pending-upgrade") as caught:
        prod.ports.helm.execute(prod.upgrade())
    assert caught.value.hint.endswith("helm --kube-context acme-prod --namespace prod-ns rollback shop 3")
    prod.roll_back()
    assert [entry[:2] for entry in prod.history[-3:]] == [(3, "superseded"), (4, "pending-upgrade"), (5, "deployed")]


def test_a_killed_install_is_mended_by_an_uninstall(prod: Drive) -> None:
    """There is no revision to go back to."""
    prod.ports.helm.execute(HelmUninstall(target=prod.target, timeout=TIMEOUT))
    prod.world.clock.after(timedelta(seconds=0.5), _killed)
    with pytest.raises(KeyboardInterrupt):
        prod.ports.helm.execute(prod.upgrade())
    with pytest.raises(Refused, match="pending-install") as caught:
        prod.ports.helm.execute(prod.upgrade())
    assert caught.value.hint.endswith("uninstall shop")
    prod.ports.helm.execute(HelmUninstall(target=prod.target, timeout=TIMEOUT))
    assert prod.history == []


def test_rendering_is_what_an_upgrade_applies(prod: Drive) -> None:
    """Image and steps of the rendered Rollout are those that the engine looks for; nothing is changed."""
    before = prod.state
    rendered = prod.ports.helm.render(prod.upgrade(NEW, ("image.repository", '"other.example.com/shop"')))
    rollout = find_rollout(rendered, "shop")
    assert rollout is not None
    assert container_image(rollout, "app") == f"other.example.com/shop@{NEW}"
    assert rollout_steps(rollout) == before.steps
    assert {manifest["kind"] for manifest in rendered} == {"Rollout", "Service"}
    assert prod.state == before


def test_steps_are_rendered_as_the_api_has_them(make_drive: MakeDrive) -> None:
    """Weights, a timed pause, and a pause without end come back as they were given."""
    steps = (Step(kind="setWeight", weight=10), Step(kind="pause", pause_s=90), Step(kind="pause"))
    drive = make_drive(steps=steps)
    rollout = find_rollout(drive.ports.helm.render(drive.upgrade()), "shop")
    assert rollout is not None
    assert rollout_steps(rollout) == steps


def test_the_manifest_is_of_the_deployed_revision(prod: Drive) -> None:
    """Before the upgrade the old image, after it the new one."""
    for digest in (OLD, NEW):
        live = find_rollout(prod.ports.helm.manifest(prod.target), "shop")
        assert live is not None
        assert container_image(live, "app") == f"registry.example.com/shop@{digest}"
        prod.ports.helm.execute(prod.upgrade())


def test_a_chart_without_the_digest_cannot_be_rendered(prod: Drive) -> None:
    """Neither rendered nor deployed."""
    action = replace(prod.upgrade(), values=(("replicaCount", "3"),))
    with pytest.raises(ToolFailed, match="digest is required"):
        prod.ports.helm.render(action)
    with pytest.raises(ToolFailed, match="digest is required"):
        prod.ports.helm.execute(action)
    assert prod.history[-1][0] == 3


def test_a_release_of_another_name_is_not_there(prod: Drive) -> None:
    """No history, no manifest; and nothing can be done with it."""
    action = replace(prod.upgrade(), target=replace(prod.target, name="other"))
    assert prod.ports.helm.history(action.target) == ()
    with pytest.raises(ToolFailed, match="release: not found"):
        prod.ports.helm.execute(action)


def test_an_unknown_context_is_refused(prod: Drive) -> None:
    """With the contexts that there are."""
    target = replace(prod.target, context="acme-prd")
    with pytest.raises(Refused, match="no kube context 'acme-prd'") as caught:
        prod.ports.helm.history(target)
    assert "acme-prod, acme-staging" in caught.value.hint


def _killed() -> None:
    raise KeyboardInterrupt
