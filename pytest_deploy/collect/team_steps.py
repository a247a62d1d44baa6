"""The team's own steps: ``steps/*.py`` beside a feature or in a folder above it, loaded by convention.

They are seen by the features below the folder that holds ``steps/``, as the
fixtures of a conftest.py in that folder are; of two that match, the nearest
wins. Files that begin with ``_`` are helpers: ``from . import _helpers`` works.
"""

from __future__ import annotations

import importlib
import sys
import traceback
import zlib
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from pytest_deploy.collect.bdd import register_steps
from pytest_deploy.collect.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["load"]

_ANY = (Exception, pytest.skip.Exception, pytest.fail.Exception, SystemExit)
"""Whatever a file raises while it is imported: its steps are missing then."""

_LOADED = pytest.StashKey[dict[Path, tuple[Problem, ...]]]()


def load(parent: pytest.Collector) -> Sequence[Problem]:
    """Load every ``steps/`` folder from the root folder down to the features' own, each once a session.

    Args:
        parent: the collector of the features' folder.

    Returns:
        The files that cannot be imported; they stay problems for each feature below.
    """
    loaded = parent.session.stash.setdefault(_LOADED, {})
    problems: list[Problem] = []
    for node in parent.listchain():
        if not isinstance(node, pytest.Directory):
            continue
        if node.path not in loaded:
            loaded[node.path] = tuple(_load_folder(node.path / "steps", node))
        problems.extend(loaded[node.path])
    return problems


def _load_folder(folder: Path, node: pytest.Collector) -> Sequence[Problem]:
    if not folder.is_dir():
        return ()
    files = [file for file in sorted(folder.glob("*.py")) if not file.name.startswith("_")]
    # A package of a name of its own, so that equal names in other folders do not
    # clash, relative imports work and assertions are rewritten.
    package = ModuleType(f"team_steps_{zlib.crc32(str(folder).encode()):08x}")
    package.__path__ = [str(folder)]
    pytest.register_assert_rewrite(package.__name__)
    sys.modules[package.__name__] = package
    problems = []
    for file in files:
        if file.name == "conftest.py":
            continue
        try:
            module = importlib.import_module(f"{package.__name__}.{file.stem}")
        except _ANY as error:
            problems.append(_problem(file, error))
        else:
            register_steps(module, node)
    return problems


def _problem(file: Path, error: BaseException) -> Problem:
    """Placed at the last line of the file itself that was reached."""
    column = 1
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(file)]
    line = (lines[-1] if lines else None) or 1
    if isinstance(error, SyntaxError) and error.filename == str(file):
        line, column = error.lineno or 1, error.offset or 1
    what = traceback.format_exception_only(error)[-1].strip()
    text = f"cannot be imported, so its steps are missing: {what}"
    return Problem(path=file, line=line, column=column, text=text)
