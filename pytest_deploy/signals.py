"""INT, TERM and HUP end in a recorded, rolled-back deploy.

pytest alone runs no teardown on SIGTERM, and a job in the background ignores SIGINT. The handler raises
``DeployCancelled`` only while a step body runs, so that pytest records a failed call and tears down as ever;
between steps it leaves a flag. During teardown signals are only counted; the fourth ends the process.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType

from pytest_deploy.errors import DeployCancelled

__all__ = ["Signals"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PATIENCE = 4


@dataclass(kw_only=True)
class Signals:
    """The handlers of one session; nothing is installed before ``install``.

    Args:
        stop: asks pytest to run no further test, with the reason.
        say: tells a person what a signal does.
        exit_now: leaves at once; ``os._exit`` outside of tests.
    """

    stop: Callable[[str], None]
    say: Callable[[str], None]
    exit_now: Callable[[int], None] = os._exit
    received: list[str] = field(default_factory=list)
    armed: bool = False
    _before: dict[signal.Signals, object] = field(default_factory=dict)

    def install(self) -> None:
        """Take over the three signals, also where SIGINT was inherited as ignored; may be called again."""
        if self._before:
            return
        for number in _SIGNALS:
            self._before[number] = signal.signal(number, self._handle)

    def restore(self) -> None:
        """Give the signals back to who had them."""
        for number, before in self._before.items():
            signal.signal(number, before)  # type: ignore[arg-type]  # as it was given to us
        self._before.clear()

    @property
    def pending(self) -> str | None:
        """The first signal that came; None: none has."""
        return self.received[0] if self.received else None

    def check(self) -> None:
        """Raise DeployCancelled when a signal came between steps."""
        if self.pending:
            raise DeployCancelled(self.pending)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        name = signal.Signals(number).name
        self.received.append(name)
        count = len(self.received)
        if count >= _PATIENCE:
            self.exit_now(128 + number)
        if count == 1:
            self.stop(f"{name} received")
            self.say(f"{name}: stopping; what was changed is taken back now, wait for it")
        else:
            left = _PATIENCE - count
            self.say(f"{name} again: the rollback goes on; {left} more end the process and leave the rollback undone")
        if self.armed:
            self.armed = False
            raise DeployCancelled(name)
