"""Approval: asked, waited for while nothing breaks, and looked at again before production is first written to."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType

import pytest

from pytest_deploy.domain.approval import Answer, Asked, Request, Ruling
from pytest_deploy.domain.event import Fact, Waited, Warned
from pytest_deploy.engine import approval, asking, finish
from pytest_deploy.errors import (
    DeployCancelled,
    DeployError,
    Faulted,
    GateBreach,
    Refused,
    Rejected,
    ToolFailed,
    Unreachable,
    WaitTimedOut,
)
from pytest_deploy.ports import Found
from tests.unit.engine.conftest import NEW, RELEASE, Bench, environment

Benches = Callable[..., Bench]
PROD = replace(environment("prod"), approvers=("@acme/sre",))
ASKED = replace(RELEASE, environments=MappingProxyType({"prod": PROD}))
YES = Ruling(answer=Answer.GRANTED, words="@ann approved it", by="@ann")
NO = Ruling(answer=Answer.DENIED, words="denied by @ann")
SILENCE = Ruling(answer=Answer.WAITING, words="nobody has answered yet")
MINUTE = timedelta(minutes=1)


class Approvers:
    """Port ``Approvals``: answers one after the other, the last for ever; an error is raised."""

    def __init__(self, *answers: Ruling | Exception, asks: str = "") -> None:
        self.answers = list(answers)
        self.asks = asks
        self.asked: list[Request] = []
        self.withdrawn: list[str] = []
        self.between: Callable[[], None] = lambda: None

    def problems(self, environment: str, approvers: tuple[str, ...]) -> tuple[str, ...]:
        """None."""
        return ()

    def ask(self, request: Request) -> Asked:
        """Begin."""
        self.asked.append(request)
        return Asked(words="review run 7", wait=10 * MINUTE, poll=MINUTE / 4)

    def look(self, request: Request) -> Ruling:
        """Give the next answer."""
        assert request == self.asked[-1]
        self.between()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def withdraw(self, request: Request, why: str) -> str:
        """Keep the reason."""
        self.withdrawn.append(why)
        return "run 7 was cancelled"


@pytest.fixture
def asked(bench: Benches) -> Callable[..., tuple[Bench, Approvers]]:
    """A deploy whose production is approved by people who answer so."""

    def make(*answers: Ruling | Exception, asks: str = "", **world: object) -> tuple[Bench, Approvers]:
        made, approvers = bench(release=ASKED, **world), Approvers(*answers, asks=asks)
        made.use(replace(made.deploy.ports, approvals=approvers))
        return made, approvers

    return make


Asker = Callable[..., tuple[Bench, Approvers]]


def end(made: Bench, phase: Callable[[], None] | None = None) -> None:
    """Run the step as a feature does, then end the deploy."""
    with suppress(Exception, DeployCancelled):
        made.deploy.run(phase or (lambda: asking.ask(made.deploy, "prod")))
    finish.roll_back(made.deploy)
    finish.close(made.deploy)


def test_a_yes_is_recorded(asked: Asker) -> None:
    """What was asked names image, commit and attempt; who said yes is a fact; nothing is written to ask."""
    made, approvers = asked(SILENCE, YES)
    made.deploy.commit = "c0ffee"
    asking.ask(made.deploy, "prod")
    [request] = approvers.asked
    assert (request.pinned, request.commit, request.deploy_id) == (NEW, "c0ffee", "d1")
    assert (request.service, request.environment, request.strategy) == ("api", "prod", "canary")
    assert made.deploy.approval == request
    assert made.deploy.step_detail == "@ann approved it"
    assert [(fact.name, fact.value) for fact in made.told(Fact)] == [("approver", "@ann")]
    assert made.done() == []
    assert approvers.withdrawn == []
    [waited] = made.told(Waited)
    assert (waited.what, waited.seen) == ("an approval of prod: review run 7", "nobody has answered yet")


def test_asking_that_writes_is_journalled(asked: Asker) -> None:
    """A workflow that is dispatched can't be taken back by the journal, and stands in it."""
    made, _ = asked(YES, asks="gh workflow run deploy-prod.yml")
    asking.ask(made.deploy, "prod")
    assert made.done() == ["gh workflow"]
    assert made.deploy.tx.undos == ()


def test_a_no_stops_it(asked: Asker) -> None:
    """The denial's own words; nothing is approved, and nobody has to be told of what they said."""
    made, approvers = asked(SILENCE, NO)
    with pytest.raises(GateBreach, match="denied by @ann") as raised:
        asking.ask(made.deploy, "prod")
    assert raised.value.cause == "approval denied"
    assert made.deploy.approval is None
    assert made.told(Fact) == []
    assert approvers.withdrawn == []


def test_nobody_answers(asked: Asker) -> None:
    """After its time the question is taken back, so that a late click approves nothing."""
    made, approvers = asked(SILENCE)
    with pytest.raises(WaitTimedOut, match=r"an approval of prod: review run 7: not within 600 s.*\n.*@acme/sre"):
        asking.ask(made.deploy, "prod")
    assert approvers.withdrawn == []
    end(made)
    assert "not within 600 s" in approvers.withdrawn[0]
    assert made.told(Warned)[-1].text.endswith("run 7 was cancelled")


def test_no_answer_now_is_waited_out(asked: Asker) -> None:
    """A server that is away for a while is neither yes nor no."""
    made, _ = asked(Unreachable("no route"), YES)
    asking.ask(made.deploy, "prod")
    assert "can't be read now: no route" in made.told(Waited)[0].seen


@pytest.mark.parametrize("error", [ToolFailed("git"), Rejected("you may not know who is in the team")])
def test_no_answer_at_all(asked: Asker, error: DeployError) -> None:
    """What no waiting mends ends the wait or the time, and is no yes."""
    made, _ = asked(error)
    with pytest.raises(DeployError) as raised:
        asking.ask(made.deploy, "prod")
    assert raised.value.cause == "approval"
    assert str(error) in str(raised.value)
    assert made.deploy.approval is None
    assert made.world.clock.monotonic() < 60


def test_asking_that_fails(asked: Asker) -> None:
    """What was begun by then (a workflow that runs) is taken back."""
    made, approvers = asked(YES, asks="gh workflow run deploy-prod.yml")

    def fail(request: Request) -> Asked:
        raise Faulted("it was started, but which run it is can't be told")

    approvers.ask = fail  # type: ignore[method-assign]  # for this test alone
    end(made)
    assert approvers.withdrawn == ["it was started, but which run it is can't be told"]


def test_interrupted(asked: Asker) -> None:
    """A signal takes the question back, too."""
    made, approvers = asked(SILENCE)

    def interrupt() -> None:
        raise DeployCancelled("SIGINT")

    approvers.between = interrupt
    with pytest.raises(DeployCancelled):
        asking.ask(made.deploy, "prod")
    finish.close(made.deploy)
    assert approvers.withdrawn == ["the deploy has ended"]


def test_nothing_to_tell(asked: Asker) -> None:
    """Where nobody can be told, nothing is said of it."""
    made, approvers = asked(SILENCE)
    approvers.withdraw = lambda request, why: ""  # type: ignore[method-assign]  # for this test alone
    end(made)
    assert isinstance(made.deploy.failure and made.deploy.failure.error, WaitTimedOut)
    assert made.told(Warned) == []


def test_off(bench: Benches) -> None:
    """Without the section nobody is asked, and that the environment names approvers is a warning."""
    made = bench(release=ASKED)
    asking.ask(made.deploy, "prod")
    assert made.deploy.step_status == "off"
    assert "names @acme/sre, but nobody was asked" in made.told(Warned)[0].text
    quiet = bench()
    asking.ask(quiet.deploy, "prod")
    assert quiet.deploy.step_status == "off"
    assert quiet.told(Warned) == []


def test_no_approvers(bench: Benches) -> None:
    """An approval that nobody could give is refused, with the line to write."""
    made = bench(sections=("approval",))
    with pytest.raises(Refused, match=r'names no approvers.*\n.*environments\.prod\.approvers: \["@acme/sre"\]'):
        asking.ask(made.deploy, "prod")


def test_a_canary_that_breaks_while_waited_for(asked: Asker) -> None:
    """An approval in mid-canary: a gate that breaks meanwhile ends the wait, and the approver is told its numbers."""
    made, approvers = asked(YES)
    asking.ask(made.deploy, "prod")
    made.pass_through(5)
    approvers.answers = [SILENCE]
    made.fault("error rate 20%")
    approvers.withdraw = lambda request, why: f"{why}; old serves: {made.old_serves()}"  # type: ignore[method-assign]  # for this test alone
    end(made)
    failure = made.deploy.failure
    assert failure is not None
    assert failure.cause == "error rate"
    assert "while a person was waited for the breach became clear" in str(failure.error)
    told = made.told(Warned)[-1].text
    assert "the approver was told that nothing is to be approved any more: error rate" in told
    assert told.endswith("old serves: True")  # the way back came first


def test_a_canary_that_holds_while_waited_for(asked: Asker) -> None:
    """A healthy one goes on to wait; gates that have not spoken yet are not judged by it, nor is one that is done."""
    made, approvers = asked(YES)
    asking.ask(made.deploy, "prod")
    made.raise_to(5)
    approvers.answers = [SILENCE, SILENCE, YES]
    asking.ask(made.deploy, "prod")
    made.judge(5)
    approvers.answers = [SILENCE, SILENCE, YES]
    asking.ask(made.deploy, "prod")
    made.deploy.committed = True
    approvers.answers = [SILENCE, YES]
    asking.ask(made.deploy, "prod")
    assert approvers.withdrawn == []


def incidents(answers: list[Found | Exception], asked: list[str]) -> Callable[[str], Found]:
    """A pager."""

    def ask(subject: str) -> Found:
        asked.append(subject)
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return ask


def test_an_incident_that_opens_meanwhile(asked: Asker) -> None:
    """Pre-flight's question is asked again each minute; an incident ends the wait, a pager that is away does not."""
    made, approvers = asked(SILENCE)
    opened = GateBreach("INC-7 is open", cause="incident open")
    subjects: list[str] = []
    pager = incidents([Found("none"), Unreachable("no route"), opened], subjects)
    made.use(replace(made.deploy.ports, capabilities={"incidents": pager}))
    began = made.world.clock.monotonic()
    with pytest.raises(GateBreach, match="INC-7 is open"):
        made.deploy.run(lambda: asking.ask(made.deploy, "prod"))
    assert 180 <= made.world.clock.monotonic() - began < 200
    finish.close(made.deploy)
    assert approvers.withdrawn == ["INC-7 is open"]
    assert subjects == ["service:api"] * 3
    assert "incidents can't be read: no route" in made.told(Warned)[0].text


def test_looked_at_again_before_the_first_write(asked: Asker) -> None:
    """A yes that was taken back by then stops the canary before anything of it is sent."""
    made, approvers = asked(YES)
    asking.ask(made.deploy, "prod")
    approvers.answers = [NO]
    with pytest.raises(GateBreach, match="the approval does not stand any more: denied by @ann") as raised:
        made.raise_to(5)
    assert raised.value.cause == "approval denied"
    assert made.done() == []
    approvers.answers = [Unreachable("no route")]
    with pytest.raises(Unreachable) as away:
        approval.recheck(made.deploy)
    assert away.value.cause == "approval"
    approvers.answers = [YES]
    made.raise_to(5)
    assert made.done() == ["helm upgrade"]


def test_nobody_was_asked(asked: Asker) -> None:
    """An environment with approvers is written to with their yes, to this image and no other."""
    made, approvers = asked(YES)
    with pytest.raises(
        Refused, match=r"prod is not approved for .*: no step asked for it\n.*is approved for this digest"
    ):
        made.raise_to(5)
    asking.ask(made.deploy, "prod")
    assert approvers.asked
    made.deploy.approval = replace(approvers.asked[0], pinned="ghcr.io/acme/api@sha256:" + "0" * 64)
    with pytest.raises(Refused, match=r"it was ghcr\.io/acme/api@sha256:0+ for prod"):
        made.raise_to(5)
    assert made.done() == []


def test_a_drill_may_leave_it_out(asked: Asker) -> None:
    """It breaks one thing, and never leaves rehearsal and sandbox."""
    made, _ = asked(YES, drill=True)
    approval.recheck(made.deploy)


def test_nothing_to_look_at_again(bench: Benches, asked: Asker) -> None:
    """Where nobody is named, or approval is off, nothing is asked."""
    approval.recheck(bench(release=ASKED).deploy)
    made, approvers = asked(NO)
    made.deploy.environment = replace(PROD, approvers=())
    approval.recheck(made.deploy)
    assert approvers.asked == []


@pytest.mark.parametrize(("fault", "answer"), [(None, None), ("approval denied", GateBreach)])
def test_rehearsed(bench: Benches, fault: str | None, answer: type[Exception] | None) -> None:
    """The rehearsal says yes at once and says that nobody was asked; its fault says no."""
    made = bench(release=ASKED, sections=("approval",))
    if fault is None or answer is None:
        asking.ask(made.deploy, "prod")
        assert made.deploy.step_detail.startswith("rehearsed: sha256:")
        made.raise_to(5)
        return
    made.fault(fault)
    with pytest.raises(answer, match="rehearsed: an approver said no"):
        asking.ask(made.deploy, "prod")
