"""OCI image archives without a container engine: a folder or some files become one image of one layer.

The format is https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md; the same content always gives
the same digest.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Image", "add_file", "add_tree", "write_image"]

_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What an image says of itself.

    Args:
        name: as it is referred to, with its tag: ``registry/repository:tag``.
        entrypoint: what a container of it runs.
        user: numbers, ``uid:gid``: "runs as non-root" can be checked of these only.
        env: variables, ``NAME=value``.
        folder: where it runs.
        labels: annotations for people, such as ``org.opencontainers.image.revision``.
    """

    name: str
    entrypoint: Sequence[str]
    user: str
    env: Sequence[str] = ()
    folder: str = "/"
    labels: Mapping[str, str] | None = None


@contextmanager
def _layer(path: Path) -> Iterator[tarfile.TarFile]:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        yield tar


def add_file(tar: tarfile.TarFile, source: Path, target: str) -> None:
    """Add one program, as ``/target``."""
    member = tarfile.TarInfo(target.lstrip("/"))
    member.mode, member.size = 0o755, source.stat().st_size
    with source.open("rb") as content:
        tar.addfile(member, content)


def add_tree(tar: tarfile.TarFile, root: Path) -> None:
    """Add all that is below a folder, as if that were ``/``: links as links, owned by root, without times."""
    for path in sorted(root.rglob("*")):
        member = tar.gettarinfo(str(path), arcname=str(path.relative_to(root)))
        member.uid = member.gid = member.mtime = 0
        member.uname = member.gname = ""
        member.pax_headers = {}
        if member.islnk():  # a second name of a file: the copy does not depend on the order
            member.type, member.linkname, member.size = tarfile.REGTYPE, "", path.stat().st_size
        if member.isreg():
            with path.open("rb") as content:
                tar.addfile(member, content)
        else:
            tar.addfile(member)


def write_image(archive: Path, image: Image, files: Mapping[str, Path], *, root: Path | None = None) -> str:
    """Write an image archive, all or nothing, and return the digest of its manifest: ``sha256:...``.

    Args:
        files: programs, by where they stand in the image.
        root: a whole root file system; None: the files alone.
    """
    part, layer = archive.with_suffix(".part"), archive.with_suffix(".layer")
    try:
        with _layer(layer) as tar:
            if root is not None:
                add_tree(tar, root)
            for target, source in sorted(files.items()):
                add_file(tar, source, target)
        digest = _assemble(part, image, layer)
        part.replace(archive)
    finally:
        part.unlink(missing_ok=True)
        layer.unlink(missing_ok=True)
    return digest


def _assemble(part: Path, image: Image, layer: Path) -> str:
    # A layer that is not compressed has one digest, not two, and is as large as it is: what pushes it packs it.
    diff = _digest(layer)
    config = _dump(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "Entrypoint": list(image.entrypoint),
                "Env": list(image.env),
                "User": image.user,
                "WorkingDir": image.folder,
                "Labels": dict(image.labels or {}),
            },
            "rootfs": {"type": "layers", "diff_ids": [diff]},
        }
    )
    manifest = _dump(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _described(_CONFIG, config),
            "layers": [{"mediaType": _LAYER, "digest": diff, "size": layer.stat().st_size}],
        }
    )
    named = {"io.containerd.image.name": image.name, "org.opencontainers.image.ref.name": image.name.rpartition(":")[2]}
    index = _dump(
        {
            "schemaVersion": 2,
            "mediaType": _INDEX,
            "manifests": [{**_described(_MANIFEST, manifest), "annotations": named}],
        }
    )
    with tarfile.open(part, "w", format=tarfile.PAX_FORMAT) as tar:
        _add_bytes(tar, "oci-layout", _dump({"imageLayoutVersion": "1.0.0"}))
        _add_bytes(tar, "index.json", index)
        for blob in (config, manifest):
            _add_bytes(tar, _blob(_sum(blob)), blob)
        add_file(tar, layer, _blob(diff))
    return _sum(manifest)


def _described(kind: str, content: bytes) -> dict[str, object]:
    return {"mediaType": kind, "digest": _sum(content), "size": len(content)}


def _add_bytes(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.mode, member.size = 0o644, len(content)
    tar.addfile(member, io.BytesIO(content))


def _blob(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


def _dump(facts: Mapping[str, object]) -> bytes:
    return json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()


def _sum(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _digest(path: Path) -> str:
    total = hashlib.sha256()
    with path.open("rb") as content:
        while chunk := content.read(_CHUNK):
            total.update(chunk)
    return "sha256:" + total.hexdigest()
