"""Named queries: what saturation, restarts and alerts are in a world that has no real pods."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from pytest_deploy.domain.measurement import Objective
from pytest_deploy.domain.query import ALERTS, MEMORY, RESTARTS, THROTTLING, Query
from pytest_deploy.errors import MeasurementError
from pytest_deploy.rehearsal.series import Scrape

__all__ = ["Answer", "NamedQueries"]

_THROTTLED_RATIO = 0.01
_MEMORY_RATIO = 0.6
_FIRES_ABOVE_RATIO = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a query yields.

    Args:
        value: None where there is no data.
        samples: that it rests on; None where there is no data.
        newest: time of the newest of them.
        query: as it is shown.
    """

    value: float | None
    samples: int | None
    newest: datetime | None
    query: str


class NamedQueries:
    """The queries that ship, played; and those of a team, whose numbers nobody can know here.

    Args:
        team: by name; one that is named like a query that ships replaces it.
    """

    def __init__(self, team: Mapping[str, Query]) -> None:
        self._team = team

    def problem(self, name: str) -> str:
        """Return why no query of this name can be asked, with the mend; "" when it can."""
        known = sorted({*_SHIPPED, *self._team})
        if name in known:
            return ""
        return f"no query is called {name!r}, known are: {', '.join(known)}; add it to metrics.queries in deploy.yaml"

    def ask(self, objective: Objective, version: str | None, before: Scrape, scrapes: Sequence[Scrape]) -> Answer:
        """Return the answer over these scrapes.

        Args:
            before: the last scrape before them.
            version: None: all versions together.

        Raises:
            MeasurementError: there is no such query.
        """
        if problem := self.problem(objective.subject):
            raise MeasurementError(problem)
        team = self._team.get(objective.subject)
        # The number that a team measures follows from nothing here; at the limit it says nothing against the deploy.
        how, shown = (
            (lambda *_: objective.limit, f"rehearsed: the number is made up, nothing was asked; real: {team.text}")
            if team is not None
            else (_SHIPPED[objective.subject], f"rehearsed: {objective.subject} of {version or 'all versions'}")
        )
        held = [each.at for each in scrapes if (each.restarts if version is None else version in each.restarts)]
        if len(held) < 2:
            return Answer(value=None, samples=None, newest=held[-1] if held else None, query=shown)
        return Answer(value=how([before, *scrapes], version), samples=len(held), newest=held[-1], query=shown)


def _restarts(scrapes: Sequence[Scrape], version: str | None) -> float:
    """Return how often containers were restarted since the first scrape, in pods that came later, too."""
    grown = 0
    for before, after in pairwise(scrapes):
        for name, restarts in after.restarts.items():
            if version in {None, name}:
                grown += max(0, restarts - before.restarts.get(name, 0))  # a pod that goes takes its counter with it
    return float(grown)


def _alerts(scrapes: Sequence[Scrape], version: str | None) -> float:
    """Return for how many versions more than half of the newest requests failed, whichever is asked for."""
    del version
    before, last = scrapes[-2:]
    news = [now.since(before.requests[name]) for name, now in last.requests.items() if name in before.requests]
    return float(sum(each.errors > _FIRES_ABOVE_RATIO * each.total for each in news))


_SHIPPED: Mapping[str, Callable[[Sequence[Scrape], str | None], float]] = {
    THROTTLING: lambda *_: _THROTTLED_RATIO,
    MEMORY: lambda *_: _MEMORY_RATIO,
    RESTARTS: _restarts,
    ALERTS: _alerts,
}
