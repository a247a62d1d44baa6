"""What must hold whatever breaks, and whenever: errors, lost answers and deaths at any call of any port."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_deploy.domain.action import Purpose, RolloutPatch
from pytest_deploy.domain.event import ActionStarted, Event, Judged
from pytest_deploy.domain.journal import EntryState, Milestone
from pytest_deploy.domain.verdict import VerdictKind
from pytest_deploy.engine import canary, finish, phases, rollback, staging
from pytest_deploy.errors import DeployCancelled, DeployError, Faulted, RollbackError, ToolTimedOut, Unreachable
from tests.unit.engine.conftest import PATCHED, RELEASE, WEIGHTS, Bench

ERRORS: tuple[Callable[[], BaseException], ...] = (
    lambda: Unreachable("connection refused"),
    lambda: Faulted("etcdserver: request timed out"),
    lambda: ToolTimedOut("helm ran for 300 s"),
    lambda: DeployCancelled("SIGTERM"),
    lambda: ZeroDivisionError("a bug of ours"),
)
CALLS = 700
"""More than a whole deploy makes, its rollback included."""


class Dead(BaseException):
    """The process is gone, with all that it knew."""


@dataclass
class Fate:
    """When calls of ports fail: from the n-th on, for so many, before or after they have done their work."""

    first: int
    many: int
    after: bool
    error: Callable[[], BaseException]
    calls: int = 0
    met: list[str] = field(default_factory=list)

    def wrap(self, port: object) -> Any:
        """Let this port meet its fate."""
        return _Fated(port, self)


class _Fated:
    """A port whose calls are counted, and fail when it is their fate."""

    def __init__(self, port: object, fate: Fate) -> None:
        self._port = port
        self._fate = fate

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        if not callable(method):
            return method

        def call(*arguments: object) -> Any:
            fate = self._fate
            fate.calls += 1
            due = fate.first <= fate.calls < fate.first + fate.many
            if due and not fate.after:
                fate.met.append(name)
                raise fate.error()
            result = method(*arguments)
            if due:
                fate.met.append(name)
                raise fate.error()
            return result

        return call


fates = st.builds(
    Fate,
    first=st.integers(1, CALLS),
    many=st.sampled_from((1, 2, 5, 50, 10**6)),
    after=st.booleans(),
    error=st.sampled_from(ERRORS),
)
features = st.sampled_from((RELEASE, PATCHED))
faults = st.sampled_from(("", "error rate 5% at 25%", "no data at 50%", "pods crash at 5%", "helm upgrade fails"))


def fated(made: Bench, fate: Fate) -> None:
    """Let every port of the deploy meet the fate, except for journal and clock."""
    ports = made.deploy.ports
    made.use(
        replace(
            ports,
            cluster=fate.wrap(ports.cluster),
            helm=fate.wrap(ports.helm),
            traffic=fate.wrap(ports.traffic),
            metrics=fate.wrap(ports.metrics),
        )
    )


def deploy(made: Bench) -> None:
    """The whole of it, ended by whatever comes; the failure is kept as a session keeps it."""
    made.deploy.limits = replace(made.deploy.limits, window_divisor=5)
    try:
        if "staging" in made.release.environments:
            staging.install(made.deploy, "staging")
            staging.pods_run(made.deploy, "staging", timedelta(minutes=5))
        made.pass_through(*WEIGHTS)
        canary.scenario_passed(made.deploy)
        phases.holds_afterwards(made.deploy, timedelta(minutes=1), "x.feature:40")
        made.deploy.all_passed = True
    except (Exception, DeployCancelled) as error:  # noqa: BLE001 - whatever it is, the way back is what is tested
        made.deploy.fail(error)


def check_weights(events: list[Event]) -> None:
    """No promote went out before every gate of the weight that it leaves had said PASS, after it was reached."""
    passed: dict[int, set[str]] = {}
    left: list[int] = []
    for event in events:
        if isinstance(event, Judged) and event.verdict.kind is VerdictKind.PASS and event.verdict.weight is not None:
            passed.setdefault(event.verdict.weight, set()).add(event.verdict.objective.name)
        if isinstance(event, ActionStarted) and isinstance(event.action, RolloutPatch):
            if event.action.purpose is not Purpose.PROMOTE:
                continue
            weight = WEIGHTS[len(left)]
            assert passed.get(weight) == {"error rate", "p95 latency"}, f"promoted from {weight} % without a PASS"
            left.append(weight)


def check_journal(made: Bench) -> None:
    """Numbered without a gap; each DONE and FAILED answers an intent; what has a way back had it before it was done."""
    entries = made.world.ports().journal.entries()
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
    intents = {entry.seq: entry for entry in entries if entry.state is EntryState.INTENT}
    for entry in entries:
        if entry.state in {EntryState.DONE, EntryState.FAILED}:
            assert entry.intent is not None
            assert intents[entry.intent].action == entry.action
            assert entry.intent < entry.seq


def old_everywhere(made: Bench) -> bool:
    """Whether the old version serves in every environment."""
    return all(made.old_serves(name) for name in made.release.environments)


@settings(max_examples=60, deadline=None)
@given(release=features, fault=faults, fate=fates)
def test_whatever_breaks_it_ends_on_the_new_version_or_on_the_old(release: Any, fault: str, fate: Fate) -> None:
    """Committed and new everywhere, or undone and old everywhere, or a human is told what was left and what to run."""
    made = Bench(release=release)
    if fault and not (release is PATCHED and fault == "helm upgrade fails"):
        made.fault(fault)
    fated(made, fate)
    deploy(made)
    if isinstance(fate.error(), DeployCancelled):
        fate.error = ERRORS[0]  # from here on signals are only counted
    with suppress(RollbackError):
        finish.roll_back(made.deploy)
    error = made.deploy.rollback_error
    if error is not None:
        assert error.left_behind
        assert error.commands
        assert fate.met, "without anything that breaks the way back never fails"
        assert made.deploy.tx.undos, "what failed stays open"
    outcome = finish.close(made.deploy)
    check_weights(made.events)
    check_journal(made)
    made.run(120)
    if outcome.status == 0:
        assert made.deploy.committed
        assert made.state().promoted
        assert made.state().image == made.deploy.image.pinned
    elif outcome.status != 7:
        assert old_everywhere(made), outcome
    made.mend()
    made.run(60)
    if outcome.status == 7:
        assert rollback.undo_all(made.deploy), "once the world is whole again, the same function ends it"
        made.run(120)
        assert old_everywhere(made)


@settings(max_examples=60, deadline=None)
@given(release=features, first=st.integers(1, CALLS), after=st.booleans())
def test_a_journal_is_enough(release: Any, first: int, after: bool) -> None:
    """The process dies at any call: a new one that has nothing but the journal brings all back, and once is enough."""
    made = Bench(release=release)
    fated(made, Fate(first=first, many=1, after=after, error=Dead))
    with suppress(Dead):
        deploy(made)
    later = Bench(release=release)
    later.world, later.old = made.world, made.old
    later.mend()
    later.run(5)
    later.deploy.tx.resume()
    changed = bool(later.deploy.tx.undos)
    assert rollback.undo_all(later.deploy) is changed
    later.run(120)
    assert old_everywhere(later)
    done = later.done()
    assert not rollback.undo_all(later.deploy)
    assert later.done() == done


@settings(max_examples=40, deadline=None)
@given(
    release=features,
    first=st.integers(1, 60),
    many=st.sampled_from((1, 2, 10**6)),
)
def test_without_its_intent_nothing_is_done(release: Any, first: int, many: int) -> None:
    """A journal that can't be written for a while: no forward step without an intent, and the way back all the same."""
    made = Bench(release=release)
    stored: list[object] = []
    tried = 0

    def append(original: Callable[[object], None], entry: Any) -> None:
        nonlocal tried
        tried += 1
        if first <= tried < first + many:
            raise DeployError("the journal can't be written: no space left on device")
        original(entry)
        stored.append(entry.action)

    def execute(original: Callable[[object], object], action: object) -> object:
        assert action in stored or made.deploy.tx.way_back, "done without an intent"
        return original(action)

    made.alter("journal", append=append)
    made.alter("helm", execute=execute)
    made.alter("traffic", execute=execute)
    deploy(made)
    finish.roll_back(made.deploy)
    outcome = finish.close(made.deploy)
    check_weights(made.events)
    made.run(120)
    assert made.state().promoted if outcome.status == 0 else old_everywhere(made)
    seqs = [entry.seq for entry in made.world.ports().journal.entries()]
    assert seqs == list(range(1, len(seqs) + 1)), "a gap would be read as a damaged journal"


@given(st.lists(st.sampled_from((*WEIGHTS, "judge", "commit", "wait")), max_size=14))
@settings(max_examples=80, deadline=None)
def test_steps_in_any_order_skip_no_verdict(steps: list[Any]) -> None:
    """Weights, gates and the commitment in any order: each weight had its PASS before the next, or it is refused."""
    made = Bench()
    for step in steps:
        try:
            if step == "judge":
                made.judge(made.deploy.reached or 5)
            elif step == "commit":
                canary.commit(made.deploy)
            elif step == "wait":
                made.run(30)
            else:
                made.raise_to(step)
        except DeployError:
            made.run(5)
    check_weights(made.events)
    done = [each for each in made.done() if each == "promote"]
    state = made.state()
    assert state.image == made.old or made.deploy.stages[min(len(done), 3)].weight >= state.weight_percent
    rollback.undo_all(made.deploy)
    assert made.old_serves()
    milestones = [e.milestone for e in made.world.ports().journal.entries() if e.milestone]
    assert (Milestone.COMMITTED in milestones) == made.deploy.committed
