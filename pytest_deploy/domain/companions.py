"""What stands beside a Rollout and gets in the way of a deploy: autoscalers, disruption budgets, old CRDs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pytest_deploy.domain.action import Json
from pytest_deploy.domain.tree import at, items

__all__ = ["crd_problems", "matches", "replica_fights", "standing_still"]

Manifest = Mapping[str, Json]


def replica_fights(rollout: Manifest, autoscalers: Sequence[Manifest]) -> Iterator[str]:
    """Yield each autoscaler that sets the same field as the chart does: every upgrade would undo its work.

    Args:
        rollout: as the chart renders it.
        autoscalers: live ones, and those of the chart.
    """
    replicas = at(rollout, "spec", "replicas")
    if replicas is None:
        return
    name = at(rollout, "metadata", "name")
    found = {
        at(each, "metadata", "name")
        for each in autoscalers
        if (at(each, "spec", "scaleTargetRef", "kind"), at(each, "spec", "scaleTargetRef", "name")) == ("Rollout", name)
    }
    for scaler in sorted(map(str, found)):
        yield (
            f"HorizontalPodAutoscaler {scaler} scales Rollout {name}, and the chart sets spec.replicas: {replicas}: "
            "each upgrade and each rollback would throw away what it has scaled to"
        )


def standing_still(rollout: Manifest, budgets: Sequence[Manifest]) -> Iterator[str]:
    """Yield each PodDisruptionBudget of the Rollout's pods that allows no disruption now.

    It does not stop a canary, only a drain of the node that its pods are on.
    """
    labels = at(rollout, "spec", "template", "metadata", "labels")
    for each in budgets:
        selects = isinstance(labels, Mapping) and matches(at(each, "spec", "selector"), labels)
        if selects and at(each, "status", "disruptionsAllowed") == 0:
            yield (
                f"PodDisruptionBudget {at(each, 'metadata', 'name')} allows 0 disruptions of these pods now: a node "
                "that is drained during the canary waits for it"
            )


def matches(selector: Json, labels: Mapping[str, Json]) -> bool:
    """Whether a LabelSelector selects something with these labels; an empty one selects all, None nothing."""
    if not isinstance(selector, Mapping):
        return False
    wanted = at(selector, "matchLabels")
    if isinstance(wanted, Mapping) and any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return all(_holds(each, labels) for each in items(at(selector, "matchExpressions")))


def _holds(expression: Json, labels: Mapping[str, Json]) -> bool:
    key, operator = str(at(expression, "key")), at(expression, "operator")
    values = items(at(expression, "values"))
    if operator == "In":
        return labels.get(key) in values
    if operator == "NotIn":
        return labels.get(key) not in values
    return (key in labels) == (operator == "Exists")


def crd_problems(wanted: Manifest, live: Manifest | None) -> str:
    """Return how a CRD of the chart differs from the live one, in words; "" where the live one has all of it.

    Args:
        live: None: it is not there.
    """
    name = at(wanted, "metadata", "name")
    if live is None:
        return f"CustomResourceDefinition {name} of the chart is not there: Helm makes it with the first revision only"
    there = {at(each, "name"): each for each in items(at(live, "spec", "versions"))}
    for version in items(at(wanted, "spec", "versions")):
        number = at(version, "name")
        if number not in there:
            return f"CustomResourceDefinition {name} lacks version {number} of the chart"
        path = _missing(version, there[number])
        if path is not None:
            return f"CustomResourceDefinition {name} is not the chart's: {number} differs at {path or 'its root'}"
    return ""


def _missing(wanted: Json, live: Json) -> str | None:
    """Return the path of the first thing that the live object lacks or has otherwise; None: there is none.

    What is only there live are the API server's defaults.
    """
    if isinstance(wanted, Mapping):
        for key, value in wanted.items():
            below = _missing(value, at(live, key)) if isinstance(live, Mapping) and key in live else ""
            if below is not None:
                return f".{key}{below}"
        return None
    if isinstance(wanted, list | tuple) and isinstance(live, list | tuple) and len(wanted) == len(live):
        found = (
            f"[{index}]{below}"
            for index, (one, other) in enumerate(zip(wanted, live, strict=True))
            if (below := _missing(one, other)) is not None
        )
        return next(found, None)
    return None if wanted == live else ""
