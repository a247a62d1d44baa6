"""What stands beside the release and would get in the way: autoscaler, CRDs, Helm's limit, quota, disruption budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_deploy.domain.action import Json
from pytest_deploy.domain.companions import crd_problems, replica_fights, standing_still
from pytest_deploy.domain.manifests import find_rollout
from pytest_deploy.domain.permissions import CRDS, Resource
from pytest_deploy.domain.room import extra_pods, needs, quota_problems
from pytest_deploy.domain.tree import at
from pytest_deploy.engine.deploy import Deploy
from pytest_deploy.engine.preflight import stacks
from pytest_deploy.errors import Refused

__all__ = ["autoscalers", "crds", "disruption_budgets", "quotas", "record_size"]

Manifest = Mapping[str, Json]

_AUTOSCALERS = Resource(group="autoscaling", version="v2", plural="horizontalpodautoscalers")
_BUDGETS = Resource(group="policy", version="v1", plural="poddisruptionbudgets")
_QUOTAS = Resource(group="", version="v1", plural="resourcequotas")

_RECORD_LIMIT_KIB = 900
"""A Secret holds 1024 KiB, and the record of the way back must find room, too (https://helm.sh/docs/faq/)."""


def autoscalers(deploy: Deploy) -> None:
    """Check that chart and autoscaler do not both set the replicas; without a chart nobody sets them but it.

    Raises:
        Refused: they do.
    """
    if deploy.release_target() is None:
        return
    chart = stacks.rendered(deploy, deploy.environment)
    rollout = find_rollout(chart, deploy.environment.rollout)
    own = [each for each in chart if each.get("kind") == "HorizontalPodAutoscaler"]
    live = _read(deploy, _AUTOSCALERS, "whether an autoscaler fights with the chart over spec.replicas")
    fights = list(replica_fights(rollout, [*own, *live])) if rollout is not None else []
    if fights:
        raise Refused(
            "; ".join(fights),
            hint="leave spec.replicas out of the chart's Rollout where it is scaled: {{- if not .Values.autoscaling }}",
        )


def crds(deploy: Deploy) -> None:
    """Check that the CRDs of the chart are those of the cluster: Helm never upgrades them.

    Raises:
        Refused: one is missing or is another.
    """
    if deploy.release_target() is None:
        return
    wrong = []
    for wanted in deploy.ports.helm.crds(str(deploy.release.chart_path)):
        name = str(at(wanted, "metadata", "name"))
        live = deploy.ports.cluster.objects(deploy.environment, CRDS, name)
        if live is None:
            deploy.warn(f"not looked at: whether CustomResourceDefinition {name} has drifted; {_GRANT}")
        elif problem := crd_problems(wanted, live[0] if live else None):
            wrong.append(problem)
    if wrong:
        raise Refused(
            "; ".join(wrong),
            hint=f"let an administrator bring them up to date: kubectl --context {deploy.environment.context} apply "
            f"--server-side -f {deploy.release.chart_path}/crds",
        )


def record_size(deploy: Deploy) -> None:
    """Check that Helm can store what it would install.

    Raises:
        Refused: it is nearly as large as a Secret may be.
    """
    if deploy.release_target() is None:
        return
    size_kib = deploy.ports.helm.record_size(stacks.planned(deploy, deploy.environment)) / 1024
    if size_kib >= _RECORD_LIMIT_KIB:
        raise Refused(
            f"Helm's record of this release has {size_kib:.0f} KiB, {_RECORD_LIMIT_KIB} KiB is the limit: a Secret "
            "holds 1024 KiB, and the upgrade or its rollback would fail there",
            hint=f"take what is not a template out of {deploy.release.chart_path} (.helmignore), or split the chart",
        )


def quotas(deploy: Deploy) -> None:
    """Check that the quotas leave room for the canary beside what runs.

    Raises:
        Refused: they don't, and the canary's pods could not start.
    """
    state = stacks.live_rollout(deploy)
    found = _read(deploy, _QUOTAS, "whether a quota leaves room for the canary")
    rollout = _wanted(deploy)
    if rollout is None or not found:
        return
    pods = extra_pods(rollout, state.replicas)
    problems = list(quota_problems(found, needs(rollout, pods)))
    if problems:
        raise Refused(
            f"no room in {deploy.environment.namespace} for {pods} more pods: {'; '.join(problems)}",
            hint="raise the quota, or lower the Rollout's maxSurge or its requests",
        )


def disruption_budgets(deploy: Deploy) -> None:
    """Warn where no pod may be disrupted now."""
    found = _read(deploy, _BUDGETS, "whether a disruption budget is used up")
    rollout = _wanted(deploy)
    for text in standing_still(rollout, found) if rollout is not None else ():
        deploy.warn(text)


def _wanted(deploy: Deploy) -> Manifest | None:
    """Return the Rollout as it will be; where no chart makes it, as it is."""
    if deploy.release_target() is not None:
        return find_rollout(stacks.rendered(deploy, deploy.environment), deploy.environment.rollout)
    found = deploy.ports.cluster.objects(deploy.environment, _ROLLOUTS, deploy.environment.rollout)
    return found[0] if found else None


def _read(deploy: Deploy, resource: Resource, what: str) -> Sequence[Manifest]:
    """Return what is there; where it may not be read, say what was not looked at."""
    found = deploy.ports.cluster.objects(deploy.environment, resource)
    if found is None:
        deploy.warn(f"not looked at: {what}; this account may not list {resource.plural}. {_GRANT}")
    return found or ()


_ROLLOUTS = Resource(group="argoproj.io", version="v1alpha1", plural="rollouts")
_GRANT = "pytest-deploy rbac prints the rule"
