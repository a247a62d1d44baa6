"""What a pod is given: deploy.yaml as it applies there, the feature, the chart and the team's steps, in one archive."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_deploy.errors import Faulted, Refused

if TYPE_CHECKING:
    from pytest_deploy.domain.release import Release

__all__ = ["CONFIG", "CONTEXT", "FILE", "KUBECONFIG", "pack", "unpack"]

FILE = "bundle.tgz"
CONFIG = "deploy.yaml"
CONTEXT = "in-cluster"
"""Name of the one context in the pod."""
KUBECONFIG = "/work/kubeconfig"
"""Where the pod writes the kubeconfig of its service account."""
LIMIT_BYTES = 900 * 1024
"""A ConfigMap holds 1 MiB with its names: https://kubernetes.io/docs/concepts/configuration/configmap/."""

_CHART = "chart"
_TEAM = ("steps", "scripts", "conftest.py")
"""Beside the feature, beside deploy.yaml and in the folders between: the team's own steps, and what gates run."""
_LEFT_OUT = {"__pycache__", ".git", ".venv", "reports"}


def pack(
    config: Path, overrides: Sequence[str], release: Release, here: Collection[str], feature: Path | None
) -> tuple[bytes, str]:
    """Return the archive, and the feature's path in it; equal files make equal bytes.

    Args:
        config: deploy.yaml, under whatever name; it has been loaded with these overrides, so all of it is right.
        here: environments in the pod's own cluster: its service account reaches them. Their ``server`` has been
            compared by now, in the pod it has another address.
        feature: None: none is to run ("").

    Raises:
        Refused: it is larger than a ConfigMap can be.
    """
    base = config.parent.resolve()
    facts = _settled(config, overrides, here)
    chart = release.chart_path.resolve()
    files: dict[str, Path] = {**_below(chart, _CHART)}
    facts["chart_path"] = _CHART
    for name, environment in release.environments.items():
        values = environment.values_file.resolve() if environment.values_file else None
        if values is not None:
            inside_chart = values.is_relative_to(chart)
            packed_name = f"{_CHART}/{values.relative_to(chart)}" if inside_chart else f"values/{name}.yaml"
            files[packed_name] = values
            facts["environments"][name]["values_file"] = packed_name
    where = ""
    if feature is not None:
        inside = feature.resolve()
        within = inside.is_relative_to(base)
        where = str(inside.relative_to(base)) if within else inside.name
        files[where] = inside
        for folder in [inside.parent, *inside.parent.parents] if within else [inside.parent]:
            for name in _TEAM:
                files |= _below(folder / name, str(folder.relative_to(base) / name) if within else name)
            if folder == base:
                break
    packed = _packed(files, json.dumps(facts, indent=2).encode())
    if len(packed) > LIMIT_BYTES:
        largest = sorted(files.items(), key=lambda item: -item[1].stat().st_size)[:3]
        named = ", ".join(f"{name} ({path.stat().st_size >> 10} KiB)" for name, path in largest)
        raise Refused(
            f"what the pod needs is {len(packed) >> 10} KiB packed, a ConfigMap takes {LIMIT_BYTES >> 10}; "
            f"the largest: {named}",
            hint="leave out of the chart's folder what is no part of it, or deploy from a runner: pytest FEATURE",
        )
    return packed, where


def unpack(packed: bytes, folder: Path) -> None:
    """Unpack the archive into a folder.

    Raises:
        Faulted: it holds what ``pack`` never packs.
    """
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as tar:
        # One by one, as only files were packed: extractall's filters came with Python 3.11.4, Debian 12 has 3.11.2.
        for member in tar.getmembers():
            path, content = folder / member.name, tar.extractfile(member)
            if content is None or not path.resolve().is_relative_to(folder.resolve()):
                raise Faulted(f"{FILE}: {member.name!r} is not what was packed", hint="did somebody edit it?")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.read())
            path.chmod(member.mode)


def _settled(config: Path, overrides: Sequence[str], here: Collection[str]) -> Any:
    """Return deploy.yaml's content as it applies in the pod."""
    from pytest_deploy.config.overrides import apply, parse
    from pytest_deploy.config.source import read

    facts: Any = read(config.read_bytes()).value
    for text in overrides:
        apply(parse(text), facts)
    for name in here:
        environment = facts["environments"][name]
        environment |= {"context": CONTEXT, "kubeconfig": KUBECONFIG}
        environment.pop("server", None)
    return facts


def _below(path: Path, prefix: str) -> Mapping[str, Path]:
    return dict(_walk(path, prefix))


def _walk(path: Path, prefix: str) -> Iterator[tuple[str, Path]]:
    if path.is_file():
        yield prefix, path
    elif path.is_dir():
        for each in sorted(path.iterdir()):
            if each.name not in _LEFT_OUT:
                yield from _walk(each, f"{prefix}/{each.name}")


def _packed(files: Mapping[str, Path], config: bytes) -> bytes:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, path in sorted(files.items()):
            content = path.read_bytes()
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755 if path.stat().st_mode & 0o100 else 0o644
            tar.addfile(member, io.BytesIO(content))
        member = tarfile.TarInfo(CONFIG)
        member.size = len(config)
        tar.addfile(member, io.BytesIO(config))
    return gzip.compress(plain.getvalue(), mtime=0)
