"""Recovers deploys whose process is gone: looks at each lock, and acts when its holder has stopped renewing it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from pytest_deploy.domain.outcome import Outcome
from pytest_deploy.errors import DeployError

if TYPE_CHECKING:
    from pytest_deploy.domain.lock import Holder
    from pytest_deploy.ports import Clock

__all__ = ["Recovered", "Watchdog"]

_EVERY = timedelta(seconds=5)
"""How often the locks are looked at; as often as they are renewed."""
_AGAIN = timedelta(minutes=1)
"""A recovery that did not end the deploy is tried again so much later; arbitrary, its cost is a process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What ``recover`` said.

    Args:
        status: its exit status: 0 closed, 1 taken back, 4 refused, 7 a human is needed.
    """

    status: int
    words: str


class Watchdog:
    """Looks after the environments of one release.

    Args:
        look: returns who holds an environment's lock, by its name; None: nobody; raises DeployError.
        recover: ends a deploy, by environment and id.
        say: is told what is seen and done, a line at a time.
    """

    def __init__(
        self,
        environments: Sequence[str],
        *,
        look: Callable[[str], Holder | None],
        recover: Callable[[str, str], Recovered],
        clock: Clock,
        say: Callable[[str], None],
    ) -> None:
        self._environments = environments
        self._look, self._recover, self._clock, self._say = look, recover, clock, say
        self._known: dict[str, str] = {}
        self._not_before_s: dict[str, float] = {}

    def watch(self) -> None:
        """Look again and again, for ever."""
        while True:
            self.look()
            self._clock.sleep(_EVERY)

    def look(self) -> None:
        """Look at each environment once, and recover the deploys that nobody runs any more."""
        for name in self._environments:
            try:
                holder = self._look(name)
            except DeployError as error:
                # Who can't be seen may live: silence of the API server is nobody's death.
                self._tell(name, f"the lock can't be read: {error.args[0]}")
                continue
            self._tell(name, f"deploy {holder.deploy_id} runs" if holder else "no deploy runs")
            if holder is not None and holder.expired:
                self._end(name, holder)

    def _end(self, name: str, holder: Holder) -> None:
        now = self._clock.monotonic()
        if now < self._not_before_s.get(holder.deploy_id, now):
            return
        self._say(f"{name}: {holder.words}: nobody runs it any more, it is recovered")
        done = self._recover(name, holder.deploy_id)
        self._say(f"{name}: recover of {holder.deploy_id} ended with {done.status}: {done.words}")
        # What needs a human is not tried again: each try would only write the same into the journal once more.
        human = done.status == Outcome.NEEDS_HUMAN.status
        self._not_before_s[holder.deploy_id] = float("inf") if human else now + _AGAIN.total_seconds()

    def _tell(self, name: str, text: str) -> None:
        if self._known.get(name) != text:
            self._say(f"{name}: {text}")
        self._known[name] = text
