"""One number for what Helm would render: the chart with all values that deploy.yaml gives it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_deploy.config.model import DeployConfig

__all__ = ["chart_hash"]


def chart_hash(config: DeployConfig) -> str:
    """Return ``sha256:...`` over each file of the chart, each environment's values file, and the values on top.

    Another namespace, context or time-out leaves it as it is; the name of a file, a byte in one, or the value of one
    environment does not.

    Raises:
        OSError: a file can't be read.
    """
    found = {f"chart/{path.relative_to(config.chart_path)}": _of(path) for path in _files(config.chart_path)}
    found |= {
        f"values of {name}": _of(section.values_file)
        for name, section in config.environments.items()
        if section.values_file is not None
    }
    found["values"] = json.dumps(config.values and dict(config.values), sort_keys=True)
    whole = json.dumps(found, sort_keys=True)
    return f"sha256:{hashlib.sha256(whole.encode()).hexdigest()}"


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
