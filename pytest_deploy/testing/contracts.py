"""What any implementation of the ports must do; the real adapters and the rehearsal pass the same classes.

Subclass a contract in a test file and give it a fixture ``world``: a fresh ``World`` for each test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest

from pytest_deploy.domain.action import (
    HelmRollback,
    HelmUninstall,
    HelmUpgrade,
    RolloutPatch,
    Target,
    Undo,
    UndoKind,
    abort,
    promote,
    promote_full,
    set_image,
)
from pytest_deploy.domain.journal import Entry, EntryState, Milestone, open_undos
from pytest_deploy.domain.measurement import Kind, Objective, Reading, Subject
from pytest_deploy.domain.release import Digest, Environment, ImageRef
from pytest_deploy.domain.rollout import HelmVersion, KnownGood, Permission, Phase, RolloutState
from pytest_deploy.errors import Refused, Rejected, ToolFailed
from pytest_deploy.ports import Journal, Ports

__all__ = [
    "NEW",
    "OLD",
    "STEPS",
    "ClusterContract",
    "HelmContract",
    "JournalContract",
    "MetricsContract",
    "TrafficContract",
    "World",
]

OLD = Digest("sha256:" + "1" * 64)
NEW = Digest("sha256:" + "2" * 64)
STEPS = (5, 25, 50, 100)
"""Weights of the world's Rollout, each followed by an indefinite pause."""

ERROR_RATE = Objective(kind=Kind.ERROR_RATE, limit=0.005)
P95 = Objective(kind=Kind.LATENCY, limit=0.3, quantile=0.95)


class World(Protocol):
    """A world where one release is installed (revision 1), runs ``OLD`` on 10 pods or more, and is at rest.

    Its Rollout is a canary without a traffic router, with ``STEPS``; its requests fail never and have a p95 of
    about 120 ms; its service has series for each version.
    """

    @property
    def ports(self) -> Ports:
        """The ports under test."""
        ...

    @property
    def environment(self) -> Environment:
        """Where the release is; its names of release, rollout and container."""
        ...

    @property
    def service(self) -> str:
        """The service's name in the metrics."""
        ...

    @property
    def image(self) -> ImageRef:
        """The image that is deployed, without a digest."""
        ...

    def upgrade_to(self, digest: Digest, *, base_revision: int) -> HelmUpgrade:
        """Return the upgrade of the release to this image; nothing is done."""
        ...

    def bad_upgrade(self, *, base_revision: int) -> HelmUpgrade:
        """Return an upgrade that Helm will fail to do; nothing is done."""
        ...

    def strand(self) -> None:
        """Leave the release as a killed ``helm upgrade`` does: its last revision is pending-upgrade."""
        ...

    def make_crash(self) -> None:
        """From now on the pods of the version that is deployed next crash."""
        ...

    def make_bad(self, error_rate_ratio: float) -> None:
        """From now on the newest version that runs fails this share of its requests; 0 ends it."""
        ...

    def stop_samples(self) -> None:
        """From now on no new sample reaches the metrics server."""
        ...

    def let_time_pass(self, seconds: float) -> None:
        """Wait, or let the virtual clock run."""
        ...


class _OnRelease:
    """What the contracts share: looks at the world, and ways to move it."""

    @pytest.fixture
    def world(self) -> World:
        """Give a fresh world; a subclass overrides it."""
        raise NotImplementedError

    def release(self, world: World) -> Target:
        env = world.environment
        if env.release is None:
            msg = "the contract's world has a Helm release"
            raise ValueError(msg)
        return self._target(env, env.release)

    def rollout(self, world: World) -> Target:
        return self._target(world.environment, world.environment.rollout)

    def state(self, world: World) -> RolloutState:
        state = world.ports.traffic.state(self.rollout(world))
        assert state is not None, "the Rollout is gone"
        return state

    def until(self, world: World, what: str, done: Callable[[RolloutState], bool]) -> RolloutState:
        """Return the first look that is done; 60 s of the world's time is the limit."""
        clock = world.ports.clock
        end = clock.monotonic() + 60
        while True:
            state = self.state(world)
            if done(state):
                return state
            assert clock.monotonic() < end, f"{what}: not within 60 s; last seen: {state.words}"
            world.let_time_pass(0.3)

    def start_canary(self, world: World) -> RolloutState:
        """Upgrade to ``NEW`` and return the look at the first pause, all canary pods ready."""
        world.ports.helm.execute(world.upgrade_to(NEW, base_revision=1))
        return self.until(world, "the first pause", lambda seen: self.paused_at(seen, 1))

    def paused_at(self, state: RolloutState, index: int) -> bool:
        canary = state.version(state.current_hash)
        return (
            state.observed
            and state.at_our_pause
            and state.step_index == index
            and canary is not None
            and 0 < canary.wanted <= canary.ready
        )

    def promotion(self, world: World, state: RolloutState) -> RolloutPatch:
        assert state.step_index is not None
        return promote(self.rollout(world), step_index=state.step_index, template_hash=state.current_hash, weight=None)

    def promote_through(self, world: World, state: RolloutState) -> RolloutState:
        """Promote step by step until the new version is the stable one."""
        for index in range(1, 2 * len(STEPS), 2):
            state = self.until(world, f"pause {index}", lambda seen, index=index: self.paused_at(seen, index))  # type: ignore[misc]  # mypy can't infer a lambda with a default
            world.ports.traffic.execute(self.promotion(world, state))
        return self.until(world, "the promotion", lambda seen: seen.promoted and seen.phase is Phase.HEALTHY)

    def roll_back(self, world: World) -> None:
        timeout = timedelta(seconds=60)
        world.ports.helm.execute(HelmRollback(target=self.release(world), revision=1, timeout=timeout))

    def _target(self, env: Environment, name: str) -> Target:
        kubeconfig = None if env.kubeconfig is None else str(env.kubeconfig)
        return Target(
            environment=env.name, context=env.context, namespace=env.namespace, name=name, kubeconfig=kubeconfig
        )


class TrafficContract(_OnRelease):
    """The rollout and its controller."""

    def test_a_missing_rollout_has_no_state(self, world: World) -> None:
        """Where there is no Rollout, ``state`` is None."""
        assert world.ports.traffic.state(replace(self.rollout(world), name="not-there")) is None

    def test_at_rest_one_version_has_all_traffic(self, world: World) -> None:
        """At rest the wanted version is the stable one, alone, ready, with 100 % of the traffic."""
        state = self.state(world)
        assert (state.observed, state.promoted, state.phase, state.aborted) == (True, True, Phase.HEALTHY, False)
        assert state.image == world.image.with_digest(OLD).pinned
        assert state.weight_percent == 100
        assert [(v.digest, v.wanted, v.ready) for v in state.versions] == [(OLD, state.replicas, state.replicas)]
        assert [step.weight for step in state.steps[::2]] == list(STEPS)
        assert all(step.holds for step in state.steps[1::2])

    def test_an_upgrade_starts_a_canary_that_waits(self, world: World) -> None:
        """After ``helm upgrade`` the new version has the first weight, rounded to pods, and waits for us."""
        state = self.start_canary(world)
        assert not state.promoted
        assert state.image == world.image.with_digest(NEW).pinned
        canary, stable = state.version(state.current_hash), state.stable
        assert canary is not None
        assert stable is not None
        assert (canary.digest, stable.digest) == (NEW, OLD)
        assert state.weight_percent == pytest.approx(100 * canary.ready / (canary.ready + stable.ready))
        assert 0 < state.weight_percent < 25

    def test_the_pause_lasts_until_it_is_promoted(self, world: World) -> None:
        """Time alone moves no canary: after 5 s it stands where it stood."""
        before = self.start_canary(world)
        world.let_time_pass(5)
        after = self.state(world)
        assert (after.step_index, after.at_our_pause) == (before.step_index, True)

    def test_a_promote_ends_one_pause_once(self, world: World) -> None:
        """A promote that is sent twice is rejected the second time, and no step is skipped."""
        patch = self.promotion(world, self.start_canary(world))
        world.ports.traffic.execute(patch)
        with pytest.raises(Rejected) as caught:
            world.ports.traffic.execute(patch)
        assert "currentStepIndex" in str(caught.value) or "pauseConditions" in str(caught.value)
        state = self.until(world, "the second pause", lambda seen: self.paused_at(seen, 3))
        with pytest.raises(Rejected):
            world.ports.traffic.execute(patch)
        world.let_time_pass(3)
        assert self.paused_at(self.state(world), 3)
        assert state.steps[2].weight == STEPS[1]

    def test_a_promote_of_another_version_is_rejected(self, world: World) -> None:
        """A promote names the version that it means; where another is under way nothing is written."""
        state = self.start_canary(world)
        with pytest.raises(Rejected):
            world.ports.traffic.execute(replace(self.promotion(world, state), before=_of_version("ffffffffff")))
        world.let_time_pass(2)
        assert self.paused_at(self.state(world), 1)

    def test_an_abort_takes_all_traffic_back(self, world: World) -> None:
        """An abort brings the weight to 0, and leaves the wanted image the new one: it is no rollback."""
        state = self.start_canary(world)
        world.ports.traffic.execute(abort(self.rollout(world), template_hash=state.current_hash))
        state = self.until(
            world,
            "the abort",
            lambda seen: seen.aborted and seen.weight_percent == 0 and seen.version(seen.current_hash) is None,
        )
        assert state.phase is Phase.DEGRADED
        assert state.image == world.image.with_digest(NEW).pinned

    def test_a_release_is_rolled_back_after_an_abort_without_steps(self, world: World) -> None:
        """After abort and ``helm rollback`` the old version is the stable one at once, no step is run again."""
        state = self.start_canary(world)
        world.ports.traffic.execute(abort(self.rollout(world), template_hash=state.current_hash))
        self.roll_back(world)
        state = self.until(world, "the old version", lambda seen: seen.promoted and seen.phase is Phase.HEALTHY)
        assert (state.image, state.aborted) == (world.image.with_digest(OLD).pinned, False)
        assert state.step_index == len(state.steps)

    def test_the_last_promote_makes_the_new_version_stable(self, world: World) -> None:
        """Promoted through all pauses, only the new version has pods."""
        self.promote_through(world, self.start_canary(world))
        state = self.until(world, "only new pods", lambda seen: len(seen.versions) == 1)
        assert [(v.digest, v.ready) for v in state.versions] == [(NEW, state.replicas)]

    def test_after_the_commitment_the_way_back_skips_the_steps(self, world: World) -> None:
        """A rollback of what is promoted starts the steps anew; promote-full, sent once observed, skips them."""
        self.promote_through(world, self.start_canary(world))
        self.roll_back(world)
        state = self.until(world, "a canary of the old version", lambda seen: self.paused_at(seen, 1))
        assert state.image == world.image.with_digest(OLD).pinned
        target = self.rollout(world)
        with pytest.raises(Rejected):
            world.ports.traffic.execute(promote_full(target, observed_generation=state.observed_generation - 1))
        assert not self.state(world).promoted
        state = self._promote_full(world, state)
        assert [(v.digest, v.ready) for v in state.versions] == [(OLD, state.replicas)]

    def test_the_image_of_a_rollout_is_set_only_from_the_one_expected(self, world: World) -> None:
        """An image patch names the old image: from another one it is rejected, from this one a canary starts."""
        traffic, target, container = world.ports.traffic, self.rollout(world), world.environment.container
        index = traffic.container_index(target, container)
        old, new = (world.image.with_digest(digest).pinned for digest in (OLD, NEW))
        with pytest.raises(Rejected):
            traffic.execute(set_image(target, index=index, container=container, old=new, new=new))
        assert self.state(world).promoted
        traffic.execute(set_image(target, index=index, container=container, old=old, new=new))
        state = self.until(world, "the first pause", lambda seen: self.paused_at(seen, 1))
        assert state.image == new

    def test_an_unknown_container_is_refused(self, world: World) -> None:
        """A container that the pod template does not have has no index."""
        with pytest.raises(Refused, match="not-there"):
            world.ports.traffic.container_index(self.rollout(world), "not-there")

    def test_a_patch_of_a_missing_rollout_is_rejected(self, world: World) -> None:
        """What is not there can't be patched, and says so."""
        with pytest.raises(Rejected, match="not-there"):
            world.ports.traffic.execute(abort(replace(self.rollout(world), name="not-there"), template_hash="x"))

    def _promote_full(self, world: World, state: RolloutState) -> RolloutState:
        """Send it from a fresh look as often as the controller was faster."""
        for _ in range(5):
            try:
                world.ports.traffic.execute(
                    promote_full(self.rollout(world), observed_generation=state.observed_generation)
                )
                break
            except Rejected:
                state = self.state(world)
        return self.until(
            world, "only old pods", lambda seen: seen.promoted and len(seen.versions) == 1 and seen.observed
        )


class HelmContract(_OnRelease):
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
        images = [_image(m, world.environment.container) for m in rendered if m.get("kind") == "Rollout"]
        assert images == [world.image.with_digest(NEW).pinned]
        assert len(world.ports.helm.history(self.release(world))) == 1

    def test_the_manifest_is_that_of_what_is_deployed(self, world: World) -> None:
        """The live manifests hold the image of the deployed revision."""
        live = world.ports.helm.manifest(self.release(world))
        images = [_image(m, world.environment.container) for m in live if m.get("kind") == "Rollout"]
        assert images == [world.image.with_digest(OLD).pinned]

    def test_what_is_uninstalled_is_gone(self, world: World) -> None:
        """After an uninstall there is no history and no Rollout."""
        timeout = timedelta(seconds=60)
        world.ports.helm.execute(HelmUninstall(target=self.release(world), timeout=timeout))
        assert world.ports.helm.history(self.release(world)) == ()
        assert world.ports.traffic.state(self.rollout(world)) is None


class ClusterContract(_OnRelease):
    """Reads of the cluster."""

    def test_a_cluster_has_one_identity(self, world: World) -> None:
        """Who answers is told by server and version, twice the same."""
        first = world.ports.cluster.identity(world.environment)
        assert first.server
        assert first.version
        assert first == world.ports.cluster.identity(world.environment)

    def test_an_unknown_context_is_refused(self, world: World) -> None:
        """A context that does not exist is refused by its name."""
        with pytest.raises(Refused, match="not-there"):
            world.ports.cluster.identity(replace(world.environment, context="not-there"))

    def test_an_account_that_may_do_all_is_denied_nothing(self, world: World) -> None:
        """This world's account may patch rollouts and their status."""
        namespace = world.environment.namespace
        asked = [
            Permission(verb="patch", group="argoproj.io", resource=resource, namespace=namespace)
            for resource in ("rollouts", "rollouts/status")
        ]
        assert world.ports.cluster.denied(world.environment, asked) == ()

    def test_the_pods_are_those_of_the_rollout(self, world: World) -> None:
        """At rest each pod of the Rollout is ready, runs its image and carries the stable version's hash."""
        state = self.state(world)
        pods = world.ports.cluster.pods(self.rollout(world), world.service)
        assert len(pods) == state.replicas
        assert {(p.template_hash, p.image, p.ready, p.trouble) for p in pods} == {
            (state.stable_hash, state.image, True, "")
        }

    def test_a_missing_rollout_has_no_pods(self, world: World) -> None:
        """Where there is no Rollout there are no pods of it."""
        assert world.ports.cluster.pods(replace(self.rollout(world), name="not-there"), world.service) == ()

    def test_a_crash_is_told_in_kubernetes_words(self, world: World) -> None:
        """A pod that crashes is not ready, and its trouble says CrashLoopBackOff; the others have none."""
        world.make_crash()
        world.ports.helm.execute(world.upgrade_to(NEW, base_revision=1))
        clock, target = world.ports.clock, self.rollout(world)
        end = clock.monotonic() + 60
        troubled = []
        while not troubled and clock.monotonic() < end:
            world.let_time_pass(0.3)
            pods = world.ports.cluster.pods(target, world.service)
            troubled = [pod for pod in pods if pod.trouble]
        assert troubled, "no pod was in trouble within 60 s"
        new = self.state(world).current_hash
        assert {(pod.template_hash, pod.ready) for pod in troubled} == {(new, False)}
        assert all(pod.trouble.startswith("CrashLoopBackOff") for pod in troubled)


class MetricsContract(_OnRelease):
    """Where the numbers come from."""

    def test_the_servers_clock_is_aware_and_goes_on(self, world: World) -> None:
        """The server's now has a time zone and moves with time."""
        first = world.ports.metrics.now()
        assert first.tzinfo is not None
        world.let_time_pass(2)
        assert timedelta(seconds=1) < world.ports.metrics.now() - first < timedelta(seconds=30)

    def test_no_series_is_no_data(self, world: World) -> None:
        """A service that has no series gives no counts and no value; never zero."""
        for objective in (ERROR_RATE, P95):
            reading = self._read(world, objective, Subject(service="not-there"), scrapes=3)
            assert (reading.total, reading.value, reading.newest) == (None, None, None)

    def test_no_errors_are_zero_errors(self, world: World) -> None:
        """Requests without one failure have a value: 0."""
        reading = self._read(world, ERROR_RATE, self._all(world), scrapes=8)
        assert reading.total is not None
        assert reading.total > 0
        assert (reading.bad, reading.value, reading.problem) == (0, 0, "")

    def test_errors_are_counted(self, world: World) -> None:
        """One request in five that fails is a value of 20 %, and as many bad ones of the total."""
        world.make_bad(0.2)
        self._scrapes(world, 3)
        reading = self._read(world, ERROR_RATE, self._all(world), scrapes=10)
        assert reading.value == pytest.approx(0.2, rel=0.15)
        assert reading.total
        assert reading.bad is not None
        assert reading.bad / reading.total == pytest.approx(0.2, rel=0.15)

    def test_what_was_before_the_window_does_not_count(self, world: World) -> None:
        """A window that begins after the errors have ended holds none of them."""
        world.make_bad(0.5)
        self._scrapes(world, 6)
        world.make_bad(0.0)
        self._scrapes(world, 3)
        reading = self._read(world, ERROR_RATE, self._all(world), scrapes=8)
        assert reading.total
        assert (reading.bad, reading.value) == (0, 0)

    def test_a_window_that_has_just_begun_holds_nothing(self, world: World) -> None:
        """At the window's first moment there is no evidence yet, whatever was before."""
        self._scrapes(world, 5)
        metrics = world.ports.metrics
        reading = metrics.read(ERROR_RATE, self._all(world), metrics.now())
        assert (reading.total, reading.bad, reading.value) == (None, None, None)

    def test_a_latency_is_counted_by_its_bucket(self, world: World) -> None:
        """The p95 is about 120 ms; more than 90 % of the requests are at most as slow as the limit."""
        reading = self._read(world, P95, self._all(world), scrapes=8)
        assert reading.value is not None
        assert 0.05 < reading.value < 0.25
        assert reading.total
        assert reading.bad is not None
        assert 0 <= reading.bad / reading.total < 0.1

    def test_a_limit_without_a_bucket_has_a_value_but_no_count(self, world: World) -> None:
        """Where no bucket ends at the limit it can't be told how many are slower; the value is there."""
        reading = self._read(world, replace(P95, limit=0.27), self._all(world), scrapes=8)
        assert reading.value is not None
        assert reading.total
        assert (reading.bad, reading.problem) == (None, "")

    def test_a_version_has_series_of_its_own(self, world: World) -> None:
        """The stable version's own series hold its requests; a version that does not exist has none."""
        assert world.ports.metrics.tells_versions_apart
        stable = self.state(world).stable_hash
        reading = self._read(world, ERROR_RATE, Subject(service=world.service, template_hash=stable), scrapes=8)
        assert reading.total
        nobody = Subject(service=world.service, template_hash="ffffffffff")
        assert self._read(world, ERROR_RATE, nobody, scrapes=3).total is None

    def test_the_newest_sample_is_fresh(self, world: World) -> None:
        """While samples come, the newest is at most two scrapes old, and inside the window."""
        reading = self._read(world, ERROR_RATE, self._all(world), scrapes=8)
        assert reading.newest is not None
        assert reading.since <= reading.newest <= reading.at
        assert reading.age is not None
        assert reading.age <= 2 * world.ports.metrics.scrape_interval

    def test_samples_that_stop_grow_old(self, world: World) -> None:
        """When samples stop, the reading shows it by their age, though the counts of before are still there."""
        metrics = world.ports.metrics
        since = metrics.now()
        self._scrapes(world, 5)
        world.stop_samples()
        self._scrapes(world, 6)
        reading = metrics.read(ERROR_RATE, self._all(world), since)
        assert reading.age is None or reading.age > 2 * metrics.scrape_interval

    def test_a_reading_shows_its_queries(self, world: World) -> None:
        """The queries are in the reading, that of the value first."""
        reading = self._read(world, ERROR_RATE, self._all(world), scrapes=3)
        assert reading.queries
        assert world.service in reading.queries[0]

    def _all(self, world: World) -> Subject:
        return Subject(service=world.service)

    def _scrapes(self, world: World, count: int) -> None:
        world.let_time_pass(count * world.ports.metrics.scrape_interval.total_seconds())

    def _read(self, world: World, objective: Objective, subject: Subject, *, scrapes: int) -> Reading:
        since = world.ports.metrics.now()
        self._scrapes(world, scrapes)
        return world.ports.metrics.read(objective, subject, since)


class JournalContract:
    """A durable record, in order."""

    @pytest.fixture
    def journal(self) -> Journal:
        """Give an empty journal; a subclass overrides it."""
        raise NotImplementedError

    def test_an_empty_journal_has_no_entries(self, journal: Journal) -> None:
        """Before the first append there is nothing."""
        assert list(journal.entries()) == []

    def test_what_was_appended_is_read_back(self, journal: Journal) -> None:
        """Entries of every kind come back equal and in order."""
        entries = _entries()
        for number, entry in enumerate(entries, start=1):
            journal.append(entry)
            assert list(journal.entries()) == entries[:number]

    def test_undo_is_computed_from_what_is_read_back(self, journal: Journal) -> None:
        """The undos of what was read are those of what was written."""
        entries = _entries()
        for entry in entries:
            journal.append(entry)
        assert open_undos(journal.entries()) == open_undos(entries)
        assert open_undos(entries)


def _image(manifest: object, container: str) -> str | None:
    node = manifest
    for key in ("spec", "template", "spec", "containers"):
        node = node.get(key) if isinstance(node, dict) else None
    found = [c.get("image") for c in node if isinstance(c, dict) and c.get("name") == container] if node else []
    return str(found[0]) if found else None


def _of_version(template_hash: str) -> tuple[tuple[str, str], ...]:
    return (("/status/currentPodHash", f'"{template_hash}"'),)


def _entries() -> list[Entry]:
    """One entry of each kind, with every kind of action that is journalled."""
    target = Target(environment="prod", context="c", namespace="n", name="svc", kubeconfig="/k")
    at = datetime(2026, 11, 24, 10, 15, 0, 123456, tzinfo=UTC)
    timeout = timedelta(seconds=300.5)
    upgrade = HelmUpgrade(
        target=target,
        chart="charts/svc",
        values_files=("a.yaml", "b.yaml"),
        values=(("image.digest", f'"{NEW}"'),),
        base_revision=6,
        timeout=timeout,
        labels=(("deploy-id", "x"),),
    )
    undo = Undo(
        kind=UndoKind.RESTORE_CANARY,
        release=target,
        rollout=replace(target, kubeconfig=None),
        container="svc",
        known_good=KnownGood(revision=6, image=f"r@{OLD}", template_hash="abc"),
        timeout=timeout,
    )
    actions = (
        promote(target, step_index=1, template_hash="abc", weight=25),
        HelmRollback(target=target, revision=6, timeout=timeout),
        HelmUninstall(target=target, timeout=timeout),
    )
    entries = [
        Entry(seq=1, at=at, deploy_id="d", state=EntryState.MILESTONE, milestone=Milestone.OPENED),
        Entry(seq=2, at=at, deploy_id="d", state=EntryState.INTENT, action=upgrade, undo=undo),
        Entry(seq=3, at=at, deploy_id="d", state=EntryState.DONE, action=upgrade, intent=2, observed='it "said"\nyes'),
    ]
    for action in actions:
        entries.append(Entry(seq=len(entries) + 1, at=at, deploy_id="d", state=EntryState.INTENT, action=action))
    return entries
