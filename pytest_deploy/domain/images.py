"""Which images rendered manifests run, and whether each is named by digest."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_deploy.domain.action import Json
from pytest_deploy.domain.release import ImageRef

__all__ = ["ImageUse", "image_uses", "unpinned"]

_LISTS = ("containers", "initContainers", "ephemeralContainers")
_BY_DIGEST = re.compile(r".+@sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageUse:
    """One container that would run.

    Args:
        where: ``Rollout/shop, container shop``.
        image: as it is written; "" where it is missing.
    """

    where: str
    image: str


def image_uses(manifests: Sequence[Mapping[str, Json]]) -> tuple[ImageUse, ...]:
    """Return each container of each manifest, in whatever kind of object its pod template stands."""
    return tuple(use for manifest in manifests for use in _uses(manifest))


def unpinned(uses: Sequence[ImageUse], image: ImageRef) -> tuple[str, ...]:
    """Return what is wrong with the images, one line each; () where all are named by digest.

    Args:
        image: of this release, with its digest: it must run somewhere, and no other version of it may.
    """
    problems = [problem for use in uses if (problem := _problem(use, image))]
    if not any(use.image == image.pinned for use in uses):
        problems.append(f"no container runs {image.pinned}: the chart must use image.repository and image.digest")
    return tuple(problems)


def _problem(use: ImageUse, image: ImageRef) -> str:
    if not _BY_DIGEST.fullmatch(use.image):
        return f"{use.where}: {use.image or 'no image'} has no digest"
    if _repository(use.image) != image.repository or use.image == image.pinned:
        return ""
    if use.image.endswith(f"@{image.digest}"):
        return f"{use.where}: {use.image} has a tag beside the digest"
    return f"{use.where}: {use.image} is another version than the one that is deployed, {image.digest}"


def _repository(text: str) -> str:
    head, _, tag = text.partition("@")[0].rpartition(":")
    return head if head and "/" not in tag else text.partition("@")[0]


def _uses(manifest: Mapping[str, Json]) -> Iterator[ImageUse]:
    metadata = manifest.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    waiting: list[Json | Mapping[str, Json]] = [manifest]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Mapping):
            for key, value in node.items():
                if key in _LISTS and isinstance(value, list):
                    for item in value:
                        if isinstance(item, Mapping):
                            where = f"{manifest.get('kind')}/{name}, container {item.get('name')}"
                            yield ImageUse(where=where, image=str(item.get("image") or ""))
                waiting.append(value)
        elif isinstance(node, list):
            waiting.extend(node)
