"""The way back, from every point of a deploy: proved by looking at the world, never by what was said of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pytest_deploy.domain.action import HelmUninstall, HelmUpgrade, RolloutPatch, UndoKind
from pytest_deploy.domain.event import Fact, RollbackEnded, RollbackStarted, Warned
from pytest_deploy.domain.journal import Entry, Milestone
from pytest_deploy.domain.patches import promote, set_image
from pytest_deploy.domain.rollout import HelmRevision, KnownGood, RolloutState, Version
from pytest_deploy.engine import canary, rollback, staging
from pytest_deploy.errors import DeployError, GateBreach, Rejected, RollbackError, ToolFailed, ToolMissing, Unreachable
from tests.unit.engine.conftest import NEW, PATCHED, WEIGHTS, Bench

Benches = Callable[..., Bench]
Act = Callable[[Bench], None]


class Died(BaseException):
    """The process is gone."""


def milestones(made: Bench) -> list[Milestone]:
    """The milestones of the journal."""
    return [e.milestone for e in made.world.ports().journal.entries() if e.milestone]


def undone(made: Bench) -> list[str]:
    """Roll back, and return what that took."""
    before = len(made.done())
    assert rollback.undo_all(made.deploy)
    return made.done()[before:]


def wanting(made: Bench) -> RollbackError:
    """Roll back in vain, and return the error; nothing is claimed as rolled back."""
    with pytest.raises(RollbackError) as raised:
        rollback.undo_all(made.deploy)
    assert raised.value.left_behind
    assert milestones(made)[-1] is Milestone.NEEDS_HUMAN
    assert made.deploy.tx.undos
    return raised.value


def died_before(made: Bench) -> None:
    """The process dies when the intent is journalled and nothing is done."""
    for port in ("helm", "traffic"):
        made.alter(port, execute=lambda original, action: (_ for _ in ()).throw(Died))
    with pytest.raises(Died):
        made.raise_to(5)
    made.mend()


def died_after(made: Bench) -> None:
    """The process dies when the upgrade is done and the controller has not seen it."""

    def gone(original: Callable[[object], str], action: object) -> str:
        original(action)
        raise Died

    made.alter("helm", execute=gone)
    with pytest.raises(Died):
        made.raise_to(5)
    made.mend()
    assert not made.state().observed


def atomic(made: Bench) -> None:
    """The upgrade fails, and Helm takes it back itself."""
    made.fault("helm upgrade fails")
    with pytest.raises(ToolFailed):
        made.raise_to(5)
    assert made.history()[-1].description == "Rollback to 3"


def committed(made: Bench) -> None:
    """All the way."""
    made.committed()


def mid_promotion(made: Bench) -> None:
    """The last promote is sent, and the first look after it fails."""
    made.pass_through(*WEIGHTS)

    def look(original: Callable[[object], RolloutState], target: object) -> RolloutState:
        if len(made.done()) == len(WEIGHTS) + 1:
            raise Unreachable("no route to host")
        return original(target)

    made.alter("traffic", state=look)
    with pytest.raises(Unreachable):
        canary.commit(made.deploy)
    made.mend()


def at(*weights: int) -> Act:
    """Bring the canary through these weights."""
    return lambda made: made.pass_through(*weights)


def aborted_by_hand(made: Bench) -> None:
    """Somebody aborts the canary."""
    made.raise_to(5)
    made.world.ports().traffic.execute(
        rollback.abort(made.deploy.rollout_target(), template_hash=made.state().current_hash)
    )
    made.run(5)
    assert made.state().aborted


HELM = {
    "intent only: died before the act": (died_before, []),
    "died after the act, before the controller saw it": (died_after, ["abort", "helm rollback"]),
    "Helm's atomic rollback did it already": (atomic, []),
    "at 5 %": (at(5), ["abort", "helm rollback"]),
    "at 25 %": (at(5, 25), ["abort", "helm rollback"]),
    "at 50 %": (at(5, 25, 50), ["abort", "helm rollback"]),
    "at 100 %": (at(*WEIGHTS), ["abort", "helm rollback"]),
    "the last promote sent, nothing seen": (mid_promotion, ["abort", "helm rollback"]),
    "after the commitment": (committed, ["helm rollback", "promote-full"]),
    "aborted by hand": (aborted_by_hand, ["helm rollback"]),
}
PATCH = {
    "intent only: died before the act": (died_before, []),
    "at 5 %": (at(5), ["abort", "set-image"]),
    "at 100 %": (at(*WEIGHTS), ["abort", "set-image"]),
    "after the commitment": (committed, ["set-image", "promote-full"]),
    "aborted by hand": (aborted_by_hand, ["set-image"]),
}


def test_nothing_was_done(bench: Benches) -> None:
    """Before the first write there is nothing to take back, and nothing is done or journalled."""
    made = bench()
    canary.preflight.ensure(made.deploy)
    events = len(made.events)
    assert not rollback.undo_all(made.deploy)
    assert (milestones(made), made.done(), len(made.events)) == ([], [], events)


@pytest.mark.parametrize(("until", "takes"), HELM.values(), ids=HELM)
def test_back_with_helm(bench: Benches, until: Act, takes: list[str]) -> None:
    """From each point: exactly what is needed, the old version is all that runs, and Helm's history tells the truth."""
    made = bench()
    until(made)
    assert undone(made) == takes
    assert made.old_serves()
    last = made.history()[-1]
    assert (last.number, last.description) in {(3, "Upgrade complete"), (5, "Rollback to 3")}
    assert milestones(made)[-2:] == [Milestone.ROLLING_BACK, Milestone.ROLLED_BACK]
    (ended,) = made.told(RollbackEnded)
    assert ended.error == ""
    assert ended.verified[0].startswith(f"wanted and stable pod template: {made.old}")
    assert ended.verified[-1] == f"Helm: revision {last.number} is deployed ({last.description})"
    assert ended.traffic_back is not None
    assert ended.traffic_back <= ended.took < timedelta(seconds=60)


@pytest.mark.parametrize(("until", "takes"), PATCH.values(), ids=PATCH)
def test_back_by_image_patch(bench: Benches, until: Act, takes: list[str]) -> None:
    """Where no release owns the rollout, the image that ran before is patched back in."""
    made = bench(release=PATCHED)
    until(made)
    assert undone(made) == takes
    assert made.old_serves()
    assert made.told(RollbackEnded)[0].verified[-1] == "traffic: all of it to this version"


@pytest.mark.parametrize(("until", "takes"), HELM.values(), ids=HELM)
def test_once_more_does_nothing(bench: Benches, until: Act, takes: list[str]) -> None:
    """What is taken back is not taken back again; where only the last line of the journal is lost, it is verified."""
    made = bench()
    until(made)
    rollback.undo_all(made.deploy)
    done, state = made.done(), made.state()
    assert not rollback.undo_all(made.deploy)
    journal = made.deploy.ports.journal
    made.alter("journal", entries=lambda original: [e for e in original() if e.milestone is not Milestone.ROLLED_BACK])
    assert rollback.undo_all(made.deploy)
    assert (made.done(), made.state()) == (done, state)
    assert journal.entries()[-1].milestone is Milestone.ROLLED_BACK


def test_the_traffic_goes_first(bench: Benches) -> None:
    """Within a second all requests are answered by the old version, before Helm is asked for anything."""
    made = bench()
    made.pass_through(5)
    began = made.world.clock.monotonic()
    aborted_after: list[float] = []

    def slow(original: Callable[[object], str], action: object) -> str:
        aborted_after.append(made.world.clock.monotonic() - began)
        return original(action)

    made.alter("helm", execute=slow)
    rollback.undo_all(made.deploy)
    assert len(aborted_after) == 1
    assert aborted_after[0] < 1
    (started,) = made.told(RollbackStarted)
    assert started.target == f"api in acme-prod/prod back to {made.old}"
    assert started.cause == "the deploy ended before its commitment"


def test_the_cause_is_the_first_failure(bench: Benches) -> None:
    """What is journalled and told as the reason is what stopped the deploy."""
    made = bench()
    made.pass_through(5)
    made.deploy.fail(GateBreach("too many", cause="error rate"))
    rollback.undo_all(made.deploy)
    assert made.told(RollbackStarted)[0].cause == "error rate"
    turned = next(e for e in made.world.ports().journal.entries() if e.milestone is Milestone.ROLLING_BACK)
    assert turned.observed == "error rate"


# The controller writes the same object


@pytest.mark.parametrize(
    ("until", "purpose"), [(at(5), "abort"), (committed, "promote-full")], ids=["abort", "promote-full"]
)
@pytest.mark.parametrize("times", [1, 4, 5])
def test_a_refused_patch_is_built_anew(bench: Benches, until: Act, purpose: str, times: int) -> None:
    """A guarded patch that the server refuses is tried from a fresh look; the fifth refusal needs a human."""
    made = bench()
    until(made)
    refusals: list[RolloutPatch] = []

    def refuse(original: Callable[[object], None], patch: RolloutPatch) -> None:
        if patch.purpose == purpose and len(refusals) < times:
            refusals.append(patch)
            raise Rejected("the server rejected the patch: something moved")
        original(patch)

    made.alter("traffic", execute=refuse)
    if times < 5:
        assert undone(made).count(purpose) == times + 1
        assert made.old_serves()
        return
    error = wanting(made)
    assert "the server rejected the patch" in str(error)
    assert len(refusals) == 5
    made.mend()
    assert rollback.undo_all(made.deploy)
    assert made.old_serves()


def test_what_somebody_promoted_meanwhile_is_not_aborted(bench: Benches) -> None:
    """Between our look and our abort: the server refuses it, and the fresh look shows whose step that is."""
    made = bench()
    made.pass_through(5)

    def late(original: Callable[[object], None], patch: RolloutPatch) -> None:
        if not promoted:
            promoted.append(patch)
            by_hand = promote(patch.target, step_index=1, template_hash=made.state().current_hash, weight=25)
            made.world.ports().traffic.execute(by_hand)
            made.run(30)
        original(patch)

    promoted: list[RolloutPatch] = []
    made.alter("traffic", execute=late)
    assert "somebody promoted it, and that is not taken back" in str(wanting(made))
    assert not made.state().aborted


def test_promoted_while_it_was_aborted(bench: Benches) -> None:
    """An abort that comes just after the promotion is not obeyed: the way back goes by template and full promotion."""
    made = bench()
    made.pass_through(*WEIGHTS)
    stale = made.state()

    def late(original: Callable[[object], RolloutState], target: object) -> RolloutState:
        return original(target) if "abort" in made.done() else stale

    canary.commit(made.deploy)
    made.alter("traffic", state=late)
    assert undone(made) == ["abort", "helm rollback", "promote-full"]
    assert made.old_serves()


@pytest.mark.parametrize(
    "last",
    [
        HelmRevision(number=3, status="deployed", description="Upgrade complete"),
        HelmRevision(number=5, status="deployed", description="Rollback to 3"),
    ],
    ids=lambda last: last.description,
)
def test_helms_word_alone_is_not_believed(bench: Benches, last: HelmRevision) -> None:
    """Helm says that it is back, and the rollout still wants the new version: it is rolled back all the same."""
    made = bench()
    made.pass_through(5)

    def history(original: Callable[[object], tuple[HelmRevision, ...]], release: object) -> tuple[HelmRevision, ...]:
        return original(release) if "helm rollback" in made.done() else (*original(release)[:-1], last)

    made.alter("helm", history=history)
    assert undone(made) == ["abort", "helm rollback"]
    assert made.old_serves()


# It fails


@pytest.mark.parametrize("dies_at", [1, 2])
def test_broken_off_once_more(bench: Benches, dies_at: int) -> None:
    """In the middle of being told the truth, too: the next way back goes on from what it finds."""
    made = bench()
    made.pass_through(5)
    made.fault("rollback fails")
    wanting(made)
    made.mend()
    count = iter(range(9))

    def gone(original: Callable[[object], str], action: object) -> str:
        said = original(action)
        if next(count) == dies_at:
            raise Died
        return said

    made.alter("helm", execute=gone)
    with pytest.raises(Died):
        rollback.undo_all(made.deploy)
    made.mend()
    assert rollback.undo_all(made.deploy)
    assert made.old_serves()


def test_helm_cant_roll_back(bench: Benches) -> None:
    """What is left behind is told with the commands that go on from there; traffic is on the old version by then."""
    made = bench()
    made.pass_through(5)
    made.fault("rollback fails")
    error = wanting(made)
    assert 'the rollback failed: Error: Rollback "api" failed: admission webhook' in str(error)
    assert error.left_behind[0].startswith("Rollout api in acme-prod/prod: Degraded")
    assert error.left_behind[-1].startswith("Helm api in acme-prod/prod: revision 5 failed (Rollback")
    assert error.commands[0] == "kubectl --context acme-prod -n prod get rollouts.argoproj.io,replicasets,pods"
    assert "patch rollouts.argoproj.io api --subresource status --type merge -p" in error.commands[1]
    assert error.commands[2] == (
        "helm rollback api 3 --kube-context acme-prod --namespace prod --server-side=false --timeout 300s"
    )
    (ended,) = made.told(RollbackEnded)
    assert (ended.verified, ended.left_behind, ended.commands) == ((), error.left_behind, error.commands)
    assert "weight 0 %" in error.left_behind[0]
    made.mend()
    # Helm has recorded what it did not do, and would do nothing now: it is told first what is there.
    assert undone(made) == ["helm rollback"] * 3
    assert [r.description for r in made.history()[-3:]] == ["Rollback to 3", "Rollback to 4", "Rollback to 3"]
    assert made.old_serves()


def test_a_kubeconfig_of_its_own_stands_in_the_commands(bench: Benches) -> None:
    """A human who runs them as they stand reaches the same cluster."""
    made = bench()
    made.deploy.environment = replace(made.deploy.environment, kubeconfig=Path("/k/config"))
    made.pass_through(5)
    made.fault("rollback fails")
    for command in wanting(made).commands:
        assert " --kubeconfig /k/config " in command


def test_an_environment_that_is_not_described_is_reached_as_the_journal_says(bench: Benches) -> None:
    """Its context and kubeconfig are then the ones that it was changed by."""
    made = bench()
    made.pass_through(5)
    whole = made.deploy.tx.undos[0]
    assert whole.rollout is not None
    elsewhere = replace(whole, rollout=replace(whole.rollout, environment="gone", context="far"), release=None)
    made.alter("journal", entries=lambda original: _with(original(), elsewhere))
    with pytest.raises(RollbackError) as raised:
        rollback.undo_all(made.deploy)
    assert raised.value.commands[0].startswith("kubectl --context far ")


def test_helm_itself_is_missing(bench: Benches) -> None:
    """Not even its version is known then: the command has only flags that every Helm takes."""
    made = bench()
    made.pass_through(5)
    gone = ToolMissing("helm is not on PATH")
    for method in ("execute", "version"):
        made.alter("helm", **{method: lambda original, *what: (_ for _ in ()).throw(gone)})
    assert wanting(made).commands[2] == "helm rollback api 3 --kube-context acme-prod --namespace prod --timeout 300s"


def test_nothing_can_be_read(bench: Benches) -> None:
    """An API server that is gone is said to be, for rollout and release; the commands stand all the same."""
    made = bench()
    made.pass_through(5)
    down = Unreachable("connection refused")
    for port, method in (("traffic", "state"), ("helm", "history")):
        made.alter(port, **{method: lambda original, target: (_ for _ in ()).throw(down)})
    error = wanting(made)
    assert error.left_behind == (
        "Rollout api in acme-prod/prod: could not be read (connection refused)",
        "Helm api in acme-prod/prod: could not be read (connection refused)",
    )
    assert len(error.commands) == 3
    assert made.told(RollbackEnded)[0].traffic_back is None


@pytest.mark.parametrize("release", [None, PATCHED], ids=["helm", "image patch"])
def test_the_rollout_is_gone(bench: Benches, release: object) -> None:
    """Deleted meanwhile: a human is told, never that all is well."""
    made = bench() if release is None else bench(release=release)
    made.pass_through(5)
    made.alter("traffic", state=lambda original, target: None)
    error = wanting(made)
    assert "the Rollout api in acme-prod/prod is gone" in str(error)
    assert error.left_behind[0] == "Rollout api in acme-prod/prod: gone; wanted image -"
    assert len(error.commands) == (2 if release else 3)


def test_the_release_is_gone(bench: Benches) -> None:
    """Helm's record was deleted and the rollout stayed: that is no crash of ours, a human is told."""
    made = bench()
    made.pass_through(5)
    made.alter("helm", history=lambda original, release: ())
    assert "Helm has no release api in acme-prod/prod any more" in str(wanting(made))


def test_the_abort_is_not_obeyed(bench: Benches) -> None:
    """A controller that does nothing is not believed: the wait ends, and a human is told."""
    made = bench()
    made.pass_through(5)
    made.alter("traffic", execute=lambda original, patch: None)
    assert "the abort to be obeyed: not within 300 s" in str(wanting(made))
    assert made.told(RollbackEnded)[0].traffic_back is None


def test_a_pod_of_the_new_version_stays(bench: Benches) -> None:
    """As long as one pod of it may answer, nothing is verified."""
    made = bench()
    made.pass_through(5)
    new = made.state().current_hash

    def haunted(original: Callable[[object], RolloutState], target: object) -> RolloutState:
        state = original(target)
        ghost = Version(template_hash=new, image=NEW, wanted=0, ready=1)
        return replace(state, versions=(*(v for v in state.versions if v.template_hash != new), ghost))

    made.alter("traffic", state=haunted)
    assert "the rollback to be verified: not within 300 s" in str(wanting(made))


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"status": "pending-rollback"}, "Helm's last revision of api in acme-prod/prod is 5, pending-rollback"),
        ({"description": "Upgrade complete"}, "is 5 (Upgrade complete), not a rollback to 3"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_helms_history_must_agree(bench: Benches, changed: dict[str, str], says: str) -> None:
    """The pods are right and Helm's history is not: the next upgrade would start from the wrong place."""
    made = bench()
    made.pass_through(5)

    def history(original: Callable[[object], tuple[Any, ...]], release: object) -> object:
        found = original(release)
        return (*found[:-1], replace(found[-1], **changed)) if found[-1].number == 5 else found

    made.alter("helm", history=history)
    assert says in str(wanting(made))


def test_the_journal_must_say_where_to(bench: Benches) -> None:
    """An undo without its target is no undo."""
    made = bench()
    made.pass_through(5)
    whole = made.deploy.tx.undos[0]
    assert whole.known_good is not None
    for wrong, says in (
        (replace(whole, known_good=None), "does not say where to go back to"),
        (replace(whole, rollout=None), "does not say where to go back to"),
        (replace(whole, known_good=replace(whole.known_good, revision=None)), "no known-good revision of api"),
        (replace(whole, kind=UndoKind.UNINSTALL, release=None), "the journal names no release to remove"),
    ):
        made.alter("journal", entries=lambda original, wrong=wrong: _with(original(), wrong))
        assert says in str(wanting_again(made))
        made.mend()
    assert rollback.undo_all(made.deploy)
    assert made.old_serves()


def _with(entries: tuple[Entry, ...], undo: object) -> list[Entry]:
    return [replace(e, undo=undo) if e.undo is not None else e for e in entries]


def wanting_again(made: Bench) -> RollbackError:
    """Roll back in vain once more."""
    with pytest.raises(RollbackError) as raised:
        rollback.undo_all(made.deploy)
    return raised.value


# The journal fails


def test_a_full_disk_does_not_keep_traffic_on_the_bad_version(bench: Benches) -> None:
    """The way back was journalled at the start; that its steps can't be noted is told, and stops nothing."""
    made = bench()
    made.pass_through(5)
    full = DeployError("the journal can't be written: no space left on device")
    made.alter("journal", append=lambda original, entry: (_ for _ in ()).throw(full))
    assert rollback.undo_all(made.deploy)
    assert made.old_serves()
    assert any("no space left" in event.text for event in made.told(Warned))
    assert milestones(made) == [Milestone.OPENED, *[Milestone.JUDGED] * 2]
    made.mend()
    assert undone(made) == [], "what could not be noted is verified again"
    numbers = [entry.seq for entry in made.world.ports().journal.entries()]
    assert numbers == list(range(1, len(numbers) + 1)), "a gap would be read as a damaged journal"


def test_an_unreadable_journal_needs_a_human(bench: Benches) -> None:
    """What has to be undone can't be told: that is a failed rollback, not a crash."""
    made = bench()
    made.pass_through(5)
    damaged = DeployError(
        "the journal j is damaged, entry 2 is missing", hint="look at the cluster and at helm history"
    )
    made.alter("journal", entries=lambda original: (_ for _ in ()).throw(damaged))
    with pytest.raises(RollbackError, match="entry 2 is missing") as raised:
        rollback.undo_all(made.deploy)
    assert raised.value.left_behind[0].startswith("Rollout api in acme-prod/prod: Paused at step 1")
    assert raised.value.commands


# More than one place


def first_install(made: Bench) -> None:
    """Staging has no release yet."""
    env = made.release.environments["staging"]
    release = made.deploy.release_target(env)
    assert release is not None
    made.world.ports().helm.execute(HelmUninstall(target=release, timeout=timedelta(minutes=1)))


def test_a_first_install_is_removed(bench: Benches) -> None:
    """There was nothing before: there is nothing afterwards."""
    made = bench()
    first_install(made)
    staging.install(made.deploy, "staging")
    assert made.history("staging")
    assert undone(made) == ["helm uninstall"]
    assert made.history("staging") == ()
    (ended,) = made.told(RollbackEnded)
    assert ended.target == "api in acme-staging/staging back to nothing (it was not there before)"
    assert ended.verified == ("Helm: api in acme-staging/staging is not installed, as before",)


def test_a_first_install_that_helm_took_back(bench: Benches) -> None:
    """Helm's own atomic semantics left nothing to uninstall."""
    made = bench()
    first_install(made)
    made.fault("helm upgrade fails")
    with pytest.raises(ToolFailed):
        staging.install(made.deploy, "staging")
    assert undone(made) == []
    assert made.told(RollbackEnded)[0].error == ""


def test_an_uninstall_that_leaves_something(bench: Benches) -> None:
    """Helm said that it is gone, and it is not."""
    made = bench()
    first_install(made)
    staging.install(made.deploy, "staging")
    made.alter("helm", execute=lambda original, action: 'release "api" uninstalled')
    error = wanting(made)
    assert "is still there after helm uninstall" in str(error)
    assert error.left_behind[0].startswith("Helm api in acme-staging/staging: revision 1 deployed")


def both(made: Bench) -> None:
    """Staging is installed and runs, production is at 5 %."""
    staging.install(made.deploy, "staging")
    staging.pods_run(made.deploy, "staging", timedelta(minutes=5))
    made.pass_through(5)


def test_production_goes_back_before_staging(bench: Benches) -> None:
    """Users first; in the end both are on the old version."""
    made = bench()
    both(made)
    assert undone(made) == ["abort", "helm rollback", "helm rollback", "promote-full"]
    assert [event.target.split(" back")[0] for event in made.told(RollbackEnded)] == [
        "api in acme-prod/prod",
        "api in acme-staging/staging",
    ]
    assert made.old_serves()
    assert made.old_serves("staging")
    after = [fact.value for fact in made.told(Fact) if fact.name == "revision_after"]
    assert after == [str(made.history()[-1].number)], "the record is of production's release"


def test_one_that_fails_does_not_keep_the_other(bench: Benches) -> None:
    """Production can't be rolled back: staging is all the same, and the error is production's."""
    made = bench()
    both(made)

    def refuse(original: Callable[[object], str], action: HelmUpgrade) -> str:
        if action.target.environment == "prod":
            raise ToolFailed("Error: no ConfigMap with the name settings")
        return original(action)

    made.alter("helm", execute=refuse)
    error = wanting(made)
    assert "acme-prod" in error.commands[0]
    assert [bool(event.error) for event in made.told(RollbackEnded)] == [True, False]
    assert made.old_serves("staging")
    made.mend()
    rollback.undo_all(made.deploy)
    assert made.old_serves()
    assert made.old_serves("staging")


def test_an_error_of_our_own_does_not_keep_the_other(bench: Benches) -> None:
    """An answer that we can't read is no reason to leave staging as it is, or a human without a command."""
    made = bench()
    both(made)

    def unexpected(original: Callable[[object], RolloutState], target: Any) -> RolloutState:
        if target.environment == "prod":
            raise KeyError("currentPodHash")
        return original(target)

    made.alter("traffic", state=unexpected)
    error = wanting(made)
    assert str(error).startswith("the rollback failed: KeyError('currentPodHash')")
    assert error.left_behind[0] == "Rollout api in acme-prod/prod: could not be read ('currentPodHash')"
    assert len(error.commands) == 3
    assert made.told(RollbackEnded)[0].error == "KeyError('currentPodHash')"
    assert made.old_serves("staging")


@pytest.mark.parametrize("release", [None, PATCHED], ids=["helm", "image patch"])
def test_somebody_elses_version_is_not_overwritten(bench: Benches, release: object) -> None:
    """A hotfix that came over ours stays untouched; a human decides."""
    made = bench() if release is None else bench(release=release)
    made.pass_through(5)
    other = NEW[:-1] + "8"
    hand = set_image(made.deploy.rollout_target(), index=0, container="api", old=NEW, new=other)
    made.world.ports().traffic.execute(hand)
    made.run(60)
    before, state = made.done(), made.state()
    error = wanting(made)
    assert f"the rollout wants {other} now, neither ours ({NEW}) nor what ran before ({made.old})" in str(error)
    assert (made.done(), made.state()) == (before, state)


# The proof itself


def test_the_proof_misses_nothing(bench: Benches) -> None:
    """Each single thing that is not as it was before keeps the rollback from being verified."""
    made = bench()
    state = made.state()
    assert state.stable is not None
    good = KnownGood(revision=3, image=made.old, template_hash=state.stable_hash)
    assert len(rollback.verify(state, good)) == 3
    other = Version(template_hash="new", image=NEW, wanted=0, ready=0)
    assert rollback.verify(replace(state, versions=(*state.versions, other)), good)
    for wrong in (
        {"observed_generation": 0},
        {"current_hash": "new"},
        {"current_hash": "x", "stable_hash": "x", "versions": (replace(state.stable, template_hash="x"),)},
        {"aborted": True},
        {"image": NEW},
        {"versions": ()},
        {"versions": (replace(state.stable, image=NEW),)},
        {"versions": (replace(state.stable, ready=19),)},
        {"versions": (state.stable, replace(other, wanted=1))},
        {"versions": (state.stable, replace(other, ready=1))},
        {"weight_percent": 5.0},
    ):
        assert rollback.verify(replace(state, **wrong), good) == (), wrong


def test_a_pause_by_hand_is_told_at_once(bench: Benches) -> None:
    """A rollout that somebody paused obeys nothing: no waiting, exit to a human, with the un-pause to run first."""
    made = bench()
    made.pass_through(5)
    made.alter(
        "traffic",
        state=lambda original, target: replace(original(target), held_by_spec=True),
    )
    began = made.world.clock.monotonic()
    error = wanting(made)
    assert "paused the rollout by hand" in str(error)
    assert '{"spec":{"paused":false}}' in error.commands[1]
    assert made.world.clock.monotonic() - began < 5


def test_who_may_not_use_the_journal_has_changed_nothing(bench: Benches) -> None:
    """The first intent was refused, and so is reading: nothing can have been done, no human is called."""

    def forbidden(*_: object) -> list[Entry]:
        raise Rejected("configmaps is forbidden")

    made = bench()
    made.alter("journal", append=forbidden, entries=forbidden)
    with pytest.raises(Rejected):
        canary.raise_to(made.deploy, 5)
    assert rollback.undo_all(made.deploy) is False


def test_an_api_server_that_is_silent_before_anything_was_tried_calls_nobody(bench: Benches) -> None:
    """Where no entry was ever sent there is no way back to ask for."""
    made = bench()
    made.alter("journal", entries=lambda _original: (_ for _ in ()).throw(Unreachable("no route to host")))
    assert rollback.undo_all(made.deploy) is False
