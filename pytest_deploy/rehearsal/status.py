"""A Rollout's status as its controller writes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from pytest_deploy.domain.action import Json
from pytest_deploy.domain.rollout import Phase

__all__ = ["Status"]


@dataclass(kw_only=True)
class Status:
    """The status subresource, as far as a deploy looks at it."""

    observed_generation: int = 0
    current_hash: str = ""
    stable_hash: str = ""
    step_index: int | None = None
    pauses: tuple[str, ...] = ()
    controller_pause: bool = False
    aborted: bool = False
    promote_full: bool = False
    phase: Phase = Phase.UNKNOWN
    message: str = ""

    @property
    def promoted(self) -> bool:
        """Whether the version that is wanted is the stable one."""
        return self.current_hash == self.stable_hash

    def document(self) -> dict[str, Json]:
        """As the API holds it: ``observedGeneration`` is a text, and what is empty is absent."""
        full: dict[str, Json] = {
            "observedGeneration": str(self.observed_generation),
            "currentPodHash": self.current_hash,
            "stableRS": self.stable_hash,
            "pauseConditions": [{"reason": reason} for reason in self.pauses],
            "controllerPause": self.controller_pause,
            "abort": self.aborted,
            "promoteFull": self.promote_full,
            "phase": self.phase.value,
            "message": self.message,
        }
        document: dict[str, Json] = {key: value for key, value in full.items() if value}
        return document if self.step_index is None else {**document, "currentStepIndex": self.step_index}

    def take(self, document: Mapping[str, Json]) -> None:
        """Take over what a patch may have written."""
        pauses = cast("list[Mapping[str, str]] | None", document.get("pauseConditions"))
        self.pauses = tuple(pause["reason"] for pause in pauses or ())
        self.aborted = bool(document.get("abort"))
        self.promote_full = bool(document.get("promoteFull"))

    def tell(self, *, replicas: int, updated: int, ready: int, pods: int, revision: int, overdue: bool) -> None:
        """Write phase and message, in the controller's own order and words.

        Args:
            updated, ready: pods of the version under way, and those of them that are Ready.
            pods: of all versions.
            overdue: nothing has come forward for as long as the progress deadline.
        """
        waits = (
            (updated < replicas, "more replicas need to be updated"),
            (ready < updated, "updated replicas are still becoming available"),
            (pods > updated, "old replicas are pending termination"),
            (not self.promoted, "waiting for all steps to complete"),
        )
        self.message = next((words for waiting, words in waits if waiting), "")
        self.phase = Phase.PROGRESSING if self.message else Phase.HEALTHY
        if self.aborted:
            self.phase = Phase.DEGRADED
            self.message = f"RolloutAborted: Rollout aborted update to revision {revision}"
        elif self.pauses:
            self.phase, self.message = Phase.PAUSED, self.pauses[0]
        elif overdue and not self.promoted:
            self.phase = Phase.DEGRADED
            self.message = f'ProgressDeadlineExceeded: ReplicaSet "{self.current_hash}" has timed out progressing.'
