"""The oracle: what each write may find, checked where it takes effect; it shares no code with the engine.

What it knows is what stands at the server: the rollout, the journals, the lease, and what people did by hand.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pytest_deploy.domain.action import Action, HelmRollback, Purpose, RolloutPatch
from pytest_deploy.domain.journal import Entry, EntryState, Milestone

if TYPE_CHECKING:
    from pytest_deploy.domain.rollout import KnownGood
    from tests.simulator.process import Process
    from tests.simulator.server import Server

__all__ = ["Audit", "ByHand", "Look", "known_good", "unfinished"]

GATES = ("error rate", "p95 latency")


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The rollout right before a write."""

    image: str
    step: int | None
    weight: int
    aborted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ByHand:
    """What a person did.

    Args:
        image: what they deployed; "" where they did something else.
        step: where they promoted; None where they did something else.
        paused: they set ``spec.paused``.
    """

    at: datetime
    what: str
    image: str = ""
    step: int | None = None
    paused: bool = False


class Audit:
    """Collects what may not be."""

    def __init__(self, server: Server) -> None:
        self.problems: list[str] = []
        self.by_hand: list[ByHand] = []
        self.writes: list[str] = []
        self.changed: set[str] = set()
        """The deploys by which the workload was changed."""
        self._server = server

    @property
    def in_the_way(self) -> bool:
        """Whether a person did what no recover may overwrite; an abort is none such, it is gone along with."""
        return any(hand.image or hand.paused or hand.step is not None for hand in self.by_hand)

    def look(self) -> Look:
        """Return the rollout as it is now."""
        state, weights = self._server.rollout.state, self._server.weights
        step = state.step_index
        weight = weights[step // 2] if step and step < 2 * len(weights) else 0
        return Look(image=self._server.image, step=step, weight=weight, aborted=state.aborted)

    def wrote(self, process: Process, deploy_id: str, action: Action, before: Look) -> None:
        """Check a mutation of the workload, right after it took effect."""
        what = f"{process.name} for {deploy_id}: {action.summary}"
        self.writes.append(what)
        self.changed.add(deploy_id)
        self._lease(process, action, what)
        entries = self._server.journals.get(deploy_id, ())
        known = any(e.state is EntryState.INTENT and e.action == action for e in entries)
        # A way back that was begun goes on where its journal is full: traffic first.
        if not known and not (_goes_back(action, entries) and unfinished(entries)):
            self._no("a write without a durable intent", what)
        others = [key for key, other in self._server.journals.items() if key != deploy_id and unfinished(other)]
        if others:
            self._no("two open deploys change the workload", f"{what}, while {', '.join(others)} is open")
        if isinstance(action, RolloutPatch) and action.purpose is Purpose.PROMOTE:
            self._passed(entries, action, before, what)
        if isinstance(action, RolloutPatch) and action.purpose is Purpose.PROMOTE_FULL:
            good = known_good(entries)
            if good is None or before.image != good.image:
                self._no("a weight that rose without a PASS", f"{what}, with {before.image} wanted")
        self._hands(process, entries, action, before, what)

    def told(self, what: str, process: Process, it: Any) -> None:
        """Check what was stored beside the workload, right after it: an entry of a journal, or a lock given back."""
        if what == "released":
            for key, entries in self._server.journals.items():
                if unfinished(entries):
                    self._no("the lock was released before the end", f"{process.name} for {it}, while {key} is open")
            return
        what = f"{process.name} for {it.deploy_id}: entry {it.seq}, {it.milestone or it.state}"
        server, entries = self._server, self._server.journals[it.deploy_id]
        if it.milestone is Milestone.COMMITTED and not self.by_hand:  # else it may have been so until just now
            state = server.rollout.state
            good = known_good(entries)
            if not state.promoted or (good is not None and state.image == good.image):
                self._no("committed, and it is not so", f"{what}: {state.words}")
        if it.milestone is Milestone.ROLLED_BACK:
            self._old(entries, what)

    def _lease(self, process: Process, action: Action, what: str) -> None:
        """Check that the writer holds the lock.

        A patch whose fence stands on the Rollout is before a takeover, even where the Lease is somebody else's
        already: who takes over writes the fence before it looks.
        """
        server = self._server
        if server.holder is process:
            return
        if isinstance(action, RolloutPatch) and action.fence == str(server.fence):
            return
        name = server.holder.name if server.holder else "nobody"
        self._no("a write without the lease", f"{what}; the lease is {name}'s, the fence {server.fence}")

    def _passed(self, entries: Sequence[Entry], action: RolloutPatch, before: Look, what: str) -> None:
        """Check that each gate of the weight that is left has its PASS since the weight was reached."""
        last = max(
            (e.seq for e in entries if e.state is EntryState.INTENT and e.undo is not None and e.action != action),
            default=0,
        )
        said = [e.observed for e in entries if e.milestone is Milestone.JUDGED and e.seq > last]
        for gate in GATES:
            if not any(text.startswith(f"{gate} at {before.weight} %: PASS") for text in said):
                self._no("a weight that rose without a PASS", f"{what}; of {gate} at {before.weight} % stands: {said}")

    def _old(self, entries: Sequence[Entry], what: str) -> None:
        state, good = self._server.rollout.state, known_good(entries)
        if good is None:
            if entries[0].deploy_id in self.changed:
                self._no("rolled back, and nobody knows where to", what)
        elif self.by_hand:
            return
        elif (state.image, state.stable_hash, state.current_hash) != (
            good.image,
            good.template_hash,
            good.template_hash,
        ):
            self._no("rolled back, and it is not so", f"{what}: {state.image}: {state.words}")
        elif any(each.wanted for each in state.versions if each.template_hash != good.template_hash):
            self._no("rolled back, and another version runs", f"{what}: {state.words}")

    def _hands(self, process: Process, entries: Sequence[Entry], action: Action, before: Look, what: str) -> None:
        """Check that nothing is overwritten that a person did, and that this process has had the chance to see."""
        good = known_good(entries)
        image_after = self._server.image
        for hand in self.by_hand:
            seen = process.looked is not None and process.looked > hand.at + self._server.reacts_within
            # An abort tests in the same request where it found the rollout: no time passes in which it could not know.
            tested = isinstance(action, RolloutPatch) and action.purpose is Purpose.ABORT
            if not seen and not tested:
                continue
            base = good is not None and good.image == hand.image
            if hand.image and before.image == hand.image and image_after != hand.image and not base:
                self._no("a person's deploy was overwritten", f"{what}, after {hand.what}")
            began = next((e.at for e in entries), None)
            if hand.step is None or began is None or began > hand.at or not _goes_back(action, entries):
                continue
            way = good is not None and before.image != good.image and not before.aborted
            shows = way and before.step is not None and before.step > hand.step
            if shows and hand.step not in _promoted(entries):
                self._no("a person's promotion was taken back", f"{what}, after {hand.what}")

    def _no(self, rule: str, what: str) -> None:
        self.problems.append(f"{rule}: {what}")


def unfinished(entries: Sequence[Entry]) -> bool:
    """Whether something may be changed that is neither committed nor taken back."""
    changed = False
    for entry in entries:
        if entry.state is EntryState.INTENT and entry.undo is not None:
            changed = True
        elif entry.milestone in {Milestone.ROLLED_BACK, Milestone.COMMITTED, Milestone.CLOSED}:
            changed = False
        elif entry.milestone in {Milestone.ROLLING_BACK, Milestone.NEEDS_HUMAN}:
            changed = True
    return changed


def known_good(entries: Sequence[Entry]) -> KnownGood | None:
    """Return where the deploy goes back to; None where nothing was begun."""
    return next((e.undo.known_good for e in entries if e.undo is not None), None)


def _goes_back(action: Action, entries: Sequence[Entry]) -> bool:
    if isinstance(action, RolloutPatch):
        good = known_good(entries)
        if action.purpose is Purpose.SET_IMAGE:
            return good is not None and json.dumps(good.image) in {value for _, value in action.change}
        return action.purpose is not Purpose.PROMOTE
    return isinstance(action, HelmRollback)


def _promoted(entries: Sequence[Entry]) -> list[int]:
    """The steps whose pause this deploy has asked to end."""
    found: list[int] = []
    for entry in entries:
        action = entry.action
        if entry.state is EntryState.INTENT and isinstance(action, RolloutPatch) and action.purpose is Purpose.PROMOTE:
            found += [int(value) for path, value in action.before if path == "/status/currentStepIndex"]
    return found
