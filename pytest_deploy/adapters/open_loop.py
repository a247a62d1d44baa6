"""Requests at a fixed rate, whatever becomes of those before: an open loop, as users are one.

A closed loop (ask, wait, ask) slows down with the service and so hides how slow it is; the time of a request counts
from the moment when it was due (https://www.scylladb.com/2021/04/22/on-coordinated-omission/).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Condition, Event, Thread
from typing import Protocol

from pytest_deploy.io.clock import SystemClock
from pytest_deploy.io.load_http import NoAnswer

__all__ = ["Asker", "OpenLoop", "Tally"]

MOST_AT_ONCE = 128
"""Requests under way at once; one that is due beyond is dropped, and counted: what hangs must not pile up here."""
_TICK_S = 0.05
_LATE_S = 1.0
"""After a stop of this machine (a suspended laptop, SIGSTOP) what was due before is dropped, not sent in one burst."""
_LAST_ANSWERS_S = 0.5
_STOP_S = 1.0
_UNANSWERED = "unanswered at the end"


class Asker(Protocol):
    """One connection, as ``io.load_http.Connection``."""

    def get(self) -> int:
        """Return the answer's status; raises NoAnswer."""
        ...

    def cut(self) -> None:
        """Let a ``get`` that another thread is in fail now."""
        ...

    def close(self) -> None:
        """Give it up."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What became of the requests.

    Args:
        sent: begun, answered or not.
        dropped: due, and not sent because too many were under way or this machine was late.
        classes: answers by their class, ``2xx`` to ``5xx``.
        failures: requests without an answer, by the reason.
        p95_s: 95 % of the answers had come within so many seconds of the moment when they were due; None: no answer.
    """

    seconds: float
    sent: int
    dropped: int
    classes: Mapping[str, int]
    failures: Mapping[str, int]
    p95_s: float | None


class OpenLoop:
    """Asks from ``start`` until ``stop``, in threads that end with the process.

    Args:
        connect: makes a connection; it is opened by its first ``get``.
        timeout_s: for one request, from its sending to its answer's end.
    """

    def __init__(self, connect: Callable[[], Asker], *, rate_per_s: float, timeout_s: float) -> None:
        self._connect = connect
        self._rate_per_s = rate_per_s
        self._timeout_s = timeout_s
        self._clock = SystemClock()
        self._began_s = self._clock.monotonic()
        self._stopped = Event()
        self._state = Condition()
        self._due: SimpleQueue[float | None] = SimpleQueue()
        self._workers: list[Thread] = []
        self._idle = 0
        self._flights: dict[Asker, float] = {}
        self._cut: dict[Asker, str] = {}
        self._sent = self._dropped = 0
        self._classes: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._answered_s: list[float] = []
        self._scheduler = Thread(target=self._schedule, name="load", daemon=True)

    def start(self) -> None:
        """Begin; the first request is due now."""
        self._began_s = self._clock.monotonic()
        self._scheduler.start()

    def stop(self) -> Tally:
        """End within two seconds, whatever the service does, and return what became of the requests.

        Those under way have half a second for their answers; then they are cut.
        """
        seconds = self._clock.monotonic() - self._began_s
        self._stopped.set()
        self._scheduler.join(_STOP_S)
        for _ in self._workers:
            self._due.put(None)
        with self._state:
            self._state.wait_for(lambda: not self._flights, _LAST_ANSWERS_S)
            for asker in self._flights:
                self._cut[asker] = _UNANSWERED
                asker.cut()
            self._state.wait_for(lambda: not self._flights, _LAST_ANSWERS_S)
            left = self._sent - self._classes.total() - self._failures.total()
            unfinished = Counter({_UNANSWERED: left})
            return Tally(
                seconds=seconds,
                sent=self._sent,
                dropped=self._dropped,
                classes=dict(sorted(self._classes.items())),
                failures=dict((self._failures + unfinished).most_common()),
                p95_s=_quantile(self._answered_s, 0.95),
            )

    def _schedule(self) -> None:
        number, looked_s = 0, self._began_s
        while not self._stopped.is_set():
            now_s = self._clock.monotonic()
            if now_s - looked_s >= _TICK_S:
                looked_s = now_s
                self._give_up_overdue(now_s)
            due_s = self._began_s + number / self._rate_per_s
            if due_s > now_s:
                self._stopped.wait(min(due_s - now_s, _TICK_S))
                continue
            number += 1
            self._hand_out(due_s, is_late=now_s - due_s > _LATE_S)

    def _hand_out(self, due_s: float, *, is_late: bool) -> None:
        with self._state:
            if is_late or not (self._idle or self._hire()):
                self._dropped += 1
                return
            self._idle -= 1
            self._sent += 1
        self._due.put(due_s)

    def _hire(self) -> bool:
        if len(self._workers) >= MOST_AT_ONCE:
            return False
        worker = Thread(target=self._work, name="load request", daemon=True)
        try:
            worker.start()
        except RuntimeError:  # the system gives no more threads
            return False
        self._workers.append(worker)
        self._idle += 1
        return True

    def _give_up_overdue(self, now_s: float) -> None:
        with self._state:
            for asker, until_s in self._flights.items():
                if now_s > until_s:
                    self._cut[asker] = "timed out"
                    asker.cut()

    def _work(self) -> None:
        asker = self._connect()
        while (due_s := self._due.get()) is not None:
            with self._state:
                if self._stopped.is_set():
                    self._sent -= 1
                    continue
                self._flights[asker] = self._clock.monotonic() + self._timeout_s
            status, reason = _asked(asker)
            with self._state:
                del self._flights[asker]
                self._idle += 1
                self._count(status, self._cut.pop(asker, reason), due_s)
                self._state.notify_all()
        asker.close()

    def _count(self, status: int | None, reason: str, due_s: float) -> None:
        if status is not None:
            self._classes[f"{status // 100}xx"] += 1
            self._answered_s.append(self._clock.monotonic() - due_s)
        else:
            self._failures[reason] += 1


def _asked(asker: Asker) -> tuple[int | None, str]:
    try:
        return asker.get(), ""
    except NoAnswer as error:
        return None, str(error)
    except Exception as error:  # noqa: BLE001 - load that fails must never end the deploy, whatever it fails of
        return None, type(error).__name__


def _quantile(values: list[float], quantile: float) -> float | None:
    return sorted(values)[math.ceil(quantile * len(values)) - 1] if values else None
