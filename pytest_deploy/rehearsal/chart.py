"""The rehearsed chart: what a Helm upgrade with given values makes of the Rollout."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

from pytest_deploy.domain.action import Json
from pytest_deploy.domain.release import Environment
from pytest_deploy.domain.rollout import Step

__all__ = ["Chart", "Spec"]

REPLICAS = 20
"""Pods where the values say nothing else: with 20, a weight of 5 % is exactly one pod."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """The spec of a Rollout.

    Args:
        template: the pod template, as JSON.
    """

    replicas: int
    steps: tuple[Step, ...]
    template: dict[str, Json]

    @property
    def template_hash(self) -> str:
        """The pod-template hash: the same template has the same one, anywhere and at any time."""
        return hashlib.sha256(json.dumps(self.template, sort_keys=True).encode()).hexdigest()[:10]

    @property
    def containers(self) -> list[dict[str, str]]:
        """The containers of the pod template, each with its ``name`` and ``image``."""
        pod = cast("dict[str, Json]", self.template["spec"])
        return cast("list[dict[str, str]]", pod["containers"])

    def image(self, container: str) -> str:
        """Return the image of the container; "" where there is no such container."""
        return next((each["image"] for each in self.containers if each["name"] == container), "")

    def document(self) -> dict[str, Json]:
        """Return the spec as the API holds it."""
        strategy: dict[str, Json] = {"steps": [_step(step) for step in self.steps]} if self.steps else {}
        return {"replicas": self.replicas, "strategy": {"canary": strategy}, "template": self.template}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart with a Rollout and its Service, in one environment.

    It knows the values ``image.repository``, ``image.digest`` and ``replicaCount``; every other value that is
    set goes into the pod template, so that changing it starts a canary. Values files are not read.

    Args:
        repository: of the image, where no value says another.
        steps: of the Rollout's canary strategy; () has none.
    """

    service: str
    repository: str
    environment: Environment
    steps: tuple[Step, ...]

    def spec(self, values: Iterable[tuple[str, str]]) -> Spec:
        """Return the Rollout's spec for these pairs of dotted key and JSON text.

        Raises:
            ValueError: they do not name the image's digest.
        """
        given = {key: json.loads(text) for key, text in values}
        repository = given.pop("image.repository", self.repository)
        digest = given.pop("image.digest", None)
        if not digest:
            msg = "image.digest is required"
            raise ValueError(msg)
        replicas = int(given.pop("replicaCount", REPLICAS))
        container: dict[str, Json] = {
            "name": self.environment.container,
            "image": f"{repository}@{digest}",
            "env": [{"name": key, "value": json.dumps(value)} for key, value in sorted(given.items())],
        }
        template: dict[str, Json] = {"metadata": {"labels": self._labels()}, "spec": {"containers": [container]}}
        return Spec(replicas=replicas, steps=self.steps, template=template)

    def manifests(self, spec: Spec) -> tuple[Mapping[str, Json], ...]:
        """Return what is applied: the Rollout and its Service."""
        name, namespace = self.environment.rollout, self.environment.namespace
        selector: dict[str, Json] = {"selector": {"matchLabels": self._labels()}}
        return (
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {"selector": self._labels(), "ports": [{"port": 80}]},
            },
            {
                "apiVersion": "argoproj.io/v1alpha1",
                "kind": "Rollout",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {**spec.document(), **selector},
            },
        )

    def _labels(self) -> dict[str, Json]:
        return {"app.kubernetes.io/name": self.service}


def _step(step: Step) -> Json:
    if step.kind == "setWeight":
        return {"setWeight": step.weight}
    if step.pause_s is None:
        return {"pause": {}}
    return {"pause": {"duration": f"{step.pause_s:g}s"}}
