"""When one check of pre-flight fails, all the others are run too, and one error tells everything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pytest_deploy.domain.event import Warned
from pytest_deploy.domain.found import Attachment, Found
from pytest_deploy.domain.lock import Holder
from pytest_deploy.domain.outcome import Outcome
from pytest_deploy.engine import finish, phases, preflight
from pytest_deploy.errors import DeployError, Faulted, GateBreach, LockHeld, Refused, Rejected, Unreachable
from tests.unit.engine.conftest import Bench

Benches = Callable[..., Bench]


def raising(error: Exception) -> Callable[..., object]:
    """A method, or a capability, that raises."""

    def method(*_: object) -> object:
        raise error

    return method


def told(made: Bench, check: Callable[..., None] = preflight.cluster, kind: type[Exception] = Refused) -> str:
    """Return what the error tells; nothing was changed."""
    with pytest.raises(kind) as caught:
        check(made.deploy)
    assert made.done() == []
    return str(caught.value)


def with_capability(made: Bench, **capabilities: object) -> None:
    """Give the deploy capabilities, by section."""
    made.use(replace(made.deploy.ports, capabilities=capabilities))  # type: ignore[arg-type]  # made-up ones


def test_all_refusals_are_told_at_once(bench: Benches) -> None:
    """What fails first comes first, each with its next move; those that gave no answer after those that refuse."""
    made = bench()
    made.alter("helm", record_size=raising(DeployError("helm died", hint="see its log")), crds=lambda *_: ())
    made.alter("traffic", state=lambda original, target: replace(original(target), aborted=True))
    made.alter("cluster", denied=lambda original, env, asked: [p for p in asked if p.resource == "rollouts/status"])
    with_capability(made, incidents=raising(GateBreach("incident 7 is open", cause="incidents")))
    made.deploy.warn("a note before")
    says = told(made, preflight.stack)
    lines = says.splitlines()
    assert lines[0] == "pre-flight: 5 refusals, 1 warning"
    assert lines[1].startswith("  1. api is not at rest")
    assert lines[2].startswith("       next: end that deploy first")
    numbered = [line for line in lines if line[2:3].isdigit()]
    assert [line[2] for line in numbered] == ["1", "2", "3", "4", "5"]
    assert "the deploy account may not: patch rollouts/status.argoproj.io in prod" in says
    assert "more than a deploy account" in says
    assert numbered[-2].startswith("  4. incident 7 is open")
    assert numbered[-1].startswith("  5. helm died")
    assert "  warning: a note before" in lines
    assert lines[-1] == "  next: mend all of these, then deploy again: nothing was changed"


def test_one_finding_is_told_as_it_is(bench: Benches) -> None:
    """An error that is the only one passes unchanged, whatever its kind."""
    made = bench()
    error = Rejected("no", hint="ask")
    made.alter("helm", crds=raising(error))
    with pytest.raises(Rejected) as caught:
        preflight.stack(made.deploy)
    assert caught.value is error


def test_a_warning_stands_beside_a_refusal(bench: Benches) -> None:
    """One refusal with a warning: both are told."""
    made = bench()
    made.alter("helm", crds=raising(Refused("no", hint="x")))
    made.alter("cluster", objects=lambda *_: None)
    says = told(made, preflight.stack)
    assert says.startswith(
        "pre-flight: 1 refusal, 3 warnings\n  1. no\n       next: x\n  warning: not looked at: whether"
    )
    assert len(made.told(Warned)) == 3


def test_a_breach_stays_one(bench: Benches) -> None:
    """An open incident is a gate's no: so it ends, with the evidence of all."""
    made = bench()
    made.alter("helm", crds=raising(Refused("old", attachments=[Attachment(name="b", text="2")])))
    breach = GateBreach("incident 7", cause="incidents", attachments=[Attachment(name="a", text="1")])
    with_capability(made, incidents=raising(breach), checklist=raising(GateBreach("2 items", cause="checklist")))

    def ask(deploy: object) -> None:
        preflight.run(made.deploy, "incidents", lambda it: phases.check(it, "incidents", "service:x"))

    with pytest.raises(GateBreach) as caught:
        ask(made.deploy)
    assert caught.value.cause == "incidents"
    assert [each.name for each in caught.value.attachments] == ["a", "b"]
    assert "  3. 2 items" in str(caught.value)
    assert str(caught.value).count("incident 7") == 1


def test_incidents_are_asked_for_by_the_services_tag(bench: Benches) -> None:
    """Where a feature has not come to that step yet."""
    made, asked = bench(), list[str]()

    def answers(subject: str) -> Found:
        asked.append(subject)
        return Found(words="none")

    made.alter("cluster", identity=raising(Refused("wrong", hint="x")))
    with_capability(made, incidents=answers, checklist=answers)
    told(made)
    assert asked == ["service:api", "api"]


def test_what_the_feature_forgot_is_asked_before_the_first_write(bench: Benches) -> None:
    """An incident tool that deploy.yaml has is asked, by a feature without that step too; no step asks it twice."""
    made = bench()
    with_capability(made, incidents=raising(GateBreach("incident 7", cause="incidents")))
    assert told(made, preflight.ensure, GateBreach) == "incident 7"
    again, times = bench(), list[str]()

    def answers(subject: str) -> Found:
        times.append(subject)
        return Found(words="none")

    with_capability(again, incidents=answers)
    preflight.run(again.deploy, "incidents", lambda it: phases.check(it, "incidents", "service:other"))
    preflight.ensure(again.deploy)
    assert times == ["service:other"]


class Approvals:
    """Says what would keep an approval from counting."""

    def __init__(self, *problems: str) -> None:
        self._problems = problems

    def problems(self, environment: str, approvers: tuple[str, ...]) -> tuple[str, ...]:
        """Say it."""
        assert (environment, approvers) == ("prod", ("@acme/sre",))
        return self._problems


@pytest.mark.parametrize("problems", [(), ("admins may bypass it", "no reviewer")])
def test_an_approval_that_could_never_count(bench: Benches, problems: tuple[str, ...]) -> None:
    """It is told before anything is built; where nobody must approve, nobody is asked."""
    made = bench()
    made.use(replace(made.deploy.ports, approvals=Approvals(*problems)))  # type: ignore[arg-type]  # all that is asked
    preflight.account(made.deploy)
    made.deploy.checked.clear()
    made.deploy.environment = replace(made.deploy.environment, approvers=("@acme/sre",))
    if not problems:
        preflight.account(made.deploy)
        return
    assert "no approval of prod could count: admins may bypass it; no reviewer" in told(made, preflight.account)


@pytest.mark.parametrize("error", [Refused("another cluster", hint="x"), Unreachable("no answer"), Faulted("500")])
def test_the_wrong_cluster_is_asked_nothing_more(bench: Benches, error: DeployError) -> None:
    """What it would say is no finding; what could not be looked at is named, and metrics are looked at all the same."""
    made = bench()
    made.alter("cluster", identity=raising(error), denied=lambda *_: pytest.fail("asked"))
    made.alter("metrics", problems=lambda *_: ["no such metric"])
    says = told(made)
    assert "these gates could not be judged" in says
    assert (
        "not looked at, for want of an answer: platform, stack, autoscaler, crds, record size, release, old image"
        in says
    )
    assert "metrics" not in says.rpartition("for want of an answer")[2]


def test_a_cluster_that_falls_silent_is_asked_nothing_more(bench: Benches) -> None:
    """Each further question would wait for its own patience."""
    made = bench()
    made.alter("helm", render=raising(Unreachable("helm: no answer")))
    made.alter("cluster", denied=lambda *_: pytest.fail("asked"))
    made.deploy.warn("so that all is listed")
    assert "not looked at, for want of an answer: cluster, autoscaler," in told(made, preflight.stack)


def test_a_later_silence_ends_the_questions_too(bench: Benches) -> None:
    """A refusal, then the API server goes away: what is left is named."""
    made = bench()
    made.alter("helm", crds=raising(Refused("old", hint="x")))
    made.alter("cluster", objects=raising(Unreachable("gone")))
    made.alter("traffic", state=lambda original, target: original(target))
    made.deploy.checked |= {"autoscaler"}
    says = told(made, preflight.stack)
    assert "  2. gone" in says
    assert "not looked at, for want of an answer: disruption budget, account" in says


class Held:
    """A lock that another deploy holds."""

    def look(self) -> Holder | None:
        """Return who."""
        now = datetime.now(UTC)
        return Holder(deploy_id="other", by="ann", since=now, renewed=now, fence=3, expired=False)


def test_another_deploy_is_told_once(bench: Benches) -> None:
    """Its lock is a finding; that the Rollout does not rest is not one more, and nobody waits in line for it."""
    made = bench()
    made.alter("traffic", state=lambda original, target: replace(original(target), aborted=True))
    made.use(replace(made.deploy.ports, lock=Held()))  # type: ignore[arg-type]  # all that is asked
    made.alter("cluster", identity=lambda original, env: original(env))
    made.deploy.limits = replace(made.deploy.limits, lock=timedelta(hours=1))
    before = made.deploy.ports.clock.monotonic()
    made.alter("cluster", denied=lambda original, env, asked: [p for p in asked if p.resource == "rollouts/status"])
    says = told(made, preflight.account)
    assert "other" in says
    assert "may not: patch rollouts/status" in says
    assert "not at rest" not in says
    assert made.deploy.ports.clock.monotonic() - before < 60


def test_the_first_to_be_told_may_be_the_lock(bench: Benches) -> None:
    """The step that finds it held tells what is wrong beside it; its cause stays that of the lock."""
    made = bench()
    made.use(replace(made.deploy.ports, lock=Held()))  # type: ignore[arg-type]  # all that is asked
    made.deploy.warn("a note")
    with pytest.raises(Refused) as caught:
        preflight.stack(made.deploy)
    assert caught.value.cause == "lock held"
    assert isinstance(caught.value.__cause__, LockHeld)


def test_an_error_without_a_cause_is_called_by_its_kind(bench: Benches) -> None:
    """So that a note does not call a cluster that was away a refusal."""
    made = bench()
    made.alter("cluster", identity=raising(Unreachable("no answer")))
    made.deploy.warn("a note")
    with pytest.raises(Refused) as caught:
        preflight.cluster(made.deploy)
    assert caught.value.cause == "Unreachable"


def test_afterwards_it_is_a_gate_alone(bench: Benches) -> None:
    """Once something was changed the way back must not wait for other checks."""
    made = bench()
    made.raise_to(5)
    made.alter("cluster", identity=lambda *_: pytest.fail("asked"))
    made.deploy.checked.clear()
    with pytest.raises(GateBreach, match=r"^burns$"):
        preflight.run(made.deploy, "budget", raising(GateBreach("burns", cause="error budget")))  # type: ignore[arg-type]  # it raises


class Covers:
    """GitOps keeps this environment."""

    def covers(self, environment: str) -> bool:
        """Whether it does."""
        return environment == "prod"


def test_where_gitops_deploys_the_cluster_is_not_asked(bench: Benches) -> None:
    """It need not be reachable from here; what other tools say is asked for all the same, and nothing is missed."""
    made = bench()
    made.use(replace(made.deploy.ports, gitops=Covers()))  # type: ignore[arg-type]  # all that is asked
    with_capability(made, checklist=raising(GateBreach("2 items", cause="checklist")))
    made.alter("cluster", identity=lambda *_: pytest.fail("asked"), denied=lambda *_: pytest.fail("asked"))
    made.alter("traffic", state=lambda *_: pytest.fail("asked"))
    with pytest.raises(GateBreach) as caught:
        preflight.run(made.deploy, "incidents", raising(GateBreach("7 is open", cause="incidents")))  # type: ignore[arg-type]  # it raises
    assert "  2. 2 items" in str(caught.value)
    assert "not looked at" not in str(caught.value)


def test_who_may_not_read_the_journal_has_changed_nothing(bench: Benches) -> None:
    """An account without rights is refused; no human is called for a way back from nowhere."""
    made = bench()
    made.alter("journal", entries=raising(Rejected("403")))
    made.alter("cluster", denied=lambda original, env, asked: [*asked[:1], *original(env, asked)])
    with pytest.raises(Refused) as caught:
        preflight.account(made.deploy)
    made.deploy.fail(caught.value)
    finish.roll_back(made.deploy)
    assert finish.close(made.deploy) is Outcome.REFUSED
