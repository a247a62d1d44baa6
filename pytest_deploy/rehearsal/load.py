"""A team's gate programs and its load, rehearsed: nothing is run, nothing is sent."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

from pytest_deploy.io.team_program import team_program
from pytest_deploy.ports import ScriptResult

__all__ = ["RehearsedLoad", "RehearsedScripts"]


class RehearsedScripts:
    """Port ``Scripts`` that answers as a right program would: 1 while the rehearsed canary breaks its SLO, else 0.

    The program itself is looked for, as in a real deploy: a feature whose script is not there is refused here, too.

    Args:
        folder: of deploy.yaml.
        broken: whether the canary's requests break the SLO now.
    """

    def __init__(self, folder: Path, *, broken: Callable[[], bool]) -> None:
        self._folder = folder
        self._broken = broken

    def check(self, path: str, service: str, weight_percent: int) -> ScriptResult:
        """Answer, without running anything.

        Raises:
            ToolMissing, Refused: as the real one.
        """
        team_program(self._folder, path)
        return ScriptResult(
            status=1 if self._broken() else 0,
            words="(rehearsed: not run)",
            command=shlex.join((path, service, str(weight_percent))),
        )


class RehearsedLoad:
    """Port ``Load`` that changes the rate of the rehearsed traffic.

    Args:
        rate_per_s: what the load would send in a second; None: a command's rate is not known, and nothing is added.
        add: changes the rehearsed traffic by so many requests in a second; less than 0 takes them away again.
    """

    def __init__(self, *, rate_per_s: float | None, add: Callable[[float], None]) -> None:
        self._rate_per_s = rate_per_s
        self._add = add
        self._label: str | None = None

    def start(self, label: str) -> None:
        """Begin; what runs already is ended first."""
        self.stop()
        self._label = label
        if self._rate_per_s is not None:
            self._add(self._rate_per_s)

    def stop(self) -> str:
        """End, and tell what was added; "" when nothing ran."""
        label, self._label = self._label, None
        if label is None:
            return ""
        if self._rate_per_s is None:
            return f"load {label} (rehearsed: the command was not run, and its rate is not known: nothing was added)"
        self._add(-self._rate_per_s)
        return f"load {label} (rehearsed: {self._rate_per_s:g} requests/s were added to the rehearsed traffic)"
