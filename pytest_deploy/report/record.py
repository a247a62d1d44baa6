"""The record of a deploy: the one model, built from events, that note, page, JSON and Allure are made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pytest_deploy.domain.action import Action, Json
from pytest_deploy.domain.event import (
    ActionDone,
    ActionFailed,
    ActionStarted,
    CapabilityOff,
    DeployEnded,
    DeployStarted,
    Event,
    Fact,
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
from pytest_deploy.domain.rollout import KnownGood, RolloutState
from pytest_deploy.domain.verdict import Verdict
from pytest_deploy.report.encode import to_json

__all__ = ["ActionRecord", "Record", "RollbackRecord", "ScenarioRecord", "StepRecord"]

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
    known_good: KnownGood | None = None
    off: list[CapabilityOff] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    actions: list[ActionRecord] = field(default_factory=list)
    weights: list[WeightReached] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
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

    def to_json(self) -> dict[str, Json]:
        """Return what ``deploy.json`` holds; keys are stable, times are UTC, durations seconds.

        ==================  =================================================================
        key                 value
        ==================  =================================================================
        version             of this table: 1
        id, mode            mode is ``real``, ``rehearsal`` or ``sandbox``
        outcome             ``{name, words, status}``; null while the deploy runs
        service ... commit  service, environment, context, namespace, strategy, commit
        feature             ``{name, path, drill}``
        window_divisor      windows were this many times shorter
        image               ``{asked, old, new, digest}``
        helm                ``{version, revision_before, revision_after}``
        approver, cluster, pods_ready   text as found; null where not found
        started, ended, duration_s
        known_good          ``{revision, image, template_hash}``: where a rollback goes
        weights             ``[{asked, actual_percent, at, took_s, final}]``
        traffic             the rollout as last seen; null where a rollback came after it
        gates               each verdict: value, limit, counts, window, queries, rule
        stopped             what stopped it, and where; null where nothing did
        rollbacks           ``[{started, actions, ended}]``
        actions             each mutation with its command and what its tool said
        scenarios           with their steps, as run
        off, warnings, plan, facts
        ==================  =================================================================
        """
        first, last = self.started, self.ended
        return {
            "version": 1,
            "id": first.deploy_id,
            "mode": first.mode.value,
            "outcome": None
            if last is None
            else {"name": last.outcome.name, "words": last.outcome.words, "status": last.outcome.status},
            "service": first.service,
            "environment": first.environment,
            "context": first.context,
            "namespace": first.namespace,
            "strategy": first.strategy,
            "commit": first.commit,
            "feature": {"name": first.feature, "path": first.feature_path, "drill": first.drill},
            "window_divisor": first.window_divisor,
            "image": {
                "asked": first.image,
                "old": self.facts.get("old_image"),
                "new": self.facts.get("new_image"),
                "digest": self.facts.get("digest"),
            },
            "helm": {
                "version": self.facts.get("helm_version"),
                "revision_before": self.facts.get("revision_before"),
                "revision_after": self.facts.get("revision_after"),
            },
            "approver": self.facts.get("approver"),
            "cluster": self.facts.get("cluster"),
            "pods_ready": self.facts.get("pods_ready"),
            "started": to_json(first.at),
            "ended": to_json(last.at if last else None),
            "duration_s": to_json(last.at - first.at if last else None),
            "known_good": to_json(self.known_good),
            "weights": [
                {
                    "asked": each.asked,
                    "actual_percent": each.state.weight_percent,
                    "at": to_json(each.at),
                    "took_s": to_json(each.took),
                    "final": each.final,
                }
                for each in self.weights
            ],
            "traffic": to_json(self.state),
            "gates": [_gate(verdict) for verdict in self.verdicts],
            "stopped": to_json(self.stopped),
            "rollbacks": to_json(self.rollbacks),
            "actions": to_json(self.actions),
            "scenarios": to_json(self.scenarios),
            "off": to_json(self.off),
            "warnings": to_json(self.warnings),
            "plan": to_json(self.plan),
            "facts": to_json(self.facts),
        }

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

    def _scenario(self, title: str) -> ScenarioRecord:
        """Return the scenario that is running; one that never began (its set-up failed, or not run) is added."""
        if not self.scenarios or self.scenarios[-1].status != RUNNING:
            self.scenarios.append(ScenarioRecord(title=title))
        return self.scenarios[-1]

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


def _gate(verdict: Verdict) -> dict[str, Json]:
    reading, objective = verdict.reading, verdict.objective
    return {
        "name": objective.name,
        "where": verdict.where,
        "weight": verdict.weight,
        "actual_percent": to_json(verdict.actual_percent),
        "verdict": verdict.kind.value,
        "rule": verdict.ruling.rule,
        "judge": verdict.judge,
        "value": to_json(reading.value if reading else None),
        "limit": objective.limit,
        "unit": "ratio" if objective.quantile is None else "seconds",
        "value_text": verdict.value_text,
        "limit_text": verdict.limit_text,
        "requests": to_json(reading.total if reading else None),
        "bad": to_json(reading.bad if reading else None),
        "window_s": to_json(verdict.window),
        "watched_s": to_json(verdict.watched),
        "started": to_json(verdict.started),
        "decided": to_json(verdict.decided),
        "newest_sample": to_json(reading.newest if reading else None),
        "subject": verdict.subject.words,
        "queries": to_json(reading.queries if reading else ()),
        "problem": reading.problem if reading else "",
    }
