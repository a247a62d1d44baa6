"""The environments of a rehearsal: what is installed in each, and how a target finds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pytest_deploy.domain.action import Target
from pytest_deploy.domain.release import Environment
from pytest_deploy.errors import Refused
from pytest_deploy.rehearsal.chart import Chart, Spec
from pytest_deploy.rehearsal.controller import Rollout

__all__ = ["Place", "Places", "Revision"]


@dataclass(kw_only=True)
class Revision:
    """One revision in Helm's store.

    Args:
        updated: RFC 3339.
    """

    number: int
    status: str
    description: str
    updated: str
    spec: Spec


@dataclass(kw_only=True)
class Place:
    """One environment.

    Args:
        create: makes a Rollout that does not exist yet.
        revisions: Helm's, oldest first; () where the release is not installed.
        rollout: None where there is none.
    """

    environment: Environment
    chart: Chart
    create: Callable[[Spec], Rollout]
    revisions: list[Revision] = field(default_factory=list)
    rollout: Rollout | None = None


class Places:
    """All environments, by name."""

    def __init__(self, places: Mapping[str, Place]) -> None:
        self._places = places

    def at(self, context: str, environment: str) -> Place:
        """Return the environment behind this context; raises Refused where there is none."""
        place = self._places.get(environment)
        if place is None or place.environment.context != context:
            known = ", ".join(sorted({place.environment.context for place in self._places.values()}))
            raise Refused(f"no kube context {context!r} for {environment!r}", hint=f"the rehearsal knows: {known}")
        return place

    def rollout(self, target: Target) -> Rollout | None:
        """Return the Rollout; None where there is none of this name."""
        rollout = self.at(target.context, target.environment).rollout
        return rollout if rollout is not None and rollout.name == target.name else None

    def release(self, target: Target) -> Place | None:
        """Return where the Helm release is, or would be installed; None where nothing is called so."""
        place = self.at(target.context, target.environment)
        return place if place.environment.release == target.name else None
