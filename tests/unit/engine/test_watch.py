"""One watch, without a cluster: when it ends, what it reads, what a program or a missing control does to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from pytest_deploy.domain.event import Event, Judged, Looked
from pytest_deploy.domain.measurement import Evidence, Kind, Objective, Reading, Role, Subject
from pytest_deploy.domain.plan import Gate
from pytest_deploy.domain.policy import Policy, Response
from pytest_deploy.domain.verdict import Ruling, Verdict, VerdictKind
from pytest_deploy.engine.watch import Scene, watch
from pytest_deploy.errors import DeployError, ToolTimedOut, Unreachable
from pytest_deploy.ports import ScriptResult
from pytest_deploy.testing.clock import FakeClock

SCRAPE = timedelta(seconds=15)
WINDOW = timedelta(minutes=5)
ERRORS = Objective(kind=Kind.ERROR_RATE, limit=0.005)
OVER_STABLE = Objective(kind=Kind.ERROR_RATE, limit=0.002, relative=True)
SCRIPT = Objective(kind=Kind.SCRIPT, limit=0, subject="./check-slo.sh")
CANARY = Subject(service="api", template_hash="new", role=Role.CANARY)
STABLE = Subject(service="api", template_hash="old", role=Role.STABLE)


def gate(objective: Objective = ERRORS, window: timedelta = WINDOW, **more: object) -> Gate:
    """Return a gate of one scenario."""
    return Gate(objective=objective, window=window, scenario="s", place=f"x.feature:{objective.name}", **more)  # type: ignore[arg-type]  # a table of keyword arguments


@dataclass(kw_only=True)
class Requests:
    """A metrics server where requests come at a steady rate, and none is bad."""

    clock: FakeClock
    per_s: float = 10.0
    fails: Callable[[Subject], bool] = lambda _: False
    asked: list[Subject] = field(default_factory=list)
    scrape_interval: timedelta = SCRAPE
    tells_versions_apart: bool = True

    def now(self) -> datetime:
        """Return the clock's now."""
        return self.clock.now()

    def problems(self, objective: Objective, subject: Subject) -> tuple[str, ...]:
        """Nothing is ever wrong."""
        return ()

    def read(self, objective: Objective, subject: Subject, since: datetime) -> Reading:
        """Count what came since then."""
        self.asked.append(subject)
        if self.fails(subject):
            raise Unreachable("no route")
        at = self.clock.now()
        total = self.per_s * (at - since).total_seconds()
        return Reading(since=since, at=at, newest=at, total=total, bad=0, value=0.0, queries=("q",))


@dataclass(kw_only=True)
class Says:
    """A judge that says the same at each window's end, and keeps what it was shown."""

    kind: VerdictKind = VerdictKind.PASS
    name: str = "says"
    early: VerdictKind | None = None
    asked: list[Evidence] = field(default_factory=list)

    def __call__(self, evidence: Evidence, objective: Objective) -> Ruling | None:
        """Return the ruling."""
        self.asked.append(evidence)
        kind = self.kind if evidence.over else self.early
        return None if kind is None else Ruling(kind=kind, rule="as told", cause="" if kind in "PASS FAIL" else "why")


class Bench:
    """A scene with its clock and what it told."""

    def __init__(self, judge: Says | None = None, **scene: object) -> None:
        self.clock = FakeClock()
        self.metrics = Requests(clock=self.clock)
        self.judge = judge or Says()
        self.events: list[Event] = []
        settings: dict[str, object] = {
            "metrics": self.metrics,
            "clock": self.clock,
            "judge": self.judge,
            "policy": Policy(),
            "emit": self.events.append,
            "canary": CANARY,
            "control": STABLE,
            "weight": 25,
        }
        self.scene = Scene(**(settings | scene))  # type: ignore[arg-type]  # a table of keyword arguments

    def watch(self, *gates: Gate) -> list[Verdict | None]:
        """Watch and return the verdicts in the gates' order."""
        found = watch(gates, self.scene)
        return [found[each] for each in gates]

    def one(self, each: Gate) -> Verdict:
        """Watch one gate, which gets a verdict."""
        (verdict,) = self.watch(each)
        assert verdict is not None
        return verdict

    @property
    def took(self) -> timedelta:
        """How long the watch was, without the scrape before it."""
        return timedelta(seconds=self.clock.monotonic()) - SCRAPE


def test_no_gate_is_an_error() -> None:
    """Nothing to judge is never a pass."""
    with pytest.raises(DeployError, match="without a gate"):
        Bench().watch()


def test_a_window_ends_with_its_requests() -> None:
    """At 10 requests a second 1,200 are there after two minutes: the rest of the half hour is not waited for."""
    bench = Bench()
    verdict = bench.one(gate(window=timedelta(minutes=30), requests=1200))
    assert timedelta(seconds=120) <= bench.took < timedelta(seconds=150)
    assert verdict.samples >= 1200
    last = bench.judge.asked[-1]
    assert (last.over, last.until) == (True, 1200)
    assert last.window == verdict.window < timedelta(minutes=3), "the judge is told how long it really was"


def test_requests_that_do_not_come() -> None:
    """Then time ends it, and the judge sees what there is."""
    bench = Bench(Says(kind=VerdictKind.INCONCLUSIVE), policy=Policy(responses={}))
    verdict = bench.one(gate(window=timedelta(minutes=5), requests=1_000_000))
    assert verdict.kind is VerdictKind.INCONCLUSIVE
    assert verdict.window == bench.judge.asked[-1].window == timedelta(minutes=5)


def test_a_flood_is_watched_for_some_scrapes_all_the_same() -> None:
    """However fast the requests come: one scrape shows no rate, and may be an odd one."""
    bench = Bench()
    bench.metrics.per_s = 1e6
    bench.one(gate(requests=10))
    assert bench.took >= 4 * SCRAPE


def test_the_longest_of_the_gates_counts() -> None:
    """A gate that has its requests waits for the one beside it."""
    bench = Bench()
    other = Objective(kind=Kind.LATENCY, limit=0.3, quantile=0.95)
    bench.watch(gate(requests=100), gate(other))
    assert bench.took >= WINDOW


def test_no_answer_gets_one_more_window() -> None:
    """Once, for as long again, and the judge is told so; then the verdict stands."""
    bench = Bench(Says(kind=VerdictKind.INCONCLUSIVE))
    verdict = bench.one(gate())
    assert (verdict.window, verdict.extended) == (WINDOW, WINDOW)
    assert [evidence.window for evidence in bench.judge.asked if evidence.over] == [WINDOW, 2 * WINDOW]
    assert bench.took < 2 * WINDOW + SCRAPE


def test_an_extended_watch_wants_twice_the_requests() -> None:
    """Its window ends with as many requests again, not with the first look."""
    bench = Bench(Says(kind=VerdictKind.INCONCLUSIVE))
    verdict = bench.one(gate(window=timedelta(minutes=30), requests=1200))
    assert verdict.samples >= 2400
    assert [evidence.until for evidence in bench.judge.asked if evidence.over] == [1200, 2400]


@pytest.mark.parametrize(
    ("kind", "dry_run"), [(VerdictKind.PASS, False), (VerdictKind.FAIL, False), (VerdictKind.NO_DATA, True)]
)
def test_what_has_an_answer_is_not_extended(kind: VerdictKind, dry_run: bool) -> None:
    """PASS and FAIL are answers; a dry run makes nobody wait."""
    bench = Bench(Says(kind=kind))
    assert bench.one(gate(dry_run=dry_run)).extended == timedelta()


def test_a_policy_without_extension() -> None:
    """Where deploy.yaml says to roll back at once there is no second window."""
    bench = Bench(Says(kind=VerdictKind.NO_DATA), policy=Policy(responses={VerdictKind.NO_DATA: Response.ROLL_BACK}))
    assert bench.one(gate()).extended == timedelta()


def test_a_dry_run_ends_nothing() -> None:
    """Its FAIL is told at the end, and the gates beside it get their whole window."""
    bench = Bench(Says(early=VerdictKind.FAIL, kind=VerdictKind.FAIL))
    verdict = bench.one(gate(dry_run=True))
    assert (verdict.kind, verdict.dry_run) == (VerdictKind.FAIL, True)
    assert bench.took >= WINDOW


def test_the_control_is_read_beside_the_canary() -> None:
    """At the same looks, and the judge and the verdict get it."""
    bench = Bench()
    verdict = bench.one(gate())
    assert len(verdict.control) == len(verdict.history) > 10
    measured = [each.role for event in bench.events if isinstance(event, Looked) for each in event.measured]
    assert measured[:2] == [Role.CANARY, Role.STABLE]
    assert bench.judge.asked[-1].control == verdict.control


def test_a_control_that_cant_be_read_takes_nothing_away() -> None:
    """The canary's own counts decide; nothing is made up for the stable version."""
    bench = Bench()
    bench.metrics.fails = lambda subject: subject.role is Role.STABLE
    verdict = bench.one(gate())
    assert (verdict.kind, verdict.control) == (VerdictKind.PASS, ())


def test_a_relative_gate_without_stable_pods() -> None:
    """At 100 % it is compared with what the step before had seen, and says so; with nothing where there was none."""
    before = Reading(since=FakeClock().now(), at=FakeClock().now(), newest=None, total=9, bad=0, value=0.0, queries=())
    bench = Bench(control=None, weight=100, earlier_control={OVER_STABLE: before})
    verdict = bench.one(gate(OVER_STABLE))
    assert verdict.control == (before,)
    assert "the step before" in verdict.note
    assert Bench(control=None, weight=100).one(gate(OVER_STABLE)).control == ()


class Program:
    """A gate's program that ends in the same way each time."""

    def __init__(self, *ends: int | DeployError) -> None:
        self.ends = list(ends)
        self.asked: list[tuple[str, str, int]] = []

    def check(self, path: str, service: str, weight_percent: int) -> ScriptResult:
        """Return the next end; raises where it is an error."""
        self.asked.append((path, service, weight_percent))
        end = self.ends.pop(0)
        if isinstance(end, DeployError):
            raise end
        return ScriptResult(status=end, words="said", command=f"{path} {service} {weight_percent}")


@pytest.mark.parametrize(("status", "kind"), [(0, VerdictKind.PASS), (1, VerdictKind.FAIL)])
def test_a_program_is_run_once_at_the_windows_end(status: int, kind: VerdictKind) -> None:
    """Its exit status is the verdict, its words the reason, itself the judge; of its numbers nothing is known."""
    program = Program(status)
    bench = Bench(scripts=program)
    verdict = bench.one(gate(SCRIPT))
    assert (verdict.kind, verdict.judge, verdict.reading) == (kind, "./check-slo.sh", None)
    assert verdict.ruling.rule == f"./check-slo.sh api 25 ended with {status}: said"
    assert program.asked == [("./check-slo.sh", "api", 25)]
    assert bench.took >= WINDOW
    assert bench.metrics.asked == []


@pytest.mark.parametrize("end", [2, 127, ToolTimedOut("check-slo.sh: no end within 30 s")])
def test_a_program_that_cant_tell_is_no_yes(end: int | DeployError) -> None:
    """Any other end is an ERROR: it is asked again after a second window, and then the policy speaks."""
    program = Program(end, end)
    verdict = Bench(scripts=program).one(gate(SCRIPT))
    assert (verdict.kind, verdict.ruling.cause) == (VerdictKind.ERROR, "script")
    assert len(program.asked) == 2


def test_where_no_program_can_be_run() -> None:
    """A replay has none: the gate is an ERROR, not a pass."""
    assert Bench().one(gate(SCRIPT)).kind is VerdictKind.ERROR


def test_a_server_that_never_answers() -> None:
    """The window waits for its beginning, ends all the same, and holds no reading."""
    bench = Bench(Says(kind=VerdictKind.ERROR))

    def down() -> datetime:
        raise Unreachable("no route")

    bench.metrics.now = down  # type: ignore[method-assign]  # a server that is down
    verdict = bench.one(gate())
    assert (verdict.kind, verdict.reading, verdict.history) == (VerdictKind.ERROR, None, ())
    assert "the window can't begin: no route" in bench.judge.asked[-1].unreadable


def test_each_verdict_is_told() -> None:
    """With its gate's place, so that rows of an outline can be told apart."""
    bench = Bench()
    bench.one(gate())
    (told,) = [event.verdict for event in bench.events if isinstance(event, Judged)]
    assert (told.scenario, told.place) == ("s", "x.feature:error rate")
