"""What happens during a deploy, as values: a log for reporters; the engine knows none of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from pytest_deploy.domain.action import Action
from pytest_deploy.domain.found import Attachment
from pytest_deploy.domain.measurement import Reading, Role
from pytest_deploy.domain.outcome import Mode, Outcome
from pytest_deploy.domain.policy import Decision
from pytest_deploy.domain.rollout import KnownGood, RolloutState
from pytest_deploy.domain.verdict import Verdict

__all__ = [
    "ActionDone",
    "ActionFailed",
    "ActionStarted",
    "Attached",
    "CapabilityOff",
    "Decided",
    "DeployEnded",
    "DeployStarted",
    "Event",
    "Fact",
    "Held",
    "Judged",
    "KnownGoodCaptured",
    "Looked",
    "Measured",
    "PlanMade",
    "Reporter",
    "RollbackEnded",
    "RollbackStarted",
    "ScenarioEnded",
    "ScenarioStarted",
    "StepEnded",
    "StepStarted",
    "Stopped",
    "Waited",
    "Warned",
    "WeightReached",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployStarted:
    """A deploy begins; nothing has been contacted yet.

    Args:
        commit: git SHA of the source; None where there is no repository.
        window_divisor: windows are this many times shorter (sandbox only); 1 everywhere else.
        drill: the feature expects to be rolled back.
    """

    at: datetime
    deploy_id: str
    mode: Mode
    service: str
    environment: str
    context: str
    namespace: str
    strategy: str
    image: str
    commit: str | None
    feature: str
    feature_path: str
    reports: str
    window_divisor: float = 1
    drill: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanMade:
    """Every command and patch that the deploy would send, in order; comments begin with ``#``."""

    at: datetime
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioStarted:
    """A phase begins."""

    at: datetime
    title: str
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioEnded:
    """A phase ended: ``passed``, ``failed``, ``broken`` or ``not run``, with the reason."""

    at: datetime
    title: str
    status: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted:
    """A Gherkin step begins."""

    at: datetime
    keyword: str
    text: str
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEnded:
    """A Gherkin step ended: ``passed``, ``failed``, ``broken`` or ``off``.

    Args:
        detail: what was found, in a line; for a failed step the whole explanation.
    """

    at: datetime
    keyword: str
    text: str
    place: str
    status: str
    detail: str
    took: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Something was established that belongs in the record: ``name`` is stable, ``value`` is text.

    Known names: ``digest``, ``old_image``, ``new_image``, ``cluster``, ``helm_version``, ``revision_before``,
    ``revision_after``, ``approver``, ``pods_ready``, ``candidate`` (the record that stands for earlier phases).
    """

    at: datetime
    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """Evidence of the step that runs now: what a tool printed, what it found."""

    at: datetime
    attachment: Attachment


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownGoodCaptured:
    """What runs now was read: the target of every way back."""

    at: datetime
    known_good: KnownGood
    environment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CapabilityOff:
    """A step asks for what deploy.yaml has no section for; it passes, and is counted."""

    at: datetime
    capability: str
    section: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """Something that a person should know, and that stops nothing."""

    at: datetime
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionStarted:
    """The intent is journalled, the mutation goes out now.

    Args:
        command: the argv or patch as it is sent, one line.
    """

    at: datetime
    seq: int
    action: Action
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionDone:
    """The mutation was accepted."""

    at: datetime
    seq: int
    action: Action
    observed: str
    took: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionFailed:
    """The mutation ended in an error; it may have happened all the same."""

    at: datetime
    seq: int
    action: Action
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Waited:
    """Still waiting: what for, what was seen last, how much time is left."""

    at: datetime
    what: str
    seen: str
    left: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightReached:
    """The rollout stands at a weight, observed.

    Args:
        asked: percent.
        final: it is the promotion after the last gate, the commitment.
    """

    at: datetime
    asked: int
    state: RolloutState
    took: timedelta
    final: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One reading of one gate, as the file of measurements keeps it.

    Args:
        gate: the objective's name; ``scenario`` and ``place``: the gate's own.
        weight: percent asked for; None outside a canary step.
        offset: how long after the window's begin it was read.
    """

    gate: str
    scenario: str
    place: str
    weight: int | None
    role: Role
    offset: timedelta
    reading: Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """A gate was read while its window lasts; each line is value, limit, samples.

    Args:
        measured: what this look read, the control's readings too; () where nothing was.
    """

    at: datetime
    lines: tuple[str, ...]
    left: timedelta
    measured: tuple[Measured, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A verdict that is not PASS waits, at its weight, for a person.

    Args:
        hold: sequence number of the journal's entry, which the decision must name.
        deadline: without a decision by then it is rolled back.
        command: what a person runs to decide.
    """

    at: datetime
    verdict: Verdict
    hold: int
    deadline: datetime
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A person has decided a hold."""

    at: datetime
    decision: Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A gate was decided."""

    at: datetime
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """The first failure: later phases are not run.

    Args:
        reason: the whole explanation.
        cause: in short ("error rate").
        scenario, step, place: where in the feature; step is "" outside a step.
    """

    at: datetime
    reason: str
    cause: str
    scenario: str
    step: str
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackStarted:
    """The way back begins; from here on signals are only counted."""

    at: datetime
    cause: str
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackEnded:
    """The way back ended.

    Args:
        verified: what was observed that proves it, one line each; () when it failed.
        traffic_back: time from its start until the stable version had all traffic; None when not seen.
        took: until all was verified, or until it was given up.
        error: "" when verified; else what is wrong.
        left_behind: the state as last observed, when it failed.
        commands: what a human runs next, when it failed.
    """

    at: datetime
    target: str
    verified: tuple[str, ...]
    traffic_back: timedelta | None
    took: timedelta
    error: str = ""
    left_behind: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployEnded:
    """The deploy is over.

    Args:
        words: the last line: ``deploy <id>: COMMITTED`` and the like.
        off: how many steps passed because their capability is off.
    """

    at: datetime
    outcome: Outcome
    words: str
    off: int


Event: TypeAlias = (
    DeployStarted
    | PlanMade
    | ScenarioStarted
    | ScenarioEnded
    | StepStarted
    | StepEnded
    | Fact
    | Attached
    | KnownGoodCaptured
    | CapabilityOff
    | Warned
    | ActionStarted
    | ActionDone
    | ActionFailed
    | Waited
    | WeightReached
    | Looked
    | Held
    | Decided
    | Judged
    | Stopped
    | RollbackStarted
    | RollbackEnded
    | DeployEnded
)

Reporter: TypeAlias = Callable[[Event], None]
