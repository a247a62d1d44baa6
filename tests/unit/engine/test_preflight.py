"""Pre-flight: each refusal says what was seen, where, and what to do; none of them has changed anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType
from typing import Any

import pytest

from pytest_deploy.domain.event import Fact, KnownGoodCaptured, Warned
from pytest_deploy.domain.fault import parse_fault
from pytest_deploy.domain.permissions import RISKY
from pytest_deploy.domain.release import Digest, Environment, ImageRef, Release, Strategy
from pytest_deploy.domain.rollout import ClusterIdentity, HelmRevision, Phase, Step
from pytest_deploy.engine import drill, preflight
from pytest_deploy.errors import Refused
from tests.unit.engine.conftest import NEW, PATCHED, RELEASE, Bench

Benches = Callable[..., Bench]


RISKS = {(each.permission.verb, each.permission.resource) for each in RISKY}


def refused(made: Bench, check: Callable[[Any], None] = preflight.ensure) -> str:
    """Return the refusal's words, hint included; nothing may have been changed by then."""
    before = made.state()
    with pytest.raises(Refused) as raised:
        check(made.deploy)
    assert raised.value.hint, "a refusal without a next move"
    assert made.done() == []
    assert made.state() == before
    return str(raised.value)


def with_prod(release: Release = RELEASE, **changes: Any) -> Release:
    """The release with another production."""
    prod: Environment = replace(release.environments["prod"], **changes)
    return replace(release, environments=MappingProxyType({**release.environments, "prod": prod}))


def history(*statuses: str) -> Callable[..., tuple[HelmRevision, ...]]:
    """A Helm history of these statuses, from revision 7 on."""
    revisions = tuple(
        HelmRevision(number=number, status=status, description="because", updated="2026-01-05")
        for number, status in enumerate(statuses, start=7)
    )
    return lambda original, release: revisions


def test_all_is_well(bench: Benches) -> None:
    """The known-good version is captured, and each fact of the record is told once however often it is asked."""
    made = bench()
    for _ in range(2):
        preflight.ensure(made.deploy)
    good = made.deploy.known_good
    assert good is not None
    assert (good.revision, good.image, good.template_hash) == (3, made.old, made.state().stable_hash)
    assert made.deploy.base_revision == 3
    assert [event.known_good for event in made.told(KnownGoodCaptured)] == [good]
    facts = {event.name: event.value for event in made.told(Fact)}
    assert len(made.told(Fact)) == len(facts)
    assert facts["helm_version"] == "4.2.3"
    assert facts["revision_before"] == "3"
    assert facts["old_image"] == made.old
    assert facts["cluster"].startswith("https://acme-prod.rehearsal.invalid (Kubernetes v1.34.0, kube-system uid ")
    preflight.release_status(again := bench().deploy)
    assert again.step_detail.startswith(f"known good: Helm revision 3, deployed, {made.old}, 20 of 20 pods")


def test_without_a_helm_release_the_live_rollout_is_what_counts(bench: Benches) -> None:
    """There is no revision to go back to, only the image and the version; Helm is not asked."""
    made = bench(release=PATCHED)
    made.alter("helm", history=lambda *_: pytest.fail("asked"), render=lambda *_: pytest.fail("asked"))
    preflight.ensure(made.deploy)
    assert made.deploy.known_good is not None
    assert made.deploy.known_good.revision is None
    assert made.deploy.base_revision == 0
    assert "revision_before" not in {event.name for event in made.told(Fact)}


def test_another_strategy(bench: Benches) -> None:
    """What is not built is said to be."""
    says = refused(bench(release=replace(RELEASE, strategy=Strategy.ROLLING)), preflight.stack)
    assert "strategy rolling is not built yet" in says
    assert "strategy: canary" in says


def test_no_rollout(bench: Benches) -> None:
    """There is nothing to compare with."""
    made = bench()
    made.alter("traffic", state=lambda original, target: None)
    says = refused(made)
    assert "there is no Rollout api in acme-prod/prod" in says
    assert "environments.prod.rollout" in says


@pytest.mark.parametrize(
    "changed",
    [
        {"observed_generation": 0},
        {"stable_hash": "other"},
        {"aborted": True, "phase": Phase.DEGRADED, "message": "RolloutAborted"},
        {"held_by_spec": True},
        {"pauses": ("BlueGreenPause",)},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_not_at_rest(bench: Benches, changed: dict[str, object]) -> None:
    """Somebody else's deploy is under way: whatever tells so, it is refused."""
    made = bench()
    made.alter("traffic", state=lambda original, target: replace(original(target), **changed))
    says = refused(made)
    assert "api is not at rest, somebody else may be deploying: " in says
    assert "end that deploy first" in says


def test_a_stable_version_without_pods(bench: Benches) -> None:
    """A version that has no pods is nothing to go back to."""
    made = bench()
    made.alter("traffic", state=lambda original, target: replace(original(target), versions=()))
    assert "api has no stable version to go back to" in refused(made)


def test_release_status_alone_wants_a_promoted_version(bench: Benches) -> None:
    """Also where no step looked at the stack: a canary under way is no version to go back to."""
    made = bench()
    made.alter(
        "traffic", state=lambda original, target: replace(original(target), stable_hash="268ea9c69f", current_hash="b")
    )
    assert "has no stable version to go back to" in refused(made, preflight.release_status)


@pytest.mark.parametrize(
    ("statuses", "says", "mend"),
    [
        (("deployed", "pending-upgrade"), "pending: another operation runs or died: revision 8 is", "rollback api 7"),
        (("superseded", "deployed", "failed"), "not at rest: revision 9 is failed (because, ", "rollback api 8"),
        (("superseded", "failed", "pending-rollback"), "pending: ", "rollback api 7"),
        (("pending-install",), "revision 7 is pending-install", "uninstall api"),
        (("failed",), "revision 7 is failed", "uninstall api"),
    ],
)
def test_helm_is_not_at_rest(bench: Benches, statuses: tuple[str, ...], says: str, mend: str) -> None:
    """The command that mends it names the last good revision; where there never was one, there is only uninstall."""
    made = bench()
    made.alter("helm", history=history(*statuses))
    words = refused(made)
    assert f"release api in acme-prod/prod is {says}" in words or says in words
    assert f"if nobody works on it: helm {mend}" in words


def test_helm_does_not_know_it(bench: Benches) -> None:
    """A first deploy has nothing to go back to."""
    made = bench()
    made.alter("helm", history=history())
    says = refused(made)
    assert "Helm has no release api in acme-prod/prod\n  next: a first deploy has nothing to compare with" in says
    assert "declare it by installing it once, helm upgrade api charts/api --install" in says
    assert "--rollback-on-failure" in says


def test_whose_a_pending_release_is(bench: Benches) -> None:
    """A deploy of ours has its id on Helm's record; one without is somebody else's; one that can't be read is said."""
    asked: list[str] = []
    for found, says in (
        (({"metadata": {"labels": {"deploy-id": "d7"}}},), "of deploy d7: pytest-deploy status)"),
        (({"metadata": {}},), "begun by hand or by another tool: it has no deploy-id)"),
        (None, "whose it is can't be told, Secret sh.helm.release.v1.api.v8 is not readable)"),
    ):
        made = bench()
        made.alter("helm", history=history("deployed", "pending-upgrade"))

        def objects(original: object, env: object, resource: Any, name: str = "", found: object = found) -> object:
            asked.append(name)
            return found if resource.plural == "secrets" else ()

        made.alter("cluster", objects=objects)
        assert says in refused(made, preflight.release_status)
    assert "sh.helm.release.v1.api.v8" in asked


def test_the_chart_has_no_rollout(bench: Benches) -> None:
    """A chart with a Deployment can't be a canary."""
    made = bench()
    made.alter("helm", render=lambda original, upgrade: [{"kind": "Deployment", "metadata": {"name": "api"}}])
    says = refused(made)
    assert "the chart charts/api renders no Rollout named api" in says
    assert "strategy: rolling" in says


def test_the_chart_does_not_pin_the_image(bench: Benches) -> None:
    """A chart that deploys a tag would deploy something else than what was signed and scanned."""
    made = bench()

    def by_tag(original: Callable[[object], list[dict[str, Any]]], upgrade: object) -> object:
        manifests = original(upgrade)
        rollout = next(m for m in manifests if m["kind"] == "Rollout")
        rollout["spec"]["template"]["spec"]["containers"][0]["image"] = "ghcr.io/acme/api:v2"
        return manifests

    made.alter("helm", render=by_tag)
    says = refused(made)
    assert f"renders image 'ghcr.io/acme/api:v2' for container 'api', not '{NEW}'" in says
    assert "{{ .Values.image.digest }}" in says


def test_the_chart_lacks_the_container(bench: Benches) -> None:
    """A container of another name is no container of ours."""
    made = bench()
    made.alter("helm", render=lambda original, upgrade: [{"kind": "Rollout", "metadata": {"name": "api"}, "spec": {}}])
    assert "renders image None for container 'api'" in refused(made)


@pytest.mark.parametrize("release", [RELEASE, PATCHED], ids=["chart", "live rollout"])
def test_steps_that_would_advance(bench: Benches, release: Release) -> None:
    """A pause that ends by itself is refused, with the steps that would be right, in YAML."""
    steps = [Step(kind="setWeight", weight=5), Step(kind="pause", pause_s=60)]
    says = refused(bench(release=release, steps=steps))
    source = "the live Rollout api" if release is PATCHED else "the Rollout of charts/api"
    assert f"{source} can't be driven by this feature: step 0 sets 5 %" in says
    assert "it would advance without a verdict" in says
    assert "- setWeight: 25\n      - pause: {}" in says


def test_a_feature_without_weights_fits_any_steps(bench: Benches) -> None:
    """A release candidate moves no traffic: how production's steps look is none of its business."""
    made = bench(steps=[Step(kind="setWeight", weight=5), Step(kind="pause", pause_s=60)])
    made.deploy.stages = ()
    preflight.stack(made.deploy)
    assert made.deploy.step_detail.startswith("api: 2 steps")


def test_the_digest_is_live_already(bench: Benches) -> None:
    """No canary would start, so there would be nothing to judge."""
    live = Digest(NEW.partition("@")[2])
    says = refused(bench(history=[Digest("sha256:" + "1" * 64), live]))
    assert f"{NEW} is live already" in says
    assert "deploy another digest" in says


def test_no_digest_is_known(bench: Benches) -> None:
    """An image that is not pinned is never deployed; before the build the chart is rendered with a stand-in."""
    made = bench(release=replace(RELEASE, image=ImageRef.parse("ghcr.io/acme/api")))
    preflight.stack(made.deploy)
    says = refused(made)
    assert "no digest of ghcr.io/acme/api is known" in says
    assert "ghcr.io/acme/api@sha256:..." in says


def test_another_server_answers(bench: Benches) -> None:
    """The context's name proves nothing: the server does."""
    made = bench(release=with_prod(server="https://prod.example.com/"))
    made.alter(
        "cluster",
        identity=lambda original, env: ClusterIdentity(server="https://staging.example.com", version="v1", uid=None),
    )
    says = refused(made)
    assert (
        "context acme-prod leads to another cluster than deploy.yaml expects for prod: "
        "the server is https://staging.example.com, not https://prod.example.com" in says
    )
    assert "environments.prod.server" in says


@pytest.mark.parametrize(
    ("expected", "seen", "says"),
    [
        ({"ca_sha256": "AB"}, {"ca": "cd"}, "its authority is cd, not AB"),
        ({"ca_sha256": "ab"}, {"ca": None}, "the machine's own authorities vouch for it, not ab"),
        ({"kube_system_uid": "u1"}, {"uid": "u2"}, "the uid of its kube-system is u2, not u1"),
        ({"kube_system_uid": "u1"}, {"uid": None}, "kube-system may not be read (pytest-deploy rbac prints the rule)"),
    ],
)
def test_another_cluster_behind_the_same_address(
    bench: Benches, expected: dict[str, str], seen: dict[str, str], says: str
) -> None:
    """Authority and kube-system's uid tell clusters apart that one address leads to; what can't be read is no match."""
    made = bench(release=with_prod(**expected))
    made.alter("cluster", identity=lambda original, env: identity(**seen))
    words = refused(made, preflight.cluster)
    assert says in words
    assert f"environments.prod.{next(iter(expected))}" in words


def test_the_pinned_cluster(bench: Benches) -> None:
    """What was compared is said; where nothing is pinned, what would pin it."""
    pinned = bench(release=with_prod(ca_sha256="AB", kube_system_uid="u"))
    pinned.alter("cluster", identity=lambda original, env: identity(ca="ab", uid="u"))
    preflight.cluster(pinned.deploy)
    assert pinned.deploy.step_detail.endswith("; ca_sha256, kube_system_uid as expected")
    bare = bench()
    bare.alter("cluster", identity=lambda original, env: identity(ca="ab"))
    preflight.cluster(bare.deploy)
    assert bare.deploy.step_detail.endswith("environments.prod pins it with server: https://prod, ca_sha256: ab")


@pytest.mark.parametrize(("version", "fits"), [("v1.27.16", False), ("v1.28.0", True), ("v2.0", True), ("odd", True)])
def test_an_old_server(bench: Benches, version: str, fits: bool) -> None:
    """Kubernetes before 1.28 is refused; one that tells no version that we know is not guessed at."""
    made = bench()
    made.alter("cluster", identity=lambda original, env: identity(version=version))
    if fits:
        preflight.cluster(made.deploy)
        return
    assert "runs Kubernetes v1.27.16, a deploy needs 1.28 or later" in refused(made, preflight.cluster)


def identity(**changes: Any) -> ClusterIdentity:
    """An identity that may be read only in part."""
    return replace(ClusterIdentity(server="https://prod", version="v1.34.0", uid=None), **changes)


def test_the_expected_server_answers(bench: Benches) -> None:
    """A slash at the end is no other server; a uid that may not be read is said to be."""
    made = bench(release=with_prod(server="https://prod.example.com/"))
    made.alter(
        "cluster",
        identity=lambda original, env: ClusterIdentity(server="https://prod.example.com", version="v1.34", uid=None),
    )
    preflight.cluster(made.deploy)
    assert made.deploy.step_detail == "https://prod.example.com, Kubernetes v1.34; server as expected"
    assert made.told(Fact)[0].value.endswith("kube-system uid not readable)")


@pytest.mark.parametrize("release", [RELEASE, PATCHED], ids=["helm", "image patch"])
def test_verbs_that_are_denied(bench: Benches, release: Release) -> None:
    """Every verb that is missing is named; those that only Helm needs are asked for only with Helm."""
    made = bench(release=release)
    asked: list[str] = []

    def denied(original: object, env: Environment, permissions: list[Any]) -> tuple[object, ...]:
        asked.extend(map(str, permissions))
        denies = [p for p in permissions if p.verb == "patch" and p.group == "argoproj.io"]
        return (*denies, *(p for p in permissions if not p.namespace or (p.verb, p.resource) in RISKS))

    made.alter("cluster", denied=denied)
    says = refused(made, preflight.account)
    assert "may not: patch rollouts.argoproj.io in prod; patch rollouts/status.argoproj.io in prod\n  next: " in says
    assert "pytest-deploy rbac prod" in says
    assert ("create secrets in prod" in asked) == (release is RELEASE)
    assert len(asked) == len(set(asked))


def test_an_account_that_may(bench: Benches) -> None:
    """How many permissions were asked for is said."""
    made = bench()
    preflight.account(made.deploy)
    assert made.deploy.step_detail == "33 permissions, rollback's included"


def test_configuration_that_pods_share_is_warned_of(bench: Benches) -> None:
    """A ConfigMap that this release changes under the running pods is named, and stops nothing."""
    made = bench()
    uses = {"envFrom": [{"configMapRef": {"name": "settings"}}]}

    def manifests(level: str) -> Callable[..., object]:
        def rendered(original: Callable[[object], tuple[Any, ...]], *what: object) -> object:
            found = original(*what)
            rollout = next(m for m in found if m["kind"] == "Rollout")
            rollout["spec"]["template"]["spec"]["containers"][0].update(uses)
            return (*found, {"kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"level": level}})

        return rendered

    made.alter("helm", render=manifests("debug"), manifest=manifests("info"))
    preflight.stack(made.deploy)
    (warned,) = made.told(Warned)
    assert warned.text.startswith("ConfigMap/settings is used by running pods and is changed by this release")


def test_an_environment_without_a_release_has_no_upgrade(bench: Benches) -> None:
    """Only Helm upgrades; the message names the key that is missing."""
    made = bench(release=PATCHED)
    with pytest.raises(Refused, match="no Helm release owns api in prod") as raised:
        preflight.upgrade(made.deploy, made.deploy.environment, digest=Digest("sha256:1"), base_revision=0)
    assert "environments.prod.release" in raised.value.hint


def test_the_upgrade_is_the_deploys(bench: Benches) -> None:
    """Digest, base revision, time limit and labels of the deploy stand in it."""
    made = bench()
    made.deploy.labels = {"deploy-id": "d1"}
    action = preflight.upgrade(made.deploy, made.deploy.environment, digest=Digest("sha256:1"), base_revision=3)
    assert ("image.digest", '"sha256:1"') in action.values
    assert (action.base_revision, action.timeout, action.labels) == (3, timedelta(minutes=5), (("deploy-id", "d1"),))


def test_metrics_that_do_not_answer_are_a_refusal(bench: Benches) -> None:
    """Without a metrics server nothing could be judged: refused before the first write, with what it said."""
    made = bench()
    drill.inject(made.deploy, parse_fault("prometheus down"))
    with pytest.raises(Refused, match="no gate could be judged") as refusal:
        preflight.ensure(made.deploy)
    assert "next: " in str(refusal.value)
    assert made.deploy.tx.undos == ()
