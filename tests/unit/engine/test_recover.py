"""A deploy whose process is gone: wherever it died, the world ends on one version, and the journal says which."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from pytest_deploy.domain.action import HelmUpgrade, Purpose, RolloutPatch
from pytest_deploy.domain.event import RollbackStarted, Stopped
from pytest_deploy.domain.journal import Milestone
from pytest_deploy.domain.lifecycle import State, state_of
from pytest_deploy.domain.outcome import Outcome
from pytest_deploy.domain.patches import promote_full, set_image
from pytest_deploy.domain.release import ImageRef
from pytest_deploy.engine import canary, finish, staging, strangers
from pytest_deploy.engine.deploy import Deploy
from pytest_deploy.engine.recover import before_deploy, brought, recover
from pytest_deploy.errors import DeployCancelled, DeployError, LockHeld, Refused, RollbackError
from pytest_deploy.rehearsal.lock import RehearsedLock
from tests.unit.engine.conftest import NEW, PATCHED, RELEASE, WEIGHTS, Bench

PORTS = ("journal", "cluster", "helm", "traffic", "metrics", "lock")
WRITES = ("append", "execute", "acquire", "release")
Point = tuple[str, int, bool]
"""The first call of this method while the journal has so many entries; before or after it has done its work."""


class Dead(BaseException):
    """The process is gone, with all that it knew."""


@dataclass
class Life:
    """A process: its calls are noted, and it dies at one of them."""

    made: Bench
    dies: Point | None = None
    calls: dict[Point, None] = field(default_factory=dict)
    lock: RehearsedLock = field(init=False)

    def __post_init__(self) -> None:
        self.lock = self.made.world.lock("prod", "d1")

    def ports(self) -> Any:
        """The world's ports, in which this process may die."""
        ports = replace(self.made.world.ports(), lock=self.lock)
        return replace(ports, **{name: _Mortal(getattr(ports, name), self) for name in PORTS})

    def meet(self, name: str, *, after: bool) -> None:
        """Die, if it is time."""
        point = (name, len(self.made.world.ports().journal.entries()), after)
        self.calls[point] = None
        if point == self.dies:
            raise Dead

    def end(self) -> None:
        """The process is gone: nothing renews its lock, and time passes."""
        self.lock.beats = False
        self.made.mend()
        self.made.run(70)


class _Mortal:
    """A port at which a process may die."""

    def __init__(self, port: object, life: Life) -> None:
        self._port = port
        self._life = life

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        if not callable(method):
            return method

        def call(*arguments: object, **keywords: object) -> Any:
            self._life.meet(name, after=False)
            result = method(*arguments, **keywords)
            if name in WRITES:
                self._life.meet(name, after=True)
            return result

        return call


def lived(made: Bench, *, dies: Point | None = None, breaks_at: int | None = None) -> Life:
    """Let a process deploy, until it dies or to the end; its gates may break at a weight."""
    life = Life(made, dies)
    made.deploy.limits = replace(made.deploy.limits, window_divisor=20)
    made.use(life.ports())
    with suppress(Dead):
        if "staging" in made.release.environments:
            staging.install(made.deploy, "staging")
            staging.pods_run(made.deploy, "staging", timedelta(minutes=5))
        made.pass_through(*[weight for weight in WEIGHTS if breaks_at is None or weight <= breaks_at])
        if breaks_at is None:
            canary.scenario_passed(made.deploy)
            made.deploy.all_passed = True
        else:
            made.deploy.fail(DeployCancelled("SIGTERM"))
        finish.roll_back(made.deploy)
        finish.close(made.deploy)
    life.end()
    return life


def died(bench: Callable[..., Bench], name: str, entries: int, *, after: bool = False, **world: object) -> Bench:
    """A deploy whose process died at this call, a minute ago."""
    made = bench(**world)
    point = (name, entries, after)
    life = lived(made, dies=point)
    assert point in life.calls, sorted(life.calls)
    return made


def successor(made: Bench, life: Life | None = None) -> Deploy:
    """What a machine that knows nothing makes: a deploy.yaml without a digest, ports, and the dead one's id."""
    ports = life.ports() if life else replace(made.world.ports(), lock=made.world.lock("prod", "d1"))
    return Deploy(
        id="d1",
        mode=made.deploy.mode,
        release=replace(made.release, image=ImageRef.parse("ghcr.io/acme/api-renamed")),
        environment=made.release.environments["prod"],
        slo=made.deploy.slo,
        stages=(),
        limits=made.deploy.limits,
        judge=made.deploy.judge,
        ports=ports,
        emit=made.events.append,
    )


def check_end(made: Bench, outcome: Outcome | None) -> None:
    """Assert that one version serves, alone, and that the journal says so; once more there is nothing to do."""
    made.run(60)
    entries = made.world.ports().journal.entries()
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
    committed = any(entry.milestone is Milestone.COMMITTED for entry in entries)
    if committed:
        assert outcome in {None, Outcome.COMMITTED}
        assert (made.state().image, made.state().promoted) == (NEW, True)
    else:
        assert outcome in {None, Outcome.ROLLED_BACK, Outcome.STOPPED}
        assert all(made.old_serves(name) for name in made.release.environments), made.state().words
    assert state_of(entries) in {State.IDLE, State.CLOSED}
    assert made.world.lock("prod", "x").look() is None
    done = made.done()
    assert recover(successor(made)) is None
    assert made.done() == done


def points(bench: Callable[..., Bench], **options: Any) -> list[Point]:
    """Every point at which a process can die, as one that lived to the end met them."""
    made = bench(**{key: value for key, value in options.items() if key != "breaks_at"})
    return list(lived(made, breaks_at=options.get("breaks_at")).calls)


# It dies


@pytest.mark.parametrize("release", [RELEASE, PATCHED], ids=["helm", "image patch"])
def test_it_dies_at_any_call(bench: Callable[..., Bench], release: object) -> None:
    """At every call of every port, before and after its work: the old version alone, or the new one, committed."""
    ends: dict[Outcome | None, int] = {}
    for point in points(bench, release=release):
        made = bench(release=release)
        lived(made, dies=point)
        outcome = recover(successor(made))
        check_end(made, outcome)
        ends[outcome] = ends.get(outcome, 0) + 1
    assert ends.keys() == {None, Outcome.ROLLED_BACK, Outcome.STOPPED, Outcome.COMMITTED}


def test_it_dies_on_its_way_back(bench: Callable[..., Bench]) -> None:
    """A rollback that was begun is ended, whatever it was at; the cause stays the first one."""
    for point in points(bench, breaks_at=25):
        made = bench()
        lived(made, dies=point, breaks_at=25)
        begun = [e for e in made.world.ports().journal.entries() if e.milestone is Milestone.ROLLING_BACK]
        made.events.clear()
        check_end(made, recover(successor(made)))
        if begun:
            assert all(event.cause == "SIGTERM" for event in made.told(RollbackStarted))


DEATHS = {
    "the upgrade was sent": ("execute", 4, True),
    "at 25 %": ("read", 9, False),
    "the last promotion was sent": ("execute", 20, True),
    "committed": ("append", 22, True),
}


@pytest.mark.parametrize("death", DEATHS.values(), ids=DEATHS)
def test_recover_dies_itself(bench: Callable[..., Bench], death: Point) -> None:
    """Killed at any of its own calls, once more is enough."""

    def second(made: Bench, dies: Point | None) -> Life:
        life = Life(made, dies)
        with suppress(Dead):
            recover(successor(made, life))
        life.end()
        return life

    name, entries, after = death
    whole = second(died(bench, name, entries, after=after), None)
    assert whole.calls
    for point in whole.calls:
        made = died(bench, name, entries, after=after)
        second(made, point)
        check_end(made, recover(successor(made)))


class Killed(BaseException):
    """Helm is killed while it works."""


def helm_killed(made: Bench, action: str, run: Callable[[], object]) -> None:
    """Run something, and let the process and its Helm be killed in the middle of this action."""
    sleep = made.world.clock.sleep

    def executing(original: Callable[[object], str], what: Any) -> str:
        if type(what).__name__ == action:
            made.world.clock.sleep = lambda duration: (_ for _ in ()).throw(Killed)  # type: ignore[method-assign]
        return original(what)

    made.alter("helm", execute=executing)
    with pytest.raises(Killed):
        run()
    made.world.clock.sleep = sleep  # type: ignore[method-assign]
    made.mend()
    made.run(70)


def test_a_release_left_pending_is_mended_by_number(bench: Callable[..., Bench]) -> None:
    """The upgrade was killed in its hooks, the rollback of the first recover too: helm rollback to what ran before."""
    made = bench()
    helm_killed(made, "HelmUpgrade", lambda: made.raise_to(5))
    assert made.history()[-1].status == "pending-upgrade"
    first = successor(made)
    ports = first.ports
    made.alter("helm")

    def interrupted() -> None:
        first.ports = first.tx.ports = replace(ports, helm=made.deploy.ports.helm)
        recover(first)

    helm_killed(made, "HelmRollback", interrupted)
    assert made.history()[-1].status == "pending-rollback"
    cast_lock(first).beats = False
    made.run(70)
    outcome = recover(successor(made))
    assert outcome is Outcome.ROLLED_BACK
    last = made.history()[-1]
    assert (last.number, last.status, last.description) == (6, "deployed", "Rollback to 3")
    check_end(made, outcome)


def cast_lock(deploy: Deploy) -> RehearsedLock:
    """The lock of a deploy's process."""
    lock = deploy.ports.lock
    assert isinstance(lock, RehearsedLock)
    return lock


def test_it_lives(bench: Callable[..., Bench]) -> None:
    """While its process renews the lock, recover is refused and writes nothing; a second recover as well."""
    made = bench()
    lock = made.world.lock("prod", "d1")
    made.use(replace(made.world.ports(), lock=lock))
    made.pass_through(5)
    entries, state = made.world.ports().journal.entries(), made.state()
    for _ in range(2):
        made.run(90)
        with pytest.raises(LockHeld, match=r"d1 .* alive"):
            recover(successor(made))
    assert (made.world.ports().journal.entries(), made.state()) == (entries, state)
    made.pass_through(25)
    lock.beats = False
    made.run(70)
    first, entries = successor(made), made.world.ports().journal.entries()
    cast_lock(first).acquire(takeover=True)
    with pytest.raises(LockHeld):
        recover(successor(made))
    assert made.world.ports().journal.entries() == entries


def slept_through(made: Bench) -> tuple[object, ...]:
    """A process sleeps, is taken for dead and recovered; return all that may not change any more."""
    cast_lock(made.deploy).beats = False
    made.run(70)
    assert recover(successor(made)) is Outcome.ROLLED_BACK
    return world_of(made)


def world_of(made: Bench) -> tuple[object, ...]:
    """What a deploy can change."""
    return made.world.ports().journal.entries(), made.state(), made.history(), made.done()


def at_25(bench: Callable[..., Bench]) -> Bench:
    """A deploy at 25 %, with a lock."""
    made = bench()
    made.use(replace(made.world.ports(), lock=made.world.lock("prod", "d1")))
    made.pass_through(5, 25)
    return made


def test_one_that_was_taken_for_dead_wakes_up(bench: Callable[..., Bench]) -> None:
    """It goes neither forward nor back: it ends, for a human, and changes nothing."""
    made = at_25(bench)
    after = slept_through(made)
    with pytest.raises(DeployError) as raised:
        made.raise_to(50)
    made.deploy.fail(raised.value)
    with pytest.raises(RollbackError, match="the lock was lost to") as lost:
        finish.roll_back(made.deploy)
    assert len(lost.value.commands) == 1, "what somebody else ends is not ended once more by hand"
    assert finish.close(made.deploy) is Outcome.NEEDS_HUMAN
    assert world_of(made) == after


@pytest.mark.parametrize(("port", "method"), [("traffic", "execute"), ("journal", "append"), ("helm", "history")])
def test_it_sleeps_on_its_way_back(bench: Callable[..., Bench], port: str, method: str) -> None:
    """Wherever it falls asleep on its way back, it does not go on when somebody else has ended it."""
    made = at_25(bench)
    after: list[tuple[object, ...]] = []

    def sleeps(original: Callable[..., object], *arguments: object) -> object:
        if not after:
            after.append(slept_through(made))
        return original(*arguments)

    made.alter(port, **{method: sleeps})
    if method == "append":
        # What it was about to write when it fell asleep arrives all the same: the ConfigMap refuses it, memory can't.
        made.alter("journal", append=lambda original, entry: sleeps(lambda: None))
    with pytest.raises(RollbackError):
        finish.roll_back(made.deploy)
    assert world_of(made) == after[0]


# Somebody else was there


def hotfix(made: Bench) -> None:
    """Another image is wanted."""
    other = NEW[:-1] + "8"
    patch = set_image(made.deploy.rollout_target(), index=0, container="api", old=NEW, new=other)
    made.world.ports().traffic.execute(patch)


def promoted(made: Bench) -> None:
    """Somebody skips all steps that are left."""
    patch = promote_full(made.deploy.rollout_target(), observed_generation=made.state().observed_generation)
    made.world.ports().traffic.execute(patch)


def upgraded(made: Bench) -> None:
    """Somebody upgrades the release after us, by Helm and to the same image."""
    env = made.release.environments["prod"]
    action = canary.preflight.upgrade(made.deploy, env, digest=made.deploy.required_digest, base_revision=4)
    made.world.ports().helm.execute(action)


@pytest.mark.parametrize(
    ("stranger", "says"),
    [
        (hotfix, "neither ours .* nor what ran before"),
        (promoted, "at step 8, and no promotion of this deploy leads past step 3"),
        (upgraded, "revision 5 of api in acme-prod/prod is somebody else's: deployed"),
    ],
)
def test_a_stranger_is_left_alone(bench: Callable[..., Bench], stranger: Callable[[Bench], None], says: str) -> None:
    """What somebody else did over us is not touched: a human is told who and what, once more the same."""
    made = at_25(bench)
    cast_lock(made.deploy).beats = False
    stranger(made)
    made.run(70)
    history, image = made.history(), made.state().image
    for _ in range(2):
        second = successor(made)
        assert recover(second) is Outcome.NEEDS_HUMAN
        assert second.rollback_error is not None
        with pytest.raises(RollbackError, match=says):
            raise second.rollback_error
        assert len(second.rollback_error.commands) == 1
        assert " get " in second.rollback_error.commands[0]
        assert (made.history(), made.state().image) == (history, image)
        assert state_of(made.world.ports().journal.entries()) is State.NEEDS_HUMAN
        cast_lock(second).beats = False
        made.run(70)


def test_who_it_was_is_told(bench: Callable[..., Bench]) -> None:
    """What the API server knows of the last writer stands in the message, for each kind of change."""
    who = "spec last written by kubectl-edit at 2026-11-24T10:00:03Z"
    for change in ({"image": NEW[:-1] + "8"}, {"held_by_spec": True}, {"current_hash": "edited"}):
        made = at_25(bench)
        cast_lock(made.deploy).beats = False
        made.run(70)
        second = successor(made)
        seen = replace(made.state(), written_by=who, **change)
        second.ports = second.tx.ports = replace(second.ports, traffic=_Frozen(second.ports.traffic, seen))
        assert recover(second) is Outcome.NEEDS_HUMAN
        assert f"({who})" in str(second.rollback_error), change
        assert made.done()[-1] == "promote", "nothing was sent"


class _Frozen:
    """Traffic that always looks the same."""

    def __init__(self, port: object, seen: object) -> None:
        self._port = port
        self._seen = seen

    def __getattr__(self, name: str) -> Any:
        return (lambda _: self._seen) if name == "state" else getattr(self._port, name)


def test_somebody_elses_upgrade_before_ours_was_sent(bench: Callable[..., Bench]) -> None:
    """Our upgrade was only intended, and revision base+1 is another's, with other values: it is not rolled back."""
    made = died(bench, "execute", 2, after=False, release=PROD_ONLY)
    env = made.release.environments["prod"]
    other = canary.preflight.upgrade(made.deploy, env, digest=made.deploy.required_digest, base_revision=3)
    repository, _, digest = made.old.partition("@")
    values = (("image.repository", f'"{repository}"'), ("image.digest", f'"{digest}"'))
    made.world.ports().helm.execute(replace(other, values=values))
    made.run(60)
    second = successor(made)
    assert recover(second) is Outcome.NEEDS_HUMAN
    assert f"revision 4 of api in acme-prod/prod brought {made.old}, not ours" in str(second.rollback_error)
    assert made.history()[-1].number == 4


PROD_ONLY = replace(RELEASE, environments={"prod": RELEASE.environments["prod"]})


def test_the_image_was_set_back_by_hand(bench: Callable[..., Bench]) -> None:
    """Somebody has begun the same way back by hand: it is ended, and Helm's history, too."""
    made = at_25(bench)
    cast_lock(made.deploy).beats = False
    patch = set_image(made.deploy.rollout_target(), index=0, container="api", old=NEW, new=made.old)
    made.world.ports().traffic.execute(patch)
    made.run(70)
    assert made.history()[-1].description == "Upgrade complete"
    outcome = recover(successor(made))
    assert outcome is Outcome.ROLLED_BACK
    assert made.history()[-1].description == "Rollback to 3"
    check_end(made, outcome)


def test_a_journal_that_somebody_writes_in_ends_the_way_back(bench: Callable[..., Bench]) -> None:
    """Where the lock can't tell, the journal does: not a single act, and no entry."""
    made = bench()
    made.pass_through(5)
    entries, state = made.world.ports().journal.entries(), made.state()
    reads = 0

    def read(original: Callable[[], object]) -> object:
        nonlocal reads
        reads += 1
        if reads > 1:
            raise DeployError("the entries of deploy d1 were changed by somebody else", cause=strangers.FOREIGN)
        return original()

    def write(original: object, entry: object) -> None:
        raise DeployError("the entries of deploy d1 were changed by somebody else", cause=strangers.FOREIGN)

    made.alter("journal", entries=read)
    made.alter("journal", append=write)
    with pytest.raises(RollbackError, match="were changed by somebody else") as raised:
        finish.roll_back(made.deploy)
    assert len(raised.value.commands) == 1
    assert (made.world.ports().journal.entries(), made.state()) == (entries, state)


def test_a_journal_that_cant_be_read_for_a_while_stops_no_way_back(bench: Callable[..., Bench]) -> None:
    """Once it is known what to undo, an API server that does not answer for the journal changes nothing."""
    made = bench()
    made.pass_through(5)
    reads = 0

    def read(original: Callable[[], object]) -> object:
        nonlocal reads
        reads += 1
        if reads == 2:
            raise DeployError("no answer")
        return original()

    made.alter("journal", entries=read)
    finish.roll_back(made.deploy)
    assert made.old_serves()


def test_a_world_without_a_lock(bench: Callable[..., Bench]) -> None:
    """Where nobody else can reach the journal, there is no lock to take; all else is the same."""
    made = bench()
    made.pass_through(5)
    for end in (Outcome.ROLLED_BACK, None):
        second = successor(made)
        second.ports = second.tx.ports = made.world.ports()
        assert recover(second) is end
    assert made.old_serves()


def test_an_autoscaler_is_no_stranger(bench: Callable[..., Bench]) -> None:
    """Another generation and another number of pods are no evidence of a person."""
    made = at_25(bench)
    entries, state = made.world.ports().journal.entries(), made.state()
    good = made.deploy.known_good
    assert good is not None
    scaled = replace(state, replicas=40, generation=9, observed_generation=9, versions=state.versions[:1])
    strangers.check_rollout(made.deploy, made.deploy.undo, good, scaled, entries)
    with pytest.raises(DeployError, match="somebody edited it"):
        strangers.check_rollout(made.deploy, made.deploy.undo, good, replace(scaled, current_hash="x"), entries)


def test_a_human_mends_and_it_ends(bench: Callable[..., Bench]) -> None:
    """A rollback that Helm refused needs a human; once the cause is gone, recover ends it."""
    made = at_25(bench)
    cast_lock(made.deploy).beats = False
    made.run(70)
    made.fault("rollback fails")
    second = successor(made)
    assert recover(second) is Outcome.NEEDS_HUMAN
    assert second.rollback_error is not None
    assert any("helm rollback api 3" in command for command in second.rollback_error.commands)
    cast_lock(second).beats = False
    made.mend()
    made.run(70)
    check_end(made, recover(successor(made)))


# It was committed


def committed(bench: Callable[..., Bench]) -> Bench:
    """A deploy that died right after its commitment."""
    return died(bench, "append", 22, after=True)


def test_committed_is_closed_once_it_is_seen_to_serve(bench: Callable[..., Bench]) -> None:
    """Nothing is sent; the journal is closed as committed, exit status 0."""
    made = committed(bench)
    done = made.done()
    outcome = recover(successor(made))
    assert outcome is Outcome.COMMITTED
    assert outcome.status == 0
    assert made.done() == done
    check_end(made, outcome)


def test_committed_and_somebody_upgraded_since(bench: Callable[..., Bench]) -> None:
    """Helm's last revision is not the one that was committed, although the same image serves."""
    made = committed(bench)
    upgraded(made)
    made.run(60)
    second = successor(made)
    assert recover(second) is Outcome.NEEDS_HUMAN
    assert "revision 4 of api in acme-prod/prod was committed, the last is 5, deployed" in str(second.rollback_error)


def test_committed_and_gone(bench: Callable[..., Bench]) -> None:
    """The Rollout was deleted since."""
    made = committed(bench)
    second = successor(made)
    second.ports = second.tx.ports = replace(second.ports, traffic=_Frozen(second.ports.traffic, None))  # type: ignore[arg-type]
    assert recover(second) is Outcome.NEEDS_HUMAN
    assert "is gone, committed was" in str(second.rollback_error)


def test_committed_without_helm(bench: Callable[..., Bench]) -> None:
    """Where no release owns the rollout there is no revision to look at."""
    made = bench(release=PATCHED)
    point = next(each for each in points(bench, release=PATCHED) if each[0] == "append" and each[1] == 20 and each[2])
    lived(made, dies=point)
    assert made.world.ports().journal.entries()[-1].milestone is Milestone.COMMITTED
    assert recover(successor(made)) is Outcome.COMMITTED


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"image": NEW[:-1] + "8"}, "wants .*8, committed was .*9"),
        ({"image": NEW[:-1] + "8", "written_by": "spec by ann"}, r"wants .*8, committed was .*9 \(spec by ann\)"),
        ({"weight_percent": 50.0}, "the committed version to be all that serves: not within"),
    ],
)
def test_committed_and_something_else_serves(bench: Callable[..., Bench], changed: dict[str, Any], says: str) -> None:
    """It is neither taken back nor called committed: a human looks; once it is right, it is closed."""
    made = committed(bench)
    entries = made.world.ports().journal.entries()
    for _ in range(2):
        second = successor(made)
        seen = replace(made.state(), **changed)
        second.ports = second.tx.ports = replace(second.ports, traffic=_Frozen(second.ports.traffic, seen))
        assert recover(second) is Outcome.NEEDS_HUMAN
        assert second.rollback_error is not None
        assert "it is committed, and something else is seen" in str(second.rollback_error)
        assert re.search(says, str(second.rollback_error))
        assert [each for each in made.told(Stopped) if re.search(says, each.reason)]
        assert len(second.rollback_error.commands) == 1
        assert made.world.ports().journal.entries() == entries
        cast_lock(second).beats = False
        made.run(70)
    check_end(made, recover(successor(made)))


# On another machine


def test_its_targets_are_reached_from_here(bench: Callable[..., Bench]) -> None:
    """The journal carries the dead machine's context and kubeconfig; this machine's deploy.yaml has its own."""
    made = died(bench, "read", 9)
    seen: list[Any] = []
    second = successor(made)
    here = {
        name: replace(env, context=f"here-{name}", kubeconfig=f"/here/{name}")
        for name, env in made.release.environments.items()
    }
    second.release, second.environment = replace(second.release, environments=here), here["prod"]  # type: ignore[arg-type]
    ports = second.ports

    class There:
        """A port that has only the targets of this machine."""

        def __init__(self, port: object) -> None:
            self._port = port

        def __getattr__(self, name: str) -> Any:
            def call(target: Any, *more: object) -> Any:
                inner = getattr(target, "target", target)
                seen.append(inner)
                there = replace(inner, context=f"acme-{inner.environment}", kubeconfig=None)
                known = there if inner is target else replace(target, target=there)
                return getattr(self._port, name)(known, *more)

            return getattr(self._port, name) if name == "version" else call

    second.ports = second.tx.ports = replace(ports, helm=There(ports.helm), traffic=There(ports.traffic))  # type: ignore[arg-type]
    assert recover(second) is Outcome.ROLLED_BACK
    assert {(each.environment, each.context, each.kubeconfig) for each in seen} == {
        ("prod", "here-prod", "/here/prod"),
        ("staging", "here-staging", "/here/staging"),
    }


def test_a_deploy_yaml_that_lacks_an_environment(bench: Callable[..., Bench]) -> None:
    """It is refused before anything is taken back, and said which one is missing."""
    made = died(bench, "read", 9)
    second = successor(made)
    second.release = replace(second.release, environments={"prod": made.release.environments["prod"]})
    entries = made.world.ports().journal.entries()
    with pytest.raises(Refused, match=r"d1 changed staging, which this deploy.yaml does not describe"):
        recover(second)
    assert made.world.ports().journal.entries() == entries


def test_the_image_is_the_journals(bench: Callable[..., Bench]) -> None:
    """Of each environment the one that was brought there; what the way back brings is none of it."""
    made = at_25(bench)
    entries = made.world.ports().journal.entries()
    assert str(brought(entries, "prod")) == NEW
    assert str(brought(entries, "staging")) == NEW, "the same everywhere, where nothing else is known"
    assert brought(entries[:1], "prod") is None
    patched = bench(release=PATCHED)
    patched.pass_through(5)
    before = patched.world.ports().journal.entries()
    assert str(brought(before, "prod")) == NEW
    finish.rollback.undo_all(patched.deploy)
    after = patched.world.ports().journal.entries()
    assert any(
        isinstance(e.action, RolloutPatch) and e.action.purpose is Purpose.SET_IMAGE for e in after[len(before) :]
    )
    assert str(brought(after, "prod")) == NEW


def test_a_journal_that_does_not_say_the_image_needs_a_human(bench: Callable[..., Bench]) -> None:
    """What was brought is not guessed: nothing is sent."""
    made = died(bench, "read", 9)
    second = successor(made)
    journal = second.ports.journal
    entries = [
        replace(e, action=replace(e.action, values=())) if isinstance(e.action, HelmUpgrade) else e
        for e in journal.entries()
    ]
    shown = type("Shown", (), {"entries": lambda _: entries, "append": lambda _, entry: journal.append(entry)})()
    second.ports = second.tx.ports = replace(second.ports, journal=shown)
    done = made.done()
    assert recover(second) is Outcome.NEEDS_HUMAN
    assert "does not say which image it brought" in str(second.rollback_error)
    assert made.done() == done


def test_a_history_that_says_nothing_needs_a_human(bench: Callable[..., Bench]) -> None:
    """A way back that failed, and nothing open: that is no history of ours, and nothing is sent."""
    made = bench()
    made.deploy.tx.milestone(Milestone.OPENED)
    odd = replace(made.world.ports().journal.entries()[0], seq=2, milestone=Milestone.NEEDS_HUMAN)
    made.world.ports().journal.append(odd)
    second = successor(made)
    assert recover(second) is Outcome.NEEDS_HUMAN
    assert "none says what to take back" in str(second.rollback_error)
    assert made.done() == []


# Before the next deploy


def next_deploy(made: Bench) -> Deploy:
    """The next deploy, which finds the lock of the dead one."""
    second = successor(made)
    lock = made.world.lock("prod", "d2")

    def of_deploy(deploy_id: str) -> Any:
        return replace(made.world.ports(), lock=made.world.lock("prod", deploy_id))

    ports = replace(made.world.ports(), lock=lock, of_deploy=of_deploy)
    return replace_deploy(second, ports)


def replace_deploy(deploy: Deploy, ports: Any) -> Deploy:
    """Return it with another id and other ports."""
    return Deploy(
        id="d2",
        mode=deploy.mode,
        release=deploy.release,
        environment=deploy.environment,
        slo=deploy.slo,
        stages=(),
        limits=deploy.limits,
        judge=deploy.judge,
        ports=ports,
        emit=deploy.emit,
    )


def test_the_next_deploy_recovers_the_dead_one(bench: Callable[..., Bench]) -> None:
    """Its pre-flight takes the dead one back, says so in a line, and tells nothing of it as its own."""
    made = died(bench, "read", 9)
    made.events.clear()
    said = before_deploy(next_deploy(made))
    assert said == "deploy d1 (by the rehearsal) had died: ROLLED BACK, verified"
    assert made.events == []
    check_end(made, None)
    assert before_deploy(next_deploy(made)) is None


def test_the_next_deploy_stops_where_a_human_is_needed(bench: Callable[..., Bench]) -> None:
    """It does not deploy over what can't be taken back."""
    made = died(bench, "read", 9)
    hotfix(made)
    made.run(60)
    with pytest.raises(Refused, match=r"d1 .* died and can't be taken back without a human: .* neither ours"):
        before_deploy(next_deploy(made))


def test_the_next_deploy_leaves_a_living_one_alone(bench: Callable[..., Bench]) -> None:
    """A lock that is renewed, a free one, and a world without one are not its business."""
    made = at_25(bench)
    entries = made.world.ports().journal.entries()
    assert before_deploy(next_deploy(made)) is None
    assert made.world.ports().journal.entries() == entries
    assert before_deploy(next_deploy(bench())) is None
    assert before_deploy(bench().deploy) is None


def test_a_lock_left_by_one_that_had_ended(bench: Callable[..., Bench]) -> None:
    """It died between its last entry and the release: the lock is freed, nothing else happens."""
    made = died(bench, "append", 23, after=True)
    assert before_deploy(next_deploy(made)) is None
    assert made.world.lock("prod", "x").look() is None
