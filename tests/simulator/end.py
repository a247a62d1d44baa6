"""What must stand once all is over: one version, and journals, Helm and exit statuses that agree with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pytest_deploy.domain.journal import Entry, Milestone, is_open
from pytest_deploy.domain.outcome import Outcome
from tests.simulator.audit import Audit
from tests.simulator.schedule import Pipeline
from tests.simulator.server import Server, image_of

__all__ = ["look"]

_NOT_CHANGED = frozenset({Outcome.STOPPED, Outcome.REFUSED, Outcome.INTERRUPTED_EARLY})
_TAKEN_BACK = _NOT_CHANGED | {Outcome.ROLLED_BACK, Outcome.INTERRUPTED}


def look(server: Server, audit: Audit, pipelines: Sequence[Pipeline], outcomes: Mapping[str, Outcome | None]) -> None:
    """Tell the audit all that is wrong."""
    still_open = [key for key, entries in server.journals.items() if is_open(entries)]
    if still_open and not audit.in_the_way:
        audit.problems.append(f"it stays open: {', '.join(still_open)}")
    paused = any(hand.paused for hand in audit.by_hand)
    if paused and not server.rollout.paused:
        audit.problems.append("a person's pause was taken away")
    theirs = any(hand.image == server.image for hand in audit.by_hand)
    if not still_open and not paused and not theirs:
        audit.problems += _one_version(server, audit, pipelines)
    for each in pipelines:
        audit.problems += _true_end(each.id, outcomes.get(each.id), server.journals.get(each.id, ()), audit)


def _one_version(server: Server, audit: Audit, pipelines: Sequence[Pipeline]) -> Iterator[str]:
    state = server.rollout.state
    running = {pod.image for pod in server.rollout.pods}
    if not (state.observed and state.promoted and running == {state.image} and not state.aborted):
        yield f"more than one version at the end: wanted {state.image}, running {sorted(running)}: {state.words}"
    if state.stable is None or state.stable.ready < state.replicas:
        yield f"the version at the end is not ready: {state.words}"
    expected = {_expected(server, pipelines)} | {hand.image for hand in audit.by_hand if hand.image}
    if state.image not in expected:
        yield f"the journals say {sorted(expected)}, what serves is {state.image}"
    if not server.by_helm:
        return
    last = server.place.revisions[-1]
    wanted = last.spec.image("api")
    if last.status != "deployed" or (wanted != state.image and not audit.by_hand):
        yield f"Helm's last revision is {last.number}, {last.status}, of {wanted}; what serves is {state.image}"


def _expected(server: Server, pipelines: Sequence[Pipeline]) -> str:
    """Return the image of the deploy that was committed last and not taken back; else the one from before."""
    committed = {
        entry.at: each.version
        for each in pipelines
        for entry in server.journals.get(each.id, ())
        if entry.milestone is Milestone.COMMITTED and not _taken_back(server.journals[each.id])
    }
    return image_of(committed[max(committed)] if committed else "v3")


def _true_end(deploy_id: str, outcome: Outcome | None, entries: Sequence[Entry], audit: Audit) -> Iterator[str]:
    """Yield where the exit status of a deploy says another thing than its journal, or than the server saw."""
    committed = any(entry.milestone is Milestone.COMMITTED for entry in entries) and not _taken_back(entries)
    if outcome is Outcome.COMMITTED and not committed:
        yield f"{deploy_id} said COMMITTED, its journal does not"
    if outcome in _TAKEN_BACK and committed:
        yield f"{deploy_id} said {outcome.words}, its journal says committed"
    if outcome in _NOT_CHANGED and deploy_id in audit.changed:
        yield f"{deploy_id} said {outcome.words}, and has changed something"


def _taken_back(entries: Sequence[Entry]) -> bool:
    return any(entry.milestone is Milestone.ROLLED_BACK for entry in entries)
