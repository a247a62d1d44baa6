"""The phases whose tools may be off: build, signature, scan, tests, chart, smoke, approval, incidents, afterwards."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from pytest_deploy.domain.action import External
from pytest_deploy.domain.found import Found
from pytest_deploy.domain.plan import Gate, gates_of
from pytest_deploy.domain.release import ImageRef
from pytest_deploy.engine import canary, gates, record
from pytest_deploy.engine.deploy import Deploy
from pytest_deploy.errors import DeployError, blamed_on
from pytest_deploy.ports import CAPABILITIES, Builder, Capability

__all__ = ["build", "check", "history_shows_it", "holds_afterwards", "is_pinned", "tell", "verify"]


def build(deploy: Deploy) -> None:
    """Build, push, take the digest that the registry holds, and sign it; off where the image is given by digest.

    Signing is off where deploy.yaml has no section ``sign``. An image that was built elsewhere is not signed here:
    whoever builds it answers for it.

    Raises:
        DeployError: it was not built, or there is no answer.
    """
    builder = deploy.ports.builder
    if builder is None:
        deploy.switched_off("build", CAPABILITIES["build"])
        return
    image = deploy.release.image
    record.once(deploy, "build", image.repository, lambda: _build(deploy, builder, image))


def _build(deploy: Deploy, builder: Builder, image: ImageRef) -> None:

    def act() -> str:
        deploy.digest = builder.build(image)
        return str(deploy.digest)

    action = External(system="registry", summary=f"build and push {image.repository}")
    with blamed_on("build"):
        deploy.found(deploy.tx.do(action, undo=None, act=act))
    signer, pinned = deploy.ports.signer, deploy.image.pinned
    if image.digest is not None:
        deploy.found(f"{pinned}, given by digest: whoever built it has signed it")
        return
    if signer is None:
        deploy.found(f"{pinned}, not signed: deploy.yaml has no 'sign' section")
        return
    with blamed_on("sign"):
        _act(deploy, External(system="registry", summary=f"sign {pinned}"), lambda: signer.sign(pinned))
    deploy.found(f"{pinned}, {deploy.step_detail}")


def verify(deploy: Deploy) -> None:
    """Verify signature, provenance and SBOM of the image by digest; off without the section ``sign``.

    Raises:
        GateBreach: it is unsigned, or signed by somebody else.
        DeployError: there is no answer, which is never taken for a yes.
    """
    signer = deploy.ports.signer
    if signer is None:
        deploy.switched_off("sign", CAPABILITIES["sign"])
        return
    with blamed_on("sign"):
        found = signer.verify(deploy.image.pinned)
    deploy.found_all(found)
    deploy.done("sign", deploy.image.pinned)


def is_pinned(deploy: Deploy) -> None:
    """Check that there is one digest that is deployed everywhere.

    Raises:
        Refused: nobody knows it.
    """
    pinned = deploy.image.pinned
    deploy.fact("digest", deploy.required_digest)
    deploy.fact("new_image", pinned)
    deploy.found(pinned)


def check(deploy: Deploy, section: str, subject: str) -> None:
    """Ask a capability that only looks; off where deploy.yaml has no such section.

    Raises:
        GateBreach: it says no.
        DeployError: it has no answer, which is never taken for a yes.
    """
    capability = deploy.ports.capabilities.get(section)
    if capability is None:
        deploy.switched_off(section, CAPABILITIES[section])
        return
    record.once(deploy, section, subject, lambda: _ask(deploy, section, capability, subject))


def _ask(deploy: Deploy, section: str, capability: Capability, subject: str) -> None:
    with blamed_on(section):
        found = capability(subject)
    deploy.found_all(found)


def tell(deploy: Deploy, section: str, system: str, subject: str) -> None:
    """Write to a system outside (chat, tickets): one that is down never changes the outcome, and is said."""
    capability = deploy.ports.capabilities.get(section)
    if capability is None:
        deploy.switched_off(section, CAPABILITIES[section])
        return
    action = External(system=system, summary=subject)
    try:
        _act(deploy, action, lambda: capability(subject))
    except DeployError as error:
        deploy.attach(error.attachments)
        deploy.warn(f"{system}: {subject}: NOT done, {error}")
        deploy.found(f"NOT done (the deploy goes on): {error}")


def _act(deploy: Deploy, action: External, act: Callable[[], Found]) -> None:
    """Do what changes a system outside, through the one door for mutations."""
    kept: list[Found] = []

    def once() -> str:
        kept.append(act())
        return kept[-1].words

    deploy.tx.do(action, undo=None, act=once)
    deploy.found_all(kept[-1])


def history_shows_it(deploy: Deploy) -> None:
    """Check that the new revision is on top of the history, and the only version that runs.

    Raises:
        DeployError: it is not.
    """
    state = canary.look(deploy)
    stable = state.stable
    if not deploy.committed or stable is None or stable.image != deploy.image.pinned or not state.promoted:
        raise DeployError(f"the new version is not the stable one: {state.words}")
    release = deploy.release_target()
    if release is None:
        deploy.found(f"stable: {stable.image}")
        return
    last = deploy.last_revision(release)
    if last.number != deploy.base_revision + 1 or last.status != "deployed":
        raise DeployError(
            f"revision {deploy.base_revision + 1} should be on top of the history of {release}, "
            f"but it is {last.number}, {last.status} ({last.description})"
        )
    deploy.found(f"Helm revision {last.number} is on top, {stable.ready} of {state.replicas} pods ready")


def holds_afterwards(deploy: Deploy, window: timedelta, place: str) -> None:
    """Judge the whole SLO of deploy.yaml over a window after the commitment; a breach rolls back too.

    Raises:
        GateBreach: it does not hold, or can't be proved to.
    """
    if not deploy.committed:
        raise DeployError("the new version is not committed yet: there is no afterwards to judge")
    together = gates_of(deploy.slo, window, scenario=deploy.scenario, place=place)
    _all_hold(deploy, together)


def _all_hold(deploy: Deploy, together: tuple[Gate, ...]) -> None:
    gates.watch(deploy, together)
    sentences = []
    for gate in sorted(together, key=lambda each: deploy.verdicts[each] is None):
        gates.check(deploy, gate, together)
        sentences.append(deploy.step_detail)
    deploy.found("; ".join(sentences))
