"""Where the sandbox's programs are: on PATH, else in the toolchain's cache, else what kwokctl downloads itself."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pytest_deploy.errors import ToolMissing

__all__ = ["DOWNLOADED", "Toolbox", "cache_folder", "toolbox"]

DOWNLOADED = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")
"""What kwokctl fetches by itself, in the versions that it pins, when it is not given."""

_HINT = "build the pinned parts with: make toolchain (or put {name} on PATH)"


def cache_folder() -> Path:
    """Return the folder for what outlives a checkout: $PYTEST_DEPLOY_CACHE, or pytest-deploy in the XDG cache."""
    if own := os.environ.get("PYTEST_DEPLOY_CACHE"):
        return Path(own).absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache").absolute() / "pytest-deploy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolbox:
    """What the toolchain has built.

    Args:
        built: program by name.
        crds: folder of Argo Rollouts' CRDs; None: not built.
        path: as in ``$PATH``; looked at first.
    """

    built: Mapping[str, Path] = field(default_factory=dict)
    crds: Path | None = None
    path: str | None = None

    def find(self, name: str) -> Path | None:
        """Return the program's path; None: it is nowhere."""
        found = shutil.which(name, path=self.path)
        if found is not None:
            return Path(found).absolute()
        built = self.built.get(name)
        return built if built is not None and built.is_file() else None

    def need(self, name: str) -> str:
        """Return the program's path as an argv wants it.

        Raises:
            ToolMissing: it is nowhere.
        """
        found = self.find(name)
        if found is None:
            msg = f"the sandbox needs {name}: it is neither on PATH nor in the toolchain's cache"
            raise ToolMissing(msg, hint=_HINT.format(name=name))
        return str(found)

    def need_crds(self) -> Path:
        """Return the folder of Argo Rollouts' CRDs.

        Raises:
            ToolMissing: the toolchain has not built them.
        """
        if self.crds is None or not any(self.crds.glob("*.yaml")):
            msg = "the sandbox needs the CRDs of Argo Rollouts: they are not in the toolchain's cache"
            raise ToolMissing(msg, hint="build the pinned parts with: make toolchain")
        return self.crds


def toolbox() -> Toolbox:
    """Read what the toolchain has built; an unbuilt one is empty, a broken record of it is an error."""
    record = cache_folder() / "toolchain" / "current.json"
    path = os.environ.get("PATH")
    if not record.is_file():
        return Toolbox(path=path)
    try:
        facts = json.loads(record.read_text())
        built = {name: Path(where) for name, where in facts["binaries"].items()}
        crds = Path(facts["argo_crds"]) if facts.get("argo_crds") else None
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        msg = f"{record} is no record of the toolchain: {error!r}"
        raise ToolMissing(msg, hint="write it anew with: make toolchain") from error
    return Toolbox(built=built, crds=crds, path=path)
