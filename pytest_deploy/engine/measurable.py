"""Before anything is changed: can the gates be judged at all, and does the error budget burn already?"""

from __future__ import annotations

from datetime import timedelta

from pytest_deploy.domain.burn import BURN_WINDOWS, burning
from pytest_deploy.domain.fitness import SCRAPES_OLD
from pytest_deploy.domain.measurement import Kind, Objective, Reading, Role, Subject
from pytest_deploy.engine.deploy import Deploy
from pytest_deploy.engine.waiting import until
from pytest_deploy.errors import GateBreach, MeasurementError, Refused, RemoteError, WaitTimedOut

__all__ = ["budget_not_burning", "gates_can_be_judged", "service", "stable"]

_NOTE = "note: "
_SKEW = timedelta(seconds=30)
"""Between two clocks that are set by NTP there are milliseconds; 30 s leave room for a slow answer."""

_SCRAPES = 4
"""How many scrapes a series that is not there yet is waited for: a release that was just installed has none."""


def gates_can_be_judged(deploy: Deploy) -> None:
    """Check that every gate of the feature finds its metrics, on the version that runs now.

    A gate that has no data today would have none in the canary's window either, and the reason would then be guessed
    at while a canary waits at its weight.

    Raises:
        Refused: the server does not answer, or a gate could never be judged: all of them, each with its place.
    """
    found: tuple[str, ...] = ()
    interval = deploy.ports.metrics.scrape_interval
    try:
        _clocks_agree(deploy)
        found = until(
            lambda: _problems(deploy),
            done=lambda seen: all(_NOTE in text for text in seen),
            words=lambda seen: "\n".join(text for text in seen if _NOTE not in text),
            what="the metrics of every gate",
            timeout=interval * _SCRAPES,
            clock=deploy.ports.clock,
            emit=deploy.emit,
            poll=max(interval, timedelta(seconds=1)),
        )
    except WaitTimedOut as error:
        raise Refused(
            f"these gates could not be judged:\n{error.last_seen}",
            hint="correct metrics in deploy.yaml or the gate, or let the service expose what is missing",
            cause="no metrics",
        ) from error
    except (RemoteError, MeasurementError) as error:
        raise Refused(
            f"the metrics server does not answer, so no gate could be judged: {error}",
            hint="correct metrics in deploy.yaml, or wait until the server is back",
        ) from error
    for text in found:
        deploy.warn(text.replace(_NOTE, ""))


def budget_not_burning(deploy: Deploy) -> None:
    """Check that the service's error budget does not burn: multi-window burn rate on the error rate of the SLO.

    Before the first change it refuses; afterwards it is a gate whose breach rolls back.

    Raises:
        Refused: it burns, or nobody can tell; nothing was changed yet.
        GateBreach: the same once something was changed.
    """
    metrics, objective = deploy.ports.metrics, Objective(kind=Kind.ERROR_RATE, limit=deploy.slo.error_rate_max_ratio)
    readings: dict[timedelta, Reading] = {}
    try:
        now = metrics.now()
        for window in BURN_WINDOWS:
            readings[window] = metrics.read(objective, service(deploy), now - window)
    except (RemoteError, MeasurementError) as error:
        _no(deploy, f"whether the error budget burns can't be told: {error}", "metrics unreadable")
    burn = burning(readings, objective.limit, oldest=metrics.scrape_interval * SCRAPES_OLD)
    if burn.page is None:
        _no(deploy, f"whether the error budget burns can't be told: {burn.words}", "no data")
    if burn.page:
        _no(deploy, burn.words, "error budget")
    if burn.ticket:
        deploy.warn(burn.words)
    deploy.found(burn.words)


def service(deploy: Deploy) -> Subject:
    """Return all pods of the service."""
    env = deploy.environment
    return Subject(service=deploy.release.service, workload=env.rollout, namespace=env.namespace)


def stable(deploy: Deploy) -> Subject:
    """Return the version that runs now where its series can be told apart, else the whole service."""
    everything, good = service(deploy), deploy.known_good
    if good is None or not deploy.ports.metrics.tells_versions_apart:
        return everything
    return Subject(
        service=everything.service,
        template_hash=good.template_hash,
        role=Role.STABLE,
        workload=everything.workload,
        namespace=everything.namespace,
    )


def _problems(deploy: Deploy) -> tuple[str, ...]:
    places: dict[Objective, str] = {}
    for stage in deploy.stages:
        for gate in stage.gates:
            if gate.objective.kind not in {Kind.SCRIPT, Kind.STEP}:
                places.setdefault(gate.objective, gate.place)
    for objective in deploy.slo.objectives if not places else ():
        places[objective] = "slo of deploy.yaml"
    return tuple(
        f"{place}: {objective.name}: {problem}"
        for objective, place in places.items()
        for problem in deploy.ports.metrics.problems(objective, stable(deploy))
    )


def _clocks_agree(deploy: Deploy) -> None:
    """Check that the metrics server's clock and ours tell the same time.

    Windows are cut by the server's clock and never by ours; but what is told, compared with a deadline or shown to a
    person is ours, and a record whose times do not fit the dashboards proves little.
    """
    there, here = deploy.ports.metrics.now(), deploy.ports.clock.now()
    if abs(there - here) > _SKEW:
        raise Refused(
            f"the clocks differ by {abs(there - here).total_seconds():.0f} s, at most {_SKEW.total_seconds():.0f} s "
            f"may be: it is {there:%H:%M:%S}Z at the metrics server and {here:%H:%M:%S}Z here",
            hint="let both be set by NTP",
            cause="clock skew",
        )


def _no(deploy: Deploy, text: str, cause: str) -> None:
    if deploy.tx.undos:
        raise GateBreach(text, cause=cause)
    raise Refused(text, hint="do not add a deploy to an incident: wait until it is over, or mend it first", cause=cause)
