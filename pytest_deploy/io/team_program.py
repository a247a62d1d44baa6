"""Programs that a team keeps beside its deploy.yaml, and what they print, made fit for a report."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pytest_deploy.errors import Refused, ToolMissing

__all__ = ["last_lines", "team_program"]

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
"""Colours, cursor moves and titles (ECMA-48, 5.4 and 5.6)."""
_WIDTH = 300


def team_program(folder: Path, path: str) -> Path:
    """Return the program's real place, which is below the folder and can be run.

    Args:
        folder: of deploy.yaml.
        path: as the feature writes it, taken from the folder.

    Raises:
        Refused: it lies outside of the folder, or a link leads out of it: what runs would not be what was reviewed.
        ToolMissing: there is no such file, or it can't be executed.
    """
    try:
        real = (folder / path).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise Refused(f"{path!r} can't be followed: {type(error).__name__}") from error
    if not real.is_relative_to(folder.resolve()):
        raise Refused(
            f"{path} leads out of {folder.name}/, the folder of deploy.yaml: it is not run",
            hint="keep the program beside deploy.yaml, where it is reviewed with the feature",
        )
    if not real.is_file():
        raise ToolMissing(f"{path} is no file in {folder.name}/", hint=f"write it, then: chmod +x {path}")
    if not os.access(real, os.X_OK):
        raise ToolMissing(
            f"{path} can't be executed: its mode lacks the bit", hint=f"chmod +x {path}, and commit the mode"
        )
    return real


def last_lines(text: str, count: int) -> str:
    """Return the last lines that hold something, without control characters, at most 300 characters of each."""
    clean = ("".join(c for c in line if c.isprintable()).strip() for line in _ESCAPES.sub("", text).splitlines())
    return "\n".join([line[:_WIDTH] for line in clean if line][-count:])
