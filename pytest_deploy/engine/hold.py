"""A hold: a verdict that is not PASS waits, at its weight and inside the run, for a person's decision."""

from __future__ import annotations

from datetime import timedelta

from pytest_deploy.domain.event import Decided, Held, Waited
from pytest_deploy.domain.journal import Milestone
from pytest_deploy.domain.measurement import Evidence, Kind
from pytest_deploy.domain.plan import Gate
from pytest_deploy.domain.policy import Decision
from pytest_deploy.domain.verdict import Verdict, VerdictKind
from pytest_deploy.engine import canary
from pytest_deploy.engine.deploy import Deploy
from pytest_deploy.errors import DeployError, GateBreach, RemoteError

__all__ = ["decide", "still_no_breach"]

_POLL = timedelta(seconds=2)
"""Between two looks for a decision: a person does not notice two seconds, and the API server not one read in two."""


def decide(deploy: Deploy, gate: Gate, verdict: Verdict) -> Decision | None:
    """Wait for a person's decision about the verdict; None where its deadline passed without one.

    The canary is watched on: what somebody else moves, pods that die, and a breach that becomes clear meanwhile
    end the wait.

    Raises:
        GateBreach: the gate broke beyond doubt while it was held, or the canary's pods died.
        DeployError: somebody else moved the rollout, or the journal can't be written.
    """
    clock = deploy.ports.clock
    wait = deploy.policy.hold / deploy.limits.window_divisor
    deadline, end = clock.now() + wait, clock.monotonic() + wait.total_seconds()
    hold = deploy.tx.milestone(
        Milestone.HOLDING, observed=f"{verdict.sentence} | decide until {deadline:%Y-%m-%dT%H:%M:%SZ}"
    )
    command = f'pytest-deploy decide promote --deploy {deploy.id} --reason "..." (or: decide abort)'
    deploy.emit(Held(at=clock.now(), verdict=verdict, hold=hold, deadline=deadline, command=command))
    unread = ""
    while (left := timedelta(seconds=end - clock.monotonic())) > timedelta():
        try:
            decision, unread = deploy.ports.journal.decision(hold), ""
        except DeployError as error:
            decision, unread = None, str(error)
        if decision is not None:
            deploy.tx.milestone(Milestone.DECIDED, observed=decision.words)
            deploy.emit(Decided(at=clock.now(), decision=decision))
            return decision
        canary.watched(deploy)
        still_no_breach(deploy, gate, verdict)
        seen = f"the journal can't be read: {unread}" if unread else f"none yet; {command}"
        deploy.emit(Waited(at=clock.now(), what="a decision", seen=seen, left=left))
        clock.sleep(min(_POLL, left))
    return None


def still_no_breach(deploy: Deploy, gate: Gate, verdict: Verdict) -> None:
    """Look on while a person thinks; what can't be read now changes nothing.

    Raises:
        GateBreach: the gate is broken beyond doubt by now.
    """
    objective, metrics = gate.objective, deploy.ports.metrics
    if objective.kind is Kind.SCRIPT:
        return
    try:
        reading = metrics.read(objective, verdict.subject, verdict.started)
    except RemoteError:
        return
    evidence = Evidence(
        window=max(reading.at - verdict.started, verdict.window),
        started=verdict.started,
        readings=(*verdict.history, reading),
        scrape_interval=metrics.scrape_interval,
        over=False,
        earlier=tuple(each for each in deploy.earlier.get(objective, ()) if each is not verdict.reading),
    )
    ruling = deploy.judge(evidence, objective)
    if ruling is not None and ruling.kind is VerdictKind.FAIL:
        raise GateBreach(
            f"{verdict.sentence}; while a person was waited for the breach became clear: {ruling.rule}",
            cause=ruling.cause or objective.name,
            at=None if verdict.weight is None else f"{verdict.weight}%",
        )
