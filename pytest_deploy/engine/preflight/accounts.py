"""May the deploy account do and undo everything, is it no cluster-admin, and does it last until the end?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

from pytest_deploy.domain.permissions import EXCESSIVE, RISKY, Excess, Rule, permissions, rules_of
from pytest_deploy.domain.release import Environment
from pytest_deploy.domain.rollout import Permission
from pytest_deploy.engine.deploy import Deploy
from pytest_deploy.engine.preflight import stacks
from pytest_deploy.errors import Refused

__all__ = ["approvable", "lasts", "may_do_and_undo", "not_too_powerful"]

_MASTERS = "system:masters"


def may_do_and_undo(deploy: Deploy) -> None:
    """Ask for each verb of the plan, rollback's and staging's included.

    Raises:
        Refused: naming every one that is missing.
    """
    cluster, count, denied = deploy.ports.cluster, 0, list[Permission]()
    for env in _environments(deploy):
        needed = permissions(_rules(deploy, env), env.namespace)
        count += len(needed)
        denied += cluster.denied(env, needed)
    if denied:
        raise Refused(
            f"the deploy account may not: {'; '.join(map(str, denied))}",
            hint=f"let an administrator grant it, a Role in the namespace, never cluster-admin: {_rbac(deploy)}",
        )
    deploy.found(f"{count} permissions, rollback's included")


def not_too_powerful(deploy: Deploy) -> None:
    """Check that the account is no cluster-admin and can't become one; warn of what reaches far in the namespace.

    Raises:
        Refused: naming each permission, and what it lets one do.
    """
    powers: dict[str, None] = {}
    for env in _environments(deploy):
        account = deploy.ports.cluster.account(env)
        if _MASTERS in account.groups:
            powers[f"it is in the group {_MASTERS}, which no RBAC rule binds"] = None
        powers.update(dict.fromkeys(_held(deploy, env, EXCESSIVE)))
        here = tuple(Excess(permission=replace(x.permission, namespace=env.namespace), means=x.means) for x in RISKY)
        for text in _held(deploy, env, here) if not powers else ():
            deploy.warn(f"the deploy account may {text}: no deploy needs that")
    if powers:
        name = account.user or "the deploy account"
        raise Refused(
            f"{name} is more than a deploy account; it may: {'; '.join(powers)}",
            hint=f"give the deploy an account of its own, with the roles that this prints: {_rbac(deploy)}",
        )


def lasts(deploy: Deploy) -> None:
    """Check that a token that nothing renews outlives the canary and its way back.

    Raises:
        Refused: with how long it lasts, and how long it must.
    """
    expires = deploy.ports.cluster.account(deploy.environment).expires
    if expires is None:
        return
    watched = sum((stage.window for stage in deploy.stages), timedelta()) / deploy.limits.window_divisor
    needed = watched + deploy.limits.helm + deploy.limits.rollback
    left = expires - deploy.ports.clock.now()
    if left < needed:
        raise Refused(
            f"the token of context {deploy.environment.context} ends in {_minutes(left)}, at {expires:%H:%M:%S} UTC; "
            f"the windows, one Helm operation and the way back take {_minutes(needed)}",
            hint="take one that lives longer (kubectl create token --duration), or is renewed (tokenFile, exec)",
            cause="token expires",
        )
    deploy.found(f"its token lasts {_minutes(left)}, {_minutes(needed)} are needed")


def approvable(deploy: Deploy) -> None:
    """Check that an approval could ever count, before anything is built for it.

    Raises:
        Refused: it could not, with all that keeps it from that.
        DeployError: nobody knows.
    """
    env, approvals = deploy.environment, deploy.ports.approvals
    if approvals is None or not env.approvers or not deploy.stages:
        return
    problems = approvals.problems(env.name, env.approvers)
    if problems:
        raise Refused(
            f"no approval of {env.name} could count: {'; '.join(problems)}",
            hint="mend it where it is kept, or correct approval in deploy.yaml",
            cause="approval",
        )


def _environments(deploy: Deploy) -> Iterator[Environment]:
    yield deploy.environment
    for name in deploy.installs:
        if name in deploy.release.environments and name != deploy.environment.name:
            yield deploy.release.environments[name]


def _rules(deploy: Deploy, env: Environment) -> tuple[Rule, ...]:
    kinds = deploy.ports.cluster.resources(env, stacks.rendered(deploy, env)) if env.release else ()
    return rules_of(env, kinds)


def _held(deploy: Deploy, env: Environment, excess: tuple[Excess, ...]) -> Iterator[str]:
    """Yield those of them that the account has; where it has everything, no more needs to be said."""
    denied = set(deploy.ports.cluster.denied(env, [each.permission for each in excess]))
    for each in excess:
        if each.permission not in denied:
            yield f"{each.permission} ({each.means})"
            if each.permission.verb == "*":
                return


def _rbac(deploy: Deploy) -> str:
    return f"pytest-deploy rbac {' '.join(env.name for env in _environments(deploy))}"


def _minutes(span: timedelta) -> str:
    return f"{span.total_seconds() / 60:.0f} min"
