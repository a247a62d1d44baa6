"""A feature's gates without a deploy: weight after weight through the same watch, with the same pooling."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from pytest_deploy.domain.event import Reporter
from pytest_deploy.domain.judge import Judge
from pytest_deploy.domain.measurement import Kind, Objective, Reading, Role, Subject
from pytest_deploy.domain.plan import Gate, Stage, multiple_before_next
from pytest_deploy.domain.policy import Policy, Response
from pytest_deploy.domain.release import Environment
from pytest_deploy.domain.verdict import Verdict, VerdictKind
from pytest_deploy.engine.watch import Scene, watch
from pytest_deploy.ports import Clock, Metrics

__all__ = ["Judged", "Plan", "Setting", "Window", "judge_window", "replay", "subjects"]

_NO_SERIES = {Kind.SCRIPT, Kind.STEP}


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Gates that are judged together.

    Args:
        weight: percent; None: after the promotion.
    """

    weight: int | None
    gates: tuple[Gate, ...]
    scenario: str
    place: str

    @property
    def measured(self) -> tuple[Gate, ...]:
        """The gates that rest on series; programs and plain steps only run in a deploy."""
        return tuple(gate for gate in self.gates if gate.objective.kind not in _NO_SERIES)

    @property
    def length(self) -> timedelta:
        """The longest window of its gates."""
        return max((gate.window for gate in self.measured), default=timedelta())

    @property
    def where(self) -> str:
        """``25 %``, or ``after promotion``."""
        return "after promotion" if self.weight is None else f"{self.weight} %"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a feature judges, with what deploy.yaml says.

    Args:
        window: where the feature names none.
    """

    stages: tuple[Stage, ...]
    afterwards: tuple[Window, ...]
    judge: Judge
    policy: Policy
    window: timedelta

    @property
    def windows(self) -> tuple[Window, ...]:
        """All that is judged, in order."""
        weights = (
            Window(weight=each.weight, gates=each.gates, scenario=each.scenario, place=each.place)
            for each in self.stages
        )
        return (*weights, *self.afterwards)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Where one window is read.

    Args:
        extends: there is something to read past the window's end, so that a policy may extend it.
        between: called after each look.
    """

    metrics: Metrics
    clock: Clock
    canary: Subject
    control: Subject | None = None
    actual_percent: float | None = None
    divisor: float = 1
    extends: bool = True
    between: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What was said of one window.

    Args:
        verdicts: of each measured gate; None: the watch ended before it was decided.
        response: what the policy does next; None: the weight may rise.
    """

    window: Window
    verdicts: Mapping[Gate, Verdict | None]
    response: Response | None

    @property
    def passed(self) -> bool:
        """Whether each gate that blocks passed."""
        return self.response is None

    @property
    def breaker(self) -> Verdict | None:
        """The verdict that ended it; None where it passed, or where no gate of it could be judged."""
        against = [v for g, v in self.verdicts.items() if v is not None and not g.dry_run and v.kind != "PASS"]
        return min(against, key=lambda verdict: verdict.kind is not VerdictKind.FAIL, default=None)


def replay(plan: Plan, setting_of: Callable[[Window], Setting | None], emit: Reporter) -> Iterator[Judged]:
    """Yield what the plan says of each window, up to the first that is not PASS.

    Args:
        setting_of: asked once for each window, when it begins; None: there was no such window, it is left out.
        emit: is told each look and each verdict.
    """
    earlier: dict[Objective, list[Reading]] = {}
    earlier_control: dict[Objective, Reading] = {}
    for window in plan.windows:
        setting = setting_of(window)
        if setting is None:
            continue
        judged = judge_window(plan, window, setting, emit, earlier, earlier_control)
        yield judged
        if not judged.passed:
            return
        for verdict in filter(None, judged.verdicts.values()):
            if verdict.reading is not None:
                earlier.setdefault(verdict.objective, []).append(verdict.reading)
            if verdict.control:
                earlier_control[verdict.objective] = verdict.control[-1]


def judge_window(
    plan: Plan,
    window: Window,
    setting: Setting,
    emit: Reporter,
    earlier: Mapping[Objective, Sequence[Reading]],
    earlier_control: Mapping[Objective, Reading],
) -> Judged:
    """Watch one window; one without a gate that rests on a series is not passed: nothing was proved."""
    if not window.measured:
        return Judged(window=window, verdicts={}, response=plan.policy.response(VerdictKind.NO_DATA))
    scene = Scene(
        metrics=setting.metrics,
        clock=setting.clock,
        judge=plan.judge,
        policy=plan.policy if setting.extends else _without_extension(plan.policy),
        emit=emit,
        canary=setting.canary,
        control=setting.control,
        weight=window.weight,
        actual_percent=setting.actual_percent,
        divisor=setting.divisor,
        earlier=earlier,
        earlier_control=earlier_control,
        allowed_multiple=multiple_before_next(plan.stages, window.weight, plan.window),
        between=setting.between,
    )
    verdicts = watch(window.measured, scene)
    return Judged(window=window, verdicts=verdicts, response=_response(plan.policy, verdicts))


def subjects(
    service: str, environment: Environment, new_hash: str | None, stable_hash: str | None
) -> tuple[Subject, Subject | None]:
    """Return whose requests are judged, and the control beside them.

    Args:
        new_hash: the version's pod-template hash; None: all pods are read.
        stable_hash: of the stable version that runs beside it; None: there is none.
    """

    def of(role: Role, template_hash: str | None) -> Subject:
        return Subject(
            service=service,
            template_hash=template_hash,
            role=role,
            workload=environment.rollout,
            namespace=environment.namespace,
        )

    if new_hash is None:
        return of(Role.SERVICE, None), None
    return of(Role.CANARY, new_hash), None if stable_hash is None else of(Role.STABLE, stable_hash)


def _response(policy: Policy, verdicts: Mapping[Gate, Verdict | None]) -> Response | None:
    """Return what follows: taking it back goes before holding; None where nothing that blocks is against it."""
    against = [
        policy.response(verdict.kind)
        for gate, verdict in verdicts.items()
        if verdict is not None and verdict.kind is not VerdictKind.PASS and not gate.dry_run
    ]
    blocking = [verdict for gate, verdict in verdicts.items() if not gate.dry_run]
    if not blocking:
        return policy.response(VerdictKind.NO_DATA)
    return min(against, key=lambda response: response.holds, default=None)


def _without_extension(policy: Policy) -> Policy:
    back = {Response.EXTEND_THEN_HOLD: Response.HOLD, Response.EXTEND_THEN_ROLL_BACK: Response.ROLL_BACK}
    return replace(policy, responses={kind: back.get(said, said) for kind, said in policy.responses.items()})
