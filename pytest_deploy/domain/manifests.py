"""What rendered manifests say: the Rollout, its image, and the configuration that its pods use."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from pytest_deploy.domain.action import Json
from pytest_deploy.domain.rollout import Step
from pytest_deploy.domain.tree import at, items

__all__ = ["config_changes", "container_image", "find_rollout", "parse_step", "rollout_steps"]

Manifest = Mapping[str, Json]

_UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_GO_DURATION = re.compile(r"([0-9.]+)(h|ms|us|µs|ns|m|s)")


def find_rollout(manifests: Sequence[Manifest], name: str) -> Manifest | None:
    """Return the Rollout of this name; None when none is rendered."""
    return next((m for m in manifests if m.get("kind") == "Rollout" and _name(m) == name), None)


def container_image(rollout: Manifest, container: str) -> str | None:
    """Return the image of the container in the pod template; None when there is no such container."""
    for item in items(at(rollout, "spec", "template", "spec", "containers")):
        if isinstance(item, Mapping) and item.get("name") == container:
            return str(item.get("image"))
    return None


def rollout_steps(rollout: Manifest) -> tuple[Step, ...]:
    """Return the steps of the Rollout's canary strategy; () when it has none."""
    steps = items(at(rollout, "spec", "strategy", "canary", "steps"))
    return tuple(parse_step(step) for step in steps if isinstance(step, Mapping))


def parse_step(step: Manifest) -> Step:
    """Return one canary step as the API writes it: ``{setWeight: 5}``, ``{pause: {duration: 30s}}`` ..."""
    if "setWeight" in step:
        return Step(kind="setWeight", weight=int(cast("int", step["setWeight"])))
    if "pause" in step:
        pause = step["pause"]
        duration = pause.get("duration") if isinstance(pause, Mapping) else None
        return Step(kind="pause", pause_s=None if duration is None else _seconds(duration))
    return Step(kind=next(iter(step), "empty"))


def _seconds(duration: Json) -> float:
    """Return a pause's duration: a number of seconds, or a Go duration like ``1h30m``."""
    text = str(duration)
    if text.isdigit():
        return float(text)
    return sum(float(number) * _UNITS_S[unit] for number, unit in _GO_DURATION.findall(text))


def config_changes(live: Sequence[Manifest], rendered: Sequence[Manifest], rollout: str) -> Iterator[str]:
    """Yield a warning for each ConfigMap or Secret that running pods use and that this release touches.

    One of the same name changes for the stable pods too, at their next restart; one that goes away keeps a
    stable pod from starting in the middle of the canary.
    """
    running = find_rollout(live, rollout)
    if running is None:
        return
    before, after = _configs(live), _configs(rendered)
    for ref in sorted(config_refs(at(running, "spec", "template", "spec"))):
        if ref not in before:
            continue
        if ref not in after:
            yield (
                f"{ref} is used by running pods and removed by this release: a stable pod that restarts during the "
                "canary can't start; keep it (helm.sh/resource-policy: keep) or move it into the pod template"
            )
        elif before[ref] != after[ref]:
            yield (
                f"{ref} is used by running pods and is changed by this release: stable pods get it too, "
                "at their next restart; give it a name of its own for each version, or move it into the pod template"
            )


def config_refs(pod_spec: Json) -> set[str]:
    """Return the ConfigMaps and Secrets that a pod spec uses, as ``ConfigMap/name`` and ``Secret/name``."""
    found: set[str] = set()
    keys = {
        "configMapRef": ("ConfigMap", "name"), "configMapKeyRef": ("ConfigMap", "name"),
        "configMap": ("ConfigMap", "name"),
        "secretRef": ("Secret", "name"), "secretKeyRef": ("Secret", "name"), "secret": ("Secret", "secretName"),
    }  # fmt: skip
    waiting: list[Json] = [pod_spec]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Mapping):
            for key, value in node.items():
                kind, field = keys.get(key, ("", ""))
                if kind and isinstance(value, Mapping):
                    name = value.get(field) or value.get("name")
                    if name:
                        found.add(f"{kind}/{name}")
                waiting.append(value)
        elif isinstance(node, Sequence) and not isinstance(node, str):
            waiting.extend(node)
    return found


def _configs(manifests: Sequence[Manifest]) -> dict[str, str]:
    return {
        f"{m.get('kind')}/{_name(m)}": json.dumps(
            {key: m.get(key) for key in ("data", "binaryData", "stringData")}, sort_keys=True, default=str
        )
        for m in manifests
        if m.get("kind") in {"ConfigMap", "Secret"}
    }


def _name(manifest: Manifest) -> str:
    return str(at(manifest, "metadata", "name"))
