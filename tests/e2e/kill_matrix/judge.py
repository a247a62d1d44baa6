"""The oracle: the ten invariants of a deploy, as far as they can be seen from outside once it has died."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.e2e.kill_matrix.truth import Deploy, Lease, Truth
from tests.e2e.kill_matrix.watch import Watch

__all__ = ["Ended", "violations"]

_GATES = 2
"""Of each weight of the feature."""
_STRIDE = 0.75
"""Of the pods are ready at any time: a controller that is turned round in the middle of a stride of the chart's
maxSurge (25 %) may miss as many for a moment, whoever aborts; seen on Argo Rollouts 1.10 without a traffic router."""
_STATUS = {
    "COMMITTED": 0,
    "ROLLED BACK, verified": 1,
    "STOPPED, nothing had been changed": 1,
    "INTERRUPTED, rolled back, verified": 2,
    "INTERRUPTED, nothing had been changed": 2,
}


@dataclass(frozen=True, kw_only=True)
class Ended:
    """All that is known of a cell when everything has ended.

    Args:
        helm: a release owns the Rollout.
        before, after: of production and staging.
        status: of the deploy itself; negative: the signal that ended it.
        closed_itself: with which words the deploy had closed its journal before ``recover`` came; None: it had not.
        recovered: exit status of the last ``recover``.
        again: exit status of one more.
        changed: what that one changed.
        processes: command lines that are left.
    """

    how: str
    helm: bool
    before: dict[str, Truth]
    after: dict[str, Truth]
    deploy: Deploy
    others_open: list[str]
    lease: Lease | None
    watch: Watch
    status: int
    closed_itself: str | None
    recovered: int
    again: int
    changed: list[str]
    processes: list[str]

    @property
    def new(self) -> str:
        """The digest that was to be deployed; "" where no mutation was begun."""
        for entry in self.deploy.entries:
            if entry["state"] == "intent" and entry["action"]["type"] == "HelmUpgrade":
                return str(dict(map(tuple, entry["action"]["values"]))["image.digest"]).strip('"')
            if entry["state"] == "intent" and entry["action"]["purpose"] == "set-image":
                return str(entry["action"]["change"][0][1]).strip('"').partition("@")[2]
        return ""

    @property
    def committed(self) -> bool:
        """Whether the journal says so, and nothing took it back."""
        return "committed" in self.deploy.milestones and "rolling back" not in self.deploy.milestones


def violations(ended: Ended) -> Iterator[str]:
    """Yield each invariant that does not hold, with what was seen."""
    for name, truth in ended.after.items():
        committed = ended.committed and (ended.helm or name == "prod")  # without Helm staging is left out
        wanted = ended.new if committed else ended.before[name].wanted
        yield from _one_version(name, truth, wanted)
        if ended.helm:
            yield from _helm(name, ended.before[name], truth, committed=ended.committed)
        elif truth.helm != ended.before[name].helm:
            yield f"8: {name}: a release that is not this deploy's was changed: {truth.helm}"
    yield from _journal(ended)
    yield from _lock(ended)
    yield from _statuses(ended)
    yield from _meanwhile(ended)
    if ended.again != 0 or ended.changed:
        yield f"7: a second recover: exit {ended.again}, changed {ended.changed or 'nothing'}"
    if ended.processes:
        yield f"processes are left: {ended.processes}"


def _one_version(name: str, truth: Truth, wanted: str) -> Iterator[str]:
    if truth.wanted != wanted or truth.stable != wanted:
        yield f"3: {name} wants {truth.wanted}, stable is {truth.stable}; it was to be {wanted}"
    if truth.running != {wanted: truth.replicas}:
        yield f"3: {name} runs {truth.running}, not {truth.replicas} ready pods of {wanted}"
    if truth.resting:
        yield f"5: {name} is not at rest: {truth.resting}"
    if not all(truth.services.values()):
        yield f"9: {name}: Services select another version than the stable one: {truth.services}"


def _helm(name: str, before: Truth, after: Truth, *, committed: bool) -> Iterator[str]:
    if not after.helm:
        yield f"5: {name}: Helm has no release any more"
        return
    number, status, words = after.helm[-1]
    base = before.helm[-1][0]
    # A row before the last may stay pending: Helm marks none that was killed, and refuses by the last one alone.
    if status != "deployed" or after.deployed != after.wanted:
        yield f"5: {name}: Helm's last is {number}, {status} ({words}), of {after.deployed}; wanted is {after.wanted}"
    told = number == base + 1 if committed else number == base or words.lower() == f"rollback to {base}"
    if not told:
        yield f"5: {name}: Helm's last is {number} ({words}), base was {base}, committed: {committed}"


def _journal(ended: Ended) -> Iterator[str]:
    if ended.deploy.closed is None:
        yield f"6: the journal is not closed: {ended.deploy.milestones}"
    if ended.others_open:
        yield f"6: other deploys are open: {ended.others_open}"
    asked = [entry["seq"] for entry in ended.deploy.entries if entry["state"] == "intent"]
    undone = [entry for entry in ended.deploy.entries if entry["state"] == "intent" and entry.get("undo")]
    if asked and not undone:
        yield "2: mutations were begun, and no undo stands in the journal"


def _lock(ended: Ended) -> Iterator[str]:
    lease, fence = ended.lease, ended.after["prod"].fence
    if lease is None:
        yield "10: there is no lease"
    elif lease.holder:
        yield f"10: the lease is held by {lease.holder}"
    elif fence != str(lease.transitions):
        yield f"1: the fence on the Rollout is {fence}, the lease's {lease.transitions}"


def _statuses(ended: Ended) -> Iterator[str]:
    itself = ended.closed_itself
    if (ended.status == 0) != (itself == "COMMITTED"):
        yield f"5: the deploy's exit status was {ended.status}, and it had closed its journal with {itself!r}"
    if ended.how == "SIGTERM" and ended.status not in {2, _STATUS.get(itself or "")}:
        yield f"5: after SIGTERM the exit status was {ended.status}, and the journal was closed with {itself!r}"
    nothing_left = itself is not None or ended.committed
    if ended.recovered not in ({0} if nothing_left else {0, 1}):
        yield f"5: recover's exit status was {ended.recovered}, the deploy had closed its journal with {itself!r}"
    if ended.recovered == 1 and ended.committed:
        yield "5: recover says that it was undone, the journal that it was committed"


def _meanwhile(ended: Ended) -> Iterator[str]:
    watch, there = ended.watch, sum(ended.before["prod"].running.values())
    if not watch.alive:
        yield "the watches of this cell broke"
    if watch.lows[-1][1] < there * _STRIDE:
        yield f"9: of {there} ready pods there were left: {[count for _, count in watch.lows]}"
    for step in watch.steps:
        if step.digest != ended.new or ended.committed:
            continue
        passed = sum(at <= step.at for at in ended.deploy.passes)
        if passed < step.index // 2 * _GATES:
            yield f"4: step {step.index} at {step.at:%H:%M:%S.%f}, when {passed} gates had passed"
