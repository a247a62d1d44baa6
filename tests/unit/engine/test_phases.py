"""Phases whose tools may be off, and what follows the commitment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pytest_deploy.domain.event import Attached, CapabilityOff, Fact, Judged, Warned
from pytest_deploy.domain.found import Attachment, Found
from pytest_deploy.domain.release import ImageRef
from pytest_deploy.domain.rollout import HelmRevision
from pytest_deploy.engine import gates, phases
from pytest_deploy.errors import DeployError, GateBreach, Refused, ToolFailed, Unreachable
from pytest_deploy.ports import CAPABILITIES
from tests.unit.engine.conftest import NEW, PATCHED, RELEASE, Bench

Benches = Callable[..., Bench]
FIVE_MINUTES = timedelta(minutes=5)
UNPINNED = replace(RELEASE, image=ImageRef.parse("ghcr.io/acme/api"))


def facts(made: Bench) -> dict[str, str]:
    """What was put into the record."""
    return {fact.name: fact.value for fact in made.told(Fact)}


def test_the_digest_comes_from_the_registry(bench: Benches) -> None:
    """What was built is what is deployed; the push is journalled, and has no way back."""
    made = bench(release=UNPINNED, sections=("build",))
    assert made.deploy.digest is None
    phases.build(made.deploy)
    assert made.deploy.step_detail == f"{made.deploy.image.pinned}, not signed: deploy.yaml has no 'sign' section"
    assert made.deploy.image.pinned == f"ghcr.io/acme/api@{made.deploy.digest}"
    assert made.done() == ["build and"]
    assert made.deploy.tx.undos == ()


def test_a_build_that_fails(bench: Benches) -> None:
    """No digest is known, so that nothing can be deployed; the cause is the build."""
    made = bench(release=UNPINNED, sections=("build",))
    made.fault("registry down")
    with pytest.raises(Unreachable, match="the registry does not answer") as raised:
        phases.build(made.deploy)
    assert raised.value.cause == "build"
    with pytest.raises(Refused, match=r"no digest of ghcr\.io/acme/api is known"):
        phases.is_pinned(made.deploy)


def test_the_pinned_image(bench: Benches) -> None:
    """One digest for all that follows."""
    made = bench()
    phases.is_pinned(made.deploy)
    assert facts(made) == {"digest": NEW.partition("@")[2], "new_image": NEW}
    assert made.deploy.step_detail == NEW


@pytest.mark.parametrize("section", sorted(CAPABILITIES))
def test_what_is_off_passes_and_is_said(bench: Benches, section: str) -> None:
    """The step says that nothing was done, and where to switch it on."""
    made = bench()
    act: dict[str, Callable[[], None]] = {
        "build": lambda: phases.build(made.deploy),
        "chat": lambda: phases.tell(made.deploy, "chat", "chat", "the note"),
        "sign": lambda: phases.verify(made.deploy),
        "tickets": lambda: phases.tell(made.deploy, "tickets", "tickets", "close it"),
    }
    act.get(section, lambda: phases.check(made.deploy, section, "it"))()
    assert made.deploy.step_status == "off"
    assert made.deploy.step_detail == f"{CAPABILITIES[section]} was NOT done: deploy.yaml has no {section!r} section"
    assert [(event.section, event.capability) for event in made.told(CapabilityOff)] == [
        (section, CAPABILITIES[section])
    ]
    assert made.deploy.off == [section]
    assert made.done() == []


def test_a_capability_answers(bench: Benches) -> None:
    """What it found is the step's detail."""
    made = bench(sections=("scan",))
    phases.check(made.deploy, "scan", NEW)
    assert made.deploy.step_detail == f"rehearsed: no vulnerability in {NEW}"
    assert made.deploy.step_status == "passed"


@pytest.mark.parametrize(
    ("section", "fault", "error", "cause"),
    [
        ("incidents", "incident open", GateBreach, "incident open"),
        ("scan", "scanner down", ToolFailed, "scan"),
    ],
)
def test_no_and_no_answer_both_stop(
    bench: Benches, section: str, fault: str, error: type[Exception], cause: str
) -> None:
    """A no is a breach, no answer is an error; neither is ever a yes."""
    made = bench(sections=(section,))
    made.fault(fault)
    with pytest.raises(error) as raised:
        phases.check(made.deploy, section, "api")
    assert getattr(raised.value, "cause", None) == cause


def test_telling_is_journalled(bench: Benches) -> None:
    """A note that was posted can't be taken back, and is in the journal."""
    made = bench(sections=("chat",))
    phases.tell(made.deploy, "chat", "chat", "post the note to #deploys")
    assert made.deploy.step_detail == "rehearsed: post the note to #deploys; nothing was posted"
    assert made.done() == ["post the"]
    assert made.deploy.tx.undos == ()


def test_who_cant_be_told_changes_no_outcome(bench: Benches) -> None:
    """A chat that is down is said in the step and as a warning."""
    made = bench(sections=("chat",))
    made.fault("notifier down")
    phases.tell(made.deploy, "chat", "chat", "the note")
    assert made.deploy.step_detail.startswith("NOT done (the deploy goes on): ")
    assert "chat: the note: NOT done" in made.told(Warned)[0].text


def test_an_image_is_built_and_signed(bench: Benches) -> None:
    """Both are journalled, the digest first: what is signed is what the registry holds."""
    made = bench(release=UNPINNED, sections=("build", "sign"))
    phases.build(made.deploy)
    assert made.done() == ["build and", f"sign {made.deploy.image.pinned}"]
    assert made.deploy.step_detail == f"{made.deploy.image.pinned}, rehearsed: signed by nobody's key"
    phases.verify(made.deploy)
    assert made.deploy.step_detail.endswith(f"provenance and SBOM of {made.deploy.image.pinned} agree")


def test_an_image_given_by_digest_is_not_signed_here(bench: Benches) -> None:
    """Nobody here saw it being built: it is taken as it is, and verified like any other."""
    made = bench(sections=("build", "sign"))
    phases.build(made.deploy)
    assert made.deploy.step_detail == f"{NEW}, given by digest: whoever built it has signed it"
    assert made.done() == ["build and"]


def test_a_signature_that_cant_be_had(bench: Benches) -> None:
    """A registry that does not answer is no yes; the cause is the signature."""
    made = bench(sections=("sign",))
    made.fault("registry down")
    with pytest.raises(Unreachable, match=r"verifying .* the registry does not answer") as raised:
        phases.verify(made.deploy)
    assert raised.value.cause == "sign"


def test_what_was_found_is_told(bench: Benches) -> None:
    """Facts go into the record, texts are attached; those of a no and of no answer too, each once."""
    made = bench(sections=("tests", "scan", "chat"))
    log = Attachment("make test", "1 passed")

    def answers(answer: Found | Exception) -> None:
        def ask(_: str) -> Found:
            if isinstance(answer, Exception):
                raise answer
            return answer

        made.use(replace(made.deploy.ports, capabilities=dict.fromkeys(("tests", "scan", "chat"), ask)))

    answers(Found("1 passed", facts=(("tests", "1 passed"),), attachments=(log,)))
    made.deploy.run(lambda: phases.check(made.deploy, "tests", "make test"))
    assert facts(made) == {"tests": "1 passed"}
    assert made.deploy.step_detail == "1 passed"
    errors = [
        GateBreach("1 failed", cause="tests", attachments=[log]),
        ToolFailed("no answer", attachments=[log]),
    ]
    for error in errors:
        answers(error)
        with pytest.raises(type(error)):
            made.deploy.run(lambda: phases.check(made.deploy, "scan", NEW))
    phases.tell(made.deploy, "chat", "chat", "the note")
    assert [event.attachment for event in made.told(Attached)] == [log] * 4


# After the commitment


@pytest.mark.parametrize("release", [RELEASE, PATCHED], ids=["helm", "image patch"])
def test_the_history_shows_it(bench: Benches, release: Any) -> None:
    """The new revision is on top and the only version that runs; without Helm the stable version says it."""
    made = bench(release=release)
    made.committed()
    phases.history_shows_it(made.deploy)
    assert made.deploy.step_detail == (
        "Helm revision 4 is on top, 20 of 20 pods ready" if release is RELEASE else f"stable: {NEW}"
    )


def test_the_history_before_the_commitment(bench: Benches) -> None:
    """A canary is no revision that runs."""
    made = bench()
    made.pass_through(5)
    with pytest.raises(DeployError, match="the new version is not the stable one: Paused at step 1"):
        phases.history_shows_it(made.deploy)


@pytest.mark.parametrize(
    "changed", [{"versions": ()}, {"stable_hash": "other"}, {"current_hash": "other"}], ids=lambda c: next(iter(c))
)
def test_the_history_of_another_version(bench: Benches, changed: dict[str, Any]) -> None:
    """Committed, and something else runs by now."""
    made = bench()
    made.committed()
    made.alter("traffic", state=lambda original, target: replace(original(target), **changed))
    with pytest.raises(DeployError, match="the new version is not the stable one"):
        phases.history_shows_it(made.deploy)


@pytest.mark.parametrize(
    ("revisions", "says"),
    [
        ((HelmRevision(number=5, status="deployed", description="theirs"),), r"but it is 5, deployed \(theirs\)"),
        ((HelmRevision(number=4, status="failed", description="hook"),), r"but it is 4, failed \(hook\)"),
        ((), "Helm has no release api in acme-prod/prod any more"),
    ],
)
def test_the_history_of_another_revision(bench: Benches, revisions: tuple[HelmRevision, ...], says: str) -> None:
    """Helm's own history must agree."""
    made = bench()
    made.committed()
    made.alter("helm", history=lambda original, release: revisions)
    with pytest.raises(DeployError, match=says):
        phases.history_shows_it(made.deploy)


def test_it_holds_afterwards(bench: Benches) -> None:
    """Both objectives of deploy.yaml over one window, said to be after the promotion."""
    made = bench()
    made.committed()
    before, judged = made.world.clock.monotonic(), len(made.told(Judged))
    phases.holds_afterwards(made.deploy, FIVE_MINUTES, "x.feature:30")
    assert 300 <= made.world.clock.monotonic() - before < 330
    sentences = made.deploy.step_detail.split("; ")
    assert sentences[0].startswith("error rate after promotion: PASS")
    assert "p95 latency after promotion: PASS" in made.deploy.step_detail
    assert [event.verdict.weight for event in made.told(Judged)[judged:]] == [None, None]


@pytest.mark.parametrize(
    ("fault", "cause"), [("error rate 5%", "error rate"), ("p95 latency 900ms", "p95 latency"), ("no data", "no data")]
)
def test_a_breach_afterwards(bench: Benches, fault: str, cause: str) -> None:
    """Whichever objective breaks is the one that is named, and what can't be read does not hold."""
    made = bench()
    made.committed()
    made.fault(fault)
    with pytest.raises(GateBreach) as raised:
        phases.holds_afterwards(made.deploy, FIVE_MINUTES, "x.feature:30")
    assert (raised.value.cause, raised.value.at) == (cause, None)


def test_before_the_commitment_there_is_no_afterwards(bench: Benches) -> None:
    """The canary's own gates judge it until then."""
    made = bench()
    made.pass_through(5)
    with pytest.raises(DeployError, match="is not committed yet: there is no afterwards to judge"):
        phases.holds_afterwards(made.deploy, FIVE_MINUTES, "x.feature:30")


def test_a_verdict_of_another_weight_is_no_verdict(bench: Benches) -> None:
    """What was judged at 5 % says nothing about 25 %."""
    made = bench()
    made.pass_through(5)
    gate, together = made.deploy.standing_gate()
    made.raise_to(25)
    with pytest.raises(DeployError, match="the verdict is of 5 %, the canary stands at 25 %"):
        gates.check(made.deploy, gate, together)
