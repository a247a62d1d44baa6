"""What was seen of a repository, as far as a deploy is written from it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Place", "Seen"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One environment.

    Args:
        values_file: as deploy.yaml names it; None: the chart's own values.
        context: None: no kubeconfig tells.
        gitops_file: path in the environment repository, where GitOps brings it there; None where Helm does.
        gitops_key: of the digest in it; None: the default.
    """

    name: str
    namespace: str
    values_file: str | None = None
    context: str | None = None
    gitops_file: str | None = None
    gitops_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A repository that holds a chart.

    Args:
        chart: its folder, from the top.
        image: repository of the image.
        workload: ``Rollout`` or ``Deployment``: what the chart renders.
        workload_file: where it is rendered, from the top.
        pins_by_digest: whether that template speaks of a digest.
        container: None: called as the service.
        steps: the canary's weights.
        steps_from: where they were seen; "" where they are made up.
        places: staging first, production last.
        tests: commands that the Makefile has.
        owner: who is told of a rollback; a team or person of CODEOWNERS also approves.
        prometheus: address that the repository mentions; None: none.
        checklist: path of the deployment checklist; None: there is none.
        smoke: path of the team's own smoke test; None: there is none.
        gitops: ``Argo CD`` or ``Flux``; None: Helm installs.
        gitops_repository: address of the environment repository; None: this one.
        pull_requests: whether that is on GitHub.
        branch: that is followed there.
        ignores_reports: whether git leaves reports/ out.
        github: whether workflows of GitHub can run here.
    """

    service: str
    chart: str
    image: str
    workload: str
    workload_file: str
    pins_by_digest: bool
    container: str | None
    steps: tuple[int, ...]
    steps_from: str
    places: tuple[Place, ...]
    tests: tuple[str, ...]
    owner: str
    approver: str | None
    prometheus: str | None
    checklist: str | None
    smoke: str | None
    gitops: str | None
    gitops_repository: str | None
    pull_requests: bool
    branch: str
    ignores_reports: bool
    github: bool
