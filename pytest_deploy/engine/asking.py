"""Asks for approval and waits; what breaks meanwhile ends the wait, and the approver is told at the end."""

from __future__ import annotations

from datetime import timedelta

from pytest_deploy.domain.action import External
from pytest_deploy.domain.approval import Answer, Asked, Request, Ruling
from pytest_deploy.engine import approval, canary, hold, staging
from pytest_deploy.engine.deploy import Deploy
from pytest_deploy.engine.waiting import until
from pytest_deploy.errors import DeployError, Faulted, Throttled, Unreachable, blamed_on
from pytest_deploy.ports import CAPABILITIES, Approvals

__all__ = ["ask"]

_INCIDENTS = timedelta(minutes=1)
"""Between two looks for incidents while an approver thinks: a pager's API is no metric."""


def ask(deploy: Deploy, environment: str) -> None:
    """Ask the approvers of this environment for this image, and wait for the answer; off without ``approval``.

    Raises:
        Refused: nobody could approve.
        GateBreach: the answer is no, or something broke while it was waited for.
        WaitTimedOut: nobody answered.
        DeployError: there is no answer to be had: never taken for a yes.
    """
    env, approvals = staging.environment(deploy, environment), deploy.ports.approvals
    if approvals is None:
        if env.approvers:
            deploy.warn(
                f"environments.{environment}.approvers names {', '.join(env.approvers)}, "
                "but nobody was asked: deploy.yaml has no 'approval' section"
            )
        deploy.switched_off("approval", CAPABILITIES["approval"])
        return
    request = approval.request_for(deploy, env)
    deploy.asked = request
    with blamed_on("approval"):
        ruling = _answer(deploy, approvals, request, _begin(deploy, approvals, request))
    deploy.asked = None
    if ruling.answer is Answer.DENIED:
        raise approval.denied(ruling)
    deploy.approval = request
    deploy.fact("approver", ruling.by)
    deploy.found(ruling.words)
    deploy.done("approval", environment)


def _begin(deploy: Deploy, approvals: Approvals, request: Request) -> Asked:
    if not approvals.asks:
        return approvals.ask(request)
    begun: list[Asked] = []

    def act() -> str:
        begun.append(approvals.ask(request))
        return begun[0].words

    deploy.tx.do(External(system="approval", summary=approvals.asks), undo=None, act=act)
    return begun[0]


def _answer(deploy: Deploy, approvals: Approvals, request: Request, asked: Asked) -> Ruling:
    watch = _Meanwhile(deploy)

    def look() -> Ruling:
        watch.nothing_broke()
        try:
            return approvals.look(request)
        except (Unreachable, Throttled, Faulted) as error:
            return Ruling(answer=Answer.WAITING, words=f"the answer can't be read now: {error}")

    return until(
        look,
        done=lambda ruling: ruling.answer is not Answer.WAITING,
        words=lambda ruling: ruling.words,
        what=f"an approval of {request.environment}: {asked.words}",
        timeout=asked.wait,
        clock=deploy.ports.clock,
        emit=deploy.emit,
        hint=f"ask {', '.join(request.approvers)}, then deploy again",
        cause="approval",
        poll=asked.poll,
    )


class _Meanwhile:
    """What must stay true while an approver thinks: no incident, and a canary that is up keeps its promises."""

    def __init__(self, deploy: Deploy) -> None:
        self._deploy = deploy
        self._clock = deploy.ports.clock
        self._asked = self._clock.monotonic()

    def nothing_broke(self) -> None:
        """Look once; raises GateBreach, or DeployError where somebody else moved the rollout."""
        deploy = self._deploy
        if deploy.reached is not None and not deploy.committed:
            canary.watched(deploy)
            for gate in canary.stage_of(deploy, deploy.reached).gates:
                if (verdict := deploy.verdicts.get(gate)) is not None:
                    hold.still_no_breach(deploy, gate, verdict)
        self._no_incident()

    def _no_incident(self) -> None:
        """Ask again what pre-flight asked; no answer changes nothing here: pre-flight had one."""
        incidents = self._deploy.ports.capabilities.get("incidents")
        if incidents is None or self._clock.monotonic() - self._asked < _INCIDENTS.total_seconds():
            return
        self._asked = self._clock.monotonic()
        try:
            incidents(f"service:{self._deploy.release.service}")
        except DeployError as error:
            self._deploy.warn(f"while an approval is waited for, incidents can't be read: {error}")
