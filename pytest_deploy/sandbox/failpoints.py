"""Where a deploy on the sandbox dies or is cut off: chosen by a variable, so that crash safety is seen, not argued.

``PYTEST_DEPLOY_FAILPOINT=<point>:<n>:<how>``, such as ``after-act:3:SIGKILL``: at the third mutation that the process
begins, between what it did and its being written down. The journal is where a mutation begins and ends, so it is the
journal that is watched; the engine knows nothing of this.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from pytest_deploy.domain.action import HelmRollback, HelmUninstall, HelmUpgrade, Json, Target
from pytest_deploy.domain.journal import Entry, EntryState
from pytest_deploy.domain.policy import Decision
from pytest_deploy.domain.rollout import HelmRevision, HelmVersion
from pytest_deploy.errors import Refused, Unreachable
from pytest_deploy.io.kube import Connection, KubeApi, Wire
from pytest_deploy.ports import Clock, Helm, Journal, Ports

__all__ = ["VARIABLE", "Failpoint", "How", "Point", "chosen"]

VARIABLE = "PYTEST_DEPLOY_FAILPOINT"


class Point(StrEnum):
    """Between which two lines of a mutation's life."""

    BEFORE_INTENT = "before-intent"
    AFTER_INTENT = "after-intent"
    AFTER_ACT = "after-act"
    """It was done, and that does not stand in the journal yet."""
    AFTER_DONE = "after-done"


class How(StrEnum):
    """What happens there."""

    SIGKILL = "SIGKILL"
    SIGTERM = "SIGTERM"
    SIGSTOP = "SIGSTOP"
    PARTITION = "partition"
    """From then on no request of this process reaches an API server, Helm's included."""


@dataclass(kw_only=True)
class Failpoint:
    """One failpoint of this process; it is met at most once.

    Args:
        number: of the mutation, counted from 1 as this process begins them.
        kill: sends a signal to a process, by its id.
    """

    point: Point
    number: int
    how: How
    kill: Callable[[int, int], None] = os.kill
    cut: bool = field(default=False, init=False)
    _begun: int = field(default=0, init=False)

    def api(self, clock: Clock) -> KubeApi:
        """Return API servers that can be cut off, under whatever uses them: ports, lock and its renewing thread."""
        return _Api(self, clock=clock)

    def armed(self, ports: Ports) -> Ports:
        """Return the ports with the failpoint in their journal, a dead deploy's too, and a Helm that can be cut off."""
        of_deploy = ports.of_deploy
        return replace(
            ports,
            journal=_Journal(ports.journal, self),
            helm=_Helm(ports.helm, self),
            of_deploy=None if of_deploy is None else lambda deploy_id: self.armed(of_deploy(deploy_id)),
        )

    def before(self, entry: Entry) -> None:
        """An entry is about to be written."""
        if entry.state is EntryState.INTENT:
            self._begun += 1
            self._meet(Point.BEFORE_INTENT)
        elif entry.state is EntryState.DONE:
            self._meet(Point.AFTER_ACT)

    def after(self, entry: Entry) -> None:
        """An entry stands."""
        if entry.state is EntryState.INTENT:
            self._meet(Point.AFTER_INTENT)
        elif entry.state is EntryState.DONE:
            self._meet(Point.AFTER_DONE)

    def check(self, what: str) -> None:
        """Raise Unreachable where this process is cut off."""
        if self.cut:
            raise Unreachable(f"{what}: cut off by {VARIABLE}={self.point}:{self.number}:{self.how}")

    def _meet(self, point: Point) -> None:
        if (point, self._begun) != (self.point, self.number):
            return
        if self.how is How.PARTITION:
            self.cut = True
        else:
            self.kill(os.getpid(), signal.Signals[self.how])


def chosen(environ: Mapping[str, str]) -> Failpoint | None:
    """Return the failpoint that the variable names; None where it is not set.

    Raises:
        Refused: it names none.
    """
    text = environ.get(VARIABLE, "")
    if not text:
        return None
    found = re.fullmatch(f"({'|'.join(Point)}):([1-9][0-9]?):({'|'.join(How)})", text)
    if found is None:
        raise Refused(
            f"{VARIABLE}={text!r} is no failpoint",
            hint=f"<point>:<n>:<how>, point one of {', '.join(Point)}; n from 1; how one of {', '.join(How)}",
        )
    return Failpoint(point=Point(found[1]), number=int(found[2]), how=How(found[3]))


@dataclass(frozen=True)
class _Journal:
    real: Journal
    failpoint: Failpoint

    def append(self, entry: Entry) -> None:
        self.failpoint.before(entry)
        self.real.append(entry)
        self.failpoint.after(entry)

    def entries(self) -> Sequence[Entry]:
        return self.real.entries()

    def decision(self, hold: int) -> Decision | None:
        return self.real.decision(hold)


@dataclass(frozen=True)
class _Helm:
    real: Helm
    failpoint: Failpoint

    def version(self) -> HelmVersion:
        return self.real.version()

    def history(self, release: Target) -> tuple[HelmRevision, ...]:
        self.failpoint.check(f"helm history of {release}")
        return self.real.history(release)

    def render(self, upgrade: HelmUpgrade) -> tuple[Mapping[str, Json], ...]:
        return self.real.render(upgrade)

    def manifest(self, release: Target) -> tuple[Mapping[str, Json], ...]:
        self.failpoint.check(f"helm get manifest of {release}")
        return self.real.manifest(release)

    def crds(self, chart: str) -> tuple[Mapping[str, Json], ...]:
        return self.real.crds(chart)

    def record_size(self, upgrade: HelmUpgrade) -> int:
        return self.real.record_size(upgrade)

    def execute(self, action: HelmUpgrade | HelmRollback | HelmUninstall) -> str:
        self.failpoint.check(action.summary)
        return self.real.execute(action)


class _Api(KubeApi):
    def __init__(self, failpoint: Failpoint, *, clock: Clock) -> None:
        super().__init__(clock=clock)
        self._failpoint = failpoint

    def at(self, context: str, kubeconfig: str | os.PathLike[str] | None = None) -> Connection:
        connection = super().at(context, kubeconfig)
        if not isinstance(connection.open_wire, _OpenWire):
            connection.open_wire = _OpenWire(connection.open_wire, self._failpoint)
        return connection


@dataclass(frozen=True)
class _OpenWire:
    real: Callable[[], Wire]
    failpoint: Failpoint

    def __call__(self) -> Wire:
        wire = self.real()
        return replace(wire, pool=_Pool(wire.pool, self.failpoint))


@dataclass(frozen=True)
class _Pool:
    real: Any
    failpoint: Failpoint

    def request(self, method: str, url: str, **options: Any) -> Any:
        """Send it; where this process is cut off, fail as a network does that no longer carries anything."""
        if self.failpoint.cut:
            msg = "cut off by the failpoint"
            raise TimeoutError(msg)
        return self.real.request(method, url, **options)
