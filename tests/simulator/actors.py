"""Who takes part: pipelines that deploy, recovers, and people with kubectl and Helm."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from random import Random

from pytest_deploy.adapters.cluster_journal import ClusterJournal
from pytest_deploy.adapters.journal_map import JournalMap
from pytest_deploy.adapters.mirrored_journal import MirroredJournal
from pytest_deploy.domain.event import Event
from pytest_deploy.domain.journal import is_open
from pytest_deploy.domain.judge import Contract
from pytest_deploy.domain.outcome import Mode, Outcome
from pytest_deploy.domain.plan import Gate, Stage
from pytest_deploy.domain.slo import Slo
from pytest_deploy.engine import canary, gates
from pytest_deploy.engine.deploy import Deploy, Limits
from pytest_deploy.errors import DeployCancelled
from pytest_deploy.ports import Journal, Ports
from pytest_deploy.rehearsal.journal import MemoryJournal
from pytest_deploy.running import Record, Run
from pytest_deploy.signals import Signals
from tests.simulator.api import connect
from tests.simulator.audit import Audit, ByHand
from tests.simulator.helm import SimHelm
from tests.simulator.journal import SimJournal
from tests.simulator.lock import lock_of
from tests.simulator.ports import SimCluster, SimMetrics, SimTraffic, WallClock
from tests.simulator.process import Process
from tests.simulator.server import Server, release_of

__all__ = ["by_hand", "deploy", "new_deploy"]

SLO = Slo(error_rate_max_ratio=0.005, p95_latency_ms=300, window=timedelta(seconds=10))
LIMITS = Limits(
    helm=timedelta(seconds=60),
    step=timedelta(seconds=120),
    rollback=timedelta(seconds=120),
    lock=timedelta(seconds=30),
)


def ports_of(process: Process, server: Server, audit: Audit, deploy_id: str) -> Ports:
    """Return all ports of a process that acts for a deploy."""
    clock = WallClock(process)
    connection = connect(process, server.store, clock)
    journal: Journal
    if server.real_journal:
        journal_map = JournalMap(connection, "prod", "api")
        journal = ClusterJournal(journal_map, deploy_id)
        lock = lock_of(connection, deploy_id, is_open=lambda key: _is_open(journal_map, key))
    else:
        journal = SimJournal(process, server, deploy_id)
        lock = lock_of(
            connection,
            deploy_id,
            is_open=lambda key: process.call("other journal", lambda: is_open(server.journals.get(key, ()))),
        )
    return Ports(
        clock=clock,
        journal=MirroredJournal(journal, MemoryJournal()),
        cluster=SimCluster(process, server),
        helm=SimHelm(process, server, audit, deploy_id, lock),
        traffic=SimTraffic(process, server, audit, deploy_id),
        metrics=SimMetrics(process, frozenset(server.bad)),
        lock=lock,
        of_deploy=lambda other: ports_of(process, server, audit, other),
    )


def _is_open(journal_map: JournalMap, deploy_id: str) -> bool:
    record = journal_map.read().records.get(deploy_id)
    return record is not None and record.open


def new_deploy(process: Process, server: Server, audit: Audit, deploy_id: str, version: str) -> Deploy:
    """Return a deploy of this version as a process opens it."""
    release = release_of(version, server.weights, by_helm=server.by_helm)
    made = Deploy(
        id=deploy_id,
        mode=Mode.REHEARSAL,
        release=release,
        environment=release.environments["prod"],
        slo=SLO,
        stages=_stages(server.weights),
        limits=LIMITS,
        judge=Contract(),
        ports=ports_of(process, server, audit, deploy_id),
        emit=_nobody,
    )
    # Whether there are requests enough is no question of who dies when, and its answer takes half of the time.
    made.checked.add("metrics")
    return made


def deploy(process: Process, made: Deploy) -> Outcome | None:
    """Deploy as a session does: whatever ends it is kept, the way back is taken, the end is told.

    Returns:
        None where even the end broke.
    """
    session = Run(feature="x.feature", open=_never, wanted=set(), place=_line_of, deploy=made)
    try:
        for stage in made.stages:
            made.scenario, made.place = stage.scenario, stage.place
            canary.raise_to(made, stage.weight)
            for gate in stage.gates:
                made.place = gate.place
                gates.check(made, *made.standing_gate())
        session.scenario_passed()
        made.all_passed = True
    except (Exception, DeployCancelled) as error:  # noqa: BLE001 - as a session: whatever it is, the way back follows
        session.failed(error)
    process.hardened = True
    session.close(Signals(stop=_unsaid, say=_unsaid))
    return session.outcome


def by_hand(server: Server, audit: Audit, random: Random) -> None:
    """Do one thing that people do, with no respect for locks."""
    state = server.rollout.state
    under_way = state.at_our_pause and not state.promoted
    acts: dict[str, Callable[[], ByHand]] = {
        "pause": lambda: _pause(server),
        "deploy": lambda: _image(server),
    }
    if under_way:
        acts["promote"] = lambda: _promote(server)
        acts["abort"] = lambda: _abort(server)
    audit.by_hand.append(acts[random.choice(sorted(acts))]())


def _pause(server: Server) -> ByHand:
    server.rollout.paused = True
    return ByHand(at=server.clock.now(), what="spec.paused by hand", paused=True)


def _image(server: Server) -> ByHand:
    server.rollout.apply(server.spec("hotfix"))
    return ByHand(at=server.clock.now(), what="a hotfix by hand", image=server.image)


def _promote(server: Server) -> ByHand:
    step = server.rollout.state.step_index
    server.rollout.promote_by_hand()
    return ByHand(at=server.clock.now(), what=f"a promotion by hand at step {step}", step=step)


def _abort(server: Server) -> ByHand:
    server.rollout.abort_by_hand()
    return ByHand(at=server.clock.now(), what="an abort by hand")


def _stages(weights: tuple[int, ...]) -> tuple[Stage, ...]:
    return tuple(
        Stage(
            weight=weight,
            gates=tuple(
                Gate(objective=objective, window=SLO.window, place=f"x.feature:{weight}{index}", scenario=f"{weight} %")
                for index, objective in enumerate(SLO.objectives)
            ),
            scenario=f"{weight} %",
            place=f"x.feature:{weight}",
        )
        for weight in weights
    )


def _never() -> tuple[Deploy, Record]:
    raise AssertionError


def _line_of(line: int) -> str:
    return f"x.feature:{line}"


def _unsaid(text: str) -> None:
    """Nobody hears it."""


def _nobody(event: Event) -> None:
    """Nobody reads it."""
