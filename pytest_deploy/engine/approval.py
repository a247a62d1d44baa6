"""Approval: what is asked of whom, and that the yes still stands when production is first written to."""

from __future__ import annotations

from pytest_deploy.domain.approval import Answer, Request, Ruling
from pytest_deploy.domain.release import Environment
from pytest_deploy.engine.deploy import Deploy
from pytest_deploy.errors import GateBreach, Refused, blamed_on

__all__ = ["denied", "recheck", "request_for", "take_back"]


def request_for(deploy: Deploy, environment: Environment) -> Request:
    """Return what the approvers of this environment are asked.

    Raises:
        Refused: deploy.yaml names none for it, or nobody knows the digest.
    """
    if not environment.approvers:
        raise Refused(
            f"environments.{environment.name} names no approvers: nobody could approve it",
            hint=f'name them: environments.{environment.name}.approvers: ["@acme/sre"]',
        )
    return Request(
        service=deploy.release.service,
        environment=environment.name,
        strategy=deploy.release.strategy,
        pinned=deploy.image.pinned,
        commit=deploy.candidate.commit if deploy.candidate else deploy.commit,
        approvers=environment.approvers,
        deploy_id=deploy.id,
    )


def recheck(deploy: Deploy) -> None:
    """Look once more, just before the environment is first written to; nothing where approval is off.

    Raises:
        Refused: it names approvers, and none was asked for this image.
        GateBreach: what was a yes is none any more.
        DeployError: there is no answer now: not taken for a yes.
    """
    approvals, env = deploy.ports.approvals, deploy.environment
    if approvals is None or not env.approvers:
        return
    given = deploy.approval
    if given is None and deploy.drill:
        return  # it breaks one thing, leaves out the phases that it does not need, and never leaves the sandbox
    if given is None or given != request_for(deploy, env):
        asked = f"it was {given.pinned} for {given.environment}" if given else "no step asked for it"
        raise Refused(
            f"{env.name} is not approved for {deploy.image.pinned}: {asked}",
            hint=f'let this step stand before the first weight: Then "{env.name}" is approved for this digest '
            "by one of its approvers",
        )
    with blamed_on("approval"):
        ruling = approvals.look(given)
    if ruling.answer is not Answer.GRANTED:
        raise denied(ruling, "the approval does not stand any more: ")


def take_back(deploy: Deploy) -> None:
    """Take back what was asked and not answered, and tell the approver why: at the end, since a way back comes first.

    A late click must not approve what nobody waits for any more. That it can't be taken back changes no outcome.
    """
    request, approvals = deploy.asked, deploy.ports.approvals
    if request is None or approvals is None:
        return
    deploy.asked = None
    why = str(deploy.failure.error) if deploy.failure else "the deploy has ended"
    if told := approvals.withdraw(request, why):
        deploy.warn(f"the approver was told that nothing is to be approved any more: {told}")


def denied(ruling: Ruling, before: str = "") -> GateBreach:
    """Return the breach that a denial is."""
    return GateBreach(before + ruling.words, cause="approval denied")
