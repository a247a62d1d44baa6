"""The deploy account: it may do what the plan does, it can't become more, and it lasts until the way back is done."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from pytest_deploy.domain.event import Warned
from pytest_deploy.domain.permissions import EXCESSIVE, RISKY
from pytest_deploy.domain.rollout import Account, Permission
from pytest_deploy.engine import preflight
from pytest_deploy.errors import Refused
from tests.unit.engine.conftest import Bench

Benches = Callable[..., Bench]


def refusal(made: Bench) -> str:
    """The account's refusal; nothing was changed."""
    with pytest.raises(Refused) as caught:
        preflight.account(made.deploy)
    assert made.done() == []
    assert "  next: " in str(caught.value)
    return str(caught.value)


def may(*excess: Permission) -> Callable[..., tuple[Permission, ...]]:
    """An account that has these beside what a deploy needs."""

    def denied(original: Callable[..., Any], env: object, asked: Any) -> tuple[Permission, ...]:
        return tuple(each for each in original(env, asked) if each not in excess)

    return denied


@pytest.mark.parametrize("excess", EXCESSIVE, ids=lambda each: f"{each.permission.verb} {each.permission.resource}")
def test_each_way_to_cluster_admin_is_refused(bench: Benches, excess: Any) -> None:
    """One permission of these is enough; it is named with what it lets one do, and the roles that would do."""
    made = bench()
    made.alter("cluster", denied=may(excess.permission))
    says = refusal(made)
    assert f"rehearsal is more than a deploy account; it may: {excess.permission} ({excess.means})" in says
    assert "pytest-deploy rbac prod" in says


def test_everything_is_said_in_a_word(bench: Benches) -> None:
    """Who may do everything may do each of the others, too: it is not listed."""
    made = bench()
    made.alter("cluster", denied=lambda original, env, asked: ())
    says = refusal(made)
    assert "* *.* in the whole cluster" in says
    assert "escalate" not in says
    assert made.told(Warned) == []


def test_system_masters_is_refused(bench: Benches) -> None:
    """No RBAC rule binds that group; a server that names nobody is not guessed at."""
    made = bench()
    made.alter("cluster", account=lambda *_: Account(user="", groups=("system:masters",), expires=None))
    assert "the deploy account is more than a deploy account; it may: it is in the group system:masters" in refusal(
        made
    )


@pytest.mark.parametrize("risk", RISKY, ids=lambda each: f"{each.permission.verb} {each.permission.resource}")
def test_the_same_in_the_namespace_is_warned_of(bench: Benches, risk: Any) -> None:
    """The built-in role edit has some of them: a warning, and the deploy goes on."""
    made = bench()
    asked = risk.permission
    here = Permission(verb=asked.verb, group=asked.group, resource=asked.resource, namespace="prod")
    made.alter("cluster", denied=may(here))
    preflight.account(made.deploy)
    assert [event.text for event in made.told(Warned)] == [
        f"the deploy account may {here} ({risk.means}): no deploy needs that"
    ]


def test_staging_is_asked_for_too(bench: Benches) -> None:
    """A feature that installs on staging writes there: its verbs are part of the plan; no one is asked twice."""
    made = bench()
    made.deploy.installs = ("staging", "prod", "nowhere")
    spaces: list[str] = []

    def denied(original: Callable[..., Any], env: Any, asked: Any) -> Any:
        spaces.append(env.namespace)
        return tuple(p for p in original(env, asked) if p.namespace != "staging" or p.verb == "patch") or asked[:1]

    made.alter("cluster", denied=denied)
    says = refusal(made)
    assert spaces[:2] == ["prod", "staging"]
    assert "in staging" in says
    assert "pytest-deploy rbac prod staging" in says


@pytest.mark.parametrize(("minutes", "fits"), [(29, False), (31, True)])
def test_a_token_that_ends_too_soon(bench: Benches, minutes: int, fits: bool) -> None:
    """Four windows of 5 minutes, one Helm operation and the way back are 30 minutes: less is refused, with both."""
    made = bench()
    expires = made.deploy.ports.clock.now() + timedelta(minutes=minutes)
    made.alter("cluster", account=lambda *_: Account(user="ci", groups=(), expires=expires))
    if fits:
        preflight.account(made.deploy)
        assert made.deploy.step_detail.endswith("its token lasts 31 min, 30 min are needed")
        return
    says = refusal(made)
    assert "the token of context acme-prod ends in 29 min, at 09:29:00 UTC" in says
    assert "take 30 min" in says
