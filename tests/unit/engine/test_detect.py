"""The deploy stops where it does not belong, before anything is written, and says where to go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from pytest_deploy.domain.event import Warned
from pytest_deploy.domain.release import Environment
from pytest_deploy.domain.stack import Sign, SignKind
from pytest_deploy.engine import detect
from pytest_deploy.errors import Refused
from pytest_deploy.rehearsal.gitops import RehearsedGitOps
from tests.unit.engine.conftest import PATCHED, Bench

LAMBDA = Sign(kind=SignKind.SERVERLESS, tool="AWS SAM", where="template.yaml", instead="sam deploy")
ARGO = Sign(kind=SignKind.GITOPS, tool="Argo CD", where="Rollout api, annotation x", instead="argocd app wait shop")
ARGO_FILE = Sign(kind=SignKind.GITOPS, tool="Argo CD", where="argocd/app.yaml")
KUSTOMIZE = Sign(kind=SignKind.APPLIED, tool="kustomize", where="Rollout api, label y")


class Stack:
    """Signs as the test says."""

    def __init__(self, files: tuple[Sign, ...], live: Mapping[str, tuple[Sign, ...] | None]) -> None:
        self._files, self._live = files, live
        self.asked: list[str] = []

    def files(self) -> tuple[Sign, ...]:
        """What the files tell."""
        return self._files

    def live(self, environment: Environment) -> tuple[Sign, ...] | None:
        """What the live objects tell."""
        self.asked.append(environment.name)
        return self._live.get(environment.name, ())


def check(
    bench: Bench, *, files: tuple[Sign, ...] = (), live: Mapping[str, tuple[Sign, ...] | None] | None = None
) -> Stack:
    """Look for signs."""
    stack = Stack(files, live or {})
    bench.use(replace(bench.deploy.ports, stack=stack))
    detect.check(bench.deploy)
    return stack


def test_nothing_is_in_the_way(bench: Callable[..., Bench]) -> None:
    """Without a sign the deploy goes on, and staging is looked at too where the feature installs there."""
    made = bench()
    made.deploy.installs = ("staging",)
    assert check(made).asked == ["staging", "prod"]
    assert made.told(Warned) == []


def test_serverless_stops(bench: Callable[..., Bench]) -> None:
    """A file of another platform beside deploy.yaml stops the deploy before any contact, and names what to use."""
    made = bench()
    with pytest.raises(Refused, match=r"template\.yaml: that is AWS SAM") as caught:
        check(made, files=(LAMBDA,))
    assert "use sam deploy" in caught.value.hint
    assert made.done() == []


def test_files_are_checked_before_any_contact() -> None:
    """All platforms are named in one message; a neighbour's file, and what GitOps says, is no reason yet."""
    detect.check_files((replace(LAMBDA, near=False), ARGO_FILE))
    other = replace(LAMBDA, tool="Azure Container Apps", where="azure.yaml", instead="az containerapp")
    with pytest.raises(Refused, match=r"template\.yaml: that is AWS SAM.*; azure\.yaml: that is Azure") as caught:
        detect.check_files((LAMBDA, other))
    assert "use sam deploy" in caught.value.hint
    assert "use az containerapp" in caught.value.hint


def test_it_is_asked_once(bench: Callable[..., Bench]) -> None:
    """Every phase may ask; the cluster is looked at once."""
    made = bench()
    stack = check(made)
    detect.check(made.deploy)
    assert stack.asked == ["prod"]


def test_nothing_can_be_seen(bench: Callable[..., Bench]) -> None:
    """A world without such signs is not asked for any."""
    made = bench()
    made.use(replace(made.deploy.ports, stack=None, gitops=RehearsedGitOps(["staging"])))
    detect.check(made.deploy)
    assert made.told(Warned) == []


def test_manifests_of_kubectl(bench: Callable[..., Bench]) -> None:
    """A kustomization among the files tells nothing of who keeps what is live, or will."""
    file = Sign(kind=SignKind.APPLIED, tool="kustomize", where="base/kustomization.yaml")
    made = bench()
    check(made, files=(file,))
    check(bench(), files=(file,), live={"prod": None})
    assert made.told(Warned) == []


def test_serverless_of_a_neighbour_is_told(bench: Callable[..., Bench]) -> None:
    """One in a folder below is another service's: it is said, and stops nothing."""
    made = bench()
    check(made, files=(replace(LAMBDA, near=False),))
    assert "another service's" in made.told(Warned)[0].text


@pytest.mark.parametrize("where", ["prod", "staging"])
def test_gitops_stops(bench: Callable[..., Bench], where: str) -> None:
    """A live object that Argo CD tracks, in any environment of the deploy, is never touched: a commit is asked for."""
    made = bench()
    made.deploy.installs = ("staging",)
    with pytest.raises(Refused, match=f"Argo CD keeps {where} as it is in git") as caught:
        check(made, live={where: (ARGO,)})
    assert f"features/{where}_gitops.feature" in caught.value.hint
    assert "then watch: argocd app wait shop" in caught.value.hint
    assert made.done() == []


def test_all_is_said_at_once(bench: Callable[..., Bench]) -> None:
    """Two environments that are wrong stand in one message."""
    made = bench()
    made.deploy.installs = ("staging",)
    with pytest.raises(Refused, match=r"keeps staging .*; .*keeps prod"):
        check(made, live={"prod": (ARGO,), "staging": (ARGO,)})


def test_files_alone_prove_little(bench: Callable[..., Bench]) -> None:
    """A manifest of Argo CD is only told where the live objects are not its own; where there are none, it counts."""
    made = bench()
    check(made, files=(ARGO_FILE,))
    assert "no live object in prod is marked" in made.told(Warned)[0].text
    with pytest.raises(Refused, match="nothing is installed in prod yet"):
        check(bench(), files=(ARGO_FILE,), live={"prod": None})


def test_kustomize(bench: Callable[..., Bench]) -> None:
    """What kustomize applies is not Helm's to take over; driven by its image alone, it is only told."""
    with pytest.raises(Refused, match="Helm's release api can't take it over") as caught:
        check(bench(), live={"prod": (KUSTOMIZE,)})
    assert "release: null" in caught.value.hint
    patched = bench(release=PATCHED)
    check(patched, live={"prod": (KUSTOMIZE,)})
    assert "its next apply" in patched.told(Warned)[0].text


def test_what_deploy_yaml_gives_to_gitops(bench: Callable[..., Bench]) -> None:
    """An environment of the gitops section is never installed to, whatever lives there."""
    made = bench()
    made.deploy.installs = ("staging",)
    made.use(replace(made.deploy.ports, gitops=RehearsedGitOps(["prod"])))
    with pytest.raises(Refused, match="keeps staging as it is") as caught:
        check(made, live={"staging": (ARGO,), "prod": (ARGO,)})
    assert "keeps staging" in str(caught.value)
    assert "keeps prod" not in str(caught.value)
    assert "gitops.environments.prod" in str(caught.value)
