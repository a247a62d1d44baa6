"""GitOps: the deploy is a commit, and nothing is written to a cluster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from pytest_deploy.domain.action import External
from pytest_deploy.domain.event import ActionDone, Attached, Fact
from pytest_deploy.domain.found import Attachment, Found
from pytest_deploy.domain.pin import Pin
from pytest_deploy.domain.release import ImageRef
from pytest_deploy.domain.stack import Sign, SignKind
from pytest_deploy.engine import asking, gitops
from pytest_deploy.errors import Refused, Unreachable
from pytest_deploy.rehearsal.gitops import RehearsedGitOps, RehearsedStack
from tests.unit.engine.conftest import RELEASE, Bench

ARGO = Sign(kind=SignKind.GITOPS, tool="Argo CD", where="x", instead="argocd app wait shop")


def given(bench: Bench, *environments: str) -> Bench:
    """Give these environments to GitOps."""
    bench.use(replace(bench.deploy.ports, gitops=RehearsedGitOps(environments), stack=RehearsedStack(())))
    return bench


def facts(bench: Bench) -> dict[str, str]:
    """All facts that were told."""
    return {fact.name: fact.value for fact in bench.told(Fact)}


def test_the_commit(bench: Callable[..., Bench]) -> None:
    """One action outside of the cluster, with its facts, and what to watch."""
    made = given(bench(), "staging", "prod")
    made.alter("stack", live=lambda _original, _environment: (ARGO,))
    gitops.commit(made.deploy, "prod")
    (done,) = made.told(ActionDone)
    assert isinstance(done.action, External)
    assert done.action.summary.startswith("branch deploy/api-prod-999999999999: ghcr.io/acme/api@sha256:9999")
    assert facts(made)["gitops_branch"] == "deploy/api-prod-999999999999"
    assert facts(made)["watch"] == "argocd app wait shop"
    assert made.deploy.step_detail.endswith("; watch: argocd app wait shop")
    assert made.old_serves()


def test_a_cluster_that_does_not_answer(bench: Callable[..., Bench]) -> None:
    """Who may commit need not see the cluster: what to watch is then said in general."""
    made = given(bench(), "staging", "prod")

    def away(_original: object, _environment: object) -> None:
        raise Unreachable("no answer")

    made.alter("stack", live=away)
    gitops.commit(made.deploy, "prod")
    assert "your GitOps controller" in facts(made)["watch"]


def test_a_world_without_a_cluster(bench: Callable[..., Bench]) -> None:
    """Where nothing can look at live objects, what to watch is said in general too."""
    made = given(bench(), "staging", "prod")
    made.use(replace(made.deploy.ports, stack=None))
    gitops.commit(made.deploy, "prod")
    assert "your GitOps controller" in facts(made)["watch"]


def test_it_must_be_approved(bench: Callable[..., Bench]) -> None:
    """The commit is the write to production: where somebody must approve the digest, nothing is pushed before."""
    guarded = {"prod": replace(RELEASE.environments["prod"], approvers=("@acme/sre",))}
    release = replace(RELEASE, environments={**RELEASE.environments, **guarded})
    made = given(bench(release=release, sections=("approval",)), "staging", "prod")
    with pytest.raises(Refused, match="prod is not approved for"):
        gitops.commit(made.deploy, "prod")
    assert made.done() == []
    asking.ask(made.deploy, "prod")
    gitops.commit(made.deploy, "prod")
    assert "branch" in made.done()[-1]


def test_evidence(bench: Callable[..., Bench]) -> None:
    """The diff is attached, and the verification says what it found."""
    made = given(bench(), "staging", "prod")
    diff = Attachment("the commit", "+x")
    made.alter("gitops", commit=lambda _original, _pin: Found("pushed", attachments=(diff,)))
    gitops.can_be_written(made.deploy, "prod")
    assert "can be written" in made.deploy.step_detail
    gitops.commit(made.deploy, "prod")
    assert [each.attachment for each in made.told(Attached)] == [diff]
    gitops.only_the_digest(made.deploy, "prod")
    assert "changes nothing but the digest" in made.deploy.step_detail


def test_staging_comes_first(bench: Callable[..., Bench]) -> None:
    """Past staging only what staging holds, or what this feature installs there; without either it is refused."""
    pins: list[Pin] = []

    def kept(_original: object, pin: Pin) -> Found:
        pins.append(pin)
        return Found("pushed")

    made = given(bench(), "staging", "prod")
    made.alter("gitops", commit=kept)
    gitops.commit(made.deploy, "staging")
    gitops.commit(made.deploy, "prod")
    alone = given(bench(), "prod")
    with pytest.raises(Refused, match="has not been through staging"):
        gitops.commit(alone.deploy, "prod")
    assert alone.done() == []
    alone.alter("gitops", commit=kept)
    alone.deploy.installs = ("staging",)
    gitops.commit(alone.deploy, "prod")
    assert [pin.after for pin in pins] == [None, "staging", None]


def test_what_is_not_given_to_gitops(bench: Callable[..., Bench]) -> None:
    """An environment without a place in the repository, and a digest that nobody knows, are refused."""
    made = given(bench(), "staging")
    with pytest.raises(Refused, match=r"nothing of an environment repository for 'prod'"):
        gitops.commit(made.deploy, "prod")
    with pytest.raises(Refused, match="nothing of an environment repository"):
        gitops.can_be_written(bench().deploy, "prod")
    made.use(replace(made.deploy.ports, gitops=RehearsedGitOps(["staging", "prod", "eu"])))
    with pytest.raises(Refused, match="bound for 'prod', so that is what was checked and approved, not 'eu'"):
        gitops.commit(made.deploy, "eu")
    unknown = given(bench(release=replace(RELEASE, image=ImageRef.parse("ghcr.io/acme/api:v1"))), "staging")
    with pytest.raises(Refused, match="no digest of"):
        gitops.commit(unknown.deploy, "staging")
