"""The record of a deploy: the one model, built from events, that note, page, JSON and Allure are made of."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pytest_deploy.domain.action import Action
from pytest_deploy.domain.event import (
    ActionDone,
    ActionFailed,
    ActionStarted,
    Attached,
    CapabilityOff,
    Decided,
    DeployEnded,
    DeployStarted,
    Event,
    Fact,
    Held,
    Judged,
    KnownGoodCaptured,
    PlanMade,
    RollbackEnded,
    RollbackStarted,
    ScenarioEnded,
    ScenarioStarted,
    StepEnded,
    StepStarted,
    Stopped,
    Warned,
    WeightReached,
)
from pytest_deploy.domain.found import Attachment
from pytest_deploy.domain.policy import Answer, Decision
from pytest_deploy.domain.rollout import KnownGood, RolloutState
from pytest_deploy.domain.verdict import Verdict

__all__ = ["ActionRecord", "AttachmentRecord", "HoldRecord", "Record", "RollbackRecord", "ScenarioRecord", "StepRecord"]

ATTACHMENTS = "attachments"
"""The folder of what is attached, in the deploy's reports."""

_ENDINGS = {"application/json": ".json", "text/markdown": ".md"}

RUNNING = "running"
"""Status of a scenario, step or action that began and has not ended."""


@dataclass(kw_only=True)
class StepRecord:
    """A Gherkin step; ``took`` is None until it ended."""

    keyword: str
    text: str
    place: str
    status: str = RUNNING
    detail: str = ""
    took: timedelta | None = None


@dataclass(kw_only=True)
class ScenarioRecord:
    """A phase with its steps."""

    title: str
    place: str = ""
    status: str = RUNNING
    reason: str = ""
    steps: list[StepRecord] = field(default_factory=list)


@dataclass(kw_only=True)
class ActionRecord:
    """A mutation: ``running`` (nobody saw it end), ``done`` or ``failed``, with its tool's words."""

    seq: int
    at: datetime
    action: Action
    command: str
    status: str = RUNNING
    said: str = ""
    took: timedelta | None = None


@dataclass(kw_only=True)
class AttachmentRecord:
    """A text of the evidence, and the step that it belongs to.

    Args:
        file: its name in the deploy's reports.
    """

    attachment: Attachment
    step: str
    file: str


@dataclass(kw_only=True)
class HoldRecord:
    """A verdict that waited for a person; ``decision`` is None while nobody has decided."""

    at: datetime
    hold: int
    verdict: Verdict
    deadline: datetime
    command: str
    decision: Decision | None = None

    @property
    def promoted(self) -> bool:
        """Whether a person has let the weight rise all the same."""
        return self.decision is not None and self.decision.answer is Answer.PROMOTE


@dataclass(kw_only=True)
class RollbackRecord:
    """A way back; ``ended`` is None while nobody knows how it went."""

    started: RollbackStarted
    actions: list[ActionRecord] = field(default_factory=list)
    ended: RollbackEnded | None = None

    @property
    def verified(self) -> bool:
        """Whether it was observed that the old version serves again."""
        return self.ended is not None and not self.ended.error


@dataclass(kw_only=True)
class Record:
    """All that is known of one deploy so far.

    Args:
        started: the deploy's first event; each later one is given to ``apply``.
    """

    started: DeployStarted
    plan: tuple[str, ...] = ()
    scenarios: list[ScenarioRecord] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    attachments: list[AttachmentRecord] = field(default_factory=list)
    known_good: KnownGood | None = None
    off: list[CapabilityOff] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    actions: list[ActionRecord] = field(default_factory=list)
    weights: list[WeightReached] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    holds: list[HoldRecord] = field(default_factory=list)
    state: RolloutState | None = None
    stopped: Stopped | None = None
    rollbacks: list[RollbackRecord] = field(default_factory=list)
    ended: DeployEnded | None = None

    def apply(self, event: Event) -> None:  # noqa: C901, PLR0912 - one flat dispatch over the events
        """Take in what happened; of looks and waits nothing is kept."""
        match event:
            case ScenarioStarted() | ScenarioEnded() | StepStarted() | StepEnded():
                self._feature(event)
            case ActionStarted() | ActionDone() | ActionFailed():
                self._action(event)
            case RollbackStarted():
                self.rollbacks.append(RollbackRecord(started=event))
                self.state = None  # whatever was seen before is no longer so
            case RollbackEnded() if self.rollbacks:
                self.rollbacks[-1].ended = event
            case PlanMade():
                self.plan = event.lines
            case Fact():
                self.facts[event.name] = event.value
            case Attached():
                self._attach(event.attachment)
            case KnownGoodCaptured():
                self.known_good = event.known_good
            case CapabilityOff():
                self.off.append(event)
            case Warned():
                self.warnings.append(event.text)
            case WeightReached():
                self.weights.append(event)
                self.state = event.state
            case Judged():
                self.verdicts.append(event.verdict)
            case Held() | Decided():
                self._hold(event)
            case Stopped():
                self.stopped = event
            case DeployEnded():
                self.ended = event
            case _:
                pass

    @property
    def committed(self) -> bool:
        """Whether the new version was seen as the stable one and nothing was taken back since."""
        return self.state is not None and self.weights[-1].final

    @property
    def needs_human(self) -> RollbackRecord | None:
        """The way back that failed, or that nobody saw the end of; None where there is none."""
        over = self.ended is not None
        bad = (each for each in self.rollbacks if (each.ended is None and over) or (each.ended and each.ended.error))
        return next(bad, None)

    def _feature(self, event: ScenarioStarted | ScenarioEnded | StepStarted | StepEnded) -> None:
        if isinstance(event, ScenarioStarted):
            self.scenarios.append(ScenarioRecord(title=event.title, place=event.place))
            return
        if isinstance(event, ScenarioEnded):
            scenario = self._scenario(event.title)
            scenario.status, scenario.reason = event.status, event.reason
            return
        scenario = self.scenarios[-1] if self.scenarios else self._scenario("")
        if isinstance(event, StepStarted):
            scenario.steps.append(StepRecord(keyword=event.keyword, text=event.text, place=event.place))
            return
        if not scenario.steps or scenario.steps[-1].status != RUNNING:
            scenario.steps.append(StepRecord(keyword=event.keyword, text=event.text, place=event.place))
        step = scenario.steps[-1]
        step.status, step.detail, step.took = event.status, event.detail, event.took

    def _attach(self, attachment: Attachment) -> None:
        steps = self.scenarios[-1].steps if self.scenarios else []
        step = f"{steps[-1].keyword} {steps[-1].text}" if steps else ""
        number = len(self.attachments) + 1
        name = re.sub(r"[^a-z0-9]+", "-", attachment.name.lower()).strip("-")[:60]
        file = f"{ATTACHMENTS}/{number:02d}-{name or 'text'}{_ENDINGS.get(attachment.media_type, '.txt')}"
        self.attachments.append(AttachmentRecord(attachment=attachment, step=step, file=file))

    def _scenario(self, title: str) -> ScenarioRecord:
        """Return the scenario that is running; one that never began (its set-up failed, or not run) is added."""
        if not self.scenarios or self.scenarios[-1].status != RUNNING:
            self.scenarios.append(ScenarioRecord(title=title))
        return self.scenarios[-1]

    def _hold(self, event: Held | Decided) -> None:
        if isinstance(event, Held):
            self.holds.append(
                HoldRecord(
                    at=event.at,
                    hold=event.hold,
                    verdict=event.verdict,
                    deadline=event.deadline,
                    command=event.command,
                )
            )
            return
        for hold in self.holds:
            if hold.hold == event.decision.hold:
                hold.decision = event.decision

    def _action(self, event: ActionStarted | ActionDone | ActionFailed) -> None:
        if isinstance(event, ActionStarted):
            new = ActionRecord(seq=event.seq, at=event.at, action=event.action, command=event.command)
            self.actions.append(new)
            if self.rollbacks and self.rollbacks[-1].ended is None:
                self.rollbacks[-1].actions.append(new)
            return
        for action in self.actions:
            if action.seq == event.seq:
                done = isinstance(event, ActionDone)
                action.status = "done" if done else "failed"
                action.said = event.observed if isinstance(event, ActionDone) else event.error
                action.took = event.took if isinstance(event, ActionDone) else event.at - action.at
