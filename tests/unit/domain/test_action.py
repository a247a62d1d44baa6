"""Actions render what is sent: one truth for plan, journal and adapter."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest

from pytest_deploy.domain.action import HelmRollback, HelmUninstall, HelmUpgrade, Target
from pytest_deploy.domain.patches import abort, promote, promote_full, set_image
from pytest_deploy.domain.rollout import HelmVersion

TARGET = Target(environment="prod", context="acme-prod", namespace="shop", name="api")
FIVE_MINUTES = timedelta(minutes=5)


def upgrade() -> HelmUpgrade:
    """Return an upgrade with everything on it."""
    return HelmUpgrade(
        target=TARGET,
        chart="charts/api",
        values_files=("values-prod.yaml",),
        values=(("image.digest", '"sha256:1"'),),
        base_revision=3,
        timeout=FIVE_MINUTES,
        labels=(("deploy-id", "d1"),),
    )


@pytest.mark.parametrize(
    ("version", "wanted", "unwanted"),
    [
        (HelmVersion(major=3, minor=12), ("--atomic", "--wait"), ("--rollback-on-failure", "--labels")),
        (HelmVersion(major=3, minor=17), ("--atomic", "--wait", "--labels"), ("--wait=legacy",)),
        (HelmVersion(major=4, minor=2), ("--rollback-on-failure", "--wait=legacy"), ("--atomic", "--wait")),
    ],
)
def test_atomic_by_helms_major(version: HelmVersion, wanted: tuple[str, ...], unwanted: tuple[str, ...]) -> None:
    """Helm 4 needs its legacy waiter, Helm 3 knows no other; labels exist since 3.13."""
    argv = upgrade().argv("helm", version)
    assert set(wanted) <= set(argv)
    assert not set(unwanted) & set(argv)


def test_the_upgrade_is_whole() -> None:
    """Context, namespace, values and the digest stand on the command line; nothing is left to defaults."""
    argv = upgrade().argv("helm", HelmVersion(major=3, minor=17))
    assert argv[:5] == ("helm", "upgrade", "api", "charts/api", "--install")
    pairs = [" ".join(pair) for pair in pairwise(argv)]
    for pair in (
        "--kube-context acme-prod",
        "--namespace shop",
        "--values values-prod.yaml",
        '--set-json image.digest="sha256:1"',
        "--timeout 300s",
        "--labels deploy-id=d1",
    ):
        assert pair in pairs


def test_what_is_rendered_is_what_is_upgraded() -> None:
    """``helm template`` gets the same chart, values and namespace."""
    rendered, upgraded = upgrade().render_argv("helm"), upgrade().argv("helm", HelmVersion(major=3, minor=12))
    assert rendered[:2] == ("helm", "template")
    assert set(rendered) - {"template"} <= set(upgraded)


def test_a_rollback_names_its_revision() -> None:
    """Helm's default target, the revision before, is never used."""
    argv = HelmRollback(target=TARGET, revision=7, timeout=FIVE_MINUTES).argv("helm", HelmVersion(major=4, minor=2))
    assert argv[:4] == ("helm", "rollback", "api", "7")


def test_a_kubeconfig_is_passed_on() -> None:
    """A target with a kubeconfig of its own never falls back to the usual places."""
    target = Target(environment="prod", context="c", namespace="n", name="api", kubeconfig="/k")
    argv = HelmUninstall(target=target, timeout=FIVE_MINUTES).argv("helm", HelmVersion(major=3, minor=12))
    assert argv[argv.index("--kubeconfig") + 1] == "/k"
    patched = abort(target, template_hash="h").argv()
    assert patched[patched.index("--kubeconfig") + 1] == "/k"


def test_a_promote_is_guarded() -> None:
    """The server refuses it unless step, version and pause reason are the ones that were seen."""
    document = promote(TARGET, step_index=3, template_hash="new", weight=50).document()
    assert [part["op"] for part in document] == ["test", "test", "test", "add"]
    assert document[0] == {"op": "test", "path": "/status/currentStepIndex", "value": 3}
    assert document[-1] == {"op": "add", "path": "/status/pauseConditions", "value": None}


@pytest.mark.parametrize(
    ("patch", "guard"),
    [
        (abort(TARGET, template_hash="new"), {"op": "test", "path": "/status/currentPodHash", "value": "new"}),
        (
            abort(TARGET, template_hash="new", step_index=3),
            {"op": "test", "path": "/status/currentStepIndex", "value": 3},
        ),
        (
            promote_full(TARGET, observed_generation=9),
            {"op": "test", "path": "/status/observedGeneration", "value": "9"},
        ),
        (
            set_image(TARGET, index=1, container="api", old="i@a", new="i@b"),
            {"op": "test", "path": "/spec/template/spec/containers/1/name", "value": "api"},
        ),
    ],
)
def test_every_patch_has_a_guard(patch: object, guard: dict[str, object]) -> None:
    """No patch is written over what somebody else has changed meanwhile."""
    assert patch.document()[0] == guard  # type: ignore[attr-defined]  # each of them is a RolloutPatch


def test_summaries_name_the_place() -> None:
    """Each action says what it does, and where."""
    actions = (
        upgrade(),
        HelmRollback(target=TARGET, revision=7, timeout=FIVE_MINUTES),
        HelmUninstall(target=TARGET, timeout=FIVE_MINUTES),
        promote(TARGET, step_index=1, template_hash="h", weight=None),
    )
    for action in actions:
        assert "api in acme-prod/shop" in action.summary
