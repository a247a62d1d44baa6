"""The rollout controller's model: a Rollout object, and what its controller makes of it, step by step.

It does what Argo Rollouts does with a basic canary (no traffic router: weights are rounded to pods), read in
https://github.com/argoproj/argo-rollouts/tree/master/rollout (canary.go, sync.go).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import cast

from pytest_deploy.domain.action import Json, RolloutPatch
from pytest_deploy.domain.rollout import CANARY_PAUSE, Phase, Pod, RolloutState
from pytest_deploy.rehearsal.chart import Spec
from pytest_deploy.rehearsal.clock import VirtualClock
from pytest_deploy.rehearsal.faults import Faults
from pytest_deploy.rehearsal.jsonpatch import patched
from pytest_deploy.rehearsal.pods import READY_AFTER, STARTED_AFTER, ReplicaSet
from pytest_deploy.rehearsal.scaling import Count, next_counts, split
from pytest_deploy.rehearsal.status import Status

__all__ = ["Rollout"]

_SPEC_SEEN_AFTER = timedelta(milliseconds=700)
_REACTS_AFTER = timedelta(milliseconds=300)
_PROGRESS_DEADLINE = timedelta(seconds=600)
"""``progressDeadlineSeconds`` where the chart says nothing."""
_LONG_AGO = timedelta(days=1)


class Rollout:
    """A Rollout and its controller.

    Args:
        container: the one that is deployed.
        at_rest: it was promoted long ago and all its pods are ready; else it is created now.
        before_change: called right before pods become ready, or unready, or go.
        on_weight: told the percent of a canary that is under way, before its pods are made; again and again.
    """

    def __init__(
        self,
        *,
        name: str,
        uid: str,
        container: str,
        spec: Spec,
        at_rest: bool,
        clock: VirtualClock,
        faults: Faults,
        before_change: Callable[[], None],
        on_weight: Callable[[int], None],
    ) -> None:
        self.name = name
        self.annotations: dict[str, str] = {}
        self.newest: str | None = None
        """The version that was brought last, since it all began; None before the first."""
        self._uid = uid
        self._container = container
        self._spec = spec
        self._clock = clock
        self._faults = faults
        self._before_change = before_change
        self._on_weight = on_weight
        self._generation = 1
        self._status = Status()
        self._sets: dict[str, ReplicaSet] = {}
        self._paused_at = self._progressed_at = clock.now()
        self._gone = False
        if at_rest:
            self._begin_at_rest()
        else:
            clock.after(_SPEC_SEEN_AFTER, self._reconcile)

    @property
    def spec(self) -> Spec:
        """What is wanted now."""
        return self._spec

    @property
    def ready(self) -> dict[str, int]:
        """Ready pods by version; only versions that have any."""
        return {each.template_hash: each.ready for each in self._sets.values() if each.ready}

    @property
    def restarts(self) -> dict[str, int]:
        """Restarts of containers by version; only versions that have pods."""
        return {each.template_hash: each.restarts for each in self._sets.values() if each.wanted}

    @property
    def pods(self) -> tuple[Pod, ...]:
        """All pods."""
        return tuple(pod for each in self._sets.values() for pod in each.observed_pods)

    @property
    def state(self) -> RolloutState:
        """One look at it."""
        status, ready = self._status, self.ready
        observed = status.observed_generation >= self._generation
        return RolloutState(
            name=self.name,
            uid=self._uid,
            generation=self._generation,
            observed_generation=status.observed_generation,
            phase=status.phase if observed else Phase.PROGRESSING,
            message=status.message if observed else "waiting for rollout spec update to be observed",
            aborted=status.aborted,
            held_by_spec=False,
            pauses=status.pauses,
            steps=self._spec.steps,
            step_index=status.step_index,
            current_hash=status.current_hash,
            stable_hash=status.stable_hash,
            weight_percent=100 * ready.get(status.current_hash, 0) / (sum(ready.values()) or 1),
            traffic_routed=False,
            image=self._spec.image(self._container),
            replicas=self._spec.replicas,
            versions=tuple(each.version for each in self._sets.values() if each.wanted),
        )

    def apply(self, spec: Spec) -> None:
        """Take a new spec, as Helm applies it; the same one changes nothing."""
        if spec != self._spec:
            self._spec = spec
            self._generation += 1
            self._clock.after(_SPEC_SEEN_AFTER, self._reconcile)

    def patch(self, patch: RolloutPatch) -> None:
        """Apply a JSON Patch; raises Rejected when one of its tests does not hold, nothing is written then."""
        document: dict[str, Json] = {
            "metadata": {"annotations": {**self.annotations}},
            "spec": self._spec.document(),
            "status": self._status.document(),
        }
        result = patched(document, patch.document(), what=str(patch.target))
        if patch.on_status:
            self._status.take(cast("Mapping[str, Json]", result["status"]))
            self._clock.after(_REACTS_AFTER, self._reconcile)
        else:
            spec = cast("Mapping[str, Json]", result["spec"])
            self.apply(replace(self._spec, template=cast("dict[str, Json]", spec["template"])))

    def delete(self) -> None:
        """Remove it and all its pods."""
        self._before_change()
        self._sets.clear()
        self._gone = True

    def refresh(self) -> None:
        """Let time and faults take their effect on the pods, and the controller see it."""
        if self._gone:
            return
        self._before_change()
        for each in self._sets.values():
            each.settle(self._clock.now(), self._faults if each.template_hash == self.newest else None)
        self._reconcile()

    def _begin_at_rest(self) -> None:
        current = self._set_of(self._spec)
        current.scale(self._spec.replicas, self._clock.now() - _LONG_AGO, running=True)
        self._status = Status(
            observed_generation=self._generation,
            current_hash=current.template_hash,
            stable_hash=current.template_hash,
            step_index=len(self._spec.steps) or None,
            phase=Phase.HEALTHY,
        )

    def _set_of(self, spec: Spec) -> ReplicaSet:
        template_hash = spec.template_hash
        made = ReplicaSet(name=self.name, template_hash=template_hash, image=spec.image(self._container))
        return self._sets.setdefault(template_hash, made)

    def _reconcile(self) -> None:
        if self._gone:
            return
        before = replace(self._status)
        self._observe()
        self._tell_weight()
        changed = self._scale()
        self._advance()
        self._tell_phase()
        if changed or self._status != before:
            self._clock.after(_REACTS_AFTER, self._reconcile)

    def _observe(self) -> None:
        """See a new spec; a new template begins the steps anew, the stable one's skips them all."""
        status = self._status
        if status.observed_generation == self._generation:
            return
        status.observed_generation = self._generation
        template_hash = self._spec.template_hash
        if template_hash not in self._sets:
            self.newest = template_hash
            self._set_of(self._spec)
        if template_hash != status.current_hash:
            status.current_hash = template_hash
            status.aborted = status.promote_full = status.controller_pause = False
            status.pauses = ()
            status.step_index = 0
            self._progressed()
        steps = len(self._spec.steps)
        if not steps:
            status.step_index = None
        elif status.promoted or not status.stable_hash:
            status.step_index = steps

    def _weight(self) -> int:
        status, steps = self._status, self._spec.steps
        if status.promote_full:
            return 100
        if status.aborted:
            return 0
        if status.step_index is None or status.step_index >= len(steps):
            return 100
        weights = [step.weight for step in steps[: status.step_index + 1] if step.weight is not None]
        return weights[-1] if weights else 0

    def _tell_weight(self) -> None:
        status = self._status
        if status.stable_hash and not status.promoted and self._spec.steps:
            self._on_weight(self._weight())

    def _counts(self) -> dict[str, Count]:
        """Count what is and what is to be, the stable version first, then the one under way, then all others."""
        status, replicas = self._status, self._spec.replicas
        targets = {status.current_hash: replicas}
        if status.stable_hash and not status.promoted:
            canary, stable = split(replicas, self._weight())
            targets = {status.stable_hash: stable, status.current_hash: canary}
        targets |= {name: 0 for name in self._sets if name not in targets}
        return {
            name: Count(wanted=self._sets[name].wanted, ready=self._sets[name].ready, target=target)
            for name, target in targets.items()
        }

    def _scale(self) -> bool:
        counts = self._counts()
        wanted = dict(zip(counts, next_counts(self._spec.replicas, tuple(counts.values())), strict=True))
        changed = [name for name, count in counts.items() if wanted[name] != count.wanted]
        if changed:
            self._before_change()
            self._progressed()
        for name in changed:
            self._sets[name].scale(wanted[name], self._clock.now())
            if wanted[name] > counts[name].wanted:
                self._clock.after(STARTED_AFTER, self.refresh)
                self._clock.after(READY_AFTER, self.refresh)
        return bool(changed)

    def _settled(self) -> bool:
        return all(count.wanted == count.ready == count.target for count in self._counts().values())

    def _advance(self) -> None:
        """Do what the present step, an abort or a full promotion asks for."""
        status, steps = self._status, self._spec.steps
        if status.promoted:
            status.aborted = status.promote_full = False
            return
        if status.promote_full:
            status.aborted = status.controller_pause = False
            status.pauses = ()
            status.step_index = len(steps) or None
        elif status.aborted:
            status.controller_pause = False
            status.pauses = ()
            status.step_index = 0 if steps else None
            return
        if status.step_index is None or status.step_index >= len(steps):
            if self._sets[status.current_hash].ready >= self._spec.replicas:
                status.stable_hash = status.current_hash
                status.promote_full = False
        elif self._step_done(status.step_index):
            status.step_index += 1
            status.controller_pause = False
            status.pauses = ()
            self._progressed()

    def _step_done(self, index: int) -> bool:
        step, status = self._spec.steps[index], self._status
        if step.kind == "setWeight":
            return self._settled()
        if not status.controller_pause:
            status.controller_pause = True
            status.pauses = (CANARY_PAUSE,)
            self._paused_at = self._clock.now()
            if step.pause_s is not None:
                self._clock.after(timedelta(seconds=step.pause_s), self._reconcile)
            return False
        over = step.pause_s is not None and self._clock.now() - self._paused_at >= timedelta(seconds=step.pause_s)
        return over or not status.pauses

    def _progressed(self) -> None:
        self._progressed_at = self._clock.now()
        self._clock.after(_PROGRESS_DEADLINE, self._reconcile)

    def _tell_phase(self) -> None:
        current = self._sets[self._status.current_hash]
        self._status.tell(
            replicas=self._spec.replicas,
            updated=current.wanted,
            ready=current.ready,
            pods=sum(each.wanted for each in self._sets.values()),
            revision=len(self._sets),
            overdue=self._clock.now() - self._progressed_at >= _PROGRESS_DEADLINE,
        )
