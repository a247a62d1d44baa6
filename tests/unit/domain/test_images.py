"""Rendered manifests name every image by digest."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_deploy.domain.images import image_uses, unpinned
from pytest_deploy.domain.release import ImageRef

IMAGE = ImageRef.parse("ghcr.io/acme/shop@sha256:" + "1" * 64)
OTHER = "envoyproxy/envoy@sha256:" + "2" * 64


def pods(kind: str, *images: str, under: str = "template") -> dict[str, Any]:
    """An object with a pod template of these containers."""
    containers = [{"name": f"c{number}", "image": image} for number, image in enumerate(images)]
    return {"kind": kind, "metadata": {"name": "x"}, "spec": {under: {"spec": {"containers": containers}}}}


def test_images_are_found_wherever_pods_are_described() -> None:
    """Rollouts, jobs inside cron jobs, plain pods, init and ephemeral containers; a CRD's schema is none of them."""
    cron = {"kind": "CronJob", "metadata": {"name": "c"}, "spec": {"jobTemplate": pods("", "a")}}
    pod = {
        "kind": "Pod", "metadata": {"name": "p"},
        "spec": {"initContainers": [{"name": "i", "image": "b"}], "ephemeralContainers": [{"name": "e"}]},
    }  # fmt: skip
    crd = {"kind": "CustomResourceDefinition", "spec": {"properties": {"containers": {"items": {"image": "no"}}}}}
    odd = {"kind": "Odd", "containers": ["no image"]}
    found = {(use.where, use.image) for use in image_uses([pods("Rollout", IMAGE.pinned), cron, pod, crd, odd])}
    assert found == {
        ("Rollout/x, container c0", IMAGE.pinned),
        ("CronJob/c, container c0", "a"),
        ("Pod/p, container i", "b"),
        ("Pod/p, container e", ""),
    }


def test_pinned_images_are_fine() -> None:
    """Ours by exactly its digest, others by any digest, with a tag beside it or not."""
    tagged = OTHER.replace("@", ":v1@")
    assert unpinned(image_uses([pods("Rollout", IMAGE.pinned, OTHER, tagged)]), IMAGE) == ()


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ("envoyproxy/envoy:v1.31", "Job/x, container c0: envoyproxy/envoy:v1.31 has no digest"),
        ("envoyproxy/envoy", "envoyproxy/envoy has no digest"),
        ("localhost:5000/envoy", "localhost:5000/envoy has no digest"),
        ("", "no image has no digest"),
        ("a@sha256:12", "a@sha256:12 has no digest"),
        ("ghcr.io/acme/shop:1.0", "ghcr.io/acme/shop:1.0 has no digest"),
        ("ghcr.io/acme/shop@sha256:" + "3" * 64, "another version than the one that is deployed, sha256:1"),
        ("ghcr.io/acme/shop:1.0@sha256:" + "3" * 64, "another version than the one that is deployed"),
        ("ghcr.io/acme/shop:1.0@sha256:" + "1" * 64, "has a tag beside the digest"),
    ],
)
def test_what_is_not_pinned_is_named(image: str, said: str) -> None:
    """A tag, no digest, half a digest, and another version of our own image."""
    (problem,) = unpinned(image_uses([pods("Rollout", IMAGE.pinned), pods("Job", image)]), IMAGE)
    assert said in problem


def test_the_deployed_image_must_run() -> None:
    """A chart that ignores the digest that it is given is found."""
    (problem,) = unpinned(image_uses([pods("Rollout", OTHER)]), IMAGE)
    assert problem.startswith(f"no container runs {IMAGE.pinned}")
