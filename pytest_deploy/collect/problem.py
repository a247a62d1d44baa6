"""One mistake in a feature file (or in the steps beside it), with its place."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["Problem", "render"]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Problem:
    """What is wrong and where; ordered by place.

    Args:
        path: the file to open.
        line: from 1.
        column: from 1.
        text: what is wrong, and what would be right.
    """

    path: Path
    line: int
    column: int
    text: str


def render(problems: Iterable[Problem], *, relative_to: Path, closing: str) -> str:
    """Say each problem once, a line each and in the order of their places, then ``closing``.

    Args:
        problems: in any order, with repetitions (a Background is read once a scenario).
        relative_to: paths are shown as seen from here, as pytest shows them.
        closing: ends the last line, after the count.
    """
    places = sorted(set(problems))
    lines = [
        f"{os.path.relpath(problem.path, relative_to)}:{problem.line}:{problem.column}: {problem.text}"
        for problem in places
    ]
    count = "1 problem" if len(places) == 1 else f"{len(places)} problems"
    return "\n".join([*lines, f"{count}: {closing}"])
