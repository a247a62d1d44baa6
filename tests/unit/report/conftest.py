"""Deploys as the engine tells them: a good one, one that is rolled back, one whose rollback fails."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pytest_deploy.domain import action, event, patches
from pytest_deploy.domain.measurement import Bucket, Kind, Objective, Reading, Role, Subject
from pytest_deploy.domain.outcome import Mode, Outcome
from pytest_deploy.domain.policy import Answer, Decision
from pytest_deploy.domain.rollout import KnownGood, Phase, RolloutState, Version
from pytest_deploy.domain.verdict import Ruling, Verdict, VerdictKind

START = datetime(2026, 11, 24, 10, 15, tzinfo=UTC)
WINDOW = timedelta(minutes=5)
OLD = "ghcr.io/acme/checkout-api@sha256:" + "a" * 64
NEW = "ghcr.io/acme/checkout-api@sha256:" + "b" * 64
ERRORS = Objective(kind=Kind.ERROR_RATE, limit=0.005)
P95 = Objective(kind=Kind.LATENCY, limit=0.3, quantile=0.95)
TARGET = action.Target(environment="prod", context="acme-prod", namespace="prod-us-east-1", name="checkout-api")
ID = "20261124T101500Z-checkout-api-3f2a"
FEATURE = "features/prod_canary.feature"
QUERY = 'sum(increase(http_requests_total{code=~"5.."}[5m]))'


class Story:
    """Makes events at a time that only moves forward."""

    def __init__(self, mode: Mode = Mode.REAL) -> None:
        self.at = START
        self.mode = mode
        self.events: list[event.Event] = []
        self._seq = 0

    def tell(self, kind: Callable[..., event.Event], *, after_s: float = 1, **fields: object) -> None:
        """Add an event, some seconds after the one before."""
        self.at += timedelta(seconds=after_s)
        self.events.append(kind(at=self.at, **fields))

    def begin(self) -> None:
        """Tell of the start and of pre-flight."""
        self.tell(
            event.DeployStarted,
            after_s=0,
            deploy_id=ID,
            mode=self.mode,
            service="checkout-api",
            environment="prod",
            context="acme-prod",
            namespace="prod-us-east-1",
            strategy="canary",
            image="ghcr.io/acme/checkout-api",
            commit="1234567890abcdef",
            feature="prod_canary",
            feature_path=FEATURE,
            reports=f"reports/{ID}",
            window_divisor=30 if self.mode is Mode.SANDBOX else 1,
        )
        self.tell(event.PlanMade, lines=("helm upgrade checkout-api ./charts/checkout-api", "# at 5 %: watch 5 min"))
        self.tell(event.ScenarioStarted, title="Pre-flight", place=f"{FEATURE}:8")
        self.step("Given", 'the cluster is the one expected for "prod"', 9, "passed", "https://prod.example.com")
        self.tell(event.CapabilityOff, capability="open incidents are looked for", section="incidents")
        self.step("And", 'no open incident is tagged "service:checkout-api"', 10, "off", "OFF: no section")
        good = KnownGood(revision=41, image=OLD, template_hash="6f7b")
        self.tell(event.KnownGoodCaptured, known_good=good, environment="prod")
        for name, value in {"old_image": OLD, "new_image": NEW, "revision_before": "41", "approver": "@dana"}.items():
            self.tell(event.Fact, name=name, value=value)
        self.tell(event.ScenarioEnded, title="Pre-flight", status="passed")

    def step(self, keyword: str, text: str, line: int, status: str, detail: str, took_s: float = 2) -> None:
        """Tell of a step; its start too, unless that was told."""
        told = {"keyword": keyword, "text": text, "place": f"{FEATURE}:{line}"}
        if not any(isinstance(e, event.StepStarted) and e.place == told["place"] for e in self.events):
            self.tell(event.StepStarted, **told)
        self.tell(event.StepEnded, after_s=took_s, status=status, detail=detail, took=timedelta(seconds=took_s), **told)

    def act(self, act: action.Action, command: str, *, error: str = "", said: str = "patched") -> None:
        """Tell of a mutation."""
        self._seq += 1
        self.tell(event.ActionStarted, seq=self._seq, action=act, command=command)
        if error:
            self.tell(event.ActionFailed, seq=self._seq, action=act, error=error)
        else:
            self.tell(event.ActionDone, seq=self._seq, action=act, observed=said, took=timedelta(seconds=1))

    def weight(self, asked: int, *, final: bool = False) -> None:
        """Tell that a weight is reached."""
        self.tell(event.WeightReached, asked=asked, state=state(asked), took=timedelta(seconds=9), final=final)

    def canary(self, weight: int, line: int, *, error_ratio: float = 0.001) -> Verdict:
        """Tell of a canary scenario; its verdict on the error rate is returned."""
        title = f"Canary at {weight}%"
        self.tell(event.ScenarioStarted, title=title, place=f"{FEATURE}:{line}")
        told = {"keyword": "When", "text": f"{weight}% of the traffic goes to the canary"}
        self.tell(event.StepStarted, place=f"{FEATURE}:{line + 1}", **told)
        patch = patches.promote(TARGET, step_index=1, template_hash="9c1d", weight=weight)
        self.act(patch, " ".join(patch.argv()))
        for left_s in range(4, 0, -1):
            left = timedelta(seconds=left_s)
            self.tell(event.Waited, after_s=0.3, what=f"{weight} % of the traffic", seen="Progressing", left=left)
        self.weight(weight)
        self.step("When", told["text"], line + 1, "passed", f"{weight}.0 % observed")
        gate = "for 5 minutes the error rate stays at or below 0.5%"
        self.tell(event.StepStarted, keyword="Then", text=gate, place=f"{FEATURE}:{line + 2}")
        for look in range(20):
            left = WINDOW - timedelta(seconds=15 * look)
            lines = ("error rate 0.10 % (limit 0.50 %), 480 requests",)
            at = self.at + timedelta(seconds=15)
            looked = measured(weight, title, line + 2, at, look, error_ratio)
            self.tell(event.Looked, after_s=15, lines=lines, left=left, measured=looked)
        errors = verdict(ERRORS, weight, self.at, value=error_ratio)
        self.tell(event.Judged, verdict=errors)
        passed = errors.kind is VerdictKind.PASS
        if passed:
            self.tell(event.Judged, verdict=verdict(P95, weight, self.at, value=0.183))
        detail = errors.sentence if passed else errors.explanation
        self.step("Then", gate, line + 2, "passed" if passed else "failed", detail)
        if not passed:
            self.tell(
                event.Stopped,
                reason=errors.explanation,
                cause="error rate",
                scenario=title,
                step=f"Then {gate}",
                place=f"{FEATURE}:{line + 2}",
            )
        reason = "" if passed else errors.explanation
        self.tell(event.ScenarioEnded, title=title, status="passed" if passed else "failed", reason=reason)
        return errors

    def hold(self, decision: Answer | None) -> Verdict:
        """Tell of a verdict at 25 % that waits for a person, with the decision."""
        held = replace(
            verdict(ERRORS, 25, self.at + WINDOW, value=0.004),
            ruling=Ruling(
                kind=VerdictKind.INCONCLUSIVE, rule="90 requests", cause="few", needed="at least 600 requests"
            ),
            extended=WINDOW,
            decided=self.at + 2 * WINDOW,
            scenario="Canary at 25%",
            place=f"{FEATURE}:32",
        )
        self.tell(event.Judged, after_s=600, verdict=held)
        deadline = self.at + timedelta(minutes=30)
        command = f"pytest-deploy decide promote --reason TEXT  # or abort; deploy {ID}"
        self.tell(event.Held, verdict=held, hold=17, deadline=deadline, command=command)
        for minute in range(1, 4):
            left = timedelta(minutes=30 - minute)
            self.tell(event.Waited, after_s=60, what="a decision", seen="none yet", left=left)
        if decision is not None:
            made = Decision(hold=17, answer=decision, by="@kim", reason="known batch job", at=self.at)
            self.tell(event.Decided, decision=made)
        return held

    def roll_back(self, *, error: str = "") -> None:
        """Tell of the way back."""
        where = f"checkout-api in acme-prod/prod-us-east-1 back to {OLD}"
        self.tell(event.RollbackStarted, cause="error rate", target=where)
        patch = patches.abort(TARGET, template_hash="9c1d")
        self.act(patch, " ".join(patch.argv()))
        rollback = action.HelmRollback(target=TARGET, revision=41, timeout=WINDOW)
        self.act(rollback, "helm rollback checkout-api 41", error=error, said="Rollback was a success!")
        proof = (f"wanted and stable pod template: {OLD}", "pods of it ready: 10 of 10; pods of any other version: 0")
        self.tell(
            event.RollbackEnded,
            target=where,
            verified=() if error else proof,
            traffic_back=timedelta(seconds=3),
            took=timedelta(seconds=11.4),
            error=error,
            left_behind=("Rollout checkout-api: Degraded", "Helm checkout-api: revision 42 failed") if error else (),
            commands=("helm --kube-context acme-prod -n prod-us-east-1 rollback checkout-api 41",) if error else (),
        )

    def end(self, outcome: Outcome) -> None:
        """Tell of the end."""
        words = f"deploy {ID}: {outcome.words} (1 steps OFF: incidents)"
        self.tell(event.DeployEnded, outcome=outcome, words=words, off=1)


def state(weight: float) -> RolloutState:
    """A rollout that stands at a weight."""
    return RolloutState(
        name="checkout-api",
        uid="u",
        generation=7,
        observed_generation=7,
        phase=Phase.PAUSED,
        message="",
        aborted=False,
        held_by_spec=False,
        pauses=("CanaryPauseStep",),
        steps=(),
        step_index=1,
        current_hash="9c1d",
        stable_hash="6f7b",
        weight_percent=weight,
        traffic_routed=True,
        image=NEW,
        replicas=10,
        versions=(
            Version(template_hash="6f7b", image=OLD, wanted=10, ready=10),
            Version(template_hash="9c1d", image=NEW, wanted=1, ready=1),
        ),
    )


def measured(
    weight: int, scenario: str, line: int, at: datetime, look: int, ratio: float
) -> tuple[event.Measured, event.Measured]:
    """What one look reads: the canary, and the stable version beside it."""
    total = 240.0 * (look + 1)
    since = at - timedelta(seconds=15 * (look + 1))
    return tuple(
        event.Measured(
            gate="error rate",
            scenario=scenario,
            place=f"{FEATURE}:{line}",
            weight=weight,
            role=role,
            offset=at - since,
            reading=Reading(
                since=since, at=at, newest=at, total=total, bad=total * share, value=share, queries=(QUERY,)
            ),
        )
        for role, share in ((Role.CANARY, ratio), (Role.STABLE, 0.001))
    )


def history(objective: Objective, at: datetime, value: float) -> tuple[Reading, ...]:
    """Twenty readings that end in a value, which is reached by a small wave."""
    found = []
    for look in range(1, 21):
        seen = value * (1 + 0.3 * math.sin(look) * (20 - look) / 20)
        total = 4_812.0 * look / 20
        found.append(
            Reading(
                since=at - WINDOW,
                at=at - WINDOW + WINDOW * look / 20,
                newest=at - timedelta(seconds=4),
                total=total,
                bad=total * seen if objective is ERRORS else None,
                value=seen,
                queries=(QUERY,),
                neighbours=None
                if objective is ERRORS
                else (Bucket(bound_s=0.25, slower=total * 0.04), Bucket(bound_s=0.5, slower=total * 0.01)),
            )
        )
    return tuple(found)


def verdict(objective: Objective, weight: int | None, at: datetime, *, value: float) -> Verdict:
    """The contract judge's verdict on a value."""
    total, good = 4_812.0, value <= objective.limit
    return Verdict(
        ruling=Ruling(
            kind=VerdictKind.PASS if good else VerdictKind.FAIL,
            rule="within the limit over the whole window" if good else "above the limit, certain at 99.9 %",
        ),
        objective=objective,
        subject=Subject(service="checkout-api", template_hash="9c1d"),
        weight=weight,
        actual_percent=None if weight is None else float(weight),
        window=WINDOW,
        started=at - WINDOW,
        decided=at,
        reading=Reading(
            since=at - WINDOW,
            at=at,
            newest=at - timedelta(seconds=4),
            total=total,
            bad=total * value if objective is ERRORS else 100,
            value=value,
            queries=(QUERY,),
        ),
        judge="contract",
        history=history(objective, at, value),
        control=history(ERRORS, at, 0.001) if objective is ERRORS and weight is not None else (),
    )


@pytest.fixture
def good() -> list[event.Event]:
    """A rehearsed deploy that is committed after 5 % and 100 %."""
    story = Story(Mode.REHEARSAL)
    story.begin()
    story.canary(5, 20)
    story.canary(100, 30)
    story.weight(100, final=True)
    story.tell(event.Fact, name="pods_ready", value="10 of 10")
    story.tell(event.Fact, name="revision_after", value="42")
    story.tell(event.ScenarioStarted, title="Afterwards", place=f"{FEATURE}:40")
    story.tell(event.StepStarted, keyword="Then", text="the SLO holds for 15 minutes", place=f"{FEATURE}:41")
    story.tell(event.Judged, after_s=900, verdict=verdict(ERRORS, None, story.at, value=0.0008))
    story.step("Then", "the SLO holds for 15 minutes", 41, "passed", "error rate 0.08 %")
    story.tell(event.ScenarioEnded, title="Afterwards", status="passed")
    story.end(Outcome.COMMITTED)
    return story.events


@pytest.fixture
def rolled_back() -> list[event.Event]:
    """A real deploy whose error rate breaks at 25 %, and that is rolled back, verified."""
    story = Story()
    story.begin()
    story.canary(5, 20)
    story.canary(25, 30, error_ratio=0.0312)
    story.roll_back()
    story.tell(
        event.ScenarioEnded, title="Canary at 50%", status="not run", reason="'Canary at 25%' stopped the deploy"
    )
    story.end(Outcome.ROLLED_BACK)
    return story.events


@pytest.fixture
def promoted() -> list[event.Event]:
    """A real deploy whose gate at 25 % knew too little, was held, and promoted by a person's decision."""
    story = Story()
    story.begin()
    story.canary(5, 20)
    story.weight(25)
    story.hold(Answer.PROMOTE)
    story.weight(50)
    dry = replace(verdict(P95, 50, story.at + WINDOW, value=0.45), dry_run=True)
    story.tell(event.Judged, after_s=300, verdict=dry)
    story.canary(100, 40)
    story.weight(100, final=True)
    story.end(Outcome.COMMITTED)
    return story.events


@pytest.fixture
def rollback_failed() -> list[event.Event]:
    """The same on the sandbox, at 30 times the speed, with a rollback that fails."""
    story = Story(Mode.SANDBOX)
    story.begin()
    story.canary(5, 20, error_ratio=0.0312)
    story.roll_back(error="helm rollback: UPGRADE FAILED: timed out waiting for the condition")
    story.end(Outcome.NEEDS_HUMAN)
    return story.events


@pytest.fixture
def hostile() -> list[event.Event]:
    """A deploy whose texts from outside try to be markup, HTML, a chat command and terminal control."""
    evil = "x|`<script>alert(1)</script>`\x1b[31m\u202e<!channel> **b** \n# h1 [l](http://e)"
    story = Story()
    story.begin()
    first = story.events[0]
    assert isinstance(first, event.DeployStarted)
    story.events[0] = replace(first, service=evil, commit=evil)
    story.tell(event.Warned, text=evil)
    story.weight(5)
    query = Objective(kind=Kind.QUERY, limit=1e300, subject=evil, unit=evil)
    told = replace(verdict(ERRORS, 5, story.at, value=0.5), objective=query, scenario=evil, place=evil, note=evil)
    told = replace(told, ruling=Ruling(kind=VerdictKind.INCONCLUSIVE, rule=evil, needed=evil), dry_run=True)
    story.tell(event.Judged, verdict=told)
    story.tell(event.Held, verdict=told, hold=1, deadline=story.at + WINDOW, command=evil)
    story.tell(event.Decided, decision=Decision(hold=1, answer=Answer.ABORT, by=evil, reason=evil, at=story.at))
    story.tell(event.ScenarioStarted, title=evil, place=f"{FEATURE}:50")
    story.step("Given", evil, 51, "broken", f"{evil}\n```\nsecond line {evil}")
    story.tell(event.Stopped, reason=evil, cause=evil, scenario=evil, step=evil, place=evil)
    story.act(action.External(system="chat", summary=evil), f"# {evil}", said=f"```\n{evil}")
    story.end(Outcome.STOPPED)
    return story.events
