"""Everybody who is asked for open incidents: all must answer, and all with "none"."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_deploy.domain.found import Found
from pytest_deploy.errors import DeployError, GateBreach
from pytest_deploy.ports import Capability

__all__ = ["Incidents"]


class Incidents:
    """A capability that asks several ones, and tells all that they say at once.

    Args:
        asked: by the name that a person knows them by; at least one.
    """

    def __init__(self, asked: Mapping[str, Capability]) -> None:
        self._asked = dict(asked)

    def __call__(self, subject: str) -> Found:
        """Return what all of them found.

        Raises:
            GateBreach: one says no; who gave no answer is named beside it.
            DeployError: none says no, and one gave no answer: that is not "none".
        """
        found: list[Found] = []
        breaches: list[GateBreach] = []
        silent: dict[str, DeployError] = {}
        for name, ask in self._asked.items():
            try:
                found.append(ask(subject))
            except GateBreach as breach:
                breaches.append(breach)
            except DeployError as error:
                silent[name] = error
        unknown = "\n".join(f"{name} gave no answer, which is not the same as none: {e}" for name, e in silent.items())
        if breaches:
            raise GateBreach(
                "\n".join(filter(None, [*map(str, breaches), unknown])),
                cause=breaches[0].cause,
                attachments=[each for breach in breaches for each in breach.attachments],
            )
        if silent:
            first = next(iter(silent.values()))
            raise DeployError(
                f"whether an incident is open for {subject} is not known.\n{unknown}", cause=first.cause or "incidents"
            )
        return Found(
            "; ".join(each.words for each in found),
            facts=tuple(fact for each in found for fact in each.facts),
            attachments=tuple(text for each in found for text in each.attachments),
        )
