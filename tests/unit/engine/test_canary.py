"""The canary: started once, promoted step by step with guards, committed last; never over somebody else's change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pytest_deploy.domain.event import Fact, WeightReached
from pytest_deploy.domain.journal import Milestone
from pytest_deploy.domain.patches import promote, set_image
from pytest_deploy.domain.rollout import HelmRevision, Phase, RolloutState
from pytest_deploy.engine import canary
from pytest_deploy.errors import DeployError, GateBreach, Refused, Rejected, ToolFailed, WaitTimedOut
from tests.unit.engine.conftest import NEW, PATCHED, WEIGHTS, Bench

Benches = Callable[..., Bench]
OTHER = NEW[:-1] + "8"


def seen_as(made: Bench, **changed: Any) -> None:
    """Let each look at the rollout show these fields instead."""
    made.alter("traffic", state=lambda original, target: replace(original(target), **changed))


def foreign_image(made: Bench) -> None:
    """Somebody sets another image by hand, right now."""
    patch = set_image(made.deploy.rollout_target(), index=0, container="api", old=made.state().image, new=OTHER)
    made.world.ports().traffic.execute(patch)


# Its start


def test_helm_starts_it(bench: Benches) -> None:
    """The first weight is one upgrade and no promote; the pods stand at the weight that was asked for."""
    made = bench()
    made.raise_to(5)
    assert made.done() == ["helm upgrade"]
    assert made.history()[-1].number == 4
    state = made.state()
    assert (state.weight_percent, state.image, state.step_index) == (5.0, NEW, 1)
    assert (made.deploy.reached, made.deploy.actual_percent) == (5, 5.0)
    assert made.deploy.new_hash == state.current_hash
    assert "new_image" in {fact.name for fact in made.told(Fact)}
    assert made.deploy.step_detail.startswith("5.0 % observed after ")


def test_an_image_patch_starts_it(bench: Benches) -> None:
    """Where no release owns the rollout, the container's image is patched, guarded by the one that was seen."""
    made = bench(release=PATCHED)
    made.raise_to(5)
    assert made.done() == ["set-image"]
    assert (made.state().weight_percent, made.state().image) == (5.0, NEW)


def test_pre_flight_is_made_up_for(bench: Benches) -> None:
    """A feature without a pre-flight gets one before the first write."""
    made = bench()
    made.alter("helm", history=lambda original, release: ())
    with pytest.raises(Refused):
        made.raise_to(5)
    assert made.done() == []
    assert not made.deploy.tx.opened


@pytest.mark.parametrize("release", [None, PATCHED], ids=["helm", "image patch"])
def test_what_changed_since_pre_flight_is_not_overwritten(bench: Benches, release: object) -> None:
    """An approval takes an hour; a hotfix that came meanwhile stays, and is no version that undo would lose."""
    made = bench() if release is None else bench(release=release)
    canary.preflight.ensure(made.deploy)
    foreign_image(made)
    made.run(2)
    with pytest.raises(Refused, match="is not what pre-flight saw"):
        made.raise_to(5)
    assert made.done() == []
    assert made.state().image == OTHER


def test_a_failed_upgrade_names_helm(bench: Benches) -> None:
    """What Helm said is passed on; the cause is in the fault grammar's words."""
    made = bench()
    made.fault("helm upgrade fails")
    with pytest.raises(ToolFailed, match="admission webhook denied") as raised:
        made.raise_to(5)
    assert raised.value.cause == "helm upgrade"
    assert made.deploy.tx.undos


# Its weights


def test_each_later_weight_is_one_guarded_promote(bench: Benches) -> None:
    """The patch names the step and the version that were seen; each weight is told with what was observed."""
    made = bench()
    made.pass_through(5)
    made.raise_to(25)
    assert made.done() == ["helm upgrade", "promote"]
    entries = made.world.ports().journal.entries()
    patch = next(e.action for e in entries if e.action is not None and e.action.summary.startswith("promote"))
    assert patch == promote(
        made.deploy.rollout_target(), step_index=1, template_hash=made.state().current_hash, weight=25
    )
    assert [(event.asked, event.state.weight_percent, event.final) for event in made.told(WeightReached)] == [
        (5, 5.0, False),
        (25, 25.0, False),
    ]


@pytest.mark.parametrize(("passed", "then"), [((), 25), ((5,), 50), ((5, 25), 100)])
def test_no_weight_without_the_one_before(bench: Benches, passed: tuple[int, ...], then: int) -> None:
    """A weight that was skipped, or whose gates have not spoken, keeps all later ones away."""
    made = bench()
    made.pass_through(*passed)
    before = made.done()
    with pytest.raises(DeployError, match="have not passed"):
        made.raise_to(then)
    assert made.done() == before


def test_a_weight_asked_for_twice_does_not_promote_past_it(bench: Benches) -> None:
    """The second promote to 25 % would go to 50 %, without a verdict at 25 %."""
    made = bench()
    made.pass_through(5)
    made.raise_to(25)
    with pytest.raises(DeployError, match="25 % may not follow 25 %"):
        made.raise_to(25)
    made.run(5)
    assert made.state().weight_percent == 25.0


def test_a_weight_that_was_never_planned(bench: Benches) -> None:
    """The message lists the ones that were."""
    made = bench()
    with pytest.raises(DeployError, match="10 % is no step of this feature; its weights are: 5 %, 25 %, 50 %, 100 %"):
        canary.stage_of(made.deploy, 10)
    made.deploy.stages = ()
    with pytest.raises(DeployError, match="its weights are: none"):
        canary.stage_of(made.deploy, 10)


def test_not_at_our_pause(bench: Benches) -> None:
    """A rollout that waits for something else is not promoted."""
    made = bench()
    made.pass_through(5)
    seen_as(made, pauses=("InconclusiveAnalysisRun",))
    with pytest.raises(DeployError, match="does not stand at our pause of 5 %: Paused at step 1"):
        made.raise_to(25)
    assert made.done() == ["helm upgrade"]


def test_somebody_promoted_meanwhile(bench: Benches) -> None:
    """The pause at 25 % is not the one of 5 %: a promote there would skip 25 % unjudged."""
    made = bench()
    made.pass_through(5)
    hand = promote(made.deploy.rollout_target(), step_index=1, template_hash=made.state().current_hash, weight=25)
    made.world.ports().traffic.execute(hand)
    made.run(60)
    assert made.state().weight_percent == 25.0
    with pytest.raises(DeployError, match="does not stand at our pause of 5 %"):
        made.raise_to(25)
    assert made.done() == ["helm upgrade"]


def test_a_refused_promote(bench: Benches) -> None:
    """An admission policy that says no ends the deploy in the grammar's words."""
    made = bench()
    made.pass_through(5)
    made.fault("promote refused")
    with pytest.raises(Rejected) as raised:
        made.raise_to(25)
    assert raised.value.cause == "promote refused"


def test_pods_that_are_never_ready(bench: Benches) -> None:
    """The wait is bounded, and its error says what was seen last."""
    made = bench()
    made.deploy.limits = replace(made.deploy.limits, step=made.deploy.limits.step / 10)
    made.fault("pods never ready at 5%")
    with pytest.raises(WaitTimedOut, match="5 % of the traffic to the canary: not within 60 s; last seen: ") as raised:
        made.raise_to(5)
    assert raised.value.cause == "pods never ready"
    assert "0/1 ready" in raised.value.last_seen
    assert made.deploy.reached is None


@pytest.mark.parametrize(
    ("fault", "cause", "says"),
    [
        ("pods crash at 5%", "pods crash", "CrashLoopBackOff"),
        ("image missing at 5%", "image missing", "ImagePullBackOff"),
    ],
)
def test_pods_that_cant_run(bench: Benches, fault: str, cause: str, says: str) -> None:
    """A pod's trouble ends the wait within seconds, with Kubernetes' own words."""
    made = bench()
    made.fault(fault)
    with pytest.raises(GateBreach, match=says) as raised:
        made.raise_to(5)
    assert raised.value.cause == cause
    assert made.world.clock.monotonic() < 30


def test_the_old_versions_pods_are_not_ours_to_judge(bench: Benches) -> None:
    """A stable pod in trouble stops nothing here: the gates tell whether it hurts."""
    made = bench()

    def troubled(original: Callable[..., Any], target: object, service: str) -> object:
        return tuple(
            replace(pod, trouble="OOMKilled") if pod.image == made.old else pod for pod in original(target, service)
        )

    made.alter("cluster", pods=troubled)
    made.raise_to(5)
    assert made.deploy.reached == 5


UNMENDABLE: tuple[tuple[dict[str, Any], str, str], ...] = (
    ({"aborted": True, "message": "RolloutAborted"}, "controller gave up: .*RolloutAborted", "rollout degraded"),
    ({"phase": Phase.DEGRADED, "message": "ProgressDeadline"}, "gave up: Degraded", "rollout degraded"),
    ({"held_by_spec": True}, "somebody paused the rollout by hand", "foreign change"),
    ({"image": OTHER}, f"the rollout wants {OTHER} now, ours is {NEW}", "foreign change"),
    ({"current_hash": "else"}, "under another version now", "foreign change"),
)


def begins(made: Bench, during: str) -> Callable[[], None]:
    """Bring the deploy right before what it is to do, and return that."""
    if during == "start":
        return lambda: made.raise_to(5)
    if during == "promote":
        made.pass_through(5)
        return lambda: made.raise_to(25)
    if during == "window":
        made.raise_to(5)
        return lambda: made.judge(5)
    made.pass_through(*WEIGHTS)
    return lambda: canary.commit(made.deploy)


@pytest.mark.parametrize(
    ("during", "changed", "says", "cause"),
    [
        (during, *case)
        for during in ("start", "promote", "window", "commit")
        for case in UNMENDABLE
        # before the first look there is no version of ours that another could be told from
        if during != "start" or "current_hash" not in case[0]
    ],
)
def test_what_no_waiting_mends(bench: Benches, during: str, changed: dict[str, Any], says: str, cause: str) -> None:
    """Abort, degradation, a manual pause and a foreign version end the deploy at once, whatever it is doing."""
    made = bench()
    go_on = begins(made, during)
    tried = len(made.done()) + (during != "window")

    def changes(original: Callable[[object], RolloutState], target: object) -> RolloutState:
        return replace(original(target), **changed) if len(made.done()) >= tried else original(target)

    made.alter("traffic", state=changes)
    began = made.world.clock.monotonic()
    with pytest.raises(DeployError, match=says) as raised:
        go_on()
    assert raised.value.cause == cause
    assert made.world.clock.monotonic() - began < 35, "one scrape to begin with, one until the first look"


def test_a_foreign_version_is_never_taken_for_ours(bench: Benches) -> None:
    """Another image that comes right after our upgrade is not judged as if it were ours."""
    made = bench()

    def overtaken(original: Callable[[object], str], action: object) -> str:
        words = original(action)
        foreign_image(made)
        return words

    made.alter("helm", execute=overtaken)
    with pytest.raises(DeployError, match="the rollout wants") as raised:
        made.raise_to(5)
    assert raised.value.cause == "foreign change"
    assert made.deploy.reached is None


def test_a_rollout_that_is_gone(bench: Benches) -> None:
    """Deleted meanwhile: said with the next move."""
    made = bench()
    made.raise_to(5)
    made.alter("traffic", state=lambda original, target: None)
    with pytest.raises(DeployError, match="the Rollout api in acme-prod/prod is gone") as raised:
        canary.watched(made.deploy)
    assert raised.value.hint


def test_a_weight_is_there_when_its_pods_are_ready(bench: Benches) -> None:
    """The controller pauses as soon as the pods are asked for: the wait goes on until they answer."""
    made = bench()
    there = 120.0

    def unready(original: Callable[[object], RolloutState], target: object) -> RolloutState:
        state = original(target)
        if made.world.clock.monotonic() >= there:
            return state
        weak = (replace(v, ready=0) if v.template_hash != state.stable_hash else v for v in state.versions)
        return replace(state, versions=tuple(weak))

    made.alter("traffic", state=unready)
    made.raise_to(5)
    assert there <= made.world.clock.monotonic() < there + 1


# While a window lasts


def test_a_pod_that_restarts_is_no_foreign_change(bench: Benches) -> None:
    """The pause is still ours: whether it hurts is for the gates to say."""
    made = bench()
    made.raise_to(5)
    state = made.state()
    weak = tuple(replace(v, ready=0) if v.template_hash == state.current_hash else v for v in state.versions)
    seen_as(made, versions=weak)
    canary.watched(made.deploy)
    assert made.deploy.reached == 5


@pytest.mark.parametrize("changed", [{"step_index": 3}, {"pauses": ()}], ids=["promoted", "unpaused"])
def test_leaving_our_pause_is(bench: Benches, changed: dict[str, Any]) -> None:
    """Somebody who promotes while it is judged is told apart from a breach."""
    made = bench()
    made.raise_to(5)
    seen_as(made, **changed)
    with pytest.raises(DeployError, match="left our pause of 5 % while it was judged") as raised:
        canary.watched(made.deploy)
    assert raised.value.cause == "foreign change"


def test_before_any_weight_there_is_no_pause_to_leave(bench: Benches) -> None:
    """A drill that watches a deploy without a canary looks at what is there."""
    made = bench()
    made.deploy.digest = made.release.image.parse(made.old).digest
    canary.watched(made.deploy)
    assert made.deploy.reached is None


# Its commitment


@pytest.mark.parametrize("passed", [(), (5,), (5, 25, 50)])
def test_nothing_is_committed_unjudged(bench: Benches, passed: tuple[int, ...]) -> None:
    """Only when the gates of every weight have passed; the message lists the ones that have not."""
    made = bench()
    made.pass_through(*passed)
    before = made.done()
    missing = [weight for weight in WEIGHTS if weight not in passed]
    with pytest.raises(DeployError) as raised:
        canary.commit(made.deploy)
    assert str(missing) in str(raised.value)
    canary.scenario_passed(made.deploy)
    assert made.done() == before
    assert not made.deploy.committed


def test_without_weights_there_is_nothing_to_commit(bench: Benches) -> None:
    """A release candidate is never promoted."""
    made = bench()
    made.deploy.stages = ()
    canary.scenario_passed(made.deploy)
    with pytest.raises(DeployError, match="the gates of no weight at all have not passed"):
        canary.commit(made.deploy)


def test_the_commitment(bench: Benches) -> None:
    """After the last gate the new version is all that runs; said once, journalled, and on top of Helm's history."""
    made = bench()
    made.pass_through(*WEIGHTS)
    assert not made.state().promoted
    for _ in range(2):
        canary.scenario_passed(made.deploy)
    assert made.done() == ["helm upgrade", "promote", "promote", "promote", "promote"]
    state = made.state()
    assert (state.promoted, state.phase, state.stable_hash) == (True, Phase.HEALTHY, made.deploy.new_hash)
    assert {pod.image for pod in made.world.ports().cluster.pods(made.deploy.rollout_target(), "api")} == {NEW}
    milestones = [e.milestone for e in made.world.ports().journal.entries() if e.milestone]
    assert milestones == [Milestone.OPENED, *[Milestone.JUDGED] * 8, Milestone.COMMITTED], (
        "no weight rises before its verdicts are kept"
    )
    facts = {fact.name: fact.value for fact in made.told(Fact)}
    assert (facts["pods_ready"], facts["revision_after"]) == ("20 of 20", "4")
    assert [event.asked for event in made.told(WeightReached) if event.final] == [100]


def test_the_commitment_of_an_image_patch(bench: Benches) -> None:
    """There is no revision to record, and Helm is not asked."""
    made = bench(release=PATCHED)
    made.alter("helm", history=lambda *_: pytest.fail("asked"))
    made.committed()
    assert made.state().promoted
    assert "revision_after" not in {fact.name for fact in made.told(Fact)}


def test_a_failed_deploy_is_not_committed(bench: Benches) -> None:
    """All weights have passed, and then something failed: no commitment by the scenario's end."""
    made = bench()
    made.pass_through(*WEIGHTS)
    made.deploy.fail(DeployError("the team's own step"))
    canary.scenario_passed(made.deploy)
    assert not made.deploy.committed


@pytest.mark.parametrize(
    "changed", [{"pauses": ("InconclusiveAnalysisRun",)}, {"step_index": 5}], ids=["other pause", "other step"]
)
def test_not_at_the_last_pause(bench: Benches, changed: dict[str, Any]) -> None:
    """The last promote is sent only from the pause of the last weight."""
    made = bench()
    made.pass_through(*WEIGHTS)
    seen_as(made, **changed)
    with pytest.raises(DeployError, match="does not stand at our pause of 100 %"):
        canary.commit(made.deploy)
    assert len(made.done()) == 4


@pytest.mark.parametrize("what", ["a pod of ours is not ready", "a pod of the old version is left", "another image"])
def test_the_promotion_must_be_whole(bench: Benches, what: str) -> None:
    """Healthy in the controller's words is not enough: every pod, and no other."""
    made = bench()
    made.pass_through(*WEIGHTS)

    def not_whole(original: Callable[[object], RolloutState], target: object) -> RolloutState:
        state = original(target)
        if not state.promoted or state.stable is None:
            return state
        if what == "a pod of the old version is left":
            left = replace(state.stable, template_hash="old", image=made.old, wanted=1, ready=1)
            return replace(state, versions=(state.stable, left))
        changed = {"ready": 19} if what == "a pod of ours is not ready" else {"image": OTHER}
        return replace(state, versions=(replace(state.stable, **changed),))

    made.alter("traffic", state=not_whole)
    with pytest.raises(WaitTimedOut, match="the new version to be the stable one: not within 600 s"):
        canary.commit(made.deploy)
    assert not made.deploy.committed


def test_a_promotion_that_does_not_come(bench: Benches) -> None:
    """A commitment that is not observed is none."""
    made = bench()
    made.pass_through(*WEIGHTS)
    made.alter("traffic", execute=lambda original, patch: None)
    with pytest.raises(WaitTimedOut, match="the new version to be the stable one: not within 600 s"):
        canary.commit(made.deploy)
    assert not made.deploy.committed


@pytest.mark.parametrize(
    ("revisions", "says"),
    [
        (
            [HelmRevision(number=5, status="deployed")],
            "revision 4 of api .* was to be deployed, the last is 5, deployed",
        ),
        ([HelmRevision(number=4, status="failed")], "the last is 4, failed"),
        ([], "Helm has no release api"),
    ],
)
def test_another_revision_than_ours(bench: Benches, revisions: list[HelmRevision], says: str) -> None:
    """A release that somebody changed meanwhile is a foreign change, although the pods are right."""
    made = bench()
    made.pass_through(*WEIGHTS)
    made.alter("helm", history=lambda original, release: tuple(revisions))
    with pytest.raises(DeployError, match=says) as raised:
        canary.commit(made.deploy)
    assert raised.value.cause == "foreign change"
