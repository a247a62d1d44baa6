"""Whole queries of a team's own in the place of the ones that are made from metric names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pytest_deploy.adapters.prometheus.counts import Counts
from pytest_deploy.adapters.prometheus.named import newest, samples, text_of
from pytest_deploy.adapters.prometheus.promql import Look
from pytest_deploy.domain.measurement import Kind, Objective, Subject
from pytest_deploy.domain.query import Query
from pytest_deploy.errors import MeasurementError

__all__ = ["OwnQueries", "own_problems"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnQueries:
    """PromQL texts with the tokens of ``Query``, for metrics that are no counter with a status label.

    Args:
        requests: counts the requests of ``{window}``, ``sum(increase(...[{window}]))``; "": the metric names are used.
        errors: counts those of them that failed; without any series it is 0, as nothing failed.
        latency: by quantile, the query that yields it in seconds; judged by the plain rule, as nothing is counted.
    """

    requests: str = ""
    errors: str = ""
    latency: Mapping[float, str] = field(default_factory=dict)

    @property
    def tells_versions_apart(self) -> bool:
        """Whether the counts ask for ``{version}``."""
        return "{version}" in self.requests

    def __call__(self, look: Look, objective: Objective, subject: Subject) -> tuple[Counts, datetime | None] | None:
        """Return what was found, and how fresh it is; None: no query here is for this objective.

        Raises:
            MeasurementError: no query yields this quantile, or a token has no value here.
        """
        if objective.kind is Kind.LATENCY and self.latency:
            return self._quantile(look, objective, subject)
        if objective.kind in {Kind.ERROR_RATE, Kind.AVAILABILITY} and self.requests:
            return self._error_rate(look, subject)
        return None

    def _error_rate(self, look: Look, subject: Subject) -> tuple[Counts, datetime | None]:
        requests = self._text("requests", self.requests, look, subject)
        total = look.one(requests)
        if total is None or samples(look, requests) is None:
            return Counts(), None
        errors = self._text("errors", self.errors, look, subject)
        bad = look.one(errors) or 0.0
        value = bad / total if total > 0 else None
        return Counts(total=total, bad=bad, value=value), newest(look, requests)

    def _quantile(self, look: Look, objective: Objective, subject: Subject) -> tuple[Counts, datetime | None]:
        text = self.latency.get(objective.quantile or 0.0)
        if text is None:
            known = ", ".join(f"p{quantile * 100:g}" for quantile in self.latency)
            raise MeasurementError(
                f"metrics.prometheus.latency_queries has none for {objective.name}; it has: {known}",
                hint=f"add p{(objective.quantile or 0) * 100:g}",
            )
        query = self._text(objective.name, text, look, subject)
        value, total = look.one(query), None
        if samples(look, query) is not None:
            total = look.one(self._text("requests", self.requests, look, subject))
        return Counts(total=total, value=value), newest(look, query)

    @staticmethod
    def _text(name: str, text: str, look: Look, subject: Subject) -> str:
        return text_of(Query(name=name, text=text), subject, look.window_s)


def own_problems(look: Look, objective: Objective, found: Counts) -> list[str]:
    """Return why what a team's query found could never be judged."""
    if found.total is None:
        return [f"the query of metrics.prometheus that counts requests yields nothing: {look.queries[0]}"]
    if objective.kind is Kind.LATENCY and found.value is None:
        return [f"the query of metrics.prometheus.latency_queries yields no number: {look.queries[0]}"]
    return []
